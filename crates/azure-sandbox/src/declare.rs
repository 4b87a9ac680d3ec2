//! What the Kubernetes APIs are told of the clusters: read from the JSON that Resource Manager answers with.

use std::collections::BTreeMap;

use serde_json::Value;

use super::holdings::{Holdings, Resource, find};
use super::json;
use super::kube::{Declared, DeclaredPool, Entra, Kubes};

/// The application that stands for the API servers of all AKS clusters with Entra users.
const SERVER_APP: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

/// Tells of every cluster that is there.
pub(crate) fn declare_all(kubes: &Kubes, holdings: &Holdings, tenant: &str) {
    for cluster in &holdings.clusters {
        declare(kubes, cluster, tenant);
    }
}

/// Tells of one cluster, by group and name.
pub(crate) fn declare_one(kubes: &Kubes, holdings: &Holdings, tenant: &str, group: &str, name: &str) {
    if let Some(cluster) = find(&holdings.clusters, group, name) {
        declare(kubes, cluster, tenant);
    }
}

fn declare(kubes: &Kubes, cluster: &Resource, tenant: &str) {
    // One that was never finished has no API; `identityProfile` comes with the end of the creation.
    let made = cluster.body.pointer("/properties/identityProfile").is_some();
    if let Some(declared) = made.then(|| declared(cluster, tenant)).flatten() {
        kubes.declare(declared);
    }
}

fn declared(cluster: &Resource, tenant: &str) -> Option<Declared> {
    let body = &cluster.body;
    let entra = json::is_true(body, "/properties/aadProfile/managed").then(|| Entra {
        server_app_id: SERVER_APP.to_owned(),
        tenant_id: json::text(body, "/properties/aadProfile/tenantID").unwrap_or(tenant).to_owned(),
    });
    Some(Declared {
        fqdn: cluster.api_host()?,
        kubernetes_version: json::text(body, "/properties/currentKubernetesVersion")?.to_owned(),
        pools: cluster.pools().iter().filter_map(pool).collect(),
        local_accounts: !json::is_true(body, "/properties/disableLocalAccounts"),
        entra,
        private: json::is_true(body, "/properties/apiServerAccessProfile/enablePrivateCluster"),
        running: json::text(body, "/properties/powerState/code") != Some("Stopped"),
    })
}

fn pool(profile: &Value) -> Option<DeclaredPool> {
    // Nodes come when the pool is there.
    let making = json::text(profile, "/provisioningState") == Some("Creating");
    let text = |pointer| json::text(profile, pointer).map(str::to_owned);
    let labels = profile.pointer("/nodeLabels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    let labels: BTreeMap<String, String> =
        labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    Some(DeclaredPool {
        name: text("/name")?,
        count: if making { 0 } else { json::number(profile, "/count").unwrap_or_default() },
        vm_size: text("/vmSize")?,
        mode: text("/mode").unwrap_or_else(|| "User".to_owned()),
        version: text("/currentOrchestratorVersion")?,
        labels,
        taints: json::texts(profile, "/nodeTaints"),
        zones: json::texts(profile, "/availabilityZones"),
        os_disk_gb: json::number(profile, "/osDiskSizeGB").unwrap_or(128),
    })
}
