//! The claim of a cluster object on its AKS cluster. It is written once Azure has answered with the object's credential: a
//! subscription, a resource group and a name are no secrets, and an object that only names them must not block anybody.

use aks::provision::plan::Phase;
use aks::spec::identity;
use aks::spec::rules::Violation;

use super::Parts;
use super::task::Task;
use super::trouble::Trouble;
use crate::service::credentials::AzureAccess;
use crate::store::{self, Unique};

/// Claims the AKS cluster for the object, after Azure was looked at with its credential. False when the object was changed
/// meanwhile: then the next step decides.
///
/// # Errors
/// [`Trouble`] when another object has the AKS cluster: nothing may be done in Azure then.
pub(super) async fn claim(parts: &Parts, task: &mut Task, access: &AzureAccess) -> Result<bool, Trouble> {
    let Some(identity) = wanted(task, access) else { return Ok(true) };
    let (id, fence, version) = (&task.row.id, task.work.fence, task.row.version);
    match store::clusters::claim_identity(&parts.store, id, fence, version, &identity).await {
        Err(store::Error::Duplicate { what: Unique::ClusterIdentity }) => Err(taken(task)),
        Err(error) => Err(error.into()),
        Ok(false) => Ok(false),
        Ok(true) => {
            task.row.version += 1;
            (task.row.aks_identity, task.row.identity_proved) = (Some(identity), true);
            Ok(true)
        }
    }
}

/// As [`claim`], without writing anything.
pub(super) async fn check(parts: &Parts, task: &Task, access: &AzureAccess) -> Result<(), Trouble> {
    let Some(identity) = wanted(task, access) else { return Ok(()) };
    match store::clusters::by_aks_identity(&parts.store, &identity).await? {
        Some(other) if other.id != task.row.id => Err(taken(task)),
        _ => Ok(()),
    }
}

/// The identity that is still to be claimed.
fn wanted(task: &Task, access: &AzureAccess) -> Option<String> {
    if task.phase == Phase::Removing {
        return None;
    }
    let identity = identity(Some(&access.credential().subscription_id), task.aks())?;
    let is_held = task.row.identity_proved && task.row.aks_identity.as_ref() == Some(&identity);
    (!is_held).then_some(identity)
}

fn taken(task: &Task) -> Trouble {
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    let violation = Violation::Taken {
        name: text(task.aks().cluster_name.as_ref()),
        region: text(task.aks().resource_location.as_ref()),
    };
    Trouble::new(format!(
        "{violation}: another cluster object manages it; delete this object, which changes nothing in Azure, or the other one"
    ))
}
