//! Requests to the Kubernetes APIs of the sandbox's clusters, as their administrator.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::{ArmResponse, Azure, cluster, read};

/// The time limit for a change that a test waits for.
const CHANGE_TIMEOUT: Duration = Duration::from_mins(1);

/// A client of the Kubernetes API of a cluster.
pub(super) struct KubeClient {
    client: reqwest::Client,
    pub(super) fqdn: String,
    pub(super) authority: String,
    pub(super) token: String,
}

impl KubeClient {
    /// A client of a managed cluster, with the token of its administrator.
    pub(super) async fn new(azure: &Azure, name: &str) -> Self {
        let body = azure.get(&cluster(name)).await.expect(200).json();
        let properties = &body["properties"];
        let fqdn = properties["privateFQDN"].as_str().or(properties["fqdn"].as_str()).unwrap().to_owned();
        let kubeconfig = azure.control().admin_kubeconfig(&fqdn, name).unwrap();
        let kubeconfig: Value = serde_saphyr::from_str(&kubeconfig).unwrap();
        let authority = &kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"];
        let authority = BASE64_STANDARD.decode(authority.as_str().unwrap()).unwrap();
        let token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap().to_owned();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
            .resolve(&fqdn, azure.sandbox.kubernetes_address())
            .build()
            .unwrap();
        Self { client, fqdn, authority: String::from_utf8(authority).unwrap(), token }
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> ArmResponse {
        let url = format!("https://{}{path}", self.fqdn);
        let mut request = self.client.request(method.clone(), url).bearer_auth(&self.token);
        if let Some(body) = body {
            let subtype = if method == Method::PATCH { "merge-patch+json" } else { "json" };
            request = request.header("content-type", format!("application/{subtype}")).body(body.to_string());
        }
        read(request.send().await.unwrap()).await
    }

    pub(super) async fn get(&self, path: &str) -> ArmResponse {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn create(&self, path: &str, body: &Value) {
        self.send(Method::POST, path, Some(body)).await.expect(201);
    }

    pub(super) async fn delete(&self, path: &str) {
        self.send(Method::DELETE, path, None).await.expect(200);
    }

    /// Reads an object or list until it meets a condition.
    pub(super) async fn wait_until(
        &self,
        path: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let waiting = async {
            loop {
                last = self.get(path).await.json();
                if condition(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let is_met_in_time = tokio::time::timeout(CHANGE_TIMEOUT, waiting).await.is_ok();
        assert!(is_met_in_time, "{what}: {last:#}");
        last
    }

    /// Creates a deployment with one container, named `agent`, in the namespace `default`.
    pub(super) async fn deploy(&self, image: &str, replicas: u32, container: Value) {
        let mut container = container;
        container["name"] = "agent".into();
        container["image"] = image.into();
        let body = json!({"metadata": {"name": "agent"}, "spec": {"replicas": replicas,
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [container],
                "volumes": [{"name": "ca", "configMap": {"name": "kube-root-ca.crt"}}]}}}});
        self.create("/apis/apps/v1/namespaces/default/deployments", &body).await;
    }
}

pub(super) const PODS: &str = "/api/v1/namespaces/default/pods?labelSelector=app%3Dagent";
pub(super) const AGENT: &str = "/apis/apps/v1/namespaces/default/deployments/agent";

/// The status of the only container of a pod in a list.
pub(super) fn container_status(pods: &Value, index: usize) -> &Value {
    &pods["items"][index]["status"]["containerStatuses"][0]
}
