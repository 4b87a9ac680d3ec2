//! The commands that register a cluster's agent, and the manifest that they apply
//! (`docs/contract/registration.md#registration-tokens`). Tokens are made and checked in `service::registration`.

use base64::Engine as _;
use serde_json::{Value, json};

use super::shell;
use super::spec::Object;
use super::yaml;

/// The namespace of the agent.
const NAMESPACE: &str = "cattle-system";

/// Its name, and that of its container.
const AGENT: &str = "cattle-cluster-agent";

/// Nodes cannot be registered in AKS, but Terraform waits for a non-empty command
/// (`docs/contract/terraform.md#registration-token`). This one is a comment in every shell, so that pasting it does
/// nothing.
pub const NODE_COMMAND: &str =
    "# nodes join an AKS cluster through its node pools: there is no command for single ones";

/// The name of a manifest: `<token>_<clusterId>.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestName<'a> {
    /// What it says.
    Of {
        /// The token.
        token: &'a str,
        /// The cluster, `c-xxxxx`.
        cluster_id: &'a str,
    },
    /// It has the form, but one half is empty.
    Unsplit,
    /// Nothing like it.
    Other,
}

impl<'a> ManifestName<'a> {
    /// Takes a file name apart, at its first underscore.
    pub fn parse(file: &'a str) -> Self {
        match file.strip_suffix(".yaml").and_then(|name| name.split_once('_')) {
            None => Self::Other,
            Some(("", _) | (_, "")) => Self::Unsplit,
            Some((token, cluster_id)) => Self::Of { token, cluster_id },
        }
    }
}

/// The commands of a registration token.
#[derive(Clone, PartialEq, Eq)]
pub struct Commands {
    /// Where the manifest is.
    pub manifest_url: String,
    /// Applies it.
    pub command: String,
    /// Applies it without checking the server's certificate.
    pub insecure_command: String,
}

/// The commands for a token of a cluster; `server` is the address of this server, without a slash at the end.
pub fn commands(server: &str, token: &str, cluster_id: &str) -> Commands {
    let manifest_url = format!("{server}/v3/import/{token}_{cluster_id}.yaml");
    let fetch = shell::command(&["curl", "--insecure", "-sfL", &manifest_url]);
    Commands {
        command: shell::command(&["kubectl", "apply", "-f", &manifest_url]),
        insecure_command: format!("{fetch} | kubectl apply -f -"),
        manifest_url,
    }
}

/// What goes into a manifest.
#[derive(Clone, Copy)]
pub struct Agent<'a> {
    /// The address of this server, without a slash at the end.
    pub server: &'a str,
    /// The registration token.
    pub token: &'a str,
    /// Changes with the token, and says nothing about it: a part of the name of its secret.
    pub revision: &'a str,
    /// The cluster, `c-xxxxx`.
    pub cluster_id: &'a str,
    /// SHA-256 of the server's authorities in hexadecimal; empty when they are the public ones.
    pub ca_checksum: &'a str,
    /// The image, unless the cluster wants another one.
    pub image: &'a str,
    /// What the user said about the cluster.
    pub body: &'a Object,
}

/// The manifest: everything that the agent is and may, as YAML documents.
pub fn manifest(agent: &Agent<'_>) -> String {
    let documents = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "cattle", "namespace": NAMESPACE}}),
        role(),
        role_binding(),
        secret(agent),
        deployment(agent),
    ];
    documents.iter().fold(String::new(), |text, document| text + "---\n" + &yaml::document(document))
}

/// The server acts through the agent for whoever may do something in the cluster, so the agent may do everything.
fn role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "cattle-admin", "labels": {"cattle.io/creator": "norman"}},
        "rules": [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ],
    })
}

fn role_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "cattle-admin-binding", "labels": {"cattle.io/creator": "norman"}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cattle-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "cattle", "namespace": NAMESPACE}],
    })
}

