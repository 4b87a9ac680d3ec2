//! Creating and changing objects.

use super::value::FieldAccess as _;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::authz::{Attributes, authorize};
use super::patch;
use super::pods::is_terminating;
use super::resources::{DEPLOYMENTS, EPHEMERAL_CONTAINERS, NAMESPACES, PODS, Resource};
use super::status::StatusError;
use super::storage::State;
use super::user::User;
use super::value::{Now, number, random_suffix, remove, set, text};
use super::{admit, podspec, rules};

/// The caller and options of a write.
pub(crate) struct Context<'a> {
    pub(crate) user: &'a User,
    pub(crate) now: &'a Now,
    pub(crate) dry_run: bool,
}

/// The object of a write, or its subresource.
#[derive(Clone, Copy)]
pub(crate) struct ObjectRef<'a> {
    pub(crate) resource: &'static Resource,
    /// Empty for types without namespaces.
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Such as `status` or `scale`; empty for the object itself.
    pub(crate) subresource: &'a str,
}

/// The format of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

pub(crate) fn create(
    state: &mut State,
    context: &Context<'_>,
    target: &ObjectRef<'_>,
    mut object: Value,
) -> Result<Arc<Value>, StatusError> {
    let resource = target.resource;
    remove_nulls(&mut object);
    set_namespace(target, &mut object)?;
    let prefix = text(&object, "/metadata/generateName").to_owned();
    if text(&object, "/metadata/name").is_empty() && !prefix.is_empty() {
        // As in Kubernetes: at most 63 characters with the suffix.
        let prefix: String = prefix.chars().take(58).collect();
        set(&mut object, &["metadata", "name"], format!("{prefix}{}", random_suffix()));
    }
    if !text(&object, "/metadata/resourceVersion").is_empty() {
        return Err(StatusError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    if resource.has_status {
        object.as_object_mut().and_then(|object| object.remove("status"));
    }
    let name = text(&object, "/metadata/name").to_owned();
    admit::check_name(resource, &object)?;
    if !target.namespace.is_empty() {
        check_namespace(state, resource, target.namespace, &name)?;
    }
    if state.get(resource, target.namespace, &name).is_some() {
        return Err(StatusError::already_exists(resource, &name));
    }
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields"] {
        remove(&mut object, "/metadata", key);
    }
    set(&mut object, &["metadata", "uid"], Uuid::new_v4().to_string());
    set(&mut object, &["metadata", "creationTimestamp"], context.now.text.clone());
    if resource.is(&DEPLOYMENTS) {
        set(&mut object, &["metadata", "generation"], 1);
    }
    admit::admit(state, resource, None, &mut object, context.now)?;
    rules::check_escalation(state, context.user, resource, None, &object)?;
    if context.dry_run {
        return Ok(Arc::new(object));
    }
    Ok(state.put(resource, object))
}

/// Replaces an object or its subresource.
pub(crate) fn update(
    state: &mut State,
    context: &Context<'_>,
    target: &ObjectRef<'_>,
    mut object: Value,
) -> Result<Arc<Value>, StatusError> {
    remove_nulls(&mut object);
    if target.subresource == "scale" {
        let replicas = number(&object, "/spec/replicas").unwrap_or_default();
        return set_scale(state, context, target, replicas, text(&object, "/metadata/resourceVersion"));
    }
    set_namespace(target, &mut object)?;
    check_name(target, &object)?;
    replace(state, context, target, object)
}

/// Patches an object. Returns whether server-side apply created it, and the object.
pub(crate) fn patch(
    state: &mut State,
    context: &Context<'_>,
    target: &ObjectRef<'_>,
    kind: PatchKind,
    mut body: Value,
) -> Result<(bool, Arc<Value>), StatusError> {
    let live = state.get(target.resource, target.namespace, target.name).cloned();
    if kind == PatchKind::Apply {
        remove_nulls(&mut body);
        set_namespace(target, &mut body)?;
        if !text(&body, "/metadata/name").is_empty() {
            check_name(target, &body)?;
        }
        set(&mut body, &["metadata", "name"], target.name);
        if live.is_none() && target.subresource.is_empty() {
            // Applying a new object requires the right to create it.
            let ObjectRef { resource: Resource { group, plural: resource, .. }, namespace, name, .. } =
                *target;
            let create =
                Attributes { verb: "create", group, resource, namespace, name, ..Attributes::default() };
            authorize(state, context.user, &create)?;
            return Ok((true, self::create(state, context, target, body)?));
        }
    }
    let live = live.ok_or_else(|| StatusError::not_found(target.resource, target.name))?;
    if target.subresource == "scale" {
        let changed = apply_patch(kind, super::list::scale(&live), &body)?;
        let replicas = number(&changed, "/spec/replicas").unwrap_or_default();
        let version = text(&body, "/metadata/resourceVersion");
        return Ok((false, set_scale(state, context, target, replicas, version)?));
    }
    let mut object = apply_patch(kind, (*live).clone(), &body)?;
    remove_nulls(&mut object);
    Ok((false, replace(state, context, target, object)?))
}

fn apply_patch(kind: PatchKind, mut object: Value, body: &Value) -> Result<Value, StatusError> {
    match kind {
        PatchKind::Json => patch::json_patch(&mut object, body).map_err(|why| {
            let text = "the server rejected our request due to an error in our request";
            StatusError::new(422, "Invalid", format!("{text}: {why}"))
        })?,
        PatchKind::Strategic | PatchKind::Apply => patch::strategic_merge(&mut object, body),
        PatchKind::Merge => patch::merge(&mut object, body),
    }
    if object.is_object() {
        Ok(object)
    } else {
        Err(StatusError::bad_request("the patched value is not an object"))
    }
}

/// Stores a changed object, with its immutable metadata restored.
fn replace(
    state: &mut State,
    context: &Context<'_>,
    target: &ObjectRef<'_>,
    mut object: Value,
) -> Result<Arc<Value>, StatusError> {
    let resource = target.resource;
    let live = state.get(resource, target.namespace, target.name);
    let live = Arc::clone(live.ok_or_else(|| StatusError::not_found(resource, target.name))?);
    let version = text(&object, "/metadata/resourceVersion");
    if !version.is_empty() && version != text(&live, "/metadata/resourceVersion") {
        return Err(StatusError::modified(resource, target.name));
    }
    let uid = text(&object, "/metadata/uid");
    if !uid.is_empty() && uid != text(&live, "/metadata/uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            text(&live, "/metadata/uid")
        );
        return Err(StatusError::conflict(resource, target.name, &why));
    }
    restore_unwritable_fields(target, &live, &mut object);
    for key in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
    ] {
        match live.field("metadata").get(key) {
            Some(value) => set(&mut object, &["metadata", key], value.clone()),
            None => drop(remove(&mut object, "/metadata", key)),
        }
    }
    admit::admit(state, resource, Some(&live), &mut object, context.now)?;
    if resource.is(&PODS)
        && let Some(cause) = podspec::check_ephemeral_containers(&live, &object, target.subresource)
    {
        return Err(StatusError::invalid(resource, target.name, vec![cause]));
    }
    rules::check_escalation(state, context.user, resource, Some(&live), &object)?;
    if resource.is(&DEPLOYMENTS) && live.field("spec") != object.field("spec") {
        let generation = number(&live, "/metadata/generation").unwrap_or_default() + 1;
        set(&mut object, &["metadata", "generation"], generation);
    }
    if context.dry_run {
        return Ok(Arc::new(object));
    }
    let stored = state.put(resource, object);
    super::delete::complete_deletion(state, resource, &stored);
    Ok(stored)
}

