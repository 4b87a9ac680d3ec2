//! What tests share.

pub(crate) mod databases;
