//! Requests, parsed into verb, type, namespace and name as by Kubernetes.

use super::value::FieldAccess as _;
use http::HeaderMap;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::protobuf;
use super::resources::{self, Resource};
use super::select::FieldSelector;
use super::status::StatusError;

pub(crate) struct KubeRequest {
    pub(crate) method: http::Method,
    /// As sent.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// The verb for authorization, such as `deletecollection`; for non-resource paths, the lower-case method.
    pub(crate) verb: &'static str,
    pub(crate) target: Target,
}

/// The form of objects in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Objects,
    Table,
    Metadata,
}

/// The target of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Objects of a type, which may be unknown.
    Objects(ResourcePath),
    /// A non-resource path, such as `/version`.
    Path,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// The path after the subresource. Roles ignore it.
    pub(crate) rest: String,
}

impl KubeRequest {
    pub(crate) fn new(parts: Parts) -> Self {
        let path = parts.uri.path().to_owned();
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let mut target = parse_target(&path);
        let verb = verb_of(&parts.method, &target, &query);
        if let Target::Objects(resource_path) = &mut target
            && resource_path.name.is_empty()
            && ["list", "watch"].contains(&verb)
        {
            // As in Kubernetes, rules with `resourceNames` also allow listing and watching an object by name.
            let selector = query.iter().find(|(key, _)| key == "fieldSelector").map(|(_, value)| &**value);
            selector.and_then(FieldSelector::name).unwrap_or_default().clone_into(&mut resource_path.name);
        }
        Self { method: parts.method, path, query, headers: parts.headers, verb, target }
    }

    /// A query parameter; `None` if it is missing or empty.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let mut values = self.query.iter().filter(|(key, value)| key == name && !value.is_empty());
        values.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.query.iter().any(|(key, value)| {
            key == name && !["false", "0", "False", "FALSE", "f", "F"].contains(&value.as_str())
        })
    }

    /// A numeric query parameter.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, StatusError> {
        let parsed = self.parameter(name).map(str::parse).transpose();
        parsed.map_err(|_| StatusError::bad_request(format!("the parameter '{name}' must be a number")))
    }

    /// A header, if it is valid text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The form of the response, from the first supported media type of `Accept`. Clients of Kubernetes list media types in
    /// order of preference, without quality values. `None` if none is supported.
    pub(crate) fn form(&self) -> Option<Form> {
        let header = self.header("accept").unwrap_or_default();
        if header.trim().is_empty() {
            return Some(Form::Objects);
        }
        header.split(',').find_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            if !["application/json", "application/*", "*/*"].contains(&parts.next()?) {
                return None;
            }
            let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
            let get = |name: &str| parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
            match (get("as"), get("v")) {
                (None, _) => Some(Form::Objects),
                (Some("Table"), Some("v1")) => Some(Form::Table),
                (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("v1")) => {
                    Some(Form::Metadata)
                }
                _ => None,
            }
        })
    }

    /// Whether the request is a dry run, whose changes are not stored.
    pub(crate) fn dry_run(&self) -> Result<bool, StatusError> {
        match self.parameter("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => {
                let text = format!(
                    "Invalid value: [{other:?}]: dryRun: Unsupported value: {other:?}: supported values: \"All\""
                );
                Err(StatusError::new(422, "Invalid", text))
            }
        }
    }

    /// The media type of the body, without its parameters.
    pub(crate) fn content_type(&self) -> &str {
        let content_type = self.header("content-type").unwrap_or("application/json");
        content_type.split(';').next().unwrap_or_default().trim()
    }
}

