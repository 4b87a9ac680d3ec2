//! Azure says no: its words are shown, a change mends it, and a removal works.

use azure_sandbox::{FinalStatus, OperationKind, ScriptedOutcome};
use http::Method;
use serde_json::{Value, json};

use super::{Case, Frame, lines, pool, pool_with};

fn fails(deed: OperationKind, code: &str, message: &str) -> ScriptedOutcome {
    ScriptedOutcome {
        kind: Some(deed),
        times: Some(1),
        code: code.to_owned(),
        message: message.to_owned(),
        ..ScriptedOutcome::default()
    }
}

#[tokio::test]
async fn a_quota_is_told_in_azures_words_and_a_smaller_cluster_is_made() {
    let case = Case::start_as("low-quota").await;
    let pools = |count: u32| json!([pool_with("system", "System", json!({"count": count}))]);
    let id = case.post_advised(&case.with(json!({"resourceGroup": "small", "nodePools": pools(5)}))).await;
    case.app.settle().await;
    let message = case.trouble(&id, "provisioning").await;
    assert!(
        message.starts_with("error failed to create cluster: ErrCode_InsufficientVCPUQuota: "),
        "{message}"
    );
    assert!(
        message.ends_with("; ask Azure for more quota in the region, or use fewer or smaller nodes"),
        "{message}"
    );
    assert!(!message.contains(".;") && !message.contains(".."), "{message}");
    let frame = case.frame(&id).await;
    assert_eq!((&*frame.step, &*frame.conditions), ("azure failed", "Provisioned=False"));
    let shown = case.get(&id).await;
    let provisioned =
        shown["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Provisioned").unwrap();
    assert_eq!(provisioned["message"], json!(message));
    let attempts = lines(&case.writes()).len();
    assert!((2..12).contains(&attempts), "tried again with growing pauses: {attempts}");
    let answer = case.put(&id, json!({"nodePools": pools(1)})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (200, &json!("provisioning")));
    case.app.settle().await;
    case.expect_active(&id).await;
}

#[tokio::test]
async fn a_policy_is_told_in_azures_words_and_a_tag_mends_it() {
    let case = Case::start_as("policy").await;
    let id = case.post(&case.with(json!({"resourceGroup": "ruled"}))).await;
    case.app.settle().await;
    let message = case.trouble(&id, "provisioning").await;
    assert!(
        message.contains("RequestDisallowedByPolicy: Resource 'one' was disallowed by policy"),
        "{message}"
    );
    assert_eq!(case.put(&id, json!({"tags": {"cost-center": "7"}})).await.status.as_u16(), 200);
    case.app.settle().await;
    case.expect_active(&id).await;
}

#[tokio::test]
async fn a_credential_that_azure_refuses_fails_the_step_of_credentials() {
    let case = Case::start_as("expired-secret").await;
    let id = case.post_advised(&case.small()).await;
    case.app.settle().await;
    let message = case.trouble(&id, "provisioning").await;
    assert!(message.contains("AADSTS7000222"), "{message}");
    let frame = case.frame(&id).await;
    assert_eq!((&*frame.step, &*frame.conditions), ("credentials failed", "Provisioned=False"));
    // A new secret mends it, without a change of the cluster.
    let seed = &case.app.seed;
    let name = case.credential.split(':').next_back().unwrap();
    let mended = json!({"name": "azure", "azurecredentialConfig": {
        "subscriptionId": seed.subscription_id, "tenantId": seed.tenant_id, "clientId": seed.client_id, "clientSecret": seed.client_secret,
    }});
    let answer =
        case.app.put(&format!("/v3/cloudcredentials/cattle-global-data:{name}")).json(&mended).send().await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    case.refreshes(2).await;
    case.app.settle().await;
    case.expect_active(&id).await;
}

#[tokio::test]
async fn a_missing_role_is_told_and_the_object_can_be_removed() {
    let case = Case::start_as("reader").await;
    let id = case.post_advised(&case.small()).await;
    case.app.settle().await;
    let message = case.trouble(&id, "provisioning").await;
    assert!(message.starts_with("error failed to create cluster: AuthorizationFailed: "), "{message}");
    case.app.control.clear_requests();
    case.remove(&id).await;
    case.app.settle().await;
    assert!(case.is_gone(&id).await);
    assert_eq!(lines(&case.writes()), Vec::<String>::new());
}

