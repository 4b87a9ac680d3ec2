//! Removing the service account by which an earlier version entered a cluster. It may be repeated.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::error::Error;
use super::told;

/// The account by which an earlier version entered a cluster, `<namespace>/<name>`.
pub const SERVICE_ACCOUNT: &str = "cattle-system/kontainer-engine";

const NAMESPACE: &str = "cattle-system";
const ACCOUNT: &str = "kontainer-engine";
const TOKEN: &str = "kontainer-engine-token";
/// The binding of the account.
const BINDING: &str = "system-netes-default-clusterRoleBinding";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Removes the binding, the token and the account. The namespace stays: others use it too.
pub(super) async fn remove(client: &kube::Client, host: &str) -> Result<(), Error> {
    let bindings = format!("/apis/{RBAC}/v1/clusterrolebindings");
    if is_ours(client, host, &format!("{bindings}/{BINDING}")).await? {
        remove_object(client, host, &bindings, BINDING).await?;
    }
    let namespace = format!("/api/v1/namespaces/{NAMESPACE}");
    remove_object(client, host, &format!("{namespace}/secrets"), TOKEN).await?;
    remove_object(client, host, &format!("{namespace}/serviceaccounts"), ACCOUNT).await
}

/// Whether the binding of that path is one for the account. Its name is Rancher's, which had other accounts.
async fn is_ours(client: &kube::Client, host: &str, path: &str) -> Result<bool, Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(|_| Error::Material("the name"))?;
    let Some(binding) = found(client.request_text(request).await, host)? else { return Ok(false) };
    let binding: Value = serde_json::from_str(&binding).unwrap_or_default();
    let subjects = binding.get("subjects").and_then(Value::as_array);
    Ok(subjects.into_iter().flatten().any(|subject| {
        let is = |key: &str, value: &str| subject.get(key).and_then(Value::as_str) == Some(value);
        is("kind", "ServiceAccount") && is("namespace", NAMESPACE) && is("name", ACCOUNT)
    }))
}

/// Removes an object at once: one with finalizers would stay, and a binding is in force as long as it is there.
///
/// The answers are read as text and not by kube's typed functions, which would write a secret into the log where it is not
/// of the expected form.
async fn remove_object(client: &kube::Client, host: &str, path: &str, name: &str) -> Result<(), Error> {
    let unfinalized = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let objects = kube::core::Request::new(path);
    let request = objects.patch(name, &PatchParams::default(), &unfinalized);
    let request = request.map_err(|_| Error::Material("the name"))?;
    if found(client.request_text(request).await, host)?.is_some() {
        let request = objects.delete(name, &DeleteParams::default());
        let request = request.map_err(|_| Error::Material("the name"))?;
        found(client.request_text(request).await, host)?;
    }
    Ok(())
}

/// The answer; `None` where there is no such object.
fn found(answer: Result<String, kube::Error>, host: &str) -> Result<Option<String>, Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        answer => answer.map(Some).map_err(|error| told(host, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_told_as_it_is_made() {
        assert_eq!(SERVICE_ACCOUNT, format!("{NAMESPACE}/{ACCOUNT}"));
    }
}
