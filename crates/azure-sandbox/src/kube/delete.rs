//! Deletion of objects: immediate, graceful (pods, namespaces), or after their finalizers are removed.

use super::value::FieldAccess as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::pods::is_terminating;
use super::resources::{self, NAMESPACES, PODS, Resource};
use super::status::StatusError;
use super::storage::State;
use super::value::{Now, list, list_mut, number, set, text, texts, timestamp};

/// The finalizer that keeps an object until its dependents are deleted.
const FOREGROUND_FINALIZER: &str = "foregroundDeletion";
/// The namespaces that cannot be deleted.
const PERMANENT_NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// `DeleteOptions`, from the body or the query.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) propagation_policy: String,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    pub(crate) fn from_body(body: &Value) -> Self {
        let orphan = body["orphanDependents"].as_bool() == Some(true);
        Self {
            grace_seconds: number(body, "/gracePeriodSeconds"),
            uid: text(body, "/preconditions/uid").to_owned(),
            resource_version: text(body, "/preconditions/resourceVersion").to_owned(),
            propagation_policy: if orphan { "Orphan" } else { text(body, "/propagationPolicy") }.to_owned(),
            dry_run: texts(body, "/dryRun").any(|word| word == "All"),
        }
    }
}

/// Deletes an object for a client. Returns the object if its deletion is not complete, otherwise [`deletion_response`].
pub(crate) fn delete(
    state: &mut State,
    resource: &'static Resource,
    (namespace, name): (&str, &str),
    options: &DeleteOptions,
    now: &Now,
) -> Result<Arc<Value>, StatusError> {
    let object = state.get(resource, namespace, name).cloned();
    let object = object.ok_or_else(|| StatusError::not_found(resource, name))?;
    for (kind, required, pointer) in [
        ("UID", &options.uid, "/metadata/uid"),
        ("ResourceVersion", &options.resource_version, "/metadata/resourceVersion"),
    ] {
        let actual = text(&object, pointer);
        if !required.is_empty() && required != actual {
            let why = format!(
                "Precondition failed: {kind} in precondition: {required}, {kind} in object meta: {actual}"
            );
            return Err(StatusError::conflict(resource, name, &why));
        }
    }
    if resource.is(&NAMESPACES) && PERMANENT_NAMESPACES.contains(&name) {
        return Err(StatusError::forbidden(resource, name, "this namespace may not be deleted"));
    }
    if options.dry_run {
        return Ok(deletion_response(resource, &object));
    }
    match options.propagation_policy.as_str() {
        "Orphan" => remove_owner(state, text(&object, "/metadata/uid")),
        "Foreground" if !is_terminating(&object) => {
            let mut owner = (*object).clone();
            if let Some(finalizers) = list_mut(&mut owner, &["metadata", "finalizers"]) {
                finalizers.push(FOREGROUND_FINALIZER.into());
            }
            state.put(resource, owner);
        }
        _ => {}
    }
    let remaining = start_deletion(state, resource, (namespace, name), options.grace_seconds, now);
    Ok(remaining.unwrap_or_else(|| deletion_response(resource, &object)))
}

/// Starts the deletion of an object. Returns `None` if the object is deleted immediately or does not exist.
pub(crate) fn start_deletion(
    state: &mut State,
    resource: &'static Resource,
    (namespace, name): (&str, &str),
    grace_seconds: Option<i64>,
    now: &Now,
) -> Option<Arc<Value>> {
    let mut object = (**state.get(resource, namespace, name)?).clone();
    let default_grace = number(&object, "/spec/terminationGracePeriodSeconds").unwrap_or(30);
    let mut grace_seconds =
        if resource.is(&PODS) { grace_seconds.unwrap_or(default_grace).max(0) } else { 0 };
    if text(&object, "/spec/nodeName").is_empty() {
        grace_seconds = 0;
    }
    let has_finalizers = !list(&object, "/metadata/finalizers").is_empty() || resource.is(&NAMESPACES);
    if grace_seconds == 0 && !has_finalizers {
        state.remove(resource, namespace, name);
        return None;
    }
    if !is_terminating(&object) {
        set(&mut object, &["metadata", "deletionTimestamp"], timestamp(now.ms + grace_seconds * 1_000));
        set(&mut object, &["metadata", "deletionGracePeriodSeconds"], grace_seconds);
        if resource.is(&NAMESPACES) {
            set(&mut object, &["status", "phase"], "Terminating");
            // Namespaces have no grace period.
            super::value::remove(&mut object, "/metadata", "deletionGracePeriodSeconds");
        }
    }
    Some(state.put(resource, object))
}

