//! Agents against a server with TLS, a proxy and an API server, all on loopback.

// `clippy.toml` allows `unwrap` and the like only in code below `cfg(test)`.
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
