//! The catalog as use cases: lists of Azure from the cache of listings, and what follows from them. The verdicts are in
//! `aks::catalog`.

pub mod credential_check;
pub mod regions;
pub mod upgrade_plan;
pub mod vm_sizes;

use std::error::Error as StdError;
use std::time::Duration;

use aks::arm::{Location, VmSku};
use bytes::Bytes;
use tokio::time::timeout;

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

/// The time limit of a list without which a response can be given. Loading continues after it.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// A part of Azure's data, or the reason why it is unknown.
type Part<T> = Result<T, String>;

/// A list within [`LIST_TIMEOUT`], so that a slow list does not delay the others.
async fn part_within_timeout<T>(list: impl Future<Output = super::Result<T>>) -> Part<T> {
    match timeout(LIST_TIMEOUT, list).await {
        Ok(list) => to_part(list),
        Err(_) => Err(format!("no answer within {} s", LIST_TIMEOUT.as_secs())),
    }
}

fn to_part<T>(list: super::Result<T>) -> Part<T> {
    list.map_err(|error| reason(&error))
}

/// The reason why a list is unknown: the first line of Azure's error.
fn reason(error: &Error) -> String {
    error.source().map_or_else(|| first_line(error), first_line)
}

/// The first line of an error's message, without the body of the response after it.
fn first_line(error: &dyn StdError) -> String {
    error.to_string().lines().next().unwrap_or_default().trim().to_owned()
}
