//! Removes users from the bindings of a cluster. Besides the roles of this server, users may have rights that they or others
//! granted inside the cluster.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::objects::{bindings_in_namespace, delete, is_applied, list, name};
use crate::error::Error;
use crate::kube_client::{FIELD_MANAGER, KubeClient};

/// The maximum number of times that bindings are read, because other clients may change them concurrently.
const MAX_ROUNDS: usize = 4;

/// The result of removing users from bindings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedUsers {
    /// Bindings that no longer name the users: `ClusterRoleBinding x`, `RoleBinding namespace/x`.
    pub removed: BTreeSet<String>,
    /// Bindings that still name users because the cluster denies the change, with the reason.
    pub denied: Vec<(String, String)>,
}

/// A cluster role binding or a role binding.
trait Binding: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug {
    fn subjects(&mut self) -> &mut Option<Vec<Subject>>;
    /// The API for a binding with this metadata: that of its namespace, or of the cluster.
    fn api_for(kube: &KubeClient, meta: &ObjectMeta) -> Api<Self>;
}

impl Binding for ClusterRoleBinding {
    fn subjects(&mut self) -> &mut Option<Vec<Subject>> {
        &mut self.subjects
    }
    fn api_for(kube: &KubeClient, _: &ObjectMeta) -> Api<Self> {
        kube.api()
    }
}

impl Binding for RoleBinding {
    fn subjects(&mut self) -> &mut Option<Vec<Subject>> {
        &mut self.subjects
    }
    fn api_for(kube: &KubeClient, meta: &ObjectMeta) -> Api<Self> {
        bindings_in_namespace(kube, meta)
    }
}

/// Removes users from all bindings.
pub(crate) async fn remove(kube: &KubeClient, users: &BTreeSet<String>) -> Result<RemovedUsers, Error> {
    let mut report = RemovedUsers::default();
    remove_from_all::<ClusterRoleBinding>(kube, users, &mut report).await?;
    remove_from_all::<RoleBinding>(kube, users, &mut report).await?;
    Ok(report)
}

async fn remove_from_all<B: Binding>(
    kube: &KubeClient,
    users: &BTreeSet<String>,
    report: &mut RemovedUsers,
) -> Result<(), Error> {
    let mut denied: Vec<(String, String)> = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let (mut bindings, _) = list(kube, &kube.api::<B>(), ListParams::default()).await?;
        bindings.retain_mut(|binding| has_user(binding.subjects().as_deref(), users));
        let mut has_conflict = false;
        for binding in bindings {
            let label = binding_label(&binding);
            if denied.iter().any(|(denied_label, _)| *denied_label == label) {
                continue;
            }
            match remove_from(kube, users, binding).await {
                Ok(true) => drop(report.removed.insert(label)),
                Ok(false) => has_conflict = true,
                Err(error) if is_denial(&error) => denied.push((label, error.to_string())),
                Err(error) => return Err(error),
            }
        }
        if !has_conflict {
            report.denied.append(&mut denied);
            return Ok(());
        }
    }
    Err(Error::BindingsChanged { host: kube.host.clone() })
}

fn binding_label<B: Binding>(binding: &B) -> String {
    let (kind, meta) = (B::kind(&()), binding.meta());
    match &meta.namespace {
        Some(namespace) => format!("{kind} {namespace}/{}", name(meta)),
        None => format!("{kind} {}", name(meta)),
    }
}

fn is_any_of(subject: &Subject, users: &BTreeSet<String>) -> bool {
    subject.kind == "User" && users.contains(&subject.name)
}

fn has_user(subjects: Option<&[Subject]>, users: &BTreeSet<String>) -> bool {
    subjects.unwrap_or_default().iter().any(|subject| is_any_of(subject, users))
}

/// Removes the users from a binding; false if the binding was changed since it was read.
async fn remove_from<B: Binding>(
    kube: &KubeClient,
    users: &BTreeSet<String>,
    mut binding: B,
) -> Result<bool, Error> {
    let subjects = binding.subjects().get_or_insert_default();
    subjects.retain(|subject| !is_any_of(subject, users));
    let has_no_subject = subjects.is_empty();
    let api = B::api_for(kube, binding.meta());
    if has_no_subject {
        return delete(kube, &api, binding.meta()).await;
    }
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let name = name(binding.meta()).to_owned();
    is_applied(kube, api.replace(&name, &params, &binding).await)
}

/// Whether the cluster denies the change, so that a retry is useless.
fn is_denial(error: &Error) -> bool {
    matches!(error, Error::ErrorResponse { status, .. } if matches!(status.as_u16(), 400 | 403 | 405 | 422))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(kind: &str, name: &str) -> Subject {
        Subject { kind: kind.to_owned(), name: name.to_owned(), ..Subject::default() }
    }

    #[test]
    fn only_user_subjects_match() {
        let users = BTreeSet::from(["user-abc".to_owned()]);
        for (subject, expected) in [
            (subject("User", "user-abc"), true),
            (subject("User", "user-abcd"), false),
            (subject("Group", "user-abc"), false),
            (subject("ServiceAccount", "user-abc"), false),
        ] {
            assert_eq!(is_any_of(&subject, &users), expected, "{subject:?}");
        }
    }
}
