//! Validation of a cluster on save, as far as the request and the stored object alone decide it
//! (`docs/contract/clusters.md#validation-on-save`). Rules that need other objects are in `service::clusters`, rules
//! that need Azure are not part of saving.

use super::merge::FIXED;
use super::{AKS_CONFIG, AksConfig, NodePool, Object};
use crate::regions;

/// A broken rule. The words are Rancher's where Rancher has the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The setting `kev2-operators` switches AKS off.
    #[error("aks operator is inactive")]
    Inactive,
    /// Project network isolation without an engine that enforces policies.
    #[error(
        "Network Policy support must be enabled on AKS cluster in order to enable Project Network Isolation"
    )]
    NoNetworkPolicy,
    /// `kubernetesVersion` is `""`.
    #[error("cluster kubernetes version cannot be empty string")]
    EmptyVersion,
    /// `nodePools` is `[]`.
    #[error("must have at least one nodepool")]
    NoNodePool,
    /// A node pool without a name.
    #[error("nodePool Name cannot be an empty string")]
    UnnamedNodePool {
        /// The position in `nodePools`.
        index: usize,
    },
    /// A new Windows node pool.
    #[error("windows node pools are not supported")]
    WindowsNodePool {
        /// The position in `nodePools`.
        index: usize,
    },
    /// Another object stands for this AKS cluster.
    #[error("cluster already exists for AKS cluster [{name}] in region [{region}]")]
    Taken {
        /// The name in AKS.
        name: String,
        /// The region as the request has it.
        region: String,
    },
    /// A new cluster without a region.
    #[error("must provide region")]
    NoRegion,
    /// Rancher drops such a change without a word.
    #[error("aksConfig.{key} is {stored:?} and cannot be changed")]
    Fixed {
        /// The key in `aksConfig`.
        key: &'static str,
        /// The stored value.
        stored: String,
    },
}

impl Violation {
    /// The field that it is about.
    pub fn field(&self) -> String {
        let key = match self {
            Self::Inactive => return AKS_CONFIG.to_owned(),
            Self::NoNetworkPolicy => "networkPolicy".to_owned(),
            Self::EmptyVersion => "kubernetesVersion".to_owned(),
            Self::NoNodePool => "nodePools".to_owned(),
            Self::UnnamedNodePool { index } => format!("nodePools[{index}].name"),
            Self::WindowsNodePool { index } => format!("nodePools[{index}].osType"),
            Self::Taken { .. } => "clusterName".to_owned(),
            Self::NoRegion => "resourceLocation".to_owned(),
            Self::Fixed { key, .. } => (*key).to_owned(),
        };
        format!("{AKS_CONFIG}.{key}")
    }

    /// The way out.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Inactive => "an administrator can activate it in the setting kev2-operators",
            Self::NoNetworkPolicy => {
                "set networkPolicy to azure or calico when the cluster is made, or leave enableNetworkPolicy off"
            }
            Self::EmptyVersion => "set it to a version that aksVersions lists",
            Self::NoNodePool => "give at least one pool, with mode System",
            Self::UnnamedNodePool { .. } => "give the pool a name",
            Self::WindowsNodePool { .. } => {
                "set osType to Linux; Windows pools that are in Azure already stay as they are"
            }
            Self::Taken { .. } => "change the cluster object that is there, or use another clusterName",
            Self::NoRegion => "set resourceLocation to the name of a region, for example eastus",
            Self::Fixed { .. } => "make another cluster instead",
        }
    }
}

/// Whether a network policy of this name is enforced in the cluster: any engine that Azure has.
pub fn enforces_policies(policy: &str) -> bool {
    !policy.eq_ignore_ascii_case("none")
}

/// Checks network isolation, version and node pools of a request. `upstream` is what Azure reported: the policy that it
/// enforces, and pools that are not new.
///
/// # Errors
/// The first broken rule.
pub fn check_request(
    request: &AksConfig,
    isolation: bool,
    upstream: Option<&AksConfig>,
    creating: bool,
) -> Result<(), Violation> {
    let in_azure = upstream.and_then(|it| it.network_policy.as_deref());
    let policy = request.network_policy.as_deref().or(in_azure).filter(|policy| !policy.is_empty());
    if isolation && policy.is_some_and(|policy| !enforces_policies(policy)) {
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
        Some(pools) => {
            let known = upstream.and_then(|it| it.node_pools.as_deref()).unwrap_or_default();
            pools.iter().enumerate().try_for_each(|(index, pool)| check_pool(index, pool, known))
        }
        None => Ok(()),
    }
}

fn check_pool(index: usize, pool: &NodePool, known: &[NodePool]) -> Result<(), Violation> {
    if pool.name.as_deref().unwrap_or_default().is_empty() {
        return Err(Violation::UnnamedNodePool { index });
    }
    let is_windows = |pool: &NodePool| {
        pool.os_type.as_deref().is_some_and(|system| system.trim().eq_ignore_ascii_case("Windows"))
    };
    if is_windows(pool) && !known.iter().any(|known| known.name == pool.name && is_windows(known)) {
        return Err(Violation::WindowsNodePool { index });
    }
    Ok(())
}

