//! `GET /api/v1/clusters/{id}/plan`: what the worker would do next, and why, without doing it.

use aks::provision::preview::{self, Azure, Kind, Unseen};
use aks::status::Waiting;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::methods::reject_others;
use crate::api::norman::error::Error;
use crate::api::norman::reply;
use crate::api::norman::resource::date;
use crate::api::openapi::failures::PlanFailures;
use crate::api::state::AppState;
use crate::service::actor::Actor;
use crate::service::plans::Plan;

/// What the worker would do next for a cluster, as of now. Nothing is changed by asking.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClusterPlan {
    /// The cluster.
    #[schema(example = "c-x7k9z")]
    cluster_id: String,
    /// When this was found out.
    #[schema(format = DateTime)]
    at: String,
    /// The cluster's state: `provisioning`, `active`, `updating` or `removing`.
    #[schema(example = "updating")]
    state: &'static str,
    /// How far the worker is: `new`, `creating`, `active` or `removing`.
    #[schema(example = "active")]
    phase: String,
    /// Which change of the specification is worked on, counted from 1.
    generation: i64,
    step: PlanStep,
    /// What would be done, for people.
    summary: String,
    /// Why, for people.
    reason: String,
    /// The node pool that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "system")]
    pool: Option<String>,
    /// What differs between the specification and Azure. More than one step may come of it, one after the other.
    differences: Vec<PlanDifference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    waiting: Option<PlanWaiting>,
    /// Why the worker's last step failed, when it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failure: Option<String>,
    azure: PlanAzure,
    /// What was not looked at, and why.
    not_looked_at: Vec<PlanUnseen>,
    /// The fields of `aksConfig` that are brought about in the Azure cluster; of an import, often none.
    managed_fields: Vec<&'static str>,
    /// When the worker looks at the cluster next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    next_look: Option<String>,
}

/// The step. `nothing`: everything is as it is wanted. `takeOver`: what Azure has is written into `aksConfig`.
/// `wait`: Azure is at work. `connect`: the cluster is entered and called active. `forget`: the object is removed.
/// `refuse`: somebody must change something first. `gaveUp`: Azure gave up what it was asked for. `blocked`: Azure
/// cannot be asked, and it is tried again. `unknown`: it depends on Azure, which was not asked.
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

/// A field whose value in the specification is not Azure's.
#[derive(Serialize, ToSchema)]
struct PlanDifference {
    /// Which one.
    #[schema(example = "aksConfig.nodePools[0].count")]
    field: String,
    /// What the specification says; null for nothing.
    wanted: Value,
    /// What Azure has; null for nothing.
    found: Value,
}

/// What is waited for.
#[derive(Serialize, ToSchema)]
struct PlanWaiting {
    /// What it is, for people.
    what: String,
    /// Since when.
    #[schema(format = DateTime)]
    since: String,
    /// How far it is, where Azure says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    percent: Option<f64>,
}

/// Whether Azure was asked for this answer.
#[derive(Serialize, ToSchema)]
pub(super) struct PlanAzure {
    outcome: PlanAsked,
    /// Why it was not asked, or did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// `asked`: it answered. `notNeeded`: the step does not depend on it. `notAllowed`: the caller may not use the
/// credential of the cluster. `failed`: it could not be asked, or did not answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum PlanAsked {
    Asked,
    NotNeeded,
    NotAllowed,
    Failed,
}

/// Something that was not looked at.
#[derive(Serialize, ToSchema)]
pub(super) struct PlanUnseen {
    /// `azure`, `cluster`, `resourceGroup`, `provider`, `workspace` or `inside` (of the cluster); in the plan of an upgrade also
    /// `versions`, `upgradeProfile`, `vmSizes` or `quotas`.
    #[schema(example = "inside")]
    what: &'static str,
    /// Why not.
    reason: String,
}

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(reject_others(routes!(get_cluster_plan)))
}

/// What the worker would do next for a cluster, and why, without doing it.
///
/// Whoever may see the cluster may ask. Azure is asked with the cluster's credential when the caller may use it; otherwise
/// the answer says so, and rests on what is known here.
#[utoipa::path(
    get,
    path = "/api/v1/clusters/{id}/plan",
    operation_id = "getClusterPlan",
    tag = "Clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z")),
    responses((status = 200, description = "The next step; nothing was changed", body = ClusterPlan), PlanFailures),
)]
async fn get_cluster_plan(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let plan = state.plans().get(&actor, &id).await?;
    Ok(reply::json(StatusCode::OK, &ClusterPlan::from(plan)))
}

impl From<Plan> for ClusterPlan {
    fn from(plan: Plan) -> Self {
        let Plan { cluster, preview, phase, generation, next_run_ms, at_ms } = plan;
        Self {
            state: cluster.state.name(),
            failure: cluster.status.failure,
            cluster_id: cluster.id,
            at: date(at_ms),
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
            next_look: next_run_ms.map(date),
        }
    }
}

impl From<Kind> for PlanStep {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Nothing => Self::Nothing,
            Kind::TakeOver => Self::TakeOver,
            Kind::RegisterProvider => Self::RegisterProvider,
            Kind::CreateResourceGroup => Self::CreateResourceGroup,
            Kind::EnsureWorkspace => Self::EnsureWorkspace,
            Kind::CreateCluster => Self::CreateCluster,
            Kind::UpdateTags => Self::UpdateTags,
            Kind::UpdateCluster => Self::UpdateCluster,
            Kind::PutPool => Self::PutPool,
            Kind::DeletePool => Self::DeletePool,
            Kind::DeleteCluster => Self::DeleteCluster,
            Kind::Wait => Self::Wait,
            Kind::Connect => Self::Connect,
            Kind::Forget => Self::Forget,
            Kind::Refuse => Self::Refuse,
            Kind::GaveUp => Self::GaveUp,
            Kind::Blocked => Self::Blocked,
            Kind::Unknown => Self::Unknown,
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
        Self { what: waiting.what, since: date(waiting.since_ms), percent: waiting.percent }
    }
}

impl From<Azure> for PlanAzure {
    fn from(azure: Azure) -> Self {
        let (outcome, reason) = match azure {
            Azure::Asked => (PlanAsked::Asked, None),
            Azure::NotNeeded(reason) => (PlanAsked::NotNeeded, Some(reason)),
            Azure::NotAllowed(reason) => (PlanAsked::NotAllowed, Some(reason)),
            Azure::Failed(reason) => (PlanAsked::Failed, Some(reason)),
        };
        Self { outcome, reason }
    }
}

impl From<Unseen> for PlanUnseen {
    fn from(unseen: Unseen) -> Self {
        Self { what: unseen.what, reason: unseen.reason }
    }
}
