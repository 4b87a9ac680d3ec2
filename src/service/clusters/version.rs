//! Combines the specification of a cluster with its observed state: the running Kubernetes version, from which upgrades start,
//! and Azure's values for keys that the user left unset.

use aks::spec::merge::{self, Mode};
use aks::spec::{AKS_CONFIG, Object, defaults};
use aks::versions;

use super::{Cluster, Clusters};
use crate::service::error::Rejection;
use crate::service::{Caller, Error, Result};

/// The version and location of a cluster, for `aksUpgrades`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterVersion {
    /// The version of the control plane in the specification, else in the observed state.
    pub stated: Option<String>,
    /// The running version; see [`Cluster::running_version`].
    pub running: Option<String>,
    /// Whether the cluster has long-term support.
    pub long_term: bool,
    /// The region: Azure's, else that of the specification.
    pub region: Option<String>,
    /// The region that the specification names.
    pub stated_region: Option<String>,
    /// The resource group.
    pub group: String,
    /// The name in AKS.
    pub name: String,
}

impl Cluster {
    /// `aksConfig` for responses: the user's values, and Azure's values for keys that the user left unset.
    pub fn response_config(&self) -> Option<Object> {
        let mut config = self.spec.body().get(AKS_CONFIG)?.as_object()?.clone();
        if let Some(observed) = self.observed_state() {
            defaults::add_observed_values(&mut config, &observed);
        }
        Some(config)
    }

    /// The object after a change of its body. Unset keys stay unset if the change only repeats their observed values.
    pub(super) fn with_change(&self, mut change: Object, mode: Mode) -> Object {
        if let Some(observed) = self.observed_state() {
            defaults::remove_repeated_values(self.spec.body(), &mut change, &observed);
        }
        merge::apply_change(self.spec.body(), change, mode)
    }

    /// The observed values for unset keys. An imported cluster has none: only the keys that its user sets are managed.
    fn observed_state(&self) -> Option<defaults::ObservedState<'_>> {
        let upstream =
            self.status.upstream_spec.as_ref().filter(|_| self.spec.aks().imported != Some(true))?;
        let node_resource_group = self.status.details.node_resource_group.as_ref();
        Some(defaults::ObservedState { upstream, node_resource_group })
    }

    /// The running version, if it is known; upgrades start from it.
    pub fn running_version(&self) -> Option<String> {
        let git_version =
            self.status.version.as_ref().and_then(|version| version.get("gitVersion")?.as_str());
        let upstream = self.status.upstream_spec.as_ref();
        let configs = [upstream, Some(self.spec.aks())];
        versions::running(
            self.status.details.running_version.as_deref(),
            git_version,
            configs.map(|config| config?.kubernetes_version.as_deref()),
        )
    }
}

impl Clusters {
    /// The version and region of a cluster, for aksUpgrades.
    ///
    /// # Errors
    /// [`Error::Rejected`] `invalid cluster id` when the caller sees no such cluster.
    pub async fn kubernetes_version(&self, caller: &Caller, id: &str) -> Result<ClusterVersion> {
        let cluster = match self.get(caller, id).await {
            Err(Error::NotFound { .. }) => return Err(Rejection::UnknownCluster.into()),
            result => result?,
        };
        let spec = cluster.spec.aks();
        let upstream = cluster.status.upstream_spec.as_ref();
        let stated = spec.kubernetes_version.as_deref().or_else(|| upstream?.kubernetes_version.as_deref());
        let details = &cluster.status.details;
        let stated_region = spec.resource_location.as_deref();
        let region = details.region.as_deref().or(stated_region);
        Ok(ClusterVersion {
            stated: stated.map(str::to_owned),
            running: cluster.running_version(),
            long_term: details.long_term,
            region: region.map(str::to_owned),
            stated_region: stated_region.map(str::to_owned),
            group: spec.resource_group.clone().unwrap_or_default(),
            name: spec.cluster_name.clone().unwrap_or_default(),
        })
    }
}