#[tokio::test]
async fn a_creation_that_azure_gave_up_keeps_azures_words_and_is_not_asked_for_again() {
    let case = Case::start().await;
    case.app.control.add_outcome(fails(
        OperationKind::CreateCluster,
        "CreateVMSSAgentPoolFailed",
        "no room in this region",
    ));
    let id = case.post(&case.small()).await;
    case.app.settle().await;
    let said = "error failed to create cluster: CreateVMSSAgentPoolFailed: no room in this region";
    assert_eq!(case.trouble(&id, "provisioning").await, said);
    case.refreshes(5).await;
    assert_eq!(case.trouble(&id, "provisioning").await, said, "still, hours later");
    assert_eq!(lines(&case.writes()), ["PUT rancher/one"]);
    assert_eq!(case.aks("one").await.unwrap()["properties"]["provisioningState"], "Failed");
    // Another specification is another attempt.
    let answer = case.put(&id, json!({"tags": {"second": "try"}})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (200, &json!("provisioning")));
    case.app.settle().await;
    case.expect_active(&id).await;
    let kubeconfig = "POST rancher/one/listClusterAdminCredential";
    assert_eq!(lines(&case.writes()), ["PUT rancher/one", kubeconfig]);
    assert_eq!(case.aks("one").await.unwrap()["tags"]["second"], "try");
    case.expect_rest(&id).await;
}

#[tokio::test]
async fn a_creation_that_azure_gave_up_is_removed_with_what_is_left_of_it() {
    let case = Case::start().await;
    case.app.control.add_outcome(fails(OperationKind::CreateCluster, "CreateVMSSAgentPoolFailed", "no room"));
    let id = case.post(&case.small()).await;
    case.app.settle().await;
    case.trouble(&id, "provisioning").await;
    case.remove(&id).await;
    case.app.settle().await;
    assert!(case.is_gone(&id).await);
    assert_eq!(lines(&case.writes()), ["PUT rancher/one", "DELETE rancher/one"]);
    assert_eq!(case.aks("one").await, None);
}

#[tokio::test]
async fn a_change_that_azure_gave_up_is_not_called_active() {
    let case = Case::start().await;
    let id =
        case.active(&case.with(json!({"nodePools": [pool("system", "System"), pool("work", "User")]}))).await;
    let scaled = |count: u32| json!({"nodePools": [pool("system", "System"), pool_with("work", "User", json!({"count": count}))]});
    for (deed, change, words, lines_again) in [
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
        case.app.control.clear_requests();
        case.app.control.add_outcome(fails(deed, "AllocationFailed", "no room"));
        assert_eq!(case.put(&id, change.clone()).await.status.as_u16(), 200);
        case.app.settle().await;
        assert_eq!(case.trouble(&id, "updating").await, words);
        let frame = case.frame(&id).await;
        assert!(frame.conditions.contains("Updated=False"), "{frame:?}");
        assert_eq!(lines(&case.writes()), [lines_again]);
        // The same once more is another attempt.
        assert_eq!(lines(&case.changed(&id, change).await), [lines_again]);
        assert_eq!(case.aks("one").await.unwrap()["properties"]["provisioningState"], "Succeeded");
    }
    case.expect_rest(&id).await;
}

#[tokio::test]
async fn a_change_that_azure_refuses_is_told_and_taken_back() {
    let case = Case::start_as("low-quota").await;
    let pools = |count: u32| json!([pool_with("system", "System", json!({"count": count}))]);
    let id = case.active(&case.with(json!({"resourceGroup": "small", "nodePools": pools(1)}))).await;
    let advised = json!({"name": "one", "annotations": {"norman-aks.io/review": "advise"}, "aksConfig": {"nodePools": pools(9)}});
    let answer = case.app.put(&format!("/v3/clusters/{id}")).json(&advised).send().await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    case.app.settle().await;
    let message = case.trouble(&id, "updating").await;
    assert!(
        message
            .starts_with("failed to update cluster [one]: node pool system: ErrCode_InsufficientVCPUQuota: "),
        "{message}"
    );
    assert_eq!(lines(&case.changed(&id, json!({"nodePools": pools(1)})).await), [""; 0]);
}

