//! Services: an address inside the cluster for each, and endpoints that follow the pods.

use super::value::Keyed as _;
use std::collections::HashSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::pods::is_ready;
use super::resources::{ENDPOINTS, PODS, SERVICES};
use super::select::Labels;
use super::status::Cause;
use super::storage::State;
use super::value::{Now, at, default, each, hash, list, number, set, text};

/// The range of services: 10.0.0.0/16, as AKS takes it. The first addresses are given out by hand.
const RANGE: u32 = 0x0a00_0000;
const SIZE: u32 = 1 << 16;
const FIRST: u32 = 16;
/// Endpoints with this label were made here, and go with their service.
const MANAGED: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");

/// Fills in a service.
pub(super) fn admit(state: &State, old: Option<&Value>, service: &mut Value) -> Vec<Cause> {
    default(service, &["spec", "type"], "ClusterIP");
    default(service, &["spec", "sessionAffinity"], "None");
    default(service, &["spec", "internalTrafficPolicy"], "Cluster");
    default(service, &["status", "loadBalancer"], json!({}));
    let mut causes = Vec::new();
    let kind = text(service, "/spec/type").to_owned();
    if !["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"].contains(&kind.as_str()) {
        causes.push(Cause {
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: {kind:?}: supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""),
            field: "spec.type".to_owned(),
        });
    }
    let node_ports = ["NodePort", "LoadBalancer"].contains(&kind.as_str());
    let seed = hash(text(service, "/metadata/uid"));
    let headless = text(service, "/spec/clusterIP") == "None";
    for (at, port) in each(service, "/spec/ports").enumerate() {
        default(port, &["protocol"], "TCP");
        if number(port, "/port").is_none_or(|number| !(1..=65_535).contains(&number)) {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(&format!("spec.ports[{at}].port"), &port["port"], why));
        }
        let own = port["port"].clone();
        default(port, &["targetPort"], own);
        if node_ports {
            let offset = (seed.wrapping_add(at as u64)) % 2_768;
            default(port, &["nodePort"], 30_000 + offset);
        }
    }
    if list(service, "/spec/ports").is_empty() && kind != "ExternalName" && !headless {
        causes.push(Cause::required("spec.ports", ""));
    }
    if kind == "ExternalName" {
        return causes;
    }
    if let Some(given) = old.map(|old| text(old, "/spec/clusterIP")).filter(|given| !given.is_empty()) {
        let wanted = text(service, "/spec/clusterIP");
        if !wanted.is_empty() && wanted != given {
            causes.push(Cause::invalid("spec.clusterIP", &wanted.into(), "may not change once set"));
        }
        let given = given.to_owned();
        set(service, &["spec", "clusterIP"], given);
    } else if text(service, "/spec/clusterIP").is_empty() {
        set(service, &["spec", "clusterIP"], free(state, seed));
    }
    let address = at(service, &["spec", "clusterIP"]).clone();
    set(service, &["spec", "clusterIPs"], json!([address]));
    default(service, &["spec", "ipFamilies"], json!(["IPv4"]));
    default(service, &["spec", "ipFamilyPolicy"], "SingleStack");
    causes
}

/// An address that no service has.
fn free(state: &State, seed: u64) -> String {
    let taken: HashSet<&str> =
        state.list(&SERVICES, None, None).map(|service| text(service, "/spec/clusterIP")).collect();
    let start = u32::try_from(seed % u64::from(SIZE)).unwrap_or_default();
    let all = (0..SIZE).map(|step| (start + step) % SIZE).filter(|at| (FIRST..SIZE - 1).contains(at));
    let mut all = all.map(|at| Ipv4Addr::from(RANGE + at).to_string());
    all.find(|address| !taken.contains(address.as_str())).unwrap_or_default()
}

