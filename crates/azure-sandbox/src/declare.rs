//! Converts the clusters of Resource Manager to the declarations of their Kubernetes APIs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json;
use crate::kube::clusters::KubeClusters;
use crate::kube::declared::{Declared, DeclaredPool, Entra};
use crate::subscription::Resource;

/// The application of the API servers of all Entra-enabled AKS clusters, in every tenant and cloud.
pub(crate) const KUBERNETES_APP: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

/// Creates or updates the Kubernetes API of a cluster whose creation has succeeded: `identityProfile` is set at the end of the
/// creation.
pub(crate) fn declare(kube: &KubeClusters, cluster: &Resource, tenant: &str) {
    let is_created = cluster.body.pointer("/properties/identityProfile").is_some();
    if let Some(declared) = is_created.then(|| to_declared(cluster, tenant)).flatten() {
        kube.declare(declared);
    }
}

fn to_declared(cluster: &Resource, tenant: &str) -> Option<Declared> {
    let body = &cluster.body;
    let entra = json::is_true(body, "/properties/aadProfile/managed").then(|| Entra {
        server_app_id: KUBERNETES_APP.to_owned(),
        tenant_id: json::text(body, "/properties/aadProfile/tenantID").unwrap_or(tenant).to_owned(),
    });
    Some(Declared {
        fqdn: cluster.api_host()?,
        name: cluster.name.clone(),
        kubernetes_version: json::text(body, "/properties/currentKubernetesVersion")?.to_owned(),
        pools: cluster.pools().iter().filter_map(declared_pool).collect(),
        local_accounts: !json::is_true(body, "/properties/disableLocalAccounts"),
        entra,
        private: json::is_true(body, "/properties/apiServerAccessProfile/enablePrivateCluster"),
        running: json::text(body, "/properties/powerState/code") != Some("Stopped"),
    })
}

fn declared_pool(profile: &Value) -> Option<DeclaredPool> {
    // A pool has no nodes before its creation has succeeded.
    let is_creating = json::text(profile, "/provisioningState") == Some("Creating");
    let text = |pointer| json::text(profile, pointer).map(str::to_owned);
    let labels = profile.pointer("/nodeLabels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    let labels: BTreeMap<String, String> =
        labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    Some(DeclaredPool {
        name: text("/name")?,
        count: if is_creating { 0 } else { json::number(profile, "/count").unwrap_or_default() },
        vm_size: text("/vmSize")?,
        mode: text("/mode").unwrap_or_else(|| "User".to_owned()),
        version: text("/currentOrchestratorVersion")?,
        labels,
        taints: json::texts(profile, "/nodeTaints"),
        zones: json::texts(profile, "/availabilityZones"),
        os_disk_gb: json::number(profile, "/osDiskSizeGB").unwrap_or(128),
    })
}
