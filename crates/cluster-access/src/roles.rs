//! Rights inside a cluster: the roles and bindings behind owners, members and readers. Reading them, correcting them, being
//! told of changes, and removing what users were granted beside them.
//!
//! | file | content |
//! |---|---|
//! | `rules` | the rules of the two roles of members |
//! | `desired` | the objects, and the comparison |
//! | `watch` | changes, as the cluster reports them |
//! | `users` | bindings that name single users |

mod desired;
mod rules;
mod users;
mod watch;

use aks::system_namespaces::SystemNamespaces;
use futures_util::StreamExt as _;
use futures_util::stream;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::core::ObjectList;
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::desired::{CLUSTER_ROLES, Found, Kind, NAMESPACE_EDIT, Object, Plan, Removal};
pub use self::users::RemovedUsers;
pub use self::watch::RoleWatch;
use self::watch::Versions;
use super::error::Error;
use super::{Access, Downstream, in_time, told};

/// The label by which an owner opens a namespace for the members of the cluster.
pub const MEMBERS_LABEL: &str = "norman-aks.io/members=edit";

/// The name under which the cluster records fields that are set here.
const MANAGER: &str = "norman-aks";
/// Objects on one page of a list, and pages of one list.
const PAGE_SIZE: u32 = 500;
const MAX_PAGES: usize = 200;
/// Requests to one cluster at a time.
const CONCURRENCY: usize = 8;

/// The rights in a cluster as they are.
pub struct RoleState {
    found: Found,
    versions: Versions,
}

/// What has to change so that the rights in a cluster are as they have to be.
pub struct RoleChanges(Plan);

impl RoleState {
    /// Compares the rights with those that have to be there. Never opens a system namespace.
    pub fn changes(&self, system: &SystemNamespaces) -> RoleChanges {
        RoleChanges(desired::plan(&self.found, system))
    }

    /// Namespaces that an owner labelled for members and that stay closed, because they are system namespaces.
    pub fn refused<'a>(&'a self, system: &'a SystemNamespaces) -> impl Iterator<Item = &'a str> {
        self.found.labelled.iter().map(String::as_str).filter(|name| system.contains(name))
    }
}

impl RoleChanges {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether members lose the rights of earlier versions: `edit` in all namespaces.
    pub fn ends_edit_everywhere(&self) -> bool {
        self.0.ends_edit_everywhere
    }

    /// Namespaces that members edit once the changes are made.
    pub fn opened(&self) -> &[String] {
        &self.0.opened
    }

    /// Namespaces that members no longer edit once the changes are made.
    pub fn closed(&self) -> &[String] {
        &self.0.closed
    }
}

impl Downstream {
    /// Reads the rights in a cluster.
    pub async fn role_state(&self, access: &Access) -> Result<RoleState, Error> {
        let link = self.parts.links.to(access)?;
        let (client, host) = (link.kube(), link.host());
        in_time(host, self.parts.roles_limit, read(&client, host)).await
    }

    /// Changes the rights in a cluster: removes what is stale, then makes what is missing or differs. A failure of one
    /// object does not keep the others from being changed; the first failure is returned.
    pub async fn change_roles(&self, access: &Access, changes: &RoleChanges) -> Result<(), Error> {
        let link = self.parts.links.to(access)?;
        let (client, host) = (link.kube(), link.host());
        in_time(host, self.parts.roles_limit, change(&client, host, &changes.0)).await
    }
}

async fn read(client: &Client, host: &str) -> Result<RoleState, Error> {
    let failed = |error| told(host, error);
    // The version is read before the objects, so that no change between the two is missed.
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let first = ListParams::default().limit(1);
    let roles_version = version(&roles.list_metadata(&first).await.map_err(failed)?);
    let mut cluster_roles = Vec::new();
    for name in CLUSTER_ROLES {
        cluster_roles.extend(roles.get_opt(name).await.map_err(failed)?);
    }
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let (mut cluster_bindings, cluster_bindings_version) =
        list(&bindings, ListParams::default(), host).await?;
    cluster_bindings.retain(|binding| desired::is_cluster_binding(name(&binding.metadata)));
    let named = ListParams::default().fields(&format!("metadata.name={NAMESPACE_EDIT}"));
    let (namespace_bindings, namespace_bindings_version) =
        list(&Api::<RoleBinding>::all(client.clone()), named, host).await?;
    let labelled = ListParams::default().labels(MEMBERS_LABEL);
    let (namespaces, namespaces_version) =
        list(&Api::<Namespace>::all(client.clone()), labelled, host).await?;
    let labelled = namespaces
        .into_iter()
        .filter(|namespace| namespace.metadata.deletion_timestamp.is_none())
        .filter_map(|namespace| namespace.metadata.name)
        .collect();
    let found = Found { cluster_roles, cluster_bindings, namespace_bindings, labelled };
    let versions = Versions {
        cluster_roles: roles_version,
        cluster_bindings: cluster_bindings_version,
        bindings: namespace_bindings_version,
        namespaces: namespaces_version,
    };
    Ok(RoleState { found, versions })
}

