//! Plans of hand-made clusters. `review::tests::hops` compares generated plans with the review.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::cluster_details::ClusterDetails;
use crate::review::{Denial, DenialKind};
use crate::testing::{config, extended, from_json};

/// Minor versions 1.30 (long-term support only) to 1.35 (preview).
fn offered() -> Vec<KubernetesVersion> {
    let minor = |minor: u32, preview: bool, plans: &[&str], patches: Value| {
        json!({"version": format!("1.{minor}"), "isPreview": preview, "capabilities": {"supportPlan": plans},
            "patchVersions": patches})
    };
    let support_plans = ["KubernetesOfficial", "AKSLongTermSupport"];
    from_json(json!([
        minor(35, true, &support_plans[..1], json!({"1.35.0": {"upgrades": []}})),
        minor(
            34,
            false,
            &support_plans,
            json!({"1.34.1": {"upgrades": ["1.35.0"]}, "1.34.3": {"upgrades": ["1.35.0"]}})
        ),
        minor(
            33,
            false,
            &support_plans,
            json!({"1.33.3": {"upgrades": ["1.33.6", "1.34.1", "1.34.3"]}, "1.33.6": {"upgrades": ["1.34.1", "1.34.3"]}})
        ),
        minor(
            32,
            false,
            &support_plans,
            json!({"1.32.7": {"upgrades": ["1.32.9", "1.33.3", "1.33.6"]}, "1.32.9": {"upgrades": ["1.33.3", "1.33.6"]}})
        ),
        minor(
            31,
            false,
            &support_plans[1..],
            json!({"1.31.9": {"upgrades": ["1.32.7", "1.32.9", "1.33.3"]}})
        ),
        minor(
            30,
            false,
            &support_plans[1..],
            json!({"1.30.5": {"upgrades": ["1.31.9", "1.32.9", "1.33.6"]}})
        ),
    ]))
}

fn sizes() -> Vec<VmSku> {
    let offer = json!({"resourceType": "virtualMachines", "name": "Standard_D4s_v5", "family": "standardDSv5Family",
        "capabilities": [{"name": "vCPUs", "value": "4"}]});
    from_json::<crate::arm::Lenient<Vec<VmSku>>>(json!([offer])).0.unwrap()
}

fn usages(cores_left: i64) -> Vec<Usage> {
    from_json(
        json!([{"name": {"value": "cores", "localizedValue": "Total Regional vCPUs"}, "currentValue": 10, "limit": 10 + cores_left},
        {"name": {"value": "StandardDSv5Family"}, "currentValue": 1, "limit": 100}]),
    )
}

fn pool(name: &str, version: &str, keys: Value) -> PoolState {
    let spec = json!({"name": name, "count": 3, "vmSize": "standard_d4s_V5", "mode": "System"});
    PoolState { spec: from_json(extended(spec, keys)), version: Some(version.to_owned()), stopped: false }
}

struct TestCluster {
    running: &'static str,
    long_term: bool,
    own_targets: Vec<String>,
    offered: Option<Vec<KubernetesVersion>>,
    pools: Vec<PoolState>,
    pool_targets: BTreeMap<String, Vec<String>>,
    usages: Vec<Usage>,
    stored_pools: Value,
    current_blockers: Vec<Blocker>,
}

fn cluster(running: &'static str) -> TestCluster {
    TestCluster {
        running,
        long_term: false,
        own_targets: Vec::new(),
        offered: Some(offered()),
        pools: vec![pool("system", running, json!({}))],
        pool_targets: BTreeMap::new(),
        usages: usages(50),
        stored_pools: json!([{"name": "system", "count": 3}]),
        current_blockers: Vec::new(),
    }
}

impl TestCluster {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn plan(&self, requested: Option<&str>) -> UpgradePlan {
        plan(&UpgradePlanInput {
            start: UpgradeStart {
                running: self.running,
                long_term: self.long_term,
                own_targets: &self.own_targets,
            },
            requested,
            region: "eastus",
            offered: self.offered.as_deref(),
            pools: &self.pools,
            pool_targets: &self.pool_targets,
            sizes: Some(&sizes()),
            usages: Some(&self.usages),
            stored_pools: self.stored_pools.as_array().map_or(&[], Vec::as_slice),
            current_blockers: &self.current_blockers,
        })
    }

    /// The hops, such as `1.33.6 system=1.33.6!quotaShort`.
    fn hops(&self, requested: &str) -> String {
        let hops = self.plan(Some(requested).filter(|requested| !requested.is_empty())).hops;
        hops.iter().map(describe_hop).collect::<Vec<_>>().join(" ")
    }
}

