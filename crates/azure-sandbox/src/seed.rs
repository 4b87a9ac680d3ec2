//! The accounts of the seed data.
//!
//! `docs/sandbox.md` has a table of them.
//!
//! The resource group of [`Seed`] has three clusters: the one to import, with local accounts; `entra-only`, with Entra and
//! without local accounts; and `private-one`, whose API is not reachable from outside. IDs and secrets are in
//! `data/accounts.json`; they give access to nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clouds::Cloud;
use crate::roles::Role;

/// The account `ready` and its resources, for examples and tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seed {
    /// The client ID of the application.
    pub client_id: &'static str,
    /// A valid secret.
    pub client_secret: &'static str,
    /// Another valid secret.
    pub client_secret_2: &'static str,
    /// The subscription.
    pub subscription_id: &'static str,
    /// The tenant of the subscription.
    pub tenant_id: &'static str,
    /// The region of most resources, with zones and every VM size.
    pub location: &'static str,
    /// A Kubernetes version of that region.
    pub kubernetes_version: &'static str,
    /// A version to which `kubernetes_version` can be upgraded.
    pub kubernetes_version_2: &'static str,
    /// The resource group of the resources below.
    pub resource_group: &'static str,
    /// A virtual network in that group and region.
    pub virtual_network: &'static str,
    /// A subnet of that network.
    pub subnet: &'static str,
    /// A name for a Log Analytics workspace in that group.
    pub log_workspace: &'static str,
    /// A cluster in that group, with local accounts and a public API.
    pub imported_cluster_name: &'static str,
}

pub(crate) const SEED: Seed = Seed {
    client_id: "c0ffee00-0001-4000-8000-000000000001",
    client_secret: "Sandbox~first~secret~of~the~ready~app~0001",
    client_secret_2: "Sandbox~second~secret~of~the~ready~app~001",
    subscription_id: "9d1f3c52-0d2b-4e6a-8c1e-000000000001",
    tenant_id: "5b0c1c9e-7a44-4d0e-9f3a-3f6a1d2e8c01",
    location: "eastus",
    kubernetes_version: "1.32.7",
    kubernetes_version_2: "1.33.3",
    resource_group: "rancher",
    virtual_network: "rancher-net",
    subnet: "nodes",
    log_workspace: "rancher-logs",
    imported_cluster_name: "made-elsewhere",
};

/// An application with its secrets and its subscription.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name in the documentation.
    pub name: String,
    /// Its behavior.
    pub note: String,
    /// The cloud.
    pub environment: Cloud,
    /// The tenant of the application and of the subscription.
    pub tenant_id: String,
    /// The subscription; several accounts may share one.
    pub subscription_id: String,
    /// The client ID of the application.
    pub client_id: String,
    /// Valid secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Expired secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expired_secrets: Vec<String>,
    /// Whether the application is disabled.
    #[serde(default)]
    pub app_disabled: bool,
    /// Entra throttles logins, with this `Retry-After` in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_retry_after: Option<u32>,
    /// The role of the application in the subscription.
    #[serde(default)]
    pub role: Role,
    /// Its roles in resource groups, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub group_roles: BTreeMap<String, Role>,
    /// Whether the subscription has resources.
    #[serde(default = "default_true")]
    pub resources: bool,
    /// `state` of the subscription.
    #[serde(default = "default_subscription_state")]
    pub subscription_state: String,
    /// Resource providers that the subscription has not registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unregistered: Vec<String>,
    /// The tag that a policy requires on clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_tag: Option<String>,
    /// The regional vCPU quota, if it is not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Resource Manager throttles requests, with this `Retry-After` in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

fn default_true() -> bool {
    true
}

fn default_subscription_state() -> String {
    "Enabled".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Catalog;

    #[test]
    fn documentation_lists_every_account() {
        let documentation = include_str!("../../../docs/sandbox.md");
        for account in Catalog::load().unwrap().accounts {
            assert!(documentation.contains(&format!("\n| `{}` |", account.name)), "{}", account.name);
        }
    }

    #[test]
    fn seed_matches_account_ready_and_allows_an_upgrade() {
        let catalog = Catalog::load().unwrap();
        let ready = catalog.accounts.iter().find(|account| account.name == "ready").unwrap();
        assert_eq!(ready.client_id, SEED.client_id);
        assert_eq!(ready.secrets, [SEED.client_secret, SEED.client_secret_2]);
        assert_eq!((&*ready.tenant_id, &*ready.subscription_id), (SEED.tenant_id, SEED.subscription_id));
        let has_upgrade = catalog.versions.public.iter().any(|minor| {
            let minor: serde_json::Value = serde_json::from_str(minor.get()).unwrap();
            let upgrades = &minor["patchVersions"][SEED.kubernetes_version]["upgrades"];
            upgrades.as_array().is_some_and(|versions| versions.contains(&SEED.kubernetes_version_2.into()))
        });
        assert!(has_upgrade);
    }
}
