//! Impersonation by `Impersonate-User` and related headers. The caller needs the right to impersonate the user, each group, the
//! UID and each extra value; the request is then authorized with the rights of the impersonated user only.

use percent_encoding::percent_decode_str;

use super::authz::{Attributes, authorize};
use super::request::KubeRequest;
use super::status::StatusError;
use super::storage::State;
use super::user::{AUTHENTICATED, User, service_account_groups};

const EXTRA_HEADER_PREFIX: &str = "impersonate-extra-";
const ANONYMOUS: &str = "system:anonymous";

/// The user with whose rights the request is authorized.
pub(crate) fn effective_user(state: &State, user: User, request: &KubeRequest) -> Result<User, StatusError> {
    let header_values = |name: &str| -> Vec<String> {
        let values = request.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.map(str::to_owned).collect()
    };
    let name = request.header("impersonate-user").unwrap_or_default().to_owned();
    let (groups, uid) =
        (header_values("impersonate-group"), request.header("impersonate-uid").unwrap_or_default());
    let extras: Vec<(String, Vec<String>)> = request
        .headers
        .keys()
        .filter_map(|key| {
            let name = key.as_str().strip_prefix(EXTRA_HEADER_PREFIX)?;
            Some((percent_decode_str(name).decode_utf8_lossy().into_owned(), header_values(key.as_str())))
        })
        .collect();
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extras.is_empty() {
            return Ok(user);
        }
        return Err(StatusError::internal("groups, extra or uid cannot be impersonated without a user"));
    }
    let check_right = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let attributes = Attributes {
            verb: "impersonate",
            group,
            resource,
            subresource,
            namespace,
            name,
            ..Attributes::default()
        };
        authorize(state, &user, &attributes)
    };
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, account)) => check_right("", "serviceaccounts", "", namespace, account)?,
        None => check_right("", "users", "", "", &name)?,
    }
    for group in &groups {
        check_right("", "groups", "", "", group)?;
    }
    for (key, value) in extras.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value))) {
        check_right("authentication.k8s.io", "userextras", key, "", value)?;
    }
    if !uid.is_empty() {
        check_right("authentication.k8s.io", "uids", "", "", uid)?;
    }
    let has_groups = !groups.is_empty();
    let mut groups = groups;
    if let Some((namespace, _)) = account.filter(|_| !has_groups) {
        groups.extend(service_account_groups(namespace));
    }
    if name != ANONYMOUS && !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    Ok(User { name, uid: uid.to_owned(), groups, extra: extras.into_iter().collect(), has_azure_role: None })
}
