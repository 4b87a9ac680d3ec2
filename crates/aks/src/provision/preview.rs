//! A preview of the next step: the step, its reason, and the data on which it is based. [`plan`](super::plan) decides the step;
//! this module describes it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::difference;
use super::plan::{Phase, Situation, Step};
use super::refresh::taken_over;
use super::workspace;
use crate::spec::{AksConfig, NodePool};
use crate::status::Waiting;

/// A preview of the next step of the worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The kind of step.
    pub kind: Kind,
    /// A description of the step.
    pub summary: String,
    /// The reason.
    pub reason: String,
    /// The node pool of the step.
    pub pool: Option<String>,
    /// The differences between the specification and Azure, which may need several steps.
    pub differences: Vec<Difference>,
    /// The operation that the worker waits for.
    pub waiting: Option<Waiting>,
    /// Whether Azure was queried.
    pub azure: Azure,
    /// The parts of the state that were not read.
    pub unseen: Vec<Unseen>,
    /// The fields of `aksConfig` that are applied in Azure.
    pub managed: Vec<&'static str>,
}

/// The kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Azure matches the desired state.
    Nothing,
    /// Azure's values are written to `aksConfig`.
    TakeOver,
    /// [`Step::RegisterProvider`]
    RegisterProvider,
    /// [`Step::CreateResourceGroup`]
    CreateResourceGroup,
    /// [`Step::EnsureWorkspace`]
    EnsureWorkspace,
    /// [`Step::CreateCluster`]
    CreateCluster,
    /// [`Step::UpdateTags`]
    UpdateTags,
    /// [`Step::UpdateCluster`]
    UpdateCluster,
    /// [`Step::PutPool`]
    PutPool,
    /// [`Step::DeletePool`]
    DeletePool,
    /// [`Step::DeleteCluster`]
    DeleteCluster,
    /// [`Step::Wait`], or a long-running operation of Azure.
    Wait,
    /// [`Step::Finish`]
    Connect,
    /// [`Step::Forget`]
    Forget,
    /// The user must change something first.
    Refuse,
    /// An operation of Azure failed.
    GaveUp,
    /// Unknown because Azure cannot be queried; the worker retries.
    Blocked,
    /// Unknown because Azure was not queried.
    Unknown,
}

/// A field whose value in the specification differs from Azure's.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// `aksConfig.nodePools[0].count`
    pub field: String,
    /// The value in the specification; null if unset.
    pub wanted: Value,
    /// The value in Azure; null if unset.
    pub found: Value,
}

/// Whether Azure was queried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Azure {
    /// A request was sent, and Azure responded.
    Asked,
    /// The step does not depend on Azure; contains the reason.
    NotNeeded(String),
    /// The caller may not use the credential of the cluster; contains the message.
    NotAllowed(String),
    /// The query failed; contains the reason.
    Failed(String),
}

/// A part of the state that was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// `azure`, `cluster`, `resourceGroup`, `provider`, `workspace` or `inside`.
    pub what: &'static str,
    /// The reason.
    pub reason: String,
}

impl Preview {
    /// A preview without data from Azure.
    pub fn new(kind: Kind, summary: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            kind,
            summary: summary.into(),
            reason: reason.into(),
            pool: None,
            differences: Vec::new(),
            waiting: None,
            azure: Azure::Asked,
            unseen: Vec::new(),
            managed: Vec::new(),
        }
    }

    /// The preview of a step.
    pub fn of(step: &Step, situation: &Situation<'_>) -> Self {
        let Situation { spec, observed, .. } = *situation;
        let name = spec.cluster_name.as_deref().unwrap_or_default();
        let (kind, summary, reason) = words(step, situation, name);
        let pool = match step {
            Step::PutPool(pool) | Step::DeletePool(pool) => Some(pool.clone()),
            _ => None,
        };
        let differences = match &observed.compared() {
            Some(upstream) if situation.phase != Phase::Removing => {
                differences(spec, upstream, situation.applied, situation.made)
            }
            _ => Vec::new(),
        };
        Self { pool, differences, unseen: unseen(step, situation), ..Self::new(kind, summary, reason) }
    }

    /// The preview for a cluster that has its desired state.
    pub fn idle(spec: &AksConfig, upstream: &AksConfig) -> Self {
        let (own, changes) = (json!(spec), taken_over(spec, upstream));
        let mut preview = if changes.is_empty() {
            Self::new(Kind::Nothing, "nothing", "Azure has everything as it is wanted")
        } else {
            let keys: Vec<_> = changes.keys().map(String::as_str).collect();
            let summary = format!("take over from Azure: {}", keys.join(", "));
            Self::new(Kind::TakeOver, summary, "nothing new is wanted, and Azure has other values by now")
        };
        preview.differences = changes
            .into_iter()
            .map(|(key, found)| Difference {
                wanted: own.get(&key).cloned().unwrap_or_default(),
                field: format!("aksConfig.{key}"),
                found,
            })
            .collect();
        preview.unseen = vec![inside()];
        preview
    }
}