#[tokio::test]
async fn a_removal_that_azure_refuses_stays_a_removal_until_it_works() {
    let case = Case::start().await;
    let id = case.active(&case.small()).await;
    case.app.control.add_outcome(fails(OperationKind::DeleteCluster, "DeleteFailed", "a lock is in the way"));
    case.remove(&id).await;
    let film = case.film(&id, 40).await;
    assert!(film.iter().all(|frame| frame.state == "removing"), "{film:?}");
    let words = "error removing cluster [one] message DeleteFailed: a lock is in the way";
    let told = |frame: &Frame| frame.transitioning == "error" && frame.message.starts_with(words);
    assert!(film.iter().any(told), "{film:?}");
    assert!(case.is_gone(&id).await);
    assert_eq!(lines(&case.writes()), ["DELETE rancher/one"; 2]);
    assert_eq!(case.azure(Method::GET, &super::cluster("one"), None).await.0, 404);
}

#[tokio::test]
async fn a_group_in_another_region_is_no_obstacle_and_one_that_cannot_be_made_is_told() {
    let case = Case::start_as("reader").await;
    let mut body = case.with(json!({"resourceGroup": "forbidden"}));
    body["annotations"] = json!({"norman-aks.io/review": "advise"});
    let id = case.post(&body).await;
    case.app.settle().await;
    let message = case.trouble(&id, "provisioning").await;
    assert!(
        message.starts_with("error creating resource group [forbidden] with message AuthorizationFailed: "),
        "{message}"
    );
    let shown: Value = case.get(&id).await;
    assert!(shown["aksStatus"].get("upstreamSpec").is_none());
}

#[tokio::test]
async fn a_pool_that_did_not_go_is_asked_to_go_again() {
    let case = Case::start().await;
    let id =
        case.active(&case.with(json!({"nodePools": [pool("system", "System"), pool("work", "User")]}))).await;
    case.app.control.add_outcome(fails(
        OperationKind::DeletePool,
        "PodDrainFailure",
        "a pod does not let go",
    ));
    assert_eq!(case.put(&id, json!({"nodePools": [pool("system", "System")]})).await.status.as_u16(), 200);
    let film = case.film(&id, 60).await;
    let words = "failed to remove node pool: PodDrainFailure: a pod does not let go";
    assert!(film.iter().any(|frame| frame.transitioning == "error" && frame.message == words), "{film:?}");
    case.expect_active(&id).await;
    assert_eq!(lines(&case.writes()), ["DELETE rancher/one/work"; 2]);
    assert_eq!(case.pool_in_azure("one", "work").await, None);
}

#[tokio::test]
async fn what_always_fails_in_the_end_is_begun_more_and_more_seldom() {
    let case = Case::start().await;
    let id = case.active(&case.small()).await;
    let never = ScriptedOutcome {
        times: None,
        ..fails(OperationKind::DeleteCluster, "DeleteFailed", "a lock is in the way")
    };
    case.app.control.add_outcome(never);
    case.remove(&id).await;
    case.app.pass(std::time::Duration::from_mins(15)).await;
    let attempts = case.writes().len();
    assert!((5..=9).contains(&attempts), "{attempts}");
    case.app.control.clear_outcomes();
    case.app.pass(std::time::Duration::from_mins(6)).await;
    assert!(case.is_gone(&id).await);
}

#[tokio::test]
async fn a_trouble_that_azure_overcomes_is_no_failure() {
    let case = Case::start().await;
    let passing = ScriptedOutcome {
        status: FinalStatus::Succeeded,
        ..fails(OperationKind::CreateCluster, "ReconcilePortalDNSError", "the name is late")
    };
    case.app.control.add_outcome(passing);
    let id = case.post(&case.small()).await;
    let film = case.film(&id, 40).await;
    assert!(film.iter().all(|frame| frame.transitioning != "error"), "{film:?}");
    let told = "Azure: the cluster one is being made (Azure tries again after: the name is late)";
    assert!(film.iter().any(|frame| frame.message == told), "{film:?}");
    case.expect_active(&id).await;
}

