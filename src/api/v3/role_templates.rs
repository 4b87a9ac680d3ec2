//! `/v3/roletemplates`: the three roles that a user can have in a cluster. They are built in.

use aks::role::Role;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ListQuery, ReadFailures};
use super::schemas::ROLE_TEMPLATE;
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
use crate::api::state::AppState;

documented!(
    /// A role that a user can have in a cluster.
    RoleTemplate,
    &ROLE_TEMPLATE,
    Form::Answer
);
documented!(
    /// A list of roles.
    RoleTemplateCollection,
    [RoleTemplate]
);

pub(super) fn router() -> OpenApiRouter<AppState> {
    let api = spelled(OpenApiRouter::new(), routes!(list_role_templates), &["/v3/roleTemplates"]);
    spelled(api, routes!(get_role_template), &["/v3/roleTemplates/{id}"])
}

/// The roles that a user can have in a cluster.
#[utoipa::path(
    get,
    path = "/v3/roletemplates",
    operation_id = "listRoleTemplates",
    tag = "Members of clusters",
    params(ListQuery),
    responses((status = 200, description = "One page of the list", body = RoleTemplateCollection), ReadFailures),
)]
async fn list_role_templates(
    _: Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let objects = Role::ALL.map(|role| view(role, &links)).into();
    Ok(Collection::page(&ROLE_TEMPLATE, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// One role.
#[utoipa::path(
    get,
    path = "/v3/roletemplates/{id}",
    operation_id = "getRoleTemplate",
    tag = "Members of clusters",
    params(("id" = String, Path, description = "The id", example = "cluster-member")),
    responses((status = 200, description = "The role", body = RoleTemplate), ReadFailures),
)]
async fn get_role_template(
    _: Authenticated,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let role = Role::of(&id).ok_or_else(|| Error::not_found(&id))?;
    Ok(reply::json(StatusCode::OK, &view(role, &links)))
}

fn view(role: Role, links: &Links) -> Object {
    let (name, description) = match role {
        Role::Owner => ("Cluster Owner", "May do everything, and says who else may"),
        Role::Member => (
            "Cluster Member",
            "Reads the cluster, and edits in the namespaces that an owner opens for members",
        ),
        Role::ReadOnly => ("Read-Only", "Sees the cluster and what is inside"),
    };
    let fields = [
        ("builtin", json!(true)),
        ("clusterCreatorDefault", json!(role == Role::Owner)),
        ("context", json!("cluster")),
        ("description", json!(description)),
        ("locked", json!(false)),
        ("name", json!(name)),
        ("state", json!("active")),
    ];
    let resource = Resource {
        schema: &ROLE_TEMPLATE,
        path: &format!("/v3/roleTemplates/{}", role.name()),
        id: role.name(),
        uuid: None,
        creator: None,
        created_ms: None,
        rights: Rights::NONE,
    };
    resource.object(links, fields.map(|(key, value)| (key.to_owned(), value)).into_iter().collect())
}