fn version<K: Clone>(list: &ObjectList<K>) -> String {
    list.metadata.resource_version.clone().unwrap_or_default()
}

fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// All pages of a list, with the version of the cluster at which it was read.
async fn list<K>(api: &Api<K>, params: ListParams, host: &str) -> Result<(Vec<K>, String), Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = params.limit(PAGE_SIZE);
    let mut all = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = api.list(&params).await.map_err(|error| told(host, error))?;
        let version = version(&page);
        let more = page.metadata.continue_.clone().filter(|token| !token.is_empty());
        all.extend(page.items);
        match more {
            Some(token) => params = params.continue_token(&token),
            None => return Ok((all, version)),
        }
    }
    Err(Error::Unreadable { host: host.to_owned(), what: "a list without an end" })
}

async fn change(client: &Client, host: &str, plan: &Plan) -> Result<(), Error> {
    // Stale rights go first, so that no caller has them beside the new ones.
    let removals: Vec<_> = plan.removals.iter().map(|removal| remove(client, host, removal)).collect();
    let mut outcome = all(removals).await;
    let is_namespaced = |object: &&Object| matches!(object, Object::Binding(_));
    for object in plan.objects.iter().filter(|object| !is_namespaced(object)) {
        outcome = outcome.and(apply_object(client, host, object).await);
    }
    let bindings = plan.objects.iter().filter(is_namespaced);
    let bindings: Vec<_> = bindings.map(|object| apply_object(client, host, object)).collect();
    outcome.and(all(bindings).await)
}

/// Runs requests, a few at a time; the first failure in the order of their ends is the outcome.
async fn all(requests: Vec<impl Future<Output = Result<(), Error>>>) -> Result<(), Error> {
    let outcomes: Vec<_> = stream::iter(requests).buffer_unordered(CONCURRENCY).collect().await;
    outcomes.into_iter().collect()
}

async fn remove(client: &Client, host: &str, removal: &Removal) -> Result<(), Error> {
    let Removal { kind, meta } = removal;
    match kind {
        Kind::ClusterRole => delete(&Api::<ClusterRole>::all(client.clone()), meta, host).await,
        Kind::ClusterBinding => delete(&Api::<ClusterRoleBinding>::all(client.clone()), meta, host).await,
        Kind::Binding => delete(&bindings_in(client, meta), meta, host).await,
    }
    .map(drop)
}

fn bindings_in(client: &Client, meta: &ObjectMeta) -> Api<RoleBinding> {
    Api::namespaced(client.clone(), meta.namespace.as_deref().unwrap_or_default())
}

/// Deletes exactly the object that was read, as it was read; false when it is gone or was changed since.
async fn delete<K>(api: &Api<K>, meta: &ObjectMeta, host: &str) -> Result<bool, Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let preconditions =
        Preconditions { uid: meta.uid.clone(), resource_version: meta.resource_version.clone() };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(name(meta), &params).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        outcome => outcome.map(|_| true).map_err(|error| told(host, error)),
    }
}

async fn apply_object(client: &Client, host: &str, object: &Object) -> Result<(), Error> {
    match object {
        Object::ClusterRole(role) => apply(&Api::all(client.clone()), name(&role.metadata), role, host).await,
        Object::ClusterBinding(binding) => {
            apply(&Api::all(client.clone()), name(&binding.metadata), binding, host).await
        }
        Object::Binding(binding) => {
            let api = bindings_in(client, &binding.metadata);
            match apply(&api, name(&binding.metadata), binding, host).await {
                // The namespace went away in the meantime.
                Err(Error::Refused { status: http::StatusCode::NOT_FOUND, .. }) => Ok(()),
                outcome => outcome,
            }
        }
    }
}

/// Server-side apply, taking over fields from other managers.
async fn apply<K>(api: &Api<K>, name: &str, object: &K, host: &str) -> Result<(), Error>
where
    K: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let params = PatchParams::apply(MANAGER).force();
    api.patch(name, &params, &Patch::Apply(object)).await.map(drop).map_err(|error| told(host, error))
}
