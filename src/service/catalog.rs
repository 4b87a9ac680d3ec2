//! The catalog as use cases: lists of Azure from the cache of listings, and what follows from them. The verdicts are in
//! `aks::catalog`.

pub mod credential_check;
pub mod kubernetes_versions;
pub mod regions;
pub mod upgrade_plan;
pub mod vm_sizes;

use std::error::Error as _;

use aks::arm::{Location, VmSku};
use bytes::Bytes;

use super::Error;

/// The formats of the actions' responses, which are cached with the lists.
#[derive(Clone, Copy)]
pub struct Renderers {
    /// That of aksRegions.
    pub regions: fn(&[Location]) -> Bytes,
    /// That of aksVersions.
    pub versions: fn(&[String]) -> Bytes,
    /// That of aksVMSizesV2.
    pub vm_sizes: fn(&[VmSku]) -> Bytes,
}

/// Why a list is unknown: Azure's words, on one line.
fn reason(error: &Error) -> String {
    let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    text.lines().next().unwrap_or_default().trim().to_owned()
}
