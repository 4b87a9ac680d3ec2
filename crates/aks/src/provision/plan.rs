//! The next step for a cluster, from the desired spec and the observed state: one at a time, decided without I/O
//! (`docs/contract/provisioning.md#phases`). After each step Azure is looked at anew.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::difference::{self, Refused};
use super::upstream::{Unreadable, at, owner, text};
use super::usable::{is_stopped, stopped};
use crate::cluster_details::ClusterDetails;
use crate::spec::AksConfig;
use crate::status::Tried;

/// Where a cluster stands; kept on its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was asked of Azure for it yet.
    #[default]
    New,
    /// Azure was asked to make it.
    Creating,
    /// It is in Azure and was once complete.
    Active,
    /// The user wants it gone.
    Removing,
}

/// What Azure was found to have. Only what was asked is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The cluster as Azure answered; `None` when it answered 404. Anything else than 200 and 404 never comes here.
    pub cluster: Option<Value>,
    /// Whether the resource group is there.
    pub resource_group: Option<bool>,
    /// Whether `Microsoft.ContainerService` is registered in the subscription.
    pub provider_registered: Option<bool>,
    /// The id of the Log Analytics workspace, when there is one.
    pub workspace_id: Option<String>,
    /// The cluster in the words of `aksConfig`.
    pub upstream: Option<AksConfig>,
}

impl Observed {
    /// The cluster in the words of `aksConfig`, with the versions that run: what is wanted is compared with it. Where an
    /// operation failed, the version that Azure was asked for counts as reached, and the failure is reported by itself.
    pub fn compared(&self) -> Option<AksConfig> {
        let (upstream, cluster) = (self.upstream.clone()?, self.cluster.as_ref()?);
        let mut details = ClusterDetails::read(cluster);
        if ended_badly(cluster).is_some() {
            details.running_version = None;
        }
        for pool in failed_pools(cluster) {
            details.pool_versions.remove(&pool);
        }
        Some(details.with_running_versions(upstream))
    }
}

/// Everything that the next step depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What Azure is to have: what the user states, and for an import what others set beside it.
    pub spec: &'a AksConfig,
    /// What the user states.
    pub stated: &'a AksConfig,
    /// What was wanted when everything was last brought about.
    pub applied: Option<&'a AksConfig>,
    /// Where the cluster stands.
    pub phase: Phase,
    /// Whether a PUT was recorded on the row before it went to Azure, so that what is found may be ours.
    pub claimed: bool,
    /// The mark of our clusters, `<instance>/<cluster id>`.
    pub owner: &'a str,
    /// `https://<host>` of the Kubernetes API, as far as it is known: Azure draws a new host for each cluster.
    pub endpoint: Option<&'a str>,
    /// What Azure took for this very specification; its parts are those of [`part`].
    pub tried: &'a Tried,
    /// Whether so much time went by since Azure last took a change that what it could not do then may be possible now.
    pub rested: bool,
    /// The pools that were made, or begun to be made, since everything was last as it was wanted.
    pub made: &'a BTreeSet<String>,
    /// What Azure has.
    pub observed: &'a Observed,
}

/// One thing to do. Nothing here waits: [`Step::Wait`] ends the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Register the resource provider `Microsoft.ContainerService`.
    RegisterProvider,
    /// Make the resource group.
    CreateResourceGroup,
    /// Find or make the Log Analytics workspace.
    EnsureWorkspace,
    /// Make the cluster.
    CreateCluster,
    /// Look again later; holds what is waited for, for people.
    Wait(String),
    /// Write the tags.
    UpdateTags,
    /// Change the cluster itself; holds the keys that differ.
    UpdateCluster(Vec<&'static str>),
    /// Make or change a pool.
    PutPool(String),
    /// Remove a pool of ours.
    DeletePool(String),
    /// Everything is as it is wanted: reach the cluster and call it active.
    Finish,
    /// Remove the cluster in Azure.
    DeleteCluster,
    /// Nothing is left in Azure that is ours: the object may go.
    Forget,
    /// The object may go, and what is in Azure stays, because it is somebody else's; holds what, for people.
    Leave(String),
    /// Azure tried what we asked for and gave up; holds what is in that state.
    GaveUp(String),
    /// Somebody must change something first; holds what, for people.
    Refuse(String),
}

/// How often a part is written for one specification when Azure takes each change and then shows another state.
const MOST_WRITES: u32 = 3;

/// The part of the cluster that a step writes, as it is counted in [`Tried::written`].
pub fn part(step: &Step) -> Option<String> {
    match step {
        Step::CreateCluster | Step::UpdateCluster(_) => Some("cluster".to_owned()),
        Step::UpdateTags => Some("tags".to_owned()),
        Step::PutPool(pool) | Step::DeletePool(pool) => Some(format!("pool {pool}")),
        _ => None,
    }
}