/// Parses a body of JSON, YAML or protobuf.
pub(crate) fn parse_body(content_type: &str, body: &[u8]) -> Result<Value, StatusError> {
    let to_error = |error: String| {
        StatusError::bad_request(format!(
            "the object provided is unrecognized (must be of type Object): {error}"
        ))
    };
    match content_type {
        "application/json" | "*/*" | "" => {
            serde_json::from_slice(body).map_err(|error| to_error(error.to_string()))
        }
        "application/yaml" | "application/apply-patch+yaml" => {
            // The body is usually JSON, which parses faster.
            if let Ok(value) = serde_json::from_slice(body) {
                return Ok(value);
            }
            let text = std::str::from_utf8(body).map_err(|error| to_error(error.to_string()))?;
            serde_saphyr::from_str(text).map_err(|error| to_error(error.to_string()))
        }
        protobuf::MEDIA_TYPE => protobuf::decode(body).map_err(to_error),
        _ => Err(StatusError::unsupported(&format!(
            "application/json, application/yaml, {}",
            protobuf::MEDIA_TYPE
        ))),
    }
}

/// Parses an object; a missing `apiVersion` or `kind` is set from the URL.
pub(crate) fn parse_object(
    content_type: &str,
    body: &[u8],
    api_version: &str,
    kind: &str,
) -> Result<Value, StatusError> {
    let mut object: Value = parse_body(content_type, body)?;
    if !object.is_object() {
        return Err(StatusError::bad_request("the body of the request must be an object"));
    }
    for (key, expected) in [("apiVersion", api_version), ("kind", kind)] {
        let actual = object.field(key).as_str().unwrap_or_default();
        if actual.is_empty() {
            *object.field_mut(key) = expected.into();
        } else if actual != expected {
            let text = format!("{key} in the data ({actual}) does not match the expected {key} ({expected})");
            return Err(StatusError::bad_request(text));
        }
    }
    Ok(object)
}

fn parse_target(path: &str) -> Target {
    let segments: Vec<String> = path
        .trim_matches('/')
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Target::Path,
    };
    let mut resource_path =
        ResourcePath { group: group.to_owned(), version: version.to_owned(), ..ResourcePath::default() };
    let to_owned = |text: &&str| (*text).to_owned();
    let object_segments = match rest {
        // Subresources of a namespace, not types within it.
        ["namespaces", namespace, "status" | "finalize"] | ["namespaces", namespace] => {
            resource_path.namespace = to_owned(namespace);
            rest
        }
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
            resource_path.namespace = to_owned(namespace);
            rest
        }
        _ => rest,
    };
    resource_path.plural = object_segments.first().map(to_owned).unwrap_or_default();
    resource_path.name = object_segments.get(1).map(to_owned).unwrap_or_default();
    resource_path.subresource = object_segments.get(2).map(to_owned).unwrap_or_default();
    resource_path.rest = object_segments.get(3..).unwrap_or_default().join("/");
    Target::Objects(resource_path)
}

fn verb_of(method: &http::Method, target: &Target, query: &[(String, String)]) -> &'static str {
    let Target::Objects(resource_path) = target else {
        return match *method {
            http::Method::POST => "post",
            http::Method::PUT => "put",
            http::Method::PATCH => "patch",
            http::Method::DELETE => "delete",
            http::Method::HEAD => "head",
            http::Method::OPTIONS => "options",
            _ => "get",
        };
    };
    let is_watch =
        query.iter().any(|(key, value)| key == "watch" && ["1", "true", ""].contains(&value.as_str()));
    match *method {
        http::Method::POST => "create",
        http::Method::PUT => "update",
        http::Method::PATCH => "patch",
        http::Method::DELETE if resource_path.name.is_empty() => "deletecollection",
        http::Method::DELETE => "delete",
        _ if is_watch => "watch",
        _ if resource_path.name.is_empty() => "list",
        _ => "get",
    }
}

