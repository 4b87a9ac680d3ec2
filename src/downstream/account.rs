//! What this server keeps inside a cluster: the service account that it acts with (contract, section 17), and what the
//! people are allowed whom it speaks for. All of it may be repeated: what is there already stays.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::domain::role::Role;

use super::error::Error;
use super::told;

/// The account by which this server acts inside a cluster, `<namespace>/<name>`.
pub const SERVICE_ACCOUNT: &str = "cattle-system/kontainer-engine";

const NAMESPACE: &str = "cattle-system";
const ACCOUNT: &str = "kontainer-engine";
const TOKEN: &str = "kontainer-engine-token";
const ADMINISTRATOR: &str = "cluster-admin";
const BINDING: &str = "system-netes-default-clusterRoleBinding";
const RBAC: &str = "rbac.authorization.k8s.io";
/// Who the cluster notes down as the manager of the fields that are set here.
const MANAGER: &str = "norman-aks";

/// How often it is looked whether the cluster has made the token; it takes it a moment.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// The role inside a cluster that goes with somebody's part in it.
pub(super) fn inner_role(role: Role) -> &'static str {
    match role {
        Role::Owner => ADMINISTRATOR,
        Role::Member => "edit",
        Role::ReadOnly => "view",
    }
}

/// Makes sure of account, rights and token, and returns the token. Waits for it without an end: the caller has a limit.
pub(super) async fn make(client: &kube::Client, host: &str) -> Result<SecretString, Error> {
    let namespace = Namespace { metadata: named(NAMESPACE), ..Namespace::default() };
    apply(&Api::all(client.clone()), NAMESPACE, &namespace, host).await?;
    let account = ServiceAccount { metadata: named(ACCOUNT), ..ServiceAccount::default() };
    apply(&Api::namespaced(client.clone(), NAMESPACE), ACCOUNT, &account, host).await?;
    make_administrator(&Api::all(client.clone()), host).await?;
    let subject = Subject {
        kind: "ServiceAccount".to_owned(),
        name: ACCOUNT.to_owned(),
        namespace: Some(NAMESPACE.to_owned()),
        ..Subject::default()
    };
    bind(client, BINDING, ADMINISTRATOR, subject, host).await?;
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
    token(client, host).await
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

/// The token of the account. Kubernetes fills it into a secret that is made for it.
///
/// The secret is read as text and not by kube's typed functions, which would write it into the log where it is not of the
/// expected form.
async fn token(client: &kube::Client, host: &str) -> Result<SecretString, Error> {
    let wanted = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": TOKEN,
            "namespace": NAMESPACE,
            "annotations": {"kubernetes.io/service-account.name": ACCOUNT},
        },
        "type": "kubernetes.io/service-account-token",
    });
    let secrets = format!("/api/v1/namespaces/{NAMESPACE}/secrets");
    loop {
        // Not only once: with an older account of that name, Kubernetes removes the secret that was made for it.
        let request =
            kube::core::Request::new(secrets.clone()).patch(TOKEN, &as_manager(), &Patch::Apply(&wanted));
        let request = request.map_err(|_| Error::Material("the name"))?;
        let answer = client.request_text(request).await.map_err(|error| told(host, error))?;
        let unreadable = |what| Error::Unreadable { host: host.to_owned(), what };
        let secret: Value =
            serde_json::from_str(&answer).map_err(|_| unreadable("the secret of the token"))?;
        let token = secret.pointer("/data/token").and_then(Value::as_str).unwrap_or_default();
        if !token.is_empty() {
            let token = BASE64_STANDARD.decode(token).ok().and_then(|token| String::from_utf8(token).ok());
            return token.map(SecretString::from).ok_or_else(|| unreadable("the token"));
        }
        sleep(LOOK_AGAIN).await;
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
