//! Authorization and dispatch of requests.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::authz::{Attributes, authorize};
use super::cluster::Cluster;
use super::clusters::KubeClusters;
use super::delete::{self, DeleteOptions};
use super::list::{self, Filter, Shape};
use super::request::{KubeRequest, ResourcePath, Target, parse_body, parse_object};
use super::resources::{NAMESPACES, PODS, Resource};
use super::status::StatusError;
use super::user::User;
use super::value::{Now, text};
use super::write::{self, Context, ObjectRef, PatchKind};
use super::{discovery, logs, openapi, reviews, watch};
use crate::response::SandboxResponse;

pub(crate) enum KubeResponse {
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

pub(crate) fn respond(call: &Call<'_>) -> Result<KubeResponse, StatusError> {
    {
        let state = call.cluster.state();
        authorize(&state, call.user, &Attributes::from_request(call.request))?;
    }
    match &call.request.target {
        Target::Path => respond_to_path(call).map(KubeResponse::Full),
        Target::Objects(path) => respond_to_objects(call, path),
    }
}

/// Responds to non-resource paths, such as `/version`.
fn respond_to_path(call: &Call<'_>) -> Result<SandboxResponse, StatusError> {
    let request = call.request;
    if request.method != Method::GET && request.method != Method::HEAD {
        return Err(StatusError::method_not_allowed());
    }
    let version = call.cluster.state().declared.kubernetes_version.clone();
    if let Some(response) = discovery::respond(request).or_else(|| openapi::respond(request, &version)) {
        return Ok(response);
    }
    match request.path.trim_end_matches('/') {
        "/version" => Ok(SandboxResponse::kubernetes_json(StatusCode::OK, &version_info(&version))),
        "/healthz" | "/livez" | "/readyz" => Ok(plain_text("ok")),
        "" => {
            let paths =
                ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"];
            Ok(SandboxResponse::kubernetes_json(StatusCode::OK, &json!({"paths": paths})))
        }
        _ => Err(StatusError::no_such_path()),
    }
}

fn plain_text(text: &str) -> SandboxResponse {
    let mut response = SandboxResponse::new(StatusCode::OK, text.to_owned());
    response.set("content-type", "text/plain; charset=utf-8");
    response.set("x-content-type-options", "nosniff");
    response
}

fn version_info(version: &str) -> Value {
    let mut components = version.split('.');
    let (major, minor) = (components.next().unwrap_or("1"), components.next().unwrap_or("0"));
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

fn respond_to_objects(call: &Call<'_>, path: &ResourcePath) -> Result<KubeResponse, StatusError> {
    let resource = path.resource().ok_or_else(StatusError::no_such_path)?;
    if !path.subresource.is_empty() {
        return respond_to_subresource(call, resource, path);
    }
    if resource.namespaced && path.namespace.is_empty() && !["list", "watch"].contains(&call.request.verb) {
        return Err(StatusError::method_not_allowed());
    }
    if !resource.namespaced && !path.namespace.is_empty() && !resource.is(&NAMESPACES) {
        return Err(StatusError::no_such_path());
    }
    if !resource.verbs().contains(&call.request.verb) {
        return Err(StatusError::method_not_allowed());
    }
    if !resource.stored {
        let review =
            parse_object(call.request.content_type(), call.body, &resource.api_version(), resource.kind)?;
        let review = reviews::respond(&call.cluster.state(), resource, call.user, review)?;
        return Ok(KubeResponse::Full(SandboxResponse::kubernetes_json(StatusCode::CREATED, &review)));
    }
    match call.request.verb {
        "get" => get_object(call, resource, path).map(KubeResponse::Full),
        "list" => {
            let filter = Filter::new(resource, path, call.request)?;
            let objects = list::list(&call.cluster.state(), &filter, call.request, &call.kube.now())?;
            Ok(KubeResponse::Full(SandboxResponse::kubernetes_json(StatusCode::OK, &objects)))
        }
        "watch" => {
            let filter = Filter::new(resource, path, call.request)?;
            Ok(KubeResponse::Stream(
                "application/json",
                watch::respond(call.kube, call.cluster, filter, call.request)?,
            ))
        }
        _ => respond_to_write(call, resource, path).map(KubeResponse::Full),
    }
}

/// The namespace in which an object is stored; empty for cluster-scoped types, even if their path has a namespace.
fn storage_namespace<'a>(resource: &Resource, path: &'a ResourcePath) -> &'a str {
    if resource.namespaced { &path.namespace } else { "" }
}

fn get_object(
    call: &Call<'_>,
    resource: &'static Resource,
    path: &ResourcePath,
) -> Result<SandboxResponse, StatusError> {
    let shape = Shape::from_request(call.request)?;
    let state = call.cluster.state();
    list::check_resource_version(&state, call.request)?;
    let object = state.get(resource, storage_namespace(resource, path), &path.name);
    let object = Arc::clone(object.ok_or_else(|| StatusError::not_found(resource, &path.name))?);
    drop(state);
    Ok(SandboxResponse::kubernetes_json(
        StatusCode::OK,
        &shape.render(resource, &object, &call.kube.now(), true),
    ))
}