/// Restores the fields that the write must not change: the status, or for a write of a subresource, everything else.
fn restore_unwritable_fields(target: &ObjectRef<'_>, live: &Value, object: &mut Value) {
    let path = match target.subresource {
        "" if target.resource.has_status => {
            match live.get("status") {
                Some(status) => object["status"] = status.clone(),
                None => drop(object.as_object_mut().and_then(|object| object.remove("status"))),
            }
            return;
        }
        "status" => ["status"].as_slice(),
        "finalize" => ["spec", "finalizers"].as_slice(),
        EPHEMERAL_CONTAINERS => ["spec", "ephemeralContainers"].as_slice(),
        _ => return,
    };
    let mut merged = live.clone();
    let new = path.iter().fold(&*object, |value, key| &value[*key]).clone();
    set(&mut merged, path, new);
    *object = merged;
}

fn set_scale(
    state: &mut State,
    context: &Context<'_>,
    target: &ObjectRef<'_>,
    replicas: i64,
    version: &str,
) -> Result<Arc<Value>, StatusError> {
    let live = state.get(target.resource, target.namespace, target.name);
    let mut object = (**live.ok_or_else(|| StatusError::not_found(target.resource, target.name))?).clone();
    if replicas < 0 {
        let cause = super::status::Cause::invalid(
            "spec.replicas",
            &replicas.into(),
            "must be greater than or equal to 0",
        );
        return Err(StatusError::invalid(target.resource, target.name, vec![cause]));
    }
    set(&mut object, &["spec", "replicas"], replicas);
    if !version.is_empty() {
        set(&mut object, &["metadata", "resourceVersion"], version);
    }
    replace(state, context, target, object)
}

fn check_name(target: &ObjectRef<'_>, object: &Value) -> Result<(), StatusError> {
    let name = text(object, "/metadata/name");
    if name == target.name {
        return Ok(());
    }
    let text =
        format!("the name of the object ({name}) does not match the name on the URL ({})", target.name);
    Err(StatusError::bad_request(text))
}

/// Sets the namespace of the URL in the object, and rejects a different one.
fn set_namespace(target: &ObjectRef<'_>, object: &mut Value) -> Result<(), StatusError> {
    let namespace = text(object, "/metadata/namespace");
    if target.resource.namespaced {
        if !namespace.is_empty() && namespace != target.namespace {
            let text =
                "the namespace of the provided object does not match the namespace sent on the request";
            return Err(StatusError::bad_request(text));
        }
        set(object, &["metadata", "namespace"], target.namespace);
    } else {
        remove(object, "/metadata", "namespace");
    }
    Ok(())
}

/// Checks that the namespace exists and is not being deleted.
fn check_namespace(
    state: &State,
    resource: &Resource,
    namespace: &str,
    name: &str,
) -> Result<(), StatusError> {
    let object = state.get(&NAMESPACES, "", namespace);
    let object = object.ok_or_else(|| StatusError::not_found(&NAMESPACES, namespace))?;
    if !is_terminating(object) {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let error = StatusError::forbidden(resource, name, &why);
    let cause = super::status::Cause {
        reason: "NamespaceTerminating",
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    };
    Err(error.with_causes(vec![cause]))
}

/// Removes null fields, which are equivalent to unset ones.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(remove_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}