fn words(step: &Step, situation: &Situation<'_>, name: &str) -> (Kind, String, String) {
    let Situation { spec, .. } = *situation;
    let group = spec.resource_group.as_deref().unwrap_or_default();
    let (kind, summary, reason) = match step {
        Step::RegisterProvider => (
            Kind::RegisterProvider,
            "register the resource provider Microsoft.ContainerService in the subscription".to_owned(),
            "it is not registered, and without it Azure has no clusters".to_owned(),
        ),
        Step::CreateResourceGroup => (
            Kind::CreateResourceGroup,
            format!("make the resource group {group}"),
            "it does not exist".to_owned(),
        ),
        Step::EnsureWorkspace => {
            let place = workspace::place(spec);
            let summary = format!(
                "make the Log Analytics workspace {} in resource group {}, or wait for it",
                place.name, place.group
            );
            (
                Kind::EnsureWorkspace,
                summary,
                "monitoring is wanted, and the workspace is not ready".to_owned(),
            )
        }
        Step::CreateCluster => (
            Kind::CreateCluster,
            format!("ask Azure to make the cluster {name}"),
            "what it stands on is there, and it is not".to_owned(),
        ),
        Step::UpdateTags => {
            (Kind::UpdateTags, "write the tags".to_owned(), "the tags in Azure are others".to_owned())
        }
        Step::UpdateCluster(keys) if keys.is_empty() => (
            Kind::UpdateCluster,
            format!("ask Azure to bring the cluster {name} to its state again"),
            "its last operation failed".to_owned(),
        ),
        Step::UpdateCluster(keys) => (
            Kind::UpdateCluster,
            format!("change the cluster {name}: {}", keys.join(", ")),
            "Azure has other values".to_owned(),
        ),
        Step::PutPool(pool) => return put_pool(pool, situation),
        Step::DeletePool(pool) => (
            Kind::DeletePool,
            format!("remove the node pool {pool}"),
            "it was made here and is no longer in the specification".to_owned(),
        ),
        Step::DeleteCluster => (
            Kind::DeleteCluster,
            format!("ask Azure to remove the cluster {name}"),
            "its removal was asked for, and this server made it".to_owned(),
        ),
        Step::Wait(what) => (Kind::Wait, format!("wait for {what}"), "Azure is at work".to_owned()),
        Step::Finish => (
            Kind::Connect,
            "go into the cluster, make sure of the way, and call it active".to_owned(),
            "Azure has everything as it is wanted".to_owned(),
        ),
        Step::Forget => (Kind::Forget, "remove the object".to_owned(), forget(situation)),
        Step::Leave(why) => (
            Kind::Forget,
            "remove the object, and leave the cluster in Azure alone".to_owned(),
            format!("its removal was asked for; {why}"),
        ),
        Step::Refuse(why) => {
            (Kind::Refuse, "nothing, until somebody changes something".to_owned(), why.clone())
        }
        Step::GaveUp(what) => (
            Kind::GaveUp,
            "nothing, until aksConfig or Azure changes: Azure gave up what it was asked for".to_owned(),
            what.clone(),
        ),
    };
    (kind, summary, reason)
}

fn put_pool(pool: &str, situation: &Situation<'_>) -> (Kind, String, String) {
    let exists = situation.observed.upstream.as_ref().is_some_and(|upstream| upstream.pool(pool).is_some());
    let (verb, reason) = if exists {
        ("change", "Azure has other values, or its last operation failed")
    } else {
        ("make", "it does not exist")
    };
    (Kind::PutPool, format!("{verb} the node pool {pool}"), reason.to_owned())
}

fn forget(situation: &Situation<'_>) -> String {
    let why = if situation.spec.is_import() {
        "its removal was asked for; an imported cluster stays in Azure"
    } else {
        "its removal was asked for, and nothing of it is left in Azure that this server made"
    };
    why.to_owned()
}

fn inside() -> Unseen {
    Unseen { what: "inside", reason: "only the worker goes into the cluster".to_owned() }
}

