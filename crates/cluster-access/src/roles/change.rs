//! Changes the rights in a cluster.

use futures_util::StreamExt as _;
use futures_util::stream;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::desired::{Object, ObjectKind, Removal};
use super::objects::{bindings_in_namespace, delete, name};
use super::state::RoleChanges;
use crate::error::Error;
use crate::kube_client::{FIELD_MANAGER, KubeClient};

/// The number of concurrent requests to one cluster.
const CONCURRENCY: usize = 8;

/// Deletes stale objects, then creates or corrects others.
pub(crate) async fn apply_changes(kube: &KubeClient, changes: &RoleChanges) -> Result<(), Error> {
    let plan = &changes.0;
    // Stale rights are removed first, so that no caller has them together with the new ones.
    let removals: Vec<_> = plan.removals.iter().map(|removal| remove(kube, removal)).collect();
    let mut outcome = run_concurrently(removals).await;
    let is_namespace_binding = |object: &&Object| matches!(object, Object::NamespaceBinding(_));
    for object in plan.objects.iter().filter(|object| !is_namespace_binding(object)) {
        outcome = outcome.and(apply_object(kube, object).await);
    }
    let bindings = plan.objects.iter().filter(is_namespace_binding);
    let bindings: Vec<_> = bindings.map(|object| apply_object(kube, object)).collect();
    outcome.and(run_concurrently(bindings).await)
}

/// Runs requests concurrently; the first failure is the outcome.
async fn run_concurrently(requests: Vec<impl Future<Output = Result<(), Error>>>) -> Result<(), Error> {
    let outcomes: Vec<_> = stream::iter(requests).buffer_unordered(CONCURRENCY).collect().await;
    outcomes.into_iter().collect()
}

async fn remove(kube: &KubeClient, removal: &Removal) -> Result<(), Error> {
    let Removal { kind, meta } = removal;
    match kind {
        ObjectKind::ClusterRole => delete(kube, &kube.api::<ClusterRole>(), meta).await,
        ObjectKind::ClusterBinding => delete(kube, &kube.api::<ClusterRoleBinding>(), meta).await,
        ObjectKind::NamespaceBinding => delete(kube, &bindings_in_namespace(kube, meta), meta).await,
    }
    .map(drop)
}

async fn apply_object(kube: &KubeClient, object: &Object) -> Result<(), Error> {
    match object {
        Object::ClusterRole(role) => apply_forced(kube, &kube.api(), name(&role.metadata), role).await,
        Object::ClusterBinding(binding) => {
            apply_forced(kube, &kube.api(), name(&binding.metadata), binding).await
        }
        Object::NamespaceBinding(binding) => {
            let api = bindings_in_namespace(kube, &binding.metadata);
            match apply_forced(kube, &api, name(&binding.metadata), binding).await {
                // The namespace was deleted.
                Err(Error::ErrorResponse { status: http::StatusCode::NOT_FOUND, .. }) => Ok(()),
                outcome => outcome,
            }
        }
    }
}

/// Applies an object with server-side apply. Takes over fields of other field managers.
async fn apply_forced<K>(kube: &KubeClient, api: &Api<K>, name: &str, object: &K) -> Result<(), Error>
where
    K: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(name, &params, &Patch::Apply(object)).await.map(drop).map_err(|error| kube.to_error(error))
}