fn describe_hop(hop: &Hop) -> String {
    let part = match &hop.part {
        Part::ControlPlane => hop.to.clone(),
        Part::NodePool(name) => format!("{name}={}", hop.to),
    };
    let blockers = hop.blocked_by.iter().map(|blocker| blocker.code.name());
    [part.as_str()].into_iter().chain(blockers).collect::<Vec<_>>().join("!")
}

#[test]
fn control_plane_is_upgraded_before_pools() {
    for (running, requested, expected) in [
        ("1.32.9", "1.34.3", "1.33.6 1.34.3 system=1.34.3"),
        ("1.32.9", "1.33.6", "1.33.6 system=1.33.6"),
        ("1.32.7", "1.32.9", "1.32.9 system=1.32.9"),
        ("1.32.9", "1.34", "1.33.6 1.34.3 system=1.34.3"),
        ("1.32.9", " v1.33.6", "1.33.6 system=1.33.6"),
        ("1.34.3", "1.34.3", ""),
        ("1.34.1", "1.34", ""),
        // The newest stable version.
        ("1.32.9", "", "1.33.6 1.34.3 system=1.34.3"),
        ("1.34.3", "", ""),
    ] {
        assert_eq!(cluster(running).hops(requested), expected, "{running} to {requested}");
    }
    assert_eq!(cluster("1.32.9").plan(None).to, "1.34.3");
    assert_eq!(cluster("1.34.3").plan(None).to, "1.34.3");
}

#[test]
fn pools_are_upgraded_first_only_if_skew_requires_it() {
    let with_pools = |versions: &[(&str, &str)]| {
        let pools = versions.iter().map(|(name, version)| pool(name, version, json!({}))).collect();
        cluster("1.32.9").with(|cluster| cluster.pools = pools)
    };
    for (versions, requested, expected) in [
        // Three minor versions behind are allowed.
        (&[("a", "1.31.9"), ("b", "1.32.9")][..], "1.34.3", "1.33.6 1.34.3 a=1.34.3 b=1.34.3"),
        (&[("a", "1.30.5")], "1.33.6", "1.33.6 a=1.33.6"),
        (&[("a", "1.30.5"), ("b", "1.32.7")], "1.34.3", "1.33.6 a=1.33.6 1.34.3 a=1.34.3 b=1.34.3"),
        (&[("a", "1.29.5")], "1.34.3", "a=1.32.9 1.33.6 1.34.3 a=1.34.3"),
        (&[("a", "1.31.9"), ("b", "1.32.9")], "1.32.9", "a=1.32.9"),
    ] {
        assert_eq!(with_pools(versions).hops(requested), expected, "{versions:?}");
    }
    let unknown_version = cluster("1.32.9").with(|cluster| cluster.pools[0].version = None);
    assert_eq!(unknown_version.hops("1.33.6"), "1.33.6");
}

#[test]
fn version_blocks_have_their_code() {
    let hops = |running, requested| cluster(running).hops(requested);
    assert_eq!(hops("1.33.6", "1.32.9"), "1.32.9!downgrade");
    assert_eq!(hops("1.33.6", "1.32"), "1.32!downgrade");
    assert_eq!(hops("1.33.6", "1.36.0"), "1.36.0!versionNotOffered");
    assert_eq!(hops("1.33.6", "1.36"), "1.36!versionNotOffered");
    assert_eq!(hops("1.34.3", "1.35.0"), "1.35.0!previewOnly system=1.35.0");
    assert_eq!(hops("1.33.6", "1.35"), "1.34.3 1.35.0!previewOnly system=1.35.0");
    assert_eq!(hops("1.30.5", "1.31.9"), "1.31.9!needsLongTermSupport system=1.31.9");
    assert_eq!(hops("1.30.5", "1.32.9"), "1.32.9 system=1.32.9");
    let long_term = cluster("1.30.5").with(|cluster| cluster.long_term = true);
    assert_eq!(long_term.hops("1.31.9"), "1.31.9 system=1.31.9");
    assert_eq!(long_term.hops("1.33.6"), "1.31.9 1.32.9 1.33.6 system=1.33.6");
    // 1.34.3 is offered, but Azure lists no upgrade to it.
    let without_upgrades = cluster("1.32.9").with(|cluster| {
        let minors = cluster.offered.as_mut().unwrap();
        minors[2].patch_versions.get_mut("1.33.6").unwrap().upgrades.clear();
        minors[2].patch_versions.get_mut("1.33.3").unwrap().upgrades.clear();
    });
    assert_eq!(without_upgrades.hops("1.34.3"), "1.33.6 1.34.3!upgradeNotOffered");
    assert_eq!(without_upgrades.hops("1.33.6"), "1.33.6 system=1.33.6");
}