#[tokio::test]
async fn a_creation_that_somebody_stopped_is_told_and_made_anew_when_asked() {
    let case = Case::start().await;
    let stopped = ScriptedOutcome {
        status: FinalStatus::Canceled,
        ..fails(OperationKind::CreateCluster, "OperationPreempted", "somebody stopped it")
    };
    case.app.control.add_outcome(stopped);
    let id = case.post(&case.small()).await;
    case.app.settle().await;
    let words = "error failed to create cluster: OperationPreempted: somebody stopped it";
    assert_eq!(case.trouble(&id, "provisioning").await, words);
    // The same again, without a change: the user wants another attempt.
    assert_eq!(case.put(&id, json!({})).await.status.as_u16(), 200);
    case.app.settle().await;
    case.expect_active(&id).await;
}

/// Answers the requests of this method and path with an error in Azure's form, as often as they come.
fn refused(method: &str, path: &str, refusal: azure_sandbox::Refusal) -> azure_sandbox::Fault {
    azure_sandbox::Fault {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        effect: Some(azure_sandbox::Effect::Status(refusal)),
        ..azure_sandbox::Fault::default()
    }
}

fn says(status: u16, code: &str, message: &str) -> azure_sandbox::Refusal {
    azure_sandbox::Refusal {
        status: Some(status),
        code: Some(code.to_owned()),
        message: Some(message.to_owned()),
        ..azure_sandbox::Refusal::default()
    }
}

const JOIN: &str = "Microsoft.Network/virtualNetworks/subnets/join/action";

/// Azure's sentence for an application that may write clusters and not join the subnet.
fn linked(missing: &str) -> String {
    format!(
        "The client 'a' with object id 'b' has permission to perform action 'Microsoft.ContainerService/managedClusters/write' \
         on scope 'A'; however, {missing}"
    )
}

