//! The accounts that are there from the start.
//!
//! `docs/sandbox.md` has a table of them.
//!
//! Any other secret of a known application: 401 AADSTS7000215; an unknown application: 400 AADSTS700016; an
//! unknown tenant: 400 AADSTS90002. In the group of [`Seed`] are three clusters that are ready: the one to import,
//! with local accounts; `entra-only`, without them and with Entra users; `private-one`, whose API has no address
//! that is reachable from outside. The ids and secrets are in `data/accounts.json`, and `GET /accounts` of
//! the control API lists them. Nothing here is a secret of anybody.

use serde::{Deserialize, Serialize};

use crate::clouds::Cloud;

/// The account `ready` and what it finds, for those who write examples or tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seed {
    /// The application's id.
    pub client_id: &'static str,
    /// A secret that logs in.
    pub client_secret: &'static str,
    /// Another secret that logs in.
    pub client_secret_2: &'static str,
    /// The subscription.
    pub subscription_id: &'static str,
    /// The tenant of the subscription.
    pub tenant_id: &'static str,
    /// A region with zones and every VM size, where most of the resources are.
    pub location: &'static str,
    /// A Kubernetes version of that region.
    pub kubernetes_version: &'static str,
    /// A version that the first can be upgraded to.
    pub kubernetes_version_2: &'static str,
    /// The group of the resources below.
    pub resource_group: &'static str,
    /// A virtual network in that group and region.
    pub virtual_network: &'static str,
    /// A subnet of that network.
    pub subnet: &'static str,
    /// The name for a Log Analytics workspace in that group.
    pub log_workspace: &'static str,
    /// A cluster that exists in that group, with local accounts and a public API.
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

/// An application with its secrets, and the subscription that it is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// What this module's table calls it.
    pub name: String,
    /// What happens with it.
    pub note: String,
    /// The cloud.
    pub environment: Cloud,
    /// The directory of the application and of the subscription.
    pub tenant_id: String,
    /// The subscription; several accounts may share one.
    pub subscription_id: String,
    /// The application's id.
    pub client_id: String,
    /// Secrets that log in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Secrets that did once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expired_secrets: Vec<String>,
    /// The application was switched off.
    #[serde(default)]
    pub app_disabled: bool,
    /// Entra refuses for this many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_retry_after: Option<u32>,
    /// What the application may do in the subscription.
    #[serde(default)]
    pub role: Role,
    /// Whether the subscription has resources.
    #[serde(default = "yes")]
    pub resources: bool,
    /// `state` of the subscription.
    #[serde(default = "enabled")]
    pub subscription_state: String,
    /// Resource providers that the subscription has not registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unregistered: Vec<String>,
    /// A policy of the subscription refuses clusters without this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_tag: Option<String>,
    /// The regional quota for virtual processors, when it is not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Resource Manager refuses for this many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

/// A role on a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nothing is allowed.
    None,
    /// Reading is.
    Reader,
    /// Everything is but reading admin kubeconfigs, and nothing is inside clusters that Entra guards.
    Operator,
    /// Everything is.
    #[default]
    Contributor,
}

fn yes() -> bool {
    true
}

fn enabled() -> String {
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
    fn the_seed_is_the_ready_account_and_its_second_version_an_upgrade_of_the_first() {
        let catalog = Catalog::load().unwrap();
        let ready = catalog.accounts.iter().find(|account| account.name == "ready").unwrap();
        assert_eq!(ready.client_id, SEED.client_id);
        assert_eq!(ready.secrets, [SEED.client_secret, SEED.client_secret_2]);
        assert_eq!((&*ready.tenant_id, &*ready.subscription_id), (SEED.tenant_id, SEED.subscription_id));
        let reachable = catalog.versions.public.iter().any(|minor| {
            let minor: serde_json::Value = serde_json::from_str(minor.get()).unwrap();
            let upgrades = &minor["patchVersions"][SEED.kubernetes_version]["upgrades"];
            upgrades.as_array().is_some_and(|all| all.contains(&SEED.kubernetes_version_2.into()))
        });
        assert!(reachable);
    }
}
