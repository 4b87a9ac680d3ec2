//! The target of a request below `/k8s/clusters`: the cluster, the path in it, the kind of the response, and the content of the
//! audit record.

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use super::attributes::{Attributes, CONNECTING_SUBRESOURCES, is_enabled};
use super::status::Status;
use crate::api::query::RawQuery;

/// The maximum levels of percent-encoding in a segment: more are an attack. Without a limit, decoding a long segment would take
/// quadratic time.
const MAX_DECODINGS: usize = 8;

/// The target of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The ID of the cluster, percent-decoded.
    pub(super) cluster_id: String,
    /// Path and query in the cluster, as the caller wrote them.
    pub(super) path_and_query: String,
    pub(super) kind: Kind,
    /// The audit record; `None` if the request is not audited.
    pub(super) audit: Option<Audit>,
}

/// The content of a request's audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Audit {
    /// Verb, resource and object.
    pub(super) detail: String,
    /// Whether records of the same kind are only counted, because clients send such requests frequently.
    pub(super) is_counted: bool,
}

/// The kind of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The version of the cluster.
    Version,
    /// A response with an end.
    Ordinary,
    /// Events as they happen.
    Watch,
    /// The lines of a log as they are written.
    FollowedLog,
    /// A response of an application in a pod, service or node: a session or an ordinary response.
    Application,
}

impl Kind {
    /// Whether the response may be endless or start late.
    pub(super) fn is_endless(self) -> bool {
        matches!(self, Self::Watch | Self::FollowedLog | Self::Application)
    }
}

impl Target {
    /// Parses the method and the URI of a request.
    ///
    /// # Errors
    /// If the path is ambiguous (dot segments, encoded slashes or backslashes), or the cluster ID is not UTF-8.
    pub(super) fn parse(method: &Method, uri: &Uri) -> Result<Self, Status> {
        let rest = uri.path().strip_prefix("/k8s/clusters/").unwrap_or_default();
        let (id, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let cluster_id = percent_decode_str(id).decode_utf8();
        let cluster_id =
            cluster_id.map_err(|_| Status::bad_request("the cluster ID is not valid UTF-8"))?.into_owned();
        if [id, path].iter().any(|part| part.split('/').any(is_ambiguous)) {
            return Err(Status::bad_request(
                "the path must not contain dot segments or encoded slashes or backslashes",
            ));
        }
        let path = if path.is_empty() { "/" } else { path };
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        let segments: Vec<&str> = decoded.trim_matches('/').split('/').collect();
        let query = RawQuery::from_uri(uri);
        let kind = if has_connecting_subresource(&segments) {
            Kind::Application
        } else if is_watch(method, &segments, query) {
            Kind::Watch
        } else if is_followed_log(&segments, query) {
            Kind::FollowedLog
        } else if path == "/version" && matches!(*method, Method::GET | Method::HEAD) {
            Kind::Version
        } else {
            Kind::Ordinary
        };
        let attributes = Attributes::new(method, &segments, query);
        let audit = attributes
            .is_audited()
            .then(|| Audit { detail: attributes.to_string(), is_counted: attributes.is_heartbeat() });
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Self { cluster_id, path_and_query: format!("{path}{query}"), kind, audit })
    }

    /// Whether the path belongs to Steve, which Rancher's agent serves in clusters. Kubernetes has nothing under this path.
    pub(super) fn is_steve(&self) -> bool {
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        path == "/v1" || path.starts_with("/v1/")
    }
}

/// Whether a segment, decoded any number of times, is `.` or `..`, or contains a slash or backslash.
fn is_ambiguous(segment: &str) -> bool {
    let mut text = segment.to_owned();
    for _ in 0..MAX_DECODINGS {
        if matches!(text.as_str(), "." | "..") || text.contains(['/', '\\']) {
            return true;
        }
        let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            return false;
        }
        text = decoded;
    }
    true
}

fn is_watch(method: &Method, segments: &[&str], query: RawQuery<'_>) -> bool {
    let group_len = usize::from(segments.first() == Some(&"apis"));
    let is_watch_path = segments.get(2 + group_len) == Some(&"watch");
    *method == Method::GET && (is_enabled(query, "watch") || is_watch_path)
}

fn is_followed_log(segments: &[&str], query: RawQuery<'_>) -> bool {
    segments.last() == Some(&"log") && is_enabled(query, "follow")
}

