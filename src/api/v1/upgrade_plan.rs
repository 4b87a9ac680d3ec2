//! `GET /api/v1/clusters/{id}/upgrade-plan`: the hops to a Kubernetes version, what blocks them, and the changes that make them.

use aks::pasted;
use aks::upgrade_plan::{Block, Hop, Part};
use aks::versions::Version;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::plan::{PlanAzure, PlanUnseen};
use crate::api::documented::{DocumentedRouter, routes};
use crate::api::meta::RENDERERS;
use crate::api::methods::reject_others;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::reply;
use crate::api::norman::resource::date;
use crate::api::openapi::failures::UpgradePlanFailures;
use crate::api::state::AppState;
use crate::service::Invalid;
use crate::service::actor::Actor;
use crate::service::catalog::upgrade_plan::ClusterUpgradePlan;

/// The way of a cluster to a Kubernetes version. Nothing is changed by asking.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UpgradePlan {
    /// The cluster.
    #[schema(example = "c-x7k9z")]
    cluster_id: String,
    /// When this was found out.
    #[schema(format = DateTime)]
    at: String,
    /// The region of the cluster.
    #[schema(example = "eastus")]
    region: String,
    /// The version that the control plane runs.
    #[schema(example = "1.32.7")]
    from: String,
    /// The requested version, or the newest stable one.
    #[schema(example = "1.34.3")]
    to: String,
    /// Whether the cluster has long-term support.
    long_term_support: bool,
    /// Whether no hop is blocked, as far as is known.
    possible: bool,
    /// The upgrades, in the order in which they have to be made; none if control plane and node pools have the version.
    hops: Vec<UpgradeHop>,
    azure: PlanAzure,
    /// What was not looked at, and why. What it would block is not among the hops.
    not_looked_at: Vec<PlanUnseen>,
}

/// One upgrade.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UpgradeHop {
    what: UpgradePart,
    /// The node pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "system")]
    pool: Option<String>,
    /// The version before.
    #[schema(example = "1.32.7")]
    from: String,
    /// The version after. A minor version alone if Azure chooses the patch.
    #[schema(example = "1.33.6")]
    to: String,
    /// The nodes that are added while the upgrade of a pool lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    surge: Option<UpgradeSurge>,
    /// What blocks it; empty if nothing does, as far as is known. What blocks every change at the moment is at the first hop.
    blocked_by: Vec<UpgradeBlock>,
    /// The change that makes it, for a PUT to `/v3/clusters/{id}` together with `name`. Keys that it does not have stay as they
    /// are; `nodePools` is a complete list, with the versions of the hops before.
    #[schema(value_type = Object)]
    aks_config: Value,
}

/// The part of the cluster that is upgraded.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum UpgradePart {
    ControlPlane,
    NodePool,
}

/// Nodes that are added for a while.
#[derive(Serialize, ToSchema)]
struct UpgradeSurge {
    /// The number of nodes.
    nodes: i64,
    /// Their vCPUs, which the quota must have left; `null` if the size is not known.
    vcpus: Option<i64>,
}

/// What blocks a hop.
#[derive(Serialize, ToSchema)]
struct UpgradeBlock {
    /// `downgrade`, `versionNotOffered`, `needsLongTermSupport`, `upgradeNotOffered`, `previewOnly`, `poolTooOld`, `quotaShort`,
    /// `clusterStopped`, `clusterBusy`, `poolBusy`, `credentialExpired` or `accessDenied`.
    #[schema(example = "quotaShort")]
    code: &'static str,
    /// One sentence, for people.
    message: String,
    /// What to do about it.
    remedy: String,
    /// The document that says so.
    source: &'static str,
}

pub(super) fn router() -> DocumentedRouter<AppState> {
    DocumentedRouter::new().route(reject_others(routes!(get_upgrade_plan)))
}

/// The upgrades that bring a cluster to a Kubernetes version, what blocks them, and the changes that make them.
///
/// The control plane goes one minor version at a time where Azure allows it, and node pools follow at the end, or before if they
/// would be too far behind. What Azure lists for this cluster wins over the list of the region. Whoever may see the cluster may
/// ask. Azure is asked with the cluster's credential when the caller may use it; otherwise the answer says so, and rests on what
/// is known here.
#[utoipa::path(
    get,
    path = "/api/v1/clusters/{id}/upgrade-plan",
    operation_id = "getUpgradePlan",
    tag = "Clusters",
    params(
        ("id" = String, Path, description = "The id", example = "c-x7k9z"),
        (
            "to" = Option<String>, Query, example = "1.34.3",
            description = "The version to go to, or a minor version for its newest patch; without it, the newest stable version",
        ),
    ),
    responses(
        (status = 200, description = "The upgrades; nothing was changed", body = UpgradePlan),
        UpgradePlanFailures,
    ),
)]
async fn get_upgrade_plan(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response, Error> {
    let wanted = wanted(&query)?;
    let plan = state.upgrade_plans.get(&actor, &id, wanted, RENDERERS).await?;
    Ok(reply::json(StatusCode::OK, &UpgradePlan::from(plan)))
}

/// The requested version.
fn wanted(query: &Query) -> Result<Option<&str>, Invalid> {
    let wanted = query.first("to").map(pasted::trimmed).filter(|text| !text.is_empty());
    if let Some(name) = query.names().find(|name| *name != "to") {
        let message = "there is no parameter of this name; use to";
        return Err(Invalid::field("InvalidOption", name, message));
    }
    if wanted.is_some_and(|text| Version::parse(text).is_none()) {
        let message = "to must be a version of Kubernetes, for example 1.34.3 or 1.34";
        return Err(Invalid::field("InvalidFormat", "to", message));
    }
    Ok(wanted)
}

impl From<ClusterUpgradePlan> for UpgradePlan {
    fn from(found: ClusterUpgradePlan) -> Self {
        let ClusterUpgradePlan { cluster_id, region, long_term, plan, azure, unseen, at_ms } = found;
        Self {
            cluster_id,
            at: date(at_ms),
            region,
            from: plan.from,
            to: plan.to,
            long_term_support: long_term,
            possible: plan.hops.iter().all(|hop| hop.blocked_by.is_empty()),
            hops: plan.hops.into_iter().map(UpgradeHop::from).collect(),
            azure: azure.into(),
            not_looked_at: unseen.into_iter().map(PlanUnseen::from).collect(),
        }
    }
}

impl From<Hop> for UpgradeHop {
    fn from(hop: Hop) -> Self {
        let Hop { part, from, to, surge, blocked_by, change } = hop;
        let (what, pool) = match part {
            Part::ControlPlane => (UpgradePart::ControlPlane, None),
            Part::NodePool(name) => (UpgradePart::NodePool, Some(name)),
        };
        Self {
            what,
            pool,
            from,
            to,
            surge: surge.map(|surge| UpgradeSurge { nodes: surge.nodes, vcpus: surge.vcpus }),
            blocked_by: blocked_by.into_iter().map(UpgradeBlock::from).collect(),
            aks_config: change.into(),
        }
    }
}

impl From<Block> for UpgradeBlock {
    fn from(block: Block) -> Self {
        let Block { code, message, remedy, source } = block;
        Self { code: code.name(), message, remedy, source }
    }
}
