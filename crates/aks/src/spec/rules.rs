//! Rancher's rules for cluster objects, with its messages. Rules that need only the request and the stored object are checked
//! on save (`docs/contract/clusters.md#validation-on-save`). The review and the plan use the same rules.

use serde::Deserialize;
use serde_json::Value;

use super::{AKS_CONFIG, AksConfig, NodePool, Object};
use crate::regions;

/// A violation of a rule, with Rancher's message if Rancher has the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum Violation {
    /// The setting `kev2-operators` disables AKS.
    #[error("aks operator is inactive")]
    Inactive,
    /// Project network isolation (`enableNetworkPolicy`) without an engine that enforces network policies.
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
    /// A node pool without a name, by its position.
    #[error("nodePool Name cannot be an empty string")]
    UnnamedNodePool { index: usize },
    /// A new Windows node pool, by its position.
    #[error("windows node pools are not supported")]
    WindowsNodePool { index: usize },
    /// Another object represents this AKS cluster. The region is spelled as in the request.
    #[error("cluster already exists for AKS cluster [{name}] in region [{region}]")]
    Taken { name: String, region: String },
    /// A new cluster without a region.
    #[error("must provide region")]
    NoRegion,
    /// A change of a key that identifies the cluster. Rancher drops such a change silently.
    #[error("aksConfig.{key} is {stored:?} and cannot be changed")]
    Fixed { key: &'static str, stored: String },
    /// Two pools with the same name.
    #[error("cluster [{cluster}] cannot have multiple nodepools with name {pool}")]
    DuplicatePool { cluster: String, pool: String },
    /// The limits of the autoscaler are set, but autoscaling is off.
    #[error(
        "min and max node count must be nil for node pool [{pool}] for cluster [{cluster}], because autoscaling is disabled"
    )]
    CountsWithoutAutoscaling { cluster: String, pool: String },
    /// The zones of a pool cannot be changed.
    #[error("changing availability zones for node pool [{pool}] in cluster [{cluster}] is not permitted")]
    ZonesChanged { cluster: String, pool: String },
    /// The last pool with mode System cannot be removed.
    #[error("cannot remove node pool [{pool}] with mode System from cluster [{cluster}]")]
    LastSystemPool { cluster: String, pool: String },
}

impl Violation {
    /// The path of the field, such as `aksConfig.clusterName`.
    pub fn field(&self) -> String {
        let key = match self {
            Self::Inactive => return AKS_CONFIG.to_owned(),
            Self::NoNetworkPolicy => "networkPolicy",
            Self::EmptyVersion => "kubernetesVersion",
            Self::UnnamedNodePool { index } => return format!("{AKS_CONFIG}.nodePools[{index}].name"),
            Self::WindowsNodePool { index } => return format!("{AKS_CONFIG}.nodePools[{index}].osType"),
            Self::Taken { .. } => "clusterName",
            Self::NoRegion => "resourceLocation",
            Self::Fixed { key, .. } => key,
            Self::NoNodePool
            | Self::DuplicatePool { .. }
            | Self::CountsWithoutAutoscaling { .. }
            | Self::ZonesChanged { .. }
            | Self::LastSystemPool { .. } => "nodePools",
        };
        format!("{AKS_CONFIG}.{key}")
    }

    /// The remedy.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Inactive => "an administrator can activate it in the setting kev2-operators",
            Self::NoNetworkPolicy => {
                "set networkPolicy to azure or calico when the cluster is created, or leave enableNetworkPolicy off"
            }
            Self::EmptyVersion => "set it to a version that aksVersions lists",
            Self::NoNodePool => "add at least one pool with mode System",
            Self::UnnamedNodePool { .. } => "give the pool a name",
            Self::WindowsNodePool { .. } => {
                "set osType to Linux; Windows pools that already exist in Azure are not changed"
            }
            Self::Taken { .. } => "change the existing cluster object, or use another clusterName",
            Self::NoRegion => "set resourceLocation to the name of a region, for example eastus",
            Self::Fixed { .. } => "create another cluster instead",
            Self::DuplicatePool { .. } => "give one of the pools another name",
            Self::CountsWithoutAutoscaling { .. } => {
                "leave minCount and maxCount out, or switch enableAutoScaling on"
            }
            Self::ZonesChanged { .. } => "add a pool with another name and remove this one",
            Self::LastSystemPool { .. } => "add another pool with mode System first",
        }
    }
}

