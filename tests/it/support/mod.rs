//! What the tests stand on: a whole server in process, with the sandbox as its Azure and a clock that can be moved; and
//! databases of their own; and the real executable.

pub(crate) mod app;
pub(crate) mod connected;
pub(crate) mod databases;
pub(crate) mod kubernetes;
pub(crate) mod made;
pub(crate) mod program;
pub(crate) mod schema;
