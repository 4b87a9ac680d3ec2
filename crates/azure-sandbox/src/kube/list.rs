//! Responses with objects and lists, in the requested form.

use super::value::FieldAccess as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::request::{Form, KubeRequest, ResourcePath};
use super::resources::Resource;
use super::select::{FieldSelector, LabelSelector};
use super::status::StatusError;
use super::storage::{Key, State};
use super::tables::{self, Include, partial_metadata};
use super::value::{Now, at, text};

/// The type, namespace and selectors of a list or watch.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) resource: &'static Resource,
    pub(crate) namespace: Option<String>,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    pub(crate) fn new(
        resource: &'static Resource,
        path: &ResourcePath,
        request: &KubeRequest,
    ) -> Result<Self, StatusError> {
        let namespace = path.scope().filter(|_| resource.namespaced).map(str::to_owned);
        let labels = LabelSelector::parse(request.parameter("labelSelector").unwrap_or_default())?;
        let fields = FieldSelector::parse(resource, request.parameter("fieldSelector").unwrap_or_default())?;
        Ok(Self { resource, namespace, labels, fields })
    }

    /// Whether an object matches the selectors; its type and namespace are not checked.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }
}

/// The form of a response with objects, and the content of table rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) form: Form,
    /// The part of its object that a table row contains.
    pub(crate) include: Include,
}

impl Shape {
    pub(crate) fn from_request(request: &KubeRequest) -> Result<Self, StatusError> {
        let form = request.form().ok_or_else(|| StatusError::not_acceptable("application/json"))?;
        let include = match request.parameter("includeObject") {
            Some("None") => Include::Nothing,
            Some("Object") => Include::Object,
            _ => Include::Metadata,
        };
        Ok(Self { form, include })
    }

    /// Renders one object; `with_columns` adds the column definitions of a table.
    pub(crate) fn render(self, resource: &Resource, object: &Value, now: &Now, with_columns: bool) -> Value {
        match self.form {
            Form::Table => {
                let version = at(object, &["metadata", "resourceVersion"]).clone();
                let objects = std::slice::from_ref(object);
                tables::table(
                    resource,
                    objects.iter(),
                    self.include,
                    now,
                    with_columns,
                    &json!({"resourceVersion": version}),
                )
            }
            Form::Metadata => partial_metadata(object),
            Form::Objects => object.clone(),
        }
    }

    fn render_list(self, resource: &Resource, objects: &[Arc<Value>], meta: &Value, now: &Now) -> Value {
        let objects = objects.iter().map(AsRef::as_ref);
        let (kind, version, items) = match self.form {
            Form::Table => return tables::table(resource, objects, self.include, now, true, meta),
            Form::Metadata => {
                let kind = "PartialObjectMetadataList".to_owned();
                (kind, "meta.k8s.io/v1".to_owned(), objects.map(partial_metadata).collect::<Vec<_>>())
            }
            Form::Objects => (
                format!("{}List", resource.kind),
                resource.api_version(),
                objects.map(without_type).collect(),
            ),
        };
        json!({"kind": kind, "apiVersion": version, "metadata": meta, "items": items})
    }
}

/// The object as an item of a list, which omits `apiVersion` and `kind`.
fn without_type(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(object) = object.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
    }
    object
}

/// The `Scale` of a deployment.
pub(crate) fn scale(object: &Value) -> Value {
    let mut meta = json!({});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        *meta.field_mut(key) = at(object, &["metadata", key]).clone();
    }
    let labels = at(object, &["spec", "selector", "matchLabels"]).as_object().into_iter().flatten();
    let labels: Vec<_> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": meta,
        "spec": {"replicas": at(object, &["spec", "replicas"])},
        "status": {"replicas": at(object, &["status", "replicas"]).as_i64().unwrap_or_default(), "selector": labels.join(",")},
    })
}

/// Rejects a resource version newer than the current one. Clients send one after a restart without stored state.
pub(crate) fn check_resource_version(state: &State, request: &KubeRequest) -> Result<(), StatusError> {
    let requested = request.number::<u64>("resourceVersion")?.unwrap_or_default();
    if requested <= state.revision {
        return Ok(());
    }
    let text = format!("Too large resource version: {requested}, current: {}", state.revision);
    let mut error = StatusError::new(504, "Timeout", text);
    error.details = json!({"retryAfterSeconds": 1, "causes": [
        {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]});
    Err(error)
}

/// Lists the matching objects; only one page of them if the request sets `limit`.
pub(crate) fn list(
    state: &State,
    filter: &Filter,
    request: &KubeRequest,
    now: &Now,
) -> Result<Value, StatusError> {
    let shape = Shape::from_request(request)?;
    check_resource_version(state, request)?;
    let limit = request.number::<usize>("limit")?.filter(|limit| *limit > 0);
    let after = request.parameter("continue").map(|token| key_after(filter.resource, token)).transpose()?;
    let in_scope = state.list(filter.resource, filter.namespace.as_deref(), after.as_ref());
    let mut objects: Vec<_> = in_scope.filter(|object| filter.matches(object)).cloned().collect();
    let mut meta = json!({"resourceVersion": state.revision.to_string()});
    let remaining = limit.map(|limit| objects.len().saturating_sub(limit)).unwrap_or_default();
    if remaining > 0 {
        objects.truncate(objects.len() - remaining);
        if let Some(last) = objects.last() {
            let key = [text(last, "/metadata/namespace"), text(last, "/metadata/name")];
            *meta.field_mut("continue") = BASE64.encode(json!(key).to_string()).into();
            *meta.field_mut("remainingItemCount") = remaining.into();
        }
    }
    Ok(shape.render_list(filter.resource, &objects, &meta, now))
}

/// The key in a `continue` token: the last object of the previous page.
fn key_after(resource: &'static Resource, token: &str) -> Result<Key, StatusError> {
    let key = BASE64.decode(token).ok().and_then(|text| serde_json::from_slice::<[String; 2]>(&text).ok());
    let [namespace, name] = key.ok_or_else(|| {
        StatusError::bad_request("continue key is not valid: it is not a token that this server issued")
    })?;
    Ok(Key::new(resource, &namespace, &name))
}
