//! The manifest of the cluster agent. Namespace, deployment and secret have Rancher's names, which tools look for. The names of
//! the other objects contain the installation: kubectl applies them even if Kubernetes rejects the deployment, and they must
//! not replace those of another agent. Unlike Rancher's, the agent has no rights in the cluster
//! (`docs/contract/registration.md#import-manifest`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::agent::{Agent, CREDENTIALS_NAMESPACE, NAMESPACE, metadata, sha256, short_hash};
use super::{network, pod};
use crate::mask::MASK;
use crate::yaml;

/// The annotation of the deployment that contains [`Manifest::revision`].
pub const REVISION_ANNOTATION: &str = "norman-aks.io/manifest-revision";

/// The objects of the agent.
#[derive(Clone, PartialEq)]
pub struct Manifest {
    objects: Vec<Value>,
    revision: String,
    secret_name: String,
    token: String,
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest").field("revision", &self.revision).finish_non_exhaustive()
    }
}

impl Manifest {
    /// Builds the manifest of an agent.
    pub fn new(agent: &Agent<'_>) -> Self {
        let secret_name = agent.secret_name();
        let mut objects = vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": false,
                "metadata": metadata(agent, &agent.service_account_name())}),
            network::policy(agent),
            secret(agent, &secret_name),
            pod::deployment(agent, &secret_name),
        ];
        let revision = short_hash(&sha256(&Value::from(objects.clone()).to_string()));
        // The deployment is the last object.
        if let Some(annotations) = objects.last_mut().and_then(|object| {
            object
                .pointer_mut("/metadata")?
                .as_object_mut()?
                .entry("annotations")
                .or_insert(json!({}))
                .as_object_mut()
        }) {
            annotations.insert(REVISION_ANNOTATION.to_owned(), revision.clone().into());
        }
        Self { objects, revision, secret_name, token: agent.token.to_owned() }
    }

    /// The objects, in the order in which they are applied.
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// A short hash of all objects, without the annotation that contains it.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The name of the secret with the registration token.
    pub fn secret_name(&self) -> &str {
        &self.secret_name
    }

    /// The objects as YAML documents. Contains the registration token.
    pub fn to_yaml(&self) -> String {
        to_yaml(&self.objects)
    }

    /// The namespace and the deployment as YAML documents, to be applied first. If the cluster has the agent of another server,
    /// Kubernetes rejects the deployment, whose selector is immutable, before anything is changed.
    pub fn guard_yaml(&self) -> String {
        let is_guard = |object: &&Value| matches!(kind(object), "Namespace" | "Deployment");
        to_yaml(&self.objects.iter().filter(is_guard).cloned().collect::<Vec<_>>())
    }

    /// Masks the registration token in a text, for messages.
    pub fn redact(&self, text: &str) -> String {
        if self.token.is_empty() {
            return text.to_owned();
        }
        text.replace(&STANDARD.encode(&self.token), MASK).replace(&self.token, MASK)
    }
}

