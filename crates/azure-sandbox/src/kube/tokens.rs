//! Tokens of service accounts: signed claims, as Kubernetes gives them out. A token is good as long as what it
//! is bound to exists.

use super::value::Keyed as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use rcgen::{PublicKeyData as _, SigningKey as _};
use rustls::SignatureScheme;
use serde_json::{Value, json};
use uuid::Uuid;

use super::authority::{Authority, provider};
use super::resources::{PODS, SECRETS, SERVICE_ACCOUNTS};
use super::storage::State;
use super::value::{Now, list, number, set, text};

/// Claims of tokens that lie in secrets begin with this.
const LEGACY: &str = "kubernetes.io/serviceaccount";

/// Whom a token speaks for.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// The id of the token, when it has one.
    pub(super) id: String,
    pub(super) audiences: Vec<String>,
}

/// A token with claims of its own: `header.claims.signature`.
fn signed(authority: &Authority, claims: &Value) -> String {
    let header = json!({"alg": "EdDSA", "kid": "sandbox", "typ": "JWT"});
    let body = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    // Signing with a key of this kind cannot fail.
    let signature = authority.signer.sign(body.as_bytes()).unwrap_or_default();
    format!("{body}.{}", BASE64.encode(signature))
}

/// The key with which everybody can check tokens, as a set of keys for the web.
pub(super) fn keys(authority: &Authority) -> Value {
    let key = BASE64.encode(authority.signer.der_bytes());
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "sandbox", "x": key}]})
}

/// The token that lies in a secret: without an end, good as long as the secret is there.
pub(super) fn of_secret(authority: &Authority, account: &Value, secret: &str) -> String {
    let (namespace, name) = (text(account, "/metadata/namespace"), text(account, "/metadata/name"));
    let mut claims = json!({"iss": LEGACY, "sub": subject(namespace, name)});
    *claims.slot(&format!("{LEGACY}/namespace")) = namespace.into();
    *claims.slot(&format!("{LEGACY}/secret.name")) = secret.into();
    *claims.slot(&format!("{LEGACY}/service-account.name")) = name.into();
    *claims.slot(&format!("{LEGACY}/service-account.uid")) = text(account, "/metadata/uid").into();
    signed(authority, &claims)
}

/// The token that a `TokenRequest` gets. `bound` is `pod` or `secret`, its name and its uid.
pub(super) fn requested(
    authority: &Authority,
    account: &Value,
    audiences: &[String],
    bound: Option<(&str, &str, &str)>,
    (from_ms, until_ms): (i64, i64),
    issuer: &str,
) -> String {
    let (namespace, name) = (text(account, "/metadata/namespace"), text(account, "/metadata/name"));
    let mut claims = json!({
        "aud": audiences,
        "exp": until_ms / 1_000,
        "iat": from_ms / 1_000,
        "nbf": from_ms / 1_000,
        "iss": issuer,
        "jti": Uuid::new_v4().to_string(),
        "sub": subject(namespace, name),
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": text(account, "/metadata/uid")},
        },
    });
    if let Some((kind, name, uid)) = bound {
        set(&mut claims, &["kubernetes.io", kind], json!({"name": name, "uid": uid}));
    }
    signed(authority, &claims)
}

fn subject(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// The claims of a token that this cluster signed.
fn claims(authority: &Authority, token: &str) -> Option<Value> {
    let (body, signature) = token.rsplit_once('.')?;
    let signature = BASE64.decode(signature).ok()?;
    let algorithms = provider().signature_verification_algorithms;
    let (_, algorithms) =
        algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::ED25519)?;
    let algorithm = algorithms.first()?;
    algorithm.verify_signature(authority.signer.der_bytes(), body.as_bytes(), &signature).ok()?;
    let (_, claims) = body.split_once('.')?;
    serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()
}

