//! The Azure client: changes in Azure, long-running operations and kubeconfigs.

use std::sync::Arc;
use std::time::Duration;

use aks::arm::{ManagedCluster, Resource};
use axum::response::{IntoResponse, Response};
use azure::managed_clusters::UserFormat;
use azure::{
    Arm, Azure, Cloud, Error, LongRunningOperation, OperationStatus, Options, Service, WriteResponse,
    agent_pools, managed_clusters, providers, resource_groups, usages, virtual_networks, workspaces,
};
use base64::Engine;
use http::StatusCode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::azure_fake::{
    FakeAzure, SUBSCRIPTION, arm, credential, error_response, hosts, json_response, token_response,
    with_header,
};

const OPERATION_URL: &str =
    "https://management.azure.com/subscriptions/s/providers/x/operations/o?api-version=1&t=1&s=canary";

fn cluster_path() -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/n"
    )
}

fn cluster_in_state(state: &str) -> Value {
    json!({"id": "/x", "name": "n", "properties": {"provisioningState": state, "unknown": {"kept": [1, null]}}})
}

fn empty_response(status: u16) -> Response {
    (StatusCode::from_u16(status).unwrap(), [("x-ms-request-id", "azure-request")]).into_response()
}

async fn put_cluster(arm: &Arm) -> Result<WriteResponse, Error> {
    managed_clusters::put(arm, "g", "n", &json!({"location": "eastus"})).await
}

#[tokio::test]
async fn writes_have_the_expected_urls_and_bodies() {
    let fake = FakeAzure::with_response(|request| match (request.method.as_str(), request.path.as_str()) {
        ("DELETE", _) => empty_response(202),
        ("POST", path) if path.ends_with("/register") => json_response(
            200,
            &json!({"namespace": "Microsoft.ContainerService", "registrationState": "Registering"}),
        ),
        _ => json_response(200, &cluster_in_state("Succeeded")),
    })
    .await;
    let arm = fake.arm();
    let body = json!({"properties": {"count": 3}});
    managed_clusters::put(&arm, "g", "n", &body).await.unwrap();
    managed_clusters::patch_tags(&arm, "g", "n", [("owner", "o\"1"), ("empty", "")]).await.unwrap();
    managed_clusters::delete(&arm, "g", "n").await.unwrap();
    agent_pools::put(&arm, "g", "n", "p", &body).await.unwrap();
    agent_pools::delete(&arm, "g", "n", "p").await.unwrap();
    resource_groups::put(&arm, "a group", "eastus").await.unwrap();
    workspaces::put(&arm, "g", "w", "eastus").await.unwrap();
    let provider = providers::register(&arm, "Microsoft.ContainerService").await.unwrap();
    assert_eq!(
        (provider.is_registered(), provider.registration_state.as_deref()),
        (false, Some("Registering"))
    );

    let sent: Vec<_> = fake
        .arm_requests()
        .into_iter()
        .map(|request| {
            let path = request.path.replace(&format!("/subscriptions/{SUBSCRIPTION}"), "");
            let body = serde_json::from_str::<Value>(&request.body).unwrap_or_default();
            (
                request.method.clone(),
                path,
                request.query.clone(),
                body,
                request.header("content-type").to_owned(),
            )
        })
        .collect();
    let cluster = cluster_path().replace(&format!("/subscriptions/{SUBSCRIPTION}"), "");
    let expected = [
        ("PUT", cluster.clone(), "2024-02-01", body.clone()),
        ("PATCH", cluster.clone(), "2024-02-01", json!({"tags": {"owner": "o\"1", "empty": ""}})),
        ("DELETE", cluster.clone(), "2024-02-01", Value::Null),
        ("PUT", format!("{cluster}/agentPools/p"), "2024-02-01", body),
        ("DELETE", format!("{cluster}/agentPools/p"), "2024-02-01", Value::Null),
        (
            "PUT",
            "/resourcegroups/a%20group".to_owned(),
            "2021-04-01",
            json!({"location": "eastus", "name": "a group"}),
        ),
        (
            "PUT",
            "/resourcegroups/g/providers/Microsoft.OperationalInsights/workspaces/w".to_owned(),
            "2021-12-01-preview",
            json!({"location": "eastus", "properties": {"sku": {"name": "Standalone"}}}),
        ),
        ("POST", "/providers/Microsoft.ContainerService/register".to_owned(), "2021-04-01", Value::Null),
    ];
    assert_eq!(sent.len(), expected.len());
    for (sent, (method, path, version, body)) in sent.into_iter().zip(expected) {
        let content_type = if body.is_null() { "" } else { "application/json" };
        let query = format!("api-version={version}");
        assert_eq!(sent, (method.to_owned(), path, query, body, content_type.to_owned()));
    }
    let post = fake.arm_requests().pop().unwrap();
    assert_eq!(post.header("content-length"), "0");
    assert_eq!(post.header("authorization"), "Bearer token-1");
}

