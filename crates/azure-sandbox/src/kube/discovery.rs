//! Discovery: the list of groups, and a document with the types of each group.

use super::value::FieldAccess as _;
use http::StatusCode;
use serde_json::{Value, json};

use super::request::KubeRequest;
use super::resources::{self, VERSION};
use crate::response::SandboxResponse;

/// The response to a discovery request; `None` for other paths.
pub(crate) fn respond(request: &KubeRequest) -> Option<SandboxResponse> {
    let path = request.path.trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let body = match segments.as_slice() {
        ["api"] => json!({"kind": "APIVersions", "versions": [VERSION], "serverAddressByClientCIDRs": []}),
        ["apis"] => {
            let groups: Vec<_> = resources::groups().into_iter().map(group_entry).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        ["api", VERSION] => resource_list(""),
        ["apis", name] if resources::groups().contains(name) => {
            let mut group = group_entry(name);
            *group.field_mut("kind") = "APIGroup".into();
            *group.field_mut("apiVersion") = "v1".into();
            group
        }
        ["apis", name, VERSION] if resources::groups().contains(name) => resource_list(name),
        _ => return None,
    };
    Some(SandboxResponse::kubernetes_json(StatusCode::OK, &body))
}

fn group_entry(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/{VERSION}"), "version": VERSION});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

/// The types of a group, with their subresources.
fn resource_list(group: &str) -> Value {
    let mut entries = Vec::new();
    let mut group_version = VERSION.to_owned();
    for resource in resources::in_group(group) {
        group_version = resource.api_version();
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": resource.verbs(),
        });
        if !resource.short_names.is_empty() {
            *entry.field_mut("shortNames") = json!(resource.short_names);
        }
        if resource.in_category_all {
            *entry.field_mut("categories") = json!(["all"]);
        }
        entries.push(entry);
        for subresource in resource.subresources() {
            let (group, version, kind) = subresource.gvk;
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, subresource.name),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": kind,
                "verbs": subresource.verbs,
            });
            if group != resource.group {
                *entry.field_mut("group") = group.into();
                *entry.field_mut("version") = version.into();
            }
            entries.push(entry);
        }
    }
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries})
}
