//! `GET /api/v1/clusters/{id}/upgrade-plan`: the upgrades (hops) to a Kubernetes version, each with its obstacles and the
//! change that starts it.

use aks::upgrade_plan::{Blocker, Hop, Part};
use aks::versions::Version;
use axum::extract::{Path, State};
use axum::response::Response;
use clock::rfc3339;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::plan::{PlanAzure, PlanUnseen};
use crate::api::meta::RENDERERS;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::json;
use crate::api::openapi::failures::UpgradePlanFailures;
use crate::api::state::AppState;
use crate::service::Invalid;
use crate::service::actor::Actor;
use crate::service::catalog::upgrade_plan::ClusterUpgradePlan;

/// The upgrades that bring a cluster to a Kubernetes version. The request changes nothing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UpgradePlan {
    /// The cluster.
    #[schema(example = "c-x7k9z")]
    cluster_id: String,
    /// The time of the plan.
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
    /// The upgrades, in the required order; none if the control plane and the node pools have the version.
    hops: Vec<UpgradeHop>,
    azure: PlanAzure,
    /// The parts of the state that were not read, with the reasons. They may block hops without being listed there.
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
    /// The nodes that are added during the upgrade of a pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    surge: Option<UpgradeSurge>,
    /// The known obstacles. Those that block every change at the moment are listed at the first hop only.
    blocked_by: Vec<UpgradeBlock>,
    /// The change for it, to be sent with a PUT to `/v3/clusters/{id}` together with `name`. Missing keys keep their values;
    /// `nodePools` is a complete list, with the versions after the previous hops.
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

/// The nodes that are added during an upgrade.
#[derive(Serialize, ToSchema)]
struct UpgradeSurge {
    /// The number of nodes.
    nodes: i64,
    /// Their vCPUs, which the quota must have left; `null` if the size is not known.
    vcpus: Option<i64>,
}

/// An obstacle to a hop.
#[derive(Serialize, ToSchema)]
struct UpgradeBlock {
    /// `downgrade`, `versionNotOffered`, `needsLongTermSupport`, `upgradeNotOffered`, `previewOnly`, `poolTooOld`, `quotaShort`,
    /// `clusterStopped`, `clusterBusy`, `poolBusy`, `credentialExpired` or `accessDenied`.
    #[schema(example = "quotaShort")]
    code: &'static str,
    /// One sentence, for users.
    message: String,
    /// The remedy.
    remedy: String,
    /// The document that states the rule.
    source: &'static str,
}

/// The upgrades that bring a cluster to a Kubernetes version, what blocks them, and the changes for them.
///
/// The control plane is upgraded one minor version at a time where Azure allows it, and node pools follow at the end, or earlier
/// if they would be too far behind. The upgrades that Azure lists for this cluster take precedence over the list of the region.
/// Every caller who may see the cluster may request it. Azure is read with the cluster's credential if the caller may use it;
/// otherwise the response says so and is based on the stored state.
#[utoipa::path(
    get,
    path = "/api/v1/clusters/{id}/upgrade-plan",
    operation_id = "getUpgradePlan",
    tag = "Clusters",
    params(
        ("id" = String, Path, description = "The ID", example = "c-x7k9z"),
        (
            "to" = Option<String>, Query, example = "1.34.3",
            description = "The target version, or a minor version for its newest patch; without it, the newest stable version",
        ),
    ),
    responses(
        (status = 200, description = "The upgrades; nothing was changed", body = UpgradePlan),
        UpgradePlanFailures,
    ),
)]
pub(super) async fn get_upgrade_plan(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response, Error> {
    let version = requested_version(&query)?;
    let plan = state.upgrade_plans.get(&actor, &id, version, RENDERERS).await?;
    Ok(json::respond(StatusCode::OK, &UpgradePlan::from(plan)))
}

/// The parameter `to`, which must be a version.
fn requested_version(query: &Query) -> Result<Option<&str>, Invalid> {
    query.reject_unknown(&["to"])?;
    let version = query.trimmed("to");
    if version.is_some_and(|text| Version::parse(text).is_none()) {
        let message = "to must be a version of Kubernetes, for example 1.34.3 or 1.34";
        return Err(Invalid::field("InvalidFormat", "to", message));
    }
    Ok(version)
}

impl From<ClusterUpgradePlan> for UpgradePlan {
    fn from(cluster_plan: ClusterUpgradePlan) -> Self {
        let ClusterUpgradePlan { cluster_id, region, long_term, plan, azure, unseen, at_ms } = cluster_plan;
        Self {
            cluster_id,
            at: rfc3339(at_ms),
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

impl From<Blocker> for UpgradeBlock {
    fn from(blocker: Blocker) -> Self {
        let Blocker { code, message, remedy, source } = blocker;
        Self { code: code.name(), message, remedy, source }
    }
}
