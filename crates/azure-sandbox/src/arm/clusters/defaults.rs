//! The defaults that Azure sets in clusters and pools.

use serde_json::{Value, json};
use uuid::Uuid;

use super::lookup::new_etag;
use super::network;
use crate::arm::call::Call;
use crate::json::{self, remove, set, set_default};
use crate::versions::KubernetesVersions;

/// The properties of a cluster on which the defaults of its pools depend.
#[derive(Clone, Copy)]
pub(crate) struct PoolDefaults<'a> {
    versions: &'a KubernetesVersions,
    /// The requested version of the cluster, which may be a minor version.
    requested_version: &'a str,
    /// The full version of the cluster.
    full_version: &'a str,
    /// Whether pods have addresses of the subnet.
    is_flat: bool,
    /// Whether pods have addresses of an overlay network.
    is_overlay: bool,
}

impl<'a> PoolDefaults<'a> {
    pub(crate) fn new(
        versions: &'a KubernetesVersions,
        requested_version: &'a str,
        full_version: &'a str,
        cluster: &Value,
    ) -> Self {
        let (is_flat, is_overlay) = (network::is_flat(cluster), network::is_overlay(cluster));
        Self { versions, requested_version, full_version, is_flat, is_overlay }
    }
}

/// Removes the read-only properties of a pool.
pub(crate) fn remove_read_only(pool: &mut Value) {
    for key in ["provisioningState", "currentOrchestratorVersion", "nodeImageVersion", "powerState", "eTag"] {
        remove(pool, &format!("/{key}"));
    }
}

/// Removes the read-only properties and the secrets of a cluster and its pools.
pub(crate) fn remove_read_only_and_secrets(body: &mut Value) {
    for path in [
        "/id",
        "/name",
        "/type",
        "/eTag",
        "/kind",
        "/systemData",
        "/identity/principalId",
        "/identity/tenantId",
        "/properties/provisioningState",
        "/properties/powerState",
        "/properties/currentKubernetesVersion",
        "/properties/fqdn",
        "/properties/privateFQDN",
        "/properties/azurePortalFQDN",
        "/properties/maxAgentPools",
        "/properties/identityProfile",
        "/properties/privateLinkResources",
        "/properties/resourceUID",
        "/properties/servicePrincipalProfile/secret",
        "/properties/windowsProfile/adminPassword",
        "/properties/aadProfile/serverAppSecret",
    ] {
        remove(body, path);
    }
    let pools = body.pointer_mut("/properties/agentPoolProfiles").and_then(Value::as_array_mut);
    pools.into_iter().flatten().for_each(remove_read_only);
}

/// Applies the defaults of a new pool.
pub(crate) fn apply_to_pool(pool: &mut Value, cluster: PoolDefaults<'_>) {
    if json::number(pool, "/osDiskSizeGB").unwrap_or_default() == 0 {
        set(pool, "/osDiskSizeGB", 128);
    }
    if json::text(pool, "/orchestratorVersion").is_none() {
        set(pool, "/orchestratorVersion", cluster.requested_version);
    }
    let max_pods = match (cluster.is_flat, cluster.is_overlay) {
        (true, _) => 30,
        (_, true) => 250,
        _ => 110,
    };
    for (key, value) in [
        ("count", json!(1)),
        ("maxPods", json!(max_pods)),
        ("mode", json!("User")),
        ("type", json!("VirtualMachineScaleSets")),
        ("osType", json!("Linux")),
        ("osSKU", json!("Ubuntu")),
        ("osDiskType", json!("Managed")),
        ("kubeletDiskType", json!("OS")),
        ("scaleDownMode", json!("Delete")),
        ("enableAutoScaling", json!(false)),
        ("enableNodePublicIP", json!(false)),
        ("enableEncryptionAtHost", json!(false)),
        ("enableUltraSSD", json!(false)),
        ("enableFIPS", json!(false)),
        ("upgradeSettings", json!({})),
    ] {
        set_default(pool, &format!("/{key}"), value);
    }
    set_default(pool, "/upgradeSettings/maxSurge", "10%");
    set_default(pool, "/upgradeSettings/maxUnavailable", "0");
    set(pool, "/nodeImageVersion", "AKSUbuntu-2204gen2containerd-202610.19.0");
    set(pool, "/powerState", json!({"code": "Running"}));
    set(pool, "/provisioningState", "Creating");
    let requested = json::text(pool, "/orchestratorVersion").unwrap_or_default();
    let full_version =
        cluster.versions.resolve_within(requested, cluster.full_version).unwrap_or(requested).to_owned();
    set(pool, "/currentOrchestratorVersion", full_version);
    normalize_pool(pool);
}

