//! Tests of the plan.

mod failures;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::provision::imported::{UserEntries, merge_entries};
use crate::status::UpdateAttempts;
use crate::testing::{config, extended};

const OWNER: &str = "i/c-1";

fn spec(more: Value) -> AksConfig {
    config(extended(json!({"clusterName": "n", "resourceGroup": "g", "kubernetesVersion": "1.31.8"}), more))
}

/// Our cluster in Azure, with additional properties.
fn ours(state: &str, more: Value) -> Value {
    let properties = extended(json!({"provisioningState": state, "kubernetesVersion": "1.31.8"}), more);
    json!({"tags": {"norman-aks-owner": OWNER}, "properties": properties})
}

/// A foreign cluster in Azure.
fn theirs(properties: Value) -> Value {
    json!({ "properties": properties })
}

/// The input of a plan: an active cluster that matches its applied specification.
#[derive(Clone)]
struct Input {
    phase: Phase,
    spec: AksConfig,
    applied: Option<AksConfig>,
    observed: Observed,
    attempts: UpdateAttempts,
    may_retry: bool,
    user_entries: UserEntries,
}

fn active(more: Value) -> Input {
    let pools = json!({"nodePools": [{"name": "a", "mode": "System"}, {"name": "made-in-azure"}]});
    let observed = Observed {
        resource_group: Some(true),
        provider_registered: Some(true),
        upstream: Some(spec(pools)),
        cluster: Some(ours("Succeeded", json!({}))),
        ..Observed::default()
    };
    Input {
        phase: Phase::Active,
        spec: spec(more),
        applied: None,
        observed,
        attempts: UpdateAttempts::default(),
        may_retry: false,
        user_entries: UserEntries::default(),
    }
}

