//! `/v3/clusters` (`docs/contract/clusters.md#the-type-cluster`, `docs/contract/terraform.md#clusters`).

mod view;

use aks::role::Role;
use aks::spec::merge::Mode;
use axum::response::Response;
use serde_json::Value;
use utoipa::openapi::{OneOfBuilder, Ref};
use utoipa::{PartialSchema as _, ToSchema as _};

use self::view::{abandoned_view, view};
use super::docs::{ChangeQuery, RemovalQuery};
use super::kubeconfig::{self, Kubeconfig};
use super::schemas::CLUSTER;
use super::types::{Call, Deleted, IdParameter, Operation, V3Type};
use super::unknown_fields::unknown_fields;
use crate::api::norman::error::Error;
use crate::api::norman::input::{self, InputFor, Object};
use crate::api::norman::openapi::Components;
use crate::api::norman::schemas::Schema;
use crate::service::clusters::ClusterChange;
use crate::service::kubeconfigs::{self, Generated};

/// The component of the response to a POST of a cluster.
const POST_RESPONSE: &str = "PostClusterAnswer";

/// The AKS clusters.
pub(super) struct Clusters;

impl V3Type for Clusters {
    const SCHEMA: &'static Schema = &CLUSTER;
    const TAG: &'static str = "Clusters";
    const ID: IdParameter = IdParameter { description: "The ID", example: "c-x7k9z" };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("The clusters that the caller may see; for administrators, all of them."),
        Operation::create(
            "Creates a cluster, or registers an existing one. The object is saved immediately, and the cluster is provisioned afterwards.",
            "The saved cluster",
        ),
        Operation::get("One cluster.", "The cluster"),
        Operation::update(
            "Changes a cluster. Fields that are not in the body are kept, unless the query has `_replace=true`.",
            "The saved cluster",
        )
        .with_query::<ChangeQuery>(),
        Operation::delete(
            "Deletes a cluster; in Azure too if this server created it, unless the query has `force=true`.",
            "The cluster that is deleted",
        )
        .with_query::<RemovalQuery>(),
        Operation::post(
            "Runs an action of a cluster; or changes or deletes it, for clients that can only POST.\n\n\
             generateKubeconfig works in every state of the cluster, and returns a token that is valid for this cluster only. It needs a\n\
             URL of the server that starts with `https://`. Without one, a browser session gets a 422, and any other caller an empty\n\
             `config` with the reason in `message`.",
        )
        .returning("The output of the action; or the response to the other method", POST_RESPONSE),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        let clusters = call.state.clusters.list_with_roles(call.caller()).await?;
        Ok(clusters.iter().map(|(cluster, role)| view(cluster, *role, &call.links)).collect())
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        let (cluster, role) = call.state.clusters.with_role(call.caller(), id).await?;
        Ok(view(&cluster, role, &call.links))
    }

    async fn create(call: &Call, body: Object) -> Result<Object, Error> {
        let change = parse_change(body, InputFor::Create)?;
        let cluster = call.state.clusters.create(&call.actor, change).await?;
        Ok(view(&cluster, Role::Owner, &call.links))
    }

    async fn update(call: &Call, id: &str, body: Object) -> Result<Object, Error> {
        let change = parse_change(body, InputFor::Update)?;
        let mode = if call.query.is_on("_replace") { Mode::Replace } else { Mode::Merge };
        let cluster = call.state.clusters.update(&call.actor, id, change, mode).await?;
        Ok(view(&cluster, Role::Owner, &call.links))
    }

    async fn delete(call: &Call, id: &str) -> Result<Deleted, Error> {
        let clusters = &call.state.clusters;
        if call.query.is_forced()? {
            let (cluster, left_behind) = clusters.delete_object_only(&call.actor, id).await?;
            return Ok(abandoned_view(&cluster, &left_behind, &call.links).into());
        }
        let cluster = clusters.delete(&call.actor, id).await?;
        Ok(view(&cluster, Role::Owner, &call.links).into())
    }

    async fn run_action(call: &Call, id: &str, action: &str) -> Result<Option<Response>, Error> {
        if action != kubeconfigs::ACTION {
            return Ok(None);
        }
        match call.state.kubeconfigs.generate(&call.actor, id, &call.links.url("")).await? {
            Generated::Kubeconfig(config) => Ok(Some(kubeconfig::respond(&config))),
            Generated::Unreachable(reason) if call.is_browser_session => Err(reason.into()),
            Generated::Unreachable(reason) => Ok(Some(kubeconfig::respond_empty(&reason))),
        }
    }

    fn components(all: &mut Components) {
        let alternative = |name: &str, description: &str| {
            let reference = Ref::from_schema_name(name).ref_location;
            Ref::builder().ref_location(reference).description(Some(description)).build()
        };
        let response = OneOfBuilder::new()
            .description(Some(
                "The response to a POST of a cluster: the cluster, or the output of the action.",
            ))
            .item(alternative(CLUSTER.title, "The response to another method."))
            .item(alternative(&Kubeconfig::name(), "The output of generateKubeconfig."));
        all.push((POST_RESPONSE.to_owned(), response.into()));
        all.push((Kubeconfig::name().into_owned(), Kubeconfig::schema()));
    }
}

/// Converts the body. Empty strings at the top level mean "not set".
fn parse_change(body: Object, input_for: InputFor) -> Result<ClusterChange, Error> {
    let unknown = unknown_fields(&body);
    let mut body = input::convert(&CLUSTER, body, input_for)?;
    let name = match body.remove("name") {
        Some(Value::String(name)) => Some(name),
        _ => None,
    };
    for value in body.values_mut().filter(|value| value.as_str() == Some("")) {
        *value = Value::Null;
    }
    Ok(ClusterChange { name, body, unknown })
}
