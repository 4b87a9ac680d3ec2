//! The patch formats. Server-side apply is a merge here: field owners are not recorded, so there are no conflicts, and fields
//! that a manifest no longer contains remain.

mod json_patch;
mod merge;

pub(crate) use json_patch::json_patch;
pub(crate) use merge::{merge, removals, strategic_merge};
