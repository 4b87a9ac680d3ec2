//! Errors of Azure: the message is shown, a change can fix the cause, and the object can still be deleted.

use azure_sandbox::{Effect, ErrorResponse, Fault, FinalStatus, OperationKind, ScriptedOutcome};
use http::Method;
use serde_json::{Value, json};

use super::{ClusterSetup, lines, pool, pool_with};
use crate::support::condition;
use crate::support::fault;

#[tokio::test]
async fn quota_error_is_shown_and_a_smaller_cluster_created() {
    let setup = ClusterSetup::start_with_account("low-quota").await;
    let pools = |count: u32| json!([pool_with("system", "System", json!({"count": count}))]);
    let id = setup
        .post_with_advisory_review_and_settle(
            &setup.small_cluster_with(json!({"resourceGroup": "small", "nodePools": pools(5)})),
        )
        .await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(
        message.starts_with("error failed to create cluster: ErrCode_InsufficientVCPUQuota: "),
        "{message}"
    );
    assert!(
        message.ends_with("; ask Azure for more quota in the region, or use fewer or smaller nodes"),
        "{message}"
    );
    assert!(!message.contains(".;") && !message.contains(".."), "{message}");
    setup.expect_step(&id, "azure failed", "Provisioned=False").await;
    assert_eq!(condition(&setup.get(&id).await, "Provisioned")["message"], json!(message));
    let attempts = lines(&setup.take_writes()).len();
    assert!((2..12).contains(&attempts), "retried with increasing delays: {attempts}");
    let response = setup.update(&id, json!({"nodePools": pools(1)})).await;
    assert_eq!((response.status.as_u16(), &response.json()["state"]), (200, &json!("provisioning")));
    setup.settle_and_expect_active(&id).await;
}

#[tokio::test]
async fn policy_error_is_shown_and_fixed_by_a_tag() {
    let setup = ClusterSetup::start_with_account("policy").await;
    let id = setup.post_and_settle(&setup.small_cluster_with(json!({"resourceGroup": "ruled"}))).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(
        message.contains("RequestDisallowedByPolicy: Resource 'one' was disallowed by policy"),
        "{message}"
    );
    setup.update_and_settle(&id, json!({"tags": {"cost-center": "7"}})).await;
}

#[tokio::test]
async fn rejected_credential_fails_the_credentials_step() {
    let setup = ClusterSetup::start_with_account("expired-secret").await;
    let id = setup.post_with_advisory_review_and_settle(&setup.small_cluster()).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(message.contains("AADSTS7000222"), "{message}");
    setup.expect_step(&id, "credentials failed", "Provisioned=False").await;
    // A new secret is sufficient; the cluster need not be changed.
    let seed = &setup.app.seed;
    let name = setup.credential.split(':').next_back().unwrap();
    let corrected = json!({"name": "azure", "azurecredentialConfig": {
        "subscriptionId": seed.subscription_id, "tenantId": seed.tenant_id, "clientId": seed.client_id, "clientSecret": seed.client_secret,
    }});
    let response = setup
        .app
        .put(&format!("/v3/cloudcredentials/cattle-global-data:{name}"))
        .json(&corrected)
        .send()
        .await;
    assert_eq!(response.status.as_u16(), 200, "{}", response.text());
    setup.advance_refreshes(2).await;
    setup.settle_and_expect_active(&id).await;
}

#[tokio::test]
async fn missing_role_is_shown_and_the_object_can_be_removed() {
    let setup = ClusterSetup::start_with_account("reader").await;
    let id = setup.post_with_advisory_review_and_settle(&setup.small_cluster()).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(message.starts_with("error failed to create cluster: AuthorizationFailed: "), "{message}");
    setup.app.control.clear_requests();
    setup.delete_and_settle(&id).await;
    assert_eq!(lines(&setup.take_writes()), Vec::<String>::new());
}

