//! One test binary; behaviour is tested through the router, in process.

mod sandbox;
