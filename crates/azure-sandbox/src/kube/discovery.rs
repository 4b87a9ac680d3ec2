//! What there is: groups, their version, their types, in the older form (a document for each group) and in the newer
//! one (all of it in two).

use super::value::Keyed as _;
use http::StatusCode;
use serde_json::{Value, json};

use super::request::KubeRequest;
use super::resources::{self, Resource, VERSION};
use super::value::set;
use crate::response::Answer;

/// The answer to an address of discovery; `None` when it is none.
pub(crate) fn answer(request: &KubeRequest) -> Option<Answer> {
    let path = request.path.trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let aggregated = request.accept().aggregated && parts.len() == 1;
    let body = match (parts.as_slice(), aggregated) {
        (["api"], true) => all(&[""]),
        (["apis"], true) => all(&resources::groups()),
        (["api"], false) => {
            json!({"kind": "APIVersions", "versions": [VERSION], "serverAddressByClientCIDRs": []})
        }
        (["apis"], false) => {
            let groups: Vec<_> = resources::groups().into_iter().map(group).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        (["api", VERSION], _) => types(""),
        (["apis", name], _) if resources::groups().contains(name) => {
            let mut group = group(name);
            *group.slot("kind") = "APIGroup".into();
            *group.slot("apiVersion") = "v1".into();
            group
        }
        (["apis", name, VERSION], _) if resources::groups().contains(name) => types(name),
        _ => return None,
    };
    let mut answer = Answer::json(StatusCode::OK, &body);
    let content_type = if aggregated {
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    } else {
        "application/json"
    };
    answer.set("content-type", content_type);
    answer.set("vary", "Accept");
    Some(answer)
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/{VERSION}"), "version": VERSION});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

/// The types of a group in the older form.
fn types(group: &str) -> Value {
    let mut all = Vec::new();
    let mut version = VERSION.to_owned();
    for resource in resources::of_group(group) {
        version = resource.api_version();
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": resource.verbs(),
        });
        if !resource.short.is_empty() {
            *entry.slot("shortNames") = json!(resource.short);
        }
        if resource.all {
            *entry.slot("categories") = json!(["all"]);
        }
        all.push(entry);
        for part in resource.subresources() {
            let (group, version, kind) = part.shows;
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, part.name),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": kind,
                "verbs": part.verbs,
            });
            if group != resource.group {
                *entry.slot("group") = group.into();
                *entry.slot("version") = version.into();
            }
            all.push(entry);
        }
    }
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": all})
}

/// Groups with all their types, in the newer form.
fn all(groups: &[&str]) -> Value {
    let items: Vec<_> = groups
        .iter()
        .map(|group| {
            let types: Vec<_> = resources::of_group(group).map(entry).collect();
            let mut item = json!({"metadata": {"creationTimestamp": null},
                "versions": [{"version": VERSION, "resources": types, "freshness": "Current"}]});
            if !group.is_empty() {
                set(&mut item, &["metadata", "name"], *group);
            }
            item
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn entry(resource: &'static Resource) -> Value {
    let kind = |(group, version, kind): (&str, &str, &str)| json!({"group": group, "version": version, "kind": kind});
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": kind((resource.group, VERSION, resource.kind)),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs(),
    });
    if !resource.short.is_empty() {
        *entry.slot("shortNames") = json!(resource.short);
    }
    if resource.all {
        *entry.slot("categories") = json!(["all"]);
    }
    let parts: Vec<_> = resource
        .subresources()
        .into_iter()
        .map(|part| json!({"subresource": part.name, "responseKind": kind(part.shows), "verbs": part.verbs}))
        .collect();
    if !parts.is_empty() {
        *entry.slot("subresources") = parts.into();
    }
    entry
}