#[tokio::test]
async fn linked_refusal_of_a_cluster_names_the_missing_right() {
    let assign = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";
    for (missing, expected) in [
        (
            format!(
                "it does not have permission to perform action '{JOIN}' on the linked scope(s) 'B' or the linked scope(s) are invalid."
            ),
            format!(
                "lacks the right {JOIN} on B: give it the role Network Contributor there (az role assignment create --assignee a --role 'Network Contributor' --scope B)"
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
        let case = Case::start().await;
        let fault =
            refused("PUT", "/managedClusters/one", says(403, "LinkedAuthorizationFailed", &linked(&missing)));
        case.app.control.add_fault(fault);
        let id = case.post(&case.small()).await;
        case.app.settle().await;
        let message = case.trouble(&id, "provisioning").await;
        assert!(message.contains(&expected), "{message}");
        let (_, hint) = message.split_once("; the application").unwrap();
        assert!(!hint.contains("managedClusters/write") && !hint.contains("role Contributor"), "{hint}");
    }
}

#[tokio::test]
async fn linked_refusal_of_another_tenant_names_no_role() {
    let case = Case::start().await;
    let missing = "the current tenant 'T' is not authorized to access linked subscription 'S'.";
    let fault =
        refused("PUT", "/managedClusters/one", says(403, "LinkedAuthorizationFailed", &linked(missing)));
    case.app.control.add_fault(fault);
    let id = case.post(&case.small()).await;
    case.app.settle().await;
    let message = case.trouble(&id, "provisioning").await;
    assert!(message.contains("in the subscription S, which belongs to another tenant than T"), "{message}");
    assert!(!message.contains("role") && !message.contains("Contributor"), "{message}");
}

#[tokio::test]
async fn operation_that_azure_gave_up_has_the_remedy_too() {
    let case = Case::start().await;
    let inner = format!(
        "Reconcile VNet failed. Details: Code=\"LinkedAuthorizationFailed\" Message=\"The client 'i' with object id 'o' has \
         permission to perform action 'Microsoft.Network/virtualNetworks/write' on scope 'A'; however, it does not have \
         permission to perform action '{JOIN}' on the linked scope(s) 'B' or the linked scope(s) are invalid.\""
    );
    case.app.control.add_outcome(fails(OperationKind::CreateCluster, "ReconcileVNetFailed", &inner));
    let id = case.post(&case.small()).await;
    case.app.settle().await;
    let message = case.trouble(&id, "provisioning").await;
    assert!(message.contains(&format!("; the identity i lacks the right {JOIN} on B")), "{message}");
}

#[tokio::test]
async fn group_that_may_not_be_made_is_to_be_created_first() {
    let case = Case::start().await;
    let scope = format!("/subscriptions/{}/resourcegroups/newgroup", case.account.subscription_id);
    let message = format!(
        "The client 'a' with object id 'b' does not have authorization to perform action \
         'Microsoft.Resources/subscriptions/resourcegroups/write' over scope '{scope}' or the scope is invalid."
    );
    case.app.control.add_fault(refused("PUT", "/newgroup?", says(403, "AuthorizationFailed", &message)));
    let id = case.post(&case.with(json!({"resourceGroup": "newgroup"}))).await;
    case.app.settle().await;
    let told = case.trouble(&id, "provisioning").await;
    assert!(told.contains("create the resource group first"), "{told}");
    let subscription =
        format!("the role Contributor on the subscription /subscriptions/{}", case.account.subscription_id);
    assert!(told.contains(&subscription), "{told}");
    assert!(!told.contains("role Contributor on /subscriptions"), "a role on what is not there: {told}");
    case.app.control.clear_faults();
    case.meanwhile(Method::PUT, "/resourceGroups/newgroup", Some(&json!({"location": "eastus"}))).await;
    case.refreshes(2).await;
    case.app.settle().await;
    case.expect_active(&id).await;
}

#[tokio::test]
async fn policy_on_groups_is_met_by_a_group_of_ones_own() {
    let case = Case::start().await;
    let message = "Resource 'newgroup' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"Require a \
                   tag on resource groups\",\"id\":\"/x\"}}]'.";
    case.app.control.add_fault(refused("PUT", "/newgroup?", says(403, "RequestDisallowedByPolicy", message)));
    let id = case.post(&case.with(json!({"resourceGroup": "newgroup"}))).await;
    case.app.settle().await;
    let told = case.trouble(&id, "provisioning").await;
    let remedy = "a policy (Require a tag on resource groups) forbids to make the resource group newgroup like this: create the \
                  resource group yourself, as the policy wants it and with its tags; it is then used as it is";
    assert!(told.ends_with(remedy), "{told}");
}

#[tokio::test]
async fn policy_on_tags_of_a_cluster_names_the_key() {
    for (policy, expected) in [
        ("Require a tag on resources", "asks for tags: set them in aksConfig.tags"),
        ("Allowed locations", "(Allowed locations) forbids this: change the specification"),
    ] {
        let case = Case::start().await;
        let message = format!(
            "Resource 'one' was disallowed by policy. Policy identifiers: '[{{\"policyAssignment\":{{\"name\":\"{policy}\"}}}}]'."
        );
        let fault = refused("PUT", "/managedClusters/one", says(403, "RequestDisallowedByPolicy", &message));
        case.app.control.add_fault(fault);
        let id = case.post(&case.small()).await;
        case.app.settle().await;
        let told = case.trouble(&id, "provisioning").await;
        assert!(told.contains(expected), "{told}");
    }
}

#[tokio::test]
async fn page_of_a_proxy_is_no_answer_to_a_write() {
    for (status, kind) in [(403, "text/html"), (200, "text/html"), (407, "text/plain"), (502, "text/html")] {
        let case = Case::start().await;
        let page = azure_sandbox::Refusal {
            status: Some(status),
            body: Some("<html><title>Access Denied</title></html>".to_owned()),
            headers: [("Content-Type".to_owned(), kind.to_owned())].into(),
            ..azure_sandbox::Refusal::default()
        };
        case.app.control.add_fault(refused("PUT", "/managedClusters/one", page));
        let id = case.post(&case.small()).await;
        case.app.settle().await;
        let told = case.trouble(&id, "provisioning").await;
        assert!(told.contains("this is not Azure's answer ("), "{status}: {told}");
        assert!(told.contains("HTTPS_PROXY") && told.contains("SSL_CERT_FILE"), "{status}: {told}");
        assert!(!told.contains("role"), "{status}: {told}");
        assert_eq!(case.aks("one").await, None, "{status}");
        case.app.control.clear_faults();
        case.refreshes(2).await;
        case.app.settle().await;
        case.expect_active(&id).await;
    }
}
