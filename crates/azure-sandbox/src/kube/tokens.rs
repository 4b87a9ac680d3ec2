//! Service account tokens in secrets: signed claims, as in Kubernetes. A token is valid while its secret and account
//! exist.

use super::value::FieldAccess as _;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64};
use rcgen::{PublicKeyData as _, SigningKey as _};
use rustls::SignatureScheme;
use serde_json::{Value, json};

use super::authority::Authority;
use super::resources::{SECRETS, SERVICE_ACCOUNTS};
use super::storage::State;
use super::user::{User, service_account_name};
use super::value::text;

/// The issuer of the tokens, and the prefix of their claims.
const ISSUER: &str = "kubernetes.io/serviceaccount";

/// A signed token: `header.claims.signature`.
fn sign(authority: &Authority, claims: &Value) -> String {
    let header = json!({"alg": "EdDSA", "kid": "sandbox", "typ": "JWT"});
    let body = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    // Signing with a key of this kind cannot fail.
    let signature = authority.signer.sign(body.as_bytes()).unwrap_or_default();
    format!("{body}.{}", BASE64.encode(signature))
}

/// Issues a service account's token for a secret. The token does not expire.
pub(crate) fn issue_for_secret(authority: &Authority, account: &Value, secret: &str) -> String {
    let (namespace, name) = (text(account, "/metadata/namespace"), text(account, "/metadata/name"));
    let mut claims = json!({"iss": ISSUER, "sub": service_account_name(namespace, name)});
    *claims.field_mut(&format!("{ISSUER}/namespace")) = namespace.into();
    *claims.field_mut(&format!("{ISSUER}/secret.name")) = secret.into();
    *claims.field_mut(&format!("{ISSUER}/service-account.name")) = name.into();
    *claims.field_mut(&format!("{ISSUER}/service-account.uid")) = text(account, "/metadata/uid").into();
    sign(authority, &claims)
}

/// The claims of a token; `None` if this cluster did not sign it.
fn verify(authority: &Authority, token: &str) -> Option<Value> {
    let (body, signature) = token.rsplit_once('.')?;
    let signature = BASE64.decode(signature).ok()?;
    let algorithms = serve::crypto_provider().signature_verification_algorithms;
    let (_, algorithms) =
        algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::ED25519)?;
    let algorithm = algorithms.first()?;
    algorithm.verify_signature(authority.signer.der_bytes(), body.as_bytes(), &signature).ok()?;
    let (_, claims) = body.split_once('.')?;
    serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()
}

/// The user of a token; `None` if this cluster did not sign it, or its secret or account was deleted or replaced.
pub(crate) fn user(authority: &Authority, state: &State, token: &str) -> Option<User> {
    let claims = verify(authority, token)?;
    let claim = |key: &str| claims.field(&format!("{ISSUER}/{key}")).as_str().unwrap_or_default();
    let namespace = claim("namespace");
    let stored = text(state.get(&SECRETS, namespace, claim("secret.name"))?, "/data/token");
    if BASE64_STANDARD.decode(stored).ok()? != token.as_bytes() {
        return None;
    }
    let (name, uid) = (claim("service-account.name"), claim("service-account.uid"));
    let account = state.get(&SERVICE_ACCOUNTS, namespace, name)?;
    (text(account, "/metadata/uid") == uid).then(|| User::service_account(namespace, name, uid))
}

#[cfg(test)]
mod tests {
    use super::super::authority::StoredAuthority;
    use super::*;
    use crate::kube::declared::Declared;

    const HOST: &str = "a.hcp.eastus.azmk8s.io";

    fn authority() -> Authority {
        Authority::new(StoredAuthority::generate(HOST).unwrap(), HOST).unwrap()
    }

    fn state() -> (State, Value) {
        let mut state = State::new(Declared::default());
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"namespace": "n", "name": "a", "uid": "1"}});
        let account = state.put(&SERVICE_ACCOUNTS, account);
        (state, (*account).clone())
    }

    #[test]
    fn token_is_valid_while_its_secret_and_account_exist() {
        let (authority, (mut state, service_account)) = (authority(), state());
        let token = issue_for_secret(&authority, &service_account, "s");
        let secret = |token: &str| json!({"metadata": {"namespace": "n", "name": "s"}, "data": {"token": BASE64_STANDARD.encode(token)}});
        assert!(user(&authority, &state, &token).is_none(), "no secret yet");
        state.put(&SECRETS, secret("another"));
        assert!(user(&authority, &state, &token).is_none(), "another token in the secret");
        state.put(&SECRETS, secret(&token));
        let account = user(&authority, &state, &token).unwrap();
        assert_eq!((&*account.name, &*account.uid), ("system:serviceaccount:n:a", "1"));
        assert!(user(&self::authority(), &state, &token).is_none(), "another cluster's token");
        let mut recreated = service_account.clone();
        recreated["metadata"]["uid"] = "2".into();
        state.put(&SERVICE_ACCOUNTS, recreated);
        assert!(user(&authority, &state, &token).is_none(), "another account with this name");
        state.remove(&SERVICE_ACCOUNTS, "n", "a");
        assert!(user(&authority, &state, &token).is_none());
    }
}
