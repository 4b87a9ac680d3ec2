//! The environment and the files of a container, from its specification.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::network::{SERVICE_HOST, SERVICE_PORT};
use crate::kube::resources::{CONFIG_MAPS, Resource, SECRETS};
use crate::kube::storage::State;
use crate::kube::value::{FieldAccess as _, at, list, text};

pub(super) type Environment = BTreeMap<String, String>;
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// The environment of a container; an error if a referenced secret, config map or key is missing.
pub(super) fn environment(state: &State, pod: &Value, container: &Value) -> Result<Environment, String> {
    let namespace = text(pod, "/metadata/namespace");
    let port = SERVICE_PORT.to_string();
    let mut environment: Environment = [
        ("HOSTNAME", text(pod, "/metadata/name")),
        ("KUBERNETES_SERVICE_HOST", SERVICE_HOST),
        ("KUBERNETES_SERVICE_PORT", &port),
        ("KUBERNETES_SERVICE_PORT_HTTPS", &port),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for source in list(container, "/envFrom") {
        let prefix = text(source, "/prefix");
        for (resource, field) in [(&SECRETS, "secretRef"), (&CONFIG_MAPS, "configMapRef")] {
            let reference = source.field(field);
            if !reference.is_null() {
                let data = referenced_data(state, resource, namespace, reference)?;
                let to_text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                environment
                    .extend(data.into_iter().map(|(key, value)| (format!("{prefix}{key}"), to_text(value))));
            }
        }
    }
    for variable in list(container, "/env") {
        let name = text(variable, "/name").to_owned();
        if let Some(value) = variable_value(state, pod, variable)? {
            environment.insert(name, value);
        }
    }
    Ok(environment)
}

/// The value of a variable; `None` if its source is optional and missing.
fn variable_value(state: &State, pod: &Value, variable: &Value) -> Result<Option<String>, String> {
    let source = variable.field("valueFrom");
    if source.is_null() {
        return Ok(Some(text(variable, "/value").to_owned()));
    }
    let namespace = text(pod, "/metadata/namespace");
    for (resource, field) in [(&SECRETS, "secretKeyRef"), (&CONFIG_MAPS, "configMapKeyRef")] {
        let reference = source.field(field);
        if reference.is_null() {
            continue;
        }
        let (name, key) = (text(reference, "/name"), text(reference, "/key"));
        let mut data = referenced_data(state, resource, namespace, reference)?;
        return match data.remove(key) {
            Some(value) => Ok(Some(String::from_utf8_lossy(&value).into_owned())),
            None if reference.field("optional") == true => Ok(None),
            None => Err(format!("couldn't find key {key} in {} {namespace}/{name}", resource.kind)),
        };
    }
    let path: Vec<&str> = text(source, "/fieldRef/fieldPath").split('.').collect();
    Ok(Some(at(pod, &path).as_str().unwrap_or_default().to_owned()))
}

/// The data of a secret or config map; empty if the reference is optional and the object is missing.
fn referenced_data(
    state: &State,
    resource: &'static Resource,
    namespace: &str,
    reference: &Value,
) -> Result<Files, String> {
    // References in volumes of secrets have `secretName` instead of `name`.
    let name = match text(reference, "/name") {
        "" => text(reference, "/secretName"),
        name => name,
    };
    let Some(object) = state.get(resource, namespace, name) else {
        let missing = format!("{} {name:?} not found", resource.singular);
        return if reference.field("optional") == true { Ok(Files::new()) } else { Err(missing) };
    };
    let entries = |key: &str, is_encoded: bool| -> Vec<(String, Vec<u8>)> {
        let entries = object.field(key).as_object().into_iter().flatten();
        let decode = |value: &str| {
            if is_encoded {
                BASE64_STANDARD.decode(value).unwrap_or_default()
            } else {
                value.as_bytes().to_vec()
            }
        };
        entries.map(|(key, value)| (key.clone(), decode(value.as_str().unwrap_or_default()))).collect()
    };
    let mut data: Files = entries("data", resource.is(&SECRETS)).into_iter().collect();
    data.extend(entries("binaryData", true));
    Ok(data)
}

/// The files of mounted secrets and config maps by absolute path; an error if a secret or config map is missing.
pub(super) fn files(state: &State, pod: &Value, container: &Value) -> Result<Files, String> {
    let namespace = text(pod, "/metadata/namespace");
    let mut files = Files::new();
    for mount in list(container, "/volumeMounts") {
        let name = text(mount, "/name");
        let volumes = list(pod, "/spec/volumes");
        let Some(volume) = volumes.iter().find(|volume| text(volume, "/name") == name) else { continue };
        let sources = std::iter::once(volume).chain(list(volume, "/projected/sources"));
        let (directory, sub_path) =
            (text(mount, "/mountPath").trim_end_matches('/'), text(mount, "/subPath"));
        for source in sources {
            for (resource, field) in [(&SECRETS, "secret"), (&CONFIG_MAPS, "configMap")] {
                let reference = source.field(field);
                if reference.is_null() {
                    continue;
                }
                let data = referenced_data(state, resource, namespace, reference)
                    .map_err(|error| format!("MountVolume.SetUp failed for volume {name:?} : {error}"))?;
                for (path, content) in select_items(data, reference) {
                    if sub_path.is_empty() {
                        files.insert(format!("{directory}/{path}"), content);
                    } else if path == sub_path {
                        files.insert(directory.to_owned(), content);
                    } else if let Some(rest) =
                        path.strip_prefix(sub_path).filter(|rest| rest.starts_with('/'))
                    {
                        files.insert(format!("{directory}{rest}"), content);
                    }
                }
            }
        }
    }
    Ok(files)
}

/// The entries that a volume selects, by relative path.
fn select_items(mut data: Files, reference: &Value) -> Files {
    let items = list(reference, "/items");
    if items.is_empty() {
        return data;
    }
    let path = |item: &Value| Some((text(item, "/path").to_owned(), data.remove(text(item, "/key"))?));
    items.iter().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::declared::Declared;

    fn state() -> State {
        let mut state = State::new(Declared::default());
        let metadata = |name: &str| json!({"namespace": "n", "name": name});
        state.put(
            &SECRETS,
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata("s"),
            "data": {"token": BASE64_STANDARD.encode("secret"), "url": BASE64_STANDARD.encode("https://x")}}),
        );
        state.put(
            &CONFIG_MAPS,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("c"),
            "data": {"ca.crt": "PEM"}, "binaryData": {"b": "AAE="}}),
        );
        state
    }

    fn pod(spec: &Value) -> Value {
        json!({"metadata": {"namespace": "n", "name": "p"}, "spec": spec, "status": {"podIP": "10.244.0.4"}})
    }

    #[test]
    fn environment_comes_from_values_secrets_and_fields() {
        let container = json!({
            "envFrom": [{"prefix": "S_", "secretRef": {"name": "s"}}, {"configMapRef": {"name": "none", "optional": true}}],
            "env": [{"name": "PLAIN", "value": "1"}, {"name": "EMPTY"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
                {"name": "CA", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "ca.crt"}}},
                {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "x", "optional": true}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]});
        let environment = environment(&state(), &pod(&json!({})), &container).unwrap();
        for (name, value) in [
            ("PLAIN", Some("1")),
            ("EMPTY", Some("")),
            ("TOKEN", Some("secret")),
            ("CA", Some("PEM")),
            ("NONE", None),
            ("IP", Some("10.244.0.4")),
            ("S_url", Some("https://x")),
            ("KUBERNETES_SERVICE_HOST", Some("10.0.0.1")),
            ("HOSTNAME", Some("p")),
        ] {
            assert_eq!(environment.get(name).map(String::as_str), value, "{name}");
        }
    }

    #[test]
    fn missing_references_are_named() {
        let container =
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x"}}}]});
        assert_eq!(
            environment(&state(), &pod(&json!({})), &container).unwrap_err(),
            "secret \"none\" not found"
        );
        let container =
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "x"}}}]});
        let error = environment(&state(), &pod(&json!({})), &container).unwrap_err();
        assert_eq!(error, "couldn't find key x in Secret n/s");
    }

    #[test]
    fn volumes_become_files() {
        let spec = json!({"volumes": [
            {"name": "all", "secret": {"secretName": "s"}},
            {"name": "one", "configMap": {"name": "c", "items": [{"key": "ca.crt", "path": "tls/ca"}]}},
            {"name": "both", "projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "c"}}]}},
            {"name": "empty", "emptyDir": {}}]});
        let container = json!({"volumeMounts": [
            {"name": "all", "mountPath": "/all/"}, {"name": "one", "mountPath": "/one"},
            {"name": "one", "mountPath": "/ca.pem", "subPath": "tls/ca"}, {"name": "both", "mountPath": "/both"},
            {"name": "empty", "mountPath": "/tmp"}]});
        let files = files(&state(), &pod(&spec), &container).unwrap();
        let expected = [
            "/all/token",
            "/all/url",
            "/both/b",
            "/both/ca.crt",
            "/both/token",
            "/both/url",
            "/ca.pem",
            "/one/tls/ca",
        ];
        assert_eq!(files.keys().collect::<Vec<_>>(), expected);
        assert_eq!(
            (&*files["/all/token"], &*files["/ca.pem"], &*files["/both/b"]),
            (&b"secret"[..], &b"PEM"[..], &[0, 1][..])
        );
    }
}
