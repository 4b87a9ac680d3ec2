//! Credentials that fail during provisioning: the message contains the remedy, and provisioning continues after it.

use azure_sandbox::{Effect, Login, Operation, Outcome, Page, Refusal};
use serde_json::{Value, json};

use super::{Base, Stage, refusal};

on_both!(
    secret_expiring_during_creation_can_be_replaced,
    removal_waits_for_a_working_credential,
    credential_can_be_replaced,
    missing_role_is_named,
    credential_for_one_resource_group_suffices,
    credential_of_another_subscription_is_rejected,
);

/// Makes a secret expire.
fn expire(scene: &Stage, secret: &str) {
    let description = "AADSTS7000222: The provided client secret keys for app are expired.";
    let body =
        json!({"error": "invalid_client", "error_description": description, "error_codes": [7_000_222]});
    let outcome = Outcome::Answer(Page::new(401, &body).unwrap());
    scene.app.control.login(Login { client_id: None, secret: secret.to_owned(), outcome });
    scene.app.control.forget_tokens();
}

async fn change_credential(scene: &Stage, change: Value) {
    let path = format!("/v3/cloudcredentials/{}", scene.credential);
    let answer = scene.app.put(&path).json(&json!({"azurecredentialConfig": change})).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn secret_expiring_during_creation_can_be_replaced(base: Base) {
    let scene = Stage::set(base).await;
    scene.until("the PUT", |cluster| super::told(cluster).2.contains("is being made")).await;
    expire(&scene, scene.app.seed.client_secret);
    let cluster = scene.until("the error", |cluster| cluster["transitioning"] == "error").await;
    let (state, _, message) = super::told(&cluster);
    assert_eq!(state, "provisioning");
    assert!(message.contains("AADSTS7000222"), "{message}");
    assert!(message.contains("az ad app credential reset"), "the remedy: {message}");
    scene.pass(900).await;
    assert_eq!(scene.told().await.0, "provisioning");
    change_credential(&scene, json!({"clientSecret": scene.app.seed.client_secret_2})).await;
    scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster"]);
}

async fn removal_waits_for_a_working_credential(base: Base) {
    let scene = Stage::active(base).await;
    expire(&scene, scene.app.seed.client_secret);
    scene.delete().await;
    scene.pass(900).await;
    let (state, transitioning, message) = scene.told().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("removing", "error"));
    assert!(message.contains("AADSTS7000222"), "{message}");
    assert_eq!(scene.sent(), Vec::<String>::new());
    change_credential(&scene, json!({"clientSecret": scene.app.seed.client_secret_2})).await;
    scene.is_gone().await;
    assert_eq!(scene.sent(), ["DELETE cluster"]);
}

