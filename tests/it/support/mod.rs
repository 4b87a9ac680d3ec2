//! What the tests stand on: a whole server in process, with the sandbox as its Azure and a clock that can be moved.

pub mod app;