#[tokio::test]
async fn failed_creation_keeps_its_message_and_is_not_repeated() {
    let setup = ClusterSetup::start().await;
    setup.app.control.add_outcome(fault::outcome(
        OperationKind::CreateCluster,
        "CreateVMSSAgentPoolFailed",
        "no room in this region",
    ));
    let id = setup.post_and_settle(&setup.small_cluster()).await;
    let expected_message =
        "error failed to create cluster: CreateVMSSAgentPoolFailed: no room in this region";
    assert_eq!(setup.expect_failure(&id, "provisioning").await, expected_message);
    setup.advance_refreshes(5).await;
    assert_eq!(
        setup.expect_failure(&id, "provisioning").await,
        expected_message,
        "still, after five refreshes"
    );
    assert_eq!(lines(&setup.take_writes()), ["PUT rancher/one"]);
    assert_eq!(setup.aks_cluster("one").await.unwrap()["properties"]["provisioningState"], "Failed");
    // A changed specification causes a new attempt.
    let response = setup.update(&id, json!({"tags": {"second": "try"}})).await;
    assert_eq!((response.status.as_u16(), &response.json()["state"]), (200, &json!("provisioning")));
    setup.settle_and_expect_active(&id).await;
    let kubeconfig = "POST rancher/one/listClusterAdminCredential";
    assert_eq!(lines(&setup.take_writes()), ["PUT rancher/one", kubeconfig]);
    assert_eq!(setup.aks_cluster("one").await.unwrap()["tags"]["second"], "try");
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn cluster_is_not_active_after_a_failed_change() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let scaled = |count: u32| json!({"nodePools": [pool("system", "System"), pool_with("work", "User", json!({"count": count}))]});
    for (operation, change, message, write) in [
        (
            OperationKind::ScalePool,
            scaled(3),
            "failed to update cluster [one]: node pool work: AllocationFailed: no room",
            "PUT rancher/one/work",
        ),
        (
            OperationKind::UpgradeCluster,
            json!({"kubernetesVersion": "1.33.3"}),
            "failed to update cluster: AllocationFailed: no room",
            "PUT rancher/one",
        ),
    ] {
        setup.app.control.clear_requests();
        setup.app.control.add_outcome(fault::outcome(operation, "AllocationFailed", "no room"));
        assert_eq!(setup.update(&id, change.clone()).await.status.as_u16(), 200);
        setup.app.settle().await;
        assert_eq!(setup.expect_failure(&id, "updating").await, message);
        let status = setup.status(&id).await;
        assert!(status.conditions.contains("Updated=False"), "{status:?}");
        assert_eq!(lines(&setup.take_writes()), [write]);
        // A repeated PUT of the same change causes a new attempt.
        assert_eq!(lines(&setup.writes_of_update(&id, change).await), [write]);
        assert_eq!(setup.aks_cluster("one").await.unwrap()["properties"]["provisioningState"], "Succeeded");
    }
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn rejected_change_can_be_reverted() {
    let setup = ClusterSetup::start_with_account("low-quota").await;
    let pools = |count: u32| json!([pool_with("system", "System", json!({"count": count}))]);
    let id = setup
        .create_active(&setup.small_cluster_with(json!({"resourceGroup": "small", "nodePools": pools(1)})))
        .await;
    let body = json!({"name": "one", "annotations": {"norman-aks.io/review": "advise"}, "aksConfig": {"nodePools": pools(9)}});
    let response = setup.app.put(&format!("/v3/clusters/{id}")).json(&body).send().await;
    assert_eq!(response.status.as_u16(), 200, "{}", response.text());
    setup.app.settle().await;
    let message = setup.expect_failure(&id, "updating").await;
    assert!(
        message
            .starts_with("failed to update cluster [one]: node pool system: ErrCode_InsufficientVCPUQuota: "),
        "{message}"
    );
    assert_eq!(lines(&setup.writes_of_update(&id, json!({"nodePools": pools(1)})).await), [""; 0]);
}

#[tokio::test]
async fn denied_resource_group_is_shown() {
    let setup = ClusterSetup::start_with_account("reader").await;
    let mut body = setup.small_cluster_with(json!({"resourceGroup": "forbidden"}));
    body["annotations"] = json!({"norman-aks.io/review": "advise"});
    let id = setup.post_and_settle(&body).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(
        message.starts_with("error creating resource group [forbidden] with message AuthorizationFailed: "),
        "{message}"
    );
    let object: Value = setup.get(&id).await;
    assert!(object["aksStatus"].get("upstreamSpec").is_none());
}

#[tokio::test]
async fn failed_pool_deletion_is_repeated() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    setup.app.control.add_outcome(fault::outcome(
        OperationKind::DeletePool,
        "PodDrainFailure",
        "a pod does not let go",
    ));
    assert_eq!(
        setup.update(&id, json!({"nodePools": [pool("system", "System")]})).await.status.as_u16(),
        200
    );
    let statuses = setup.record_statuses(&id, 60).await;
    let message = "failed to remove node pool: PodDrainFailure: a pod does not let go";
    assert!(
        statuses.iter().any(|status| status.transitioning == "error" && status.message == message),
        "{statuses:?}"
    );
    setup.expect_active(&id).await;
    assert_eq!(lines(&setup.take_writes()), ["DELETE rancher/one/work"; 2]);
    assert_eq!(setup.pool_in_azure("one", "work").await, None);
}

