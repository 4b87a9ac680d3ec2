//! The deployment of the agent. Its pod meets the Pod Security level `restricted`.

use serde_json::{Value, json};

use super::agent::{AGENT_NAME, Agent, INSTALLATION_LABEL, NAMESPACE, ca_checksum};
use crate::image;
use crate::spec::Object;

/// The name of the container, as in Rancher.
const CONTAINER_NAME: &str = "cluster-register";

/// The volume with the credentials.
const CREDENTIALS_VOLUME: &str = "cattle-credentials";

/// The ID of the user and the group of the image.
const USER_ID: u32 = 65532;

/// The file mode of the credentials: readable by owner and group. The group is `fsGroup` of the pod.
const SECRET_MODE: u32 = 0o440;

/// The port of the agent's health checks.
const HEALTH_PORT: u16 = 8080;

/// The labels of the pods: Rancher's `app`, and [`INSTALLATION_LABEL`].
pub(super) fn labels(agent: &Agent<'_>) -> Value {
    json!({"app": AGENT_NAME, INSTALLATION_LABEL: agent.installation()})
}

/// Builds the deployment.
pub(super) fn deployment(agent: &Agent<'_>, secret_name: &str) -> Value {
    let labels = labels(agent);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": AGENT_NAME, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            // `replicas` is omitted, so that applying the manifest again keeps the current number.
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": labels}, "spec": pod(agent, secret_name)},
        },
    })
}

