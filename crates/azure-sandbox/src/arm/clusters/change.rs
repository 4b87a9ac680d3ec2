//! Immutable properties, and the upgrade paths of Kubernetes versions.

use http::StatusCode;
use serde_json::Value;

use crate::arm::error::ArmError;
use crate::json;
use crate::versions::{KubernetesVersions, is_compatible, parse_version};

/// Immutable properties of a cluster, below `properties`.
const IMMUTABLE: [&str; 11] = [
    "dnsPrefix",
    "nodeResourceGroup",
    "enableRBAC",
    "linuxProfile/adminUsername",
    "apiServerAccessProfile/enablePrivateCluster",
    "apiServerAccessProfile/privateDNSZone",
    "networkProfile/networkPlugin",
    "networkProfile/podCidr",
    "networkProfile/serviceCidr",
    "networkProfile/dnsServiceIP",
    "networkProfile/loadBalancerSku",
];

/// Immutable properties of a pool.
const IMMUTABLE_IN_POOLS: [&str; 8] = [
    "vmSize",
    "osDiskSizeGB",
    "osDiskType",
    "osType",
    "maxPods",
    "vnetSubnetID",
    "availabilityZones",
    "type",
];

/// Whether an update with the value `new` changes a property; unset and null values leave it unchanged.
fn differs(old: Option<&Value>, new: Option<&Value>) -> bool {
    let Some(new) = new.filter(|new| !new.is_null()) else { return false };
    let null = Value::Null;
    match (old.unwrap_or(&null), new) {
        (Value::String(old), Value::String(new)) => !old.eq_ignore_ascii_case(new),
        (Value::Array(old), Value::Array(new)) => {
            let sorted = |list: &[Value]| {
                let mut items: Vec<String> = list.iter().map(Value::to_string).collect();
                items.sort();
                items
            };
            sorted(old) != sorted(new)
        }
        // Empty lists, false and empty strings are the same as unset.
        (Value::Null, Value::Array(new)) => !new.is_empty(),
        (Value::Null, Value::Bool(new)) => *new,
        (Value::Null, Value::String(new)) => !new.is_empty(),
        (old, new) => old != new,
    }
}

fn not_allowed(target: &str) -> ArmError {
    let text = format!("Changing property '{target}' is not allowed.");
    ArmError::bad_property("PropertyChangeNotAllowed", text, target)
}

/// Checks the immutable properties of a cluster.
pub(crate) fn check_cluster(old: &Value, new: &Value) -> Result<(), ArmError> {
    for path in IMMUTABLE {
        let pointer = format!("/properties/{path}");
        if differs(old.pointer(&pointer), new.pointer(&pointer)) {
            return Err(not_allowed(&path.replace('/', ".")));
        }
    }
    for pool in json::list(new, "/properties/agentPoolProfiles") {
        let old_pools = json::list(old, "/properties/agentPoolProfiles");
        if let Some(old_pool) = old_pools.iter().find(|old_pool| old_pool.get("name") == pool.get("name")) {
            check_pool(old_pool, pool, "agentPoolProfile")?;
        }
    }
    Ok(())
}

/// Checks the immutable properties of a pool; `prefix` precedes the name of the property in errors.
pub(crate) fn check_pool(old: &Value, new: &Value, prefix: &str) -> Result<(), ArmError> {
    for key in IMMUTABLE_IN_POOLS {
        let is_default = key == "osDiskSizeGB" && json::number(new, "/osDiskSizeGB") == Some(0);
        if !is_default && differs(old.get(key), new.get(key)) {
            return Err(not_allowed(&format!("{prefix}.{key}")));
        }
    }
    Ok(())
}

/// The full version of a new cluster; `requested` may be a minor version or empty.
pub(crate) fn initial_version(
    versions: &KubernetesVersions,
    requested: &str,
    long_term: bool,
) -> Result<String, ArmError> {
    let version =
        versions.resolve(requested).filter(|version| long_term || !versions.is_long_term_only(version));
    version.map(str::to_owned).ok_or_else(|| not_supported("K8sVersionNotSupported", requested))
}

fn not_supported(code: &'static str, version: &str) -> ArmError {
    let text = format!(
        "Version {version} is not supported in this region. Please use [az aks get-versions] command to get the \
         supported version list in this region. For more information, please check https://aka.ms/supported-version-list"
    );
    ArmError::from_aks(StatusCode::BAD_REQUEST, code, text)
}

