//! `/v3/roletemplates`: the three built-in roles that a user can have in a cluster.

use aks::role::Role;
use serde_json::json;

use super::schemas::ROLE_TEMPLATE;
use super::types::{Call, IdParameter, Operation, V3Type};
use crate::api::norman::error::Error;
use crate::api::norman::input::Object;
use crate::api::norman::links::Links;
use crate::api::norman::resource::{Resource, Rights, fields};
use crate::api::norman::schemas::Schema;

/// The roles in clusters.
pub(super) struct RoleTemplates;

impl V3Type for RoleTemplates {
    const SCHEMA: &'static Schema = &ROLE_TEMPLATE;
    const TAG: &'static str = "Members of clusters";
    const ID: IdParameter = IdParameter { description: "The ID", example: "cluster-member" };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("The roles that a user can have in a cluster."),
        Operation::get("One role.", "The role"),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        Ok(Role::ALL.map(|role| view(role, &call.links)).into())
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        let role = Role::from_name(id).ok_or_else(|| Error::not_found(id))?;
        Ok(view(role, &call.links))
    }
}

fn view(role: Role, links: &Links) -> Object {
    let (name, description) = match role {
        Role::Owner => {
            ("Cluster Owner", "Full access to the cluster, including the management of its members")
        }
        Role::Member => (
            "Cluster Member",
            "Can view the cluster, and edit in the namespaces that an owner opens for members",
        ),
        Role::ReadOnly => ("Read-Only", "Can view the cluster and its contents"),
    };
    let fields = fields([
        ("builtin", json!(true)),
        ("clusterCreatorDefault", json!(role == Role::Owner)),
        ("context", json!("cluster")),
        ("description", json!(description)),
        ("locked", json!(false)),
        ("name", json!(name)),
        ("state", json!("active")),
    ]);
    Resource::new(&ROLE_TEMPLATE, role.name(), Rights::NONE).to_object(links, fields)
}