/// Whom the token speaks for now: `None` when it is not this cluster's, has ended, or what it is bound to is
/// gone or another one.
pub(super) fn account(authority: &Authority, state: &State, token: &str, now: &Now) -> Option<Account> {
    let claims = claims(authority, token)?;
    let legacy = |key: &str| claims.part(&format!("{LEGACY}/{key}")).as_str().unwrap_or_default();
    let (namespace, name, uid) = if claims.part("iss") == LEGACY {
        let (namespace, secret) = (legacy("namespace"), legacy("secret.name"));
        let kept = text(state.get(&SECRETS, namespace, secret)?, "/data/token");
        if base64::prelude::BASE64_STANDARD.decode(kept).ok()? != token.as_bytes() {
            return None;
        }
        (namespace, legacy("service-account.name"), legacy("service-account.uid"))
    } else {
        if number(&claims, "/exp")? * 1_000 <= now.ms {
            return None;
        }
        let bound = claims.part("kubernetes.io");
        let namespace = text(bound, "/namespace");
        for (kind, resource) in [("secret", &SECRETS), ("pod", &PODS)] {
            let Some(wanted) = bound.get(kind) else { continue };
            let found = state.get(resource, namespace, text(wanted, "/name"))?;
            if text(found, "/metadata/uid") != text(wanted, "/uid") {
                return None;
            }
        }
        (namespace, text(bound, "/serviceaccount/name"), text(bound, "/serviceaccount/uid"))
    };
    let found = state.get(&SERVICE_ACCOUNTS, namespace, name)?;
    (text(found, "/metadata/uid") == uid).then(|| Account {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        id: text(&claims, "/jti").to_owned(),
        audiences: list(&claims, "/aud").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Declared;
    use super::super::authority::Kept;
    use super::*;

    const HOST: &str = "a.hcp.eastus.azmk8s.io";

    fn authority() -> Authority {
        Authority::new(Kept::generate(HOST).unwrap(), HOST).unwrap()
    }

    fn now(ms: i64) -> Now {
        Now { ms, text: String::new() }
    }

    fn state() -> (State, Value) {
        let mut state = State::new(Declared::default());
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"namespace": "n", "name": "a", "uid": "1"}});
        let account = state.put(&SERVICE_ACCOUNTS, account);
        (state, (*account).clone())
    }

    #[test]
    fn a_requested_token_ends_and_dies_with_its_account() {
        let (authority, (mut state, owner)) = (authority(), state());
        let token = requested(&authority, &owner, &["x".to_owned()], None, (0, 60_000), "https://i");
        let found = account(&authority, &state, &token, &now(59_000)).unwrap();
        assert_eq!((&*found.namespace, &*found.name, &*found.uid), ("n", "a", "1"));
        assert_eq!(found.audiences, ["x"]);
        assert!(account(&authority, &state, &token, &now(60_000)).is_none(), "has ended");
        assert!(account(&super::tests::authority(), &state, &token, &now(0)).is_none(), "another cluster's");
        let forged = token.replace('.', ".e");
        assert!(account(&authority, &state, &forged, &now(0)).is_none());
        state.remove(&SERVICE_ACCOUNTS, "n", "a");
        assert!(account(&authority, &state, &token, &now(0)).is_none());
        let mut other = owner.clone();
        other["metadata"]["uid"] = "2".into();
        state.put(&SERVICE_ACCOUNTS, other);
        assert!(account(&authority, &state, &token, &now(0)).is_none(), "another account of that name");
    }

    #[test]
    fn a_secrets_token_is_good_as_long_as_the_secret_has_it() {
        let (authority, (mut state, owner)) = (authority(), state());
        let token = of_secret(&authority, &owner, "s");
        assert!(account(&authority, &state, &token, &now(0)).is_none(), "no secret yet");
        let encoded = base64::prelude::BASE64_STANDARD.encode(&token);
        state.put(&SECRETS, json!({"metadata": {"namespace": "n", "name": "s"}, "data": {"token": encoded}}));
        assert!(account(&authority, &state, &token, &now(i64::MAX)).is_some());
        state.put(&SECRETS, json!({"metadata": {"namespace": "n", "name": "s"}, "data": {"token": "eA=="}}));
        assert!(account(&authority, &state, &token, &now(0)).is_none());
    }
}
