//! Authenticated users of a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::value::FieldAccess as _;

/// The group of all authenticated users.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// The group whose members may do everything.
pub(crate) const MASTERS: &str = "system:masters";
/// Name and group of the administrator.
pub(crate) const ADMINISTRATOR: (&str, &str) = ("masterclient", MASTERS);

/// An application with a valid Entra token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntraCaller {
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    /// The object ID of its service principal, which is its name in Kubernetes.
    pub(crate) object_id: String,
    /// The application that the token is for.
    pub(crate) audience: String,
    /// Whether its Azure role permits everything inside clusters.
    pub(crate) has_role: bool,
}

/// Looks up the caller of an Entra token.
pub(crate) type EntraLookup = Arc<dyn Fn(&str) -> Option<EntraCaller> + Send + Sync>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
    /// For Entra callers: whether an Azure role permits everything.
    pub(crate) has_azure_role: Option<bool>,
}

impl User {
    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// The `userInfo` of a review.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            *info.field_mut("uid") = self.uid.clone().into();
        }
        if !self.extra.is_empty() {
            *info.field_mut("extra") = json!(self.extra);
        }
        info
    }

    pub(crate) fn administrator() -> Self {
        let (name, group) = ADMINISTRATOR;
        let groups = [group, AUTHENTICATED].map(str::to_owned).to_vec();
        Self { name: name.to_owned(), groups, ..Self::default() }
    }

    pub(crate) fn anonymous() -> Self {
        let groups = vec!["system:unauthenticated".to_owned()];
        Self { name: "system:anonymous".to_owned(), groups, ..Self::default() }
    }

    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let mut groups = service_account_groups(namespace);
        groups.push(AUTHENTICATED.to_owned());
        Self { name: service_account_name(namespace, name), uid: uid.to_owned(), groups, ..Self::default() }
    }

    pub(crate) fn entra(caller: &EntraCaller) -> Self {
        let extra = [("oid", &caller.object_id), ("appid", &caller.client_id), ("tid", &caller.tenant)]
            .map(|(key, value)| (key.to_owned(), vec![value.clone()]));
        Self {
            name: caller.object_id.clone(),
            uid: caller.object_id.clone(),
            groups: vec![AUTHENTICATED.to_owned()],
            extra: extra.into(),
            has_azure_role: Some(caller.has_role),
        }
    }
}

pub(crate) fn service_account_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

pub(crate) fn service_account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}
