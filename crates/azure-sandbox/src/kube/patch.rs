//! The four ways to change an object in part, and the record of who wrote which field.

mod apply;
mod fields;
mod json_patch;
mod merge;
mod owners;
mod shape;

pub(crate) use apply::{Conflicts, apply};
pub(crate) use json_patch::json_patch;
pub(crate) use merge::{merge, strategic};
pub(crate) use owners::{Writer, written};