/// Requires a region of a new cluster.
pub fn check_region(request: &AksConfig) -> Result<(), Violation> {
    if request.resource_location.as_deref().unwrap_or_default().is_empty() {
        return Err(Violation::NoRegion);
    }
    Ok(())
}

/// Where a cluster is, as far as its region may still be mended.
#[derive(Clone, Copy, Debug)]
pub enum Region<'a> {
    /// It never was active: whether Azure has it is for the review to find out.
    Open,
    /// Azure has it, in this region, if that is known.
    Fixed(Option<&'a str>),
}

/// That the change leaves alone what tells one AKS cluster from another. Letter case and the spelling of a region are no
/// change, and `""` means "not said"; a value that is not there yet may be given. The region that Azure has is always right.
pub fn check_fixed(stored: &Object, change: &Object, region: Region<'_>) -> Result<(), Violation> {
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
        let fine = match (key, region) {
            ("resourceLocation", Region::Open) => true,
            ("resourceLocation", Region::Fixed(azure)) => {
                let is = regions::normalised(&is);
                is == regions::normalised(&was) || Some(is.as_str()) == azure
            }
            _ => is.eq_ignore_ascii_case(&was),
        };
        if !is.is_empty() && !was.is_empty() && !fine {
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
            (json!({"networkPolicy": "cilium"}), true, None, true, None),
            (json!({}), true, Some("cilium"), false, None),
            (json!({"networkPolicy": "None", "imported": true}), true, None, true, Some(V::NoNetworkPolicy)),
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
            (
                json!({"nodePools": [{"osType": "Windows"}]}),
                false,
                None,
                true,
                Some(V::UnnamedNodePool { index: 0 }),
            ),
            (
                json!({"nodePools": [{"name": "a"}, {"name": ""}]}),
                false,
                None,
                true,
                Some(V::UnnamedNodePool { index: 1 }),
            ),
            (
                json!({"nodePools": [{"name": "a", "osType": "Windows"}]}),
                false,
                None,
                true,
                Some(V::WindowsNodePool { index: 0 }),
            ),
            (
                json!({"nodePools": [{"name": "a", "osType": "windows"}]}),
                false,
                None,
                true,
                Some(V::WindowsNodePool { index: 0 }),
            ),
            (json!({"imported": true, "kubernetesVersion": "", "nodePools": []}), false, None, true, None),
            (json!({"imported": true, "kubernetesVersion": ""}), false, None, false, Some(V::EmptyVersion)),
        ] {
            let known = upstream.map(|policy| config(json!({"networkPolicy": policy})));
            let outcome = check_request(&config(request.clone()), isolation, known.as_ref(), creating);
            assert_eq!(outcome.err(), expected, "{request} {upstream:?}");
        }
    }

    #[test]
    fn a_windows_pool_that_is_in_azure_is_no_new_one() {
        let pools = |pools: Value| config(json!({"nodePools": pools}));
        let known = pools(json!([{"name": "win", "osType": "Windows"}, {"name": "lin", "osType": "Linux"}]));
        let check = |request: Value| check_request(&pools(request), false, Some(&known), false);
        assert_eq!(check(json!([{"name": "win", "osType": "Windows", "count": 3}, {"name": "lin"}])), Ok(()));
        for request in [
            json!([{"name": "lin"}, {"name": "new", "osType": "Windows"}]),
            json!([{"name": "win"}, {"name": "lin", "osType": "Windows"}]),
        ] {
            assert_eq!(check(request), Err(Violation::WindowsNodePool { index: 1 }));
        }
    }

    #[test]
    fn every_violation_names_its_field_and_a_way_out() {
        let taken = Violation::Taken { name: "n".to_owned(), region: "r".to_owned() };
        assert_eq!(taken.field(), "aksConfig.clusterName");
        assert_eq!(Violation::WindowsNodePool { index: 2 }.field(), "aksConfig.nodePools[2].osType");
        for violation in [taken, Violation::Inactive, Violation::NoNetworkPolicy, Violation::NoRegion] {
            assert!(
                violation.field().starts_with("aksConfig") && !violation.remedy().is_empty(),
                "{violation:?}"
            );
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
            check_fixed(&wrap(stored), &wrap(change), Region::Fixed(Some("westus2")))
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
        let there = json!({"resourceLocation": "East US"});
        for same in ["eastus", "EAST-US", " east_us ", "westus2", "West US 2", ""] {
            assert_eq!(check(there.clone(), json!({"resourceLocation": same})), Ok(()), "{same}");
        }
        assert_eq!(
            check(there.clone(), json!({"resourceLocation": "eastus2"})),
            fixed("resourceLocation", "East US")
        );
        let wrap = |config: Value| json!({"aksConfig": config}).as_object().unwrap().clone();
        let open = check_fixed(&wrap(there), &wrap(json!({"resourceLocation": "eastus2"})), Region::Open);
        assert_eq!(open, Ok(()), "not in Azure yet");
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