/// What of a specification counts. With an import come words that clients send for "not set"; they are no wish to change a
/// cluster that nobody has seen yet. Address ranges of an own cluster that are no longer said are to go: nobody would
/// expect them to be in force still.
pub fn stated<'a>(spec: &'a AksConfig, applied: Option<&AksConfig>) -> Cow<'a, AksConfig> {
    if spec.imported != Some(true) {
        let before = applied.and_then(|it| it.authorized_ip_ranges.as_ref());
        if spec.authorized_ip_ranges.is_none() && before.is_some_and(|ranges| !ranges.is_empty()) {
            return Cow::Owned(AksConfig { authorized_ip_ranges: Some(Vec::new()), ..spec.clone() });
        }
        return Cow::Borrowed(spec);
    }
    if applied.is_some() {
        return Cow::Borrowed(spec);
    }
    let mut spec = spec.clone();
    spec.tags = spec.tags.filter(|tags| !tags.is_empty());
    spec.authorized_ip_ranges = spec.authorized_ip_ranges.filter(|ranges| !ranges.is_empty());
    spec.http_application_routing = spec.http_application_routing.filter(|on| *on);
    spec.monitoring = spec.monitoring.filter(|on| *on);
    Cow::Owned(spec)
}

/// The states of Azure in which nothing goes on by itself. It has many words for the others, and new ones come.
const SETTLED: [&str; 3] = ["Succeeded", "Failed", "Canceled"];

/// Decides the next step.
pub fn plan(situation: &Situation<'_>) -> Step {
    let Situation { spec, phase, observed, .. } = *situation;
    let imported = spec.imported == Some(true);
    match (phase, &observed.cluster) {
        (Phase::Removing, found) => remove(situation, found.as_ref(), imported),
        (Phase::Active, None) => Step::Refuse(missing(spec)),
        (_, None) if imported => {
            Step::Refuse(format!("{} does not exist in Azure, so it cannot be imported", named(spec)))
        }
        (_, None) => create(situation),
        (Phase::New | Phase::Creating, Some(cluster)) if !imported && !is_ours(situation, cluster) => {
            Step::Refuse(format!(
                "cluster [{}] already exists in AKS. Update configuration or import the existing one",
                named(spec)
            ))
        }
        (Phase::Active, Some(cluster)) if !imported && !is_ours(situation, cluster) => {
            Step::Refuse(foreign(spec))
        }
        (_, Some(cluster)) => settle(situation, cluster, imported),
    }
}

/// That a cluster which was there is gone.
pub(super) fn missing(spec: &AksConfig) -> String {
    format!("{} no longer exists in Azure: remove the object, or restore the cluster", named(spec))
}

/// That there is another cluster in its place.
pub(super) fn foreign(spec: &AksConfig) -> String {
    format!(
        "{} in Azure is not the cluster that was made here, and is left alone: remove the object, and import the cluster if it \
         is to be managed",
        named(spec)
    )
}

/// That Azure does not say the least about it.
pub(super) fn unreadable(spec: &AksConfig) -> String {
    Unreadable::NoVersion(named(spec)).to_string()
}

pub(super) fn named(spec: &AksConfig) -> String {
    spec.cluster_name.clone().unwrap_or_default()
}

/// A cluster is ours when we wrote down that we would make it and it carries our mark. A mark alone could have been
/// copied, and our note alone could be older than somebody else's cluster of that name. When the tags were replaced in Azure,
/// the host of its API still tells it from every other.
pub(super) fn is_ours(situation: &Situation<'_>, cluster: &Value) -> bool {
    let known_host = || {
        let host = situation.endpoint?.strip_prefix("https://")?.split([':', '/']).next()?;
        let hosts = ["fqdn", "privateFQDN"].into_iter().filter_map(|key| text(cluster, &["properties", key]));
        Some(hosts.into_iter().any(|known| known.eq_ignore_ascii_case(host)))
    };
    situation.claimed
        && match owner(cluster) {
            Some(owner) => owner == situation.owner,
            None => known_host() == Some(true),
        }
}

fn create(situation: &Situation<'_>) -> Step {
    let (spec, observed) = (situation.spec, situation.observed);
    if observed.provider_registered == Some(false) {
        return Step::RegisterProvider;
    }
    if observed.resource_group == Some(false) {
        return Step::CreateResourceGroup;
    }
    if spec.monitoring == Some(true) && observed.workspace_id.is_none() {
        return Step::EnsureWorkspace;
    }
    Step::CreateCluster
}