fn pod(agent: &Agent<'_>, secret_name: &str) -> Value {
    let cluster = agent.cluster;
    let customization = |key: &str| {
        let customizations = cluster.get("clusterAgentDeploymentCustomization");
        customizations.and_then(|customizations| customizations.get(key)).filter(|value| !value.is_null())
    };
    let mut tolerations = vec![
        json!({"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}),
        // The taint of AKS pools that are reserved for system pods.
        json!({"key": "CriticalAddonsOnly", "operator": "Exists"}),
    ];
    tolerations
        .extend(customization("appendTolerations").and_then(Value::as_array).into_iter().flatten().cloned());
    let mut pod = json!({
        "serviceAccountName": agent.service_account_name(),
        "automountServiceAccountToken": false,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": tolerations,
        "containers": [container(agent, customization("overrideResourceRequirements"))],
        "volumes": [{"name": CREDENTIALS_VOLUME, "secret": {"secretName": secret_name, "defaultMode": SECRET_MODE}}],
    });
    if let Some(pod) = pod.as_object_mut() {
        if let Some(affinity) = customization("overrideAffinity") {
            pod.insert("affinity".to_owned(), affinity.clone());
        }
        let secrets = pull_secrets(cluster);
        if !secrets.is_empty() {
            pod.insert("imagePullSecrets".to_owned(), secrets.into());
        }
    }
    pod
}

fn container(agent: &Agent<'_>, resources: Option<&Value>) -> Value {
    let resources = resources.cloned().unwrap_or_else(
        || json!({"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}),
    );
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": HEALTH_PORT}});
    json!({
        "name": CONTAINER_NAME,
        "image": image(agent),
        "imagePullPolicy": "IfNotPresent",
        "args": ["agent"],
        "env": environment(agent),
        "ports": [{"name": "health", "containerPort": HEALTH_PORT}],
        "readinessProbe": probe("/readyz"),
        "livenessProbe": probe("/healthz"),
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
        "volumeMounts": [{"name": CREDENTIALS_VOLUME, "mountPath": "/cattle-credentials", "readOnly": true}],
    })
}

/// The cluster's `desiredAgentImage`, or the default image if it is empty. An image without a registry gets the cluster's private
/// registry as prefix.
fn image(agent: &Agent<'_>) -> String {
    let desired = agent.cluster.get("desiredAgentImage").and_then(Value::as_str);
    let image = desired.filter(|image| !image.is_empty()).unwrap_or(agent.image);
    match private_registry(agent.cluster) {
        Some(registry) if image::registry(image).is_none() => format!("{registry}/{image}"),
        _ => image.to_owned(),
    }
}

fn private_registry(cluster: &Object) -> Option<&str> {
    let registry = cluster.get("importedConfig")?.get("privateRegistryURL")?.as_str()?;
    Some(registry.trim_end_matches('/')).filter(|registry| !registry.is_empty())
}

/// The environment variables. Each name occurs once, because Kubernetes rejects repetitions; the user's values take precedence.
fn environment(agent: &Agent<'_>) -> Vec<Value> {
    let checksum = ca_checksum(agent.ca_certificates);
    // With STRICT_VERIFY=true and no CA certificate, Rancher's agent exits.
    let strict_verify = if checksum.is_empty() { "false" } else { "true" };
    let secret_name = agent.secret_name();
    let own_variables = [
        ("CATTLE_SERVER", agent.server),
        ("CATTLE_CA_CHECKSUM", &checksum),
        ("CATTLE_CLUSTER", "true"),
        ("CATTLE_K8S_MANAGED", "true"),
        ("CATTLE_CREDENTIAL_NAME", &secret_name),
        ("CATTLE_SERVER_VERSION", agent.server_version),
        ("CATTLE_INSTALL_UUID", agent.install_uuid),
        ("CATTLE_SYSTEM_DEFAULT_REGISTRY", private_registry(agent.cluster).unwrap_or_default()),
        ("STRICT_VERIFY", strict_verify),
    ];
    let own_variables =
        own_variables.into_iter().chain(agent.api_server.map(|address| ("NORMAN_AKS_API_SERVER", address)));
    let overrides = user_variables(agent.cluster);
    let own_variables =
        own_variables.filter(|(name, _)| overrides.iter().all(|(overridden, _)| overridden != name));
    own_variables
        .chain(overrides.iter().copied())
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

/// The user's `agentEnvVars` in order. If a name occurs more than once, only its last occurrence is kept.
pub(super) fn user_variables(cluster: &Object) -> Vec<(&str, &str)> {
    let mut variables: Vec<(&str, &str)> = Vec::new();
    let listed = cluster.get("agentEnvVars").and_then(Value::as_array);
    for variable in listed.into_iter().flatten() {
        let string = |key: &str| variable.get(key).and_then(Value::as_str);
        if let Some(name) = string("name").filter(|name| !name.is_empty()) {
            variables.retain(|(earlier, _)| *earlier != name);
            variables.push((name, string("value").unwrap_or_default()));
        }
    }
    variables
}

fn pull_secrets(cluster: &Object) -> Vec<Value> {
    let names = cluster.get("importedConfig").and_then(|config| config.get("privateRegistryPullSecrets"));
    let names = names.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(|name| json!({"name": name})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::Manifest;

    fn agent(body: &Object) -> Agent<'_> {
        Agent {
            server: "https://h",
            token: "tok",
            ca_certificates: "",
            image: "norman-aks:1",
            api_server: Some("one.hcp.eastus.azmk8s.io:443"),
            server_version: "v2.12.1",
            install_uuid: "uuid",
            cluster: body,
        }
    }

    fn deployment_of(agent: &Agent<'_>) -> Value {
        Manifest::new(agent).objects().last().unwrap().clone()
    }

    fn container_of(deployment: &Value) -> &Value {
        &deployment["spec"]["template"]["spec"]["containers"][0]
    }

    fn variable_values<'a>(deployment: &'a Value, name: &str) -> Vec<&'a str> {
        let variables = container_of(deployment)["env"].as_array().unwrap().iter();
        variables
            .filter(|variable| variable["name"] == name)
            .map(|variable| variable["value"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn pod_meets_the_restricted_level() {
        let deployment = deployment_of(&agent(&Object::new()));
        let pod = &deployment["spec"]["template"]["spec"];
        let context = &pod["securityContext"];
        assert_eq!((&context["runAsNonRoot"], &context["runAsUser"]), (&json!(true), &json!(65532)));
        assert_eq!(context["seccompProfile"], json!({"type": "RuntimeDefault"}));
        let context = &container_of(&deployment)["securityContext"];
        assert_eq!(
            *context,
            json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true})
        );
    }

    #[test]
    fn secret_is_readable_by_the_pod() {
        let deployment = deployment_of(&agent(&Object::new()));
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["volumes"][0]["secret"]["defaultMode"], 0o440);
        assert_eq!(pod["securityContext"]["fsGroup"], pod["securityContext"]["runAsGroup"]);
        assert_eq!(pod["volumes"][0]["secret"]["secretName"], agent(&Object::new()).secret_name());
    }

    #[test]
    fn deployment_has_ranchers_names_and_no_replicas() {
        let deployment = deployment_of(&agent(&Object::new()));
        assert_eq!(deployment["metadata"]["namespace"], "cattle-system");
        assert_eq!(deployment["metadata"]["name"], "cattle-cluster-agent");
        assert_eq!(deployment["spec"]["selector"]["matchLabels"]["app"], "cattle-cluster-agent");
        assert!(deployment["spec"].get("replicas").is_none());
        assert_eq!(
            deployment["spec"]["strategy"]["rollingUpdate"],
            json!({"maxUnavailable": 0, "maxSurge": 1})
        );
        let container = container_of(&deployment);
        assert_eq!((&container["name"], &container["args"]), (&json!("cluster-register"), &json!(["agent"])));
        assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": 8080}));
        assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/healthz", "port": 8080}));
        assert_eq!(container["resources"]["limits"], json!({"memory": "64Mi"}));
    }

    #[test]
    fn environment_has_ranchers_variables() {
        let body = Object::new();
        let deployment = deployment_of(&Agent { ca_certificates: "PEM", ..agent(&body) });
        for (name, expected) in [
            ("CATTLE_SERVER", "https://h"),
            ("CATTLE_CA_CHECKSUM", &ca_checksum("PEM")),
            ("CATTLE_CLUSTER", "true"),
            ("CATTLE_K8S_MANAGED", "true"),
            ("CATTLE_CREDENTIAL_NAME", &agent(&body).secret_name()),
            ("CATTLE_SERVER_VERSION", "v2.12.1"),
            ("CATTLE_INSTALL_UUID", "uuid"),
            ("CATTLE_SYSTEM_DEFAULT_REGISTRY", ""),
            ("STRICT_VERIFY", "true"),
            ("NORMAN_AKS_API_SERVER", "one.hcp.eastus.azmk8s.io:443"),
        ] {
            assert_eq!(variable_values(&deployment, name), [expected], "{name}");
        }
        let deployment = deployment_of(&Agent { api_server: None, ..agent(&body) });
        assert_eq!(variable_values(&deployment, "STRICT_VERIFY"), ["false"], "without a CA certificate");
        assert_eq!(variable_values(&deployment, "CATTLE_CA_CHECKSUM"), [""]);
        assert!(variable_values(&deployment, "NORMAN_AKS_API_SERVER").is_empty());
    }

    #[test]
    fn user_variables_override_ours_and_are_escaped() {
        let body = json!({"agentEnvVars": [{"name": "STRICT_VERIFY", "value": "no"}, {"name": "A", "value": "1"},
            {"name": "HTTP_PROXY", "value": "x\"\nprivileged: true"}, {"name": "EMPTY"}, {"value": "lost"},
            {"name": "A", "value": "2"}]});
        let agent = agent(body.as_object().unwrap());
        let deployment = deployment_of(&agent);
        for (name, expected) in [("STRICT_VERIFY", "no"), ("A", "2"), ("EMPTY", "")] {
            assert_eq!(variable_values(&deployment, name), [expected], "{name}");
        }
        assert_eq!(container_of(&deployment)["env"].as_array().unwrap().last().unwrap()["name"], "A");
        let yaml = Manifest::new(&agent).to_yaml();
        assert!(yaml.contains("value: \"x\\\"\\nprivileged: true\"") && !yaml.contains("lost"), "{yaml}");
    }

    #[test]
    fn private_registry_is_prefixed_unless_image_has_registry() {
        for (desired, registry, expected) in [
            ("", "", "norman-aks:1"),
            ("", "r.example.com/", "r.example.com/norman-aks:1"),
            ("mine/agent:2", "r.example.com", "r.example.com/mine/agent:2"),
            ("q.example.com/agent:2", "r.example.com", "q.example.com/agent:2"),
            ("localhost/agent", "r.example.com", "localhost/agent"),
            ("host:5000/agent", "r.example.com", "host:5000/agent"),
        ] {
            let body =
                json!({"desiredAgentImage": desired, "importedConfig": {"privateRegistryURL": registry}});
            let deployment = deployment_of(&agent(body.as_object().unwrap()));
            assert_eq!(container_of(&deployment)["image"], expected, "{desired} {registry}");
            let default_registry = variable_values(&deployment, "CATTLE_SYSTEM_DEFAULT_REGISTRY");
            assert_eq!(default_registry, [registry.trim_end_matches('/')]);
        }
    }

    #[test]
    fn customization_of_the_deployment_is_applied() {
        let body = json!({
            "importedConfig": {"privateRegistryPullSecrets": ["pull"]},
            "clusterAgentDeploymentCustomization": {
                "appendTolerations": [{"key": "dedicated", "effect": "NoSchedule"}],
                "overrideAffinity": {"nodeAffinity": {}},
                "overrideResourceRequirements": {"limits": {"cpu": "1"}},
            },
        });
        let deployment = deployment_of(&agent(body.as_object().unwrap()));
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["tolerations"][2]["key"], "dedicated");
        assert_eq!(pod["affinity"], json!({"nodeAffinity": {}}));
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
        assert_eq!(container_of(&deployment)["resources"], json!({"limits": {"cpu": "1"}}));
    }
}
