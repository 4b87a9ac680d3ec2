//! Agents against a server with TLS, a proxy and an API server, all on loopback.

// The lints of the library's own code are relaxed by `cfg(test)`.
#[cfg(test)]
mod api_server;
#[cfg(test)]
mod connecting;
#[cfg(test)]
mod dialing;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod server;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod support;
#[cfg(test)]
mod trust;
