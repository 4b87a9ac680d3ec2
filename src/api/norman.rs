//! Norman, Rancher's API style, as such: errors, input, collections, schemas. Nothing here knows AKS.
//!
//! | here | what |
//! |---|---|
//! | `schemas` | types as tables; `input` converts by them, `openapi` describes by them |
//! | `body`, `filters` | what comes in: the body, the query |
//! | `resource`, `collection`, `reply`, `links`, `json` | what goes out |
//! | `error` | every refusal |

pub mod body;
pub mod collection;
pub mod error;
pub mod filters;
pub mod input;
pub mod json;
pub mod links;
pub mod openapi;
pub mod reply;
pub mod resource;
pub mod schemas;
