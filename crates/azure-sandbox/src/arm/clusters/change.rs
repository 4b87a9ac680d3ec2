//! What cannot be changed, and which Kubernetes versions can follow which.

use http::StatusCode;
use serde_json::Value;

use crate::arm::refused::Refused;
use crate::json;
use crate::versions::{Offers, fit, parts};

/// Properties of a cluster that stay as they were made, below `properties`.
const FIXED: [&str; 11] = [
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

/// Properties of a pool that stay as they were made.
const FIXED_OF_POOLS: [&str; 8] = [
    "vmSize",
    "osDiskSizeGB",
    "osDiskType",
    "osType",
    "maxPods",
    "vnetSubnetID",
    "availabilityZones",
    "type",
];

fn differs(old: Option<&Value>, new: Option<&Value>) -> bool {
    let Some(new) = new.filter(|new| !new.is_null()) else { return false };
    let none = Value::Null;
    match (old.unwrap_or(&none), new) {
        (Value::String(old), Value::String(new)) => !old.eq_ignore_ascii_case(new),
        (Value::Array(old), Value::Array(new)) => {
            let sorted = |list: &[Value]| {
                let mut texts: Vec<String> = list.iter().map(Value::to_string).collect();
                texts.sort();
                texts
            };
            sorted(old) != sorted(new)
        }
        // Nothing where there was nothing.
        (Value::Null, Value::Array(new)) => !new.is_empty(),
        (Value::Null, Value::Bool(new)) => *new,
        (Value::Null, Value::String(new)) => !new.is_empty(),
        (old, new) => old != new,
    }
}

fn not_allowed(target: &str) -> Refused {
    let text = format!("Changing property '{target}' is not allowed.");
    Refused::property("PropertyChangeNotAllowed", text, target)
}

/// Whether a cluster may become what `new` says.
pub(crate) fn cluster(old: &Value, new: &Value) -> Result<(), Refused> {
    for path in FIXED {
        let at = format!("/properties/{path}");
        if differs(old.pointer(&at), new.pointer(&at)) {
            return Err(not_allowed(&path.replace('/', ".")));
        }
    }
    for pool in json::list(new, "/properties/agentPoolProfiles") {
        let known = json::list(old, "/properties/agentPoolProfiles");
        if let Some(known) = known.iter().find(|known| known.get("name") == pool.get("name")) {
            self::pool(known, pool, "agentPoolProfile")?;
        }
    }
    Ok(())
}

/// Whether a pool may become what `new` says; `prefix` is put before the name of the property.
pub(crate) fn pool(old: &Value, new: &Value, prefix: &str) -> Result<(), Refused> {
    for key in FIXED_OF_POOLS {
        let unset = key == "osDiskSizeGB" && json::number(new, "/osDiskSizeGB") == Some(0);
        if !unset && differs(old.get(key), new.get(key)) {
            return Err(not_allowed(&format!("{prefix}.{key}")));
        }
    }
    Ok(())
}

/// The version that a new cluster gets, in full.
pub(crate) fn version_of_new(offers: &Offers, asked: &str, long_term: bool) -> Result<String, Refused> {
    let found = offers.resolve(asked).filter(|version| long_term || !offers.is_long_term_only(version));
    found.map(str::to_owned).ok_or_else(|| not_supported("K8sVersionNotSupported", asked))
}

fn not_supported(code: &'static str, version: &str) -> Refused {
    let text = format!(
        "Version {version} is not supported in this region. Please use [az aks get-versions] command to get the \
         supported version list in this region. For more information, please check https://aka.ms/supported-version-list"
    );
    Refused::by_aks(StatusCode::BAD_REQUEST, code, text)
}

/// The version that a cluster of the version `current` is brought to; `None` when it has it already.
pub(crate) fn upgrade_of_cluster(
    offers: &Offers,
    current: &str,
    asked: &str,
    long_term: bool,
) -> Result<Option<String>, Refused> {
    let upgrades = offers.upgrades_for(current, long_term);
    if asked.is_empty() || asked == current || current.starts_with(&format!("{asked}.")) {
        return Ok(None);
    }
    // A minor version means the newest that can be reached.
    let means = |version: &&&String| version.as_str() == asked || version.starts_with(&format!("{asked}."));
    let reachable = upgrades.iter().filter(means);
    if let Some(target) = reachable.max_by_key(|version| parts(version)) {
        return Ok(Some((*target).clone()));
    }
    if offers.resolve(asked).is_none_or(|version| !long_term && offers.is_long_term_only(version)) {
        return Err(not_supported("K8sVersionNotSupported", asked));
    }
    let text = format!(
        "Upgrading Kubernetes version {current} to {asked} is not allowed. Available upgrades: [{}]. Please see \
         https://aka.ms/aks-supported-k8s-ver for version details.",
        upgrades.iter().map(|version| version.as_str()).collect::<Vec<_>>().join(" ")
    );
    Err(Refused::by_aks(StatusCode::BAD_REQUEST, "OperationNotAllowed", text))
}

/// The version that a pool, with nodes of the version `current` if it has some, is brought to in a cluster of the
/// version `cluster`.
pub(crate) fn upgrade_of_pool(
    offers: &Offers,
    current: Option<&str>,
    asked: &str,
    cluster: &str,
    long_term: bool,
) -> Result<Option<String>, Refused> {
    if let Some(current) = current
        && (asked.is_empty() || asked == current || current.starts_with(&format!("{asked}.")))
    {
        return Ok(None);
    }
    let resolved = offers.resolve_within(asked, cluster).or_else(|| offers.resolve(asked));
    let allowed = |version: &&str| long_term || *version == cluster || !offers.is_long_term_only(version);
    let Some(target) = resolved.filter(allowed) else {
        // The version of the cluster may be one that is no longer offered.
        return if asked == cluster {
            Ok(Some(asked.to_owned()))
        } else {
            Err(not_supported("AgentPoolK8sVersionNotSupported", asked))
        };
    };
    if !fit(target, cluster) {
        let minor = |version: &str| parts(version).map_or(0, |(_, minor, _)| minor);
        let why = if parts(target) > parts(cluster) {
            format!(
                "Minor version of node pool version {} is bigger than control plane version {}",
                minor(target),
                minor(cluster)
            )
        } else {
            "The node pool is more than three minor versions behind".to_owned()
        };
        let text = format!(
            "Node pool version {target} and control plane version {cluster} are incompatible. {why}. For more \
             information, please check https://aka.ms/version-skew-policy"
        );
        return Err(Refused::by_aks(StatusCode::BAD_REQUEST, "NodePoolMcVersionIncompatible", text));
    }
    match current {
        Some(current) if parts(target) < parts(current) => {
            let text =
                format!("Downgrading the node pool from version {current} to {target} is not allowed.");
            Err(Refused::by_aks(StatusCode::BAD_REQUEST, "OperationNotAllowed", text))
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
    fn a_fixed_property_may_be_repeated_or_left_out_but_not_changed() {
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
            let refused = cluster(&old, &new).err().map(|refused| format!("{refused:?}"));
            let text = refused.as_deref().unwrap_or_default();
            assert!(refused.is_some() == expected.is_some(), "{new} {text}");
            assert!(text.contains(expected.unwrap_or_default()), "{new} {text}");
        }
    }

    #[test]
    fn a_cluster_goes_where_azure_lets_it_go() {
        let catalog = Catalog::load().unwrap();
        let offers = catalog.offers(Cloud::Public);
        let to = |current: &str, asked: &str| {
            upgrade_of_cluster(offers, current, asked, false).map_err(|refused| format!("{refused:?}"))
        };
        assert_eq!(to("1.32.7", "1.32.7"), Ok(None));
        assert_eq!(to("1.32.7", "1.32"), Ok(None));
        assert_eq!(to("1.32.7", ""), Ok(None));
        assert_eq!(to("1.32.7", "1.33.3"), Ok(Some("1.33.3".to_owned())));
        assert_eq!(to("1.32.7", "1.33"), Ok(Some("1.33.6".to_owned())));
        assert!(to("1.32.7", "1.34.1").unwrap_err().contains("Available upgrades: [1.32.10"));
        assert!(to("1.32.7", "1.32.1").unwrap_err().contains("OperationNotAllowed"), "no way back");
        assert!(to("1.32.7", "1.99").unwrap_err().contains("K8sVersionNotSupported"));
        assert!(version_of_new(offers, "1.99", false).is_err());
        assert!(
            version_of_new(offers, "1.31.11", false).is_err()
                && version_of_new(offers, "1.31.11", true).is_ok()
        );
        assert!(
            to("1.30.14", "1.31.11").unwrap_err().contains("K8sVersionNotSupported"),
            "only with long-term support"
        );
        let target = upgrade_of_cluster(offers, "1.30.14", "1.31.11", true);
        assert_eq!(target.unwrap().as_deref(), Some("1.31.11"));
        assert_eq!(version_of_new(offers, "1.33.3", false).unwrap(), "1.33.3");
    }

    #[test]
    fn a_pool_follows_its_cluster() {
        let catalog = Catalog::load().unwrap();
        let offers = catalog.offers(Cloud::Public);
        let to = |current: Option<&str>, asked: &str, cluster: &str| {
            upgrade_of_pool(offers, current, asked, cluster, false).map_err(|refused| format!("{refused:?}"))
        };
        assert_eq!(to(Some("1.32.7"), "1.32.7", "1.33.3"), Ok(None));
        assert_eq!(to(Some("1.32.7"), "1.33.3", "1.33.3"), Ok(Some("1.33.3".to_owned())));
        assert_eq!(to(None, "1.32", "1.32.7"), Ok(Some("1.32.7".to_owned())));
        assert_eq!(to(Some("9.9.9"), "9.9.8", "9.9.8"), Ok(Some("9.9.8".to_owned())), "no longer offered");
        assert!(to(None, "1.33.3", "1.32.7").unwrap_err().contains("NodePoolMcVersionIncompatible"));
        assert!(to(Some("1.33.3"), "1.32.7", "1.33.3").unwrap_err().contains("Downgrading"));
        for unsupported in ["1.99.1", "1.31.11"] {
            let refused = to(None, unsupported, "1.33.3").unwrap_err();
            assert!(refused.contains("AgentPoolK8sVersionNotSupported"), "{refused}");
        }
    }
}
