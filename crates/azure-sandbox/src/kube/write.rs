//! Making and changing objects: what every write goes through before it is kept.

use super::value::Keyed as _;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::authz::{Attributes, authorize};
use super::patch::{self, Writer};
use super::resources::{DEPLOYMENTS, EPHEMERAL, NAMESPACES, PODS, Resource};
use super::status::StatusError;
use super::storage::State;
use super::user::User;
use super::value::{Now, at, list, number, remove, set, suffix, text};
use super::{admit, podspec, rules};

/// Who writes, and how.
pub(crate) struct Context<'a> {
    pub(crate) user: &'a User,
    pub(crate) now: &'a Now,
    pub(crate) manager: String,
    /// Nothing is kept.
    pub(crate) dry_run: bool,
    /// Server-side apply takes what others have.
    pub(crate) force: bool,
}

/// Which object, or which part of it.
#[derive(Clone, Copy)]
pub(crate) struct Which<'a> {
    pub(crate) resource: &'static Resource,
    /// Empty for types without namespaces.
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// `status`, `scale`, `finalize`; empty for the object itself.
    pub(crate) subresource: &'a str,
}

/// What a patch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// A change that is worked out, but not written.
type Changed = Result<Value, StatusError>;

impl Context<'_> {
    pub(crate) fn writer(&self, which: &Which<'_>) -> Writer {
        Writer {
            manager: self.manager.clone(),
            api_version: which.resource.api_version(),
            subresource: which.subresource.to_owned(),
            time: self.now.text.clone(),
        }
    }
}

