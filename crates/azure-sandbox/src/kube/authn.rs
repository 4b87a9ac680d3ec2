//! Who asks: by client certificate, by the administrator's token, by a service account's token, by a token of
//! Entra. Nobody is anonymous here, as in AKS.

use super::value::Keyed as _;
use std::collections::BTreeMap;

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use super::authority::ADMINISTRATOR;
use super::cluster::Cluster;
use super::entra::Caller;
use super::status::Refused;
use super::storage::State;
use super::tokens::{self, Account};

/// Everybody who was recognised belongs to it.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// Who belongs to it may do everything.
pub(crate) const MASTERS: &str = "system:masters";

/// Somebody who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
    /// For those who come from Entra: whether a role of Azure lets them do everything.
    pub(crate) azure_role: Option<bool>,
}

impl User {
    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// As reviews show it.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            *info.slot("uid") = self.uid.clone().into();
        }
        if !self.extra.is_empty() {
            *info.slot("extra") = json!(self.extra);
        }
        info
    }

    fn administrator() -> Self {
        let (name, group) = ADMINISTRATOR;
        let groups = [group, AUTHENTICATED].map(str::to_owned).to_vec();
        Self { name: name.to_owned(), groups, ..Self::default() }
    }

    fn account(account: &Account) -> Self {
        let Account { namespace, name, uid } = account;
        let mut groups = account_groups(namespace);
        groups.push(AUTHENTICATED.to_owned());
        Self { name: account_name(namespace, name), uid: uid.clone(), groups, ..Self::default() }
    }

    fn entra(caller: &Caller) -> Self {
        let extra = [("oid", &caller.object_id), ("appid", &caller.client_id), ("tid", &caller.tenant)]
            .map(|(key, value)| (key.to_owned(), vec![value.clone()]));
        Self {
            name: caller.object_id.clone(),
            uid: caller.object_id.clone(),
            groups: vec![AUTHENTICATED.to_owned()],
            extra: extra.into(),
            azure_role: Some(caller.role),
        }
    }
}

pub(crate) fn account_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

pub(crate) fn account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

/// What the client has shown: a chain of certificates whose first key it has, and a header.
pub(crate) struct Shown<'a> {
    pub(crate) certificates: &'a [CertificateDer<'static>],
    pub(crate) authorization: Option<&'a str>,
    /// What Entra knows about a token.
    pub(crate) entra: &'a dyn Fn(&str) -> Option<Caller>,
}

/// The one who asks; a certificate counts before a token.
pub(crate) fn user(cluster: &Cluster, shown: &Shown<'_>) -> Result<User, Refused> {
    let local = cluster.state().declared.local_accounts;
    if local && cluster.authority().is_administrator(shown.certificates) {
        return Ok(User::administrator());
    }
    let bearer = shown.authorization.and_then(|header| header.split_once(' '));
    let token =
        bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let token = token.filter(|token| !token.is_empty()).ok_or_else(Refused::unauthorized)?;
    by_token(cluster, token, shown.entra).ok_or_else(Refused::unauthorized)
}

/// The user of a bearer token.
fn by_token(cluster: &Cluster, token: &str, entra: &dyn Fn(&str) -> Option<Caller>) -> Option<User> {
    let state = cluster.state();
    if state.declared.local_accounts && token == cluster.authority().kept.token {
        return Some(User::administrator());
    }
    if let Some(account) = tokens::account(&cluster.authority(), &state, token) {
        return Some(User::account(&account));
    }
    by_entra(&state, entra(token)?)
}

/// Tokens of Entra count where it guards the cluster, from its tenant and for its application.
fn by_entra(state: &State, caller: Caller) -> Option<User> {
    let guard = state.declared.entra.as_ref()?;
    let ours = guard.tenant_id.eq_ignore_ascii_case(&caller.tenant)
        && guard.server_app_id.eq_ignore_ascii_case(&caller.audience);
    ours.then(|| User::entra(&caller))
}

#[cfg(test)]
mod tests {
    use super::super::Entra;
    use super::*;
    use crate::kube::Declared;

    fn caller(tenant: &str, audience: &str) -> Caller {
        Caller {
            tenant: tenant.to_owned(),
            client_id: "app".to_owned(),
            object_id: "object".to_owned(),
            audience: audience.to_owned(),
            role: true,
        }
    }

    #[test]
    fn tokens_of_entra_count_only_from_the_clusters_tenant_and_for_its_application() {
        let guarded = Some(Entra { server_app_id: "SERVER".to_owned(), tenant_id: "T".to_owned() });
        let state = |entra| State::new(Declared { entra, ..Declared::default() });
        assert_eq!(by_entra(&state(guarded.clone()), caller("t", "server")).unwrap().name, "object");
        assert!(by_entra(&state(guarded.clone()), caller("other", "server")).is_none());
        assert!(by_entra(&state(guarded), caller("t", "other")).is_none());
        assert!(by_entra(&state(None), caller("t", "server")).is_none());
    }
}
