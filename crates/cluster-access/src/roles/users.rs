//! Bindings that name single users: what a caller granted to itself or was granted by others inside the cluster, beside the
//! roles of this server.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{MANAGER, bindings_in, delete, list, name};
use crate::error::Error;
use crate::{Access, Downstream, in_time, told};

/// How often the bindings are read again after one of them was changed by another client in the meantime.
const MAX_ROUNDS: usize = 4;

/// What became of the bindings that named some users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedUsers {
    /// Bindings that no longer name them: `ClusterRoleBinding x`, `RoleBinding namespace/x`.
    pub removed: BTreeSet<String>,
    /// Bindings that still do, because the cluster denies the change, with the reason.
    pub denied: Vec<(String, String)>,
}

/// A binding of either kind.
trait Binding: Clone + Serialize + DeserializeOwned + std::fmt::Debug {
    const KIND: &'static str;
    fn meta(&self) -> &ObjectMeta;
    fn subjects(&mut self) -> &mut Option<Vec<Subject>>;
    fn api(client: &Client, meta: &ObjectMeta) -> Api<Self>;
    fn all(client: &Client) -> Api<Self>;
}

impl Binding for ClusterRoleBinding {
    const KIND: &'static str = "ClusterRoleBinding";
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn subjects(&mut self) -> &mut Option<Vec<Subject>> {
        &mut self.subjects
    }
    fn api(client: &Client, _: &ObjectMeta) -> Api<Self> {
        Api::all(client.clone())
    }
    fn all(client: &Client) -> Api<Self> {
        Api::all(client.clone())
    }
}

impl Binding for RoleBinding {
    const KIND: &'static str = "RoleBinding";
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn subjects(&mut self) -> &mut Option<Vec<Subject>> {
        &mut self.subjects
    }
    fn api(client: &Client, meta: &ObjectMeta) -> Api<Self> {
        bindings_in(client, meta)
    }
    fn all(client: &Client) -> Api<Self> {
        Api::all(client.clone())
    }
}

impl Downstream {
    /// Removes users from all bindings of a cluster that name them; a binding that names nobody else is deleted. Bindings
    /// of groups and of service accounts stay as they are.
    pub async fn remove_users(
        &self,
        access: &Access,
        users: &BTreeSet<String>,
    ) -> Result<RemovedUsers, Error> {
        let link = self.parts.links.to(access)?;
        let (client, host) = (link.kube(), link.host());
        let removing = async {
            let mut report = RemovedUsers::default();
            remove_from::<ClusterRoleBinding>(&client, host, users, &mut report).await?;
            remove_from::<RoleBinding>(&client, host, users, &mut report).await?;
            Ok(report)
        };
        in_time(host, self.parts.roles_limit, removing).await
    }
}

async fn remove_from<B: Binding>(
    client: &Client,
    host: &str,
    users: &BTreeSet<String>,
    report: &mut RemovedUsers,
) -> Result<(), Error> {
    let mut denied: Vec<(String, String)> = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let (mut bindings, _) = list(&B::all(client), ListParams::default(), host).await?;
        bindings.retain_mut(|binding| names_any(binding.subjects().as_deref(), users));
        let mut changed_meanwhile = false;
        for binding in bindings {
            let label = label(&binding);
            if denied.iter().any(|(known, _)| *known == label) {
                continue;
            }
            match without(client, host, users, binding).await {
                Ok(true) => drop(report.removed.insert(label)),
                Ok(false) => changed_meanwhile = true,
                Err(error) if is_denial(&error) => denied.push((label, error.to_string())),
                Err(error) => return Err(error),
            }
        }
        if !changed_meanwhile {
            report.denied.append(&mut denied);
            return Ok(());
        }
    }
    Err(Error::Unreadable { host: host.to_owned(), what: "its bindings change all the time" })
}

fn label<B: Binding>(binding: &B) -> String {
    let meta = binding.meta();
    match &meta.namespace {
        Some(namespace) => format!("{} {namespace}/{}", B::KIND, name(meta)),
        None => format!("{} {}", B::KIND, name(meta)),
    }
}

fn names(subject: &Subject, users: &BTreeSet<String>) -> bool {
    subject.kind == "User" && users.contains(&subject.name)
}

fn names_any(subjects: Option<&[Subject]>, users: &BTreeSet<String>) -> bool {
    subjects.unwrap_or_default().iter().any(|subject| names(subject, users))
}

/// Takes the users out of a binding; false when the binding was changed since it was read.
async fn without<B: Binding>(
    client: &Client,
    host: &str,
    users: &BTreeSet<String>,
    mut binding: B,
) -> Result<bool, Error> {
    let subjects = binding.subjects().get_or_insert_default();
    subjects.retain(|subject| !names(subject, users));
    let is_last = subjects.is_empty();
    let api = B::api(client, binding.meta());
    if is_last {
        return delete(&api, binding.meta(), host).await;
    }
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let name = name(binding.meta()).to_owned();
    match api.replace(&name, &params, &binding).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        outcome => outcome.map(|_| true).map_err(|error| told(host, error)),
    }
}

/// Whether the cluster answered that it does not allow the change, so that trying again is of no use.
fn is_denial(error: &Error) -> bool {
    matches!(error, Error::Refused { status, .. } if matches!(status.as_u16(), 400 | 403 | 405 | 422))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(kind: &str, name: &str) -> Subject {
        Subject { kind: kind.to_owned(), name: name.to_owned(), ..Subject::default() }
    }

    #[test]
    fn only_users_of_that_name_are_meant() {
        let users = BTreeSet::from(["user-abc".to_owned()]);
        for (subject, expected) in [
            (subject("User", "user-abc"), true),
            (subject("User", "user-abcd"), false),
            (subject("Group", "user-abc"), false),
            (subject("ServiceAccount", "user-abc"), false),
        ] {
            assert_eq!(names(&subject, &users), expected, "{subject:?}");
        }
    }
}
