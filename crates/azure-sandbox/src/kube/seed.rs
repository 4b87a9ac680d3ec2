//! What a new cluster has: its namespaces, the roles of Kubernetes, and what AKS runs in `kube-system`
//! (`data/kubernetes.json`, written for this project).

use super::value::Keyed as _;
use std::collections::HashMap;

use serde_json::Value;

use super::resources::{self, DAEMON_SETS, DEPLOYMENTS, ENDPOINTS, SERVICES};
use super::storage::State;
use super::value::{Now, at, set, text};
use super::{Declared, admit, nodes};

const DATA: &str = include_str!("../data/kubernetes.json");

/// Fills an empty cluster.
pub(super) fn furnish(state: &mut State, declared: Declared, sizes: &HashMap<String, (u32, f64)>, now: &Now) {
    let objects: Vec<Value> = serde_json::from_str(DATA).unwrap_or_default();
    for object in objects {
        let Some(resource) = resources::of_object(&object) else { continue };
        let (namespace, name) = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        let mut fresh = resource.fresh(namespace, name, now);
        super::patch::merge(&mut fresh, &object);
        if resource.is(&DEPLOYMENTS) || resource.is(&DAEMON_SETS) {
            set(&mut fresh, &["metadata", "generation"], 1);
        }
        // The file was checked by a test.
        let _ = admit::admit(state, resource, None, &mut fresh, now);
        state.put(resource, fresh);
    }
    api(state, &declared, now);
    nodes::follow(state, declared, sizes, now);
}

/// The API itself, as a service of the cluster.
fn api(state: &mut State, declared: &Declared, now: &Now) {
    let Some(service) = state.get(&SERVICES, "default", "kubernetes") else { return };
    let ports = at(service, &["spec", "ports"]).clone();
    let mut endpoints = ENDPOINTS.fresh("default", "kubernetes", now);
    let name = ports.get(0).map(|port| port.part("name").clone()).unwrap_or_default();
    set(
        &mut endpoints,
        &["subsets"],
        serde_json::json!([{"addresses": [{"ip": address(&declared.fqdn)}], "ports": [{"name": name, "port": 443, "protocol": "TCP"}]}]),
    );
    state.put(&ENDPOINTS, endpoints);
}

/// An address for the API, in a range that is nobody's (RFC 5737).
fn address(fqdn: &str) -> String {
    format!("203.0.113.{}", super::value::hash(fqdn) % 254 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_of_the_file_is_of_a_known_type_and_admissible() {
        let objects: Vec<Value> = serde_json::from_str(DATA).unwrap();
        assert!(objects.len() > 30);
        let now = Now { ms: 0, text: "1970-01-01T00:00:00Z".to_owned() };
        let state = State::new(Declared::default());
        for mut object in objects {
            let resource = resources::of_object(&object).unwrap_or_else(|| panic!("{object}"));
            assert_eq!(resource.namespaced, !text(&object, "/metadata/namespace").is_empty(), "{object}");
            admit::name(resource, &object).unwrap();
            admit::admit(&state, resource, None, &mut object, &now)
                .unwrap_or_else(|refused| panic!("{}", refused.message));
        }
    }
}
