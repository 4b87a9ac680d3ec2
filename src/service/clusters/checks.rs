//! Validation on save that needs more than the request: settings, credentials and other clusters
//! (`docs/contract/clusters.md#validation-on-save`). The other rules are in `aks::spec::rules`.

use aks::spec::rules::{self, Violation};
use aks::spec::{self, AksConfig};

use super::review::Admitted;
use super::{Clusters, Result};
use crate::service::credentials::from_store;
use crate::service::{Caller, Error, Invalid};
use crate::store::{self, ClusterRow, NameScope, Unique};

/// The field that Rancher names for a cluster's name.
const NAME: &str = "Cluster name";

impl Clusters {
    /// Rejects clusters while the setting `kev2-operators` switches AKS off.
    pub(super) async fn check_operator(&self) -> Result<()> {
        let setting = self.inner.settings.value("kev2-operators").await;
        if rules::is_operator_active(&setting) { Ok(()) } else { Err(broken(Violation::Inactive)) }
    }

    /// The credential that the configuration names; the caller has to be allowed to use it.
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

    /// The credential that the cluster uses already, whoever may see it.
    pub(super) async fn known_credential(&self, id: Option<String>) -> Result<UsedCredential> {
        let Some(id) = id else { return Ok(UsedCredential::default()) };
        let row = store::credentials::get(&self.inner.store, &id).await?;
        Ok(UsedCredential { id: Some(id), subscription_id: row.and_then(|row| row.subscription_id) })
    }

    /// That no other object has a claim on the AKS cluster. An object claims one when Azure has answered with its credential.
    pub(super) async fn check_identity(
        &self,
        identity: Option<&str>,
        own_id: &str,
        aks: &AksConfig,
    ) -> Result<()> {
        let Some(identity) = identity else { return Ok(()) };
        match store::clusters::by_aks_identity(&self.inner.store, identity).await? {
            Some(other) if other.id != own_id => Err(broken(taken(aks))),
            _ => Ok(()),
        }
    }

    /// Requires a name that no other cluster visible to the caller has. A new cluster has no `own_id`.
    pub(super) async fn check_name(&self, caller: &Caller, name: &str, own_id: &str) -> Result<()> {
        if name.is_empty() {
            let message = match own_id {
                "" => "send name: a cluster needs one",
                _ => "send name: a PUT names it too",
            };
            return Err(Invalid::field("MissingRequired", NAME, message).into());
        }
        let taken =
            store::clusters::is_name_taken(&self.inner.store, name, own_id, names_seen_by(caller)).await;
        if taken.map_err(from_store)? { Err(name_taken()) } else { Ok(()) }
    }
}

/// The clusters whose names a caller's cluster must not have.
pub(super) fn names_seen_by(caller: &Caller) -> NameScope<'_> {
    if caller.admin { NameScope::All } else { NameScope::VisibleTo(&caller.user_id) }
}

/// Whether a cluster gets another name; letter case is no difference.
pub(super) fn is_renamed(old: &str, new: &str) -> bool {
    old.to_lowercase() != new.to_lowercase()
}

fn name_taken() -> Error {
    let message = "a cluster with this name exists already: choose another name";
    Invalid::field("NotUnique", NAME, message).into()
}

/// What was made in Azure, or taken over there, stays where it is: in another subscription nothing of it would be found,
/// which must not be taken for its end.
pub(super) fn check_place(row: &ClusterRow, identity: Option<&str>) -> Result<()> {
    let exists = row.work.claimed || row.work.activated_ms.is_some();
    match (row.aks_identity.as_deref(), identity) {
        (Some(was), Some(is)) if exists && was != is => {
            let message = "azureCredentialSecret is for another subscription than the one that the cluster is in: use a cloud \
                           credential of that subscription";
            Err(Invalid::field("InvalidOption", "aksConfig.azureCredentialSecret", message).into())
        }
        _ => Ok(()),
    }
}

/// The credential of a cluster, as far as the cluster is concerned.
#[derive(Default)]
pub(super) struct UsedCredential {
    /// Without namespace.
    pub(super) id: Option<String>,
    pub(super) subscription_id: Option<String>,
}

impl UsedCredential {
    /// Whether Azure answered with this credential during the review, so that it may claim an AKS cluster.
    pub(super) fn is_answered(&self, admitted: &Admitted) -> bool {
        let subscription_id = self.subscription_id.as_deref();
        subscription_id
            .zip(admitted.verified_subscription.as_deref())
            .is_some_and(|(is, answered)| is.eq_ignore_ascii_case(answered))
    }

    pub(super) fn identity(&self, aks: &AksConfig) -> Option<String> {
        spec::identity(self.subscription_id.as_deref(), aks)
    }
}

fn taken(aks: &AksConfig) -> Violation {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Violation::Taken { name: text(&aks.cluster_name), region: text(&aks.resource_location) }
}

pub(super) fn broken(violation: Violation) -> Error {
    let message = format!("{violation}: {}", violation.remedy());
    Invalid::field("InvalidBodyContent", violation.field(), message).into()
}

/// What the database refuses although it was checked: somebody was faster.
pub(super) fn refused(error: store::Error, aks: &AksConfig) -> Error {
    match error {
        store::Error::Duplicate { what: Unique::ClusterIdentity } => broken(taken(aks)),
        store::Error::Duplicate { what: Unique::ClusterName } => name_taken(),
        store::Error::Dangling { .. } => Error::NoCredential,
        error => from_store(error),
    }
}
