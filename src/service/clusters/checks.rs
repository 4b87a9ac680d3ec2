//! Validation on save that needs more than the request: settings, credentials and other clusters
//! (`docs/contract/clusters.md#validation-on-save`). The other rules are in `aks::spec::rules`.

use aks::spec::rules::{self, Violation};
use aks::spec::{self, AksConfig};
use aks::status::State;

use super::review::Admitted;
use super::{Cluster, Clusters, Result};
use crate::service::credentials::from_store_error;
use crate::service::{Caller, Error, Invalid};
use crate::store::{self, ClusterRow, NameScope, UniqueConstraint};

/// The field name in Rancher's errors about a cluster's name.
const NAME_FIELD: &str = "Cluster name";

impl Clusters {
    /// Rejects clusters while the setting `kev2-operators` disables AKS.
    pub(super) async fn check_operator(&self) -> Result<()> {
        let setting = self.inner.settings.value("kev2-operators").await;
        if rules::is_operator_active(&setting) { Ok(()) } else { Err(violation_error(Violation::Inactive)) }
    }

    /// The credential that the configuration names, which the caller must be allowed to use.
    pub(super) async fn credential(&self, caller: &Caller, aks: &AksConfig) -> Result<UsedCredential> {
        let Some(id) = aks.azure_credential_secret.as_deref() else {
            return Ok(UsedCredential::default());
        };
        match self.inner.credentials.row(caller, id).await {
            Ok(row) => Ok(UsedCredential { id: Some(row.id), subscription_id: row.subscription_id }),
            Err(Error::NotFound { .. }) => Err(Error::NoCredential),
            Err(error) => Err(error),
        }
    }

    /// The credential that the cluster uses, which the caller need not see.
    pub(super) async fn current_credential(&self, id: Option<String>) -> Result<UsedCredential> {
        let Some(id) = id else { return Ok(UsedCredential::default()) };
        let row = store::credentials::get(&self.inner.store, &id).await?;
        Ok(UsedCredential { id: Some(id), subscription_id: row.and_then(|row| row.subscription_id) })
    }

    /// Checks that no other object manages the AKS cluster. An object manages an AKS cluster once its credential has been
    /// verified in Azure.
    pub(super) async fn check_aks_identity(
        &self,
        aks_identity: Option<&str>,
        own_id: &str,
        aks: &AksConfig,
    ) -> Result<()> {
        let Some(aks_identity) = aks_identity else { return Ok(()) };
        match store::clusters::by_aks_identity(&self.inner.store, aks_identity).await? {
            Some(other) if other.id != own_id => Err(violation_error(taken_violation(aks))),
            _ => Ok(()),
        }
    }

    /// Checks that the name is set, and that no other cluster visible to the caller has it. `own_id` of a new cluster is empty.
    pub(super) async fn check_name(&self, caller: &Caller, name: &str, own_id: &str) -> Result<()> {
        if name.is_empty() {
            let message = match own_id {
                "" => "set name; a cluster requires one",
                _ => "set name; PUT requires it, too",
            };
            return Err(Invalid::field("MissingRequired", NAME_FIELD, message).into());
        }
        let is_taken =
            store::clusters::is_name_taken(&self.inner.store, name, own_id, name_scope(caller)).await;
        if is_taken.map_err(from_store_error)? { Err(name_taken()) } else { Ok(()) }
    }
}

/// The scope in which the names of a caller's clusters are unique.
pub(super) fn name_scope(caller: &Caller) -> NameScope<'_> {
    if caller.admin { NameScope::All } else { NameScope::VisibleTo(&caller.user_id) }
}

/// Whether the names differ, ignoring case.
pub(super) fn is_renamed(old: &str, new: &str) -> bool {
    old.to_lowercase() != new.to_lowercase()
}

/// Rejects changes of a cluster that is being removed.
pub(super) fn check_changeable(stored: &Cluster) -> Result<()> {
    if stored.state != State::Removing {
        return Ok(());
    }
    let message = "state is removing, and the cluster can no longer be changed: wait until it is deleted, then create \
                   another one";
    Err(Invalid::field("InvalidState", "state", message).into())
}

fn name_taken() -> Error {
    let message = "a cluster with this name already exists; choose another name";
    Invalid::field("NotUnique", NAME_FIELD, message).into()
}

/// Rejects a credential for another subscription while the cluster exists in Azure: the cluster would not be found in that
/// subscription, and would seem to be deleted.
pub(super) fn check_subscription(row: &ClusterRow, aks_identity: Option<&str>) -> Result<()> {
    let exists = row.work.claimed || row.work.activated_ms.is_some();
    match (row.aks_identity.as_deref(), aks_identity) {
        (Some(old), Some(new)) if exists && old != new => {
            let message = "azureCredentialSecret is for a subscription other than the cluster's: use a cloud credential of \
                           the cluster's subscription";
            Err(Invalid::field("InvalidOption", "aksConfig.azureCredentialSecret", message).into())
        }
        _ => Ok(()),
    }
}

/// The part of a credential that concerns the cluster.
#[derive(Default)]
pub(super) struct UsedCredential {
    /// The ID without namespace.
    pub(super) id: Option<String>,
    pub(super) subscription_id: Option<String>,
}

impl UsedCredential {
    /// Whether the review has verified this credential in Azure, so that it may reserve an AKS cluster.
    pub(super) fn is_verified_by(&self, admitted: &Admitted) -> bool {
        let subscription_id = self.subscription_id.as_deref();
        subscription_id
            .zip(admitted.verified_subscription.as_deref())
            .is_some_and(|(id, verified)| id.eq_ignore_ascii_case(verified))
    }

    /// Sets the AKS identity of a changed cluster, or unsets it until the worker claims the AKS cluster again.
    pub(super) fn set_aks_identity(
        &self,
        row: &mut ClusterRow,
        aks_identity: Option<String>,
        admitted: &Admitted,
    ) {
        if self.is_verified_by(admitted) {
            (row.identity_proved, row.aks_identity) = (aks_identity.is_some(), aks_identity);
        } else if self.id.is_some() && row.aks_identity != aks_identity {
            (row.aks_identity, row.identity_proved) = (None, false);
        }
    }

    /// The identity of the AKS cluster that `aks` describes, in the subscription of this credential.
    pub(super) fn aks_identity(&self, aks: &AksConfig) -> Option<String> {
        spec::identity(self.subscription_id.as_deref(), aks)
    }
}

fn taken_violation(aks: &AksConfig) -> Violation {
    Violation::Taken {
        name: aks.cluster_name.clone().unwrap_or_default(),
        region: aks.resource_location.clone().unwrap_or_default(),
    }
}

pub(super) fn violation_error(violation: Violation) -> Error {
    let message = format!("{violation}: {}", violation.remedy());
    Invalid::field("InvalidBodyContent", violation.field(), message).into()
}

/// Converts the error of a write; a concurrent change may have made it invalid after the checks.
pub(super) fn write_error(error: store::Error, aks: &AksConfig) -> Error {
    match error {
        store::Error::Duplicate { what: UniqueConstraint::ClusterIdentity } => {
            violation_error(taken_violation(aks))
        }
        store::Error::Duplicate { what: UniqueConstraint::ClusterName } => name_taken(),
        store::Error::Dangling { .. } => Error::NoCredential,
        error => from_store_error(error),
    }
}
