//! The API document at `/openapi.json` and its page at `/docs`. All files are embedded in the binary; the content security policy
//! allows no others.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use utoipa_swagger_ui::Config;

use super::state::AppState;

/// Swagger UI requires inline styles and images in `data:` URLs; scripts are allowed only from this server.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page; its other files are those of Swagger UI.
const PAGE: &str = include_str!("docs/page.html");

/// Serves `document` and its page.
pub(super) fn router(document: &'static LazyLock<Bytes>) -> Router<AppState> {
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
        .route(
            "/openapi.json",
            get(async || {
                ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], Bytes::clone(document))
            }),
        )
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", get(page))
        .route("/docs/{*file}", get(move |Path(file): Path<String>| async move { asset(&file, config) }))
}

async fn page() -> impl IntoResponse {
    (
        [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_SECURITY_POLICY, CSP),
            (CACHE_CONTROL, "no-cache"),
        ],
        PAGE,
    )
}

/// The file with the settings of Swagger UI.
const SETTINGS: &str = "swagger-initializer.js";

fn asset(name: &str, config: Arc<Config<'static>>) -> Response {
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => {
            // The settings change with this program, the other files only with Swagger UI.
            let cache_control = if name == SETTINGS { "no-cache" } else { "public, max-age=86400" };
            let headers = [
                (CONTENT_TYPE, file.content_type),
                (CONTENT_SECURITY_POLICY, CSP.to_owned()),
                (CACHE_CONTROL, cache_control.to_owned()),
            ];
            (headers, file.bytes.into_owned()).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(error, "cannot read a file of the API page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
