//! Tests of previews.

use super::*;
use crate::provision::plan::Observed;
use crate::status::UpdateAttempts;
use crate::testing::{config, extended};

fn spec(value: Value) -> AksConfig {
    config(extended(json!({"clusterName": "n", "resourceGroup": "g", "resourceLocation": "eastus"}), value))
}

fn preview(step: &Step, phase: Phase, desired: &AksConfig, observed: &Observed) -> Preview {
    let input = PlanInput {
        spec: desired,
        user_spec: desired,
        applied: Some(desired),
        phase,
        creation_recorded: true,
        owner: "i/c",
        endpoint: None,
        attempts: &UpdateAttempts::default(),
        may_retry: false,
        created_pools: &BTreeSet::new(),
        observed,
    };
    Preview::from_step(step, &input)
}

#[test]
fn every_step_has_kind_and_description() {
    let desired = spec(json!({"monitoring": true, "nodePools": [{"name": "a"}, {"name": "b"}]}));
    let upstream = Some(spec(json!({"monitoring": true, "nodePools": [{"name": "a"}]})));
    let observed = Observed { cluster: Some(json!({})), upstream, ..Observed::default() };
    let changed = Step::UpdateCluster(vec!["monitoring", "tags"]);
    for (step, kind, summary) in [
        (Step::RegisterProvider, Kind::RegisterProvider, "register the resource provider"),
        (Step::CreateResourceGroup, Kind::CreateResourceGroup, "create the resource group g"),
        (Step::EnsureWorkspace, Kind::EnsureWorkspace, "create the Log Analytics workspace g-EUS in"),
        (Step::CreateCluster, Kind::CreateCluster, "create the cluster n"),
        (Step::UpdateTags, Kind::UpdateTags, "write the tags"),
        (changed, Kind::UpdateCluster, "change the cluster n: monitoring, tags"),
        (Step::UpdateCluster(Vec::new()), Kind::UpdateCluster, "reconcile the cluster n in Azure"),
        (Step::PutPool("a".into()), Kind::PutPool, "change the node pool a"),
        (Step::PutPool("b".into()), Kind::PutPool, "create the node pool b"),
        (Step::DeletePool("a".into()), Kind::DeletePool, "delete the node pool a"),
        (Step::DeleteCluster, Kind::DeleteCluster, "delete the cluster n"),
        (Step::Wait("it".into()), Kind::Wait, "wait for it"),
        (Step::Finish, Kind::Connect, "mark it active"),
        (Step::Forget, Kind::Forget, "remove the object"),
        (Step::Leave("theirs".into()), Kind::Forget, "keep the cluster in Azure"),
        (Step::Refuse("why".into()), Kind::Refuse, "the user"),
        (Step::GaveUp("why".into()), Kind::GaveUp, "operation of Azure failed"),
    ] {
        let preview_of_step = preview(&step, Phase::Active, &desired, &observed);
        assert_eq!(preview_of_step.kind, kind, "{step:?}");
        assert!(
            preview_of_step.summary.contains(summary) && !preview_of_step.reason.is_empty(),
            "{step:?}: {preview_of_step:?}"
        );
        if let Step::Refuse(reason) | Step::GaveUp(reason) = &step {
            assert_eq!(&preview_of_step.reason, reason);
        }
        let is_about_pool = matches!(step, Step::PutPool(_) | Step::DeletePool(_));
        assert_eq!(preview_of_step.pool.is_some(), is_about_pool, "{step:?}");
    }
}

