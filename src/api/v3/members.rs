//! `/v3/clusterroletemplatebindings`: the members of clusters and their roles.

use serde_json::json;

use super::docs::PartQuery;
use super::metadata;
use super::schemas::CLUSTER_ROLE_TEMPLATE_BINDING as SCHEMA;
use super::types::{Call, Deleted, IdParameter, Operation, V3Type};
use crate::api::norman::error::Error;
use crate::api::norman::input::{self, InputFor, Object, take_text};
use crate::api::norman::links::Links;
use crate::api::norman::resource::{Resource, Rights, fields};
use crate::api::norman::schemas::Schema;
use crate::service::Invalid;
use crate::service::clusters::Cluster;
use crate::service::members::{Member, MemberChange, NewMember};

/// The prefix of a user's ID in the ID of a principal.
const PRINCIPAL_PREFIX: &str = "local://";

/// The members of clusters.
pub(super) struct ClusterRoleTemplateBindings;

impl V3Type for ClusterRoleTemplateBindings {
    const SCHEMA: &'static Schema = &SCHEMA;
    const TAG: &'static str = "Members of clusters";
    const ID: IdParameter = IdParameter { description: "The ID", example: "c-x7k9z:crtb-q2w4x" };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("The members of the clusters that the caller may see.").with_query::<PartQuery>(),
        Operation::create("Gives a user a role in a cluster; for its owners.", "The saved membership"),
        Operation::get("One member of a cluster.", "The membership"),
        Operation::update("Gives a member another role; for owners of the cluster.", "The saved membership"),
        Operation::delete("Deletes a membership; for owners of the cluster.", "The deleted membership"),
        Operation::post("Changes or deletes a membership, for clients that can only POST."),
        Operation::list_of_cluster("The members of one cluster."),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        let members = call.state.members.list(call.caller()).await?;
        Ok(members.iter().map(|member| view(member, &call.links)).collect())
    }

    async fn list_of_cluster(call: &Call, cluster: Cluster) -> Result<Vec<Object>, Error> {
        let members = call.state.members.list(call.caller()).await?;
        let members = members.iter().filter(|member| member.cluster_id == cluster.id);
        Ok(members.map(|member| view(member, &call.links)).collect())
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        Ok(view(&call.state.members.get(call.caller(), id).await?, &call.links))
    }

    async fn create(call: &Call, body: Object) -> Result<Object, Error> {
        let mut input = input::convert(&SCHEMA, body, InputFor::Create)?;
        reject_groups(&mut input)?;
        let member = NewMember {
            user_id: take_user(&mut input)?.unwrap_or_default(),
            cluster_id: take_text(&mut input, "clusterId").unwrap_or_default(),
            role: take_text(&mut input, "roleTemplateId").unwrap_or_default(),
            name: take_text(&mut input, "name"),
            metadata: metadata::take(&mut input),
        };
        Ok(view(&call.state.members.create(&call.actor, member).await?, &call.links))
    }

    async fn update(call: &Call, id: &str, body: Object) -> Result<Object, Error> {
        let mut input = input::convert(&SCHEMA, body, InputFor::Update)?;
        reject_groups(&mut input)?;
        let change = MemberChange {
            user_id: take_user(&mut input)?,
            cluster_id: take_text(&mut input, "clusterId"),
            role: take_text(&mut input, "roleTemplateId"),
            metadata: metadata::take(&mut input),
        };
        Ok(view(&call.state.members.update(&call.actor, id, change).await?, &call.links))
    }

    async fn delete(call: &Call, id: &str) -> Result<Deleted, Error> {
        Ok(view(&call.state.members.delete(&call.actor, id).await?, &call.links).into())
    }
}

fn view(member: &Member, links: &Links) -> Object {
    let mut fields = fields([
        ("clusterId", json!(member.cluster_id)),
        ("name", json!(member.name())),
        ("roleTemplateId", json!(member.role.name())),
        ("state", json!("active")),
        ("transitioning", json!("no")),
        ("userId", json!(member.user_id)),
        ("userPrincipalId", json!(format!("{PRINCIPAL_PREFIX}{}", member.user_id))),
    ]);
    metadata::insert(&mut fields, &member.metadata);
    let resource = Resource::new(&SCHEMA, &member.id, Rights::all_if(member.changeable));
    let resource = Resource { uuid: member.uuid.as_deref(), created_ms: Some(member.created_ms), ..resource };
    resource.to_object(links, fields)
}

/// Removes the ID of the user from converted input; the input may have a principal ID instead.
fn take_user(input: &mut Object) -> Result<Option<String>, Invalid> {
    let reject = |message: &str| Err(Invalid::field("InvalidReference", "userPrincipalId", message));
    let (id, principal) = (take_text(input, "userId"), take_text(input, "userPrincipalId"));
    let Some(principal) = principal else { return Ok(id) };
    match (principal.strip_prefix(PRINCIPAL_PREFIX), id) {
        (None, _) => reject("userPrincipalId must have the form local://<userId>"),
        (Some(principal_id), Some(id)) if principal_id != id => {
            reject("userId and userPrincipalId must be the same user")
        }
        (Some(principal_id), _) => Ok(Some(principal_id.to_owned())),
    }
}

fn reject_groups(input: &mut Object) -> Result<(), Invalid> {
    for key in ["groupId", "groupPrincipalId"] {
        if take_text(input, key).is_some() {
            let message = format!("groups are not supported: send userId instead of {key}");
            return Err(Invalid::field("InvalidOption", key, message));
        }
    }
    Ok(())
}
