//! The attributes of a proxied request, as Kubernetes parses them: verb, resource, namespace, name. They determine whether the
//! request is audited.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use http::Method;

use crate::api::query::RawQuery;

/// The maximum length of a name in Kubernetes.
const MAX_NAME_LEN: usize = 253;

/// Subresources that connect to a container, pod, service or node, with any method.
pub(super) const CONNECTING_SUBRESOURCES: [&str; 4] = ["attach", "exec", "portforward", "proxy"];

/// The API groups of access and token reviews. Creating a review changes nothing.
const REVIEW_GROUPS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

/// The attributes of a request; those that it does not have are empty.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    verb: &'static str,
    group: &'a str,
    resource: &'a str,
    subresource: &'a str,
    namespace: &'a str,
    name: Cow<'a, str>,
}

impl<'a> Attributes<'a> {
    /// Parses the decoded segments of a path. If the path has no API version (`/api/<version>…` or `/apis/<group>/<version>…`),
    /// only the verb is set.
    pub(super) fn new(method: &Method, segments: &[&'a str], query: RawQuery<'a>) -> Self {
        let mut verb = match method.as_str() {
            "GET" | "HEAD" => "get",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => "other",
        };
        let (group, mut object_segments) = match segments {
            ["api", _, object_segments @ ..] => ("", object_segments),
            ["apis", group, _, object_segments @ ..] => (*group, object_segments),
            _ => return Self { verb, ..Self::default() },
        };
        let is_watch_path = object_segments.first() == Some(&"watch");
        if is_watch_path {
            object_segments = object_segments.get(1..).unwrap_or_default();
        }
        let mut namespace = "";
        // `namespaces/<name>/status` and `…/finalize` are subresources of the namespace.
        if let ["namespaces", namespace_name, after_namespace @ ..] = object_segments
            && !after_namespace.is_empty()
            && !matches!(after_namespace, ["status" | "finalize"])
        {
            (namespace, object_segments) = (namespace_name, after_namespace);
        } else if let ["namespaces", namespace_name, ..] = object_segments {
            namespace = namespace_name;
        }
        let segment = |index: usize| object_segments.get(index).copied().unwrap_or_default();
        let (resource, mut name, subresource) = (segment(0), Cow::from(segment(1)), segment(2));
        if name.is_empty() {
            verb = match verb {
                "get" if is_watch_path || is_enabled(query, "watch") => "watch",
                "get" => "list",
                "delete" => "deletecollection",
                verb => verb,
            };
            if let Some(selected) = selected_name(query) {
                name = selected;
            }
        } else if verb == "get" && (is_watch_path || is_enabled(query, "watch")) {
            verb = "watch";
        }
        Self { verb, group, resource, subresource, namespace, name }
    }

    /// Whether the request changes something, connects to a container, pod, service or node, or reads secrets.
    pub(super) fn is_audited(&self) -> bool {
        let is_change = !matches!(self.verb, "get" | "list" | "watch" | "other");
        let is_review = self.verb == "create"
            && REVIEW_GROUPS.contains(&self.group)
            && self.resource.ends_with("reviews");
        let targets_secrets = self.group.is_empty() && self.resource == "secrets";
        is_change && !is_review
            || CONNECTING_SUBRESOURCES.contains(&self.subresource)
            || targets_secrets && !is_change
    }

    /// Whether the request is a frequent change by a controller: of a lease, an event or the status of an object.
    pub(super) fn is_heartbeat(&self) -> bool {
        let writes = matches!(self.verb, "create" | "update" | "patch");
        let is_controller_object = match (self.group, self.resource) {
            ("coordination.k8s.io", "leases") | ("" | "events.k8s.io", "events") => true,
            _ => self.subresource == "status",
        };
        writes && is_controller_object
    }
}

/// Whether a boolean parameter is true: as in Kubernetes, with any value except `0` and `false`.
pub(super) fn is_enabled(query: RawQuery<'_>, name: &str) -> bool {
    let mut values = query.pairs().filter(|(key, _)| key == name);
    values.any(|(_, value)| value != "0" && !value.eq_ignore_ascii_case("false"))
}

/// The name of the object to which `fieldSelector` limits a list or watch.
fn selected_name(query: RawQuery<'_>) -> Option<Cow<'_, str>> {
    let (_, selector) = query.pairs().find(|(key, _)| key == "fieldSelector")?;
    let mut terms = selector.split(',').filter_map(|term| term.split_once('='));
    let (_, name) = terms.find(|(field, _)| *field == "metadata.name")?;
    Some(name.trim_start_matches('=').to_owned().into())
}

/// `verb=delete resource=deployments.apps namespace=a name=web`, without empty parts.
impl fmt::Display for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verb={}", self.verb)?;
        if !self.resource.is_empty() {
            f.write_str(" resource=")?;
            write_escaped(f, self.resource)?;
            for (separator, part) in [('.', self.group), ('/', self.subresource)] {
                if !part.is_empty() {
                    f.write_char(separator)?;
                    write_escaped(f, part)?;
                }
            }
        }
        for (key, part) in [("namespace", self.namespace), ("name", &self.name)] {
            if !part.is_empty() {
                write!(f, " {key}=")?;
                write_escaped(f, part)?;
            }
        }
        Ok(())
    }
}

