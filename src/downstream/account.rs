//! Removing the service account by which an earlier version entered a cluster, and what callers are allowed in it. All of it
//! may be repeated.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::domain::role::Role;

use super::error::Error;
use super::told;

/// The account by which an earlier version entered a cluster, `<namespace>/<name>`.
pub const SERVICE_ACCOUNT: &str = "cattle-system/kontainer-engine";

const NAMESPACE: &str = "cattle-system";
const ACCOUNT: &str = "kontainer-engine";
const TOKEN: &str = "kontainer-engine-token";
const ADMINISTRATOR: &str = "cluster-admin";
/// The binding of the account.
const BINDING: &str = "system-netes-default-clusterRoleBinding";
const RBAC: &str = "rbac.authorization.k8s.io";
/// Who the cluster notes down as the manager of the fields that are set here.
const MANAGER: &str = "norman-aks";

/// The role inside a cluster that goes with somebody's part in it.
pub(super) fn inner_role(role: Role) -> &'static str {
    match role {
        Role::Owner => ADMINISTRATOR,
        Role::Member => "edit",
        Role::ReadOnly => "view",
    }
}

/// Binds the groups of callers to their roles.
pub(super) async fn bind_roles(client: &kube::Client, host: &str) -> Result<(), Error> {
    make_administrator(&Api::all(client.clone()), host).await?;
    for role in Role::ALL {
        let group = Subject {
            api_group: Some(RBAC.to_owned()),
            kind: "Group".to_owned(),
            name: role.group().to_owned(),
            namespace: None,
        };
        let name = format!("{MANAGER}-{}", role.name());
        bind(client, &name, inner_role(role), group, host).await?;
    }
    Ok(())
}

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

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// Takes over the fields that are set here, whoever had them.
fn as_manager() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

async fn apply<K>(api: &Api<K>, name: &str, object: &K, host: &str) -> Result<(), Error>
where
    K: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let applied = api.patch(name, &as_manager(), &Patch::Apply(object)).await;
    applied.map(drop).map_err(|error| told(host, error))
}

async fn bind(client: &kube::Client, name: &str, role: &str, to: Subject, host: &str) -> Result<(), Error> {
    let binding = ClusterRoleBinding {
        metadata: named(name),
        role_ref: RoleRef {
            api_group: RBAC.to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(vec![to]),
    };
    apply(&Api::all(client.clone()), name, &binding, host).await
}

/// The role of administrators, where somebody removed it. Where it is, it is the cluster's own and left alone.
async fn make_administrator(api: &Api<ClusterRole>, host: &str) -> Result<(), Error> {
    if api.get_opt(ADMINISTRATOR).await.map_err(|error| told(host, error))?.is_some() {
        return Ok(());
    }
    let all = || Some(vec!["*".to_owned()]);
    let verbs = vec!["*".to_owned()];
    let everything =
        PolicyRule { api_groups: all(), resources: all(), verbs: verbs.clone(), ..PolicyRule::default() };
    let addresses = PolicyRule { non_resource_urls: all(), verbs, ..PolicyRule::default() };
    let role = ClusterRole {
        metadata: named(ADMINISTRATOR),
        rules: Some(vec![everything, addresses]),
        aggregation_rule: None,
    };
    let how = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&how, &role).await {
        // Somebody else was faster.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        made => made.map(drop).map_err(|error| told(host, error)),
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