/// Deletes an object that is being deleted and has no finalizers left.
pub(crate) fn complete_deletion(state: &mut State, resource: &'static Resource, object: &Value) {
    let is_blocked = !list(object, "/metadata/finalizers").is_empty()
        || (resource.is(&NAMESPACES) && !list(object, "/spec/finalizers").is_empty())
        // The node completes the deletion of a pod.
        || (resource.is(&PODS) && number(object, "/metadata/deletionGracePeriodSeconds").unwrap_or_default() > 0);
    if is_terminating(object) && !is_blocked {
        state.remove(resource, text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    }
}

/// The response to a completed deletion: the last state of a pod, otherwise a `Status`.
fn deletion_response(resource: &Resource, object: &Value) -> Arc<Value> {
    if resource.is(&PODS) {
        return Arc::new(object.clone());
    }
    let mut details = json!({
        "name": text(object, "/metadata/name"),
        "kind": resource.plural,
        "uid": text(object, "/metadata/uid"),
    });
    if !resource.group.is_empty() {
        *details.field_mut("group") = resource.group.into();
    }
    Arc::new(
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
    )
}

/// Removes an owner from its dependents, which are then not deleted with it.
fn remove_owner(state: &mut State, owner_uid: &str) {
    let dependents: Vec<_> =
        state.objects().filter(|object| is_owned_by(object, owner_uid)).cloned().collect();
    for object in dependents {
        let mut object = (*object).clone();
        if let Some(owners) = list_mut(&mut object, &["metadata", "ownerReferences"]) {
            owners.retain(|reference| text(reference, "/uid") != owner_uid);
        }
        if let Some(resource) = resources::for_object(&object) {
            state.put(resource, object);
        }
    }
}

fn is_owned_by(object: &Value, owner_uid: &str) -> bool {
    list(object, "/metadata/ownerReferences").iter().any(|reference| text(reference, "/uid") == owner_uid)
}

/// Deletes dependents of deleted owners, and completes foreground deletions that have no dependents left.
pub(crate) fn collect_garbage(state: &mut State, now: &Now) {
    let has_foreground_finalizer = |object: &Value| {
        texts(object, "/metadata/finalizers").any(|finalizer| finalizer == FOREGROUND_FINALIZER)
    };
    let mut live_uids = std::collections::HashSet::new();
    let mut foreground_owners = Vec::new();
    for object in state.objects() {
        if is_terminating(object) && has_foreground_finalizer(object) {
            foreground_owners.push(Arc::clone(object));
        } else {
            live_uids.insert(text(object, "/metadata/uid").to_owned());
        }
    }
    let dependents: Vec<_> = state
        .objects()
        .filter(|object| {
            let owners = list(object, "/metadata/ownerReferences");
            let has_live_owner = owners.iter().any(|owner| live_uids.contains(text(owner, "/uid")));
            !owners.is_empty() && !has_live_owner && !is_terminating(object)
        })
        .cloned()
        .collect();
    for object in dependents {
        if let Some(resource) = resources::for_object(&object) {
            let key = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
            start_deletion(state, resource, key, None, now);
        }
    }
    for owner in foreground_owners {
        let uid = text(&owner, "/metadata/uid");
        if state.objects().any(|object| is_owned_by(object, uid)) {
            continue;
        }
        let mut owner = (*owner).clone();
        if let Some(finalizers) = list_mut(&mut owner, &["metadata", "finalizers"]) {
            finalizers.retain(|finalizer| finalizer != FOREGROUND_FINALIZER);
        }
        if let Some(resource) = resources::for_object(&owner) {
            let stored = state.put(resource, owner);
            complete_deletion(state, resource, &stored);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::CONFIG_MAPS;
    use super::*;
    use crate::kube::declared::Declared;

    fn now() -> Now {
        Now { ms: 0, text: "1970-01-01T00:00:00Z".to_owned() }
    }

    fn put_config_map(state: &mut State, name: &str, owner: Option<&str>) {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": "n", "name": name, "uid": name}});
        if let Some(owner) = owner {
            object["metadata"]["ownerReferences"] = json!([{"uid": owner, "name": owner}]);
        }
        state.put(&CONFIG_MAPS, object);
    }

    fn remaining_after_delete(policy: &str) -> Vec<String> {
        let mut state = State::new(Declared::default());
        put_config_map(&mut state, "a", None);
        put_config_map(&mut state, "b", Some("a"));
        put_config_map(&mut state, "c", Some("b"));
        let options = DeleteOptions { propagation_policy: policy.to_owned(), ..DeleteOptions::default() };
        delete(&mut state, &CONFIG_MAPS, ("n", "a"), &options, &now()).unwrap();
        for _ in 0..4 {
            collect_garbage(&mut state, &now());
        }
        state.objects().map(|object| text(object, "/metadata/name").to_owned()).collect()
    }

    #[test]
    fn dependents_are_deleted_unless_orphaned() {
        assert_eq!(remaining_after_delete("Background"), [""; 0]);
        assert_eq!(remaining_after_delete("Foreground"), [""; 0]);
        assert_eq!(remaining_after_delete("Orphan"), ["b", "c"]);
    }

    #[test]
    fn finalizers_delay_deletion() {
        let mut state = State::new(Declared::default());
        put_config_map(&mut state, "a", None);
        let mut object = (**state.get(&CONFIG_MAPS, "n", "a").unwrap()).clone();
        object["metadata"]["finalizers"] = json!(["x/y"]);
        state.put(&CONFIG_MAPS, object);
        let remaining =
            delete(&mut state, &CONFIG_MAPS, ("n", "a"), &DeleteOptions::default(), &now()).unwrap();
        assert_eq!(remaining["metadata"]["deletionTimestamp"], "1970-01-01T00:00:00Z");
        let mut released = (*remaining).clone();
        released["metadata"]["finalizers"] = json!([]);
        let released = state.put(&CONFIG_MAPS, released);
        complete_deletion(&mut state, &CONFIG_MAPS, &released);
        assert!(state.get(&CONFIG_MAPS, "n", "a").is_none());
    }

    #[test]
    fn uid_precondition_must_match() {
        let mut state = State::new(Declared::default());
        put_config_map(&mut state, "a", None);
        let options = DeleteOptions { uid: "other".to_owned(), ..DeleteOptions::default() };
        let error = delete(&mut state, &CONFIG_MAPS, ("n", "a"), &options, &now()).unwrap_err();
        assert_eq!((error.code, error.reason), (409, "Conflict"));
    }
}