/// Whether this value of `networkPolicy` is an engine that enforces network policies, such as `calico`.
pub fn enforces_policies(network_policy: &str) -> bool {
    !network_policy.eq_ignore_ascii_case("none")
}

/// Checks network isolation, version and node pools. `body` is the raw form of `request`; `upstream` is the observed state.
///
/// # Errors
/// The first violation, in Rancher's order.
pub fn check_request(
    body: &Object,
    request: &AksConfig,
    upstream: Option<&AksConfig>,
    is_new: bool,
) -> Result<(), Violation> {
    let is_isolated = body.get("enableNetworkPolicy").and_then(Value::as_bool).unwrap_or_default();
    let observed_policy = upstream.and_then(|upstream| upstream.network_policy.as_deref());
    let network_policy = request.network_policy.as_deref().or(observed_policy);
    if is_isolated && network_policy.is_some_and(|policy| !enforces_policies(policy)) {
        return Err(Violation::NoNetworkPolicy);
    }
    if is_new && request.is_import() {
        return Ok(());
    }
    let version = body.get(AKS_CONFIG).and_then(|config| config.get("kubernetesVersion"));
    if version.and_then(Value::as_str).is_some_and(|version| version.trim().is_empty()) {
        return Err(Violation::EmptyVersion);
    }
    let observed_pools = upstream.map_or(&[][..], AksConfig::pools);
    pool_violations(request.node_pools.as_deref(), observed_pools).next().map_or(Ok(()), Err)
}

/// The violations in a list of node pools: an empty list, a pool without a name, new Windows pools. `existing` are the pools in
/// Azure.
pub fn pool_violations<'a>(
    pools: Option<&'a [NodePool]>,
    existing: &'a [NodePool],
) -> impl Iterator<Item = Violation> + use<'a> {
    let empty_list = pools.is_some_and(<[NodePool]>::is_empty).then_some(Violation::NoNodePool);
    let is_windows =
        |pool: &NodePool| pool.os_type.as_deref().is_some_and(|os| os.trim().eq_ignore_ascii_case("Windows"));
    let in_pools = pools.unwrap_or_default().iter().enumerate().filter_map(move |(index, pool)| {
        let already_exists = || existing.iter().any(|other| other.name == pool.name && is_windows(other));
        if pool.name.is_none() {
            return Some(Violation::UnnamedNodePool { index });
        }
        (is_windows(pool) && !already_exists()).then_some(Violation::WindowsNodePool { index })
    });
    empty_list.into_iter().chain(in_pools)
}

/// Requires the region of a new cluster.
pub fn check_region(request: &AksConfig) -> Result<(), Violation> {
    request.resource_location.as_ref().map(|_| ()).ok_or(Violation::NoRegion)
}

/// Whether the region of a cluster object can change.
#[derive(Clone, Copy, Debug)]
pub enum RegionMutability<'a> {
    /// It can change, because the cluster was never active. The review checks whether Azure has the new region.
    Mutable,
    /// It cannot change, because the cluster exists in Azure; contains its region there, if known.
    Immutable(Option<&'a str>),
}

/// Rejects a change of keys that identify the cluster. `stored` and `change` are raw bodies, so that messages use the user's
/// spelling.
pub fn check_fixed(stored: &Object, change: &Object, region: RegionMutability<'_>) -> Result<(), Violation> {
    let parse_config = |body: &Object| -> AksConfig {
        body.get(AKS_CONFIG).and_then(|config| AksConfig::deserialize(config).ok()).unwrap_or_default()
    };
    fixed_violations(&parse_config(stored), &parse_config(change), region).next().map_or(Ok(()), Err)
}

