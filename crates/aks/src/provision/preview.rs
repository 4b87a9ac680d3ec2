//! A preview of the next step: the step, its reason, and the data on which it is based. [`plan`](super::plan) decides the step;
//! this module describes it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::difference;
use super::plan::{Phase, PlanInput, Step};
use super::refresh::changes_from_azure;
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
    /// A preview without details; [`Self::azure`] is [`Azure::Asked`].
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
    pub fn from_step(step: &Step, input: &PlanInput<'_>) -> Self {
        let PlanInput { spec, observed, .. } = *input;
        let name = spec.cluster_name.as_deref().unwrap_or_default();
        let (kind, summary, reason) = describe_step(step, input, name);
        let pool = match step {
            Step::PutPool(pool) | Step::DeletePool(pool) => Some(pool.clone()),
            _ => None,
        };
        let differences = match &observed.comparable_upstream() {
            Some(upstream) if input.phase != Phase::Removing => {
                differences(spec, upstream, input.applied, input.created_pools)
            }
            _ => Vec::new(),
        };
        Self { pool, differences, unseen: unseen_parts(step, input), ..Self::new(kind, summary, reason) }
    }

    /// The preview for a cluster that has its desired state.
    pub fn idle(spec: &AksConfig, upstream: &AksConfig) -> Self {
        let (desired, changes) = (json!(spec), changes_from_azure(spec, upstream));
        let mut preview = if changes.is_empty() {
            Self::new(Kind::Nothing, "nothing", "Azure matches the specification")
        } else {
            let keys: Vec<_> = changes.keys().map(String::as_str).collect();
            let summary = format!("adopt from Azure: {}", keys.join(", "));
            Self::new(
                Kind::TakeOver,
                summary,
                "the specification is unchanged, but the values in Azure have changed",
            )
        };
        preview.differences = changes
            .into_iter()
            .map(|(key, found)| Difference {
                wanted: desired.get(&key).cloned().unwrap_or_default(),
                field: format!("aksConfig.{key}"),
                found,
            })
            .collect();
        preview.unseen = vec![unseen_inside()];
        preview
    }
}

fn describe_step(step: &Step, input: &PlanInput<'_>, name: &str) -> (Kind, String, String) {
    let PlanInput { spec, .. } = *input;
    let group = spec.resource_group.as_deref().unwrap_or_default();
    match step {
        Step::RegisterProvider => (
            Kind::RegisterProvider,
            "register the resource provider Microsoft.ContainerService in the subscription".to_owned(),
            "it is not registered, but Azure requires it for clusters".to_owned(),
        ),
        Step::CreateResourceGroup => (
            Kind::CreateResourceGroup,
            format!("create the resource group {group}"),
            "it does not exist".to_owned(),
        ),
        Step::EnsureWorkspace => {
            let workspace = workspace::location(spec);
            let summary = format!(
                "create the Log Analytics workspace {} in resource group {}, or wait for it",
                workspace.name, workspace.group
            );
            (
                Kind::EnsureWorkspace,
                summary,
                "monitoring is enabled, and the workspace is not ready".to_owned(),
            )
        }
        Step::CreateCluster => (
            Kind::CreateCluster,
            format!("create the cluster {name}"),
            "its prerequisites exist, but the cluster does not".to_owned(),
        ),
        Step::UpdateTags => {
            (Kind::UpdateTags, "write the tags".to_owned(), "the tags in Azure differ".to_owned())
        }
        Step::UpdateCluster(keys) if keys.is_empty() => (
            Kind::UpdateCluster,
            format!("reconcile the cluster {name} in Azure"),
            "its last operation failed".to_owned(),
        ),
        Step::UpdateCluster(keys) => (
            Kind::UpdateCluster,
            format!("change the cluster {name}: {}", keys.join(", ")),
            "the values in Azure differ".to_owned(),
        ),
        Step::PutPool(pool) => describe_put_pool(pool, input),
        Step::DeletePool(pool) => (
            Kind::DeletePool,
            format!("delete the node pool {pool}"),
            "this server created it, and it is no longer in the specification".to_owned(),
        ),
        Step::DeleteCluster => (
            Kind::DeleteCluster,
            format!("delete the cluster {name}"),
            "its deletion was requested, and this server created it".to_owned(),
        ),
        Step::Wait(event) => {
            (Kind::Wait, format!("wait for {event}"), "Azure has not finished yet".to_owned())
        }
        Step::Finish => (
            Kind::Connect,
            "connect to the cluster, and mark it active".to_owned(),
            "Azure matches the specification".to_owned(),
        ),
        Step::Forget => (Kind::Forget, "remove the object".to_owned(), forget_reason(input)),
        Step::Leave(reason) => (
            Kind::Forget,
            "remove the object, but keep the cluster in Azure".to_owned(),
            format!("its deletion was requested; {reason}"),
        ),
        Step::Refuse(reason) => {
            (Kind::Refuse, "nothing, until the user resolves the problem".to_owned(), reason.clone())
        }
        Step::GaveUp(message) => (
            Kind::GaveUp,
            "nothing, until aksConfig or Azure changes: an operation of Azure failed".to_owned(),
            message.clone(),
        ),
    }
}

fn describe_put_pool(pool: &str, input: &PlanInput<'_>) -> (Kind, String, String) {
    let exists = input.observed.upstream.as_ref().is_some_and(|upstream| upstream.pool(pool).is_some());
    let (verb, reason) = if exists {
        ("change", "the values in Azure differ, or its last operation failed")
    } else {
        ("create", "it does not exist")
    };
    (Kind::PutPool, format!("{verb} the node pool {pool}"), reason.to_owned())
}