/// Removes empty lists, and clamps the count to the limits of the autoscaler.
pub(crate) fn normalize_pool(pool: &mut Value) {
    for key in ["/nodeTaints", "/availabilityZones"] {
        if pool.pointer(key).is_some_and(|list| list.as_array().is_none_or(Vec::is_empty)) {
            remove(pool, key);
        }
    }
    if json::is_true(pool, "/enableAutoScaling") {
        let count = json::number(pool, "/count").unwrap_or_default();
        let (min, max) = (json::number(pool, "/minCount"), json::number(pool, "/maxCount"));
        if let (Some(min), Some(max)) = (min, max)
            && min <= max
        {
            set(pool, "/count", count.clamp(min, max));
        }
    }
}

/// Applies the defaults of a new cluster, except those of its pools.
pub(crate) fn apply_to_cluster(call: &Call<'_>, body: &mut Value, group: &str, name: &str, location: &str) {
    let id = format!(
        "/subscriptions/{}/resourcegroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}",
        call.subscription
    );
    for (path, value) in [
        ("/id", json!(id)),
        ("/name", json!(name)),
        ("/type", json!("Microsoft.ContainerService/ManagedClusters")),
        ("/kind", json!("Base")),
        ("/location", json!(location)),
        ("/eTag", json!(new_etag())),
        ("/properties/provisioningState", json!("Creating")),
        ("/properties/powerState", json!({"code": "Running"})),
        ("/properties/maxAgentPools", json!(100)),
        ("/properties/resourceUID", json!(Uuid::new_v4().simple().to_string().get(..24))),
    ] {
        set(body, path, value);
    }
    let node_group: String = format!("MC_{group}_{name}_{location}").chars().take(80).collect();
    for (path, value) in [
        ("/sku", json!({"name": "Base", "tier": "Free"})),
        ("/properties/nodeResourceGroup", json!(node_group)),
        ("/properties/enableRBAC", json!(true)),
        ("/properties/supportPlan", json!("KubernetesOfficial")),
        ("/properties/disableLocalAccounts", json!(false)),
        ("/properties/autoUpgradeProfile", json!({"nodeOSUpgradeChannel": "NodeImage"})),
        ("/properties/securityProfile", json!({})),
        ("/properties/oidcIssuerProfile", json!({"enabled": false})),
        ("/properties/workloadAutoScalerProfile", json!({})),
        ("/properties/metricsProfile", json!({"costAnalysis": {"enabled": false}})),
        ("/properties/bootstrapProfile", json!({"artifactSource": "Direct"})),
        (
            "/properties/storageProfile",
            json!({
                "diskCSIDriver": {"enabled": true},
                "fileCSIDriver": {"enabled": true},
                "snapshotController": {"enabled": true},
            }),
        ),
    ] {
        set_default(body, path, value);
    }
    apply_to_network(body);
    set_hosts(call, body, location);
    set_identity(call, body);
    apply_to_addons(body);
    if json::is_true(body, "/properties/aadProfile/managed") {
        set_default(body, "/properties/aadProfile/tenantID", call.tenant);
        for key in ["adminGroupObjectIDs", "adminUsers"] {
            set_default(body, &format!("/properties/aadProfile/{key}"), Value::Null);
        }
        set_default(body, "/properties/aadProfile/enableAzureRBAC", false);
    }
}

