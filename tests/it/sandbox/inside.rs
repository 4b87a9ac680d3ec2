//! Requests to the Kubernetes APIs of the sandbox's clusters, as their administrator.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::Value;

use super::{Answer, Azure, cluster, read};

pub(super) struct Inside {
    client: reqwest::Client,
    pub(super) fqdn: String,
    token: String,
}

impl Inside {
    /// A managed cluster of the account.
    pub(super) async fn of(azure: &Azure, name: &str) -> Self {
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
        Self { client, fqdn, token }
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("https://{}{path}", self.fqdn);
        let mut request = self.client.request(method.clone(), url).bearer_auth(&self.token);
        if let Some(body) = body {
            let kind = if method == Method::PATCH { "merge-patch+json" } else { "json" };
            request = request.header("content-type", format!("application/{kind}")).body(body.to_string());
        }
        read(request.send().await.unwrap()).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn delete(&self, path: &str) {
        self.send(Method::DELETE, path, None).await.expect(200);
    }
}
