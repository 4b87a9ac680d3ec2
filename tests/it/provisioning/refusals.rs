//! Azure says no: its words are shown, a change mends it, and a removal works.

use http::Method;
use norman_aks::sandbox::{Deed, Ending, Final};
use serde_json::{Value, json};

use super::{Case, Frame, lines, pool, pool_with};

fn fails(deed: Deed, code: &str, message: &str) -> Ending {
    Ending {
        deed: Some(deed),
        times: Some(1),
        code: code.to_owned(),
        message: message.to_owned(),
        ..Ending::default()
    }
}

#[tokio::test]
async fn a_quota_is_told_in_azures_words_and_a_smaller_cluster_is_made() {
    let case = Case::start_as("low-quota").await;
    let pools = |count: u32| json!([pool_with("system", "System", json!({"count": count}))]);
    let id = case.post(&case.with(json!({"resourceGroup": "small", "nodePools": pools(5)}))).await;
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
    let id = case.post(&case.small()).await;
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
    let id = case.post(&case.small()).await;
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
    case.app.control.add_ending(fails(
        Deed::CreateCluster,
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
    case.app.control.add_ending(fails(Deed::CreateCluster, "CreateVMSSAgentPoolFailed", "no room"));
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
            Deed::ScalePool,
            scaled(3),
            "failed to update cluster [one]: node pool work: AllocationFailed: no room",
            "PUT rancher/one/work",
        ),
        (
            Deed::UpgradeCluster,
            json!({"kubernetesVersion": "1.33.3"}),
            "failed to update cluster: AllocationFailed: no room",
            "PUT rancher/one",
        ),
    ] {
        case.app.control.clear_requests();
        case.app.control.add_ending(fails(deed, "AllocationFailed", "no room"));
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
    assert_eq!(case.put(&id, json!({"nodePools": pools(9)})).await.status.as_u16(), 200);
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
    case.app.control.add_ending(fails(Deed::DeleteCluster, "DeleteFailed", "a lock is in the way"));
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
    case.app.control.add_ending(fails(Deed::DeletePool, "PodDrainFailure", "a pod does not let go"));
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
    let never = Ending { times: None, ..fails(Deed::DeleteCluster, "DeleteFailed", "a lock is in the way") };
    case.app.control.add_ending(never);
    case.remove(&id).await;
    case.app.pass(std::time::Duration::from_mins(15)).await;
    let attempts = case.writes().len();
    assert!((5..=9).contains(&attempts), "{attempts}");
    case.app.control.clear_endings();
    case.app.pass(std::time::Duration::from_mins(6)).await;
    assert!(case.is_gone(&id).await);
}

#[tokio::test]
async fn a_trouble_that_azure_overcomes_is_no_failure() {
    let case = Case::start().await;
    let passing = Ending {
        status: Final::Succeeded,
        ..fails(Deed::CreateCluster, "ReconcilePortalDNSError", "the name is late")
    };
    case.app.control.add_ending(passing);
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
    let stopped = Ending {
        status: Final::Canceled,
        ..fails(Deed::CreateCluster, "OperationPreempted", "somebody stopped it")
    };
    case.app.control.add_ending(stopped);
    let id = case.post(&case.small()).await;
    case.app.settle().await;
    let words = "error failed to create cluster: OperationPreempted: somebody stopped it";
    assert_eq!(case.trouble(&id, "provisioning").await, words);
    // The same again, without a change: the user wants another attempt.
    assert_eq!(case.put(&id, json!({})).await.status.as_u16(), 200);
    case.app.settle().await;
    case.expect_active(&id).await;
}
