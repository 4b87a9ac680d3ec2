//! What must hold when a cluster is saved, as far as it can be known from the request and the stored object
//! alone (contract, section 15). Rules that need other objects are in `service::clusters`, rules that need
//! Azure are not part of saving.

use super::merge::FIXED;
use super::{AKS_CONFIG, AksConfig, NodePool, Object};

/// A broken rule. The words are Rancher's where Rancher has the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Rule 3.
    #[error("aks operator is inactive")]
    Inactive,
    /// Rule 5.
    #[error(
        "Network Policy support must be enabled on AKS cluster in order to enable Project Network Isolation"
    )]
    NoNetworkPolicy,
    /// Rule 6.
    #[error("cluster kubernetes version cannot be empty string")]
    EmptyVersion,
    /// Rule 7.
    #[error("must have at least one nodepool")]
    NoNodePool,
    /// Rule 8.
    #[error("nodePool Name cannot be an empty string")]
    UnnamedNodePool,
    /// Rule 9.
    #[error("windows node pools are not supported")]
    WindowsNodePool,
    /// Rule 11.
    #[error("cluster already exists for AKS cluster [{name}] in region [{region}]")]
    Taken {
        /// The name in AKS.
        name: String,
        /// The region as the request has it.
        region: String,
    },
    /// Rule 12.
    #[error("must provide region")]
    NoRegion,
    /// Rancher drops such a change without a word.
    #[error("aksConfig.{key} is {stored:?} and cannot be changed: make another cluster instead")]
    Fixed {
        /// The key in `aksConfig`.
        key: &'static str,
        /// The stored value.
        stored: String,
    },
}

/// Rules 5 to 9, for what the request says. `upstream_policy` is the network policy that Azure reported.
///
/// # Errors
/// The first broken rule.
pub fn check_request(
    request: &AksConfig,
    isolation: bool,
    upstream_policy: Option<&str>,
    creating: bool,
) -> Result<(), Violation> {
    let policy = request.network_policy.as_deref().or(upstream_policy).filter(|policy| !policy.is_empty());
    if isolation && policy.is_some_and(|policy| !matches!(policy, "azure" | "calico")) {
        return Err(Violation::NoNetworkPolicy);
    }
    if creating && request.imported == Some(true) {
        return Ok(());
    }
    if request.kubernetes_version.as_deref() == Some("") {
        return Err(Violation::EmptyVersion);
    }
    match &request.node_pools {
        Some(pools) if pools.is_empty() => Err(Violation::NoNodePool),
        Some(pools) => pools.iter().try_for_each(check_pool),
        None => Ok(()),
    }
}

fn check_pool(pool: &NodePool) -> Result<(), Violation> {
    if pool.name.as_deref().unwrap_or_default().is_empty() {
        return Err(Violation::UnnamedNodePool);
    }
    if pool.os_type.as_deref() == Some("Windows") {
        return Err(Violation::WindowsNodePool);
    }
    Ok(())
}

/// Rule 12, for a new cluster.
pub fn check_region(request: &AksConfig) -> Result<(), Violation> {
    if request.resource_location.as_deref().unwrap_or_default().is_empty() {
        return Err(Violation::NoRegion);
    }
    Ok(())
}

/// That the change leaves alone what tells one AKS cluster from another. Letter case is no change, and `""`
/// means "not said"; a value that is not there yet may be given.
pub fn check_fixed(stored: &Object, change: &Object) -> Result<(), Violation> {
    let config = |object: &'_ Object| object.get(AKS_CONFIG).and_then(|config| config.as_object()).cloned();
    let (Some(stored), Some(change)) = (config(stored), config(change)) else { return Ok(()) };
    let text = |object: &Object, key: &str| match object.get(key) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Bool(truth)) => truth.to_string(),
        _ => String::new(),
    };
    for key in FIXED {
        // Only the absence of `imported` says something: the cluster was made here.
        let unset = if key == "imported" { "false" } else { "" };
        let was =
            Some(text(&stored, key)).filter(|text| !text.is_empty()).unwrap_or_else(|| unset.to_owned());
        let is = text(&change, key);
        if !is.is_empty() && !was.is_empty() && !is.eq_ignore_ascii_case(&was) {
            return Err(Violation::Fixed { key, stored: was });
        }
    }
    Ok(())
}

