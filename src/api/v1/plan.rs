//! `GET /api/v1/clusters/{id}/plan`: previews the worker's next step and its reason, without executing it.

use aks::provision::preview::{self, Azure as AzureOutcome, Kind as StepKind, Unseen};
use aks::status::Waiting;
use axum::extract::{Path, State};
use axum::response::Response;
use clock::rfc3339;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::norman::error::Error;
use crate::api::norman::json;
use crate::api::openapi::failures::PlanFailures;
use crate::api::state::AppState;
use crate::service::actor::Actor;
use crate::service::plans::Plan;

/// The worker's next step for a cluster at this time. The request changes nothing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClusterPlan {
    /// The ID of the cluster.
    #[schema(example = "c-x7k9z")]
    cluster_id: String,
    /// The time of the preview.
    #[schema(format = DateTime)]
    at: String,
    /// The state of the cluster: `provisioning`, `active`, `updating` or `removing`.
    #[schema(example = "updating")]
    state: &'static str,
    /// The phase: `new`, `creating`, `active` or `removing`.
    #[schema(example = "active")]
    phase: String,
    /// The generation of the specification, counted from 1.
    generation: i64,
    step: PlanStep,
    /// A summary of the step, for users.
    summary: String,
    /// The reason for the step, for users.
    reason: String,
    /// The node pool that the step changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "system")]
    pool: Option<String>,
    /// The differences between the specification and Azure. They may require several steps, one after the other.
    differences: Vec<PlanDifference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    waiting: Option<PlanWaiting>,
    /// The reason why the worker's last step failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failure: Option<String>,
    azure: PlanAzure,
    /// The parts of the state that were not read, with the reasons.
    not_looked_at: Vec<PlanUnseen>,
    /// The fields of `aksConfig` that are applied to the Azure cluster; for an import often none.
    managed_fields: Vec<&'static str>,
    /// The time of the worker's next run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    next_look: Option<String>,
}

/// The step. `nothing`: Azure matches the specification. `takeOver`: Azure's values are written to `aksConfig`. `wait`: an
/// operation in Azure is in progress. `connect`: the server connects to the cluster and marks it active. `forget`: the object is
/// deleted. `refuse`: a user must change something first. `gaveUp`: the last operation in Azure failed or had no effect. `blocked`:
/// Azure is unavailable, and the request is retried. `unknown`: the step depends on Azure, to which no request was sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum PlanStep {
    Nothing,
    TakeOver,
    RegisterProvider,
    CreateResourceGroup,
    EnsureWorkspace,
    CreateCluster,
    UpdateTags,
    UpdateCluster,
    PutPool,
    DeletePool,
    DeleteCluster,
    Wait,
    Connect,
    Forget,
    Refuse,
    GaveUp,
    Blocked,
    Unknown,
}

/// A field whose value in the specification differs from Azure's.
#[derive(Serialize, ToSchema)]
struct PlanDifference {
    /// The path of the field.
    #[schema(example = "aksConfig.nodePools[0].count")]
    field: String,
    /// The value in the specification; `null` if it is unset.
    wanted: Value,
    /// The value in Azure; `null` if it is unset.
    found: Value,
}

/// The operation that the worker waits for.
#[derive(Serialize, ToSchema)]
struct PlanWaiting {
    /// A description, for users.
    what: String,
    /// The start of the wait.
    #[schema(format = DateTime)]
    since: String,
    /// The progress in percent, if Azure reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    percent: Option<f64>,
}

/// Whether a request was sent to Azure for this preview.
#[derive(Serialize, ToSchema)]
pub(super) struct PlanAzure {
    outcome: PlanAsked,
    /// The reason why no request was sent, or why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// `asked`: Azure responded. `notNeeded`: the step does not depend on Azure. `notAllowed`: the caller may not use the credential
/// of the cluster. `failed`: the request could not be sent, or failed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum PlanAsked {
    Asked,
    NotNeeded,
    NotAllowed,
    Failed,
}

