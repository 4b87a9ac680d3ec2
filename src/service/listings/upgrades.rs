//! `aksUpgrades` as a use case: the region's list of versions, and the cluster's own upgrade profile where that list does not
//! say enough. Which versions count is decided in `aks::upgrades`.

use std::sync::Arc;

use aks::upgrades::{self, Start, Upgrade};
use azure::resources::managed_clusters;
use bytes::Bytes;

use super::cache::Loaded;
use super::kind::Kind;
use super::{Ask, Listed, Listings, listed, no_versions};
use crate::service::{Error, Result};

const UPGRADE_PROFILE: &str = "failed to get upgrade profile: ";

/// The cluster whose upgrades are asked for.
#[derive(Clone, Copy, Debug)]
pub struct UpgradeQuestion<'a> {
    /// Where the list of versions is taken from.
    pub region: &'a str,
    /// The version of the cluster as its specification has it.
    pub current: &'a str,
    /// The version that it runs.
    pub running: &'a str,
    /// Whether it has long-term support.
    pub long_term: bool,
    /// The resource group of the cluster.
    pub group: &'a str,
    /// The name of the cluster in AKS.
    pub name: &'a str,
}

/// The possible targets of an upgrade, with the version that they start from.
#[derive(Debug)]
pub struct Upgrades {
    /// As the cluster's specification names it.
    pub current: String,
    /// Ascending.
    pub targets: Vec<Upgrade>,
}

impl Listings {
    /// Where a cluster can be upgraded to; `versions` shapes the list of the region that is cached beside.
    pub async fn upgrades(
        &self,
        ask: Ask<'_>,
        question: &UpgradeQuestion<'_>,
        versions: fn(&[String]) -> Bytes,
        render: fn(&Upgrades) -> Bytes,
    ) -> Result<Listed> {
        let found = self.kubernetes_versions(ask, question.region, versions).await?;
        let Loaded::Versions { list, .. } = &*found.loaded else { return Err(no_versions()) };
        if list.is_empty() {
            return Err(no_versions());
        }
        let UpgradeQuestion { running, long_term, .. } = *question;
        let own = if upgrades::needs_own_targets(running, long_term, list) {
            self.own_targets(ask, question).await
        } else {
            Vec::new()
        };
        let targets = upgrades::targets(&Start { running, long_term, own: &own }, list);
        Ok(listed(render(&Upgrades { current: question.current.to_owned(), targets }), &found))
    }

    /// What the upgrade profile of the cluster names. The list of the region is worth showing without it.
    async fn own_targets(&self, ask: Ask<'_>, question: &UpgradeQuestion<'_>) -> Vec<String> {
        let (group, name) = (question.group.to_owned(), question.name.to_owned());
        if group.is_empty() || name.is_empty() {
            return Vec::new();
        }
        let scope: Arc<str> = format!("{group}/{name}").to_lowercase().into();
        let found = self.find(ask, Kind::UpgradeProfile, scope, UPGRADE_PROFILE, move |arm| async move {
            Ok(Loaded::UpgradeTargets(managed_clusters::upgrade_targets(&arm, &group, &name).await?))
        });
        match found.await {
            Ok(found) => match &*found.loaded {
                Loaded::UpgradeTargets(targets) => targets.clone(),
                _ => Vec::new(),
            },
            Err(error) => {
                log(&error);
                Vec::new()
            }
        }
    }
}

fn log(error: &Error) {
    tracing::info!(error = error as &dyn std::error::Error, "cannot read the upgrade profile of a cluster");
}