/// Whether the setting `kev2-operators` leaves AKS on: JSON such as `[{"name":"aks","active":false}]`. Anything
/// that does not say otherwise means on.
pub fn is_operator_active(setting: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Operator {
        name: String,
        active: bool,
    }
    serde_json::from_str::<Vec<Operator>>(setting)
        .map_or(true, |operators| operators.iter().all(|operator| operator.name != "aks" || operator.active))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(value: Value) -> AksConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_request_breaks_rules_in_ranchers_order() {
        use Violation as V;
        for (request, isolation, upstream, creating, expected) in [
            (json!({}), true, None, true, None),
            (json!({"networkPolicy": "calico"}), true, None, true, None),
            (json!({"networkPolicy": "cilium"}), false, None, true, None),
            (json!({"networkPolicy": "cilium"}), true, None, true, Some(V::NoNetworkPolicy)),
            (
                json!({"networkPolicy": "cilium", "imported": true}),
                true,
                None,
                true,
                Some(V::NoNetworkPolicy),
            ),
            (json!({}), true, Some("none"), false, Some(V::NoNetworkPolicy)),
            (json!({}), true, Some("azure"), false, None),
            (json!({"networkPolicy": "azure"}), true, Some("none"), false, None),
            (
                json!({"networkPolicy": "none", "kubernetesVersion": ""}),
                true,
                None,
                true,
                Some(V::NoNetworkPolicy),
            ),
            (json!({"kubernetesVersion": "", "nodePools": []}), false, None, true, Some(V::EmptyVersion)),
            (json!({"nodePools": []}), false, None, true, Some(V::NoNodePool)),
            (json!({"nodePools": []}), false, None, false, Some(V::NoNodePool)),
            (json!({"nodePools": [{"osType": "Windows"}]}), false, None, true, Some(V::UnnamedNodePool)),
            (
                json!({"nodePools": [{"name": "a"}, {"name": ""}]}),
                false,
                None,
                true,
                Some(V::UnnamedNodePool),
            ),
            (
                json!({"nodePools": [{"name": "a", "osType": "Windows"}]}),
                false,
                None,
                true,
                Some(V::WindowsNodePool),
            ),
            (json!({"nodePools": [{"name": "a", "osType": "windows"}]}), false, None, true, None),
            (json!({"imported": true, "kubernetesVersion": "", "nodePools": []}), false, None, true, None),
            (json!({"imported": true, "kubernetesVersion": ""}), false, None, false, Some(V::EmptyVersion)),
        ] {
            let outcome = check_request(&config(request.clone()), isolation, upstream, creating);
            assert_eq!(outcome.err(), expected, "{request} {upstream:?}");
        }
    }

    #[test]
    fn a_new_cluster_needs_a_region() {
        for request in [json!({}), json!({"resourceLocation": ""}), json!({"resourceLocation": null})] {
            assert_eq!(check_region(&config(request)), Err(Violation::NoRegion));
        }
        assert_eq!(check_region(&config(json!({"resourceLocation": "eastus"}))), Ok(()));
    }

    #[test]
    fn what_makes_the_cluster_this_one_cannot_change() {
        let check = |stored: Value, change: Value| {
            let wrap = |config| json!({"aksConfig": config}).as_object().unwrap().clone();
            check_fixed(&wrap(stored), &wrap(change))
        };
        let stored = json!({"clusterName": "One", "resourceGroup": "g"});
        for fine in [
            json!({}),
            json!({"clusterName": "one", "resourceGroup": ""}),
            json!({"resourceLocation": "eastus"}),
            json!({"imported": false}),
        ] {
            assert_eq!(check(stored.clone(), fine.clone()), Ok(()), "{fine}");
        }
        let fixed = |key, stored: &str| Err(Violation::Fixed { key, stored: stored.to_owned() });
        assert_eq!(check(stored.clone(), json!({"clusterName": "two"})), fixed("clusterName", "One"));
        assert_eq!(check(stored, json!({"imported": true})), fixed("imported", "false"));
        assert_eq!(check(json!({"imported": true}), json!({"imported": false})), fixed("imported", "true"));
    }

    #[test]
    fn only_a_list_that_says_so_switches_aks_off() {
        for (setting, active) in [
            ("", true),
            ("{}", true),
            ("rubbish", true),
            (r#"[{"name":"aks","active":true}]"#, true),
            (r#"[{"name":"eks","active":false}]"#, true),
            (r#"[{"name":"aks","active":false}]"#, false),
        ] {
            assert_eq!(is_operator_active(setting), active, "{setting}");
        }
    }
}