fn settle(situation: &Situation<'_>, cluster: &Value, imported: bool) -> Step {
    let Situation { spec, phase, observed, applied, tried, rested, .. } = *situation;
    let written = &tried.written;
    if let Some(what) = working(cluster) {
        return Step::Wait(what);
    }
    if is_stopped(cluster) {
        return Step::Refuse(stopped(spec));
    }
    let state = ended_badly(cluster);
    let name = named(spec);
    if let (Some(state), Phase::New | Phase::Creating, false) = (&state, phase, imported) {
        // Another specification is another attempt.
        let again = !written.contains_key("cluster");
        let gave_up = || Step::GaveUp(format!("creation for cluster [{name}] status: {state}"));
        return if again { create(situation) } else { gave_up() };
    }
    let Some(upstream) = &observed.compared() else {
        return Step::Refuse(unreadable(spec));
    };
    // No cluster is without a pool: such an answer says nothing about them.
    let none = |of: &AksConfig| of.node_pools.as_ref().is_none_or(Vec::is_empty);
    if !none(spec) && none(upstream) {
        return Step::Wait("Azure to tell of the node pools".to_owned());
    }
    let found = match difference::between(spec, upstream, applied, situation.made) {
        Err(refused) => return Step::Refuse(reason(&refused)),
        Ok(found) => found,
    };
    // Somebody in Azure who insists on tags (a policy) is not fought, once they were written.
    if found.tags && (!written.contains_key("tags") || tried.failed.contains("tags")) {
        return bounded(Step::UpdateTags, situation);
    }
    // What is only looked at is not repaired: that somebody else's change failed is not our business.
    let wanted = applied != Some(situation.stated) && !(imported && applied.is_none());
    if !found.cluster.is_empty() {
        let workspace_needed = found.cluster.contains(&"monitoring") && spec.monitoring == Some(true);
        if workspace_needed && observed.workspace_id.is_none() {
            return Step::EnsureWorkspace;
        }
        return bounded(Step::UpdateCluster(found.cluster), situation);
    }
    if let (Some(state), true) = (state, wanted) {
        let asked = written.contains_key("cluster") || tried.failed.contains("tags");
        if asked && !rested {
            return Step::GaveUp(format!("update failed for cluster [{name}], status: {state}"));
        }
        return Step::UpdateCluster(Vec::new());
    }
    if let Some(pool) = found.pools.into_iter().next() {
        return bounded(Step::PutPool(pool), situation);
    }
    let failed: Vec<String> =
        failed_pools(cluster).into_iter().filter(|pool| wanted && names(spec, pool)).collect();
    let mut repairs = failed.iter().map(|pool| Step::PutPool(pool.clone()));
    let untried = |step: &Step| rested || part(step).is_some_and(|part| !written.contains_key(&part));
    if let Some(step) = repairs.find(untried) {
        return step;
    }
    if let Some(pool) = failed.first() {
        return Step::GaveUp(format!("update failed for cluster [{name}], node pool {pool} status: Failed"));
    }
    match found.removed.into_iter().next() {
        Some(pool) => bounded(Step::DeletePool(pool), situation),
        None => Step::Finish,
    }
}

/// The step, unless Azure took it often enough and always shows something else afterwards; then only now and then.
fn bounded(step: Step, situation: &Situation<'_>) -> Step {
    let part = part(&step).unwrap_or_default();
    match situation.tried.written.get(&part) {
        Some(times) if *times >= MOST_WRITES && !situation.rested => Step::GaveUp(format!(
            "Azure took the change of the {part} {times} times and still shows another state: look at it in Azure, or change \
             aksConfig"
        )),
        _ => step,
    }
}

fn names(spec: &AksConfig, name: &str) -> bool {
    spec.node_pools.iter().flatten().any(|pool| pool.name.as_deref() == Some(name))
}

fn reason(refused: &Refused) -> String {
    refused.to_string()
}

fn is_end(state: &str) -> bool {
    ["Failed", "Canceled"].iter().any(|word| word.eq_ignore_ascii_case(state))
}

/// The state of a cluster whose last operation failed.
fn ended_badly(cluster: &Value) -> Option<String> {
    text(cluster, &["properties", "provisioningState"]).filter(|state| is_end(state))
}

/// The pools whose last operation failed.
fn failed_pools(cluster: &Value) -> Vec<String> {
    let pools = at(cluster, &["properties", "agentPoolProfiles"]).and_then(Value::as_array);
    let failed = |pool: &&Value| text(pool, &["provisioningState"]).is_some_and(|state| is_end(&state));
    pools.into_iter().flatten().filter(failed).filter_map(|pool| text(pool, &["name"])).collect()
}