pub(crate) fn create(
    state: &mut State,
    context: &Context<'_>,
    which: &Which<'_>,
    mut object: Value,
) -> Result<Arc<Value>, StatusError> {
    without_nulls(&mut object);
    placed(which, &mut object)?;
    let prefix = text(&object, "/metadata/generateName").to_owned();
    if text(&object, "/metadata/name").is_empty() && !prefix.is_empty() {
        let prefix: String = prefix.chars().take(58).collect();
        set(&mut object, &["metadata", "name"], format!("{prefix}{}", suffix()));
    }
    if !text(&object, "/metadata/resourceVersion").is_empty() {
        return Err(StatusError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    if which.resource.status {
        object.as_object_mut().and_then(|object| object.remove("status"));
    }
    let writer = context.writer(which);
    made(state, context, which, object, |object| patch::written(None, object, &writer))
}

/// Keeps a new object; `owned` enters who has its fields, before anything is filled in.
fn made(
    state: &mut State,
    context: &Context<'_>,
    which: &Which<'_>,
    mut object: Value,
    owned: impl FnOnce(&mut Value),
) -> Result<Arc<Value>, StatusError> {
    let resource = which.resource;
    let name = text(&object, "/metadata/name").to_owned();
    admit::name(resource, &object)?;
    if !which.namespace.is_empty() {
        open(state, resource, which.namespace, &name)?;
    }
    if state.get(resource, which.namespace, &name).is_some() {
        return Err(StatusError::exists(resource, &name));
    }
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields"] {
        if key != "managedFields" || list(&object, "/metadata/managedFields").is_empty() {
            remove(&mut object, "/metadata", key);
        }
    }
    owned(&mut object);
    set(&mut object, &["metadata", "uid"], Uuid::new_v4().to_string());
    set(&mut object, &["metadata", "creationTimestamp"], context.now.text.clone());
    if resource.is(&DEPLOYMENTS) {
        set(&mut object, &["metadata", "generation"], 1);
    }
    admit::admit(state, resource, None, &mut object, context.now)?;
    rules::no_more_than_own(state, context.user, resource, None, &object)?;
    if context.dry_run {
        return Ok(Arc::new(object));
    }
    Ok(state.put(resource, object))
}

/// Replaces an object, or a part of it.
pub(crate) fn update(
    state: &mut State,
    context: &Context<'_>,
    which: &Which<'_>,
    mut object: Value,
) -> Result<Arc<Value>, StatusError> {
    without_nulls(&mut object);
    if which.subresource == "scale" {
        let count = number(&object, "/spec/replicas").unwrap_or_default();
        return scaled(state, context, which, count, text(&object, "/metadata/resourceVersion"));
    }
    placed(which, &mut object)?;
    let name = text(&object, "/metadata/name");
    if name != which.name {
        let text =
            format!("the name of the object ({name}) does not match the name on the URL ({})", which.name);
        return Err(StatusError::bad_request(text));
    }
    replace(state, context, which, object, false)
}

/// Changes an object in part; says whether it was made by that.
pub(crate) fn patch(
    state: &mut State,
    context: &Context<'_>,
    which: &Which<'_>,
    kind: Kind,
    mut body: Value,
) -> Result<(bool, Arc<Value>), StatusError> {
    let live = state.get(which.resource, which.namespace, which.name).cloned();
    if kind == Kind::Apply {
        without_nulls(&mut body);
        return applied(state, context, which, live, body);
    }
    let live = live.ok_or_else(|| StatusError::not_found(which.resource, which.name))?;
    if which.subresource == "scale" {
        let changed = changed(kind, super::list::scale(&live), &body)?;
        let count = number(&changed, "/spec/replicas").unwrap_or_default();
        let version = text(&body, "/metadata/resourceVersion");
        return Ok((false, scaled(state, context, which, count, version)?));
    }
    let mut object = changed(kind, (*live).clone(), &body)?;
    without_nulls(&mut object);
    Ok((false, replace(state, context, which, object, false)?))
}

fn changed(kind: Kind, mut object: Value, body: &Value) -> Changed {
    match kind {
        Kind::Json => patch::json_patch(&mut object, body).map_err(|why| {
            let text = "the server rejected our request due to an error in our request";
            StatusError::new(422, "Invalid", format!("{text}: {why}"))
        })?,
        Kind::Strategic => patch::strategic(&mut object, body),
        Kind::Merge | Kind::Apply => patch::merge(&mut object, body),
    }
    if object.is_object() { Ok(object) } else { Err(StatusError::bad_request("the patch leaves no object")) }
}

fn applied(
    state: &mut State,
    context: &Context<'_>,
    which: &Which<'_>,
    live: Option<Arc<Value>>,
    mut wanted: Value,
) -> Result<(bool, Arc<Value>), StatusError> {
    placed(which, &mut wanted)?;
    if !list(&wanted, "/metadata/managedFields").is_empty() {
        return Err(StatusError::bad_request("metadata.managedFields must be nil"));
    }
    let name = text(&wanted, "/metadata/name");
    if !name.is_empty() && name != which.name {
        let text =
            format!("the name of the object ({name}) does not match the name on the URL ({})", which.name);
        return Err(StatusError::bad_request(text));
    }
    set(&mut wanted, &["metadata", "name"], which.name);
    if which.resource.status && which.subresource.is_empty() {
        wanted.as_object_mut().and_then(|wanted| wanted.remove("status"));
    }
    let writer = context.writer(which);
    let result = patch::apply(live.as_deref(), &wanted, &writer, context.force);
    let object = result.map_err(patch::Conflicts::refused)?;
    if live.is_some() {
        return Ok((false, replace(state, context, which, object, true)?));
    }
    if !which.subresource.is_empty() {
        return Err(StatusError::not_found(which.resource, which.name));
    }
    // Who applies something new makes it, and has to be allowed to.
    let Which { resource, namespace, name, .. } = *which;
    let (group, plural) = (resource.group, resource.plural);
    let create =
        Attributes { verb: "create", group, resource: plural, namespace, name, ..Attributes::default() };
    authorize(state, context.user, &create)?;
    Ok((true, made(state, context, which, object, |_| {})?))
}

/// Keeps a changed object, after everything that must not change was put back.
fn replace(
    state: &mut State,
    context: &Context<'_>,
    which: &Which<'_>,
    mut object: Value,
    applied: bool,
) -> Result<Arc<Value>, StatusError> {
    let resource = which.resource;
    let live = state.get(resource, which.namespace, which.name);
    let live = Arc::clone(live.ok_or_else(|| StatusError::not_found(resource, which.name))?);
    let version = text(&object, "/metadata/resourceVersion");
    if !version.is_empty() && version != text(&live, "/metadata/resourceVersion") {
        return Err(StatusError::modified(resource, which.name));
    }
    let uid = text(&object, "/metadata/uid");
    if !uid.is_empty() && uid != text(&live, "/metadata/uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            text(&live, "/metadata/uid")
        );
        return Err(StatusError::conflict(resource, which.name, &why));
    }
    partial(which, &live, &mut object);
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
        match live.part("metadata").get(key) {
            Some(value) => set(&mut object, &["metadata", key], value.clone()),
            None => drop(remove(&mut object, "/metadata", key)),
        }
    }
    if !applied {
        patch::written(Some(&live), &mut object, &context.writer(which));
    }
    admit::admit(state, resource, Some(&live), &mut object, context.now)?;
    if resource.is(&PODS)
        && let Some(cause) = podspec::ephemeral_containers(&live, &object, which.subresource)
    {
        return Err(StatusError::invalid(resource, which.name, vec![cause]));
    }
    rules::no_more_than_own(state, context.user, resource, Some(&live), &object)?;
    if resource.is(&DEPLOYMENTS) && live.part("spec") != object.part("spec") {
        let generation = number(&live, "/metadata/generation").unwrap_or_default() + 1;
        set(&mut object, &["metadata", "generation"], generation);
    }
    if context.dry_run {
        return Ok(Arc::new(object));
    }
    let kept = state.put(resource, object);
    super::delete::finish(state, resource, &kept);
    Ok(kept)
}