#[test]
fn differences_are_listed_by_field() {
    let desired = spec(json!({
        "kubernetesVersion": "1.32.7", "tags": {"a": "b"}, "authorizedIpRanges": ["1.1.1.1"],
        "nodePools": [
            {"name": "same", "mode": "system", "count": 1, "orchestratorVersion": ""},
            {"name": "scales", "enableAutoScaling": true, "minCount": 1, "maxCount": 9, "count": 4, "vmSize": "x"},
            {"name": "other", "mode": "User", "nodeLabels": {"x": "y"}, "nodeTaints": [], "count": 3},
            {"name": "new", "count": 2},
        ],
    }));
    let azure = spec(json!({
        "kubernetesVersion": "1.31.8", "tags": {}, "authorizedIpRanges": ["1.1.1.1/32"],
        "nodePools": [
            {"name": "same", "mode": "System", "count": 1, "orchestratorVersion": "1.31.8"},
            {"name": "scales", "enableAutoScaling": true, "minCount": 1, "maxCount": 5, "count": 2, "vmSize": "y"},
            {"name": "other", "mode": "System", "nodeLabels": {}, "count": 2},
            {"name": "ours", "mode": "User"}, {"name": "theirs", "mode": "User"},
        ],
    }));
    let applied = spec(json!({"nodePools": [{"name": "ours"}]}));
    let differences = differences(&desired, &azure, Some(&applied), &BTreeSet::new()).into_iter();
    let differences: Vec<_> = differences
        .map(|difference| json!([difference.field, difference.wanted, difference.found]))
        .collect();
    let expected = json!([
        ["aksConfig.tags", {"a": "b"}, {}],
        ["aksConfig.kubernetesVersion", "1.32.7", "1.31.8"],
        ["aksConfig.nodePools[1].count", 4, 2],
        ["aksConfig.nodePools[1].maxCount", 9, 5],
        ["aksConfig.nodePools[2].count", 3, 2],
        ["aksConfig.nodePools[2].mode", "User", "System"],
        ["aksConfig.nodePools[2].nodeLabels", {"x": "y"}, {}],
        ["aksConfig.nodePools[3]", {"name": "new", "count": 2}, null],
        ["aksConfig.nodePools", null, {"name": "ours", "mode": "User"}],
    ]);
    assert_eq!(json!(differences), expected);
}

#[test]
fn idle_cluster_does_nothing_or_follows_azure() {
    let desired = spec(json!({"kubernetesVersion": "1.31.8"}));
    let idle = Preview::idle(&desired, &spec(json!({"kubernetesVersion": "1.31.8", "tags": {"x": "y"}})));
    assert_eq!((idle.kind, idle.differences.len()), (Kind::Nothing, 0));
    let idle = Preview::idle(&desired, &spec(json!({"kubernetesVersion": "1.32.1"})));
    assert_eq!((idle.kind, &*idle.summary), (Kind::TakeOver, "adopt from Azure: kubernetesVersion"));
    assert_eq!(idle.differences[0].found, json!("1.32.1"));
}

#[test]
fn unread_data_is_listed_with_the_reason() {
    let (unmonitored, monitored) = (spec(json!({})), spec(json!({"monitoring": true})));
    let no_group =
        Observed { provider_registered: Some(true), resource_group: Some(false), ..Observed::default() };
    let existing = Observed { cluster: Some(json!({})), ..Observed::default() };
    let monitored_in_azure = Observed { upstream: Some(monitored.clone()), ..existing.clone() };
    let (group, finish, delete) = (Step::CreateResourceGroup, Step::Finish, Step::DeleteCluster);
    for (step, phase, desired, observed, expected) in [
        (&group, Phase::New, &unmonitored, &no_group, "workspace"),
        (&group, Phase::New, &monitored, &no_group, "workspace"),
        (&finish, Phase::Active, &monitored, &existing, "provider resourceGroup inside"),
        (&finish, Phase::Active, &monitored, &monitored_in_azure, "provider resourceGroup workspace inside"),
        (&delete, Phase::Removing, &monitored, &existing, "provider resourceGroup workspace"),
    ] {
        let unseen: Vec<_> =
            preview(step, phase, desired, observed).unseen.into_iter().map(|unseen| unseen.what).collect();
        assert_eq!(unseen.join(" "), expected);
    }
}

#[test]
fn fields_are_managed_if_they_are_set() {
    assert!(managed(&spec(json!({"kubernetesVersion": "", "nodePools": []}))).is_empty());
    let all = json!({"kubernetesVersion": "1", "nodePools": [{}], "tags": {}, "monitoring": false,
        "httpApplicationRouting": true, "authorizedIpRanges": [], "dnsPrefix": "x"});
    assert_eq!(managed(&spec(all)).len(), 6);
}
