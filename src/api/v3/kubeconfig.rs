//! What the action generateKubeconfig of a cluster answers (terraform contract, section 5.3).

use axum::response::Response;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::norman::reply;

/// The way into a cluster through this server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GenerateKubeConfigOutput)]
pub(super) struct Kubeconfig<'a> {
    /// Always `generateKubeConfigOutput`.
    #[schema(example = "generateKubeConfigOutput")]
    base_type: &'static str,
    /// The kubeconfig, as YAML. Holds a token that is good for this cluster only.
    config: &'a str,
    /// Always `generateKubeConfigOutput`.
    #[schema(example = "generateKubeConfigOutput")]
    r#type: &'static str,
}

/// The answer. Nothing on the way may keep it.
pub(super) fn answer(config: &SecretString) -> Response {
    const TYPE: &str = "generateKubeConfigOutput";
    let output = Kubeconfig { base_type: TYPE, config: config.expose_secret(), r#type: TYPE };
    let mut response = reply::json(StatusCode::OK, &output);
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}