fn secret_name(agent: &Agent<'_>) -> String {
    format!("cattle-credentials-{}", agent.revision)
}

fn secret(agent: &Agent<'_>) -> Value {
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret_name(agent), "namespace": NAMESPACE},
        "type": "Opaque",
        "data": {
            "cluster": encoded(agent.cluster_id),
            "token": encoded(agent.token),
            "url": encoded(agent.server),
        },
    })
}

fn deployment(agent: &Agent<'_>) -> Value {
    let labels = json!({"app": AGENT});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": AGENT, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod(agent)},
        },
    })
}

fn pod(agent: &Agent<'_>) -> Value {
    let body = agent.body;
    let text = |key: &str| body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let image = text("desiredAgentImage").unwrap_or(agent.image);
    let registry = body.get("importedConfig").and_then(|config| config.get("privateRegistryURL"));
    let image = match registry.and_then(Value::as_str).filter(|registry| !registry.is_empty()) {
        Some(registry) => format!("{}/{image}", registry.trim_end_matches('/')),
        None => image.to_owned(),
    };
    let custom = body.get("clusterAgentDeploymentCustomization");
    let custom = |key: &str| custom.and_then(|custom| custom.get(key)).filter(|value| !value.is_null());
    let mut tolerations = vec![
        json!({"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}),
        // Pools apart for what belongs to the system carry this one in AKS.
        json!({"key": "CriticalAddonsOnly", "operator": "Exists"}),
    ];
    tolerations.extend(custom("appendTolerations").and_then(Value::as_array).into_iter().flatten().cloned());
    let mut container = json!({
        "name": AGENT,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": environment(agent),
        "volumeMounts": [{"name": "cattle-credentials", "mountPath": "/cattle-credentials", "readOnly": true}],
        "securityContext": {"allowPrivilegeEscalation": false},
    });
    let mut pod = json!({
        "serviceAccountName": "cattle",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": tolerations,
        "volumes": [{"name": "cattle-credentials", "secret": {"secretName": secret_name(agent), "defaultMode": 320}}],
    });
    if let (Some(container), Some(resources)) =
        (container.as_object_mut(), custom("overrideResourceRequirements"))
    {
        container.insert("resources".to_owned(), resources.clone());
    }
    if let Some(pod) = pod.as_object_mut() {
        pod.insert("containers".to_owned(), json!([container]));
        if let Some(affinity) = custom("overrideAffinity") {
            pod.insert("affinity".to_owned(), affinity.clone());
        }
        let secrets = pull_secrets(body);
        if !secrets.is_empty() {
            pod.insert("imagePullSecrets".to_owned(), secrets.into());
        }
    }
    pod
}

fn environment(agent: &Agent<'_>) -> Vec<Value> {
    let mut environment = vec![
        json!({"name": "CATTLE_SERVER", "value": agent.server}),
        json!({"name": "CATTLE_CA_CHECKSUM", "value": agent.ca_checksum}),
        json!({"name": "CATTLE_CLUSTER", "value": "true"}),
        json!({"name": "CATTLE_K8S_MANAGED", "value": "true"}),
    ];
    let more = agent.body.get("agentEnvVars").and_then(Value::as_array);
    environment.extend(more.into_iter().flatten().filter_map(|variable| {
        let text = |key: &str| variable.get(key).and_then(Value::as_str);
        Some(json!({"name": text("name")?, "value": text("value").unwrap_or_default()}))
    }));
    environment
}

fn pull_secrets(body: &Object) -> Vec<Value> {
    let names = body.get("importedConfig").and_then(|config| config.get("privateRegistryPullSecrets"));
    let names = names.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(|name| json!({"name": name})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_manifests_split_at_their_first_underscore() {
        use ManifestName as N;
        for (file, expected) in [
            ("tok_c-1.yaml", N::Of { token: "tok", cluster_id: "c-1" }),
            ("tok_c_1.yaml", N::Of { token: "tok", cluster_id: "c_1" }),
            ("_c-1.yaml", N::Unsplit),
            ("tok_.yaml", N::Unsplit),
            ("_.yaml", N::Unsplit),
            ("tok.yaml", N::Other),
            ("tok_c-1", N::Other),
            ("tok_c-1.yml", N::Other),
            ("", N::Other),
        ] {
            assert_eq!(N::parse(file), expected, "{file}");
        }
    }

    #[test]
    fn commands_name_the_manifest() {
        let commands = commands("https://h", "tok", "c-1");
        assert_eq!(commands.manifest_url, "https://h/v3/import/tok_c-1.yaml");
        assert_eq!(commands.command, "kubectl apply -f https://h/v3/import/tok_c-1.yaml");
        assert_eq!(
            commands.insecure_command,
            "curl --insecure -sfL https://h/v3/import/tok_c-1.yaml | kubectl apply -f -"
        );
    }

    #[test]
    fn commands_quote_an_address_that_a_shell_would_split() {
        let url = "'https://h/a;b(c)/v3/import/tok_c-1.yaml'";
        let commands = commands("https://h/a;b(c)", "tok", "c-1");
        assert_eq!(commands.command, format!("kubectl apply -f {url}"));
        assert_eq!(commands.insecure_command, format!("curl --insecure -sfL {url} | kubectl apply -f -"));
    }

    fn agent(body: &Object) -> Agent<'_> {
        Agent {
            server: "https://h",
            token: "tok",
            revision: "0a1b2c",
            cluster_id: "c-1",
            ca_checksum: "cafe",
            image: "norman-aks:1",
            body,
        }
    }

    #[test]
    fn a_manifest_holds_all_that_the_agent_needs_and_the_token_only_in_its_secret() {
        let text = manifest(&agent(&Object::new()));
        let kinds: Vec<_> = text.lines().filter(|line| line.starts_with("kind: ")).collect();
        let expected =
            ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret", "Deployment"];
        assert_eq!(kinds, expected.map(|kind| format!("kind: \"{kind}\"")));
        assert!(text.starts_with("---\n") && text.matches("\n---\n").count() == 5);
        // "tok", "https://h" and "c-1" in base64.
        for line in ["  token: \"dG9r\"", "  url: \"aHR0cHM6Ly9o\"", "  cluster: \"Yy0x\""] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("\"tok\""));
        for line in ["image: \"norman-aks:1\"", "value: \"cafe\"", "name: \"cattle-credentials-0a1b2c\""] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("imagePullSecrets") && !text.contains("affinity"));
    }

    #[test]
    fn what_the_user_says_about_the_agent_counts_and_cannot_become_structure() {
        let body = json!({
            "desiredAgentImage": "mine/agent:2",
            "importedConfig": {"privateRegistryURL": "registry.example.com/", "privateRegistryPullSecrets": ["pull"]},
            "agentEnvVars": [{"name": "HTTP_PROXY", "value": "x\"\nprivileged: true"}, {"name": "EMPTY"}, {"value": "lost"}],
            "clusterAgentDeploymentCustomization": {
                "appendTolerations": [{"key": "dedicated", "effect": "NoSchedule"}],
                "overrideAffinity": {"nodeAffinity": {}},
                "overrideResourceRequirements": {"limits": {"cpu": "1"}},
            },
        });
        let text = manifest(&agent(body.as_object().unwrap()));
        for part in [
            "image: \"registry.example.com/mine/agent:2\"",
            "imagePullSecrets:\n        - name: \"pull\"",
            "name: \"HTTP_PROXY\"\n              value: \"x\\\"\\nprivileged: true\"",
            "name: \"EMPTY\"\n              value: \"\"",
            "key: \"dedicated\"",
            "nodeAffinity: {}",
            "cpu: \"1\"",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("lost") && !text.contains("\nprivileged"));
    }
}
