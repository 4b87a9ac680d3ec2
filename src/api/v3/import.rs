//! `/v3/import/<token>_<clusterId>.yaml`: the manifest that registers a cluster
//! (`docs/contract/registration.md#import-manifest`). The URL is the secret, so it never appears in the log. Responses
//! are plain text for kubectl; the API document, which describes JSON, does not contain the path.

use aks::registration::ManifestName;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;

use crate::api::documented::DocumentedRouter;
use crate::api::norman::error::Error;
use crate::api::norman::links::Links;
use crate::api::request::RequestContext;
use crate::api::state::AppState;
use crate::service::registration::ManifestError;

pub(super) fn router() -> DocumentedRouter<AppState> {
    DocumentedRouter::new().undocumented("/v3/import/{file}", get(get_manifest))
}

/// The query of a manifest.
#[derive(Debug, Deserialize)]
struct ManifestQuery {
    /// The kube-api-auth image of an authorized cluster endpoint. Unused on AKS; only validated.
    #[serde(rename = "authImage")]
    auth_image: Option<String>,
}

/// The manifest that registers a cluster's agent. The URL is the secret, so no token is needed.
async fn get_manifest(
    State(state): State<AppState>,
    Path(file): Path<String>,
    Query(query): Query<ManifestQuery>,
    context: RequestContext,
    links: Links,
) -> Response {
    let (token, cluster_id) = match ManifestName::parse(&file) {
        ManifestName::Valid { token, cluster_id } => (token, cluster_id),
        ManifestName::Incomplete => {
            let text = "invalid filename format, expected {token}_{clusterId}.yaml";
            return plain_text(StatusCode::BAD_REQUEST, text.to_owned());
        }
        ManifestName::Other => return plain_text(StatusCode::NOT_FOUND, "404 page not found".to_owned()),
    };
    let auth_image = query.auth_image.as_deref();
    match state.registration.manifest(token, cluster_id, auth_image, &links.url("")).await {
        Ok(manifest) => plain_text(StatusCode::OK, manifest),
        Err(ManifestError::Other(error)) => Error::from(error).into_response(),
        Err(error) => {
            if matches!(error, ManifestError::Unknown) {
                state.login_failures().record(context.client_ip).await;
            }
            plain_text(StatusCode::BAD_REQUEST, error.to_string())
        }
    }
}

fn plain_text(status: StatusCode, text: String) -> Response {
    let text = if text.ends_with('\n') { text } else { text + "\n" };
    let mut response = (status, text).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
