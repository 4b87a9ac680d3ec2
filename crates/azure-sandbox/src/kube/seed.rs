//! The objects of a new cluster: namespaces, Kubernetes' roles, and the deployments of AKS in `kube-system`
//! (`data/kubernetes.json`, written for this project).

use std::collections::HashMap;

use serde_json::Value;

use super::declared::Declared;
use super::resources::{self, DEPLOYMENTS};
use super::storage::State;
use super::value::{Now, set, text};
use super::{admit, nodes};

const DATA: &str = include_str!("../data/kubernetes.json");

/// Creates the objects and nodes of a new cluster.
pub(crate) fn populate(
    state: &mut State,
    declared: Declared,
    sizes: &HashMap<String, (u32, f64)>,
    now: &Now,
) {
    let objects: Vec<Value> = serde_json::from_str(DATA).unwrap_or_default();
    for object in objects {
        let Some(resource) = resources::for_object(&object) else { continue };
        let (namespace, name) = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        let mut new_object = resource.new_object(namespace, name, now);
        super::patch::merge(&mut new_object, &object);
        if resource.is(&DEPLOYMENTS) {
            set(&mut new_object, &["metadata", "generation"], 1);
        }
        // Errors are ignored: a test validates the file.
        let _ = admit::admit(state, resource, None, &mut new_object, now);
        state.put(resource, new_object);
    }
    nodes::update(state, declared, sizes, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_objects_are_valid() {
        let objects: Vec<Value> = serde_json::from_str(DATA).unwrap();
        assert!(objects.len() > 30);
        let now = Now { ms: 0, text: "1970-01-01T00:00:00Z".to_owned() };
        let state = State::new(Declared::default());
        for mut object in objects {
            let resource = resources::for_object(&object).unwrap_or_else(|| panic!("{object}"));
            assert_eq!(resource.namespaced, !text(&object, "/metadata/namespace").is_empty(), "{object}");
            admit::check_name(resource, &object).unwrap();
            admit::admit(&state, resource, None, &mut object, &now)
                .unwrap_or_else(|error| panic!("{}", error.message));
        }
    }
}
