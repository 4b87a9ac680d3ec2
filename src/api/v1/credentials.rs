//! `GET /api/v1/cloudcredentials/pending`: deleted cloud credentials that clusters still use, for administrators.

use axum::extract::State;
use axum::response::Response;
use clock::rfc3339;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Authenticated;
use crate::api::norman::error::Error;
use crate::api::norman::json;
use crate::api::openapi::failures::ReadFailures;
use crate::api::state::AppState;
use crate::service::credentials::{ClusterName, PendingDeletion};

/// The cloud credentials whose deletion is pending.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PendingCredentialList {
    /// The credentials, by time of deletion.
    cloud_credentials: Vec<PendingCredential>,
}

/// A deleted cloud credential that clusters still use.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PendingCredential {
    /// The ID.
    #[schema(example = "cattle-global-data:cc-q2w4x")]
    id: String,
    /// The display name.
    #[schema(example = "shop")]
    name: String,
    /// The ID of the former owner.
    #[schema(example = "user-gxwms")]
    owner_id: String,
    /// The time at which the deletion was accepted.
    #[schema(format = DateTime)]
    deleted: String,
    /// The clusters that use it, oldest first. Its secret is erased after the last use.
    clusters: Vec<CredentialCluster>,
}

/// A cluster that uses a cloud credential.
#[derive(Serialize, ToSchema)]
struct CredentialCluster {
    /// The ID.
    #[schema(example = "c-x7k9z")]
    id: String,
    /// The display name.
    #[schema(example = "shop")]
    name: String,
}

impl From<ClusterName> for CredentialCluster {
    fn from(ClusterName { id, name }: ClusterName) -> Self {
        Self { id, name }
    }
}

impl From<PendingDeletion> for PendingCredential {
    fn from(pending: PendingDeletion) -> Self {
        Self {
            id: pending.credential.id,
            name: pending.credential.name,
            owner_id: pending.credential.owner,
            deleted: rfc3339(pending.deleted_ms),
            clusters: pending.clusters.into_iter().map(CredentialCluster::from).collect(),
        }
    }
}

/// Lists deleted cloud credentials that clusters still use, for administrators.
#[utoipa::path(
    get,
    path = "/api/v1/cloudcredentials/pending",
    operation_id = "listPendingCloudCredentials",
    tag = "Cloud credentials",
    responses((status = 200, description = "The credentials, in the order of their deletion", body = PendingCredentialList), ReadFailures),
)]
pub(super) async fn list_pending_credentials(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
) -> Result<Response, Error> {
    let pending = state.credentials.pending(&caller).await?;
    let cloud_credentials = pending.into_iter().map(PendingCredential::from).collect();
    Ok(json::respond(StatusCode::OK, &PendingCredentialList { cloud_credentials }))
}