#[tokio::test]
async fn permanent_failure_is_retried_at_growing_intervals() {
    let (setup, id) = ClusterSetup::start_active().await;
    let permanent = ScriptedOutcome {
        times: None,
        ..fault::outcome(OperationKind::DeleteCluster, "DeleteFailed", "a lock is in the way")
    };
    setup.app.control.add_outcome(permanent);
    setup.delete(&id).await;
    setup.app.advance(std::time::Duration::from_mins(15)).await;
    let attempts = setup.take_writes().len();
    assert!((5..=9).contains(&attempts), "{attempts}");
    setup.app.control.clear_outcomes();
    setup.app.advance(std::time::Duration::from_mins(6)).await;
    assert!(setup.is_deleted(&id).await);
}

#[tokio::test]
async fn error_that_azure_recovers_from_is_not_a_failure() {
    let setup = ClusterSetup::start().await;
    let recovered = ScriptedOutcome {
        status: FinalStatus::Succeeded,
        ..fault::outcome(OperationKind::CreateCluster, "ReconcilePortalDNSError", "the name is late")
    };
    setup.app.control.add_outcome(recovered);
    let id = setup.post(&setup.small_cluster()).await;
    let statuses = setup.record_statuses(&id, 40).await;
    assert!(statuses.iter().all(|status| status.transitioning != "error"), "{statuses:?}");
    let message = "Azure: creating cluster one (Azure is retrying after: the name is late)";
    assert!(statuses.iter().any(|status| status.message == message), "{statuses:?}");
    setup.expect_active(&id).await;
}

/// Rejects PUT requests whose path contains `path` with a 403 in Azure's format.
fn deny_put(setup: &ClusterSetup, path: &str, code: &str, message: &str) {
    let fault = fault::for_path(path, fault::error(403, code, message));
    setup.app.control.add_fault(Fault { method: Some("PUT".to_owned()), ..fault });
}

const JOIN_ACTION: &str = "Microsoft.Network/virtualNetworks/subnets/join/action";

/// Azure's message for an application that may write clusters but may not use a linked resource, as `denial` says.
fn linked_denial(denial: &str) -> String {
    format!(
        "The client 'a' with object id 'b' has permission to perform action 'Microsoft.ContainerService/managedClusters/write' \
         on scope 'A'; however, {denial}"
    )
}

#[tokio::test]
async fn linked_authorization_error_names_the_missing_right() {
    let assign = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";
    for (missing, expected) in [
        (
            format!(
                "it does not have permission to perform action '{JOIN_ACTION}' on the linked scope(s) 'B' or the linked scope(s) are invalid."
            ),
            format!(
                "lacks the right {JOIN_ACTION} on B: give it the role Network Contributor there (az role assignment create --assignee a --role 'Network Contributor' --scope B)"
            ),
        ),
        (
            format!(
                "it does not have permission to perform action(s) '{assign}' on the linked scope(s) '/i d' (respectively) or the linked scope(s) are invalid."
            ),
            format!(
                "lacks the right {assign} on /i d: give it the role Managed Identity Operator there (az role assignment create --assignee a --role 'Managed Identity Operator' --scope '/i d')"
            ),
        ),
    ] {
        let setup = ClusterSetup::start().await;
        deny_put(&setup, "/managedClusters/one", "LinkedAuthorizationFailed", &linked_denial(&missing));
        let id = setup.post_and_settle(&setup.small_cluster()).await;
        let message = setup.expect_failure(&id, "provisioning").await;
        assert!(message.contains(&expected), "{message}");
        let (_, hint) = message.split_once("; the application").unwrap();
        assert!(!hint.contains("managedClusters/write") && !hint.contains("role Contributor"), "{hint}");
    }
}

#[tokio::test]
async fn linked_authorization_error_of_another_tenant_names_no_role() {
    let setup = ClusterSetup::start().await;
    let missing = "the current tenant 'T' is not authorized to access linked subscription 'S'.";
    deny_put(&setup, "/managedClusters/one", "LinkedAuthorizationFailed", &linked_denial(missing));
    let id = setup.post_and_settle(&setup.small_cluster()).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(message.contains("in the subscription S, which belongs to a tenant other than T"), "{message}");
    assert!(!message.contains("role") && !message.contains("Contributor"), "{message}");
}