impl Input {
    fn phase(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    fn applied(self, spec: AksConfig) -> Self {
        Self { applied: Some(spec), ..self }
    }

    fn applied_as_desired(self) -> Self {
        let applied = self.spec.clone();
        self.applied(applied)
    }

    fn cluster(mut self, cluster: impl Into<Option<Value>>) -> Self {
        let cluster = cluster.into();
        if cluster.is_none() {
            self.observed.upstream = None;
        }
        self.observed.cluster = cluster;
        self
    }

    fn upstream(mut self, more: Value) -> Self {
        self.observed.upstream = Some(spec(more));
        self
    }

    /// Azure accepted changes of these parts.
    fn written(mut self, parts: &[&str]) -> Self {
        for part in parts {
            *self.attempts.accepted_writes.entry((*part).to_owned()).or_default() += 1;
        }
        self
    }

    fn with_input<T>(&self, call: impl FnOnce(&PlanInput<'_>) -> T) -> T {
        let user_spec = user_spec(&self.spec, self.applied.as_ref());
        let spec = match &self.observed.upstream {
            Some(upstream) if self.spec.is_import() => {
                merge_entries(&user_spec, upstream, &self.user_entries)
            }
            _ => user_spec.clone().into_owned(),
        };
        call(&PlanInput {
            spec: &spec,
            user_spec: &user_spec,
            applied: self.applied.as_ref(),
            phase: self.phase,
            creation_recorded: self.phase != Phase::New,
            owner: OWNER,
            endpoint: Some("https://known.hcp.eastus.azmk8s.io:443"),
            attempts: &self.attempts,
            may_retry: self.may_retry,
            created_pools: &BTreeSet::new(),
            observed: &self.observed,
        })
    }

    fn step(&self) -> Step {
        self.with_input(plan)
    }

    fn is_waiting(&self) -> bool {
        matches!(self.step(), Step::Wait(_))
    }

    fn has_given_up(&self) -> bool {
        matches!(self.step(), Step::GaveUp(_))
    }
}

fn refuse(message: &str) -> Step {
    Step::Refuse(message.to_owned())
}

fn gave_up(message: &str) -> Step {
    Step::GaveUp(message.to_owned())
}

#[test]
fn prerequisites_come_before_the_cluster() {
    let mut new = active(json!({"monitoring": true})).phase(Phase::New).cluster(None);
    new.observed.provider_registered = Some(false);
    new.observed.resource_group = Some(false);
    assert_eq!(new.step(), Step::RegisterProvider);
    new.observed.provider_registered = Some(true);
    assert_eq!(new.step(), Step::CreateResourceGroup);
    new.observed.resource_group = Some(true);
    assert_eq!(new.step(), Step::EnsureWorkspace);
    new.observed.workspace_id = Some("/w".into());
    assert_eq!(new.step(), Step::CreateCluster);
}

#[test]
fn foreign_cluster_is_never_changed_or_deleted() {
    let foreign = active(json!({})).cluster(theirs(json!({"provisioningState": "Succeeded"})));
    let taken = "cluster [n] already exists in AKS. Update configuration or import the existing one";
    assert_eq!(foreign.clone().phase(Phase::New).step(), refuse(taken));
    // The record of a creation alone may be older than the foreign cluster.
    assert_eq!(foreign.clone().phase(Phase::Creating).step(), refuse(taken));
    assert!(matches!(foreign.phase(Phase::Removing).step(), Step::Leave(_)));
    // Without the record of a creation, the tag is a copy.
    assert_eq!(active(json!({})).phase(Phase::New).step(), refuse(taken));
    let other_tag = active(json!({})).cluster(Some(json!({"tags": {"norman-aks-owner": "i/c-2"}})));
    let Step::Leave(text) = other_tag.phase(Phase::Removing).step() else { panic!("taken over") };
    assert!(
        text.starts_with("n in Azure is not the cluster that this server created, so it is left unchanged"),
        "{text}"
    );
}

#[test]
fn running_operation_is_awaited_and_failed_creation_reported() {
    for state in ["Creating", "Scaling", "UpgradingNodeImageVersion", "Accepted", "Reconciling", "NewWord"] {
        let busy = active(json!({})).cluster(ours(&state.to_uppercase(), json!({})));
        assert!(busy.clone().phase(Phase::Creating).is_waiting(), "{state}");
        assert!(busy.applied_as_desired().is_waiting(), "{state}");
    }
    for state in ["Failed", "canceled"] {
        let failed = active(json!({})).phase(Phase::Creating).cluster(ours(state, json!({})));
        let message = format!("creation for cluster [n] status: {state}");
        assert_eq!(failed.clone().written(&["cluster"]).step(), Step::GaveUp(message));
        // Nothing was requested for this specification yet.
        assert_eq!(failed.step(), Step::CreateCluster);
    }
    let pools = json!({"agentPoolProfiles": [{"name": "a", "provisioningState": "Scaling"}]});
    let scaling = active(json!({})).cluster(ours("Succeeded", pools));
    assert_eq!(scaling.step(), Step::Wait("Azure: node pool a is in state Scaling".into()));
}

#[test]
fn changes_are_applied_one_at_a_time_in_order() {
    let applied = spec(json!({"nodePools": [{"name": "a"}]}));
    for (desired, expected) in [
        (json!({}), Step::Finish),
        (json!({"tags": {"x": "y"}, "kubernetesVersion": "1.32.1"}), Step::UpdateTags),
        (
            json!({"kubernetesVersion": "1.32.1", "nodePools": [{"name": "a"}, {"name": "b"}]}),
            Step::UpdateCluster(vec!["kubernetesVersion"]),
        ),
        (json!({"monitoring": true}), Step::EnsureWorkspace),
        (json!({"nodePools": [{"name": "a"}, {"name": "b"}]}), Step::PutPool("b".into())),
        (json!({"nodePools": [{"name": "a"}]}), Step::Finish),
        (
            json!({"nodePools": [{"name": "made-in-azure", "mode": "System"}]}),
            Step::PutPool("made-in-azure".into()),
        ),
        (
            json!({"nodePools": [{"name": "made-in-azure"}]}),
            refuse("cannot remove node pool [a] with mode System from cluster [n]"),
        ),
    ] {
        assert_eq!(active(desired.clone()).applied(applied.clone()).step(), expected, "{desired}");
    }
}

#[test]
fn own_pool_that_is_no_longer_desired_is_deleted_last() {
    let applied = spec(json!({"nodePools": [{"name": "a"}, {"name": "old"}]}));
    let input = active(json!({"nodePools": [{"name": "a"}]})).applied(applied);
    let input = input.upstream(json!({"nodePools": [{"name": "a", "mode": "System"}, {"name": "old"}]}));
    assert_eq!(input.step(), Step::DeletePool("old".into()));
}

#[test]
fn import_is_changed_only_by_its_user_and_never_deleted() {
    let foreign = theirs(json!({"provisioningState": "Succeeded", "kubernetesVersion": "1.31.8"}));
    let import = active(json!({"imported": true, "kubernetesVersion": null})).cluster(foreign.clone());
    assert_eq!(import.clone().phase(Phase::New).step(), Step::Finish);
    assert_eq!(import.clone().applied_as_desired().step(), Step::Finish);
    let changed = active(json!({"imported": true, "kubernetesVersion": "1.32.1"})).cluster(foreign);
    let changed = changed.applied(import.spec.clone());
    assert_eq!(changed.step(), Step::UpdateCluster(vec!["kubernetesVersion"]));
    assert_eq!(import.clone().applied_as_desired().phase(Phase::Removing).step(), Step::Forget);
    assert!(matches!(import.phase(Phase::New).cluster(None).step(), Step::Refuse(_)));
}

#[test]
fn removal_ends_when_nothing_of_ours_is_left_in_azure() {
    let removing = |cluster: Option<Value>| active(json!({})).phase(Phase::Removing).cluster(cluster);
    assert_eq!(removing(Some(ours("Succeeded", json!({})))).step(), Step::DeleteCluster);
    assert_eq!(removing(Some(ours("Failed", json!({})))).step(), Step::DeleteCluster);
    assert!(removing(Some(ours("Deleting", json!({})))).is_waiting());
    assert_eq!(removing(None).step(), Step::Forget);
}

#[test]
fn import_ignores_empty_values_and_keeps_entries_of_others() {
    let failed = theirs(json!({"provisioningState": "Failed"}));
    let import = |more: Value| {
        let import = active(extended(json!({"imported": true, "kubernetesVersion": null}), more));
        let upstream = json!({"tags": {"a": "b"}, "authorizedIpRanges": ["1.1.1.1"], "monitoring": true});
        import.upstream(upstream).cluster(failed.clone())
    };
    let nothing =
        json!({"tags": {}, "authorizedIpRanges": [], "monitoring": false, "httpApplicationRouting": false});
    assert_eq!(import(nothing).phase(Phase::New).step(), Step::Finish);
    assert_eq!(import(json!({"tags": {"c": "d"}})).phase(Phase::New).step(), Step::UpdateTags);
    let before = import(json!({}));
    assert_eq!(before.clone().applied_as_desired().step(), Step::Finish);
    // Entries that others have set remain; those of the user are removed.
    let succeeded = ours("Succeeded", json!({}));
    let mut empty = import(json!({"tags": {}, "authorizedIpRanges": []})).cluster(succeeded.clone());
    empty.applied = Some(before.spec.clone());
    assert_eq!(empty.step(), Step::Finish);
    empty.user_entries = UserEntries { tags: ["a".to_owned()].into(), ..UserEntries::default() };
    assert_eq!(empty.step(), Step::UpdateTags);
    let user_entries = UserEntries { ranges: ["1.1.1.1".to_owned()].into(), ..UserEntries::default() };
    for desired in [empty.clone(), before.cluster(succeeded)] {
        let input =
            Input { user_entries: user_entries.clone(), applied: Some(empty.spec.clone()), ..desired };
        assert_eq!(input.step(), Step::UpdateCluster(vec!["authorizedIpRanges"]), "{:?}", input.spec);
    }
}

#[test]
fn cluster_without_tag_is_identified_by_its_host() {
    let cluster = |tags: Value, host: &str| {
        let properties = json!({"provisioningState": "Succeeded", "fqdn": host});
        active(json!({"kubernetesVersion": "1.32.1"}))
            .cluster(Some(json!({"tags": tags, "properties": properties})))
    };
    let stripped = cluster(json!({}), "KNOWN.hcp.eastus.azmk8s.io");
    assert!(matches!(stripped.step(), Step::UpdateCluster(_)));
    assert_eq!(stripped.phase(Phase::Removing).step(), Step::DeleteCluster);
    for other in [
        cluster(json!({}), "other.hcp.eastus.azmk8s.io"),
        cluster(json!({"norman-aks-owner": "i/c-2"}), "known.hcp.eastus.azmk8s.io"),
    ] {
        let Step::Refuse(text) = other.step() else { panic!("{:?}", other.observed) };
        assert!(text.contains("is not the cluster that this server created"), "{text}");
        assert_eq!(other.phase(Phase::Removing).step(), Step::Leave(text));
    }
}

#[test]
fn ranges_that_are_no_longer_set_are_removed_from_own_clusters() {
    let before = spec(json!({"authorizedIpRanges": ["1.1.1.1/32"]}));
    let (desired, import) = (spec(json!({})), spec(json!({"imported": true})));
    for (spec, applied, expected) in [
        (&desired, Some(&before), Some(vec![])),
        (&desired, Some(&desired), None),
        (&desired, None, None),
        (&import, Some(&before), None),
    ] {
        assert_eq!(user_spec(spec, applied).authorized_ip_ranges, expected, "{applied:?}");
    }
}

#[test]
fn monitoring_is_switched_on_with_a_workspace_and_off_without() {
    let mut on = active(json!({"monitoring": true}));
    on.observed.workspace_id = Some("/w".into());
    let off = active(json!({"monitoring": false})).upstream(json!({"monitoring": true, "nodePools": []}));
    for input in [on, off] {
        assert_eq!(input.step(), Step::UpdateCluster(vec!["monitoring"]));
    }
}
