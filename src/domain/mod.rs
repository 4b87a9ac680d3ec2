//! What is true: pure values and decisions. Nothing here waits, reads a clock or knows HTTP or SQL.

pub mod arm;
pub mod ids;
pub mod spec;
