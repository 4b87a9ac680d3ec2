//! `/v3/clusterregistrationtokens` (`docs/contract/registration.md#registration-tokens`; Terraform reads one with
//! every cluster, `docs/contract/terraform.md#registration-token`).

use aks::registration::{NODE_COMMAND, commands};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::docs::PartQuery;
use super::schemas::CLUSTER_REGISTRATION_TOKEN as SCHEMA;
use super::types::{Call, Deleted, IdParameter, Operation, V3Type};
use crate::api::norman::error::Error;
use crate::api::norman::input::{self, InputFor, Object, take_text};
use crate::api::norman::links::Links;
use crate::api::norman::resource::{Resource, Rights, fields};
use crate::api::norman::schemas::Schema;
use crate::service::clusters::Cluster;
use crate::service::metadata::CREATOR_LABEL;
use crate::service::registration::RegistrationToken;

/// The registration tokens of clusters.
pub(super) struct ClusterRegistrationTokens;

impl V3Type for ClusterRegistrationTokens {
    const SCHEMA: &'static Schema = &SCHEMA;
    const TAG: &'static str = "Parts of clusters";
    const ID: IdParameter = IdParameter { description: "The ID", example: "c-x7k9z:default-token" };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("The registration tokens of the clusters that the caller owns.")
            .with_query::<PartQuery>(),
        Operation::create("Creates a registration token for a cluster; for its owners.", "The token"),
        Operation::get("One registration token. Every cluster has `default-token`.", "The token"),
        Operation::delete(
            "Deletes a registration token, which can then no longer register a cluster. `default-token` is created again with a new secret.",
            "The deleted token",
        ),
        Operation::post("Deletes a registration token, for clients that can only POST."),
        Operation::list_of_cluster(
            "The registration tokens of one cluster; empty for members who are not owners.",
        ),
        Operation::create_of_cluster(
            "Creates a registration token for the cluster in the path; for its owners.",
            "The token",
        ),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        views(call, call.query.first("clusterId")).await
    }

    async fn list_of_cluster(call: &Call, cluster: Cluster) -> Result<Vec<Object>, Error> {
        views(call, Some(&cluster.id)).await
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        let token = call.state.registration.get(call.caller(), id).await?;
        Ok(view(&token, &server_url(call).await, &call.links))
    }

    async fn create(call: &Call, body: Object) -> Result<Object, Error> {
        let mut input = input::convert(&SCHEMA, body, InputFor::Create)?;
        let cluster_id = take_text(&mut input, "clusterId").unwrap_or_default();
        let name = take_text(&mut input, "name");
        let token = call.state.registration.create(&call.actor, &cluster_id, name.as_deref()).await?;
        Ok(view(&token, &server_url(call).await, &call.links))
    }

    async fn delete(call: &Call, id: &str) -> Result<Deleted, Error> {
        let token = call.state.registration.delete(&call.actor, id).await?;
        Ok(view(&token, &server_url(call).await, &call.links).into())
    }
}

async fn views(call: &Call, cluster_id: Option<&str>) -> Result<Vec<Object>, Error> {
    let tokens = call.state.registration.list(call.caller(), cluster_id).await?;
    let server_url = server_url(call).await;
    Ok(tokens.iter().map(|token| view(token, &server_url, &call.links)).collect())
}

/// The URL of this server in the commands that users run later.
async fn server_url(call: &Call) -> String {
    call.state.registration.server(&call.links.url("")).await
}

fn view(token: &RegistrationToken, server_url: &str, links: &Links) -> Object {
    let secret = token.token.expose_secret();
    let commands = commands(server_url, secret, &token.cluster_id);
    let fields = fields([
        ("annotations", json!({})),
        ("clusterId", json!(token.cluster_id)),
        ("command", json!(commands.command)),
        ("insecureCommand", json!(commands.insecure_command)),
        ("insecureNodeCommand", json!(NODE_COMMAND)),
        ("insecureWindowsNodeCommand", json!(NODE_COMMAND)),
        ("labels", json!({CREATOR_LABEL.0: CREATOR_LABEL.1})),
        ("manifestUrl", json!(commands.manifest_url)),
        ("name", json!(token.name)),
        ("namespaceId", json!(token.cluster_id)),
        ("nodeCommand", json!(NODE_COMMAND)),
        ("state", json!("active")),
        ("token", json!(secret)),
        ("transitioning", json!("no")),
        ("windowsNodeCommand", json!(NODE_COMMAND)),
    ]);
    let id = token.id();
    let resource = Resource::new(&SCHEMA, &id, Rights { update: false, remove: true });
    Resource { uuid: Some(&token.uuid), created_ms: Some(token.created_ms), ..resource }
        .to_object(links, fields)
}
