//! The claim of a cluster object on its AKS cluster. The claim is saved only after Azure has responded to the object's
//! credential: subscription, group and name are not secret, and an object that merely names them must not block others.

use aks::provision::plan::Phase;
use aks::spec::identity;

use super::error::StepError;
use super::task::Task;
use crate::service::core::Core;
use crate::service::credentials::AzureAccess;
use crate::store::{self, UniqueConstraint};

/// Claims the AKS cluster for the object, after Azure was read with its credential. False if the object was changed concurrently;
/// the next step then decides.
///
/// # Errors
/// Another object has the AKS cluster; nothing may be changed in Azure.
pub(super) async fn claim_identity(
    core: &Core,
    task: &mut Task,
    access: &AzureAccess,
) -> Result<bool, StepError> {
    let Some(identity) = unclaimed_identity(task, access) else { return Ok(true) };
    let (id, fence, version) = (&task.row.id, task.work.fence, task.row.version);
    match store::clusters::claim_identity(&core.store, id, fence, version, &identity).await {
        Err(store::Error::Duplicate { what: UniqueConstraint::ClusterIdentity }) => Err(taken_error(task)),
        Err(error) => Err(error.into()),
        Ok(false) => Ok(false),
        Ok(true) => {
            task.row.version += 1;
            (task.row.aks_identity, task.row.identity_proved) = (Some(identity), true);
            Ok(true)
        }
    }
}

/// Fails as [`claim_identity`] would, without saving anything.
pub(super) async fn check_identity(core: &Core, task: &Task, access: &AzureAccess) -> Result<(), StepError> {
    let Some(identity) = unclaimed_identity(task, access) else { return Ok(()) };
    match store::clusters::by_aks_identity(&core.store, &identity).await? {
        Some(other) if other.id != task.row.id => Err(taken_error(task)),
        _ => Ok(()),
    }
}

/// The identity that the object must still claim; `None` if there is none.
fn unclaimed_identity(task: &Task, access: &AzureAccess) -> Option<String> {
    if task.phase == Phase::Removing {
        return None;
    }
    let identity = identity(Some(&access.credential().subscription_id), task.aks())?;
    let is_held = task.row.identity_proved && task.row.aks_identity.as_ref() == Some(&identity);
    (!is_held).then_some(identity)
}

fn taken_error(task: &Task) -> StepError {
    let region = task.aks().resource_location.as_deref().unwrap_or_default();
    StepError::cluster_taken(task.group_and_name().1, region.to_owned())
}