#[test]
fn own_targets_replace_the_list_of_the_region() {
    let with_own_targets = |own: &[&str]| {
        let own_targets = own.iter().map(|version| (*version).to_owned()).collect();
        cluster("1.32.9").with(|cluster| cluster.own_targets = own_targets)
    };
    assert_eq!(with_own_targets(&["1.33.3"]).hops("1.34.3"), "1.33.3 1.34.3 system=1.34.3");
    assert_eq!(with_own_targets(&["1.33.3"]).hops("1.33.6"), "1.33.3 1.33.6 system=1.33.6");
    assert_eq!(with_own_targets(&["1.34.1"]).hops("1.34.1"), "1.34.1 system=1.34.1");
    assert_eq!(with_own_targets(&["1.33.99"]).hops("1.33.99"), "1.33.99 system=1.33.99");
    // The cluster's own target is missing in the region's list, so the path from there is unknown.
    assert_eq!(with_own_targets(&["1.32.10"]).hops("1.33.6"), "1.32.10 1.33.6 system=1.33.6");
    assert_eq!(with_own_targets(&["1.34.1"]).hops("1.33.6"), "1.33.6!upgradeNotOffered");
}

#[test]
fn pool_version_is_chosen_from_its_own_targets() {
    let with_pool_targets = |targets: &[&str]| {
        cluster("1.33.6").with(|cluster| {
            cluster.pools = vec![pool("a", "1.32.7", json!({}))];
            let targets = targets.iter().map(|version| (*version).to_owned()).collect();
            cluster.pool_targets.insert("a".to_owned(), targets);
        })
    };
    assert_eq!(with_pool_targets(&["1.32.9", "1.33.3"]).hops("1.33.6"), "a=1.33.3");
    assert_eq!(with_pool_targets(&["1.33.6", "1.33.3"]).hops("1.33.6"), "a=1.33.6");
    assert_eq!(
        with_pool_targets(&["1.34.3", "1.32.7"]).hops("1.33.6"),
        "a=1.33.6",
        "none of its targets is allowed"
    );
}

#[test]
fn surge_is_counted_against_the_quotas() {
    let plan_surge = |max_surge: Value, cores_left: i64, keys: Value| {
        let test_cluster = cluster("1.33.6").with(|cluster| {
            let spec = extended(json!({"maxSurge": max_surge}), keys);
            cluster.pools = vec![pool("a", "1.33.3", spec)];
            cluster.usages = usages(cores_left);
        });
        let hop = test_cluster.plan(Some("1.33.6")).hops.remove(0);
        let surge = hop.surge;
        (describe_hop(&hop), surge.map(|surge| (surge.nodes, surge.vcpus)))
    };
    assert_eq!(plan_surge(json!("1"), 4, json!({})), ("a=1.33.6".to_owned(), Some((1, Some(4)))));
    assert_eq!(plan_surge(json!("1"), 3, json!({})), ("a=1.33.6!quotaShort".to_owned(), Some((1, Some(4)))));
    assert_eq!(
        plan_surge(json!(null), 3, json!({})).0,
        "a=1.33.6!quotaShort",
        "10 % of 3 nodes, rounded up, is one"
    );
    assert_eq!(plan_surge(json!("50%"), 7, json!({})).1, Some((2, Some(8))));
    assert_eq!(plan_surge(json!("1"), 0, json!({"count": 0})), ("a=1.33.6".to_owned(), None));
    assert_eq!(plan_surge(json!("1"), 0, json!({"vmSize": "Standard_X"})).1, Some((1, None)));
    let stopped = cluster("1.33.6").with(|cluster| {
        cluster.pools = vec![PoolState { stopped: true, ..pool("a", "1.33.3", json!({})) }];
        cluster.usages = usages(0);
    });
    assert_eq!(stopped.hops("1.33.6"), "a=1.33.6");
}

