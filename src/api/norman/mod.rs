//! Norman, Rancher's API style, as such: errors, input, collections, schemas. Nothing here knows AKS.

pub mod json;
