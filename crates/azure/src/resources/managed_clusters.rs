//! `Microsoft.ContainerService/managedClusters`.

use aks::arm::{ManagedCluster, Resource, UpgradeProfile};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_all;
use crate::request::ArmRequest;
use crate::request_name::RequestName;
use crate::resource::{self, missing};
use crate::write::WriteResponse;

/// The version of all requests about clusters and pools. Reads and writes must use the same version.
pub(super) const API_VERSION: (&str, &str) = ("api-version", "2024-02-01");

/// The format of a user's kubeconfig for a cluster with Entra users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserFormat {
    /// The old `auth-provider`, with the IDs in separate keys (`apiserver-id`, `tenant-id`).
    Azure,
    /// A `kubelogin` command with the IDs in its arguments (`--server-id`, `--tenant-id`).
    Exec,
}

/// Lists the clusters of the subscription, in Azure's order (REST: Managed Clusters - List).
pub async fn list(arm: &Arm) -> Result<Vec<ManagedCluster>, Error> {
    let path = ["providers", "Microsoft.ContainerService", "managedClusters"];
    read_all(arm, RequestName::ListManagedClusters, arm.url(&path, &[API_VERSION])?).await
}

/// Gets a cluster; `None` if the cluster or its group does not exist (REST: Managed Clusters - Get).
pub async fn get(arm: &Arm, group: &str, name: &str) -> Result<Option<Resource<ManagedCluster>>, Error> {
    resource::find(arm, RequestName::GetManagedCluster, &url(arm, group, name, &[])?).await
}

/// The upgrades that Azure offers to this cluster; `None` if it does not exist (REST: Managed Clusters - Get Upgrade Profile).
pub async fn upgrade_profile(arm: &Arm, group: &str, name: &str) -> Result<Option<UpgradeProfile>, Error> {
    let url = url(arm, group, name, &["upgradeProfiles", "default"])?;
    let profile = resource::find(arm, RequestName::GetUpgradeProfile, &url).await?;
    Ok(profile.map(|profile: Resource<UpgradeProfile>| profile.view))
}

/// The versions to which Azure can upgrade the control plane of this cluster; empty if it does not exist.
pub async fn upgrade_targets(arm: &Arm, group: &str, name: &str) -> Result<Vec<String>, Error> {
    Ok(upgrade_profile(arm, group, name)
        .await?
        .map(|profile| profile.control_plane_targets())
        .unwrap_or_default())
}

/// Creates or changes a cluster (REST: Managed Clusters - Create Or Update). For a change, `body` is the complete object that
/// was read, with some keys replaced.
pub async fn put(arm: &Arm, group: &str, name: &str, body: &Value) -> Result<WriteResponse, Error> {
    arm.change(Method::PUT, RequestName::PutManagedCluster, &url(arm, group, name, &[])?, body).await
}

/// Replaces all tags and nothing else (REST: Managed Clusters - Update Tags).
pub async fn patch_tags<'a>(
    arm: &Arm,
    group: &str,
    name: &str,
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<WriteResponse, Error> {
    let tags: Value = tags.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
    let url = url(arm, group, name, &[])?;
    arm.change(Method::PATCH, RequestName::PatchManagedCluster, &url, &json!({ "tags": tags })).await
}

/// Deletes a cluster with its nodes; `None` if it does not exist (REST: Managed Clusters - Delete).
pub async fn delete(arm: &Arm, group: &str, name: &str) -> Result<Option<WriteResponse>, Error> {
    arm.delete(RequestName::DeleteManagedCluster, &url(arm, group, name, &[])?).await
}

/// The administrator's kubeconfig of the cluster, as YAML (REST: Managed Clusters - List Cluster Admin Credentials). Fails if
/// local accounts are disabled.
pub async fn list_admin_credential(arm: &Arm, group: &str, name: &str) -> Result<SecretString, Error> {
    let url = url(arm, group, name, &["listClusterAdminCredential"])?;
    request_kubeconfig(arm, RequestName::ListAdminCredentials, &url).await
}

/// A user's kubeconfig, as YAML (REST: Managed Clusters - List Cluster User Credentials). For a cluster with Entra users it
/// contains no secret.
pub async fn list_user_credential(
    arm: &Arm,
    group: &str,
    name: &str,
    format: UserFormat,
) -> Result<SecretString, Error> {
    let format = match format {
        UserFormat::Azure => "azure",
        UserFormat::Exec => "exec",
    };
    let query = [API_VERSION, ("format", format)];
    let url = arm.url(&path(group, name, &["listClusterUserCredential"]), &query)?;
    request_kubeconfig(arm, RequestName::ListUserCredentials, &url).await
}

/// The path of a cluster within its subscription, followed by `suffix`.
pub(super) fn path<'a>(group: &'a str, name: &'a str, suffix: &[&'a str]) -> Vec<&'a str> {
    let cluster =
        ["resourceGroups", group, "providers", "Microsoft.ContainerService", "managedClusters", name];
    [&cluster, suffix].concat()
}

fn url(arm: &Arm, group: &str, name: &str, suffix: &[&str]) -> Result<Url, Error> {
    arm.url(&path(group, name, suffix), &[API_VERSION])
}

/// Requests a kubeconfig. The method is POST, although nothing changes.
async fn request_kubeconfig(arm: &Arm, name: RequestName, url: &Url) -> Result<SecretString, Error> {
    let response = arm.send(&ArmRequest::read(name, Method::POST, url)).await?;
    let body = response.json_object().ok_or_else(|| missing(Method::POST, url, "JSON object"))?;
    let value = body.get("kubeconfigs").and_then(|kubeconfigs| kubeconfigs.get(0)?.get("value")?.as_str());
    let yaml = value.and_then(|value| STANDARD.decode(value.trim()).ok());
    let yaml = yaml.and_then(|bytes| String::from_utf8(bytes).ok()).map(SecretString::from);
    yaml.ok_or_else(|| missing(Method::POST, url, "kubeconfig"))
}
