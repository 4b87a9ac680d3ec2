//! Authorization and dispatch of requests.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::authz::{Attributes, authorize};
use super::cluster::Cluster;
use super::clusters::KubeClusters;
use super::delete::{self, Options};
use super::list::{self, Filter, Shape};
use super::request::{KubeRequest, Place, Target, object, parsed};
use super::resources::{NAMESPACES, PODS, Resource};
use super::status::StatusError;
use super::user::User;
use super::value::{Now, text};
use super::write::{self, Context, ObjectRef, PatchKind};
use super::{discovery, logs, openapi, reviews, watch};
use crate::response::SandboxResponse;

/// A response.
pub(crate) enum Reply {
    Full(SandboxResponse),
    /// A stream, with its content type.
    Stream(&'static str, Body),
}

/// A request with its cluster and user.
pub(crate) struct Call<'a> {
    pub(crate) kube: &'a KubeClusters,
    pub(crate) cluster: &'a Arc<Cluster>,
    pub(crate) user: &'a User,
    pub(crate) request: &'a KubeRequest,
    pub(crate) body: &'a [u8],
}

pub(crate) fn respond(call: &Call<'_>) -> Result<Reply, StatusError> {
    {
        let state = call.cluster.state();
        authorize(&state, call.user, &Attributes::of(call.request))?;
    }
    match &call.request.target {
        Target::Path => path(call).map(Reply::Full),
        Target::Objects(place) => objects(call, place),
    }
}

fn json_response(status: StatusCode, body: &Value) -> SandboxResponse {
    let mut response = SandboxResponse::json(status, body);
    response.set("content-type", "application/json");
    response
}

/// Responds to paths outside of objects.
fn path(call: &Call<'_>) -> Result<SandboxResponse, StatusError> {
    let request = call.request;
    if request.method != Method::GET && request.method != Method::HEAD {
        return Err(StatusError::method_not_allowed());
    }
    let version = call.cluster.state().declared.kubernetes_version.clone();
    if let Some(response) = discovery::respond(request).or_else(|| openapi::respond(request, &version)) {
        return Ok(response);
    }
    match request.path.trim_end_matches('/') {
        "/version" => Ok(json_response(StatusCode::OK, &version_info(&version))),
        "/healthz" | "/livez" | "/readyz" => Ok(plain("ok")),
        "" => {
            let paths =
                ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"];
            Ok(json_response(StatusCode::OK, &json!({"paths": paths})))
        }
        _ => Err(StatusError::no_such_path()),
    }
}

fn plain(text: &str) -> SandboxResponse {
    let mut response = SandboxResponse::text(StatusCode::OK, text.to_owned());
    response.set("content-type", "text/plain; charset=utf-8");
    response.set("x-content-type-options", "nosniff");
    response
}

fn version_info(version: &str) -> Value {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("0"));
    json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("v{version}"),
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "2025-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

fn objects(call: &Call<'_>, place: &Place) -> Result<Reply, StatusError> {
    let resource = place.resource().ok_or_else(StatusError::no_such_path)?;
    if !place.subresource.is_empty() {
        return subresource(call, resource, place);
    }
    if resource.namespaced && place.namespace.is_empty() && !["list", "watch"].contains(&call.request.verb) {
        return Err(StatusError::method_not_allowed());
    }
    if !resource.namespaced && !place.namespace.is_empty() && !resource.is(&NAMESPACES) {
        return Err(StatusError::no_such_path());
    }
    if !resource.verbs().contains(&call.request.verb) {
        return Err(StatusError::method_not_allowed());
    }
    if !resource.stored {
        let review = object(call.request.content_type(), call.body, &resource.api_version(), resource.kind)?;
        let review = reviews::respond(&call.cluster.state(), resource, call.user, review)?;
        return Ok(Reply::Full(json_response(StatusCode::CREATED, &review)));
    }
    match call.request.verb {
        "get" => get(call, resource, place).map(Reply::Full),
        "list" => {
            let filter = Filter::of(resource, place, call.request)?;
            let listed = list::list(&call.cluster.state(), &filter, call.request, &call.kube.now())?;
            Ok(Reply::Full(json_response(StatusCode::OK, &listed)))
        }
        "watch" => {
            let filter = Filter::of(resource, place, call.request)?;
            Ok(Reply::Stream(
                "application/json",
                watch::respond(call.kube, call.cluster, filter, call.request)?,
            ))
        }
        _ => change(call, resource, place).map(Reply::Full),
    }
}

/// The namespace of stored objects of the type.
fn storage_namespace<'a>(resource: &Resource, place: &'a Place) -> &'a str {
    if resource.namespaced { &place.namespace } else { "" }
}

fn get(call: &Call<'_>, resource: &'static Resource, place: &Place) -> Result<SandboxResponse, StatusError> {
    let shape = Shape::of(call.request)?;
    let state = call.cluster.state();
    list::check_version(&state, call.request)?;
    let found = state.get(resource, storage_namespace(resource, place), &place.name);
    let found = Arc::clone(found.ok_or_else(|| StatusError::not_found(resource, &place.name))?);
    drop(state);
    Ok(json_response(StatusCode::OK, &shape.render(resource, &found, &call.kube.now(), true)))
}

