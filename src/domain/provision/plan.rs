//! What is to be done next for a cluster, from what is wanted and what Azure has: one step at a time, decided without
//! asking anybody (contract, sections 18, 20 and 21; the design's table "Azure"). After each step Azure is looked at anew.

use serde_json::Value;

use super::difference::{self, Refused};
use super::upstream::{at, owner, text};
use crate::domain::spec::AksConfig;

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
    /// Somebody must change something first; holds what, for people.
    Refuse(String),
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
    let Situation { spec, phase, observed, applied, .. } = *situation;
    if let Some(step) = unsettled(cluster, spec, phase) {
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
            next.unwrap_or(Step::Finish)
        }
    }
}

fn reason(refused: &Refused) -> String {
    refused.to_string()
}

/// What to do while Azure has not finished by itself; `None` when it has.
fn unsettled(cluster: &Value, spec: &AksConfig, phase: Phase) -> Option<Step> {
    let is = |state: &str, word: &str| state.eq_ignore_ascii_case(word);
    let busy = |state: &str| BUSY.iter().any(|word| is(state, word));
    if let Some(state) = text(cluster, &["properties", "provisioningState"]) {
        if is(&state, "Failed") || is(&state, "Canceled") {
            let name = named(spec);
            return match phase {
                Phase::New | Phase::Creating => {
                    Some(Step::Refuse(format!("creation for cluster [{name}] status: {state}")))
                }
                // A change of the specification is the way out of it, so a failed update is planned like any other.
                _ => None,
            };
        }
        if busy(&state) {
            return Some(Step::Wait(format!("Azure: the cluster is {state}")));
        }
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
        plan(&Situation { spec, applied, phase, claimed: phase != Phase::New, owner: OWNER, observed })
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
            step(Phase::Creating, &wanted, None, &failed),
            Step::Refuse("creation for cluster [n] status: Failed".into())
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
    fn a_registration_is_asked_for_once() {
        let seen = Observed { provider_registered: Some(false), ..observed(None) };
        assert_eq!(step(Phase::New, &spec(json!({})), None, &seen), Step::RegisterProvider);
        let seen = Observed { provider_registering: true, ..seen };
        assert!(matches!(step(Phase::New, &spec(json!({})), None, &seen), Step::Wait(_)));
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