/// The changes of keys that identify a cluster. Other letter case, another spelling of a region, and a value for a key that was
/// not set are not changes. The region that Azure reports is always accepted.
pub fn fixed_violations(
    stored: &AksConfig,
    change: &AksConfig,
    region: RegionMutability<'_>,
) -> impl Iterator<Item = Violation> + use<> {
    type Read = fn(&AksConfig) -> Option<&String>;
    let cluster_name: Read = |config| config.cluster_name.as_ref();
    let resource_group: Read = |config| config.resource_group.as_ref();
    let changed_name = |key: &'static str, read: Read| {
        let (old, new) = (read(stored)?, read(change)?);
        (!old.eq_ignore_ascii_case(new)).then(|| Violation::Fixed { key, stored: old.clone() })
    };
    // A cluster without `imported` was created by this server, so that setting `imported` to true is a change.
    let changed_import = change
        .imported
        .filter(|new| *new != stored.is_import())
        .map(|_| Violation::Fixed { key: "imported", stored: stored.is_import().to_string() });
    let changed_region = || {
        let RegionMutability::Immutable(azure_region) = region else { return None };
        let (old, new) = (stored.resource_location.as_ref()?, change.resource_location.as_ref()?);
        let new = regions::normalize(new);
        let is_same = new == regions::normalize(old) || Some(new.as_str()) == azure_region;
        (!is_same).then(|| Violation::Fixed { key: "resourceLocation", stored: old.clone() })
    };
    [
        changed_name("clusterName", cluster_name),
        changed_import,
        changed_name("resourceGroup", resource_group),
        changed_region(),
    ]
    .into_iter()
    .flatten()
}

