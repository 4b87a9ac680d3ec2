//! Tests of the plan for clusters that failed, disappeared or are stopped.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Input, active, gave_up, ours, refuse, spec, theirs};
use crate::provision::plan::{Phase, Step};
use crate::provision::usable::unusable;

#[test]
fn failed_operation_is_repeated_after_a_change_or_a_delay() {
    let before = spec(json!({}));
    let desired = active(json!({"nodePools": [{"name": "a"}], "tags": {}}));
    let failed = desired.clone().applied(before.clone()).cluster(ours("Failed", json!({})));
    assert_eq!(failed.step(), Step::UpdateCluster(vec![]));
    let message = "update failed for cluster [n], status: Failed";
    let mut input = failed.clone().written(&["cluster"]);
    assert_eq!(input.step(), gave_up(message));
    input.may_retry = true;
    assert_eq!(input.step(), Step::UpdateCluster(vec![]));
    // The specification is unchanged.
    assert_eq!(failed.applied_as_desired().step(), Step::Finish);
    let pools = json!([{"name": "made-in-azure", "provisioningState": "Failed"}, {"name": "a", "provisioningState": "Failed"}]);
    let pool = desired.applied(before).cluster(ours("Succeeded", json!({"agentPoolProfiles": pools})));
    assert_eq!(pool.step(), Step::PutPool("a".into()));
    let message = "update failed for cluster [n], node pool a status: Failed";
    assert_eq!(pool.clone().written(&["pool a"]).step(), gave_up(message));
    assert_eq!(pool.applied_as_desired().step(), Step::Finish);
}

#[test]
fn accepted_change_without_effect_is_not_repeated_forever() {
    let step_after = |parts: &[&str]| {
        active(json!({"tags": {"a": "b"}, "kubernetesVersion": "1.32.1"})).written(parts).step()
    };
    assert_eq!(step_after(&[]), Step::UpdateTags);
    let version = Step::UpdateCluster(vec!["kubernetesVersion"]);
    assert_eq!(step_after(&["tags"]), version, "a policy may require other tags");
    assert_eq!(step_after(&["tags", "cluster", "cluster"]), version);
    let Step::GaveUp(text) = step_after(&["tags", "cluster", "cluster", "cluster"]) else {
        panic!("repeated")
    };
    assert!(text.starts_with("Azure accepted the change of the cluster 3 times but"), "{text}");
    let mut pools = active(json!({"nodePools": [{"name": "a"}, {"name": "b"}]})).written(&["pool b"; 7]);
    assert!(pools.has_given_up());
    pools.may_retry = true;
    assert_eq!(pools.step(), Step::PutPool("b".into()));
}

#[test]
fn incomplete_response_is_reported_and_missing_pools_are_awaited() {
    let mut input = active(json!({}));
    input.observed.upstream = None;
    assert_eq!(input.step(), refuse("cannot detect cluster [n] upstream kubernetes version"));
    let no_pools = json!({"nodePools": []});
    let desired = active(json!({"nodePools": [{"name": "a"}]})).upstream(no_pools.clone());
    assert!(desired.applied_as_desired().is_waiting());
    assert_eq!(active(json!({})).upstream(no_pools).step(), Step::Finish);
}

#[test]
fn failed_tags_are_written_again_but_not_forever() {
    let mut input = active(json!({"tags": {"a": "b"}})).written(&["tags"]);
    assert_eq!(input.step(), Step::Finish);
    input.attempts.failed.insert("tags".to_owned());
    assert_eq!(input.step(), Step::UpdateTags);
    input.attempts.accepted_writes = BTreeMap::from([("tags".to_owned(), 3)]);
    assert!(input.has_given_up());
    // Azure has the tags and reports that their change failed.
    let equal_tags = Input { spec: spec(json!({"tags": {}})), ..input }.cluster(ours("Failed", json!({})));
    assert_eq!(equal_tags.step(), gave_up("update failed for cluster [n], status: Failed"));
}

#[test]
fn missing_cluster_is_reported_and_not_created_again() {
    for imported in [false, true] {
        let gone = active(json!({"imported": imported})).applied_as_desired().cluster(None);
        let message = "n no longer exists in Azure: remove the object, or restore the cluster";
        assert_eq!(gone.step(), refuse(message));
    }
    // Its creation was requested, but it does not exist yet.
    assert_eq!(active(json!({})).phase(Phase::Creating).cluster(None).step(), Step::CreateCluster);
}

#[test]
fn unusable_cluster_is_reported_without_pending_changes() {
    let message = |more: Value, cluster: Option<Value>| {
        let input = active(more).applied_as_desired().cluster(cluster);
        input.with_input(unusable).map(|unusable| unusable.message().to_owned()).unwrap_or_default()
    };
    let (own, import) = (json!({}), json!({"imported": true}));
    assert!(message(own.clone(), None).contains("no longer exists"));
    assert!(message(import.clone(), None).contains("no longer exists"));
    assert!(
        message(own.clone(), Some(theirs(json!({})))).contains("is not the cluster that this server created")
    );
    assert_eq!(message(import, Some(theirs(json!({})))), "");
    assert_eq!(message(own, Some(ours("Failed", json!({})))), "");
}

#[test]
fn stopped_cluster_is_not_changed() {
    let power = json!({"powerState": {"code": "Stopped"}});
    let stopped = || ours("Succeeded", power.clone());
    let message = "the cluster n is stopped in Azure; start it: az aks start --resource-group g --name n";
    let own = active(json!({"kubernetesVersion": "1.32.1"}));
    assert_eq!(own.clone().cluster(stopped()).step(), refuse(message));
    let import = active(json!({"imported": true})).phase(Phase::New);
    assert_eq!(import.cluster(stopped()).step(), refuse(message));
    assert_eq!(own.clone().phase(Phase::Removing).cluster(stopped()).step(), Step::DeleteCluster);
    // Starting and stopping are operations.
    assert!(own.cluster(ours("Starting", power.clone())).is_waiting());
}