#[tokio::test]
async fn dot_segments_are_never_sent() {
    let fake = FakeAzure::with_response(|_| empty_response(202)).await;
    let arm = fake.arm();
    for name in ["..", ".", "", "%2e%2e", "a/../b"] {
        assert!(matches!(agent_pools::delete(&arm, "g", "n", name).await, Err(Error::BadUrl(_))), "{name}");
        assert!(matches!(managed_clusters::delete(&arm, "g", name).await, Err(Error::BadUrl(_))), "{name}");
        assert!(matches!(resource_groups::exists(&arm, name).await, Err(Error::BadUrl(_))), "{name}");
    }
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn write_that_azure_may_have_accepted_is_not_repeated() {
    let failing = || error_response(500, "GetSKUStoreError");
    let cut = || {
        let parts = [Ok(axum::body::Bytes::from("{\"id\":")), Err(std::io::Error::other("cut"))];
        axum::body::Body::from_stream(futures_util::stream::iter(parts)).into_response()
    };
    let unavailable = || error_response(503, "ServerTimeout");
    let gateway = || error_response(504, "GatewayTimeout");
    for first in [failing as fn() -> Response, cut, unavailable, gateway] {
        let fake =
            FakeAzure::with_responses(vec![first, || json_response(200, &cluster_in_state("Succeeded"))])
                .await;
        let azure = fake.azure();
        let error = put_cluster(&arm(&azure)).await.unwrap_err();
        assert!(error.may_have_been_accepted() && error.is_transient(), "{error:?}");
        assert_eq!(fake.arm_requests().len(), 1, "{error:?}");
    }
}

#[tokio::test]
async fn throttled_write_is_repeated() {
    let throttled = || with_header(error_response(429, "SubscriptionRequestsThrottled"), "retry-after", "0");
    let busy = || with_header(error_response(503, "ServerBusy"), "x-ms-retry-after-ms", "5");
    for first in [throttled as fn() -> Response, busy] {
        let fake =
            FakeAzure::with_responses(vec![first, || json_response(201, &cluster_in_state("Succeeded"))])
                .await;
        let azure = fake.azure();
        put_cluster(&arm(&azure)).await.unwrap();
        let [original, repeated] = fake.arm_requests().try_into().unwrap();
        assert_eq!(
            (original.body.as_str(), original.body.as_str()),
            (repeated.body.as_str(), r#"{"location":"eastus"}"#)
        );
    }
    let fake = FakeAzure::with_responses(vec![|| {
        with_header(error_response(429, "SubscriptionRequestsThrottled"), "retry-after", "3600")
    }])
    .await;
    let error = put_cluster(&fake.arm()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_hours(1)));
    assert!(!error.may_have_been_accepted());
    assert_eq!(fake.arm_requests().len(), 1, "no hour-long delay");
}

#[tokio::test]
async fn rejected_token_is_replaced_once_before_a_write() {
    let fake = FakeAzure::with_responses(vec![|| error_response(401, "ExpiredAuthenticationToken"), || {
        json_response(200, &cluster_in_state("Succeeded"))
    }])
    .await;
    put_cluster(&fake.arm()).await.unwrap();
    assert_eq!((fake.arm_requests().len(), fake.logins()), (2, 2));
    let fake = FakeAzure::with_responses(vec![|| error_response(401, "InvalidAuthenticationToken")]).await;
    let error = put_cluster(&fake.arm()).await.unwrap_err();
    assert_eq!((error.upstream_status(), error.may_have_been_accepted()), (Some(401), false));
    assert_eq!(fake.arm_requests().len(), 2);
}

#[tokio::test]
async fn write_may_have_been_accepted_unless_it_was_not_sent() {
    let fake = FakeAzure::start(|request| async move {
        if request.is_login() { token_response("token-1") } else { std::future::pending().await }
    })
    .await;
    let azure = fake.azure();
    let short = azure.arm(&credential(), Instant::now() + Duration::from_millis(300)).unwrap();
    let error = put_cluster(&short).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { to: Service::Arm }), "{error:?}");
    assert!(error.may_have_been_accepted());
    assert_eq!(fake.arm_requests().len(), 1);

    let closed_address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let login = Cloud::Public.login_host();
    let without_arm = Options {
        resolve: hosts()
            .map(|host| (host.to_owned(), if host == login { fake.address } else { closed_address }))
            .collect(),
        ..fake.options()
    };
    let without_arm = Azure::new(without_arm).unwrap();
    let error = put_cluster(&arm(&without_arm)).await.unwrap_err();
    assert!(matches!(error, Error::NoResponse { to: Service::Arm, .. }), "{error:?}");
    assert!(!error.may_have_been_accepted() && error.is_transient());
}

