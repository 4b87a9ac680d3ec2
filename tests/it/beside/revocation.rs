//! The end of rights: a decision is valid for its TTL at most, and a changed Secret ends it for everyone.

use azure_sandbox::{Login, Outcome};
use serde_json::json;

use super::app::{BesideApp, DECISION, jump, seed};
use super::world::{CREDENTIAL, OTHER, OWNER, UNAUTHORIZED, World};

/// Makes the sandbox accept another secret of its account.
fn accept(app: &BesideApp, secret: &str) {
    app.control.login(Login { client_id: None, secret: secret.to_owned(), outcome: Outcome::Token });
}

#[tokio::test]
async fn revoked_token_is_rejected_when_the_decision_ends() {
    let world = World::new();
    let app = BesideApp::in_world(&world).await;
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 200);
    world.revoke(OWNER);
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 200, "decided just before");
    jump(DECISION).await;
    let answer = app.versions(CREDENTIAL, OWNER).send().await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (401, UNAUTHORIZED));
    assert_eq!(answer.header("x-api-cattle-auth"), "false");
}

#[tokio::test]
async fn revoked_token_is_rejected_at_once_without_decisions() {
    let world = World::new();
    let app = BesideApp::beside(world.serve().await).always_asking().start().await;
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 200);
    world.revoke(OWNER);
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 401);
}

#[tokio::test]
async fn use_does_not_extend_a_decision() {
    let world = World::new();
    let app = BesideApp::in_world(&world).await;
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 200);
    jump(DECISION / 2).await;
    app.versions(CREDENTIAL, OWNER).send().await;
    world.revoke(OWNER);
    jump(DECISION / 2).await;
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 401);
}

#[tokio::test]
async fn right_that_was_taken_ends_with_the_decision() {
    let world = World::new();
    let app = BesideApp::in_world(&world).await;
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 200);
    world.set_readers(CREDENTIAL, &[]);
    jump(DECISION).await;
    let answer = app.versions(CREDENTIAL, OWNER).send().await;
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (422, "cloud credential not found"));
    assert_eq!(answer.header("x-api-cattle-auth"), "true");
}

#[tokio::test]
async fn denials_are_not_kept() {
    let world = World::new();
    let app = BesideApp::in_world(&world).await;
    world.set_readers(CREDENTIAL, &[]);
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 422, "before the permission exists");
    world.set_readers(CREDENTIAL, &["owner"]);
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 200);
    world.revoke(OTHER);
    assert_eq!(app.versions(CREDENTIAL, OTHER).send().await.status, 401);
    world.add_user("other", OTHER);
    assert_eq!(app.versions(CREDENTIAL, OTHER).send().await.status, 422);
}

#[tokio::test]
async fn deleted_credential_is_denied_when_the_decision_ends() {
    let world = World::new();
    let app = BesideApp::in_world(&world).await;
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 200);
    world.delete_credential(CREDENTIAL);
    jump(DECISION).await;
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 422);
}

#[tokio::test]
async fn rotated_secret_is_used_and_lists_of_the_old_one_are_dropped() {
    let world = World::new();
    let app = BesideApp::in_world(&world).await;
    let old = seed().client_secret;
    accept(&app, "rotated~secret");
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.header("x-norman-aks-cache"), "miss");
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.header("x-norman-aks-cache"), "hit");
    world.put_credential(CREDENTIAL, "rotated~secret", &["owner"]);
    jump(DECISION).await;
    let answer = app.versions(CREDENTIAL, OWNER).send().await;
    assert_eq!(answer.header("x-norman-aks-cache"), "miss", "another secret shares no list");
    world.put_credential(CREDENTIAL, old, &["owner"]);
    jump(DECISION).await;
    let answer = app.versions(CREDENTIAL, OWNER).send().await;
    assert_eq!(answer.header("x-norman-aks-cache"), "miss", "the lists of the old secret are gone");
    assert_eq!(app.lists(), 3);
}

#[tokio::test]
async fn changed_secret_ends_the_decisions_of_all_callers() {
    let world = World::new();
    let app = BesideApp::in_world(&world).await;
    world.set_readers(CREDENTIAL, &["owner", "other"]);
    accept(&app, "rotated~secret");
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 200);
    world.put_credential(CREDENTIAL, "rotated~secret", &["other"]);
    assert_eq!(app.versions(CREDENTIAL, OTHER).send().await.status, 200, "sees the new version");
    assert_eq!(
        app.versions(CREDENTIAL, OWNER).send().await.status,
        422,
        "although its own decision is recent"
    );
}

#[tokio::test]
async fn change_of_other_fields_keeps_the_lists() {
    let world = World::new();
    let app = BesideApp::in_world(&world).await;
    app.versions(CREDENTIAL, OWNER).send().await;
    world.put_credential(CREDENTIAL, seed().client_secret, &["owner"]);
    jump(DECISION).await;
    let answer = app.versions(CREDENTIAL, OWNER).send().await;
    assert_eq!(answer.header("x-norman-aks-cache"), "hit");
}

#[tokio::test]
async fn token_that_ends_during_an_action_is_not_answered_with_a_list() {
    let world = World::new();
    let app = BesideApp::in_world(&world).await;
    world.put_cluster(
        "c-aaaaa",
        &json!({"kubernetesVersion": "1.32.7", "resourceLocation": "eastus"}),
        &["owner"],
    );
    assert_eq!(app.versions(CREDENTIAL, OWNER).send().await.status, 200);
    world.revoke(OWNER);
    let upgrades = format!("/meta/aksUpgrades?cloudCredentialId={CREDENTIAL}&clusterId=c-aaaaa");
    let answer = app.get(&upgrades, OWNER).send().await;
    assert_eq!(answer.status, 503, "the decision was correct at the time: {}", answer.text());
    assert_eq!(app.get(&upgrades, OWNER).send().await.status, 401, "and is dropped");
}
