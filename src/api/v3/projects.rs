//! `/v3/projects`: the two projects of every cluster, from its first activation until its deletion
//! (`docs/contract/terraform.md#projects`).

use aks::projects::{self, Project};
use aks::status::State;
use serde_json::json;

use super::docs::PartQuery;
use super::schemas::PROJECT;
use super::types::{Call, IdParameter, Operation, V3Type};
use crate::api::norman::error::Error;
use crate::api::norman::input::Object;
use crate::api::norman::links::Links;
use crate::api::norman::resource::{Resource, Rights, fields};
use crate::api::norman::schemas::Schema;
use crate::service::clusters::Cluster;
use crate::service::metadata::CREATOR_LABEL;

/// The projects of clusters.
pub(super) struct Projects;

impl V3Type for Projects {
    const SCHEMA: &'static Schema = &PROJECT;
    const TAG: &'static str = "Parts of clusters";
    const ID: IdParameter = IdParameter { description: "The ID", example: "c-x7k9z:p-q2w4x" };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("The projects of the clusters that the caller may see.").with_query::<PartQuery>(),
        Operation::get("One project.", "The project"),
        Operation::list_of_cluster("The projects of one cluster."),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        let clusters = call.state.clusters.list(call.caller()).await?;
        Ok(clusters.iter().flat_map(|cluster| views(cluster, &call.links)).collect())
    }

    async fn list_of_cluster(call: &Call, cluster: Cluster) -> Result<Vec<Object>, Error> {
        Ok(views(&cluster, &call.links).collect())
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        let (cluster, ..) = call.state.clusters.get_for_part(call.caller(), id).await?;
        let project =
            views(&cluster, &call.links).find(|object| object.get("id").is_some_and(|value| value == id));
        project.ok_or_else(|| Error::not_found(id))
    }
}

/// The projects of a cluster; none before it is active for the first time, or while it is deleted.
fn views(cluster: &Cluster, links: &Links) -> impl Iterator<Item = Object> {
    let has_projects = matches!(cluster.state, State::Active | State::Updating);
    let projects = has_projects.then(|| projects::projects_of_cluster(&cluster.uuid));
    projects.into_iter().flatten().map(|project| view(cluster, project, links))
}

fn view(cluster: &Cluster, project: Project, links: &Links) -> Object {
    let fields = fields([
        ("clusterId", json!(cluster.id)),
        ("description", json!(project.description)),
        ("labels", json!({project.label: "true", CREATOR_LABEL.0: CREATOR_LABEL.1})),
        ("name", json!(project.title)),
        ("state", json!("active")),
        ("transitioning", json!("no")),
    ]);
    let id = format!("{}:{}", cluster.id, project.name);
    let resource = Resource::new(&PROJECT, &id, Rights::NONE);
    Resource { created_ms: Some(cluster.created_ms), ..resource }.to_object(links, fields)
}