/// Responds to requests for subresources.
fn subresource(call: &Call<'_>, resource: &'static Resource, place: &Place) -> Result<Reply, StatusError> {
    let subresources = resource.subresources();
    let subresource = subresources
        .iter()
        .find(|subresource| subresource.name == place.subresource)
        .ok_or_else(StatusError::no_such_path)?;
    if !place.rest.is_empty() {
        return Err(StatusError::no_such_path());
    }
    if !subresource.verbs.contains(&call.request.verb) {
        return Err(StatusError::method_not_allowed());
    }
    if resource.is(&PODS) && subresource.name == "log" {
        let body = logs::respond(call.kube, call.cluster, call.request, (&place.namespace, &place.name))?;
        return Ok(Reply::Stream("text/plain", body));
    }
    if call.request.verb == "get" && subresource.name == "scale" {
        let state = call.cluster.state();
        let found = state.get(resource, &place.namespace, &place.name);
        let found = found.ok_or_else(|| StatusError::not_found(resource, &place.name))?;
        return Ok(Reply::Full(json_response(StatusCode::OK, &list::scale(found))));
    }
    if call.request.verb == "get" {
        return get(call, resource, place).map(Reply::Full);
    }
    change(call, resource, place).map(Reply::Full)
}

/// Responds to writes.
fn change(
    call: &Call<'_>,
    resource: &'static Resource,
    place: &Place,
) -> Result<SandboxResponse, StatusError> {
    let (request, now) = (call.request, call.kube.now());
    let shape = Shape::of(request)?;
    let context = Context { user: call.user, now: &now, dry_run: request.dry_run()? };
    let target = ObjectRef {
        resource,
        namespace: storage_namespace(resource, place),
        name: &place.name,
        subresource: &place.subresource,
    };
    let kind = request.content_type();
    let (made, object) = match request.verb {
        "create" => {
            let object = object(kind, call.body, &resource.api_version(), resource.kind)?;
            (true, call.cluster.change(&now, |state| write::create(state, &context, &target, object))?)
        }
        "update" => {
            let scale = ("autoscaling/v1".to_owned(), "Scale");
            let own = (resource.api_version(), resource.kind);
            let (version, name) = if place.subresource == "scale" { scale } else { own };
            let object = object(kind, call.body, &version, name)?;
            (false, call.cluster.change(&now, |state| write::update(state, &context, &target, object))?)
        }
        "patch" => {
            let (kind, body) = patch(call, &resource.api_version(), resource.kind)?;
            if kind == PatchKind::Apply && request.parameter("fieldManager").is_none() {
                return Err(StatusError::bad_request(
                    "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
                ));
            }
            call.cluster.change(&now, |state| write::patch(state, &context, &target, kind, body))?
        }
        _ => return remove(call, resource, place, &now),
    };
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    let shown = if place.subresource == "scale" {
        list::scale(&object)
    } else {
        shape.render(resource, &object, &now, true)
    };
    Ok(json_response(status, &shown))
}

fn patch(call: &Call<'_>, api_version: &str, kind: &str) -> Result<(PatchKind, Value), StatusError> {
    const JSON: &str = "application/json";
    match call.request.content_type() {
        "application/json-patch+json" => Ok((PatchKind::Json, parsed(JSON, call.body)?)),
        "application/merge-patch+json" => Ok((PatchKind::Merge, parsed(JSON, call.body)?)),
        "application/strategic-merge-patch+json" => Ok((PatchKind::Strategic, parsed(JSON, call.body)?)),
        apply @ "application/apply-patch+yaml" => {
            Ok((PatchKind::Apply, object(apply, call.body, api_version, kind)?))
        }
        _ => Err(StatusError::unsupported(
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
             application/apply-patch+yaml",
        )),
    }
}

fn remove(
    call: &Call<'_>,
    resource: &'static Resource,
    place: &Place,
    now: &Now,
) -> Result<SandboxResponse, StatusError> {
    let request = call.request;
    let body: Value =
        if call.body.is_empty() { json!({}) } else { parsed(request.content_type(), call.body)? };
    let mut options = Options::of(&body);
    options.grace = options.grace.or(request.number("gracePeriodSeconds")?);
    options.dry_run |= request.dry_run()?;
    if let Some(policy) = request.parameter("propagationPolicy") {
        policy.clone_into(&mut options.policy);
    }
    let namespace = storage_namespace(resource, place);
    if request.verb == "delete" {
        let named = (namespace, place.name.as_str());
        let left = call.cluster.change(now, |state| delete::delete(state, resource, named, &options, now))?;
        return Ok(json_response(StatusCode::OK, &left));
    }
    let filter = Filter::of(resource, place, request)?;
    let gone: Vec<_> = call.cluster.change(now, |state| {
        let chosen: Vec<_> = state
            .list(resource, filter.namespace.as_deref(), None)
            .filter(|object| filter.fits(object))
            .cloned()
            .collect();
        chosen
            .into_iter()
            .filter(|object| {
                let named = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
                delete::delete(state, resource, named, &options, now).is_ok()
            })
            .collect()
    });
    let items: Vec<_> = gone.iter().map(|object| (**object).clone()).collect();
    Ok(json_response(
        StatusCode::OK,
        &json!({"kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": call.cluster.state().revision.to_string()}, "items": items}),
    ))
}
