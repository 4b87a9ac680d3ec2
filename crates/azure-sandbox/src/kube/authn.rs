//! Authentication by client certificate, the administrator's token, tokens of service accounts, and Entra tokens. As in
//! AKS, anonymous requests are rejected.

use rustls::pki_types::CertificateDer;

use super::cluster::Cluster;
use super::status::StatusError;
use super::storage::State;
use super::tokens;
use super::user::{EntraCaller, User};

/// The credentials of a request.
pub(crate) struct Credentials<'a> {
    /// The client's certificate chain; TLS has verified that the client has the key of the first certificate.
    pub(crate) certificates: &'a [CertificateDer<'static>],
    /// The `Authorization` header.
    pub(crate) authorization: Option<&'a str>,
}

/// The user of a request; a certificate takes precedence over a token.
pub(crate) fn authenticate(
    cluster: &Cluster,
    credentials: &Credentials<'_>,
    entra_lookup: &dyn Fn(&str) -> Option<EntraCaller>,
) -> Result<User, StatusError> {
    let has_local_accounts = cluster.state().declared.local_accounts;
    if has_local_accounts && cluster.authority().is_administrator(credentials.certificates) {
        return Ok(User::administrator());
    }
    let bearer = credentials.authorization.and_then(|header| header.split_once(' '));
    let token =
        bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let user =
        token.filter(|token| !token.is_empty()).and_then(|token| user_by_token(cluster, token, entra_lookup));
    user.ok_or_else(StatusError::unauthorized)
}

fn user_by_token(
    cluster: &Cluster,
    token: &str,
    entra_lookup: &dyn Fn(&str) -> Option<EntraCaller>,
) -> Option<User> {
    let authority = cluster.authority();
    let service_account = {
        let state = cluster.state();
        if state.declared.local_accounts && token == authority.stored.token {
            return Some(User::administrator());
        }
        tokens::user(&authority, &state, token)
    };
    // Entra's state is locked before the state of clusters, never after it.
    service_account
        .or_else(|| entra_lookup(token).and_then(|caller| user_by_entra(&cluster.state(), &caller)))
}

/// The user of a command that Azure runs inside the cluster: in an Entra-enabled cluster, the user of the token, or without a
/// token the administrator if local accounts are enabled, and otherwise anonymous; in other clusters, the administrator.
pub(crate) fn user_of_command(
    cluster: &Cluster,
    token: &str,
    entra_lookup: &dyn Fn(&str) -> Option<EntraCaller>,
) -> Result<User, StatusError> {
    let (has_entra, has_local_accounts) = {
        let state = cluster.state();
        (state.declared.entra.is_some(), state.declared.local_accounts)
    };
    if has_entra && !token.is_empty() {
        let caller = entra_lookup(token).ok_or_else(StatusError::unauthorized)?;
        return user_by_entra(&cluster.state(), &caller).ok_or_else(StatusError::unauthorized);
    }
    Ok(if has_local_accounts || !has_entra { User::administrator() } else { User::anonymous() })
}

/// The user of an Entra token, which must be from the cluster's tenant and for its application.
fn user_by_entra(state: &State, caller: &EntraCaller) -> Option<User> {
    let entra = state.declared.entra.as_ref()?;
    let matches = entra.tenant_id.eq_ignore_ascii_case(&caller.tenant)
        && entra.server_app_id.eq_ignore_ascii_case(&caller.audience);
    matches.then(|| User::entra(caller))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::declared::{Declared, Entra};

    #[test]
    fn entra_tokens_need_the_tenant_and_application_of_the_cluster() {
        let entra = Some(Entra { server_app_id: "SERVER".to_owned(), tenant_id: "T".to_owned() });
        for (entra, tenant, audience, expected) in [
            (entra.clone(), "t", "server", true),
            (entra.clone(), "other", "server", false),
            (entra, "t", "other", false),
            (None, "t", "server", false),
        ] {
            let caller = EntraCaller {
                tenant: tenant.to_owned(),
                client_id: "app".to_owned(),
                object_id: "object".to_owned(),
                audience: audience.to_owned(),
                has_role: true,
            };
            let user = user_by_entra(&State::new(Declared { entra, ..Declared::default() }), &caller);
            assert_eq!(user.is_some_and(|user| user.name == "object"), expected, "{tenant} {audience}");
        }
    }
}
