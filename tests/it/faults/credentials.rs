//! Credentials that fail during provisioning: the message contains the remedy, and provisioning continues once it is applied.

use azure_sandbox::{Login, Operation, Outcome, Page};
use serde_json::{Value, json};

use super::{Database, Progress, TestCluster};
use crate::support::fault;

on_both_databases!(
    secret_expiring_during_creation_can_be_replaced,
    removal_waits_for_a_working_credential,
    credential_without_write_access_can_be_replaced,
    missing_role_is_named,
    credential_for_one_resource_group_suffices,
    credential_of_another_subscription_is_rejected,
);

/// Makes Entra reject a secret as expired.
fn expire(cluster: &TestCluster, secret: &str) {
    let description = "AADSTS7000222: The provided client secret keys for app are expired.";
    let body =
        json!({"error": "invalid_client", "error_description": description, "error_codes": [7_000_222]});
    let outcome = Outcome::Answer(Page::new(401, &body).unwrap());
    cluster.app.control.script_login(Login { client_id: None, secret: secret.to_owned(), outcome });
    cluster.app.control.forget_tokens();
}

async fn change_credential(cluster: &TestCluster, change: Value) {
    let path = format!("/v3/cloudcredentials/{}", cluster.credential);
    cluster.app.put(&path).json(&json!({"azurecredentialConfig": change})).send().await.expect(200);
}

async fn secret_expiring_during_creation_can_be_replaced(database: Database) {
    let cluster = TestCluster::create(database).await;
    cluster
        .wait_until("the PUT", |object| super::progress_of(object).message.contains("creating cluster"))
        .await;
    expire(&cluster, cluster.app.seed.client_secret);
    let object = cluster.wait_until("the error", |object| object["transitioning"] == "error").await;
    let Progress { state, message, .. } = super::progress_of(&object);
    assert_eq!(state, "provisioning");
    assert!(message.contains("AADSTS7000222"), "{message}");
    assert!(message.contains("az ad app credential reset"), "the remedy: {message}");
    cluster.advance_secs(900).await;
    assert_eq!(cluster.progress().await.state, "provisioning");
    change_credential(&cluster, json!({"clientSecret": cluster.app.seed.client_secret_2})).await;
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);
}

async fn removal_waits_for_a_working_credential(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    expire(&cluster, cluster.app.seed.client_secret);
    cluster.delete().await;
    cluster.advance_secs(900).await;
    let Progress { state, transitioning, message } = cluster.progress().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("removing", "error"));
    assert!(message.contains("AADSTS7000222"), "{message}");
    assert_eq!(cluster.sent_writes(), Vec::<String>::new());
    change_credential(&cluster, json!({"clientSecret": cluster.app.seed.client_secret_2})).await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), ["DELETE cluster"]);
}

async fn credential_without_write_access_can_be_replaced(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    let reader = cluster.app.store_credential_of("reader").await;
    cluster.update(json!({"azureCredentialSecret": reader, "tags": {"a": "b"}})).await;
    let object = cluster.wait_until("the error", |object| object["transitioning"] == "error").await;
    let Progress { state, message, .. } = super::progress_of(&object);
    assert_eq!(state, "updating");
    assert!(message.contains("failed to update tags for cluster [one]: AuthorizationFailed"), "{message}");
    assert!(
        message.contains("Microsoft.ContainerService/managedClusters/write"),
        "the permission: {message}"
    );
    assert!(message.contains("give it the role Contributor on /subscriptions/"), "the remedy: {message}");
    cluster.app.control.clear_requests();
    cluster.update(json!({"azureCredentialSecret": cluster.credential})).await;
    let object = cluster.wait_until_active().await;
    assert_eq!(object["aksStatus"]["upstreamSpec"]["tags"], json!({"a": "b"}));
    assert_eq!(cluster.sent_writes(), ["PATCH cluster"]);
}

async fn missing_role_is_named(database: Database) {
    let scope = "/subscriptions/s/resourcegroups/group-of-one";
    let denied = |action: &str| {
        let message = format!(
            "The client 'x' with object id 'y' does not have authorization to perform action '{action}' over scope \
             '{scope}' or the scope is invalid."
        );
        fault::error(403, "AuthorizationFailed", &message)
    };
    let cluster = TestCluster::create(database).await;
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
        cluster.app.control.clear_faults();
        cluster.add_fault(operation, method, denied(action));
        let object =
            cluster.wait_until(action, |object| super::progress_of(object).message.contains(action)).await;
        let Progress { state, transitioning, message } = super::progress_of(&object);
        assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"), "{action}");
        for part in ["AuthorizationFailed", action, role, scope, "az role assignment create"] {
            assert!(message.contains(part), "{part} is missing: {message}");
        }
    }
    cluster.app.control.clear_faults();
    cluster.wait_until_active().await;
    assert_eq!(cluster.accepted_writes(), ["PUT group", "PUT cluster"]);
    // The response to a HEAD request contains no message of Azure.
    let cluster = TestCluster::create(database).await;
    cluster.add_fault(Operation::ResourceGroup, "HEAD", fault::status(403));
    let object = cluster.wait_until("the error", |object| object["transitioning"] == "error").await;
    let message = super::progress_of(&object).message;
    assert!(message.contains("403") && message.contains("role"), "{message}");
    assert_eq!(cluster.sent_writes(), Vec::<String>::new(), "a group that cannot be read is not created");
    cluster.app.control.clear_faults();
    cluster.wait_until_active().await;
}

async fn credential_for_one_resource_group_suffices(database: Database) {
    let cluster = TestCluster::create(database).await;
    cluster.add_fault(Operation::Provider, "GET", fault::error(403, "AuthorizationFailed", "Not for you."));
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);
}

async fn credential_of_another_subscription_is_rejected(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    // A PUT that sets a credential for another subscription is rejected.
    let other_credential = cluster.app.store_credential_of("empty").await;
    let change = json!({"name": "one", "aksConfig": {"azureCredentialSecret": other_credential}});
    let rejected = cluster.app.put(&cluster.path).json(&change).send().await.expect(422);
    assert!(rejected.text().contains("for a subscription other than"), "{}", rejected.text());

    // A change of the credential's own subscription is rejected while a cluster uses the credential.
    let path = format!("/v3/cloudcredentials/{}", cluster.credential);
    let change = json!({"azurecredentialConfig": {"subscriptionId": "00000000-0000-4000-8000-000000000000"}});
    cluster.app.put(&path).json(&change).send().await.expect(422);
    // The secret may change, and another credential for the same subscription may be used.
    let reader = cluster.app.store_credential_of("reader").await;
    cluster.update(json!({"azureCredentialSecret": reader})).await;
    cluster.update(json!({"azureCredentialSecret": cluster.credential})).await;
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), ["DELETE cluster"]);
}
