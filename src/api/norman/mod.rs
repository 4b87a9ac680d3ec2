//! Norman, Rancher's API style, as such: errors, input, collections, schemas. Nothing here knows AKS.

pub mod collection;
pub mod error;
pub mod filters;
pub mod input;
pub mod json;
pub mod links;
pub mod reply;
pub mod schemas;