/// Stores the credential of another account; returns its ID.
async fn stored(scene: &Stage, account: &str) -> String {
    let accounts = scene.app.control.accounts();
    let account = accounts.iter().find(|known| known.name == account).unwrap();
    let body = json!({"name": account.name, "azurecredentialConfig": {
        "subscriptionId": account.subscription_id, "tenantId": account.tenant_id, "clientId": account.client_id,
        "clientSecret": account.secrets[0]}});
    let answer = scene.app.post("/v3/cloudcredentials").json(&body).send().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn credential_can_be_replaced(base: Base) {
    let scene = Stage::active(base).await;
    let reader = stored(&scene, "reader").await;
    scene.put(json!({"azureCredentialSecret": reader, "tags": {"a": "b"}})).await;
    let cluster = scene.until("the error", |cluster| cluster["transitioning"] == "error").await;
    let (state, _, message) = super::told(&cluster);
    assert_eq!(state, "updating");
    assert!(message.contains("failed to update tags for cluster [one]: AuthorizationFailed"), "{message}");
    assert!(
        message.contains("Microsoft.ContainerService/managedClusters/write"),
        "the permission: {message}"
    );
    assert!(message.contains("give it the role Contributor on /subscriptions/"), "the remedy: {message}");
    scene.app.control.clear_requests();
    scene.put(json!({"azureCredentialSecret": scene.credential})).await;
    let cluster = scene.becomes_active().await;
    assert_eq!(cluster["aksStatus"]["upstreamSpec"]["tags"], json!({"a": "b"}));
    assert_eq!(scene.sent(), ["PATCH cluster"]);
}

async fn missing_role_is_named(base: Base) {
    let scope = "/subscriptions/s/resourcegroups/group-of-one";
    let denied = |action: &str| {
        let words = format!(
            "The client 'x' with object id 'y' does not have authorization to perform action '{action}' over scope \
             '{scope}' or the scope is invalid."
        );
        refusal(403, "AuthorizationFailed", &words)
    };
    let scene = Stage::set(base).await;
    for (operation, method, action, role) in [
        (Operation::ManagedCluster, "GET", "Microsoft.ContainerService/managedClusters/read", "Reader"),
        (
            Operation::ResourceGroup,
            "PUT",
            "Microsoft.Resources/subscriptions/resourcegroups/write",
            "Contributor",
        ),
        (Operation::ManagedCluster, "PUT", "Microsoft.ContainerService/managedClusters/write", "Contributor"),
    ] {
        scene.app.control.clear_faults();
        scene.fault(operation, method, denied(action));
        let cluster = scene.until(action, |cluster| super::told(cluster).2.contains(action)).await;
        let (state, transitioning, message) = super::told(&cluster);
        assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"), "{action}");
        for part in ["AuthorizationFailed", action, role, scope, "az role assignment create"] {
            assert!(message.contains(part), "{part} is missing: {message}");
        }
    }
    scene.app.control.clear_faults();
    scene.becomes_active().await;
    assert_eq!(scene.taken(), ["PUT group", "PUT cluster"]);
    // The response to a HEAD request contains no message of Azure.
    let scene = Stage::set(base).await;
    let without = Refusal { status: Some(403), ..Refusal::default() };
    scene.fault(Operation::ResourceGroup, "HEAD", Effect::Status(without));
    let cluster = scene.until("the error", |cluster| cluster["transitioning"] == "error").await;
    let (_, _, message) = super::told(&cluster);
    assert!(message.contains("403") && message.contains("role"), "{message}");
    assert_eq!(scene.sent(), Vec::<String>::new(), "a group that cannot be read is not created");
    scene.app.control.clear_faults();
    scene.becomes_active().await;
}

async fn credential_for_one_resource_group_suffices(base: Base) {
    let scene = Stage::set(base).await;
    scene.fault(Operation::Provider, "GET", refusal(403, "AuthorizationFailed", "Not for you."));
    scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster"]);
}

async fn credential_of_another_subscription_is_rejected(base: Base) {
    let scene = Stage::active(base).await;
    // A credential for another subscription is rejected immediately.
    let elsewhere = stored(&scene, "empty").await;
    let change = json!({"name": "one", "aksConfig": {"azureCredentialSecret": elsewhere}});
    let refused = scene.app.put(&scene.path).json(&change).send().await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("another subscription"), "{}", refused.text());

    // Moving the credential itself to another subscription is rejected while it is used.
    let path = format!("/v3/cloudcredentials/{}", scene.credential);
    let change = json!({"azurecredentialConfig": {"subscriptionId": "00000000-0000-4000-8000-000000000000"}});
    let refused = scene.app.put(&path).json(&change).send().await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    // The secret may change, and another credential for the same subscription may be used.
    let reader = stored(&scene, "reader").await;
    scene.put(json!({"azureCredentialSecret": reader})).await;
    scene.put(json!({"azureCredentialSecret": scene.credential})).await;
    scene.delete().await;
    scene.is_gone().await;
    assert_eq!(scene.sent(), ["DELETE cluster"]);
}
