//! Requests about single objects and lists.

use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::core::ObjectList;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::kube_client::KubeClient;

const PAGE_SIZE: u32 = 500;
const MAX_PAGES: usize = 200;

pub(super) fn resource_version<K: Clone>(list: &ObjectList<K>) -> String {
    list.metadata.resource_version.clone().unwrap_or_default()
}

pub(super) fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// The role bindings in the namespace of an object.
pub(super) fn bindings_in_namespace(kube: &KubeClient, meta: &ObjectMeta) -> Api<RoleBinding> {
    Api::namespaced(kube.client.clone(), meta.namespace.as_deref().unwrap_or_default())
}

/// All pages of a list, and its resource version.
pub(super) async fn list<K>(
    kube: &KubeClient,
    api: &Api<K>,
    params: ListParams,
) -> Result<(Vec<K>, String), Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = params.limit(PAGE_SIZE);
    let mut objects = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = api.list(&params).await.map_err(|error| kube.to_error(error))?;
        let version = resource_version(&page);
        let token = page.metadata.continue_.clone().filter(|token| !token.is_empty());
        objects.extend(page.items);
        match token {
            Some(token) => params = params.continue_token(&token),
            None => return Ok((objects, version)),
        }
    }
    Err(kube.unreadable("too many pages in a list"))
}

/// Deletes an object only in the version that was read; `false` if it was deleted or changed since.
pub(super) async fn delete<K>(kube: &KubeClient, api: &Api<K>, meta: &ObjectMeta) -> Result<bool, Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let preconditions =
        Preconditions { uid: meta.uid.clone(), resource_version: meta.resource_version.clone() };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    is_applied(kube, api.delete(name(meta), &params).await)
}

/// Converts the result of a conditional write: `false` for 404 (deleted) or 409 (changed).
pub(super) fn is_applied<T>(kube: &KubeClient, outcome: kube::Result<T>) -> Result<bool, Error> {
    match outcome {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(kube.to_error(error)),
    }
}
