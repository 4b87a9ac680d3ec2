//! The objects of a cluster and the history of their changes, like etcd. Every change has a revision, and the
//! `resourceVersion` of an object is the revision of its last change.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::declared::Declared;
use super::resources::{self, Resource};
use super::value::{set, text};

/// Number of changes that watches can resume from.
const HISTORY_CAPACITY: usize = 4_096;

/// The key of an object, in the order of lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    group: &'static str,
    plural: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A change of an object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Value>>,
    /// `None` if the object was deleted.
    pub(crate) after: Option<Arc<Value>>,
}

/// The state of a cluster.
pub(crate) struct State {
    pub(crate) declared: Declared,
    /// Whether the host name resolves, if the control API has set it.
    pub(crate) reachable: Option<bool>,
    pub(crate) revision: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    /// The revision before the first one in `history`.
    compacted: u64,
}

impl Key {
    pub(crate) fn new(resource: &'static Resource, namespace: &str, name: &str) -> Self {
        Self {
            group: resource.group,
            plural: resource.plural,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn for_object(resource: &'static Resource, object: &Value) -> Self {
        Self::new(resource, text(object, "/metadata/namespace"), text(object, "/metadata/name"))
    }

    pub(crate) fn has_type(&self, resource: &Resource) -> bool {
        self.group == resource.group && self.plural == resource.plural
    }
}

impl State {
    pub(crate) fn new(declared: Declared) -> Self {
        Self {
            declared,
            reachable: None,
            revision: 1,
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            compacted: 1,
        }
    }

    /// A stored state, without history. Objects of unknown types are dropped.
    pub(crate) fn restore(
        declared: Declared,
        reachable: Option<bool>,
        revision: u64,
        objects: Vec<Value>,
    ) -> Self {
        let keyed = objects.into_iter().filter_map(|object| {
            let resource = resources::for_object(&object)?;
            Some((Key::for_object(resource, &object), Arc::new(object)))
        });
        let objects = keyed.collect();
        Self { declared, reachable, revision, objects, history: VecDeque::new(), compacted: revision }
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.objects.values()
    }

    /// The objects in a namespace.
    pub(crate) fn objects_in(&self, namespace: &str) -> Vec<(&'static Resource, Arc<Value>)> {
        let entries = self.objects.iter().filter(|(key, _)| key.namespace == namespace);
        let resource = |key: &Key| resources::find(key.group, key.plural);
        entries.filter_map(|(key, object)| Some((resource(key)?, Arc::clone(object)))).collect()
    }

    pub(crate) fn get(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
    ) -> Option<&Arc<Value>> {
        self.objects.get(&Key::new(resource, namespace, name))
    }

    /// The objects of a type in order, in one namespace or all, starting after the key `after`.
    pub(crate) fn list(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        after: Option<&Key>,
    ) -> impl Iterator<Item = &Arc<Value>> {
        let first = Key::new(resource, namespace.unwrap_or_default(), "");
        let start = after.filter(|after| after.has_type(resource)).unwrap_or(&first).clone();
        let namespace = namespace.map(str::to_owned);
        self.objects
            .range((std::ops::Bound::Excluded(start), std::ops::Bound::Unbounded))
            .take_while(move |(key, _)| {
                key.has_type(resource) && namespace.as_deref().is_none_or(|wanted| key.namespace == wanted)
            })
            .map(|(_, object)| object)
    }

    /// A copy of the list of all objects of a type.
    pub(crate) fn all(&self, resource: &'static Resource) -> Vec<Arc<Value>> {
        self.list(resource, None, None).cloned().collect()
    }

    /// Stores an object with a new revision, unless it is unchanged.
    pub(crate) fn put(&mut self, resource: &'static Resource, mut object: Value) -> Arc<Value> {
        let key = Key::for_object(resource, &object);
        let before = self.objects.get(&key).cloned();
        if let Some(before) = &before {
            let version = text(before, "/metadata/resourceVersion").to_owned();
            set(&mut object, &["metadata", "resourceVersion"], version);
            if **before == object {
                return Arc::clone(before);
            }
        }
        let revision = self.revision + 1;
        set(&mut object, &["metadata", "resourceVersion"], revision.to_string());
        let object = Arc::new(object);
        self.objects.insert(key.clone(), Arc::clone(&object));
        self.record(Change { revision, key, before, after: Some(Arc::clone(&object)) });
        object
    }

    /// Deletes an object, and returns its last version.
    pub(crate) fn remove(
        &mut self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Value>> {
        let key = Key::new(resource, namespace, name);
        let mut last = self.objects.remove(&key)?;
        let revision = self.revision + 1;
        // Watches report a deleted object with the revision of the deletion.
        set(Arc::make_mut(&mut last), &["metadata", "resourceVersion"], revision.to_string());
        self.record(Change { revision, key, before: Some(Arc::clone(&last)), after: None });
        Some(last)
    }

    fn record(&mut self, change: Change) {
        self.revision = change.revision;
        self.history.push_back(change);
        if self.history.len() > HISTORY_CAPACITY {
            self.compacted = self.history.pop_front().map_or(self.compacted, |change| change.revision);
        }
    }

    /// The changes after `revision`; `Err` with the oldest available revision.
    pub(crate) fn changes_since(&self, revision: u64) -> Result<impl Iterator<Item = &Change>, u64> {
        if revision < self.compacted {
            return Err(self.compacted);
        }
        let start = self.history.partition_point(|change| change.revision <= revision);
        Ok(self.history.range(start..))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::resources::{CONFIG_MAPS, PODS, SECRETS};
    use super::*;

    fn state() -> State {
        State::new(Declared::default())
    }

    fn config_map(namespace: &str, name: &str, data: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name},
            "data": {"k": data}})
    }

    #[test]
    fn only_real_changes_increase_the_resource_version() {
        let mut state = state();
        let first = state.put(&CONFIG_MAPS, config_map("a", "x", "1"));
        assert_eq!(first["metadata"]["resourceVersion"], "2");
        let same = state.put(&CONFIG_MAPS, config_map("a", "x", "1"));
        assert_eq!((&*same["metadata"]["resourceVersion"].to_string(), state.revision), ("\"2\"", 2));
        state.put(&CONFIG_MAPS, config_map("a", "x", "2"));
        let last = state.remove(&CONFIG_MAPS, "a", "x").unwrap();
        assert_eq!(last["metadata"]["resourceVersion"], "4");
        assert!(state.remove(&CONFIG_MAPS, "a", "x").is_none());
        let changes: Vec<_> = state.changes_since(2).unwrap().map(|change| change.revision).collect();
        assert_eq!(changes, [3, 4]);
        assert!(state.changes_since(0).is_err_and(|oldest| oldest == 1));
    }

    #[test]
    fn lists_are_sorted_and_paged() {
        let mut state = state();
        for (namespace, name) in [("b", "x"), ("a", "z"), ("a", "y"), ("ab", "w")] {
            state.put(&CONFIG_MAPS, config_map(namespace, name, ""));
        }
        let names = |namespace: Option<&str>, after: Option<&Key>| -> Vec<String> {
            let name = |object: &Arc<Value>| text(object, "/metadata/name").to_owned();
            state.list(&CONFIG_MAPS, namespace, after).map(name).collect()
        };
        assert_eq!(names(None, None), ["y", "z", "w", "x"]);
        assert_eq!(names(Some("a"), None), ["y", "z"]);
        assert_eq!(names(Some("a"), Some(&Key::new(&CONFIG_MAPS, "a", "y"))), ["z"]);
        assert_eq!(state.list(&SECRETS, None, None).count() + state.list(&PODS, None, None).count(), 0);
    }

    #[test]
    fn history_is_bounded() {
        let mut state = state();
        for n in 0..HISTORY_CAPACITY + 10 {
            state.put(&CONFIG_MAPS, config_map("a", "x", &n.to_string()));
        }
        assert_eq!(state.changes_since(5).err(), Some(11));
        assert_eq!(state.changes_since(11).unwrap().count(), HISTORY_CAPACITY);
    }
}
