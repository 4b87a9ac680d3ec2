//! `/v3` and `/v3/schemas`: the entry points for clients.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::schemas;
use crate::api::auth::Authenticated;
use crate::api::documented::{DocumentedRouter, routes};
use crate::api::methods::reject_others;
use crate::api::norman::collection::Collection;
use crate::api::norman::error::Error;
use crate::api::norman::json;
use crate::api::norman::links::Links;
use crate::api::norman::openapi::{self, Components};
use crate::api::norman::schemas::SchemaView;
use crate::api::openapi::failures::ReadFailures;
use crate::api::state::AppState;

/// The list of types.
struct SchemaCollection;

impl PartialSchema for SchemaCollection {
    fn schema() -> RefOr<Schema> {
        openapi::collection_schema(&SchemaView::name())
    }
}

impl ToSchema for SchemaCollection {
    fn schemas(out: &mut Components) {
        openapi::add_collection_components(out);
        out.push((SchemaView::name().into_owned(), SchemaView::schema()));
        SchemaView::schemas(out);
    }
}

pub(super) fn router() -> DocumentedRouter<AppState> {
    let routes = [routes!(get_root), routes!(list_schemas), routes!(get_schema)];
    routes.into_iter().map(reject_others).fold(DocumentedRouter::new(), |router, route| {
        let (path_with_slash, methods) = (format!("{}/", route.path()), route.methods().clone());
        router.route(route).undocumented(&path_with_slash, methods)
    })
}

/// The links of an API root.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ApiRoot {
    api_version: ApiVersion,
    base_type: &'static str,
    /// Absolute URLs of the collections, and `root`, `schemas`, `self`.
    links: BTreeMap<&'static str, String>,
    r#type: &'static str,
}

/// The API version.
#[derive(Serialize, ToSchema)]
struct ApiVersion {
    group: &'static str,
    path: &'static str,
    version: &'static str,
}

/// The URLs of the collections below `/v3`.
#[utoipa::path(
    get,
    path = "/v3",
    operation_id = "getApiRoot",
    tag = "Schemas",
    responses((status = 200, description = "The URLs of the collections", body = ApiRoot), ReadFailures),
)]
async fn get_root(_: Authenticated, links: Links) -> Response {
    let collections = schemas::ALL.iter().filter_map(|schema| Some((schema.plural, schema.collection?)));
    let root_links = [("root", "/v3"), ("schemas", "/v3/schemas"), ("self", "/v3")];
    let root = ApiRoot {
        api_version: ApiVersion { group: "management.cattle.io", path: "/v3", version: "v3" },
        base_type: "apiRoot",
        links: collections.chain(root_links).map(|(name, path)| (name, links.url(path))).collect(),
        r#type: "apiRoot",
    };
    json::respond(StatusCode::OK, &root)
}

/// The types below `/v3`.
#[utoipa::path(
    get,
    path = "/v3/schemas",
    operation_id = "listSchemas",
    tag = "Schemas",
    responses((status = 200, description = "All types", body = SchemaCollection), ReadFailures),
)]
async fn list_schemas(_: Authenticated, links: Links) -> Response {
    let types: Vec<SchemaView> = schemas::ALL.iter().map(|schema| schema.view(&links)).collect();
    Collection::single_page("schema", links.url("/v3/schemas"), types).into_response()
}

/// One type below `/v3`.
#[utoipa::path(
    get,
    path = "/v3/schemas/{id}",
    operation_id = "getSchema",
    tag = "Schemas",
    params(("id" = String, Path, description = "The ID of the type, in any letter case", example = "cloudCredential")),
    responses((status = 200, description = "The type", body = SchemaView), ReadFailures),
)]
async fn get_schema(_: Authenticated, Path(id): Path<String>, links: Links) -> Result<Response, Error> {
    let schema = schemas::find(&id).ok_or_else(|| Error::not_found(&id))?;
    Ok(json::respond(StatusCode::OK, &schema.view(&links)))
}