#[tokio::test]
async fn rejected_writes_keep_azures_code() {
    for (status, code) in [
        (409, "OperationNotAllowed"),
        (409, "AnotherOperationInProgress"),
        (409, "MissingSubscriptionRegistration"),
        (403, "RequestDisallowedByPolicy"),
        (400, "ErrCode_InsufficientVCPUQuota"),
        (404, "ResourceGroupNotFound"),
    ] {
        let fake = FakeAzure::with_response(move |_| error_response(status, code)).await;
        let azure = fake.azure();
        for error in [
            put_cluster(&arm(&azure)).await.unwrap_err(),
            agent_pools::put(&arm(&azure), "g", "n", "p", &json!({})).await.unwrap_err(),
        ] {
            assert_eq!((error.upstream_status(), error.code()), (Some(status), Some(code)));
            assert!(!error.may_have_been_accepted() && !error.is_transient());
        }
        assert_eq!(fake.arm_requests().len(), 2);
    }
}

#[tokio::test]
async fn only_a_404_about_the_resource_means_absence() {
    for (status, code, means_absence) in [
        (404, Some("ResourceNotFound"), true),
        (404, Some("ResourceGroupNotFound"), true),
        (404, Some("NotFound"), true),
        (404, Some("SubscriptionNotFound"), false),
        (404, Some("InvalidResourceType"), false),
        (404, None, false),
        (403, Some("AuthorizationFailed"), false),
        (400, Some("ResourceNotFound"), false),
        (500, Some("ResourceNotFound"), false),
        (410, Some("Gone"), false),
    ] {
        let fake = FakeAzure::with_response(move |_| match code {
            Some(code) => error_response(status, code),
            None => (StatusCode::from_u16(status).unwrap(), "<html>no such page</html>").into_response(),
        })
        .await;
        let arm = fake.arm();
        let outcomes = [
            managed_clusters::get(&arm, "g", "n").await.map(|found| found.is_none()),
            managed_clusters::delete(&arm, "g", "n").await.map(|found| found.is_none()),
            agent_pools::get(&arm, "g", "n", "p").await.map(|found| found.is_none()),
            agent_pools::delete(&arm, "g", "n", "p").await.map(|found| found.is_none()),
            workspaces::get(&arm, "g", "w").await.map(|found| found.is_none()),
            virtual_networks::get(&arm, "g", "v").await.map(|found| found.is_none()),
            virtual_networks::subnet(&arm, "g", "v", "s").await.map(|found| found.is_none()),
        ];
        for outcome in outcomes {
            match outcome {
                Ok(is_absent) => assert!(is_absent && means_absence, "{status} {code:?}"),
                Err(error) => {
                    assert!(!means_absence && !error.is_not_found(), "{status} {code:?}: {error:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn resource_group_existence_is_checked_with_head() {
    let fake = FakeAzure::with_response(|request| match request.path.rsplit('/').next() {
        Some("there") => empty_response(204),
        Some("also") => empty_response(200),
        Some("nowhere") => empty_response(404),
        Some("elsewhere") => StatusCode::NOT_FOUND.into_response(),
        _ => empty_response(403),
    })
    .await;
    let arm = fake.arm();
    assert!(resource_groups::exists(&arm, "there").await.unwrap());
    assert!(resource_groups::exists(&arm, "also").await.unwrap());
    assert!(!resource_groups::exists(&arm, "nowhere").await.unwrap());
    let error = resource_groups::exists(&arm, "elsewhere").await.unwrap_err();
    assert_eq!(error.upstream_status(), Some(404), "the response is not from Azure");
    assert_eq!(resource_groups::exists(&arm, "secret").await.unwrap_err().upstream_status(), Some(403));
    assert!(
        fake.arm_requests()
            .iter()
            .all(|read| read.method == "HEAD" && read.query == "api-version=2021-04-01")
    );
}

#[tokio::test]
async fn stored_operation_can_be_polled() {
    let fake = FakeAzure::with_responses(vec![
        || {
            with_header(
                json_response(201, &cluster_in_state("Creating")),
                "azure-asyncoperation",
                OPERATION_URL,
            )
        },
        || {
            json_response(
                200,
                &json!({"name": "o", "status": "InProgress", "percentComplete": 40,
            "error": {"code": "CreateVMSSAgentPoolFailed", "message": "AKS goes on trying"}}),
            )
        },
        || with_header(json_response(200, &json!({"status": "somethingNew"})), "retry-after", "0"),
        || json_response(200, &json!({"status": "succeeded", "error": {"code": "ReconcilePortalDNSError"}})),
    ])
    .await;
    let azure = fake.azure();
    let written = put_cluster(&arm(&azure)).await.unwrap();
    assert_eq!(written.resource, Some(cluster_in_state("Creating")), "nothing is lost");
    assert_eq!(written.request_id.as_deref(), Some("azure-request"));
    let operation = written.operation.unwrap();
    assert_eq!(operation.retry_after(), Duration::from_secs(30));
    assert!(!format!("{operation:?}").contains("canary"), "{operation:?}");

    let text = operation.to_text();
    let operation = LongRunningOperation::from_text(Cloud::Public, &text).unwrap();
    let OperationStatus::InProgress(progress) = operation.poll(&arm(&azure)).await.unwrap() else { panic!() };
    assert_eq!((progress.status.as_deref(), progress.percent), (Some("InProgress"), Some(40.0)));
    assert_eq!(progress.error.unwrap().message.as_deref(), Some("AKS goes on trying"));
    let OperationStatus::InProgress(progress) = progress.operation.poll(&arm(&azure)).await.unwrap() else {
        panic!()
    };
    assert_eq!((progress.status.as_deref(), progress.percent), (Some("somethingNew"), None));
    assert_eq!(progress.operation.retry_after(), Duration::from_secs(1), "a Retry-After of 0 becomes 1 s");
    let OperationStatus::Succeeded { error } = progress.operation.poll(&arm(&azure)).await.unwrap() else {
        panic!()
    };
    assert_eq!(error.unwrap().code.as_deref(), Some("ReconcilePortalDNSError"));
    let polls = fake.arm_requests().split_off(1);
    assert_eq!(polls.len(), 3, "one request per poll");
    assert!(polls.iter().all(|poll| poll.path == "/subscriptions/s/providers/x/operations/o"));
    assert!(polls.iter().all(|poll| poll.query == "api-version=1&t=1&s=canary"), "as Azure signed it");

    let in_another_cloud = LongRunningOperation::from_text(Cloud::China, &text);
    assert!(in_another_cloud.is_err(), "{in_another_cloud:?}");
}

#[tokio::test]
async fn poll_distinguishes_outcomes_of_operations() {
    let failed = || {
        json_response(
            200,
            &json!({"status": "Failed", "error": {"code": "QuotaExceeded", "message": "m",
        "details": [{"code": "d"}]}}),
        )
    };
    let without_error = || json_response(200, &json!({"status": "FAILED"}));
    let cancelled =
        || json_response(200, &json!({"status": "Canceled", "error": {"code": "OperationPreempted"}}));
    let expired = || error_response(404, "NotFound");
    let without_code = || StatusCode::NOT_FOUND.into_response();
    let describe = |status: OperationStatus| match status {
        OperationStatus::Failed(error) => format!("failed {:?} {:?}", error.code, error.details),
        OperationStatus::Cancelled(error) => format!("cancelled {:?}", error.code),
        other => format!("{other:?}"),
    };
    for (response, expected) in [
        (
            failed as fn() -> Response,
            r#"failed Some("QuotaExceeded") Some(Array [Object {"code": String("d")}])"#,
        ),
        (without_error, "failed None None"),
        (cancelled, r#"cancelled Some("OperationPreempted")"#),
        (expired, "Gone"),
        (without_code, "Gone"),
    ] {
        let fake = FakeAzure::with_responses(vec![response]).await;
        let operation =
            LongRunningOperation::from_text(Cloud::Public, &format!("status change 5 {OPERATION_URL}"))
                .unwrap();
        let status = operation.poll(&fake.arm()).await.unwrap();
        assert_eq!(describe(status), expected);
    }
    for (status, code) in [(403, "AuthorizationFailed"), (503, "Down"), (429, "TooManyRequests")] {
        let fake = FakeAzure::with_response(move |_| error_response(status, code)).await;
        let operation =
            LongRunningOperation::from_text(Cloud::Public, &format!("location delete 5 {OPERATION_URL}"))
                .unwrap();
        let error = operation.poll(&fake.arm()).await.unwrap_err();
        assert_eq!(error.upstream_status(), Some(status), "the poll failed, not the operation");
        let text = format!("{error:?} {error} {operation:?}");
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn result_whose_url_changes_is_polled_to_its_end() {
    const NEXT: &str = "https://management.azure.com/subscriptions/s/operationresults/next?api-version=1";
    let fake = FakeAzure::with_responses(vec![
        || with_header(with_header(empty_response(202), "location", OPERATION_URL), "retry-after", "15"),
        || with_header(empty_response(202), "location", NEXT),
        || {
            with_header(
                json_response(202, &json!({"status": "InProgress"})),
                "location",
                "https://evil.example/",
            )
        },
        || empty_response(204),
    ])
    .await;
    let azure = fake.azure();
    let deleted = managed_clusters::delete(&arm(&azure), "g", "n").await.unwrap().unwrap();
    assert_eq!(deleted.resource, None);
    let mut operation = deleted.operation.unwrap();
    assert_eq!(operation.retry_after(), Duration::from_secs(15));
    for _ in 0..2 {
        let OperationStatus::InProgress(progress) = operation.poll(&arm(&azure)).await.unwrap() else {
            panic!()
        };
        operation = progress.operation;
        assert!(operation.to_text().ends_with(NEXT), "{}", operation.to_text());
    }
    assert_eq!(operation.poll(&arm(&azure)).await.unwrap(), OperationStatus::Succeeded { error: None });
    assert!(fake.requests().iter().all(|request| !request.host.contains("evil")));

    let fake = FakeAzure::with_responses(vec![|| {
        json_response(
            409,
            &json!({"Error": {"Code": "ResourceGroupDeletionBlocked", "Target": null, "Message": "m"}}),
        )
    }])
    .await;
    let OperationStatus::Failed(error) = operation.poll(&fake.arm()).await.unwrap() else { panic!() };
    assert_eq!(
        (error.code.as_deref(), error.message.as_deref()),
        (Some("ResourceGroupDeletionBlocked"), Some("m"))
    );
}

#[tokio::test]
async fn foreign_operation_url_is_replaced_by_the_resource() {
    for foreign_url in [
        "https://evil.example/operations/o",
        "http://management.azure.com/operations/o",
        "https://management.azure.com:444/operations/o",
        "https://management.azure.com@evil.example/o",
        "/operations/o",
        "",
    ] {
        let fake = FakeAzure::with_response(move |request| match request.method.as_str() {
            "PUT" => with_header(
                with_header(
                    json_response(201, &cluster_in_state("Creating")),
                    "azure-asyncoperation",
                    foreign_url,
                ),
                "location",
                foreign_url,
            ),
            "DELETE" => with_header(
                with_header(empty_response(202), "azure-asyncoperation", foreign_url),
                "location",
                foreign_url,
            ),
            _ => json_response(200, &cluster_in_state("Creating")),
        })
        .await;
        let arm = fake.arm();
        let created = put_cluster(&arm).await.unwrap().operation.unwrap();
        let deleted = managed_clusters::delete(&arm, "g", "n").await.unwrap().unwrap().operation.unwrap();
        for operation in [created, deleted] {
            let text = operation.to_text();
            assert!(
                text.ends_with(&format!(
                    "https://management.azure.com{}?api-version=2024-02-01",
                    cluster_path()
                )),
                "{text}"
            );
            let OperationStatus::InProgress(progress) = operation.poll(&arm).await.unwrap() else { panic!() };
            assert_eq!(progress.status.as_deref(), Some("Creating"));
        }
        assert!(fake.arm_requests().iter().all(|read| read.path == cluster_path()));
    }
}

#[tokio::test]
async fn operation_is_not_polled_in_another_cloud() {
    let fake = FakeAzure::with_response(|_| json_response(200, &json!({"status": "Succeeded"}))).await;
    let azure = fake.azure();
    let text = "status change 5 https://management.chinacloudapi.cn/subscriptions/s/operations/o";
    let operation = LongRunningOperation::from_text(Cloud::China, text).unwrap();
    let error = operation.poll(&arm(&azure)).await.unwrap_err();
    assert!(
        matches!(&error, Error::ForeignLink { host } if host == "management.chinacloudapi.cn"),
        "{error:?}"
    );
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn write_without_operation_url_polls_the_resource() {
    let fake = FakeAzure::with_responses(vec![
        || json_response(201, &cluster_in_state("Creating")),
        || json_response(200, &cluster_in_state("Creating")),
        || json_response(200, &cluster_in_state("Succeeded")),
    ])
    .await;
    let azure = fake.azure();
    let operation = workspaces::put(&arm(&azure), "g", "w", "eastus").await.unwrap().operation.unwrap();
    assert!(matches!(operation.poll(&arm(&azure)).await.unwrap(), OperationStatus::InProgress(_)));
    assert_eq!(operation.poll(&arm(&azure)).await.unwrap(), OperationStatus::Succeeded { error: None });

    let fake = FakeAzure::with_responses(vec![
        || empty_response(202),
        || json_response(200, &cluster_in_state("Succeeded")),
        || json_response(200, &cluster_in_state("Deleting")),
        || error_response(404, "SubscriptionNotFound"),
        || error_response(404, "ResourceNotFound"),
    ])
    .await;
    let azure = fake.azure();
    let deleted = agent_pools::delete(&arm(&azure), "g", "n", "p").await.unwrap().unwrap();
    let operation = deleted.operation.unwrap();
    for _ in 0..2 {
        assert!(
            matches!(operation.poll(&arm(&azure)).await.unwrap(), OperationStatus::InProgress(_)),
            "the pool still exists"
        );
    }
    assert!(operation.poll(&arm(&azure)).await.is_err(), "the response is not about the pool");
    assert_eq!(operation.poll(&arm(&azure)).await.unwrap(), OperationStatus::Succeeded { error: None });
}

#[tokio::test]
async fn completed_write_has_no_operation() {
    for (response, has_resource) in [
        ((|| json_response(200, &cluster_in_state("Succeeded"))) as fn() -> Response, true),
        (|| json_response(201, &json!({"id": "/x", "name": "n"})), true),
    ] {
        let fake = FakeAzure::with_responses(vec![response]).await;
        let written = put_cluster(&fake.arm()).await.unwrap();
        assert_eq!((written.operation, written.resource.is_some()), (None, has_resource));
    }
    let fake = FakeAzure::with_responses(vec![|| empty_response(200), || empty_response(204)]).await;
    let azure = fake.azure();
    let deleted = agent_pools::delete(&arm(&azure), "g", "n", "p").await.unwrap().unwrap();
    assert_eq!(deleted.operation, None);
    assert_eq!(
        agent_pools::delete(&arm(&azure), "g", "n", "p").await.unwrap(),
        None,
        "204: nothing was there"
    );
}

#[tokio::test]
async fn long_response_to_a_write_is_complete() {
    let long = || json!({"name": "n", "tags": {"long": "x".repeat(200_000)}});
    let fake = FakeAzure::with_response(move |_| json_response(201, &long())).await;
    let written = put_cluster(&fake.arm()).await.unwrap();
    assert_eq!((written.resource, written.operation), (Some(long()), None));
}

#[tokio::test]
async fn kubeconfigs_are_read_but_not_printed() {
    let encoded = base64::engine::general_purpose::STANDARD.encode("apiVersion: v1 # canary");
    let fake = FakeAzure::with_response(move |request| match request.path.rsplit('/').next() {
        Some("listClusterAdminCredential") => {
            json_response(200, &json!({"kubeconfigs": [{"name": "clusterAdmin", "value": encoded}]}))
        }
        Some("listClusterUserCredential") if request.query.ends_with("format=exec") => {
            json_response(200, &json!({"kubeconfigs": [{"name": "clusterUser", "value": encoded}]}))
        }
        _ => json_response(
            200,
            &json!({"kubeconfigs": [{"name": "clusterUser", "value": "canary no base64"}]}),
        ),
    })
    .await;
    let arm = fake.arm();
    let admin = managed_clusters::list_admin_credential(&arm, "g", "n").await.unwrap();
    let user = managed_clusters::list_user_credential(&arm, "g", "n", UserFormat::Exec).await.unwrap();
    for kubeconfig in [admin, user] {
        assert_eq!(kubeconfig.expose_secret(), "apiVersion: v1 # canary");
        assert!(!format!("{kubeconfig:?}").contains("canary"));
    }
    let error = managed_clusters::list_user_credential(&arm, "g", "n", UserFormat::Azure).await.unwrap_err();
    let Error::Decode { source, .. } = &error else { panic!("{error:?}") };
    assert!(!format!("{error:?} {error} {source}").contains("canary"), "{error:?}");
    let [first, second, third] = fake.arm_requests().try_into().unwrap();
    assert_eq!(first.path, format!("{}/listClusterAdminCredential", cluster_path()));
    assert_eq!(second.path, format!("{}/listClusterUserCredential", cluster_path()));
    assert_eq!(third.query, "api-version=2024-02-01&format=azure");
    assert!([first, second, third].iter().all(|read| read.method == "POST"));
}

#[tokio::test]
async fn kubeconfig_request_is_retried_as_a_read() {
    let fake = FakeAzure::with_responses(vec![|| error_response(500, "InternalServerError"), || {
        error_response(400, "BadRequest")
    }])
    .await;
    let error = managed_clusters::list_admin_credential(&fake.arm(), "g", "n").await.unwrap_err();
    assert_eq!((error.code(), fake.arm_requests().len()), (Some("BadRequest"), 2));
}

#[tokio::test]
async fn pools_quotas_networks_and_providers_are_read() {
    let fake = FakeAzure::with_response(|request| {
        let path = request.path.as_str();
        if path.ends_with("/agentPools") {
            json_response(
                200,
                &json!({"value": [{"name": "a", "properties": {"count": 2}}, null, {"name": "b"}]}),
            )
        } else if path.ends_with("/usages") {
            let name = json!({"value": "cores", "localizedValue": "Total Regional vCPUs"});
            json_response(
                200,
                &json!({"value": [{"limit": 100, "unit": "Count", "currentValue": 7, "name": name}]}),
            )
        } else if path.ends_with("/subnets/s") {
            json_response(
                200,
                &json!({"name": "s", "properties": {"addressPrefix": "10.0.0.0/24",
                "natGateway": {"id": "/nat"}, "ipConfigurations": [{"id": "1"}, {"id": "2"}, {"id": "3"}]}}),
            )
        } else if path.ends_with("/virtualNetworks/v") {
            json_response(
                200,
                &json!({"name": "v", "properties": {"addressSpace": {"addressPrefixes":
                ["10.0.0.0/8", "fd00::/48"]}, "subnets": [{"name": "s"}]}}),
            )
        } else {
            json_response(200, &json!({"namespace": "Microsoft.Compute", "registrationState": "Registered"}))
        }
    })
    .await;
    let arm = fake.arm();
    let pools = agent_pools::list(&arm, "g", "n").await.unwrap();
    assert_eq!(pools.iter().filter_map(|pool| pool.name.as_deref()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(pools[0].properties.as_ref().unwrap().count, Some(2));
    let [cores] = usages::list(&arm, "eastus").await.unwrap().try_into().unwrap();
    assert_eq!((cores.current_value, cores.limit), (Some(7), Some(100)));
    assert_eq!(cores.name.unwrap().value.as_deref(), Some("cores"));
    assert!(matches!(usages::list(&arm, "").await, Err(Error::EmptyRegion)));
    let subnet = virtual_networks::subnet(&arm, "g", "v", "s").await.unwrap().unwrap();
    let subnet = subnet.properties.unwrap();
    assert_eq!((subnet.used_addresses, subnet.address_prefix.as_deref()), (3, Some("10.0.0.0/24")));
    assert_eq!(subnet.nat_gateway.unwrap().id.as_deref(), Some("/nat"));
    let network = virtual_networks::get(&arm, "g", "v").await.unwrap().unwrap().properties.unwrap();
    assert_eq!(network.address_space.unwrap().address_prefixes, ["10.0.0.0/8", "fd00::/48"]);
    assert_eq!(network.subnets.len(), 1);
    assert!(providers::get(&arm, "Microsoft.Compute").await.unwrap().is_registered());
    let versions: Vec<_> = fake.arm_requests().into_iter().map(|read| read.query).collect();
    assert_eq!(
        versions,
        ["2024-02-01", "2024-03-01", "2023-11-01", "2023-11-01", "2021-04-01"]
            .map(|v| format!("api-version={v}"))
    );
}

#[tokio::test]
async fn invalid_response_is_not_an_absence() {
    for body in ["", "[]", "null", "<html/>", "{\"id\":"] {
        let fake = FakeAzure::with_response(move |_| (StatusCode::OK, body).into_response()).await;
        let azure = fake.azure();
        let error = managed_clusters::get(&arm(&azure), "g", "n").await.unwrap_err();
        assert!(error.is_unusable_response() && !error.is_not_found(), "{body}: {error:?}");
        let may_be_accepted = match put_cluster(&arm(&azure)).await {
            Ok(written) => written.resource.is_none() && written.operation.is_some(),
            Err(error) => error.may_have_been_accepted(),
        };
        assert!(may_be_accepted, "the write may have been accepted: {body}");
    }
}

/// The formats of operations that resource providers have used since 2017. An operation with any status may have an error.
#[tokio::test]
async fn operation_status_decides_and_its_error_is_kept() {
    let time = "2023-11-01T09:27:55.4840661Z";
    let error = json!({"code": "NotLatestOperation", "message": "another operation came first"});
    for (body, expected) in [
        (
            json!({"startTime": "2019-10-17T03:49:23.6318424+00:00", "status": "InProgress", "name": "o"}),
            None,
        ),
        (json!({"name": "o", "status": "InProgress", "startTime": time}), None),
        (json!({"name": "o", "status": "InProgress", "startTime": time, "error": error}), None),
        (
            json!({"name": "o", "status": "InProgress", "error": {"code": "OverlaymgrReconcileError", "message": ""}}),
            None,
        ),
        (json!({"startTime": time, "endTime": time, "status": "Succeeded", "name": "o"}), Some(true)),
        (
            json!({"name": "o", "status": "Succeeded", "startTime": time, "endTime": time, "error": error}),
            Some(true),
        ),
        (
            json!({"name": "o", "status": "Failed", "startTime": time, "endTime": time, "error": error}),
            Some(false),
        ),
    ] {
        let response = Arc::new(body.clone());
        let fake = FakeAzure::with_response(move |_| json_response(200, &response)).await;
        let operation =
            LongRunningOperation::from_text(Cloud::Public, &format!("status change 5 {OPERATION_URL}"))
                .unwrap();
        let (succeeded, reported) = match operation.poll(&fake.arm()).await.unwrap() {
            OperationStatus::InProgress(progress) => (None, progress.error),
            OperationStatus::Succeeded { error } => (Some(true), error),
            OperationStatus::Failed(error) => (Some(false), Some(error)),
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(succeeded, expected, "{body}");
        let code = reported.as_ref().and_then(|error| error.code.as_deref());
        assert_eq!(code, body["error"]["code"].as_str(), "{body}");
    }
}

/// A cluster of an API version of 2019 and one of 2023, with unknown properties.
#[test]
fn cluster_is_read_without_loss() {
    let pool = json!({"name": "nodepool1", "count": 3, "vmSize": "Standard_DS2_v2", "maxPods": 110, "osType": "Linux"});
    let mut recent_pool = pool.clone();
    for (key, value) in [
        ("powerState", json!({"code": "Running"})),
        ("currentOrchestratorVersion", json!("1.27.7")),
        ("upgradeSettings", json!({})),
        ("networkProfile", json!({})),
        ("securityProfile", json!({"sshAccess": "LocalUser"})),
    ] {
        recent_pool[key] = value;
    }
    let old = json!({"provisioningState": "Succeeded", "nodeResourceGroup": "MC_g_n_eastus", "kubernetesVersion": "1.14.8",
        "agentPoolProfiles": [pool]});
    let recent = json!({"provisioningState": "Succeeded", "nodeResourceGroup": "MC_g_n_eastus", "powerState": {"code": "Running"},
        "kubernetesVersion": "1.27", "currentKubernetesVersion": "1.27.7", "agentPoolProfiles": [recent_pool, recent_pool],
        "azurePortalFQDN": "n.portal.hcp.eastus.azmk8s.io", "storageProfile": {"diskCSIDriver": {"enabled": true, "version": "v1"}},
        "identityProfile": null});
    for (properties, pools) in [(old, 1), (recent, 2)] {
        let body = json!({"id": "/x", "location": "eastus", "name": "n", "type": "Microsoft.ContainerService/ManagedClusters",
            "properties": properties, "sku": {"name": "Base", "tier": "Free"}});
        let cluster = Resource::<ManagedCluster>::new(body.clone()).unwrap();
        assert_eq!(cluster.raw, body);
        assert_eq!(cluster.view.name.as_deref(), Some("n"));
        let properties = cluster.view.properties.unwrap();
        assert_eq!(properties.provisioning_state.as_deref(), Some("Succeeded"));
        assert_eq!(properties.node_resource_group.as_deref(), Some("MC_g_n_eastus"));
        let counts: Vec<_> = properties.agent_pool_profiles.iter().map(|pool| pool.count).collect();
        assert_eq!(counts, vec![Some(3); pools]);
    }
}
