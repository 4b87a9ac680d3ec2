//! `/v3/nodedrivers` and `/v3/kontainerdrivers`, read by clients before they create a credential
//! (`docs/contract/terraform.md#cloud-credentials`) or offer clusters. The drivers are built in; only AKS as a whole
//! can be switched off, by a setting.

use aks::spec::rules::is_operator_active;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ListQuery, ReadFailures};
use super::schemas::{KONTAINER_DRIVER, NODE_DRIVER};
use super::{asked_path, spelled};
use crate::api::auth::Authenticated;
use crate::api::norman::collection::Collection;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::input::Object;
use crate::api::norman::links::Links;
use crate::api::norman::openapi::{Form, documented};
use crate::api::norman::reply;
use crate::api::norman::resource::{Resource, Rights};
use crate::api::norman::schemas::Schema;
use crate::api::state::AppState;

/// The kind of cloud that credentials are for.
const AZURE: &str = "azure";

/// The kind of hosted clusters, as Rancher's id has it, and as its name.
const AKS: &str = "azurekubernetesservice";
const AKS_NAME: &str = "azureKubernetesService";

documented!(
    /// A kind of cloud that credentials can be stored for.
    NodeDriver,
    &NODE_DRIVER,
    Form::Answer
);
documented!(
    /// A list of kinds of clouds.
    NodeDriverCollection,
    [NodeDriver]
);
documented!(
    /// A kind of hosted clusters.
    KontainerDriver,
    &KONTAINER_DRIVER,
    Form::Answer
);
documented!(
    /// A list of kinds of hosted clusters.
    KontainerDriverCollection,
    [KontainerDriver]
);

pub(super) fn router() -> OpenApiRouter<AppState> {
    let api = spelled(OpenApiRouter::new(), routes!(list_node_drivers), &["/v3/nodeDrivers"]);
    let api = spelled(api, routes!(get_node_driver), &["/v3/nodeDrivers/{id}"]);
    let api = spelled(api, routes!(list_kontainer_drivers), &["/v3/kontainerDrivers"]);
    spelled(api, routes!(get_kontainer_driver), &["/v3/kontainerDrivers/{id}"])
}

/// The kinds of clouds that credentials can be stored for.
#[utoipa::path(
    get,
    path = "/v3/nodedrivers",
    operation_id = "listNodeDrivers",
    tag = "Settings",
    params(ListQuery),
    responses((status = 200, description = "One page of the list", body = NodeDriverCollection), ReadFailures),
)]
async fn list_node_drivers(
    _: Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let objects = vec![node_driver(&links)];
    Ok(Collection::page(&NODE_DRIVER, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// One kind of cloud.
#[utoipa::path(
    get,
    path = "/v3/nodedrivers/{id}",
    operation_id = "getNodeDriver",
    tag = "Settings",
    params(("id" = String, Path, description = "The id", example = "azure")),
    responses((status = 200, description = "The driver", body = NodeDriver), ReadFailures),
)]
async fn get_node_driver(_: Authenticated, Path(id): Path<String>, links: Links) -> Result<Response, Error> {
    if id != AZURE {
        return Err(Error::not_found(&id));
    }
    Ok(reply::json(StatusCode::OK, &node_driver(&links)))
}

/// The kinds of hosted clusters.
#[utoipa::path(
    get,
    path = "/v3/kontainerdrivers",
    operation_id = "listKontainerDrivers",
    tag = "Settings",
    params(ListQuery),
    responses((status = 200, description = "One page of the list", body = KontainerDriverCollection), ReadFailures),
)]
async fn list_kontainer_drivers(
    State(state): State<AppState>,
    _: Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let objects = vec![kontainer_driver(&state, &links).await];
    Ok(Collection::page(&KONTAINER_DRIVER, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// One kind of hosted clusters.
#[utoipa::path(
    get,
    path = "/v3/kontainerdrivers/{id}",
    operation_id = "getKontainerDriver",
    tag = "Settings",
    params(("id" = String, Path, description = "The id, in any letter case", example = "azurekubernetesservice")),
    responses((status = 200, description = "The driver", body = KontainerDriver), ReadFailures),
)]
async fn get_kontainer_driver(
    State(state): State<AppState>,
    _: Authenticated,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    if !id.eq_ignore_ascii_case(AKS) {
        return Err(Error::not_found(&id));
    }
    Ok(reply::json(StatusCode::OK, &kontainer_driver(&state, &links).await))
}

fn node_driver(links: &Links) -> Object {
    let fields = [("active", json!(true)), ("builtin", json!(true)), ("name", json!(AZURE))];
    driver(&NODE_DRIVER, &format!("/v3/nodeDrivers/{AZURE}"), AZURE, true, &fields, links)
}

async fn kontainer_driver(state: &AppState, links: &Links) -> Object {
    let active = is_operator_active(&state.settings().value("kev2-operators").await);
    let fields = [("active", json!(active)), ("builtIn", json!(true)), ("name", json!(AKS_NAME))];
    driver(&KONTAINER_DRIVER, &format!("/v3/kontainerDrivers/{AKS}"), AKS, active, &fields, links)
}

fn driver(
    schema: &'static Schema,
    path: &str,
    id: &str,
    active: bool,
    fields: &[(&str, Value)],
    links: &Links,
) -> Object {
    let mut all: Object = fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    all.insert("state".to_owned(), json!(if active { "active" } else { "inactive" }));
    all.insert("transitioning".to_owned(), json!("no"));
    let resource =
        Resource { schema, path, id, uuid: None, creator: None, created_ms: None, rights: Rights::NONE };
    resource.object(links, all)
}
