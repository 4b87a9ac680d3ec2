//! What is to be done next for a cluster, from what is wanted and what Azure has: one step at a time, decided without
//! asking anybody (contract, sections 18, 20 and 21; the design's table "Azure"). After each step Azure is looked at anew.

use serde_json::Value;

use super::difference::{self, Refused};
use super::upstream::{at, owner, text};
use crate::domain::spec::AksConfig;
use crate::domain::status::Sent;

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
    /// Whether that registration is on its way.
    pub provider_registering: bool,
    /// The id of the Log Analytics workspace, when there is one.
    pub workspace_id: Option<String>,
    /// The cluster in the words of `aksConfig`.
    pub upstream: Option<AksConfig>,
}

/// Everything that the next step depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What the user wants.
    pub spec: &'a AksConfig,
    /// What was wanted when everything was last brought about.
    pub applied: Option<&'a AksConfig>,
    /// Where the cluster stands.
    pub phase: Phase,
    /// Whether a PUT was recorded on the row before it went to Azure, so that what is found may be ours.
    pub claimed: bool,
    /// The mark of our clusters, `<instance>/<cluster id>`.
    pub owner: &'a str,
    /// What Azure was asked to change for what is wanted now.
    pub sent: Option<&'a Sent>,
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
    /// Change the cluster itself; holds the keys that differ, none to have it finished what failed.
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
    /// Somebody must change something first; holds what, for people.
    Refuse(String),
}

impl Step {
    /// What of Azure it changes, as [`Sent::parts`] names it; `None` where it changes nothing.
    pub fn part(&self) -> Option<String> {
        let part = match self {
            Self::RegisterProvider => "provider",
            Self::CreateResourceGroup => "resourceGroup",
            Self::EnsureWorkspace => "workspace",
            Self::CreateCluster | Self::UpdateCluster(_) => "cluster",
            Self::UpdateTags => "tags",
            Self::PutPool(name) | Self::DeletePool(name) => return Some(pool_part(name)),
            Self::DeleteCluster => "removal",
            Self::Wait(_) | Self::Finish | Self::Forget | Self::Refuse(_) => return None,
        };
        Some(part.to_owned())
    }
}

fn pool_part(name: &str) -> String {
    format!("pool/{name}")
}

/// The states of Azure in which it works by itself.
const BUSY: [&str; 8] =
    ["Creating", "Updating", "InProgress", "Scaling", "Upgrading", "Deleting", "Starting", "Stopping"];

/// Decides the next step.
pub fn plan(situation: &Situation<'_>) -> Step {
    let Situation { spec, phase, observed, .. } = *situation;
    let imported = spec.imported == Some(true);
    match (phase, &observed.cluster) {
        (Phase::Removing, found) => remove(situation, found.as_ref(), imported),
        (_, None) if imported => {
            Step::Refuse(format!("{} does not exist in Azure, so it cannot be imported", named(spec)))
        }
        (Phase::Active, None) => Step::Refuse(format!(
            "{} no longer exists in Azure: remove the object, or restore the cluster",
            named(spec)
        )),
        (_, None) => create(situation),
        (Phase::New | Phase::Creating, Some(cluster)) if !imported && !is_ours(situation, cluster) => {
            Step::Refuse(format!(
                "cluster [{}] already exists in AKS. Update configuration or import the existing one",
                named(spec)
            ))
        }
        (_, Some(cluster)) => settle(situation, cluster, imported),
    }
}

fn named(spec: &AksConfig) -> String {
    spec.cluster_name.clone().unwrap_or_default()
}

/// A cluster is ours when we wrote down that we would make it and it carries our mark. A mark alone could have been
/// copied, and our note alone could be older than somebody else's cluster of that name.
fn is_ours(situation: &Situation<'_>, cluster: &Value) -> bool {
    situation.claimed && owner(cluster).as_deref() == Some(situation.owner)
}

