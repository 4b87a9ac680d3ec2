//! The response of the action generateKubeconfig of a cluster.

use axum::response::Response;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::norman::json;
use crate::service::Invalid;

/// The kubeconfig for access to a cluster through this server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GenerateKubeConfigOutput)]
pub(super) struct Kubeconfig<'a> {
    /// Always `generateKubeConfigOutput`.
    #[schema(example = "generateKubeConfigOutput")]
    base_type: &'static str,
    /// The kubeconfig, as YAML. Contains a token that is valid for this cluster only. Empty if the server has no HTTPS.
    config: &'a str,
    /// The reason why there is no kubeconfig, and the remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<&'a str>,
    /// Always `generateKubeConfigOutput`.
    #[schema(example = "generateKubeConfigOutput")]
    r#type: &'static str,
}

/// Responds with the kubeconfig and forbids caching.
pub(super) fn respond(config: &SecretString) -> Response {
    respond_with(config.expose_secret(), None)
}

/// The response of a server without HTTPS. Terraform accepts it and repeats the action at its next refresh; any error would
/// make Terraform destroy the cluster that it has just created.
pub(super) fn respond_empty(reason: &Invalid) -> Response {
    respond_with("", Some(&reason.message))
}

fn respond_with(config: &str, message: Option<&str>) -> Response {
    const TYPE: &str = "generateKubeConfigOutput";
    let output = Kubeconfig { base_type: TYPE, config, message, r#type: TYPE };
    let mut response = json::respond(StatusCode::OK, &output);
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}