impl ResourcePath {
    pub(crate) fn resource(&self) -> Option<&'static Resource> {
        if self.version == resources::VERSION { resources::find(&self.group, &self.plural) } else { None }
    }

    /// The namespace; `None` for all.
    pub(crate) fn scope(&self) -> Option<&str> {
        if self.namespace.is_empty() { None } else { Some(&self.namespace) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str) -> KubeRequest {
        let (parts, ()) = http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        KubeRequest::new(parts)
    }

    #[test]
    fn paths_are_parsed() {
        for (method, uri, expected) in [
            ("GET", "/api/v1/pods", "list  pods   "),
            ("GET", "/api/v1/namespaces/a/pods?watch=true", "watch  pods a  "),
            ("GET", "/api/v1/namespaces/a/pods?watch=1&fieldSelector=metadata.name%3Dx", "watch  pods a x "),
            ("GET", "/api/v1/namespaces/a/pods/x/log", "get  pods a x log"),
            ("GET", "/api/v1/namespaces", "list  namespaces   "),
            ("GET", "/api/v1/namespaces/a", "get  namespaces a a "),
            ("PUT", "/api/v1/namespaces/a/finalize", "update  namespaces a a finalize"),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/x/scale", "patch apps deployments a x scale"),
            ("DELETE", "/apis/apps/v1/namespaces/a/deployments", "deletecollection apps deployments a  "),
            ("DELETE", "/api/v1/nodes/n", "delete  nodes  n "),
            ("POST", "/api/v1/namespaces/a/secrets", "create  secrets a  "),
            ("GET", "/api/v1/nodes/n/proxy/logs/a", "get  nodes  n proxy"),
        ] {
            let request = request(method, uri);
            let Target::Objects(resource_path) = &request.target else { panic!("{uri}") };
            let ResourcePath { group, plural, namespace, name, subresource, .. } = resource_path;
            assert_eq!(
                format!("{} {group} {plural} {namespace} {name} {subresource}", request.verb),
                expected,
                "{uri}"
            );
        }
        for uri in ["/", "/version", "/api", "/apis", "/apis/apps/v1", "/api/v1", "/healthz/etcd"] {
            assert_eq!(request("GET", uri).target, Target::Path, "{uri}");
        }
    }

    #[test]
    fn first_supported_media_type_selects_the_form() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for (header, form) in [
            ("", Some(Form::Objects)),
            ("*/*", Some(Form::Objects)),
            ("application/json", Some(Form::Objects)),
            ("application/vnd.kubernetes.protobuf,application/json", Some(Form::Objects)),
            (&format!("{table},application/json"), Some(Form::Table)),
            (&format!("application/vnd.kubernetes.protobuf;as=Table;v=v1, {table}"), Some(Form::Table)),
            ("application/json;as=Table;v=v1beta9;g=meta.k8s.io,application/json", Some(Form::Objects)),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Some(Form::Metadata)),
            ("application/vnd.kubernetes.protobuf", None),
        ] {
            let request = http::Request::get("/api/v1/pods").header("accept", header).body(()).unwrap();
            assert_eq!(KubeRequest::new(request.into_parts().0).form(), form, "{header}");
        }
    }

    #[test]
    fn objects_are_parsed_by_content_type() {
        let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  a: \"1\"\n";
        let configmap = parse_object("application/apply-patch+yaml", yaml, "v1", "ConfigMap").unwrap();
        assert_eq!(configmap["data"]["a"], "1");
        assert_eq!(parse_object("application/json", yaml, "v1", "ConfigMap").unwrap_err().code, 400);
        assert_eq!(parse_object(protobuf::MEDIA_TYPE, b"k8s", "v1", "ConfigMap").unwrap_err().code, 400);
        assert_eq!(parse_object("application/cbor", b"", "v1", "ConfigMap").unwrap_err().code, 415);
        assert_eq!(parse_object("application/json", b"[]", "v1", "ConfigMap").unwrap_err().code, 400);
        assert_eq!(parse_object("application/json", b"{}", "v1", "Pod").unwrap()["kind"], "Pod");
        let mismatch = parse_object("application/json", br#"{"kind":"Secret"}"#, "v1", "Pod").unwrap_err();
        assert!(mismatch.message.contains("does not match"), "{}", mismatch.message);
    }
}
