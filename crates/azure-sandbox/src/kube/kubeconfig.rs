//! Kubeconfigs in Azure's form.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::cluster::Cluster;

/// The kubeconfig format for users of Entra-enabled clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserFormat {
    /// The `azure` authentication provider of older clients.
    Azure,
    /// The program `kubelogin`.
    Exec,
}

/// Azure's public client application for logins of users.
const CLIENT_APP: &str = "80faf920-1908-4b52-b5ef-a8e7bedfc67a";

/// The kubeconfig with the administrator's certificate and token.
pub(crate) fn admin(cluster: &Cluster, name: &str) -> String {
    let server_lines = format!("server: https://{}:443", cluster.host);
    render(cluster, &server_lines, name, "clusterAdmin", &admin_credentials(cluster))
}

/// The administrator's kubeconfig with the sandbox's address instead of the host name, which only the sandbox can resolve.
pub(crate) fn admin_by_address(cluster: &Cluster, address: std::net::SocketAddr, name: &str) -> String {
    let server_lines = format!("server: https://{address}\n    tls-server-name: {}", cluster.host);
    render(cluster, &server_lines, name, "clusterAdmin", &admin_credentials(cluster))
}

/// A user's kubeconfig: for Entra, or with the administrator's credentials in a cluster without Entra, as in AKS.
pub(crate) fn user(cluster: &Cluster, name: &str, format: UserFormat) -> String {
    let server_lines = format!("server: https://{}:443", cluster.host);
    let entra = cluster.state().declared.entra.clone();
    let credentials = match entra {
        None => admin_credentials(cluster),
        Some(entra) => {
            let (cloud, app, tenant) = (cloud_name(&cluster.host), &entra.server_app_id, &entra.tenant_id);
            match format {
                UserFormat::Azure => auth_provider(cloud, app, tenant),
                UserFormat::Exec => exec(cloud, app, tenant),
            }
        }
    };
    render(cluster, &server_lines, name, "clusterUser", &credentials)
}

fn render(cluster: &Cluster, server_lines: &str, name: &str, user_prefix: &str, credentials: &str) -> String {
    let authority = BASE64_STANDARD.encode(&cluster.authority().stored.certificate);
    let user = format!("{user_prefix}_{name}");
    format!(
        "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {authority}
    {server_lines}
  name: {name}
contexts:
- context:
    cluster: {name}
    user: {user}
  name: {name}
current-context: {name}
kind: Config
preferences: {{}}
users:
- name: {user}
  user:
{credentials}"
    )
}

fn admin_credentials(cluster: &Cluster) -> String {
    let authority = cluster.authority();
    let stored = &authority.stored;
    let [certificate, key] =
        [&stored.client_certificate, &stored.client_key].map(|text| BASE64_STANDARD.encode(text));
    format!(
        "    client-certificate-data: {certificate}
    client-key-data: {key}
    token: {}
",
        stored.token
    )
}

fn auth_provider(cloud: &str, app: &str, tenant: &str) -> String {
    format!(
        "    auth-provider:
      config:
        apiserver-id: {app}
        client-id: {CLIENT_APP}
        config-mode: \"1\"
        environment: {cloud}
        tenant-id: {tenant}
      name: azure
"
    )
}

fn exec(cloud: &str, app: &str, tenant: &str) -> String {
    format!(
        "    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - get-token
      - --environment
      - {cloud}
      - --server-id
      - {app}
      - --client-id
      - {CLIENT_APP}
      - --tenant-id
      - {tenant}
      - --login
      - devicecode
      command: kubelogin
      env: null
      installHint: kubelogin is not installed; clusters with Entra authentication need it, see https://aka.ms/aks/kubelogin
      provideClusterInfo: false
"
    )
}

/// The cloud of a cluster's host name, as kubelogin names it.
fn cloud_name(host: &str) -> &'static str {
    let host = host.trim_end_matches('.');
    if host.ends_with(".azk8s.cn") {
        "AzureChinaCloud"
    } else if host.ends_with(".azure.us") {
        "AzureUSGovernmentCloud"
    } else {
        "AzurePublicCloud"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_name_determines_the_cloud() {
        for (host, expected) in [
            ("a.hcp.eastus.azmk8s.io", "AzurePublicCloud"),
            ("a.hcp.chinanorth3.cx.prod.service.azk8s.cn", "AzureChinaCloud"),
            ("a.hcp.usgovvirginia.cx.aks.containerservice.azure.us", "AzureUSGovernmentCloud"),
        ] {
            assert_eq!(cloud_name(host), expected);
        }
    }
}