fn forget_reason(input: &PlanInput<'_>) -> String {
    let reason = if input.spec.is_import() {
        "its deletion was requested; an imported cluster stays in Azure"
    } else {
        "its deletion was requested, and nothing that this server created for it remains in Azure"
    };
    reason.to_owned()
}

/// The content of the cluster, which no preview reads.
fn unseen_inside() -> Unseen {
    Unseen { what: "inside", reason: "only the worker connects to the cluster".to_owned() }
}

/// The parts of the state that this preview did not read, with the reasons.
fn unseen_parts(step: &Step, input: &PlanInput<'_>) -> Vec<Unseen> {
    let PlanInput { spec, phase, observed, .. } = *input;
    let reason = |otherwise: &str| {
        let reason = if phase == Phase::Removing {
            "a deletion reads only the cluster"
        } else if observed.cluster.is_some() || spec.is_import() {
            "only the creation of a cluster needs it"
        } else {
            otherwise
        };
        reason.to_owned()
    };
    let mut unseen = Vec::new();
    for (what, is_read) in [
        ("provider", observed.provider_registered.is_some()),
        ("resourceGroup", observed.resource_group.is_some()),
    ] {
        if !is_read {
            unseen.push(Unseen { what, reason: reason("another step comes first") });
        }
    }
    if spec.monitoring != Some(true) {
        unseen.push(Unseen { what: "workspace", reason: "monitoring is not enabled".to_owned() });
    } else if phase == Phase::Active
        && observed.upstream.as_ref().is_some_and(|upstream| upstream.monitoring == Some(true))
    {
        unseen.push(Unseen { what: "workspace", reason: "the cluster is already monitored".to_owned() });
    } else if phase == Phase::Removing || observed.resource_group == Some(false) {
        unseen.push(Unseen { what: "workspace", reason: reason("the resource group does not exist yet") });
    }
    if matches!(step, Step::Finish) {
        unseen.push(unseen_inside());
    }
    unseen
}

/// The fields of `aksConfig` that are applied to an existing cluster; the others are used only when it is created.
pub fn managed(spec: &AksConfig) -> Vec<&'static str> {
    let fields = [
        ("authorizedIpRanges", spec.authorized_ip_ranges.is_some()),
        ("httpApplicationRouting", spec.http_application_routing.is_some()),
        ("kubernetesVersion", spec.kubernetes_version.as_deref().is_some()),
        ("monitoring", spec.monitoring.is_some()),
        ("nodePools", spec.node_pools.as_ref().is_some_and(|pools| !pools.is_empty())),
        ("tags", spec.tags.is_some()),
    ];
    fields.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key).collect()
}

/// The differences by field, according to the plan.
fn differences(
    desired: &AksConfig,
    azure: &AksConfig,
    applied: Option<&AksConfig>,
    created_pools: &BTreeSet<String>,
) -> Vec<Difference> {
    let Ok(differing) = difference::between(desired, azure, applied, created_pools) else {
        return Vec::new();
    };
    let (desired_keys, azure_keys) = (json!(desired), json!(azure));
    let value = |config: &Value, key: &str| config.get(key).cloned().unwrap_or_default();
    let keys = differing.tags.then_some("tags").into_iter().chain(differing.cluster);
    let mut differences: Vec<_> = keys
        .map(|key| Difference {
            field: format!("aksConfig.{key}"),
            wanted: value(&desired_keys, key),
            found: value(&azure_keys, key),
        })
        .collect();
    let pools = desired.node_pools.iter().flatten().enumerate();
    for (index, pool) in
        pools.filter(|(_, pool)| pool.name.as_ref().is_some_and(|name| differing.pools.contains(name)))
    {
        let field = format!("aksConfig.nodePools[{index}]");
        match pool.name.as_ref().and_then(|name| azure.pool(name)) {
            Some(azure_pool) => differences.extend(pool_differences(&field, pool, azure_pool)),
            None => differences.push(Difference { field, wanted: json!(pool), found: Value::Null }),
        }
    }
    for name in &differing.deleted_pools {
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

/// The differences of a pool. Each key is compared by [`difference::between`], as in the plan.
fn pool_differences(field: &str, pool: &NodePool, azure_pool: &NodePool) -> Vec<Difference> {
    let (desired, azure) = (json!(pool), json!(azure_pool));
    let (Some(keys), Some(name)) = (desired.as_object(), desired.get("name")) else { return Vec::new() };
    let differs = |keys: &[&str]| {
        let selected: Map<_, _> = keys
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), desired.get(*key)?.clone())))
            .chain([("name".to_owned(), name.clone())])
            .collect();
        let config = |pool: Value| serde_json::from_value(json!({"nodePools": [pool]})).unwrap_or_default();
        let (desired, azure): (AksConfig, AksConfig) = (config(selected.into()), config(azure.clone()));
        difference::between(&desired, &azure, None, &BTreeSet::new())
            .is_ok_and(|differing| !differing.pools.is_empty())
    };
    let scaling = differs(&SCALING);
    let differing = keys.keys().filter(|key| {
        let key = key.as_str();
        if SCALING.contains(&key) { scaling && desired.get(key) != azure.get(key) } else { differs(&[key]) }
    });
    differing
        .map(|key| Difference {
            field: format!("{field}.{key}"),
            wanted: desired.get(key).cloned().unwrap_or_default(),
            found: azure.get(key).cloned().unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