/// Lets the endpoints follow services and pods.
pub(super) fn endpoints(state: &mut State, now: &Now) {
    for service in state.all(&SERVICES) {
        let (namespace, name) = (text(&service, "/metadata/namespace"), text(&service, "/metadata/name"));
        let selector = Labels::of_map(at(&service, &["spec", "selector"]));
        if selector.is_empty() {
            continue;
        }
        let pods: Vec<_> = state
            .list(&PODS, Some(namespace), None)
            .filter(|pod| selector.fit(pod) && is_ready(pod) && !text(pod, "/status/podIP").is_empty())
            .collect();
        let mut subsets = Vec::new();
        let address = |pod: &Value| {
            json!({"ip": at(pod, &["status", "podIP"]), "nodeName": at(pod, &["spec", "nodeName"]), "targetRef": {"kind": "Pod",
                "namespace": namespace, "name": at(pod, &["metadata", "name"]), "uid": at(pod, &["metadata", "uid"])}})
        };
        if let Some(first) = pods.first() {
            let ports: Vec<_> =
                list(&service, "/spec/ports").iter().map(|port| endpoint_port(port, first)).collect();
            let addresses: Vec<_> = pods.iter().map(|pod| address(pod)).collect();
            subsets.push(json!({"addresses": addresses, "ports": ports}));
        }
        let mut endpoints = match state.get(&ENDPOINTS, namespace, name) {
            Some(known) => (**known).clone(),
            None => ENDPOINTS.fresh(namespace, name, now),
        };
        set(&mut endpoints, &["metadata", "labels", MANAGED.0], MANAGED.1);
        if subsets.is_empty() {
            drop(endpoints.as_object_mut().and_then(|endpoints| endpoints.remove("subsets")));
        } else {
            *endpoints.slot("subsets") = subsets.into();
        }
        state.put(&ENDPOINTS, endpoints);
    }
    for endpoints in state.all(&ENDPOINTS) {
        let (namespace, name) = (text(&endpoints, "/metadata/namespace"), text(&endpoints, "/metadata/name"));
        let managed = at(&endpoints, &["metadata", "labels", MANAGED.0]) == MANAGED.1;
        if managed && state.get(&SERVICES, namespace, name).is_none() {
            state.remove(&ENDPOINTS, namespace, name);
        }
    }
}

/// A port of a service as its pods have it; names of ports are looked up in the pod.
fn endpoint_port(port: &Value, pod: &Value) -> Value {
    let target = &port["targetPort"];
    let number = match target.as_str() {
        None => target.clone(),
        Some(name) => {
            let containers = list(pod, "/spec/containers").iter();
            let ports = containers.flat_map(|container| list(container, "/ports"));
            let mut named = ports.filter(|port| text(port, "/name") == name);
            named.next().map_or(port["port"].clone(), |port| port["containerPort"].clone())
        }
    };
    let mut endpoint = json!({"port": number, "protocol": port["protocol"]});
    if let Some(name) = port.get("name") {
        *endpoint.slot("name") = name.clone();
    }
    endpoint
}

#[cfg(test)]
mod tests {
    use super::super::Declared;
    use super::*;

    #[test]
    fn every_service_gets_an_address_of_its_own_and_keeps_it() {
        let mut state = State::new(Declared::default());
        let mut addresses = HashSet::new();
        for name in ["a", "b", "c"] {
            let mut service = json!({"metadata": {"namespace": "n", "name": name, "uid": "same"},
                "spec": {"ports": [{"port": 80}]}});
            assert!(admit(&state, None, &mut service).is_empty());
            assert_eq!(service["spec"]["ports"][0]["targetPort"], 80);
            addresses.insert(text(&service, "/spec/clusterIP").to_owned());
            let mut changed = service.clone();
            changed["spec"]["clusterIP"] = "10.0.9.9".into();
            assert_eq!(admit(&state, Some(&service), &mut changed)[0].field, "spec.clusterIP");
            state.put(&SERVICES, service);
        }
        assert_eq!(addresses.len(), 3);
        assert_eq!(admit(&state, None, &mut json!({"spec": {}}))[0].field, "spec.ports");
    }
}