/// Objects as YAML documents.
pub fn to_yaml(objects: &[Value]) -> String {
    objects.iter().fold(String::new(), |text, object| text + "---\n" + &yaml::document(object))
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn secret(agent: &Agent<'_>, name: &str) -> Value {
    let encode = |text: &str| STANDARD.encode(text);
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(agent, name),
        "type": "Opaque",
        "data": {
            "namespace": encode(CREDENTIALS_NAMESPACE),
            "token": encode(agent.token),
            "url": encode(agent.server),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::agent::{INSTALLATION_LABEL, installation};
    use super::*;
    use crate::spec::Object;

    fn agent(body: &Object) -> Agent<'_> {
        Agent {
            server: "https://h",
            token: "tok",
            ca_certificates: "",
            image: "registry.example.com/norman-aks:1",
            api_server: Some("one.privatelink.eastus.azmk8s.io:443"),
            server_version: "v2.12.1",
            install_uuid: "uuid",
            cluster: body,
        }
    }

    fn object<'a>(manifest: &'a Manifest, kind: &str) -> &'a Value {
        manifest.objects().iter().find(|object| super::kind(object) == kind).unwrap()
    }

    #[test]
    fn manifest_grants_no_rights() {
        let manifest = Manifest::new(&agent(&Object::new()));
        let kinds: Vec<_> = manifest.objects().iter().map(kind).collect();
        assert_eq!(kinds, ["Namespace", "ServiceAccount", "NetworkPolicy", "Secret", "Deployment"]);
        assert_eq!(object(&manifest, "ServiceAccount")["automountServiceAccountToken"], false);
        let pod = &object(&manifest, "Deployment")["spec"]["template"]["spec"];
        assert_eq!(
            (&pod["serviceAccountName"], &pod["automountServiceAccountToken"]),
            (&object(&manifest, "ServiceAccount")["metadata"]["name"], &json!(false))
        );
    }

    #[test]
    fn token_is_only_in_the_secret() {
        let manifest = Manifest::new(&agent(&Object::new()));
        let data = &object(&manifest, "Secret")["data"];
        assert_eq!(*data, json!({"namespace": "", "token": "dG9r", "url": "aHR0cHM6Ly9o"}));
        // "tok" is part of the word "token", so only the whole value is searched for.
        assert!(!manifest.to_yaml().contains("\"tok\"") && !format!("{manifest:?}").contains("dG9r"));
        assert_eq!(manifest.to_yaml().matches("dG9r").count(), 1);
    }

    #[test]
    fn secret_name_is_that_of_rancher() {
        // printf 'https://h.tok.' | sha256sum
        let manifest = Manifest::new(&agent(&Object::new()));
        assert_eq!(manifest.secret_name(), "cattle-credentials-47be8b32c9");
        assert_eq!(object(&manifest, "Secret")["metadata"]["name"], manifest.secret_name());
    }

    #[test]
    fn revision_changes_with_each_input_and_is_an_annotation() {
        let body = Object::new();
        let base = agent(&body);
        let revision = |agent: &Agent<'_>| Manifest::new(agent).revision().to_owned();
        assert_eq!(revision(&base), revision(&base));
        let variables = json!({"agentEnvVars": [{"name": "A", "value": "b"}]});
        for changed in [
            Agent { server: "https://i", ..base },
            Agent { token: "other", ..base },
            Agent { ca_certificates: "PEM", ..base },
            Agent { image: "x/y:2", ..base },
            Agent { api_server: None, ..base },
            Agent { server_version: "v2.13.0", ..base },
            Agent { install_uuid: "other", ..base },
            Agent { cluster: variables.as_object().unwrap(), ..base },
        ] {
            assert_ne!(revision(&changed), revision(&base));
        }
        let manifest = Manifest::new(&base);
        let deployment = object(&manifest, "Deployment");
        assert_eq!(deployment["metadata"]["annotations"], json!({REVISION_ANNOTATION: manifest.revision()}));
    }

    #[test]
    fn objects_except_the_namespace_have_the_label_of_the_installation() {
        let body = Object::new();
        let [ours, other] = ["uuid", "other"].map(|install_uuid| {
            let manifest = Manifest::new(&Agent { install_uuid, ..agent(&body) });
            let label = |object: &Value| object["metadata"]["labels"][INSTALLATION_LABEL].clone();
            for object in manifest.objects().iter().skip(1) {
                assert_eq!(label(object), installation(install_uuid), "{object}");
            }
            let selector = &object(&manifest, "Deployment")["spec"]["selector"]["matchLabels"];
            assert_eq!(selector[INSTALLATION_LABEL], installation(install_uuid));
            let spec = &object(&manifest, "NetworkPolicy")["spec"];
            assert_eq!(*selector, spec["podSelector"]["matchLabels"], "no pods of other agents");
            selector.clone()
        });
        assert_ne!(ours, other);
    }

    #[test]
    fn guard_contains_only_the_namespace_and_the_deployment() {
        let guard = Manifest::new(&agent(&Object::new())).guard_yaml();
        assert_eq!(guard.matches("---\n").count(), 2, "{guard}");
        assert!(
            guard.contains("Namespace") && guard.contains("Deployment") && guard.contains(INSTALLATION_LABEL)
        );
    }

    #[test]
    fn agents_share_only_the_namespace_and_the_deployment() {
        let body = Object::new();
        let names = |install_uuid, token| {
            let manifest = Manifest::new(&Agent { token, install_uuid, ..agent(&body) });
            let name = |object: &Value| format!("{} {}", kind(object), object["metadata"]["name"]);
            manifest.objects().iter().map(name).collect::<std::collections::BTreeSet<_>>()
        };
        let (ours, other) = (names("uuid", "tok"), names("other", "other"));
        let shared: Vec<_> = ours.intersection(&other).collect();
        // The namespace has no fields to change, and the selector of the deployment is immutable.
        assert_eq!(shared, ["Deployment \"cattle-cluster-agent\"", "Namespace \"cattle-system\""]);
        assert!(!ours.contains("ServiceAccount \"cattle\""), "the service account of Rancher's agent");
    }

    #[test]
    fn messages_do_not_contain_the_token() {
        let body = Object::new();
        let manifest = Manifest::new(&Agent { token: "secrettoken", ..agent(&body) });
        let encoded = STANDARD.encode("secrettoken");
        let text = manifest.redact(&format!("error: secrettoken, {encoded}, secret"));
        assert_eq!(text, "error: ****, ****, secret");
    }
}