/// The version to which a cluster of the version `current` is upgraded; `None` if it already has the requested version.
pub(crate) fn upgrade_of_cluster(
    versions: &KubernetesVersions,
    current: &str,
    requested: &str,
    long_term: bool,
) -> Result<Option<String>, ArmError> {
    let upgrades = versions.upgrades_for(current, long_term);
    if requested.is_empty() || requested == current || current.starts_with(&format!("{requested}.")) {
        return Ok(None);
    }
    // A minor version selects the newest of its patches in `upgrades`.
    let is_requested =
        |version: &&&String| version.as_str() == requested || version.starts_with(&format!("{requested}."));
    let reachable = upgrades.iter().filter(is_requested);
    if let Some(target) = reachable.max_by_key(|version| parse_version(version)) {
        return Ok(Some((*target).clone()));
    }
    if versions.resolve(requested).is_none_or(|version| !long_term && versions.is_long_term_only(version)) {
        return Err(not_supported("K8sVersionNotSupported", requested));
    }
    let text = format!(
        "Upgrading Kubernetes version {current} to {requested} is not allowed. Available upgrades: [{}]. Please see \
         https://aka.ms/aks-supported-k8s-ver for version details.",
        upgrades.iter().map(|version| version.as_str()).collect::<Vec<_>>().join(" ")
    );
    Err(ArmError::from_aks(StatusCode::BAD_REQUEST, "OperationNotAllowed", text))
}

