//! The use cases of the catalog: regions, VM sizes, upgrade plans and the check of credentials. Except for that check, they
//! take Azure's lists from the cache of listings. `aks::catalog` assesses regions and sizes.

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

/// Functions that render lists as the responses of the actions. These responses are cached with the lists.
#[derive(Clone, Copy)]
pub struct Renderers {
    /// For aksRegions.
    pub regions: fn(&[Location]) -> Bytes,
    /// For aksVersions.
    pub versions: fn(&[String]) -> Bytes,
    /// For aksVMSizesV2.
    pub vm_sizes: fn(&[VmSku]) -> Bytes,
}

/// The time limit for a list without which a response is still useful. The load continues in the background.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// A part of Azure's data, or the reason why it is unknown.
type Part<T> = Result<T, String>;

/// Waits for a list for at most [`LIST_TIMEOUT`], so that a slow list does not delay the others.
async fn part_within_timeout<T>(list: impl Future<Output = super::Result<T>>) -> Part<T> {
    match timeout(LIST_TIMEOUT, list).await {
        Ok(list) => to_part(list),
        Err(_) => Err(format!("no response within {} s", LIST_TIMEOUT.as_secs())),
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