/// Writes a name of limited length, with escapes for all characters that cannot be part of a Kubernetes name: a name must not
/// imitate another part of the detail, or another line.
fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for character in text.chars().take(MAX_NAME_LEN) {
        if character.is_ascii_alphanumeric() || "-._:".contains(character) {
            f.write_char(character)?;
        } else {
            write!(f, "{}", character.escape_unicode())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    /// The detail of the audit record, and whether the request is audited.
    fn audit(method: &str, uri: &str) -> (String, bool) {
        let uri: Uri = uri.parse().unwrap();
        let segments: Vec<_> = uri.path().trim_matches('/').split('/').collect();
        let attributes = Attributes::new(&method.parse().unwrap(), &segments, RawQuery::from_uri(&uri));
        (attributes.to_string(), attributes.is_audited())
    }

    #[test]
    fn paths_are_parsed_as_in_kubernetes() {
        for (method, uri, expected) in [
            ("GET", "/api/v1/pods", "verb=list resource=pods"),
            ("GET", "/api/v1/pods?watch=true", "verb=watch resource=pods"),
            ("GET", "/api/v1/watch/pods", "verb=watch resource=pods"),
            ("GET", "/api/v1/namespaces/a/pods/b", "verb=get resource=pods namespace=a name=b"),
            ("HEAD", "/api/v1/nodes/n", "verb=get resource=nodes name=n"),
            (
                "DELETE",
                "/apis/apps/v1/namespaces/a/deployments/b",
                "verb=delete resource=deployments.apps namespace=a name=b",
            ),
            (
                "DELETE",
                "/apis/apps/v1/namespaces/a/deployments",
                "verb=deletecollection resource=deployments.apps namespace=a",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                "verb=patch resource=deployments.apps/scale namespace=a name=b",
            ),
            (
                "POST",
                "/api/v1/namespaces/a/pods/b/eviction",
                "verb=create resource=pods/eviction namespace=a name=b",
            ),
            ("POST", "/api/v1/namespaces", "verb=create resource=namespaces"),
            ("DELETE", "/api/v1/namespaces/a", "verb=delete resource=namespaces namespace=a name=a"),
            (
                "PUT",
                "/api/v1/namespaces/a/finalize",
                "verb=update resource=namespaces/finalize namespace=a name=a",
            ),
            (
                "GET",
                "/api/v1/namespaces/a/services/http:b:80/proxy/x/y",
                "verb=get resource=services/proxy namespace=a name=http:b:80",
            ),
            ("GET", "/api/v1/secrets?fieldSelector=metadata.name%3Db", "verb=list resource=secrets name=b"),
            (
                "GET",
                "/api/v1/secrets?fieldSelector=type%3Dx,metadata.name%3D%3Db",
                "verb=list resource=secrets name=b",
            ),
            ("POST", "/version", "verb=create"),
            ("OPTIONS", "/api/v1/pods", "verb=other resource=pods"),
            ("GET", "/api/v1/namespaces/a/pods/b=c", "verb=get resource=pods namespace=a name=b\\u{3d}c"),
        ] {
            assert_eq!(audit(method, uri).0, expected, "{method} {uri}");
        }
        let attributes = Attributes::new(
            &Method::DELETE,
            &["api", "v1", "pods", "x\nverb=get name=y"],
            RawQuery::default(),
        );
        assert_eq!(
            attributes.to_string(),
            "verb=delete resource=pods name=x\\u{a}verb\\u{3d}get\\u{20}name\\u{3d}y"
        );
    }

    #[test]
    fn leases_events_and_status_are_heartbeats() {
        for (method, uri, expected) in [
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/l", true),
            ("POST", "/apis/coordination.k8s.io/v1/namespaces/a/leases", true),
            ("DELETE", "/apis/coordination.k8s.io/v1/namespaces/a/leases/l", false),
            ("POST", "/api/v1/namespaces/a/events", true),
            ("PATCH", "/apis/events.k8s.io/v1/namespaces/a/events/e", true),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/status", true),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d", false),
            ("PUT", "/apis/apps/v1/namespaces/a/deployments/d/scale", false),
            ("POST", "/apis/example.org/v1/events", false),
        ] {
            let uri: Uri = uri.parse().unwrap();
            let segments: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let attributes = Attributes::new(&method, &segments, RawQuery::from_uri(&uri));
            assert_eq!(attributes.is_heartbeat(), expected, "{method} {uri}");
        }
    }

    #[test]
    fn changes_connections_and_secrets_are_audited() {
        for (method, uri, expected) in [
            ("GET", "/api/v1/namespaces/a/pods", false),
            ("GET", "/api/v1/namespaces/a/pods/b/log", false),
            ("GET", "/version", false),
            ("OPTIONS", "/api/v1/pods", false),
            ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", false),
            ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", false),
            ("POST", "/apis/example.org/v1/productreviews", true),
            ("POST", "/api/v1/namespaces/a/pods", true),
            ("DELETE", "/api/v1/namespaces/a/pods", true),
            ("POST", "/api/v1/namespaces/a/serviceaccounts/b/token", true),
            ("POST", "/api/v1/namespaces/a/pods/b/eviction", true),
            ("GET", "/api/v1/namespaces/a/pods/b/exec?command=sh", true),
            ("GET", "/api/v1/namespaces/a/pods/b/portforward", true),
            ("POST", "/api/v1/namespaces/a/pods/b/attach", true),
            ("GET", "/api/v1/nodes/n/proxy/metrics", true),
            ("GET", "/api/v1/secrets", true),
            ("GET", "/api/v1/secrets?watch=true", true),
            ("HEAD", "/api/v1/namespaces/a/secrets/b", true),
            ("GET", "/api/v1/watch/namespaces/a/secrets/b", true),
            ("GET", "/apis/example.org/v1/secrets", false),
            ("PUT", "/something/else", true),
        ] {
            assert_eq!(audit(method, uri).1, expected, "{method} {uri}");
        }
    }
}