/// Whether the path connects to a pod, service or node: `/api/v1/namespaces/<namespace>/pods/<pod>/exec`,
/// `/api/v1/nodes/<node>/proxy/…`
fn has_connecting_subresource(segments: &[&str]) -> bool {
    segments.iter().skip(4).any(|segment| CONNECTING_SUBRESOURCES.contains(segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Option<Target> {
        Target::parse(&Method::GET, &uri.parse().unwrap()).ok()
    }

    #[test]
    fn id_is_decoded_but_path_and_query_are_unchanged() {
        for (uri, id, path_and_query) in [
            ("/k8s/clusters/c-1", "c-1", "/"),
            ("/k8s/clusters/c-1/", "c-1", "/"),
            ("/k8s/clusters/c-1?a=b", "c-1", "/?a=b"),
            ("/k8s/clusters/c-1/api/v1/nodes?limit=5&x=%2F", "c-1", "/api/v1/nodes?limit=5&x=%2F"),
            ("/k8s/clusters/c-1/apis/a/b/", "c-1", "/apis/a/b/"),
            ("/k8s/clusters/c%2d1/version", "c-1", "/version"),
            ("/k8s/clusters/c-1/api//x", "c-1", "/api//x"),
            ("/k8s/clusters/c-1/a%3Ab/%25", "c-1", "/a%3Ab/%25"),
            ("/k8s/clusters/c-1/a?", "c-1", "/a?"),
        ] {
            let target = parse(uri).unwrap();
            assert_eq!(
                (target.cluster_id.as_str(), target.path_and_query.as_str()),
                (id, path_and_query),
                "{uri}"
            );
        }
    }

    #[test]
    fn ambiguous_paths_are_rejected() {
        for uri in [
            "/k8s/clusters/c-1/../c-2/api",
            "/k8s/clusters/c-1/%2e%2e/c-2",
            "/k8s/clusters/c-1/api/.%2E",
            "/k8s/clusters/c-1/api/./x",
            "/k8s/clusters/c-1/a%2Fb",
            "/k8s/clusters/c-1/a%252fb",
            "/k8s/clusters/c-1/a%5cb",
            "/k8s/clusters/c-1/%252e%252e/x",
            "/k8s/clusters/../x",
            "/k8s/clusters/c%2F1/x",
        ] {
            assert_eq!(parse(uri), None, "{uri}");
        }
        assert_eq!(parse(&format!("/k8s/clusters/c-1/%{}2fx", "25".repeat(10_000))), None);
        assert_eq!(parse(&format!("/k8s/clusters/%{}2fx", "25".repeat(10_000))), None);
    }

    #[test]
    fn endless_responses_are_recognized() {
        for (uri, expected) in [
            ("/api/v1/nodes", false),
            ("/api/v1/nodes?watch=true", true),
            ("/api/v1/nodes?limit=1&watch=1", true),
            ("/api/v1/nodes?watch", true),
            ("/api/v1/nodes?watch=false", false),
            ("/api/v1/nodes?watch=0", false),
            ("/api/v1/nodes?watches=true", false),
            ("/api/v1/nodes?watch=yes", true),
            ("/api/v1/nodes?watch=%74rue", true),
            ("/api/v1/nodes?w%61tch=true", true),
            ("/api/v1/w%61tch/nodes", true),
            ("/api/v1/namespaces/a/pods/b/lo%67?%66ollow=1", true),
            ("/api/v1/watch/nodes", true),
            ("/apis/apps/v1/watch/deployments", true),
            ("/api/v1/namespaces/watch/pods", false),
            ("/api/v1/namespaces/a/pods/b/log", false),
            ("/api/v1/namespaces/a/pods/b/log?follow=true", true),
            ("/api/v1/namespaces/a/pods/b/exec?command=x", true),
            ("/api/v1/namespaces/a/pods/b/attach", true),
            ("/api/v1/namespaces/a/pods/b/portforward", true),
            ("/api/v1/namespaces/a/services/b/proxy/x/y", true),
            ("/api/v1/nodes/a/proxy/metrics", true),
            ("/api/v1/namespaces/exec", false),
        ] {
            assert_eq!(
                parse(&format!("/k8s/clusters/c-1{uri}")).unwrap().kind.is_endless(),
                expected,
                "{uri}"
            );
        }
        let post = Target::parse(&Method::POST, &"/k8s/clusters/c/api/v1/nodes?watch=true".parse().unwrap())
            .unwrap();
        assert_eq!(post.kind, Kind::Ordinary);
    }

    #[test]
    fn version_is_recognized() {
        assert_eq!(parse("/k8s/clusters/c-1/version").unwrap().kind, Kind::Version);
        assert_eq!(parse("/k8s/clusters/c-1/version?timeout=32s").unwrap().kind, Kind::Version);
        assert_ne!(parse("/k8s/clusters/c-1/versions").unwrap().kind, Kind::Version);
        assert_ne!(parse("/k8s/clusters/version").unwrap().kind, Kind::Version);
    }
}