/// A part of an object is written alone, and the object without its status.
fn partial(which: &Which<'_>, live: &Value, object: &mut Value) {
    let managed = at(object, &["metadata", "managedFields"]).clone();
    let part = match which.subresource {
        "" if which.resource.status => {
            match live.get("status") {
                Some(status) => object["status"] = status.clone(),
                None => drop(object.as_object_mut().and_then(|object| object.remove("status"))),
            }
            return;
        }
        "status" => ["status"].as_slice(),
        "finalize" => ["spec", "finalizers"].as_slice(),
        EPHEMERAL => ["spec", "ephemeralContainers"].as_slice(),
        _ => return,
    };
    let mut whole = live.clone();
    let new = part.iter().fold(&*object, |value, key| &value[*key]).clone();
    set(&mut whole, part, new);
    if !managed.is_null() {
        set(&mut whole, &["metadata", "managedFields"], managed);
    }
    *object = whole;
}

fn scaled(
    state: &mut State,
    context: &Context<'_>,
    which: &Which<'_>,
    count: i64,
    version: &str,
) -> Result<Arc<Value>, StatusError> {
    let live = state.get(which.resource, which.namespace, which.name);
    let mut object = (**live.ok_or_else(|| StatusError::not_found(which.resource, which.name))?).clone();
    if count < 0 {
        let cause = super::status::Cause::invalid(
            "spec.replicas",
            &count.into(),
            "must be greater than or equal to 0",
        );
        return Err(StatusError::invalid(which.resource, which.name, vec![cause]));
    }
    set(&mut object, &["spec", "replicas"], count);
    if !version.is_empty() {
        set(&mut object, &["metadata", "resourceVersion"], version);
    }
    replace(state, context, which, object, false)
}

/// The namespace of the address is that of the object.
fn placed(which: &Which<'_>, object: &mut Value) -> Result<(), StatusError> {
    let found = text(object, "/metadata/namespace");
    if which.resource.namespaced {
        if !found.is_empty() && found != which.namespace {
            let text =
                "the namespace of the provided object does not match the namespace sent on the request";
            return Err(StatusError::bad_request(text));
        }
        set(object, &["metadata", "namespace"], which.namespace);
    } else {
        remove(object, "/metadata", "namespace");
    }
    Ok(())
}

/// Whether something new may come into a namespace.
fn open(state: &State, resource: &Resource, namespace: &str, name: &str) -> Result<(), StatusError> {
    let found = state.get(&NAMESPACES, "", namespace);
    let found = found.ok_or_else(|| StatusError::not_found(&NAMESPACES, namespace))?;
    if at(found, &["metadata", "deletionTimestamp"]).is_null() {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let refused = StatusError::forbidden(resource, name, &why);
    let cause = super::status::Cause {
        reason: "NamespaceTerminating",
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    };
    Err(refused.because(vec![cause]))
}

/// Kubernetes knows no difference between null and nothing.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(without_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