fn apply_to_network(body: &mut Value) {
    let pointer = |key: &str| format!("/properties/networkProfile/{key}");
    set_default(body, &pointer("networkPlugin"), "kubenet");
    set_default(body, &pointer("networkPolicy"), "none");
    set_default(body, &pointer("serviceCidr"), "10.0.0.0/16");
    set_default(body, &pointer("dnsServiceIP"), "10.0.0.10");
    set_default(body, &pointer("outboundType"), "loadBalancer");
    set_default(body, &pointer("loadBalancerSku"), "standard");
    set_default(body, &pointer("ipFamilies"), json!(["IPv4"]));
    let setting = |body: &Value, key: &str| json::text(body, &pointer(key)).unwrap_or_default().to_owned();
    let sku = setting(body, "loadBalancerSku").to_ascii_lowercase();
    let is_overlay = setting(body, "networkPluginMode").eq_ignore_ascii_case("overlay");
    if setting(body, "networkPlugin") == "kubenet" || is_overlay {
        set_default(body, &pointer("podCidr"), "10.244.0.0/16");
        let pod_cidr = setting(body, "podCidr");
        set_default(body, &pointer("podCidrs"), json!([pod_cidr]));
    }
    if setting(body, "networkPlugin") == "azure" {
        set_default(body, &pointer("networkDataplane"), "azure");
    }
    let service_cidr = setting(body, "serviceCidr");
    set_default(body, &pointer("serviceCidrs"), json!([service_cidr]));
    if sku == "standard" && setting(body, "outboundType") == "loadBalancer" {
        set_default(body, &pointer("loadBalancerProfile/managedOutboundIPs"), json!({"count": 1}));
        set_default(body, &pointer("loadBalancerProfile/backendPoolType"), "nodeIPConfiguration");
    }
    set(body, &pointer("loadBalancerSku"), sku);
}

/// Sets the host names of the API server.
fn set_hosts(call: &Call<'_>, body: &mut Value, location: &str) {
    let Some(prefix) = json::text(body, "/properties/dnsPrefix").map(str::to_ascii_lowercase) else { return };
    let random = Uuid::new_v4().simple().to_string();
    let host = format!("{prefix}-{}", random.get(..8).unwrap_or_default());
    let suffix = call.request.cloud.names().cluster_suffix;
    let pointer = |key: &str| format!("/properties/apiServerAccessProfile/{key}");
    let is_private = json::is_true(body, &pointer("enablePrivateCluster"));
    if is_private {
        set_default(body, &pointer("privateDNSZone"), "system");
        set_default(body, &pointer("enablePrivateClusterPublicFQDN"), true);
        let zone = json::text(body, &pointer("privateDNSZone")).unwrap_or_default().to_owned();
        if zone.eq_ignore_ascii_case("system") {
            set(body, &pointer("privateDNSZone"), "system");
            let private_host = format!("{host}.{}.privatelink.{location}.{suffix}", Uuid::new_v4());
            set(body, "/properties/privateFQDN", private_host);
        } else if let Some((_, zone)) = zone.rsplit_once('/') {
            set(body, "/properties/privateFQDN", format!("{host}.{zone}"));
        }
    }
    if !is_private || json::is_true(body, &pointer("enablePrivateClusterPublicFQDN")) {
        set(body, "/properties/fqdn", format!("{host}.hcp.{location}.{suffix}"));
    }
    set(body, "/properties/azurePortalFQDN", format!("{host}.portal.hcp.{location}.{suffix}"));
}

fn set_identity(call: &Call<'_>, body: &mut Value) {
    match json::text(body, "/identity/type") {
        Some("SystemAssigned") => {
            set(body, "/identity/principalId", Uuid::new_v4().to_string());
            set(body, "/identity/tenantId", call.tenant);
            set(body, "/properties/servicePrincipalProfile", json!({"clientId": "msi"}));
        }
        Some("UserAssigned") => {
            let ids = body.pointer_mut("/identity/userAssignedIdentities").and_then(Value::as_object_mut);
            for identity in ids.into_iter().flat_map(|ids| ids.values_mut()) {
                set_default(identity, "/clientId", Uuid::new_v4().to_string());
                set_default(identity, "/principalId", Uuid::new_v4().to_string());
            }
            set(body, "/properties/servicePrincipalProfile", json!({"clientId": "msi"}));
        }
        _ => {}
    }
}

/// Applies the defaults of add-ons.
pub(crate) fn apply_to_addons(body: &mut Value) {
    let addons = body.pointer_mut("/properties/addonProfiles").and_then(Value::as_object_mut);
    for addon in addons.into_iter().flat_map(|addons| addons.values_mut()) {
        set_default(addon, "/config", Value::Null);
    }
}
