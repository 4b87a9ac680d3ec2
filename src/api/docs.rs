//! The API document at `/openapi.json` and the page that shows it at `/docs`: everything comes out of the binary,
//! and the content security policy lets nothing in from elsewhere.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_swagger_ui::Config;

use super::openapi::openapi_json;
use super::state::AppState;

/// Swagger UI sets styles on elements and shows small pictures from data addresses; scripts come from here only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The body of a 401 anywhere under `/meta` and `/v3`.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"type": "error", "status": "401", "message": "Unauthorized 401: must authenticate"}))]
pub(crate) struct UnauthorizedError {
    /// Always `error`.
    r#type: String,
    /// Always `401`, as text.
    status: String,
    /// What to do.
    message: String,
}

/// The body of a 401 of aksCheckCredentials. Azure refuses the credential: `error`, `requestId` and what goes with them. The
/// request has no valid token: `type`, `status` and `message`. One object with all keys, because generators of clients have no
/// good name for a choice between the two.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckRefusal {
    /// Why Azure refuses the credential, in Rancher's words; the text has several lines.
    #[schema(nullable = false)]
    error: Option<String>,
    /// Azure's own code, for example `AADSTS7000215`.
    #[schema(nullable = false)]
    code: Option<String>,
    /// The HTTP status with which Azure refused.
    #[schema(nullable = false)]
    upstream_status: Option<u16>,
    /// What to do about it.
    #[schema(nullable = false)]
    hint: Option<String>,
    /// The id under which the server's log tells the cause.
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// `error`, when the request has no valid token.
    #[schema(nullable = false)]
    r#type: Option<String>,
    /// `401`, as text.
    #[schema(nullable = false)]
    status: Option<String>,
    /// What to do about the missing token.
    #[schema(nullable = false)]
    message: Option<String>,
}

/// Everything else of the page is Swagger UI's, and has these relative addresses.
const PAGE: &str = include_str!("docs/page.html");

pub(super) fn router() -> Router<AppState> {
    let config = Arc::new(
        Config::from("/openapi.json")
            .use_base_layout()
            .validator_url("none")
            .default_models_expand_depth(0)
            .display_request_duration(true)
            .persist_authorization(true)
            .try_it_out_enabled(true),
    );
    Router::new()
        .route("/openapi.json", get(document))
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", get(page))
        .route("/docs/{*file}", get(move |Path(file): Path<String>| async move { asset(&file, config) }))
}

async fn page() -> impl IntoResponse {
    (
        [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (CACHE_CONTROL, "no-cache"),
        ],
        PAGE,
    )
}

/// The file of Swagger UI that says which document to show, and how.
const SETTINGS: &str = "swagger-initializer.js";

/// Made once: it does not change while the program runs.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi_json().into());

async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], DOCUMENT.clone())
}

fn asset(name: &str, config: Arc<Config<'static>>) -> Response {
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => {
            // The settings of the page are this program's; the rest changes only with Swagger UI.
            let keep = if name == SETTINGS { "no-cache" } else { "public, max-age=86400" };
            let headers = [
                (CONTENT_TYPE, file.content_type),
                (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
                (CACHE_CONTROL, keep.to_owned()),
            ];
            (headers, file.bytes.into_owned()).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(error, "a part of the API page cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