/// A part of the state that was not read.
#[derive(Serialize, ToSchema)]
pub(super) struct PlanUnseen {
    /// `azure`, `cluster`, `resourceGroup`, `provider`, `workspace` or `inside` (of the cluster); in the plan of an upgrade also
    /// `versions`, `upgradeProfile`, `vmSizes` or `quotas`.
    #[schema(example = "inside")]
    what: &'static str,
    /// The reason.
    reason: String,
}

/// Previews the worker's next step for a cluster, and its reason, without executing it.
///
/// Every caller who may see the cluster may request it. Azure is read with the cluster's credential if the caller may use it;
/// otherwise the response says so and is based on the stored state.
#[utoipa::path(
    get,
    path = "/api/v1/clusters/{id}/plan",
    operation_id = "getClusterPlan",
    tag = "Clusters",
    params(("id" = String, Path, description = "The ID", example = "c-x7k9z")),
    responses((status = 200, description = "The next step; nothing was changed", body = ClusterPlan), PlanFailures),
)]
pub(super) async fn get_cluster_plan(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let plan = state.plans().get(&actor, &id).await?;
    Ok(json::respond(StatusCode::OK, &ClusterPlan::from(plan)))
}

impl From<Plan> for ClusterPlan {
    fn from(plan: Plan) -> Self {
        let Plan { cluster, preview, phase, generation, next_run_ms, at_ms } = plan;
        Self {
            state: cluster.state.name(),
            failure: cluster.status.failure,
            cluster_id: cluster.id,
            at: rfc3339(at_ms),
            phase,
            generation,
            step: preview.kind.into(),
            summary: preview.summary,
            reason: preview.reason,
            pool: preview.pool,
            differences: preview.differences.into_iter().map(PlanDifference::from).collect(),
            waiting: preview.waiting.map(PlanWaiting::from),
            azure: preview.azure.into(),
            not_looked_at: preview.unseen.into_iter().map(PlanUnseen::from).collect(),
            managed_fields: preview.managed,
            next_look: next_run_ms.map(rfc3339),
        }
    }
}

impl From<StepKind> for PlanStep {
    fn from(kind: StepKind) -> Self {
        match kind {
            StepKind::Nothing => Self::Nothing,
            StepKind::TakeOver => Self::TakeOver,
            StepKind::RegisterProvider => Self::RegisterProvider,
            StepKind::CreateResourceGroup => Self::CreateResourceGroup,
            StepKind::EnsureWorkspace => Self::EnsureWorkspace,
            StepKind::CreateCluster => Self::CreateCluster,
            StepKind::UpdateTags => Self::UpdateTags,
            StepKind::UpdateCluster => Self::UpdateCluster,
            StepKind::PutPool => Self::PutPool,
            StepKind::DeletePool => Self::DeletePool,
            StepKind::DeleteCluster => Self::DeleteCluster,
            StepKind::Wait => Self::Wait,
            StepKind::Connect => Self::Connect,
            StepKind::Forget => Self::Forget,
            StepKind::Refuse => Self::Refuse,
            StepKind::GaveUp => Self::GaveUp,
            StepKind::Blocked => Self::Blocked,
            StepKind::Unknown => Self::Unknown,
        }
    }
}

impl From<preview::Difference> for PlanDifference {
    fn from(difference: preview::Difference) -> Self {
        Self { field: difference.field, wanted: difference.wanted, found: difference.found }
    }
}

impl From<Waiting> for PlanWaiting {
    fn from(waiting: Waiting) -> Self {
        Self { what: waiting.what, since: rfc3339(waiting.since_ms), percent: waiting.percent }
    }
}

impl From<AzureOutcome> for PlanAzure {
    fn from(azure: AzureOutcome) -> Self {
        let (outcome, reason) = match azure {
            AzureOutcome::Asked => (PlanAsked::Asked, None),
            AzureOutcome::NotNeeded(reason) => (PlanAsked::NotNeeded, Some(reason)),
            AzureOutcome::NotAllowed(reason) => (PlanAsked::NotAllowed, Some(reason)),
            AzureOutcome::Failed(reason) => (PlanAsked::Failed, Some(reason)),
        };
        Self { outcome, reason }
    }
}

impl From<Unseen> for PlanUnseen {
    fn from(unseen: Unseen) -> Self {
        Self { what: unseen.what, reason: unseen.reason }
    }
}