fn unseen(step: &Step, situation: &Situation<'_>) -> Vec<Unseen> {
    let Situation { spec, phase, observed, .. } = *situation;
    let why = |rest: &str| {
        let reason = if phase == Phase::Removing {
            "a removal needs to know only of the cluster"
        } else if observed.cluster.is_some() || spec.is_import() {
            "only a cluster that is to be made needs it"
        } else {
            rest
        };
        reason.to_owned()
    };
    let mut unseen = Vec::new();
    for (what, seen) in [
        ("provider", observed.provider_registered.is_some()),
        ("resourceGroup", observed.resource_group.is_some()),
    ] {
        if !seen {
            unseen.push(Unseen { what, reason: why("another step comes first") });
        }
    }
    if spec.monitoring != Some(true) {
        unseen.push(Unseen { what: "workspace", reason: "monitoring is not wanted".to_owned() });
    } else if phase == Phase::Active
        && observed.upstream.as_ref().is_some_and(|it| it.monitoring == Some(true))
    {
        unseen.push(Unseen { what: "workspace", reason: "the cluster is monitored already".to_owned() });
    } else if phase == Phase::Removing || observed.resource_group == Some(false) {
        unseen.push(Unseen { what: "workspace", reason: why("the resource group is not there yet") });
    }
    if matches!(step, Step::Finish) {
        unseen.push(inside());
    }
    unseen
}

/// The fields of `aksConfig` that are applied to an existing cluster; the others are used only when it is created.
pub fn managed(spec: &AksConfig) -> Vec<&'static str> {
    let set = [
        ("authorizedIpRanges", spec.authorized_ip_ranges.is_some()),
        ("httpApplicationRouting", spec.http_application_routing.is_some()),
        ("kubernetesVersion", spec.kubernetes_version.as_deref().is_some()),
        ("monitoring", spec.monitoring.is_some()),
        ("nodePools", spec.node_pools.as_ref().is_some_and(|pools| !pools.is_empty())),
        ("tags", spec.tags.is_some()),
    ];
    set.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect()
}

/// The differences by field, according to the plan.
fn differences(
    wanted: &AksConfig,
    azure: &AksConfig,
    applied: Option<&AksConfig>,
    made: &BTreeSet<String>,
) -> Vec<Difference> {
    let Ok(found) = difference::between(wanted, azure, applied, made) else { return Vec::new() };
    let (own, theirs) = (json!(wanted), json!(azure));
    let value = |of: &Value, key: &str| of.get(key).cloned().unwrap_or_default();
    let keys = found.tags.then_some("tags").into_iter().chain(found.cluster);
    let mut differences: Vec<_> = keys
        .map(|key| Difference {
            field: format!("aksConfig.{key}"),
            wanted: value(&own, key),
            found: value(&theirs, key),
        })
        .collect();
    let pools = wanted.node_pools.iter().flatten().enumerate();
    for (index, pool) in
        pools.filter(|(_, pool)| pool.name.as_ref().is_some_and(|name| found.pools.contains(name)))
    {
        let field = format!("aksConfig.nodePools[{index}]");
        match pool.name.as_ref().and_then(|name| azure.pool(name)) {
            Some(theirs) => differences.extend(in_pool(&field, pool, theirs)),
            None => differences.push(Difference { field, wanted: json!(pool), found: Value::Null }),
        }
    }
    for name in &found.removed {
        differences.push(Difference {
            field: "aksConfig.nodePools".to_owned(),
            wanted: Value::Null,
            found: json!(azure.pool(name)),
        });
    }
    differences
}

/// Keys that are compared together.
const SCALING: [&str; 4] = ["count", "enableAutoScaling", "maxCount", "minCount"];

/// The differences of a pool. [`difference::between`] compares each key separately, so that there is only one comparison.
fn in_pool(field: &str, pool: &NodePool, theirs: &NodePool) -> Vec<Difference> {
    let (own, other) = (json!(pool), json!(theirs));
    let (Some(keys), Some(name)) = (own.as_object(), own.get("name")) else { return Vec::new() };
    let differs = |keys: &[&str]| {
        let only: Map<_, _> = keys
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), own.get(*key)?.clone())))
            .chain([("name".to_owned(), name.clone())])
            .collect();
        let config = |pool: Value| serde_json::from_value(json!({"nodePools": [pool]})).unwrap_or_default();
        let (wanted, azure): (AksConfig, AksConfig) = (config(only.into()), config(other.clone()));
        difference::between(&wanted, &azure, None, &BTreeSet::new())
            .is_ok_and(|found| !found.pools.is_empty())
    };
    let scaling = differs(&SCALING);
    let differing = keys.keys().filter(|key| {
        let key = key.as_str();
        if SCALING.contains(&key) { scaling && own.get(key) != other.get(key) } else { differs(&[key]) }
    });
    differing
        .map(|key| Difference {
            field: format!("{field}.{key}"),
            wanted: own.get(key).cloned().unwrap_or_default(),
            found: other.get(key).cloned().unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