/// Whether the setting `kev2-operators` leaves AKS enabled: JSON such as `[{"name":"aks","active":false}]`. Invalid values leave
/// it enabled.
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
    use serde_json::json;

    use super::*;
    use crate::testing::{cases, config, object};

    fn check(
        sent: Value,
        isolation: bool,
        upstream: Option<&AksConfig>,
        is_new: bool,
    ) -> Result<(), Violation> {
        let body = object(json!({"enableNetworkPolicy": isolation, "aksConfig": sent.clone()}));
        check_request(&body, &config(sent), upstream, is_new)
    }

    #[test]
    fn first_violation_is_in_ranchers_order() {
        use Violation::{EmptyVersion, NoNetworkPolicy, NoNodePool, UnnamedNodePool, WindowsNodePool};
        let (new, old, isolation) = (true, false, true);
        // Each row: `aksConfig`, [isolation, observed network policy, whether the cluster is new], and the violation.
        for (sent, (is_isolated, upstream, is_new), expected) in cases! {
            {}, [isolation, null, new] => None;
            {"networkPolicy": "calico"}, [isolation, null, new] => None;
            {"networkPolicy": "cilium"}, [false, null, new] => None;
            {"networkPolicy": "cilium"}, [isolation, null, new] => None;
            {}, [isolation, "cilium", old] => None;
            {"networkPolicy": "None", "imported": true}, [isolation, null, new] => Some(NoNetworkPolicy);
            {}, [isolation, "none", old] => Some(NoNetworkPolicy);
            {}, [isolation, "azure", old] => None;
            {"networkPolicy": "azure"}, [isolation, "none", old] => None;
            {"networkPolicy": "none", "kubernetesVersion": ""}, [isolation, null, new] => Some(NoNetworkPolicy);
            {"kubernetesVersion": "", "nodePools": []}, [false, null, new] => Some(EmptyVersion);
            {"kubernetesVersion": " "}, [false, null, new] => Some(EmptyVersion);
            {"networkPolicy": ""}, [isolation, "none", old] => Some(NoNetworkPolicy);
            {"nodePools": []}, [false, null, new] => Some(NoNodePool);
            {"nodePools": []}, [false, null, old] => Some(NoNodePool);
            {"nodePools": [{"osType": "Windows"}]}, [false, null, new] => Some(UnnamedNodePool { index: 0 });
            {"nodePools": [{"name": "a"}, {"name": ""}]}, [false, null, new] => Some(UnnamedNodePool { index: 1 });
            {"nodePools": [{"name": "a", "osType": "Windows"}]}, [false, null, new] => Some(WindowsNodePool { index: 0 });
            {"nodePools": [{"name": "a", "osType": "windows"}]}, [false, null, new] => Some(WindowsNodePool { index: 0 });
            {"imported": true, "kubernetesVersion": "", "nodePools": []}, [false, null, new] => None;
            {"imported": true, "kubernetesVersion": ""}, [false, null, old] => Some(EmptyVersion);
        }
        .map(|(sent, conditions, expected)| {
            let policy = conditions[1].as_str().map(|policy| config(json!({"networkPolicy": policy})));
            (sent, (conditions[0] == true, policy, conditions[2] == true), expected)
        }) {
            assert_eq!(check(sent.clone(), is_isolated, upstream.as_ref(), is_new).err(), expected, "{sent}");
        }
    }

    #[test]
    fn existing_windows_pool_is_accepted() {
        let pools = |pools: Value| json!({"nodePools": pools});
        let upstream =
            config(pools(json!([{"name": "win", "osType": "Windows"}, {"name": "lin", "osType": "Linux"}])));
        let check = |sent: Value| check(pools(sent), false, Some(&upstream), false);
        assert_eq!(check(json!([{"name": "win", "osType": "Windows", "count": 3}, {"name": "lin"}])), Ok(()));
        for sent in [
            json!([{"name": "lin"}, {"name": "new", "osType": "Windows"}]),
            json!([{"name": "win"}, {"name": "lin", "osType": "Windows"}]),
        ] {
            assert_eq!(check(sent), Err(Violation::WindowsNodePool { index: 1 }));
        }
    }

    #[test]
    fn violations_have_field_and_remedy() {
        let taken = Violation::Taken { name: "n".to_owned(), region: "r".to_owned() };
        assert_eq!(taken.field(), "aksConfig.clusterName");
        assert_eq!(Violation::WindowsNodePool { index: 2 }.field(), "aksConfig.nodePools[2].osType");
        for violation in [taken, Violation::Inactive, Violation::NoNetworkPolicy, Violation::NoRegion] {
            let field = violation.field();
            assert!(field.starts_with("aksConfig") && !violation.remedy().is_empty(), "{violation:?}");
        }
    }

    #[test]
    fn new_cluster_needs_a_region() {
        for sent in [json!({}), json!({"resourceLocation": ""}), json!({"resourceLocation": null})] {
            assert_eq!(check_region(&config(sent)), Err(Violation::NoRegion));
        }
        assert_eq!(check_region(&config(json!({"resourceLocation": "eastus"}))), Ok(()));
    }

    #[test]
    fn identifying_keys_cannot_be_changed() {
        for (stored, change, expected) in cases! {
            {"clusterName": "One", "resourceGroup": "g"}, {} => None;
            {"clusterName": "One", "resourceGroup": "g"}, {"clusterName": "one", "resourceGroup": ""} => None;
            {"clusterName": "One", "resourceGroup": "g"}, {"resourceLocation": "eastus"} => None;
            {"clusterName": "One", "resourceGroup": "g"}, {"imported": false} => None;
            {"clusterName": "One", "resourceGroup": "g"}, {"clusterName": "two"} => Some(("clusterName", "One"));
            {"clusterName": "One", "resourceGroup": "g"}, {"imported": true} => Some(("imported", "false"));
            {"imported": true}, {"imported": false} => Some(("imported", "true"));
            {"resourceLocation": "East US"}, {"resourceLocation": "eastus"} => None;
            {"resourceLocation": "East US"}, {"resourceLocation": "EAST-US"} => None;
            {"resourceLocation": "East US"}, {"resourceLocation": " east_us "} => None;
            {"resourceLocation": "East US"}, {"resourceLocation": "westus2"} => None;
            {"resourceLocation": "East US"}, {"resourceLocation": "West US 2"} => None;
            {"resourceLocation": "East US"}, {"resourceLocation": ""} => None;
            {"resourceLocation": "East US"}, {"resourceLocation": "eastus2"} => Some(("resourceLocation", "East US"));
        } {
            let [stored, change] = [stored, change].map(|config| object(json!({"aksConfig": config})));
            let outcome = check_fixed(&stored, &change, RegionMutability::Immutable(Some("westus2")));
            let expected = expected.map(|(key, stored)| Violation::Fixed { key, stored: stored.to_owned() });
            assert_eq!(outcome.err(), expected, "{stored:?} {change:?}");
            if let Some(Violation::Fixed { key: "resourceLocation", .. }) = expected {
                let outcome = check_fixed(&stored, &change, RegionMutability::Mutable);
                assert_eq!(outcome, Ok(()), "the cluster is not in Azure yet");
            }
        }
    }

    #[test]
    fn aks_is_disabled_only_by_active_false() {
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