#[test]
fn state_of_the_cluster_blocks_the_first_hop() {
    let spec = config(json!({"resourceGroup": "my group", "clusterName": "shop"}));
    let codes = |properties: Value| {
        state_blockers(&json!({"properties": properties}), &spec)
            .iter()
            .map(|blocker| blocker.code.name())
            .collect::<Vec<_>>()
    };
    let pools = json!([{"name": "a", "provisioningState": "Succeeded"}, {"name": "b", "provisioningState": "Upgrading"}]);
    assert_eq!(codes(json!({"provisioningState": "Succeeded", "powerState": {"code": "Running"}})), [""; 0]);
    assert_eq!(codes(json!({"provisioningState": "Failed"})), [""; 0]);
    assert_eq!(codes(json!({"powerState": {"code": "Stopped"}})), ["clusterStopped"]);
    assert_eq!(codes(json!({"provisioningState": "Updating"})), ["clusterBusy"]);
    assert_eq!(codes(json!({"provisioningState": "Succeeded", "agentPoolProfiles": pools})), ["poolBusy"]);
    let stopped = state_blockers(&json!({"properties": {"powerState": {"code": "Stopped"}}}), &spec);
    assert_eq!(stopped[0].remedy, "start it: az aks start --resource-group 'my group' --name shop");
    let test_cluster = cluster("1.32.9").with(|cluster| cluster.current_blockers = stopped);
    assert_eq!(test_cluster.hops("1.33.6"), "1.33.6!clusterStopped system=1.33.6");
    assert_eq!(test_cluster.hops("1.32.9"), "");

    for (kind, code) in [
        (DenialKind::Credential, "credentialExpired"),
        (DenialKind::Role, "accessDenied"),
        (DenialKind::Subscription, "accessDenied"),
    ] {
        let (message, remedy) = ("AADSTS7000222".to_owned(), "use another secret".to_owned());
        let denial = Denial { kind, message, remedy, may_be_recent: false };
        let blocker = access_blocker(&denial);
        assert_eq!((blocker.code.name(), blocker.remedy.as_str()), (code, "use another secret"));
        assert!(blocker.message.ends_with(": AADSTS7000222"), "{}", blocker.message);
    }
}

#[test]
fn azure_chooses_the_patches_without_a_list() {
    let test_cluster = cluster("1.31.9").with(|cluster| cluster.offered = None);
    assert_eq!(test_cluster.hops("1.34.1"), "1.32 1.33 1.34.1 system=1.34.1");
    assert_eq!(test_cluster.hops("1.30"), "1.30!downgrade");
    assert_eq!(test_cluster.hops("1.31.10"), "1.31.10 system=1.31.10");
    assert_eq!(test_cluster.hops("1.99"), "1.99!upgradeNotOffered");
    assert_eq!(test_cluster.hops("2.1"), "2.1!upgradeNotOffered");
    assert_eq!(test_cluster.hops(""), "");
}

#[test]
fn changes_list_all_pools_with_the_versions_so_far() {
    let test_cluster = cluster("1.32.9").with(|cluster| {
        cluster.pools = vec![pool("a", "1.32.9", json!({})), pool("b", "1.32.9", json!({}))];
        cluster.stored_pools = json!([{"name": "a", "count": 3, "_id": 1}]);
    });
    let changes: Vec<Value> =
        test_cluster.plan(Some("1.33.6")).hops.into_iter().map(|hop| Value::Object(hop.change)).collect();
    let pool_a = json!({"name": "a", "count": 3, "_id": 1, "orchestratorVersion": "1.33.6"});
    assert_eq!(
        changes,
        [
            json!({"kubernetesVersion": "1.33.6"}),
            json!({"nodePools": [pool_a]}),
            json!({"nodePools": [pool_a, {"name": "b", "orchestratorVersion": "1.33.6"}]}),
        ]
    );
}

#[test]
fn pools_are_read_from_the_observed_state() {
    let cluster = json!({"properties": {"agentPoolProfiles": [
        {"name": "a", "currentOrchestratorVersion": "1.33.5", "powerState": {"code": "Stopped"}}, {"name": "b"}]}});
    let upstream = config(json!({"nodePools": [{"name": "a", "orchestratorVersion": "1.33"},
        {"name": "b", "orchestratorVersion": "1.32.1"}, {"count": 1}]}));
    let details = ClusterDetails::read(&cluster);
    let states = pool_states(&upstream, &details, Some(&cluster));
    let summaries: Vec<_> =
        states.iter().map(|state| (state.name(), state.version.as_deref(), state.stopped)).collect();
    assert_eq!(summaries, [("a", Some("1.33.5"), true), ("b", Some("1.32.1"), false)]);
    assert!(!pool_states(&upstream, &details, None)[0].stopped);
}

#[test]
fn codes_have_distinct_names() {
    let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), Code::ALL.len());
}