/// What Azure still does by itself, for people.
fn working(cluster: &Value) -> Option<String> {
    let busy = |state: &String| !SETTLED.iter().any(|word| word.eq_ignore_ascii_case(state));
    if let Some(state) = text(cluster, &["properties", "provisioningState"]).filter(busy) {
        return Some(format!("Azure: the cluster is {state}"));
    }
    let pools = at(cluster, &["properties", "agentPoolProfiles"]).and_then(Value::as_array);
    pools.into_iter().flatten().find_map(|pool| {
        let state = text(pool, &["provisioningState"]).filter(busy)?;
        let name = text(pool, &["name"]).unwrap_or_default();
        Some(format!("Azure: node pool {name} is {state}"))
    })
}

fn remove(situation: &Situation<'_>, found: Option<&Value>, imported: bool) -> Step {
    match found {
        // An imported cluster, and one that somebody else made, stay in Azure.
        _ if imported => Step::Forget,
        None => Step::Forget,
        Some(cluster) if !is_ours(situation, cluster) => Step::Leave(foreign(situation.spec)),
        Some(cluster) => {
            let state = text(cluster, &["properties", "provisioningState"]);
            match state.filter(|state| state.eq_ignore_ascii_case("Deleting")) {
                Some(_) => Step::Wait("Azure: the cluster is Deleting".to_owned()),
                None => Step::DeleteCluster,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::imported::{Named, merged};
    use super::super::usable::unusable;
    use super::*;

    const OWNER: &str = "i/c-1";

    fn spec(more: Value) -> AksConfig {
        let mut spec = json!({"clusterName": "n", "resourceGroup": "g", "kubernetesVersion": "1.31.8"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn ours(state: &str) -> Value {
        json!({"tags": {"norman-aks-owner": OWNER}, "properties": {"provisioningState": state, "kubernetesVersion": "1.31.8"}})
    }

    fn observed(cluster: Option<Value>) -> Observed {
        let upstream = cluster.as_ref().map(|_| {
            spec(json!({"nodePools": [{"name": "a", "mode": "System"}, {"name": "made-in-azure"}]}))
        });
        Observed {
            cluster,
            upstream,
            resource_group: Some(true),
            provider_registered: Some(true),
            ..Observed::default()
        }
    }

    fn step(phase: Phase, spec: &AksConfig, applied: Option<&AksConfig>, observed: &Observed) -> Step {
        after(&[], phase, spec, applied, observed)
    }

    /// The step after Azure took changes of these parts.
    fn after(
        parts: &[&str],
        phase: Phase,
        spec: &AksConfig,
        applied: Option<&AksConfig>,
        observed: &Observed,
    ) -> Step {
        let mut written = BTreeMap::new();
        for part in parts {
            *written.entry((*part).to_owned()).or_default() += 1;
        }
        let tried = Tried { written, ..Tried::default() };
        planned(phase, spec, applied, observed, (&tried, false))
    }

    fn planned(
        phase: Phase,
        spec: &AksConfig,
        applied: Option<&AksConfig>,
        observed: &Observed,
        tried: (&Tried, bool),
    ) -> Step {
        planned_with(&Named::default(), phase, spec, applied, observed, tried)
    }

    /// The step of a user who named these entries of an import before.
    fn planned_with(
        named: &Named,
        phase: Phase,
        spec: &AksConfig,
        applied: Option<&AksConfig>,
        observed: &Observed,
        (tried, rested): (&Tried, bool),
    ) -> Step {
        let claimed = phase != Phase::New;
        let endpoint = Some("https://known.hcp.eastus.azmk8s.io:443");
        let stated = stated(spec, applied);
        let spec = match &observed.upstream {
            Some(upstream) if spec.imported == Some(true) => merged(&stated, upstream, named),
            _ => stated.clone().into_owned(),
        };
        plan(&Situation {
            spec: &spec,
            stated: &stated,
            applied,
            phase,
            claimed,
            owner: OWNER,
            endpoint,
            tried,
            rested,
            made: &BTreeSet::new(),
            observed,
        })
    }

    #[test]
    fn a_new_cluster_is_made_after_what_it_stands_on() {
        let wanted = spec(json!({"monitoring": true}));
        let nothing = observed(None);
        for (seen, expected) in [
            (
                Observed { provider_registered: Some(false), resource_group: Some(false), ..nothing.clone() },
                Step::RegisterProvider,
            ),
            (Observed { resource_group: Some(false), ..nothing.clone() }, Step::CreateResourceGroup),
            (nothing.clone(), Step::EnsureWorkspace),
            (Observed { workspace_id: Some("/w".into()), ..nothing.clone() }, Step::CreateCluster),
        ] {
            assert_eq!(step(Phase::New, &wanted, None, &seen), expected);
        }
    }

    #[test]
    fn a_cluster_of_somebody_else_is_never_taken_over_changed_or_removed() {
        let wanted = spec(json!({}));
        let theirs = observed(Some(json!({"properties": {"provisioningState": "Succeeded"}})));
        let taken = step(Phase::New, &wanted, None, &theirs);
        assert_eq!(
            taken,
            Step::Refuse(
                "cluster [n] already exists in AKS. Update configuration or import the existing one".into()
            )
        );
        assert!(matches!(step(Phase::Removing, &wanted, None, &theirs), Step::Leave(_)));
        // Our note alone may be older than somebody else's cluster.
        assert!(matches!(step(Phase::Creating, &wanted, None, &theirs), Step::Refuse(_)));
        // A mark without our own note is a copy.
        let marked = observed(Some(ours("Succeeded")));
        assert!(matches!(step(Phase::New, &wanted, None, &marked), Step::Refuse(_)));
        let other_mark = observed(Some(json!({"tags": {"norman-aks-owner": "i/c-2"}})));
        let Step::Leave(text) = step(Phase::Removing, &wanted, None, &other_mark) else {
            panic!("taken over")
        };
        assert!(
            text.starts_with("n in Azure is not the cluster that was made here, and is left alone"),
            "{text}"
        );
    }

    #[test]
    fn while_azure_works_it_is_waited_for_and_a_failed_creation_is_told() {
        let wanted = spec(json!({}));
        for state in
            ["Creating", "Scaling", "UpgradingNodeImageVersion", "Accepted", "Reconciling", "NewWord"]
        {
            let seen = observed(Some(ours(&state.to_uppercase())));
            assert!(matches!(step(Phase::Creating, &wanted, None, &seen), Step::Wait(_)), "{state}");
            assert!(matches!(step(Phase::Active, &wanted, Some(&wanted), &seen), Step::Wait(_)), "{state}");
        }
        for state in ["Failed", "canceled"] {
            let failed = observed(Some(ours(state)));
            assert_eq!(
                after(&["cluster"], Phase::Creating, &wanted, None, &failed),
                Step::GaveUp(format!("creation for cluster [n] status: {state}"))
            );
            // Nothing was asked of Azure for this specification yet.
            assert_eq!(step(Phase::Creating, &wanted, None, &failed), Step::CreateCluster);
        }
        let mut scaling = ours("Succeeded");
        scaling["properties"]["agentPoolProfiles"] = json!([{"name": "a", "provisioningState": "Scaling"}]);
        assert_eq!(
            step(Phase::Active, &wanted, None, &observed(Some(scaling))),
            Step::Wait("Azure: node pool a is Scaling".into())
        );
    }

    #[test]
    fn changes_come_one_at_a_time_tags_first_then_the_cluster_then_pools() {
        let seen = observed(Some(ours("Succeeded")));
        let applied = spec(json!({"nodePools": [{"name": "a"}]}));
        for (wanted, expected) in [
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
                Step::Refuse("cannot remove node pool [a] with mode System from cluster [n]".into()),
            ),
        ] {
            assert_eq!(
                step(Phase::Active, &spec(wanted.clone()), Some(&applied), &seen),
                expected,
                "{wanted}"
            );
        }
    }

    #[test]
    fn a_pool_of_ours_that_is_no_longer_wanted_goes_last() {
        let mut seen = observed(Some(ours("Succeeded")));
        seen.upstream = Some(spec(json!({"nodePools": [{"name": "a", "mode": "System"}, {"name": "old"}]})));
        let applied = spec(json!({"nodePools": [{"name": "a"}, {"name": "old"}]}));
        let wanted = spec(json!({"nodePools": [{"name": "a"}]}));
        assert_eq!(step(Phase::Active, &wanted, Some(&applied), &seen), Step::DeletePool("old".into()));
    }

    #[test]
    fn an_import_is_only_looked_at_until_its_user_changes_something_and_never_removed_in_azure() {
        let seen = observed(Some(
            json!({"properties": {"provisioningState": "Succeeded", "kubernetesVersion": "1.31.8"}}),
        ));
        let import = spec(json!({"imported": true, "kubernetesVersion": null}));
        assert_eq!(step(Phase::New, &import, None, &seen), Step::Finish);
        assert_eq!(step(Phase::Active, &import, Some(&import), &seen), Step::Finish);
        let changed = spec(json!({"imported": true, "kubernetesVersion": "1.32.1"}));
        assert_eq!(
            step(Phase::Active, &changed, Some(&import), &seen),
            Step::UpdateCluster(vec!["kubernetesVersion"])
        );
        assert_eq!(step(Phase::Removing, &import, Some(&import), &seen), Step::Forget);
        assert!(matches!(step(Phase::New, &import, None, &observed(None)), Step::Refuse(_)));
    }

    #[test]
    fn removing_ends_when_azure_has_nothing_of_ours_left() {
        let wanted = spec(json!({}));
        assert_eq!(
            step(Phase::Removing, &wanted, None, &observed(Some(ours("Succeeded")))),
            Step::DeleteCluster
        );
        assert_eq!(
            step(Phase::Removing, &wanted, None, &observed(Some(ours("Failed")))),
            Step::DeleteCluster
        );
        assert!(matches!(
            step(Phase::Removing, &wanted, None, &observed(Some(ours("Deleting")))),
            Step::Wait(_)
        ));
        assert_eq!(step(Phase::Removing, &wanted, None, &observed(None)), Step::Forget);
    }

    #[test]
    fn an_import_takes_a_cluster_as_it_is_and_words_for_nothing_as_nothing() {
        let mut failed = observed(Some(json!({"properties": {"provisioningState": "Failed"}})));
        let import = |more: Value| {
            let mut spec = spec(more);
            (spec.imported, spec.kubernetes_version) = (Some(true), None);
            spec
        };
        let nothing = json!({"tags": {}, "authorizedIpRanges": [], "monitoring": false, "httpApplicationRouting": false});
        failed.upstream =
            Some(spec(json!({"tags": {"a": "b"}, "authorizedIpRanges": ["1.1.1.1"], "monitoring": true})));
        assert_eq!(step(Phase::New, &import(nothing.clone()), None, &failed), Step::Finish);
        assert_eq!(step(Phase::New, &import(json!({"tags": {"c": "d"}})), None, &failed), Step::UpdateTags);
        let before = import(json!({}));
        // What others set stays; what the user named goes.
        let empty = import(json!({"tags": {}, "authorizedIpRanges": []}));
        failed.cluster = Some(ours("Succeeded"));
        assert_eq!(step(Phase::Active, &empty, Some(&before), &failed), Step::Finish);
        let named = Named { tags: ["a".to_owned()].into(), ..Named::default() };
        let tried = (&Tried::default(), false);
        assert_eq!(
            planned_with(&named, Phase::Active, &empty, Some(&before), &failed, tried),
            Step::UpdateTags
        );
        let named = Named { ranges: ["1.1.1.1".to_owned()].into(), ..Named::default() };
        let ranges = Step::UpdateCluster(vec!["authorizedIpRanges"]);
        for wanted in [&empty, &before] {
            assert_eq!(
                planned_with(&named, Phase::Active, wanted, Some(&empty), &failed, tried),
                ranges,
                "{wanted:?}"
            );
        }
        failed.cluster = Some(json!({"properties": {"provisioningState": "Failed"}}));
        assert_eq!(step(Phase::Active, &before, Some(&before), &failed), Step::Finish);
    }

    #[test]
    fn what_azure_gave_up_is_told_and_tried_again_only_for_another_specification() {
        let (before, wanted) = (spec(json!({})), spec(json!({"nodePools": [{"name": "a"}], "tags": {}})));
        let failed = observed(Some(ours("Failed")));
        let now = |parts: &[&str], seen: &Observed| after(parts, Phase::Active, &wanted, Some(&before), seen);
        assert_eq!(now(&[], &failed), Step::UpdateCluster(vec![]));
        assert_eq!(
            now(&["cluster"], &failed),
            Step::GaveUp("update failed for cluster [n], status: Failed".into())
        );
        assert_eq!(
            step(Phase::Active, &wanted, Some(&wanted), &failed),
            Step::Finish,
            "nothing new is wanted"
        );
        let mut cluster = ours("Succeeded");
        cluster["properties"]["agentPoolProfiles"] = json!([{"name": "made-in-azure", "provisioningState": "Failed"}, {"name": "a", "provisioningState": "Failed"}]);
        let pool = observed(Some(cluster));
        assert_eq!(now(&[], &pool), Step::PutPool("a".into()));
        assert_eq!(
            now(&["pool a"], &pool),
            Step::GaveUp("update failed for cluster [n], node pool a status: Failed".into())
        );
        assert_eq!(step(Phase::Active, &wanted, Some(&wanted), &pool), Step::Finish);
    }

    #[test]
    fn what_azure_takes_and_does_not_show_is_not_written_for_ever() {
        let seen = observed(Some(ours("Succeeded")));
        let wanted = spec(json!({"tags": {"a": "b"}, "kubernetesVersion": "1.32.1"}));
        let now = |parts: &[&str]| after(parts, Phase::Active, &wanted, None, &seen);
        assert_eq!(now(&[]), Step::UpdateTags);
        let version = Step::UpdateCluster(vec!["kubernetesVersion"]);
        assert_eq!(now(&["tags"]), version, "a policy that sets tags is not fought");
        assert_eq!(now(&["tags", "cluster", "cluster"]), version);
        let Step::GaveUp(text) = now(&["tags", "cluster", "cluster", "cluster"]) else {
            panic!("written for ever")
        };
        assert!(text.starts_with("Azure took the change of the cluster 3 times"), "{text}");
        let pools = spec(json!({"nodePools": [{"name": "a"}, {"name": "b"}]}));
        let thrice = ["pool b", "pool b", "pool b"];
        assert!(matches!(after(&thrice, Phase::Active, &pools, None, &seen), Step::GaveUp(_)));
    }

    #[test]
    fn a_cluster_whose_mark_was_taken_away_is_known_by_its_host_and_another_one_is_left_alone() {
        let cluster = |tags: Value, host: &str| {
            observed(Some(
                json!({"tags": tags, "properties": {"provisioningState": "Succeeded", "fqdn": host}}),
            ))
        };
        let wanted = spec(json!({"kubernetesVersion": "1.32.1"}));
        let stripped = cluster(json!({}), "KNOWN.hcp.eastus.azmk8s.io");
        assert!(matches!(step(Phase::Active, &wanted, None, &stripped), Step::UpdateCluster(_)));
        assert_eq!(step(Phase::Removing, &wanted, None, &stripped), Step::DeleteCluster);
        for other in [
            cluster(json!({}), "other.hcp.eastus.azmk8s.io"),
            cluster(json!({"norman-aks-owner": "i/c-2"}), "known.hcp.eastus.azmk8s.io"),
        ] {
            let Step::Refuse(text) = step(Phase::Active, &wanted, None, &other) else { panic!("{other:?}") };
            assert!(text.contains("is not the cluster that was made here"), "{text}");
            assert_eq!(step(Phase::Removing, &wanted, None, &other), Step::Leave(text));
        }
    }

    #[test]
    fn a_cluster_that_azure_does_not_describe_is_told() {
        let mut seen = observed(Some(ours("Succeeded")));
        seen.upstream = None;
        let words = "cannot detect cluster [n] upstream kubernetes version";
        assert_eq!(step(Phase::Active, &spec(json!({})), None, &seen), Step::Refuse(words.into()));
    }

    #[test]
    fn pools_are_not_made_again_because_azure_does_not_tell_of_them() {
        let mut seen = observed(Some(ours("Succeeded")));
        seen.upstream = Some(spec(json!({"nodePools": []})));
        let wanted = spec(json!({"nodePools": [{"name": "a"}]}));
        assert!(matches!(step(Phase::Active, &wanted, Some(&wanted), &seen), Step::Wait(_)));
        assert_eq!(step(Phase::Active, &spec(json!({})), None, &seen), Step::Finish);
    }

    #[test]
    fn what_azure_could_not_do_is_tried_again_after_a_rest() {
        let wanted = spec(json!({"nodePools": [{"name": "a"}, {"name": "b"}]}));
        let tried = |part: &str, times: u32| Tried {
            written: BTreeMap::from([(part.to_owned(), times)]),
            ..Tried::default()
        };
        let now = |seen: &Observed, tried: &Tried, rested: bool| {
            planned(Phase::Active, &wanted, None, seen, (tried, rested))
        };
        let seen = observed(Some(ours("Succeeded")));
        assert!(matches!(now(&seen, &tried("pool b", 7), false), Step::GaveUp(_)));
        assert_eq!(now(&seen, &tried("pool b", 7), true), Step::PutPool("b".into()));
        let failed = observed(Some(ours("Failed")));
        assert!(matches!(now(&failed, &tried("cluster", 1), false), Step::GaveUp(_)));
        assert_eq!(now(&failed, &tried("cluster", 1), true), Step::UpdateCluster(vec![]));
    }

    #[test]
    fn tags_that_azure_gave_up_are_written_again_but_not_for_ever() {
        let seen = observed(Some(ours("Succeeded")));
        let wanted = spec(json!({"tags": {"a": "b"}}));
        let mut tried = Tried { written: BTreeMap::from([("tags".to_owned(), 1)]), ..Tried::default() };
        let now = |tried: &Tried| planned(Phase::Active, &wanted, None, &seen, (tried, false));
        assert_eq!(now(&tried), Step::Finish);
        tried.failed.insert("tags".to_owned());
        assert_eq!(now(&tried), Step::UpdateTags);
        tried.written.insert("tags".to_owned(), 3);
        assert!(matches!(now(&tried), Step::GaveUp(_)));
        // Where Azure shows the tags and says that their change failed, it is told as well.
        let shown = observed(Some(ours("Failed")));
        let same = spec(json!({"tags": {}}));
        let told = planned(Phase::Active, &same, None, &shown, (&tried, false));
        assert_eq!(told, Step::GaveUp("update failed for cluster [n], status: Failed".into()));
    }

    #[test]
    fn ranges_that_are_no_longer_said_go_from_an_own_cluster() {
        let ranges = |spec: &AksConfig| spec.authorized_ip_ranges.clone();
        let before = spec(json!({"authorizedIpRanges": ["1.1.1.1/32"]}));
        let wanted = spec(json!({}));
        assert_eq!(ranges(&stated(&wanted, Some(&before))), Some(vec![]));
        assert_eq!(ranges(&stated(&wanted, Some(&wanted))), None, "never managed");
        assert_eq!(ranges(&stated(&wanted, None)), None);
        let import = spec(json!({"imported": true}));
        assert_eq!(ranges(&stated(&import, Some(&before))), None);
    }

    #[test]
    fn a_cluster_that_vanished_is_told_and_not_made_again() {
        let gone =
            Step::Refuse("n no longer exists in Azure: remove the object, or restore the cluster".to_owned());
        for imported in [false, true] {
            let wanted = spec(json!({"imported": imported}));
            assert_eq!(step(Phase::Active, &wanted, Some(&wanted), &observed(None)), gone);
        }
        // One whose creation was asked for and that is not there yet is asked for again.
        assert_eq!(step(Phase::Creating, &spec(json!({})), None, &observed(None)), Step::CreateCluster);
    }

    #[test]
    fn monitoring_is_switched_on_once_its_workspace_is_there_and_off_without() {
        let seen = observed(Some(ours("Succeeded")));
        let with = Observed { workspace_id: Some("/w".into()), ..seen.clone() };
        let on = spec(json!({"monitoring": true}));
        assert_eq!(step(Phase::Active, &on, None, &with), Step::UpdateCluster(vec!["monitoring"]));
        let mut watched = seen;
        watched.upstream = Some(spec(json!({"monitoring": true, "nodePools": []})));
        let off = spec(json!({"monitoring": false}));
        assert_eq!(step(Phase::Active, &off, None, &watched), Step::UpdateCluster(vec!["monitoring"]));
    }

    #[test]
    fn what_is_lost_is_told_while_nothing_is_wanted() {
        let (own, import) = (spec(json!({})), spec(json!({"imported": true})));
        let told = |spec: &AksConfig, seen: &Observed| {
            let found = unusable(&Situation {
                spec,
                stated: spec,
                applied: Some(spec),
                phase: Phase::Active,
                claimed: true,
                owner: OWNER,
                endpoint: None,
                tried: &Tried::default(),
                rested: false,
                made: &BTreeSet::new(),
                observed: seen,
            });
            found.map(|found| found.message().to_owned())
        };
        let theirs = observed(Some(json!({"properties": {}})));
        assert!(told(&own, &observed(None)).unwrap().contains("no longer exists"));
        assert!(told(&import, &observed(None)).unwrap().contains("no longer exists"));
        assert!(told(&own, &theirs).unwrap().contains("is not the cluster that was made here"));
        assert_eq!(told(&import, &theirs), None);
        assert_eq!(told(&own, &observed(Some(ours("Failed")))), None);
    }

    #[test]
    fn a_stopped_cluster_is_neither_changed_nor_entered() {
        let mut cluster = ours("Succeeded");
        cluster["properties"]["powerState"] = json!({"code": "Stopped"});
        let stopped = observed(Some(cluster.clone()));
        let words = "the cluster n is stopped in Azure; start it: az aks start --resource-group g --name n";
        let refused = Step::Refuse(words.to_owned());
        let (own, import) = (spec(json!({"kubernetesVersion": "1.32.1"})), spec(json!({"imported": true})));
        assert_eq!(step(Phase::Active, &own, None, &stopped), refused);
        assert_eq!(step(Phase::New, &import, None, &stopped), refused);
        assert_eq!(step(Phase::Removing, &own, None, &stopped), Step::DeleteCluster);
        // What is being started or stopped is waited for.
        cluster["properties"]["provisioningState"] = "Starting".into();
        assert!(matches!(step(Phase::Active, &own, None, &observed(Some(cluster))), Step::Wait(_)));
    }
}
