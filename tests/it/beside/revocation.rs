//! Revocation of rights: a decision is valid for its TTL at most, and a changed Secret ends it for all callers.

use azure_sandbox::{Login, Outcome};
use serde_json::json;

use super::app::{BesideApp, DECISION_TTL, seed};
use super::rancher_state::{CREDENTIAL, OTHER, OWNER, RancherState, UNAUTHORIZED};
use crate::support::advance_time;

/// Makes the sandbox accept another secret of its account.
fn accept_secret(app: &BesideApp, secret: &str) {
    app.control.script_login(Login { client_id: None, secret: secret.to_owned(), outcome: Outcome::Token });
}

#[tokio::test]
async fn revoked_token_is_rejected_when_the_decision_ends() {
    let (app, state) = BesideApp::start().await;
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
    state.revoke(OWNER);
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200, "decided just before");
    advance_time(DECISION_TTL).await;
    let response = app.get_versions(CREDENTIAL, OWNER).send().await;
    assert_eq!((response.status.as_u16(), response.text().as_str()), (401, UNAUTHORIZED));
    assert_eq!(response.header("x-api-cattle-auth"), "false");
}

#[tokio::test]
async fn revoked_token_is_rejected_at_once_without_decision_cache() {
    let state = RancherState::new();
    let app = BesideApp::builder(state.serve().await).without_decision_cache().start().await;
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
    state.revoke(OWNER);
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 401);
}

#[tokio::test]
async fn use_does_not_extend_a_decision() {
    let (app, state) = BesideApp::start().await;
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
    advance_time(DECISION_TTL / 2).await;
    app.get_versions(CREDENTIAL, OWNER).send().await;
    state.revoke(OWNER);
    advance_time(DECISION_TTL / 2).await;
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 401);
}

#[tokio::test]
async fn removed_reader_is_denied_when_the_decision_ends() {
    let (app, state) = BesideApp::start().await;
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
    state.set_readers(CREDENTIAL, &[]);
    advance_time(DECISION_TTL).await;
    let response = app.get_versions(CREDENTIAL, OWNER).send().await;
    assert_eq!((response.status.as_u16(), response.error().as_str()), (422, "cloud credential not found"));
    assert_eq!(response.header("x-api-cattle-auth"), "true");
}

#[tokio::test]
async fn denials_are_not_cached() {
    let (app, state) = BesideApp::start().await;
    state.set_readers(CREDENTIAL, &[]);
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 422, "before the permission exists");
    state.set_readers(CREDENTIAL, &["owner"]);
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
    state.revoke(OTHER);
    assert_eq!(app.get_versions(CREDENTIAL, OTHER).send().await.status, 401);
    state.add_user("other", OTHER);
    assert_eq!(app.get_versions(CREDENTIAL, OTHER).send().await.status, 422);
}

#[tokio::test]
async fn deleted_credential_is_denied_when_the_decision_ends() {
    let (app, state) = BesideApp::start().await;
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
    state.delete_credential(CREDENTIAL);
    advance_time(DECISION_TTL).await;
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 422);
}

#[tokio::test]
async fn rotated_secret_is_used_and_lists_of_the_old_one_are_dropped() {
    let (app, state) = BesideApp::start().await;
    let old = seed().client_secret;
    accept_secret(&app, "rotated~secret");
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.header("x-norman-aks-cache"), "miss");
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.header("x-norman-aks-cache"), "hit");
    state.put_credential(CREDENTIAL, "rotated~secret", &["owner"]);
    advance_time(DECISION_TTL).await;
    let response = app.get_versions(CREDENTIAL, OWNER).send().await;
    assert_eq!(response.header("x-norman-aks-cache"), "miss", "lists are not shared between secrets");
    state.put_credential(CREDENTIAL, old, &["owner"]);
    advance_time(DECISION_TTL).await;
    let response = app.get_versions(CREDENTIAL, OWNER).send().await;
    assert_eq!(response.header("x-norman-aks-cache"), "miss", "the lists of the old secret are gone");
    assert_eq!(app.take_version_list_count(), 3);
}

#[tokio::test]
async fn changed_secret_ends_the_decisions_of_all_callers() {
    let (app, state) = BesideApp::start().await;
    state.set_readers(CREDENTIAL, &["owner", "other"]);
    accept_secret(&app, "rotated~secret");
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
    state.put_credential(CREDENTIAL, "rotated~secret", &["other"]);
    assert_eq!(app.get_versions(CREDENTIAL, OTHER).send().await.status, 200, "sees the new version");
    assert_eq!(
        app.get_versions(CREDENTIAL, OWNER).send().await.status,
        422,
        "although its own decision is recent"
    );
}

#[tokio::test]
async fn change_of_other_fields_keeps_the_lists() {
    let (app, state) = BesideApp::start().await;
    app.get_versions(CREDENTIAL, OWNER).send().await;
    state.put_credential(CREDENTIAL, seed().client_secret, &["owner"]);
    advance_time(DECISION_TTL).await;
    let response = app.get_versions(CREDENTIAL, OWNER).send().await;
    assert_eq!(response.header("x-norman-aks-cache"), "hit");
}

#[tokio::test]
async fn token_that_ends_during_an_action_gets_no_list() {
    let (app, state) = BesideApp::start().await;
    state.put_cluster(
        "c-aaaaa",
        &json!({"kubernetesVersion": "1.32.7", "resourceLocation": "eastus"}),
        &["owner"],
    );
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
    state.revoke(OWNER);
    let upgrades = format!("/meta/aksUpgrades?cloudCredentialId={CREDENTIAL}&clusterId=c-aaaaa");
    let response = app.get(&upgrades, OWNER).send().await;
    assert_eq!(response.status, 503, "the decision was correct at the time: {}", response.text());
    assert_eq!(app.get(&upgrades, OWNER).send().await.status, 401, "and is dropped");
}