fn create(situation: &Situation<'_>) -> Step {
    let (spec, observed) = (situation.spec, situation.observed);
    if observed.provider_registered == Some(false) {
        if observed.provider_registering {
            let what = "Azure: the resource provider Microsoft.ContainerService is being registered";
            return Step::Wait(what.to_owned());
        }
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
    let Situation { spec, observed, applied, .. } = *situation;
    if let Some(step) = unsettled(cluster, situation, imported) {
        return step;
    }
    let nothing = AksConfig::default();
    // An import manages only what its user sets later; what Azure reports was copied from nowhere else.
    let wanted = if imported && applied.is_none() { &nothing } else { spec };
    let Some(upstream) = &observed.upstream else {
        return Step::Wait("Azure to tell the state of the cluster".to_owned());
    };
    match difference::between(wanted, upstream, applied) {
        Err(refused) => Step::Refuse(reason(&refused)),
        Ok(found) => {
            if found.tags {
                return Step::UpdateTags;
            }
            if !found.cluster.is_empty() {
                let workspace_needed = found.cluster.contains(&"monitoring") && spec.monitoring == Some(true);
                if workspace_needed && observed.workspace_id.is_none() {
                    return Step::EnsureWorkspace;
                }
                return Step::UpdateCluster(found.cluster);
            }
            let next = found
                .pools
                .into_iter()
                .map(Step::PutPool)
                .chain(found.removed.into_iter().map(Step::DeletePool))
                .next();
            next.or_else(|| repair(situation, cluster, imported)).unwrap_or(Step::Finish)
        }
    }
}

/// What of ours Azure began and did not finish: sent once more, which is how Azure is asked to go on with it. What failed
/// without us is somebody else's.
fn repair(situation: &Situation<'_>, cluster: &Value, imported: bool) -> Option<Step> {
    let sent = |part: &str| situation.sent.is_some_and(|sent| sent.parts.contains_key(part));
    let making = matches!(situation.phase, Phase::New | Phase::Creating) && !imported;
    if failed(cluster).is_some() && (making || sent("cluster") || sent("tags")) {
        return Some(Step::UpdateCluster(Vec::new()));
    }
    let broken = |name: &str| {
        let pools = at(cluster, &["properties", "agentPoolProfiles"]).and_then(Value::as_array);
        let mut pools = pools.into_iter().flatten();
        pools.any(|pool| {
            text(pool, &["name"]).as_deref() == Some(name)
                && text(pool, &["provisioningState"]).is_some_and(|state| is_failure(&state))
        })
    };
    let names = situation.spec.node_pools.iter().flatten().filter_map(|pool| pool.name.as_deref());
    let mut mine = names.filter(|name| sent(&pool_part(name)));
    mine.find(|name| broken(name)).map(|name| Step::PutPool(name.to_owned()))
}

fn is_failure(state: &str) -> bool {
    ["Failed", "Canceled"].iter().any(|word| state.eq_ignore_ascii_case(word))
}

/// Azure's word, when what it did last with the cluster did not end well.
fn failed(cluster: &Value) -> Option<String> {
    text(cluster, &["properties", "provisioningState"]).filter(|state| is_failure(state))
}

fn reason(refused: &Refused) -> String {
    refused.to_string()
}

/// What to do while Azure has not finished by itself; `None` when it has.
fn unsettled(cluster: &Value, situation: &Situation<'_>, imported: bool) -> Option<Step> {
    let busy = |state: &str| BUSY.iter().any(|word| state.eq_ignore_ascii_case(word));
    if let Some(state) = failed(cluster) {
        let making = matches!(situation.phase, Phase::New | Phase::Creating) && !imported;
        // A change of the specification is the way out of it, so after one a failed cluster is planned like any other.
        let sent = situation.sent.filter(|_| making)?;
        let words = sent.failure.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
        return Some(Step::Refuse(format!(
            "creation for cluster [{}] status: {state}{words}; change the cluster to have it tried again, or remove it",
            named(situation.spec)
        )));
    }
    if let Some(state) = text(cluster, &["properties", "provisioningState"]).filter(|state| busy(state)) {
        return Some(Step::Wait(format!("Azure: the cluster is {state}")));
    }
    let pools = at(cluster, &["properties", "agentPoolProfiles"]).and_then(Value::as_array);
    pools.into_iter().flatten().find_map(|pool| {
        let state = text(pool, &["provisioningState"]).filter(|state| busy(state))?;
        let name = text(pool, &["name"]).unwrap_or_default();
        Some(Step::Wait(format!("Azure: node pool {name} is {state}")))
    })
}

fn remove(situation: &Situation<'_>, found: Option<&Value>, imported: bool) -> Step {
    match found {
        // An imported cluster, and one that somebody else made, stay in Azure.
        _ if imported => Step::Forget,
        None => Step::Forget,
        Some(cluster) if !is_ours(situation, cluster) => Step::Forget,
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
    use serde_json::json;

    use super::*;
    use crate::domain::status::Attempts;

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
        step_after(None, phase, spec, applied, observed)
    }

    fn step_after(
        sent: Option<&Sent>,
        phase: Phase,
        spec: &AksConfig,
        applied: Option<&AksConfig>,
        observed: &Observed,
    ) -> Step {
        plan(&Situation { spec, applied, phase, claimed: phase != Phase::New, owner: OWNER, sent, observed })
    }

    /// That these parts were sent for what is wanted now.
    fn sent(parts: &[&str]) -> Sent {
        let parts = parts.iter().map(|part| ((*part).to_owned(), Attempts { times: 1, at_ms: 0 }));
        Sent { generation: 1, parts: parts.collect(), failure: Some("NoRoom: full".to_owned()) }
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
        assert_eq!(step(Phase::Removing, &wanted, None, &theirs), Step::Forget);
        // Our note alone may be older than somebody else's cluster.
        assert!(matches!(step(Phase::Creating, &wanted, None, &theirs), Step::Refuse(_)));
        // A mark without our own note is a copy.
        let marked = observed(Some(ours("Succeeded")));
        assert!(matches!(step(Phase::New, &wanted, None, &marked), Step::Refuse(_)));
        let other_mark = observed(Some(json!({"tags": {"norman-aks-owner": "i/c-2"}})));
        assert_eq!(step(Phase::Removing, &wanted, None, &other_mark), Step::Forget);
    }

    #[test]
    fn while_azure_works_it_is_waited_for_and_a_failed_creation_is_told() {
        let wanted = spec(json!({}));
        for state in BUSY {
            let seen = observed(Some(ours(&state.to_uppercase())));
            assert!(matches!(step(Phase::Creating, &wanted, None, &seen), Step::Wait(_)), "{state}");
            assert!(matches!(step(Phase::Active, &wanted, Some(&wanted), &seen), Step::Wait(_)), "{state}");
        }
        let failed = observed(Some(ours("Failed")));
        assert_eq!(
            step_after(Some(&sent(&["cluster"])), Phase::Creating, &wanted, None, &failed),
            Step::Refuse(
                "creation for cluster [n] status: Failed: NoRoom: full; change the cluster to have it tried again, or \
                 remove it"
                    .into()
            )
        );
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
    fn what_of_ours_failed_is_sent_again_and_what_of_others_failed_is_left_alone() {
        let wanted = spec(json!({"nodePools": [{"name": "a"}]}));
        let again = Step::UpdateCluster(vec![]);
        for state in ["Failed", "Canceled"] {
            let failed = observed(Some(ours(state)));
            // Nothing was sent for this generation: the user changed something since it failed.
            assert_eq!(step(Phase::Creating, &wanted, None, &failed), again, "{state}");
            assert_eq!(step(Phase::Active, &wanted, Some(&wanted), &failed), Step::Finish, "{state}");
            for part in ["cluster", "tags"] {
                let sent = sent(&[part]);
                assert_eq!(step_after(Some(&sent), Phase::Active, &wanted, Some(&wanted), &failed), again);
            }
        }
        let mut pool = ours("Succeeded");
        pool["properties"]["agentPoolProfiles"] = json!([{"name": "a", "provisioningState": "Failed"}]);
        let pool = observed(Some(pool));
        assert_eq!(step(Phase::Active, &wanted, Some(&wanted), &pool), Step::Finish);
        assert_eq!(
            step_after(Some(&sent(&["pool/a"])), Phase::Active, &wanted, Some(&wanted), &pool),
            Step::PutPool("a".into())
        );
        let import = spec(json!({"imported": true}));
        assert_eq!(step(Phase::New, &import, None, &observed(Some(ours("Failed")))), Step::Finish);
    }

    #[test]
    fn a_registration_is_asked_for_once() {
        let registering =
            Observed { provider_registered: Some(false), provider_registering: true, ..observed(None) };
        assert!(matches!(step(Phase::New, &spec(json!({})), None, &registering), Step::Wait(_)));
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
    fn a_cluster_that_vanished_is_told_and_not_made_again() {
        assert!(matches!(step(Phase::Active, &spec(json!({})), None, &observed(None)), Step::Refuse(_)));
    }
}
