//! The controllers: [`reconcile`] runs within each change, [`advance`] as time passes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::admit::{ACCOUNT_NAME_ANNOTATION, TOKEN_SECRET_TYPE};
use super::authority::Authority;
use super::resources::{CONFIG_MAPS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS};
use super::runtime::ImageBehavior;
use super::storage::State;
use super::value::{Now, at, list, set, text, texts};
use super::{delete, deployments, pods, rules, tokens};

/// The maximum number of rounds of the controllers, more than they need.
const MAX_ROUNDS: usize = 24;
const ACCOUNT_UID_ANNOTATION: &str = "kubernetes.io/service-account.uid";
const ROOT_CA_CONFIG_MAP: &str = "kube-root-ca.crt";

/// Runs the controllers until they change nothing more.
pub(crate) fn reconcile(state: &mut State, authority: &Authority, now: &Now) {
    for _ in 0..MAX_ROUNDS {
        let before = state.revision;
        rules::aggregate(state);
        reconcile_namespaces(state, authority, now);
        reconcile_token_secrets(state, authority);
        delete::collect_garbage(state, now);
        deployments::reconcile(state, now);
        pods::schedule(state, now);
        if state.revision == before {
            return;
        }
    }
}

/// Advances time by one step: pods start and stop, and namespaces that are being deleted are emptied.
pub(crate) fn advance(state: &mut State, image_behavior: &dyn Fn(&str) -> ImageBehavior, now: &Now) {
    pods::advance(state, image_behavior, now);
    for namespace in state.all(&NAMESPACES) {
        if pods::is_terminating(&namespace) {
            delete_content(state, &namespace, now);
        }
    }
}

/// Deletes the objects in a namespace, or the namespace if no objects are left.
fn delete_content(state: &mut State, namespace: &Value, now: &Now) {
    let name = text(namespace, "/metadata/name");
    let content = state.objects_in(name);
    for (resource, object) in &content {
        delete::start_deletion(state, resource, (name, text(object, "/metadata/name")), Some(0), now);
    }
    if content.is_empty() && texts(namespace, "/spec/finalizers").eq(["kubernetes"]) {
        let mut finalized = namespace.clone();
        super::value::remove(&mut finalized, "/spec", "finalizers");
        let finalized = state.put(&NAMESPACES, finalized);
        delete::complete_deletion(state, &NAMESPACES, &finalized);
    }
}

/// Creates the default service account and the config map with the CA certificate in every namespace.
fn reconcile_namespaces(state: &mut State, authority: &Authority, now: &Now) {
    for namespace in state.all(&NAMESPACES).into_iter().filter(|namespace| !pods::is_terminating(namespace)) {
        let name = text(&namespace, "/metadata/name");
        if state.get(&SERVICE_ACCOUNTS, name, "default").is_none() {
            state.put(&SERVICE_ACCOUNTS, SERVICE_ACCOUNTS.new_object(name, "default", now));
        }
        let existing = state.get(&CONFIG_MAPS, name, ROOT_CA_CONFIG_MAP);
        let certificate = authority.stored.certificate.as_str();
        if existing.is_none_or(|existing| at(existing, &["data", "ca.crt"]) != certificate) {
            let mut root_ca = existing.map_or_else(
                || CONFIG_MAPS.new_object(name, ROOT_CA_CONFIG_MAP, now),
                |existing| (**existing).clone(),
            );
            set(&mut root_ca, &["data", "ca.crt"], certificate);
            state.put(&CONFIG_MAPS, root_ca);
        }
    }
}

/// Issues tokens for the token secrets of service accounts, and deletes the secrets of deleted accounts.
fn reconcile_token_secrets(state: &mut State, authority: &Authority) {
    for secret in state.all(&SECRETS).into_iter().filter(|secret| text(secret, "/type") == TOKEN_SECRET_TYPE)
    {
        let (namespace, name) = (text(&secret, "/metadata/namespace"), text(&secret, "/metadata/name"));
        let annotations = at(&secret, &["metadata", "annotations"]);
        let account = annotations[ACCOUNT_NAME_ANNOTATION].as_str().unwrap_or_default();
        let account = state.get(&SERVICE_ACCOUNTS, namespace, account);
        let uid = account.map(|account| text(account, "/metadata/uid")).unwrap_or_default();
        let annotated_uid = annotations[ACCOUNT_UID_ANNOTATION].as_str().unwrap_or(uid);
        let Some(account) = account.filter(|_| annotated_uid == uid) else {
            if list(&secret, "/metadata/finalizers").is_empty() {
                state.remove(&SECRETS, namespace, name);
            }
            continue;
        };
        let is_complete =
            ["token", "ca.crt", "namespace"].iter().all(|key| !at(&secret, &["data", *key]).is_null());
        if is_complete && annotations[ACCOUNT_UID_ANNOTATION] == uid {
            continue;
        }
        let mut secret = (*secret).clone();
        let token = tokens::issue_for_secret(authority, account, text(&secret, "/metadata/name"));
        set(&mut secret, &["metadata", "annotations", ACCOUNT_UID_ANNOTATION], uid);
        let certificate = authority.stored.certificate.as_str();
        let namespace = text(account, "/metadata/namespace");
        for (key, value) in [("token", token.as_str()), ("ca.crt", certificate), ("namespace", namespace)] {
            set(&mut secret, &["data", key], BASE64_STANDARD.encode(value));
        }
        state.put(&SECRETS, secret);
    }
}

/// Removes the tokens from the token secrets of service accounts, so that new ones are issued.
pub(crate) fn clear_tokens(state: &mut State) {
    for secret in state.all(&SECRETS).into_iter().filter(|secret| text(secret, "/type") == TOKEN_SECRET_TYPE)
    {
        let mut secret = (*secret).clone();
        super::value::remove(&mut secret, "", "data");
        state.put(&SECRETS, secret);
    }
}
