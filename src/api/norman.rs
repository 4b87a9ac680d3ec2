//! Norman, Rancher's API style: errors, input, collections, schemas. Independent of AKS.
//!
//! | module | contents |
//! |---|---|
//! | `schemas`, `openapi` | types as tables, and their documentation |
//! | `body`, `input`, `filters` | the body and the query of requests |
//! | `resource`, `collection`, `links`, `json` | responses |
//! | `error` | error responses |

pub mod body;
pub mod collection;
pub mod error;
pub mod filters;
pub mod input;
pub mod json;
pub mod links;
pub mod openapi;
pub mod resource;
pub mod schemas;

use super::redacted_path::redact;
use super::surface::{CrossSite, Impersonation, REQUEST_TIMEOUT, Surface};

/// The rules for all requests with errors in Norman's format.
pub(in crate::api) static SURFACE: Surface = RULES;

/// The same rules as a constant, from which other surfaces are derived.
pub(in crate::api) const RULES: Surface = Surface {
    needs_permit: true,
    timeout: Some(REQUEST_TIMEOUT),
    completes_changes: true,
    accepts_request_ids: true,
    cross_site: CrossSite::RejectChanges,
    impersonation: Impersonation::Rejected,
    format_error: error::format,
    redact_path: redact,
};
