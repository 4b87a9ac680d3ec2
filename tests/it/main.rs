//! One test binary; behaviour is tested through the router, in process.

// `cfg(test)` tells clippy that these are tests outside `#[test]` functions too.
#[cfg(test)]
mod audit;
#[cfg(test)]
mod store_contract;
#[cfg(test)]
mod support;