fn respond_to_subresource(
    call: &Call<'_>,
    resource: &'static Resource,
    path: &ResourcePath,
) -> Result<KubeResponse, StatusError> {
    let subresources = resource.subresources();
    let subresource = subresources
        .iter()
        .find(|subresource| subresource.name == path.subresource)
        .ok_or_else(StatusError::no_such_path)?;
    if !path.rest.is_empty() {
        return Err(StatusError::no_such_path());
    }
    if !subresource.verbs.contains(&call.request.verb) {
        return Err(StatusError::method_not_allowed());
    }
    if resource.is(&PODS) && subresource.name == "log" {
        let body = logs::respond(call.kube, call.cluster, call.request, (&path.namespace, &path.name))?;
        return Ok(KubeResponse::Stream("text/plain", body));
    }
    if call.request.verb == "get" && subresource.name == "scale" {
        let state = call.cluster.state();
        let object = state.get(resource, &path.namespace, &path.name);
        let object = object.ok_or_else(|| StatusError::not_found(resource, &path.name))?;
        return Ok(KubeResponse::Full(SandboxResponse::kubernetes_json(
            StatusCode::OK,
            &list::scale(object),
        )));
    }
    if call.request.verb == "get" {
        return get_object(call, resource, path).map(KubeResponse::Full);
    }
    respond_to_write(call, resource, path).map(KubeResponse::Full)
}

fn respond_to_write(
    call: &Call<'_>,
    resource: &'static Resource,
    path: &ResourcePath,
) -> Result<SandboxResponse, StatusError> {
    let (request, now) = (call.request, call.kube.now());
    let shape = Shape::from_request(request)?;
    let context = Context { user: call.user, now: &now, dry_run: request.dry_run()? };
    let target = ObjectRef {
        resource,
        namespace: storage_namespace(resource, path),
        name: &path.name,
        subresource: &path.subresource,
    };
    let content_type = request.content_type();
    let (is_new, object) = match request.verb {
        "create" => {
            let object = parse_object(content_type, call.body, &resource.api_version(), resource.kind)?;
            (true, call.cluster.change(&now, |state| write::create(state, &context, &target, object))?)
        }
        "update" => {
            let scale = ("autoscaling/v1".to_owned(), "Scale");
            let main_resource = (resource.api_version(), resource.kind);
            let (api_version, kind) = if path.subresource == "scale" { scale } else { main_resource };
            let object = parse_object(content_type, call.body, &api_version, kind)?;
            (false, call.cluster.change(&now, |state| write::update(state, &context, &target, object))?)
        }
        "patch" => {
            let (patch_kind, body) = parse_patch(call, &resource.api_version(), resource.kind)?;
            if patch_kind == PatchKind::Apply && request.parameter("fieldManager").is_none() {
                return Err(StatusError::bad_request(
                    "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
                ));
            }
            call.cluster.change(&now, |state| write::patch(state, &context, &target, patch_kind, body))?
        }
        _ => return delete_objects(call, resource, path, &now),
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let body = if path.subresource == "scale" {
        list::scale(&object)
    } else {
        shape.render(resource, &object, &now, true)
    };
    Ok(SandboxResponse::kubernetes_json(status, &body))
}

fn parse_patch(call: &Call<'_>, api_version: &str, kind: &str) -> Result<(PatchKind, Value), StatusError> {
    const JSON: &str = "application/json";
    match call.request.content_type() {
        "application/json-patch+json" => Ok((PatchKind::Json, parse_body(JSON, call.body)?)),
        "application/merge-patch+json" => Ok((PatchKind::Merge, parse_body(JSON, call.body)?)),
        "application/strategic-merge-patch+json" => Ok((PatchKind::Strategic, parse_body(JSON, call.body)?)),
        apply @ "application/apply-patch+yaml" => {
            Ok((PatchKind::Apply, parse_object(apply, call.body, api_version, kind)?))
        }
        _ => Err(StatusError::unsupported(
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
             application/apply-patch+yaml",
        )),
    }
}

fn delete_objects(
    call: &Call<'_>,
    resource: &'static Resource,
    path: &ResourcePath,
    now: &Now,
) -> Result<SandboxResponse, StatusError> {
    let request = call.request;
    let body: Value =
        if call.body.is_empty() { json!({}) } else { parse_body(request.content_type(), call.body)? };
    let mut options = DeleteOptions::from_body(&body);
    options.grace_seconds = options.grace_seconds.or(request.number("gracePeriodSeconds")?);
    options.dry_run |= request.dry_run()?;
    if let Some(policy) = request.parameter("propagationPolicy") {
        policy.clone_into(&mut options.propagation_policy);
    }
    let namespace = storage_namespace(resource, path);
    if request.verb == "delete" {
        let object_name = (namespace, path.name.as_str());
        let remaining =
            call.cluster.change(now, |state| delete::delete(state, resource, object_name, &options, now))?;
        return Ok(SandboxResponse::kubernetes_json(StatusCode::OK, &remaining));
    }
    let filter = Filter::new(resource, path, request)?;
    let deleted: Vec<_> = call.cluster.change(now, |state| {
        let matching: Vec<_> = state
            .list(resource, filter.namespace.as_deref(), None)
            .filter(|object| filter.matches(object))
            .cloned()
            .collect();
        matching
            .into_iter()
            .filter(|object| {
                let object_name = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
                delete::delete(state, resource, object_name, &options, now).is_ok()
            })
            .collect()
    });
    let items: Vec<_> = deleted.iter().map(|object| (**object).clone()).collect();
    Ok(SandboxResponse::kubernetes_json(
        StatusCode::OK,
        &json!({"kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": call.cluster.state().revision.to_string()}, "items": items}),
    ))
}
