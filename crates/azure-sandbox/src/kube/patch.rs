//! The four ways to change an object in part, and the record of who wrote which field.

mod apply;
mod fields;
mod json_patch;
mod merge;
mod owners;
mod shape;

pub(super) use apply::{Conflicts, apply};
pub(super) use json_patch::json_patch;
pub(super) use merge::{merge, strategic};
pub(super) use owners::{Writer, written};
