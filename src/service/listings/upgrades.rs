//! `aksUpgrades` as a use case: reads the versions of the region, and the cluster's upgrade profile if those do not suffice.
//! `aks::upgrades` selects the versions.

use std::sync::Arc;

use aks::upgrades::{self, Upgrade, UpgradeStart};
use azure::resources::managed_clusters;
use bytes::Bytes;

use super::kind::Kind;
use super::loaded::Loaded;
use super::{ListingRequest, ListingResponse, Listings};
use crate::service::Result;

const PROFILE_ERROR_PREFIX: &str = "failed to get upgrade profile: ";

/// The cluster to list the upgrades of.
#[derive(Clone, Copy, Debug)]
pub struct UpgradableCluster<'a> {
    /// The region of the cluster.
    pub region: &'a str,
    /// The version in the cluster's specification.
    pub current: &'a str,
    /// The running version.
    pub running: &'a str,
    /// Whether the cluster has long-term support.
    pub long_term: bool,
    /// The resource group of the cluster.
    pub group: &'a str,
    /// The name of the cluster in AKS.
    pub name: &'a str,
}

/// The versions to which a cluster can be upgraded, with its current version.
#[derive(Debug)]
pub struct Upgrades {
    /// The version in the cluster's specification.
    pub current: String,
    /// Ascending.
    pub targets: Vec<Upgrade>,
}

impl Listings {
    /// The versions to which a cluster can be upgraded. `render_versions` formats the versions of the region, which are cached too.
    pub async fn upgrades(
        &self,
        request: ListingRequest<'_>,
        cluster: &UpgradableCluster<'_>,
        render_versions: fn(&[String]) -> Bytes,
        render: fn(&Upgrades) -> Bytes,
    ) -> Result<ListingResponse> {
        let versions = self.non_empty_versions(request, cluster.region, render_versions).await?;
        let UpgradableCluster { running, long_term, .. } = *cluster;
        let own_targets = if upgrades::needs_own_targets(running, long_term, &versions) {
            self.own_targets(request, cluster).await
        } else {
            Vec::new()
        };
        let targets =
            upgrades::targets(&UpgradeStart { running, long_term, own_targets: &own_targets }, &versions);
        Ok(versions.response(render(&Upgrades { current: cluster.current.to_owned(), targets })))
    }

    /// The versions in the cluster's upgrade profile. Empty if the profile cannot be read; the response then has only the
    /// versions of the region.
    async fn own_targets(&self, request: ListingRequest<'_>, cluster: &UpgradableCluster<'_>) -> Vec<String> {
        let (group, name) = (cluster.group.to_owned(), cluster.name.to_owned());
        if group.is_empty() || name.is_empty() {
            return Vec::new();
        }
        let scope: Arc<str> = format!("{group}/{name}").to_lowercase().into();
        let lookup =
            self.find(request, Kind::UpgradeProfile, scope, PROFILE_ERROR_PREFIX, move |arm| async move {
                Ok(Loaded::UpgradeTargets(managed_clusters::upgrade_targets(&arm, &group, &name).await?))
            });
        match lookup.await {
            Ok(lookup) => match &*lookup.loaded {
                Loaded::UpgradeTargets(targets) => targets.clone(),
                _ => Vec::new(),
            },
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::info!(error, "cannot read the upgrade profile of a cluster");
                Vec::new()
            }
        }
    }
}
