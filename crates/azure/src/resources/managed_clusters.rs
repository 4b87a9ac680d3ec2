//! `Microsoft.ContainerService/managedClusters`.

use aks::arm::{ManagedCluster, Resource, UpgradeProfile};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::call::Ask;
use crate::operation::object;
use crate::page::read_all;
use crate::{Arm, Error, Written, one};

/// The version of every request about clusters and pools: what one version reads, the same one writes.
pub(super) const API_VERSION: (&str, &str) = ("api-version", "2024-02-01");

/// How a user kubeconfig of a cluster with Entra users says where to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserFormat {
    /// The old `auth-provider` with the ids in plain keys (`apiserver-id`, `tenant-id`).
    Azure,
    /// A command line of `kubelogin` with the ids among its arguments (`--server-id`, `--tenant-id`).
    Exec,
}

/// The AKS clusters of the whole subscription, in Azure's order.
pub async fn list(arm: &Arm) -> Result<Vec<ManagedCluster>, Error> {
    let path = ["providers", "Microsoft.ContainerService", "managedClusters"];
    let url = arm.address(&path, &[API_VERSION])?;
    read_all(arm, "managedClusters", url).await
}

/// A cluster, whole; `None` when there is none of that name in the group, or no such group.
pub async fn get(arm: &Arm, group: &str, name: &str) -> Result<Option<Resource<ManagedCluster>>, Error> {
    one::find(arm, "managedCluster", &address(arm, group, name, &[])?).await
}

/// The versions that Azure upgrades this very cluster to; none when there is no such cluster.
pub async fn upgrade_targets(arm: &Arm, group: &str, name: &str) -> Result<Vec<String>, Error> {
    let url = address(arm, group, name, &["upgradeProfiles", "default"])?;
    let profile: Option<Resource<UpgradeProfile>> = one::find(arm, "upgradeProfile", &url).await?;
    Ok(profile.map(|profile| profile.view.targets()).unwrap_or_default())
}

/// Creates the cluster or changes it into what `body` says: a change is the whole object that was read, with the
/// changed keys replaced.
pub async fn put(arm: &Arm, group: &str, name: &str, body: &Value) -> Result<Written, Error> {
    arm.put("managedCluster put", &address(arm, group, name, &[])?, body).await
}

/// Replaces the tags and nothing else. All tags: those that are not in the object are removed.
pub async fn patch_tags<'a>(
    arm: &Arm,
    group: &str,
    name: &str,
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Written, Error> {
    let tags: Value = tags.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
    let url = address(arm, group, name, &[])?;
    arm.patch("managedCluster patch", &url, &json!({ "tags": tags })).await
}

/// Deletes the cluster with its nodes; `None` when there is none.
pub async fn delete(arm: &Arm, group: &str, name: &str) -> Result<Option<Written>, Error> {
    arm.delete("managedCluster delete", &address(arm, group, name, &[])?).await
}

/// The kubeconfig of the cluster's own administrator, in YAML. Azure refuses it, with an error, where local
/// accounts are disabled.
pub async fn list_admin_credential(arm: &Arm, group: &str, name: &str) -> Result<SecretString, Error> {
    let url = address(arm, group, name, &["listClusterAdminCredential"])?;
    let body = post(arm, "admin credential", &url).await?;
    kubeconfig(&url, body.get("kubeconfigs").and_then(|list| list.get(0)?.get("value")))
}

/// The kubeconfig of a user, in YAML. In a cluster with Entra users it holds no secret, only where to sign in.
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
    let mut path = path_of(group, name).to_vec();
    path.push("listClusterUserCredential");
    let url = arm.address(&path, &[API_VERSION, ("format", format)])?;
    let body = post(arm, "user credential", &url).await?;
    kubeconfig(&url, body.get("kubeconfigs").and_then(|list| list.get(0)?.get("value")))
}

/// The path below a subscription.
pub(super) fn path_of<'a>(group: &'a str, name: &'a str) -> [&'a str; 6] {
    ["resourceGroups", group, "providers", "Microsoft.ContainerService", "managedClusters", name]
}

fn address(arm: &Arm, group: &str, name: &str, last: &[&str]) -> Result<Url, Error> {
    let mut path = path_of(group, name).to_vec();
    path.extend_from_slice(last);
    arm.address(&path, &[API_VERSION])
}

/// Asks for a secret: a POST, although it changes nothing.
async fn post(arm: &Arm, operation: &'static str, url: &Url) -> Result<Value, Error> {
    let answer = arm.send(&Ask::reading(operation, Method::POST, url)).await?;
    object(&answer.body).ok_or_else(|| one::missing(Method::POST, url, "JSON object"))
}

fn kubeconfig(url: &Url, value: Option<&Value>) -> Result<SecretString, Error> {
    let text = value.and_then(Value::as_str).and_then(|text| STANDARD.decode(text.trim()).ok());
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok()).map(SecretString::from);
    text.ok_or_else(|| one::missing(Method::POST, url, "kubeconfig"))
}
