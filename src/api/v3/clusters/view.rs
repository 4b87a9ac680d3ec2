//! A cluster on the wire (`docs/contract/clusters.md#status-of-a-cluster`): the user's specification, with
//! the observed state. Unknown values are omitted, because Terraform compares every value
//! (`docs/contract/terraform.md#clean-plans`).

use aks::left_behind::LeftBehind;
use aks::role::Role;
use aks::spec::AksConfig;
use aks::status::{ProgressStep, State, Waiting};
use clock::rfc3339;
use serde_json::{Value, json};

use crate::api::norman::input::Object;
use crate::api::norman::links::Links;
use crate::api::norman::resource::{Resource, Rights, add_links, fields};
use crate::api::v3::schemas::CLUSTER;
use crate::service::clusters::Cluster;

/// The cluster for a caller with `role` in it.
pub(super) fn view(cluster: &Cluster, role: Role, links: &Links) -> Object {
    let mut fields = cluster.spec.body().clone();
    for (key, value) in [
        ("annotations", json!({})),
        ("dockerRootDir", json!("/var/lib/docker")),
        ("enableNetworkPolicy", json!(false)),
    ] {
        fields.entry(key).or_insert(value);
    }
    if let Some(mut config) = cluster.response_config() {
        add_types(&mut config);
        fields.insert("aksConfig".to_owned(), config.into());
    }
    let (transitioning, message) = transition(cluster);
    for (key, value) in [
        ("aksStatus", aks_status(cluster)),
        ("conditions", json!(cluster.status.conditions)),
        ("driver", json!("AKS")),
        ("internal", json!(false)),
        ("name", json!(cluster.name)),
        ("state", json!(cluster.state.name())),
        ("transitioning", json!(transitioning)),
        ("transitioningMessage", json!(message)),
    ] {
        fields.insert(key.to_owned(), value);
    }
    insert_known_fields(&mut fields, cluster);
    let resource = Resource {
        uuid: Some(&cluster.uuid),
        creator: Some(&cluster.owner),
        created_ms: Some(cluster.created_ms),
        ..Resource::new(&CLUSTER, &cluster.id, Rights::all_if(role == Role::Owner))
    };
    let mut object = resource.to_object(links, fields);
    add_links(&mut object, part_links(&cluster.id, role, links));
    object
}

/// A cluster that was deleted without its Azure resources, with the list of resources that remain.
pub(super) fn abandoned_view(cluster: &Cluster, left_behind: &LeftBehind, links: &Links) -> Object {
    let mut object = view(cluster, Role::Owner, links);
    if let Some(status) = object.get_mut("aksStatus").and_then(Value::as_object_mut) {
        status.insert("leftBehind".to_owned(), json!(left_behind));
    }
    object.insert("transitioning".to_owned(), json!("no"));
    object.insert("transitioningMessage".to_owned(), json!(left_behind.message));
    object
}

/// Links to the objects that belong to the cluster.
fn part_links(id: &str, role: Role, links: &Links) -> Vec<(&'static str, String)> {
    let owner_parts = [("clusterRegistrationTokens", "clusterregistrationtokens")];
    let common_parts = [
        ("clusterRoleTemplateBindings", "clusterroletemplatebindings"),
        ("nodes", "nodes"),
        ("projects", "projects"),
    ];
    let owner_parts = owner_parts.into_iter().filter(|_| role == Role::Owner);
    owner_parts
        .chain(common_parts)
        .map(|(name, part)| (name, links.url(&format!("/v3/clusters/{id}/{part}"))))
        .collect()
}

/// Adds the fields whose values are known.
fn insert_known_fields(fields: &mut Object, cluster: &Cluster) {
    let status = &cluster.status;
    let applied = cluster
        .applied
        .as_ref()
        .map(|applied| json!({"aksConfig": config_view(applied), "type": "/v3/schemas/clusterSpec"}));
    let provider = status.upstream_spec.as_ref().map(|_| json!("aks"));
    for (key, value) in [
        ("apiEndpoint", status.api_endpoint.as_ref().map(|endpoint| json!(endpoint))),
        ("appliedSpec", applied),
        ("caCert", status.ca_cert.as_ref().map(|ca| json!(ca))),
        ("nodeCount", status.node_count.map(|count| json!(count))),
        ("provider", provider),
        ("version", status.version.clone().filter(Value::is_object)),
    ] {
        if let Some(value) = value {
            fields.insert(key.to_owned(), value);
        }
    }
}

/// `transitioning` and `transitioningMessage`.
fn transition(cluster: &Cluster) -> (&'static str, String) {
    let status = &cluster.status;
    match (&status.failure, cluster.state) {
        (Some(failure), _) => ("error", failure.clone()),
        (None, State::Active) => ("no", String::new()),
        (None, _) => ("yes", status.waiting.as_ref().map(|waiting| waiting.what.clone()).unwrap_or_default()),
    }
}

/// The observed state of the AKS cluster. `review`, `steps` and `waiting` are not in Rancher.
fn aks_status(cluster: &Cluster) -> Value {
    let status = &cluster.status;
    let mut view = fields([("type", json!("/v3/schemas/aksStatus"))]);
    let steps = (!status.steps.is_empty()).then(|| status.steps.iter().map(step_view).collect());
    for (key, value) in [
        ("privateRequiresTunnel", status.private_requires_tunnel.map(Value::from)),
        ("rbacEnabled", status.rbac_enabled.map(Value::from)),
        ("review", cluster.review.as_ref().map(|review| json!(review))),
        ("steps", steps),
        ("upstreamSpec", status.upstream_spec.as_ref().map(config_view)),
        ("waiting", status.waiting.as_ref().map(waiting_view)),
    ] {
        if let Some(value) = value {
            view.insert(key.to_owned(), value);
        }
    }
    Value::Object(view)
}

fn step_view(step: &ProgressStep) -> Value {
    json!({"message": step.message, "name": step.name, "since": rfc3339(step.since_ms), "state": step.state})
}

fn waiting_view(waiting: &Waiting) -> Value {
    let mut view = json!({"since": rfc3339(waiting.since_ms), "what": waiting.what});
    if let (Some(view), Some(percent)) = (view.as_object_mut(), waiting.percent) {
        #[expect(clippy::cast_possible_truncation, reason = "at most a hundred")]
        let percent = percent.clamp(0.0, 100.0) as i64;
        view.insert("percent".to_owned(), json!(percent));
    }
    view
}

/// A configuration with Norman's `type` in every object.
fn config_view(config: &AksConfig) -> Value {
    let mut config = json!(config);
    if let Some(config) = config.as_object_mut() {
        add_types(config);
    }
    config
}

fn add_types(config: &mut Object) {
    config.insert("type".to_owned(), json!("/v3/schemas/aksClusterConfigSpec"));
    let pools = config.get_mut("nodePools").and_then(Value::as_array_mut);
    for pool in pools.into_iter().flatten().filter_map(Value::as_object_mut) {
        pool.insert("type".to_owned(), json!("/v3/schemas/aksNodePool"));
    }
}
