//! Removes the service account that earlier versions used in clusters. Idempotent.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::error::Error;
use crate::kube_client::{KubeClient, none_if_not_found};

/// The service account of earlier versions, `<namespace>/<name>`.
pub const SERVICE_ACCOUNT: &str = "cattle-system/kontainer-engine";

const NAMESPACE: &str = "cattle-system";
const ACCOUNT: &str = "kontainer-engine";
const TOKEN: &str = "kontainer-engine-token";
/// The binding of the account.
const BINDING: &str = "system-netes-default-clusterRoleBinding";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Removes the binding, the token and the account. The namespace is shared and remains.
pub(super) async fn remove(kube: &KubeClient) -> Result<(), Error> {
    let bindings = format!("/apis/{RBAC}/v1/clusterrolebindings");
    if is_binding_of_account(kube, &format!("{bindings}/{BINDING}")).await? {
        remove_object(kube, &bindings, BINDING).await?;
    }
    let namespace = format!("/api/v1/namespaces/{NAMESPACE}");
    remove_object(kube, &format!("{namespace}/secrets"), TOKEN).await?;
    remove_object(kube, &format!("{namespace}/serviceaccounts"), ACCOUNT).await
}

/// Whether a binding is for the account. Rancher uses the same name for bindings of other accounts.
async fn is_binding_of_account(kube: &KubeClient, path: &str) -> Result<bool, Error> {
    let request = http::Request::get(path).body(Vec::new());
    let Some(binding) = none_if_not_found(kube.request_text(request).await)? else { return Ok(false) };
    let binding: Value = serde_json::from_str(&binding).unwrap_or_default();
    let subjects = binding.get("subjects").and_then(Value::as_array);
    Ok(subjects.into_iter().flatten().any(|subject| {
        let has = |key: &str, value: &str| subject.get(key).and_then(Value::as_str) == Some(value);
        has("kind", "ServiceAccount") && has("namespace", NAMESPACE) && has("name", ACCOUNT)
    }))
}

/// Removes an object without waiting for its finalizers, because a binding is effective as long as it exists.
///
/// Responses are read as text, because kube's typed functions would log a secret that is not in the expected format.
async fn remove_object(kube: &KubeClient, path: &str, name: &str) -> Result<(), Error> {
    let objects = kube::core::Request::new(path);
    let without_finalizers = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let request = objects.patch(name, &PatchParams::default(), &without_finalizers);
    if none_if_not_found(kube.request_text(request).await)?.is_some() {
        let delete = objects.delete(name, &DeleteParams::default());
        none_if_not_found(kube.request_text(delete).await)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_account_has_namespace_and_name() {
        assert_eq!(SERVICE_ACCOUNT, format!("{NAMESPACE}/{ACCOUNT}"));
    }
}
