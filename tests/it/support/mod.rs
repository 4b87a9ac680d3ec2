//! What the tests stand on: a whole server in process, with the sandbox as its Azure and a clock that can be moved; and
//! databases of their own.

pub mod app;
pub mod databases;