/// The new version of a pool in a cluster of the version `cluster_version`; `current` is `None` for a new pool. Returns
/// `None` if the pool already has the requested version.
pub(crate) fn upgrade_of_pool(
    versions: &KubernetesVersions,
    current: Option<&str>,
    requested: &str,
    cluster_version: &str,
    long_term: bool,
) -> Result<Option<String>, ArmError> {
    if let Some(current) = current
        && (requested.is_empty() || requested == current || current.starts_with(&format!("{requested}.")))
    {
        return Ok(None);
    }
    let resolved =
        versions.resolve_within(requested, cluster_version).or_else(|| versions.resolve(requested));
    let is_allowed =
        |version: &&str| long_term || *version == cluster_version || !versions.is_long_term_only(version);
    let Some(target) = resolved.filter(is_allowed) else {
        // The version of the cluster may no longer be offered.
        return if requested == cluster_version {
            Ok(Some(requested.to_owned()))
        } else {
            Err(not_supported("AgentPoolK8sVersionNotSupported", requested))
        };
    };
    if !is_compatible(target, cluster_version) {
        let minor = |version: &str| parse_version(version).map_or(0, |(_, minor, _)| minor);
        let why = if parse_version(target) > parse_version(cluster_version) {
            format!(
                "Minor version of node pool version {} is bigger than control plane version {}",
                minor(target),
                minor(cluster_version)
            )
        } else {
            "The node pool is more than three minor versions behind".to_owned()
        };
        let text = format!(
            "Node pool version {target} and control plane version {cluster_version} are incompatible. {why}. For more \
             information, please check https://aka.ms/version-skew-policy"
        );
        return Err(ArmError::from_aks(StatusCode::BAD_REQUEST, "NodePoolMcVersionIncompatible", text));
    }
    match current {
        Some(current) if parse_version(target) < parse_version(current) => {
            let text =
                format!("Downgrading the node pool from version {current} to {target} is not allowed.");
            Err(ArmError::from_aks(StatusCode::BAD_REQUEST, "OperationNotAllowed", text))
        }
        Some(current) if target == current => Ok(None),
        _ => Ok(Some(target.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clouds::Cloud;
    use crate::data::Catalog;

    #[test]
    fn immutable_properties_may_be_omitted_but_not_changed() {
        let old = json!({"properties": {
            "dnsPrefix": "a", "networkProfile": {"loadBalancerSku": "standard", "serviceCidr": "10.0.0.0/16"},
            "agentPoolProfiles": [{"name": "p", "vmSize": "Standard_D2s_v3", "availabilityZones": ["1", "2"], "osDiskSizeGB": 128}],
        }});
        for (new, expected) in [
            (json!({}), None),
            (old.clone(), None),
            (json!({"properties": {"networkProfile": {"loadBalancerSku": "Standard"}}}), None),
            (json!({"properties": {"apiServerAccessProfile": {"enablePrivateCluster": false}}}), None),
            (json!({"properties": {"dnsPrefix": "b"}}), Some("'dnsPrefix'")),
            (
                json!({"properties": {"networkProfile": {"serviceCidr": "10.9.0.0/16"}}}),
                Some("'networkProfile.serviceCidr'"),
            ),
            (
                json!({"properties": {"apiServerAccessProfile": {"enablePrivateCluster": true}}}),
                Some("enablePrivateCluster"),
            ),
            (
                json!({"properties": {"agentPoolProfiles": [{"name": "p", "availabilityZones": ["2", "1"], "osDiskSizeGB": 0}]}}),
                None,
            ),
            (
                json!({"properties": {"agentPoolProfiles": [{"name": "p", "vmSize": "Standard_D4s_v3"}]}}),
                Some("'agentPoolProfile.vmSize'"),
            ),
            (
                json!({"properties": {"agentPoolProfiles": [{"name": "new", "vmSize": "Standard_D4s_v3"}]}}),
                None,
            ),
        ] {
            let error = check_cluster(&old, &new).err().map(|error| format!("{error:?}"));
            let text = error.as_deref().unwrap_or_default();
            assert!(error.is_some() == expected.is_some(), "{new} {text}");
            assert!(text.contains(expected.unwrap_or_default()), "{new} {text}");
        }
    }

    #[test]
    fn clusters_follow_upgrade_paths() {
        let catalog = Catalog::load().unwrap();
        let versions = catalog.kubernetes_versions(Cloud::Public);
        let upgrade = |current: &str, requested: &str| {
            upgrade_of_cluster(versions, current, requested, false).map_err(|error| format!("{error:?}"))
        };
        assert_eq!(upgrade("1.32.7", "1.32.7"), Ok(None));
        assert_eq!(upgrade("1.32.7", "1.32"), Ok(None));
        assert_eq!(upgrade("1.32.7", ""), Ok(None));
        assert_eq!(upgrade("1.32.7", "1.33.3"), Ok(Some("1.33.3".to_owned())));
        assert_eq!(upgrade("1.32.7", "1.33"), Ok(Some("1.33.6".to_owned())));
        assert!(upgrade("1.32.7", "1.34.1").unwrap_err().contains("Available upgrades: [1.32.10"));
        assert!(
            upgrade("1.32.7", "1.32.1").unwrap_err().contains("OperationNotAllowed"),
            "downgrades are rejected"
        );
        assert!(upgrade("1.32.7", "1.99").unwrap_err().contains("K8sVersionNotSupported"));
        assert!(initial_version(versions, "1.99", false).is_err());
        assert!(
            initial_version(versions, "1.31.11", false).is_err()
                && initial_version(versions, "1.31.11", true).is_ok()
        );
        assert!(
            upgrade("1.30.14", "1.31.11").unwrap_err().contains("K8sVersionNotSupported"),
            "only with long-term support"
        );
        let target = upgrade_of_cluster(versions, "1.30.14", "1.31.11", true);
        assert_eq!(target.unwrap().as_deref(), Some("1.31.11"));
        assert_eq!(initial_version(versions, "1.33.3", false).unwrap(), "1.33.3");
    }

    #[test]
    fn cluster_version_limits_pool_versions() {
        let catalog = Catalog::load().unwrap();
        let versions = catalog.kubernetes_versions(Cloud::Public);
        let upgrade = |current: Option<&str>, requested: &str, cluster: &str| {
            upgrade_of_pool(versions, current, requested, cluster, false)
                .map_err(|error| format!("{error:?}"))
        };
        assert_eq!(upgrade(Some("1.32.7"), "1.32.7", "1.33.3"), Ok(None));
        assert_eq!(upgrade(Some("1.32.7"), "1.33.3", "1.33.3"), Ok(Some("1.33.3".to_owned())));
        assert_eq!(upgrade(None, "1.32", "1.32.7"), Ok(Some("1.32.7".to_owned())));
        assert_eq!(
            upgrade(Some("9.9.9"), "9.9.8", "9.9.8"),
            Ok(Some("9.9.8".to_owned())),
            "no longer offered"
        );
        assert!(upgrade(None, "1.33.3", "1.32.7").unwrap_err().contains("NodePoolMcVersionIncompatible"));
        assert!(upgrade(Some("1.33.3"), "1.32.7", "1.33.3").unwrap_err().contains("Downgrading"));
        for unsupported in ["1.99.1", "1.31.11"] {
            let error = upgrade(None, unsupported, "1.33.3").unwrap_err();
            assert!(error.contains("AgentPoolK8sVersionNotSupported"), "{error}");
        }
    }
}