#[tokio::test]
async fn failed_operation_has_a_hint() {
    let setup = ClusterSetup::start().await;
    let inner = format!(
        "Reconcile VNet failed. Details: Code=\"LinkedAuthorizationFailed\" Message=\"The client 'i' with object id 'o' has \
         permission to perform action 'Microsoft.Network/virtualNetworks/write' on scope 'A'; however, it does not have \
         permission to perform action '{JOIN_ACTION}' on the linked scope(s) 'B' or the linked scope(s) are invalid.\""
    );
    setup.app.control.add_outcome(fault::outcome(
        OperationKind::CreateCluster,
        "ReconcileVNetFailed",
        &inner,
    ));
    let id = setup.post_and_settle(&setup.small_cluster()).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(message.contains(&format!("; the identity i lacks the right {JOIN_ACTION} on B")), "{message}");
}

#[tokio::test]
async fn denied_group_creation_suggests_creating_it() {
    let setup = ClusterSetup::start().await;
    let scope = format!("/subscriptions/{}/resourcegroups/newgroup", setup.account.subscription_id);
    let message = format!(
        "The client 'a' with object id 'b' does not have authorization to perform action \
         'Microsoft.Resources/subscriptions/resourcegroups/write' over scope '{scope}' or the scope is invalid."
    );
    deny_put(&setup, "/newgroup?", "AuthorizationFailed", &message);
    let id = setup.post_and_settle(&setup.small_cluster_with(json!({"resourceGroup": "newgroup"}))).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(message.contains("create the resource group first"), "{message}");
    let subscription =
        format!("the role Contributor on the subscription /subscriptions/{}", setup.account.subscription_id);
    assert!(message.contains(&subscription), "{message}");
    assert!(
        !message.contains("role Contributor on /subscriptions"),
        "a role on a missing resource: {message}"
    );
    setup.app.control.clear_faults();
    setup
        .change_in_azure(Method::PUT, "/resourceGroups/newgroup", Some(&json!({"location": "eastus"})))
        .await;
    setup.advance_refreshes(2).await;
    setup.settle_and_expect_active(&id).await;
}

#[tokio::test]
async fn group_policy_suggests_creating_the_group() {
    let setup = ClusterSetup::start().await;
    let message = "Resource 'newgroup' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"Require a \
                   tag on resource groups\",\"id\":\"/x\"}}]'.";
    deny_put(&setup, "/newgroup?", "RequestDisallowedByPolicy", message);
    let id = setup.post_and_settle(&setup.small_cluster_with(json!({"resourceGroup": "newgroup"}))).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    let remedy = "a policy (Require a tag on resource groups) does not allow this server to create the resource group newgroup; \
                  create it yourself, with the tags that the policy requires; the server then uses it unchanged";
    assert!(message.ends_with(remedy), "{message}");
}

#[tokio::test]
async fn policy_error_of_a_cluster_has_a_remedy() {
    for (policy, expected) in [
        ("Require a tag on resources", "requires tags: set them in aksConfig.tags"),
        ("Allowed locations", "(Allowed locations) forbids this: change the specification"),
    ] {
        let setup = ClusterSetup::start().await;
        let message = format!(
            "Resource 'one' was disallowed by policy. Policy identifiers: '[{{\"policyAssignment\":{{\"name\":\"{policy}\"}}}}]'."
        );
        deny_put(&setup, "/managedClusters/one", "RequestDisallowedByPolicy", &message);
        let id = setup.post_and_settle(&setup.small_cluster()).await;
        let message = setup.expect_failure(&id, "provisioning").await;
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn proxy_page_is_not_a_response_to_a_write() {
    // The unit test `responses_of_proxies_are_recognized` covers all kinds of pages.
    for (status, content_type) in [(403, "text/html"), (200, "text/html")] {
        let setup = ClusterSetup::start().await;
        let page = ErrorResponse {
            status: Some(status),
            body: Some("<html><title>Access Denied</title></html>".to_owned()),
            headers: [("Content-Type".to_owned(), content_type.to_owned())].into(),
            ..ErrorResponse::default()
        };
        let fault = fault::for_path("/managedClusters/one", Effect::Status(page));
        setup.app.control.add_fault(Fault { method: Some("PUT".to_owned()), ..fault });
        let id = setup.post_and_settle(&setup.small_cluster()).await;
        let message = setup.expect_failure(&id, "provisioning").await;
        assert!(message.contains("this response is not from Azure ("), "{status}: {message}");
        assert!(message.contains("HTTPS_PROXY") && message.contains("SSL_CERT_FILE"), "{status}: {message}");
        assert!(!message.contains("role"), "{status}: {message}");
        assert_eq!(setup.aks_cluster("one").await, None, "{status}");
        setup.app.control.clear_faults();
        setup.advance_refreshes(2).await;
        setup.settle_and_expect_active(&id).await;
    }
}
