//! The Azure client: tokens, retries, lists, tenants and errors.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use azure::{
    Azure, BuildError, Cloud, Credential, DiscoveryError, DiscoveryPurpose, Error, Options, Reason, Service,
    kubernetes_versions, locations, managed_clusters, skus, subscriptions, virtual_networks, vm_sizes,
};
use futures_util::future::join_all;
use http::StatusCode;
use secrecy::SecretString;
use serde_json::json;
use tokio::time::Instant;

use super::azure_fake::{
    FakeAzure, Gate, SECRET, SUBSCRIPTION, TENANT, arm, bad_secret_response, credential, credential_in,
    default_deadline, error_response, hosts, json_response, token_response, wait_until, with_header,
};
use crate::support::advance_time;

/// Reads the subscription with concurrent callers; returns their results.
async fn call_concurrently(callers: usize, azure: &Azure) -> Vec<Result<(), Error>> {
    let calls = (0..callers).map(|_| {
        let arm = arm(azure);
        tokio::spawn(async move { subscriptions::get(&arm).await.map(drop) })
    });
    join_all(calls.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_callers_share_one_token_request() {
    let fake = FakeAzure::with_response(|_| json_response(200, &json!({}))).await;
    let outcomes = call_concurrently(100, &fake.azure()).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!((fake.logins(), fake.arm_requests().len()), (1, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_callers_share_one_rejection() {
    let fake = FakeAzure::with_logins(vec![bad_secret_response]).await;
    let azure = fake.azure();
    for outcome in call_concurrently(100, &azure).await {
        let Err(Error::Login(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!((error.status, error.code.as_deref()), (401, Some("AADSTS7000215")));
        assert_eq!(error.error.as_deref(), Some("invalid_client"));
        assert!(error.description.as_deref().unwrap().contains("\"provided\".\r\nTrace"), "{error:?}");
        assert_eq!(error.url, format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"));
        assert!(error.is_json && !Error::Login(error).is_transient());
    }
    assert_eq!(fake.requests().len(), 1);

    subscriptions::get(&arm(&azure)).await.unwrap_err();
    assert_eq!(fake.requests().len(), 1, "the rejection is cached for ten seconds");
    fake.clock.advance(Duration::from_secs(11));
    subscriptions::get(&arm(&azure)).await.unwrap_err();
    assert_eq!(fake.requests().len(), 2);
}

#[tokio::test]
async fn token_request_is_valid_in_every_cloud() {
    let fake = FakeAzure::with_response(|_| json_response(200, &json!({}))).await;
    let azure = fake.azure();
    for cloud in Cloud::ALL {
        let arm = azure.arm(&credential_in(cloud), default_deadline()).unwrap();
        subscriptions::get(&arm).await.unwrap();
        let requests = fake.requests();
        let [.., login, read] = requests.as_slice() else { panic!("{requests:?}") };
        assert_eq!((login.method.as_str(), login.host.as_str()), ("POST", cloud.login_host()));
        assert_eq!(
            (login.path.as_str(), login.query.as_str()),
            (&*format!("/{TENANT}/oauth2/v2.0/token"), "")
        );
        let form: Vec<_> = url::form_urlencoded::parse(login.body.as_bytes()).into_owned().collect();
        for pair in [
            ("client_id", "client & co"),
            ("client_secret", SECRET),
            ("grant_type", "client_credentials"),
            ("scope", &format!("{}/.default", cloud.audience())),
        ] {
            assert!(form.contains(&(pair.0.to_owned(), pair.1.to_owned())), "{form:?}");
        }
        assert_eq!(form.len(), 4);
        assert_eq!(read.host, cloud.arm_host());
        assert_eq!(read.path, format!("/subscriptions/{SUBSCRIPTION}"));
        assert_eq!(read.query, "api-version=2016-06-01");
        assert_eq!(read.header("authorization"), "Bearer token-1");
        assert_eq!(read.header("accept"), "application/json");
        assert_eq!(read.header("user-agent"), concat!("norman-aks/", env!("CARGO_PKG_VERSION")));
        assert_eq!(login.header("user-agent"), read.header("user-agent"));
    }
    assert_eq!(fake.requests().len(), 6);
    let ids: HashSet<_> =
        fake.arm_requests().iter().map(|r| r.header("x-ms-client-request-id").to_owned()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| uuid::Uuid::parse_str(id).is_ok()));
}

/// An Azure whose first login returns the token `old` at once; later logins wait for the gate, then return `later`.
async fn with_gated_renewal(gate: &Gate, later: fn() -> Response) -> FakeAzure {
    let (gate, logins) = (gate.clone(), AtomicUsize::new(0));
    FakeAzure::start(move |request| {
        let login = request.is_login().then(|| logins.fetch_add(1, Ordering::SeqCst));
        let gate = gate.clone();
        async move {
            match login {
                Some(0) => token_response("old"),
                Some(_) => {
                    gate.pass().await;
                    later()
                }
                None => json_response(200, &json!({})),
            }
        }
    })
    .await
}

#[tokio::test]
async fn expiring_token_is_used_while_its_renewal_fails() {
    let gate = Gate::closed();
    let fake = with_gated_renewal(&gate, || error_response(503, "Down")).await;
    let azure = fake.azure();
    subscriptions::get(&arm(&azure)).await.unwrap();
    fake.clock.advance(Duration::from_secs(3600 - 271));
    subscriptions::get(&arm(&azure)).await.unwrap();
    assert_eq!(fake.logins(), 1, "too early for a renewal");

    fake.clock.advance(Duration::from_secs(21));
    subscriptions::get(&arm(&azure)).await.unwrap();
    wait_until(|| fake.logins() == 2).await;
    gate.open();
    wait_until(|| fake.logins() == 4).await;
    subscriptions::get(&arm(&azure)).await.unwrap();
    assert_eq!(fake.logins(), 4, "the failure is shared and cached");
    assert!(fake.arm_requests().iter().all(|read| read.header("authorization") == "Bearer old"));
}

#[tokio::test]
async fn nearly_expired_token_is_used_if_there_is_no_new_one() {
    let gate = Gate::closed();
    gate.open();
    let fake = with_gated_renewal(&gate, || error_response(503, "Down")).await;
    let azure = fake.azure();
    subscriptions::get(&arm(&azure)).await.unwrap();
    fake.clock.advance(Duration::from_secs(3600 - 10));
    for _ in 0..2 {
        subscriptions::get(&arm(&azure)).await.unwrap();
        assert_eq!(fake.logins(), 4, "the caller waits for three attempts, whose failure is cached");
    }
    assert!(fake.arm_requests().iter().all(|read| read.header("authorization") == "Bearer old"));

    fake.clock.advance(Duration::from_secs(20));
    let error = subscriptions::get(&arm(&azure)).await.unwrap_err();
    assert_eq!((error.upstream_status(), error.is_transient()), (Some(503), true));
}

#[tokio::test]
async fn token_is_renewed_in_the_background() {
    let gate = Gate::closed();
    let fake = with_gated_renewal(&gate, || token_response("new")).await;
    let azure = fake.azure();
    let bearer = async || {
        subscriptions::get(&arm(&azure)).await.unwrap();
        fake.arm_requests().pop().unwrap().header("authorization").to_owned()
    };
    bearer().await;
    fake.clock.advance(Duration::from_secs(3600 - 250));
    for _ in 0..5 {
        assert_eq!(bearer().await, "Bearer old");
    }
    gate.open();
    let renewed = async { while bearer().await != "Bearer new" {} };
    tokio::time::timeout(Duration::from_secs(10), renewed).await.unwrap();
    assert_eq!(fake.logins(), 2);
}

#[tokio::test]
async fn new_token_bypasses_the_cache() {
    let accepts_secret = Arc::new(AtomicBool::new(false));
    let accepts = Arc::clone(&accepts_secret);
    let fake = FakeAzure::start(move |request| {
        std::future::ready(match (request.is_login(), accepts.load(Ordering::SeqCst)) {
            (true, false) => bad_secret_response(),
            (true, true) => token_response("good"),
            (false, _) => json_response(200, &json!({})),
        })
    })
    .await;
    let azure = fake.azure();
    assert!(subscriptions::get(&arm(&azure)).await.is_err());
    accepts_secret.store(true, Ordering::SeqCst);
    assert!(subscriptions::get(&arm(&azure)).await.is_err(), "the failure is cached");
    assert_eq!(fake.logins(), 1);
    let fresh = arm(&azure).with_new_token();
    subscriptions::get(&fresh).await.unwrap();
    subscriptions::get(&fresh).await.unwrap();
    assert_eq!(fake.logins(), 2, "one new token for all requests of this client");
    subscriptions::get(&arm(&azure)).await.unwrap();
    assert_eq!(fake.logins(), 2, "the new token is cached for all callers");

    accepts_secret.store(false, Ordering::SeqCst);
    let error = subscriptions::get(&arm(&azure).with_new_token()).await.unwrap_err();
    assert_eq!(error.code(), Some("AADSTS7000215"));
    subscriptions::get(&arm(&azure)).await.unwrap();
    assert_eq!(fake.logins(), 3, "other callers still have the cached token");
}

#[tokio::test]
async fn transient_login_failures_are_retried() {
    let fake = FakeAzure::with_logins(vec![
        || (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response(),
        || with_header(error_response(429, "Slow"), "retry-after", "0"),
        || token_response("third"),
    ])
    .await;
    subscriptions::get(&fake.arm()).await.unwrap();
    assert_eq!(fake.logins(), 3);
    assert_eq!(fake.arm_requests()[0].header("authorization"), "Bearer third");
}

#[tokio::test]
async fn responses_without_a_valid_token_are_errors() {
    for body in [
        json!({}),
        json!({"access_token": "t"}),
        json!({"access_token": "t", "expires_in": i64::MAX}),
        json!({"access_token": "t", "expires_in": -1}),
        json!({"access_token": "a\nb", "expires_in": 3600}),
        json!({"access_token": 7, "expires_in": 3600}),
        json!("canary"),
        json!(null),
    ] {
        let fake = FakeAzure::start({
            let body = body.clone();
            move |_| std::future::ready(json_response(200, &body))
        })
        .await;
        let error = subscriptions::get(&fake.arm()).await.unwrap_err();
        assert!(matches!(error, Error::Decode { .. }), "{body}: {error:?}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        assert_eq!(fake.requests().len(), 1);
    }
}

#[tokio::test]
async fn cancelled_caller_does_not_affect_others() {
    let gate = Gate::closed();
    let gate_of_server = gate.clone();
    let fake = FakeAzure::start(move |request| {
        let gate = gate_of_server.clone();
        async move {
            if !request.is_login() {
                return json_response(200, &json!({}));
            }
            gate.pass().await;
            token_response("token-1")
        }
    })
    .await;
    let azure = fake.azure();
    let call = || {
        let arm = arm(&azure);
        tokio::spawn(async move { subscriptions::get(&arm).await })
    };
    let cancelled = call();
    wait_until(|| fake.logins() == 1).await;
    let other = call();
    tokio::task::yield_now().await;
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    gate.open();
    other.await.unwrap().unwrap();
    assert_eq!((fake.logins(), fake.arm_requests().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rejected_token_is_replaced_once() {
    let logins = AtomicUsize::new(0);
    let fake = FakeAzure::start(move |request| {
        let login = request.is_login().then(|| logins.fetch_add(1, Ordering::SeqCst));
        async move {
            match login {
                Some(0) => token_response("OLD"),
                Some(_) => token_response("NEW"),
                None if request.header("authorization") == "Bearer NEW" => json_response(200, &json!({})),
                None => error_response(401, "ExpiredAuthenticationToken"),
            }
        }
    })
    .await;
    let azure = fake.azure();
    let outcomes = call_concurrently(20, &azure).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(fake.logins(), 2, "one request for all callers each time");
    let arm_requests = fake.arm_requests();
    assert_eq!(arm_requests.first().unwrap().header("authorization"), "Bearer OLD");
    assert_eq!(arm_requests.last().unwrap().header("authorization"), "Bearer NEW");
}

#[tokio::test]
async fn second_401_is_returned() {
    let fake = FakeAzure::with_response(|_| error_response(401, "InvalidAuthenticationTokenTenant")).await;
    let error = subscriptions::get(&fake.arm()).await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidAuthenticationTokenTenant"));
    assert_eq!((fake.logins(), fake.arm_requests().len()), (2, 2));
}

#[tokio::test]
async fn only_transient_statuses_are_retried() {
    for (status, arm_requests) in [
        (408, 4),
        (429, 4),
        (500, 4),
        (502, 4),
        (503, 4),
        (504, 4),
        (400, 1),
        (403, 1),
        (404, 1),
        (409, 1),
        (501, 1),
        (201, 1),
        (204, 1),
    ] {
        let fake = FakeAzure::with_response(move |_| error_response(status, "Word")).await;
        let error = subscriptions::get(&fake.arm()).await.unwrap_err();
        assert_eq!(error.upstream_status(), Some(status));
        assert_eq!(fake.arm_requests().len(), arm_requests, "{status}");
        assert_eq!(error.is_transient(), matches!(status, 408 | 429 | 500..), "{status}");
        let ids: HashSet<_> =
            fake.arm_requests().iter().map(|r| r.header("x-ms-client-request-id").to_owned()).collect();
        assert_eq!(ids.len(), arm_requests, "every attempt has its own ID");
    }
}

#[tokio::test]
async fn requested_delay_precedes_the_retry() {
    let count = AtomicUsize::new(0);
    let fake = FakeAzure::with_response(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => with_header(error_response(429, "Slow"), "retry-after-ms", "20"),
        _ => json_response(200, &json!({})),
    })
    .await;
    subscriptions::get(&fake.arm()).await.unwrap();
    assert_eq!(fake.arm_requests().len(), 2);
}

#[tokio::test]
async fn long_requested_delay_is_returned_as_an_error() {
    for (retry_after, time_left, expected) in [("3600", 20, 3600), ("30", 20, 30), ("61", 300, 61)] {
        let fake = FakeAzure::with_response(move |_| {
            with_header(error_response(429, "Slow"), "retry-after", retry_after)
        })
        .await;
        let azure = fake.azure();
        let arm = azure.arm(&credential(), Instant::now() + Duration::from_secs(time_left)).unwrap();
        let error = subscriptions::get(&arm).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(expected)));
        assert!(error.is_transient());
        assert_eq!(fake.arm_requests().len(), 1);
    }
}

#[tokio::test]
async fn error_response_is_kept_as_received() {
    let body =
        "{\"error\" : {\"code\":\"AuthorizationFailed\",\n \"message\":\"no \\\"right\\\"\"}, \"a\":1}";
    let fake = FakeAzure::with_response(move |_| {
        let headers = [
            ("content-type", "text/plain"),
            ("x-ms-request-id", "azure-request"),
            ("x-ms-correlation-request-id", "azure-correlation"),
        ];
        (StatusCode::FORBIDDEN, headers, body).into_response()
    })
    .await;
    let error = skus::list(&fake.arm(), "East US/'x").await.unwrap_err();
    let Error::Arm(arm_error) = &error else { panic!("{error:?}") };
    assert_eq!(arm_error.method, "GET");
    assert_eq!(
        arm_error.url,
        format!("https://management.azure.com/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/skus")
    );
    assert_eq!(arm_error.body, body);
    assert_eq!(arm_error.message.as_deref(), Some("no \"right\""));
    assert_eq!((error.code(), error.request_id()), (Some("AuthorizationFailed"), Some("azure-request")));
    assert_eq!(arm_error.correlation_id.as_deref(), Some("azure-correlation"));
    assert_eq!(
        fake.arm_requests()[0].query,
        "%24filter=location%20eq%20%27East%20US%2F%27%27x%27&api-version=2021-07-01"
    );

    let error = vm_sizes::list(&fake.arm(), "East US/x").await.unwrap_err();
    let Error::Arm(arm_error) = &error else { panic!("{error:?}") };
    assert!(
        arm_error.url.ends_with("/Microsoft.Compute/locations/East%20US%2Fx/vmSizes"),
        "{}",
        arm_error.url
    );
    assert_eq!(format!("https://management.azure.com{}", fake.arm_requests()[1].path), arm_error.url);
}

#[tokio::test]
async fn a_missing_provider_is_reported_and_not_registered() {
    let fake = FakeAzure::with_response(|_| error_response(409, "MissingSubscriptionRegistration")).await;
    let error = managed_clusters::list(&fake.arm()).await.unwrap_err();
    assert_eq!(error.code(), Some("MissingSubscriptionRegistration"));
    assert_eq!(fake.arm_requests().len(), 1);
}

#[tokio::test]
async fn response_bodies_are_limited() {
    let fake = FakeAzure::with_response(|request| {
        if request.path.ends_with("/locations") {
            let part = axum::body::Bytes::from(vec![b' '; 1 << 20]);
            let parts = (0..33).map(move |_| Ok::<_, std::io::Error>(part.clone()));
            Body::from_stream(futures_util::stream::iter(parts)).into_response()
        } else {
            (StatusCode::BAD_REQUEST, "x".repeat(100_000)).into_response()
        }
    })
    .await;
    let azure = fake.azure();
    let Error::Arm(arm_error) = subscriptions::get(&arm(&azure)).await.unwrap_err() else { panic!() };
    assert_eq!(arm_error.body.len(), 64 * 1024);
    let error = locations::list(&arm(&azure), locations::ApiVersion::Plain2016).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert_eq!(fake.arm_requests().len(), 2);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let fake = FakeAzure::with_response(|_| {
        with_header(error_response(302, "Moved"), "location", "https://management.chinacloudapi.cn/elsewhere")
    })
    .await;
    let error = subscriptions::get(&fake.arm()).await.unwrap_err();
    assert_eq!(error.upstream_status(), Some(302));
    assert_eq!(fake.arm_requests().len(), 1);
}

#[tokio::test]
async fn lists_are_read_to_the_last_page() {
    let fake = FakeAzure::with_response(|request| {
        let next = |page: u8| {
            json!(format!(
                "https://management.azure.com:443{}?$skiptoken=p {page}&api-version=x",
                request.path
            ))
        };
        let page = match request.query.split_once("p%20").map(|(_, page)| page.split_once('&').unwrap().0) {
            None => json!({"value": [{"name": "a"}, null], "nextLink": next(2)}),
            Some("2") => json!({"value": [], "nextLink": next(3)}),
            Some("3") => json!({"nextLink": next(4), "value": []}),
            Some("4") => json!({"value": [{"name": "b"}, null, {}, {"name": 1}], "nextLink": ""}),
            Some(other) => panic!("{other}"),
        };
        json_response(200, &page)
    })
    .await;
    let names: Vec<_> =
        vm_sizes::list(&fake.arm(), "eastus").await.unwrap().into_iter().map(|size| size.name).collect();
    assert_eq!(names, [Some("a".to_owned()), Some("b".to_owned()), None, None]);
    assert_eq!(fake.arm_requests().len(), 4);
    assert!(fake.arm_requests().iter().all(|read| read.header("authorization") == "Bearer token-1"));
}

#[tokio::test]
async fn foreign_links_are_not_followed() {
    for (link, host) in [
        ("https://management.chinacloudapi.cn/subscriptions", "management.chinacloudapi.cn"),
        ("http://management.azure.com/subscriptions", "management.azure.com"),
        ("https://management.azure.com@login.microsoftonline.com/", "login.microsoftonline.com"),
        ("/subscriptions", ""),
    ] {
        let fake =
            FakeAzure::with_response(move |_| json_response(200, &json!({"value": [], "nextLink": link})))
                .await;
        let error = virtual_networks::list(&fake.arm()).await.unwrap_err();
        assert!(matches!(&error, Error::ForeignLink { host: actual } if actual == host), "{link}: {error:?}");
        assert_eq!(fake.requests().len(), 2, "{link}");
    }
}

#[tokio::test]
async fn endless_lists_are_errors() {
    let fake = FakeAzure::with_response(|request| {
        let link = format!("https://management.azure.com{}?page=2", request.path);
        json_response(200, &json!({"value": [], "nextLink": link}))
    })
    .await;
    let error = virtual_networks::list(&fake.arm()).await.unwrap_err();
    assert!(matches!(error, Error::Endless { pages: 2 }), "{error:?}");
    assert_eq!(fake.arm_requests().len(), 2);

    let count = AtomicUsize::new(0);
    let fake = FakeAzure::with_response(move |request| {
        let page = count.fetch_add(1, Ordering::SeqCst);
        let link = format!("https://management.azure.com{}?page={page}", request.path);
        json_response(200, &json!({"value": [], "nextLink": link}))
    })
    .await;
    // A thousand requests take long on a busy machine.
    let arm = fake.azure().arm(&credential(), Instant::now() + Duration::from_mins(5)).unwrap();
    let error = virtual_networks::list(&arm).await.unwrap_err();
    assert!(matches!(error, Error::Endless { pages: 1_000 }), "{error:?}");
}

#[tokio::test]
async fn resources_are_read_from_their_urls() {
    let fake = FakeAzure::with_response(|request| {
        let is_path = |path: &str| request.path == format!("/subscriptions/{SUBSCRIPTION}{path}");
        let body = match request.query.as_str() {
            "api-version=2016-06-01" if is_path("/locations") => {
                json!({"value": [{"name": "eastus", "displayName": "East US", "id": "/x"}]})
            }
            "api-version=2022-12-01" if is_path("/locations") => json!({"value": [
                {"name": "eastus", "metadata": {"regionType": "Physical"},
                 "availabilityZoneMappings": [{"logicalZone": "1", "physicalZone": "eastus-az3"}]},
                {"name": "us", "metadata": null, "availabilityZoneMappings": null}]}),
            "api-version=2024-02-01"
                if is_path("/providers/Microsoft.ContainerService/locations/eastus/kubernetesVersions") =>
            {
                json!({"values": [{"version": "1.31", "isPreview": null, "isDefault": true,
                    "capabilities": {"supportPlan": ["KubernetesOfficial", null]},
                    "patchVersions": {"1.31.5": {"upgrades": ["1.31.6"]}, "1.31.6": null}}]})
            }
            "api-version=2024-02-01" if is_path("/providers/Microsoft.ContainerService/managedClusters") => {
                json!({"value": [{"id": "/i", "name": "n", "location": "l",
                    "properties": {"enableRBAC": true, "kubernetesVersion": "1.31", "maxAgentPools": 100}},
                    {"properties": "odd"}]})
            }
            "api-version=2023-11-01" if is_path("/providers/Microsoft.Network/virtualNetworks") => {
                json!({"value": [{"id": "/i", "name": "n", "location": "l", "properties": {"subnets": [
                    {"name": "old", "properties": {"addressPrefix": "10.0.0.0/24"}},
                    {"name": "new", "properties": {"addressPrefixes": ["10.0.1.0/24", "fd00::/64"]}}]}}]})
            }
            "api-version=2024-03-01" if is_path("/providers/Microsoft.Compute/locations/eastus/vmSizes") => {
                json!({"value": [{"name": "Standard_B2s", "numberOfCores": 2}]})
            }
            "%24filter=location%20eq%20%27eastus%27&api-version=2021-07-01"
                if is_path("/providers/Microsoft.Compute/skus") =>
            {
                json!({"value": [
                    {"resourceType": "disks", "name": "Premium_LRS"},
                    {"resourceType": "virtualMachines", "name": "Standard_D2s_v5",
                     "locationInfo": [{"location": "eastus", "zones": ["3", "1"]}],
                     "capabilities": [{"name": "AcceleratedNetworkingEnabled", "value": "True"}]}]})
            }
            _ => return error_response(404, "NoSuchAddress"),
        };
        json_response(200, &body)
    })
    .await;
    let arm = fake.arm();

    let plain = locations::list(&arm, locations::ApiVersion::Plain2016).await.unwrap();
    assert_eq!(plain[0].display_name.as_deref(), Some("East US"));
    let zones = locations::list(&arm, locations::ApiVersion::Zones2022).await.unwrap();
    assert_eq!(zones[0].availability_zone_mappings[0].logical_zone.as_deref(), Some("1"));
    assert_eq!(zones[0].metadata.as_ref().unwrap().region_type.as_deref(), Some("Physical"));
    assert!(zones[1].availability_zone_mappings.is_empty());

    let versions = kubernetes_versions::list(&arm, "eastus").await.unwrap();
    assert_eq!((versions[0].version.as_deref(), versions[0].is_default), (Some("1.31"), Some(true)));
    assert_eq!(versions[0].capabilities.as_ref().unwrap().support_plan, ["KubernetesOfficial"]);
    assert_eq!(versions[0].patch_versions["1.31.5"].upgrades, ["1.31.6"]);
    assert!(versions[0].patch_versions["1.31.6"].upgrades.is_empty());

    let clusters = managed_clusters::list(&arm).await.unwrap();
    assert_eq!(clusters[0].properties.as_ref().unwrap().enable_rbac, Some(true));
    assert_eq!((clusters.len(), clusters[1].properties.as_ref()), (2, None));

    let networks = virtual_networks::list(&arm).await.unwrap();
    let subnets = &networks[0].properties.as_ref().unwrap().subnets;
    assert_eq!(subnets[0].properties.as_ref().unwrap().address_prefix.as_deref(), Some("10.0.0.0/24"));
    assert_eq!(subnets[1].properties.as_ref().unwrap().address_prefixes, ["10.0.1.0/24", "fd00::/64"]);

    assert_eq!(vm_sizes::list(&arm, "eastus").await.unwrap()[0].name.as_deref(), Some("Standard_B2s"));
    let sizes = skus::list(&arm, "eastus").await.unwrap();
    assert_eq!(sizes.len(), 1);
    assert_eq!(sizes[0].name.as_deref(), Some("Standard_D2s_v5"));
    assert_eq!(
        (sizes[0].capabilities.accelerated_networking, sizes[0].zones.as_slice()),
        (true, ["3", "1"].map(String::from).as_slice())
    );

    for empty in [
        kubernetes_versions::list(&arm, "").await.map(drop),
        vm_sizes::list(&arm, "").await.map(drop),
        skus::list(&arm, "").await.map(drop),
    ] {
        assert!(matches!(empty, Err(Error::EmptyRegion)), "{empty:?}");
    }
    let encoded_dots = kubernetes_versions::list(&arm, "%2e%2E").await;
    assert!(matches!(encoded_dots, Err(Error::BadUrl(ref text)) if text == "%2e%2E"), "{encoded_dots:?}");
    assert_eq!(fake.arm_requests().len(), 7);
}

#[tokio::test]
async fn large_page_is_parsed() {
    let sku = |n: usize| {
        json!({"resourceType": if n.is_multiple_of(10) { "disks" } else { "virtualMachines" },
            "name": format!("size-{n}"), "locationInfo": [{"zones": ["1"]}],
            "capabilities": (0..20).map(|c| json!({"name": format!("capability{c}"), "value": "1"})).collect::<Vec<_>>()})
    };
    let body = json!({"value": (0..1_000).map(sku).collect::<Vec<_>>()}).to_string();
    assert!(body.len() > 700_000);
    let fake = FakeAzure::with_response(move |_| body.clone().into_response()).await;
    let sizes = skus::list(&fake.arm(), "eastus").await.unwrap();
    assert_eq!(sizes.len(), 900);
    assert_eq!(sizes[899].name.as_deref(), Some("size-999"));
    assert!(fake.arm_requests()[0].header("accept-encoding").contains("gzip"));
}

#[tokio::test]
async fn lists_in_other_formats_are_errors() {
    for body in [
        "",
        "<html>",
        "[]",
        "7",
        "null",
        "\"x\"",
        "{}",
        "\u{feff}{}",
        "{\"value\":",
        "{\"value\":7}",
        "{\"value\":{}}",
        "{\"value\":null}",
        "{\"value\":[[[]]]}",
        "{\"value\":[null]}",
        "{\"value\":[{\"name\":\"a\"},7]}",
        "{\"value\":[{\"name\":\"a\"},\"b\"]}",
        "{\"value\":[],\"nextLink\":{}}",
        "{\"error\":{\"code\":\"C\"}}",
    ] {
        let fake = FakeAzure::with_response(move |_| body.into_response()).await;
        let error = virtual_networks::list(&fake.arm()).await.unwrap_err();
        assert!(error.is_unusable_response(), "{body}: {error:?}");
        assert!(!error.is_transient());
    }
    let fake = FakeAzure::with_response(|_| b"{\"value\":[{\"name\":\"\xff\"}]}".into_response()).await;
    let error = virtual_networks::list(&fake.arm()).await.unwrap_err();
    assert!(error.is_unusable_response(), "{error:?}");
    for body in ["{\"value\":[]}", "\u{feff}{\"value\":[],\"nextLink\":null}"] {
        let fake = FakeAzure::with_response(move |_| body.into_response()).await;
        assert_eq!(virtual_networks::list(&fake.arm()).await.unwrap(), [], "{body}");
    }
}

#[tokio::test]
async fn deadline_covers_login_and_request() {
    for (login_hangs, service) in [(true, Service::Login), (false, Service::Arm)] {
        let fake = FakeAzure::start(move |request| async move {
            if request.is_login() == login_hangs {
                std::future::pending::<()>().await;
            }
            token_response("token-1")
        })
        .await;
        let azure = fake.azure();
        for needs_new_token in [false, true] {
            // A hanging login times out in real time, a hanging request when the test advances the time.
            let timeout = Duration::from_millis(if login_hangs { 200 } else { 5_000 });
            let arm = azure.arm(&credential(), Instant::now() + timeout).unwrap();
            let arm = if needs_new_token { arm.with_new_token() } else { arm };
            let count = fake.arm_requests().len();
            let expire = async {
                if !login_hangs {
                    wait_until(|| fake.arm_requests().len() > count).await;
                    advance_time(timeout).await;
                }
            };
            let (outcome, ()) = tokio::join!(subscriptions::get(&arm), expire);
            let error = outcome.unwrap_err();
            assert!(matches!(error, Error::TimedOut { to } if to == service), "{error:?}");
            assert!(error.is_transient());
        }
    }
}

#[tokio::test]
async fn deadline_covers_all_pages() {
    let count = AtomicUsize::new(0);
    let fake = FakeAzure::start(move |request| {
        let page = if request.is_login() { 0 } else { count.fetch_add(1, Ordering::SeqCst) };
        async move {
            match page {
                _ if request.is_login() => token_response("token-1"),
                0..3 => {
                    let link = format!("https://management.azure.com{}?page={page}", request.path);
                    json_response(200, &json!({"value": [], "nextLink": link}))
                }
                _ => std::future::pending().await,
            }
        }
    })
    .await;
    let timeout = Duration::from_secs(5);
    let arm = fake.azure().arm(&credential(), Instant::now() + timeout).unwrap();
    let expire = async {
        wait_until(|| fake.arm_requests().len() == 4).await;
        advance_time(timeout).await;
    };
    let (outcome, ()) = tokio::join!(virtual_networks::list(&arm), expire);
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::TimedOut { to: Service::Arm }), "{error:?}");
    assert_eq!(fake.arm_requests().len(), 4);
}

#[tokio::test]
async fn truncated_response_is_retried() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let fake = FakeAzure::with_response(move |_| {
        if counter.fetch_add(1, Ordering::SeqCst) == 1 {
            return json_response(200, &json!({"value": []}));
        }
        let parts = [Ok(axum::body::Bytes::from("{\"value\":")), Err(std::io::Error::other("cut"))];
        Body::from_stream(futures_util::stream::iter(parts)).into_response()
    })
    .await;
    let azure = fake.azure();
    assert!(virtual_networks::list(&arm(&azure)).await.unwrap().is_empty());
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let error = virtual_networks::list(&arm(&azure)).await.unwrap_err();
    assert!(matches!(error, Error::NoResponse { to: Service::Arm, .. }), "{error:?}");
    assert_eq!(count.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn missing_response_has_a_reason() {
    let fake = FakeAzure::with_response(|_| json_response(200, &json!({}))).await;
    let untrusted = Options { extra_roots_pem: None, ..fake.options() };
    let closed_address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = Options {
        resolve: hosts().map(|host| (host.to_owned(), closed_address)).collect(),
        ..fake.options()
    };
    for (options, expected) in [(untrusted, Reason::Tls), (closed, Reason::Connect)] {
        let azure = Azure::new(options).unwrap();
        let error = subscriptions::get(&arm(&azure)).await.unwrap_err();
        let Error::NoResponse { to: Service::Login, reason, url, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*reason, expected);
        assert_eq!(url, &format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"));
        let tenant = azure
            .discover_tenant(Cloud::Public, SUBSCRIPTION, DiscoveryPurpose::Stored, default_deadline())
            .await;
        let Err(DiscoveryError::Request(Error::NoResponse { reason, .. })) = tenant else {
            panic!("{tenant:?}")
        };
        assert_eq!(reason, expected);
    }
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn errors_show_neither_secrets_nor_tokens_nor_queries() {
    let fake = FakeAzure::start(|request| async move {
        if request.is_login() {
            token_response("canary-token")
        } else {
            error_response(403, "AuthorizationFailed")
        }
    })
    .await;
    let azure = fake.azure();
    let denied = skus::list(&arm(&azure), "canary-region").await.unwrap_err();
    let closed_address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let without_arm = Options {
        resolve: vec![
            (Cloud::Public.login_host().to_owned(), fake.address),
            (Cloud::Public.arm_host().to_owned(), closed_address),
        ],
        ..fake.options()
    };
    let without_arm = Azure::new(without_arm).unwrap();
    let no_response = skus::list(&arm(&without_arm), "canary-region").await.unwrap_err();
    assert!(matches!(no_response, Error::NoResponse { to: Service::Arm, reason: Reason::Connect, .. }));
    let arm = arm(&azure);
    for text in [
        format!("{denied:?} {denied}"),
        format!("{no_response:?} {no_response}"),
        format!("{azure:?}"),
        format!("{arm:?}"),
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn invalid_credentials_are_not_sent() {
    let fake = FakeAzure::with_response(|_| json_response(200, &json!({}))).await;
    let azure = fake.azure();
    let arm_with = |change: fn(&mut Credential)| {
        let mut credential = Credential::clone(&credential());
        change(&mut credential);
        azure.arm(&Arc::new(credential), default_deadline()).map(drop)
    };
    assert!(matches!(arm_with(|c| c.tenant_id = "a/b".to_owned()), Err(Error::InvalidTenant)));
    assert!(matches!(arm_with(|c| c.client_secret = SecretString::from("")), Err(Error::EmptySecret)));
    assert!(matches!(arm_with(|c| c.subscription_id.clear()), Err(Error::EmptySubscription)));
    let dot_segments = Credential { subscription_id: "..".to_owned(), ..Credential::clone(&credential()) };
    let arm = azure.arm(&Arc::new(dot_segments), default_deadline()).unwrap();
    assert!(matches!(subscriptions::get(&arm).await, Err(Error::BadUrl(_))));
    assert!(fake.requests().is_empty());
}

fn challenge(header: &str) -> Response {
    with_header(error_response(401, "AuthenticationFailed"), "www-authenticate", header)
}

#[tokio::test]
async fn tenant_is_cached_for_an_hour() {
    let fake = FakeAzure::start(|_| async {
        challenge(&format!("Bearer authorization_uri=\"https://login.windows.net/{TENANT}\", error=\"x\""))
    })
    .await;
    let azure = fake.azure();
    let discover = |cloud, subscription: &'static str, purpose| {
        let azure = azure.clone();
        async move { azure.discover_tenant(cloud, subscription, purpose, default_deadline()).await.unwrap() }
    };
    let tenants = join_all((0..50).map(|_| discover(Cloud::Public, "SUB-a", DiscoveryPurpose::Stored))).await;
    assert!(tenants.iter().all(|tenant| tenant == TENANT));
    discover(Cloud::Public, "sub-A", DiscoveryPurpose::Stored).await;
    assert_eq!(fake.requests().len(), 1, "one request for all, in any letter case");
    assert_eq!(fake.requests()[0].query, "api-version=2022-12-01");
    assert_eq!(fake.requests()[0].header("authorization"), "");

    discover(Cloud::China, "sub-a", DiscoveryPurpose::Stored).await;
    discover(Cloud::Public, "sub-b", DiscoveryPurpose::Stored).await;
    assert_eq!(fake.requests().len(), 3, "tenants are cached by cloud and subscription");
    assert_eq!(fake.requests()[1].host, Cloud::China.arm_host());

    discover(Cloud::Public, "sub-a", DiscoveryPurpose::Check).await;
    assert_eq!(fake.requests().len(), 4, "a check is never cached");
    assert_eq!(fake.requests()[3].query, "api-version=2019-11-01");

    fake.clock.advance(Duration::from_secs(3599));
    discover(Cloud::Public, "sub-a", DiscoveryPurpose::Stored).await;
    assert_eq!(fake.requests().len(), 4);
    fake.clock.advance(Duration::from_secs(1));
    discover(Cloud::Public, "sub-a", DiscoveryPurpose::Stored).await;
    assert_eq!(fake.requests().len(), 5);
}

#[tokio::test]
async fn old_tenant_is_used_unless_azure_rejects_the_request() {
    let behavior = Arc::new(Mutex::new("found"));
    let current = Arc::clone(&behavior);
    let fake = FakeAzure::start(move |_| {
        let current = *current.lock().unwrap();
        async move {
            match current {
                "hangs" => std::future::pending().await,
                "down" => error_response(503, "Down"),
                "throttled" => error_response(429, "TooManyRequests"),
                "portal" => "<html>Sign in</html>".into_response(),
                "gone" => error_response(404, "SubscriptionNotFound"),
                _ => challenge(&format!("Bearer authorization_uri=\"https://login.windows.net/{TENANT}\"")),
            }
        }
    })
    .await;
    let azure = fake.azure();
    let discover = async || {
        azure.discover_tenant(Cloud::Public, SUBSCRIPTION, DiscoveryPurpose::Stored, default_deadline()).await
    };
    discover().await.unwrap();
    fake.clock.advance(Duration::from_hours(1));
    for fault in ["down", "throttled", "portal"] {
        *behavior.lock().unwrap() = fault;
        assert_eq!(discover().await.unwrap(), TENANT, "{fault}");
    }
    *behavior.lock().unwrap() = "hangs";
    let expire = async {
        wait_until(|| fake.requests().len() == 5).await;
        advance_time(Duration::from_secs(3)).await;
    };
    let (tenant, ()) = tokio::join!(discover(), expire);
    assert_eq!(tenant.unwrap(), TENANT, "after three seconds");
    assert_eq!(discover().await.unwrap(), TENANT);
    assert_eq!(fake.requests().len(), 5, "the pending request is joined");
    fake.clock.advance(Duration::from_hours(24));
    assert!(discover().await.is_err(), "expired for more than a day");

    let azure = fake.azure();
    let discover = async || {
        azure.discover_tenant(Cloud::Public, SUBSCRIPTION, DiscoveryPurpose::Stored, default_deadline()).await
    };
    *behavior.lock().unwrap() = "found";
    discover().await.unwrap();
    fake.clock.advance(Duration::from_hours(1));
    *behavior.lock().unwrap() = "gone";
    assert!(matches!(discover().await, Err(DiscoveryError::Unexpected(_))));
    *behavior.lock().unwrap() = "down";
    assert!(matches!(discover().await, Err(DiscoveryError::Unexpected(_))), "a rejection evicts the tenant");
}

#[tokio::test]
async fn tenant_discovery_distinguishes_failures() {
    let fake = FakeAzure::start(|request| async move {
        match request.path.as_str() {
            "/subscriptions/none" => error_response(401, "AuthenticationFailed"),
            "/subscriptions/odd" => challenge("Bearer realm=\"x\""),
            "/subscriptions/down" => error_response(503, "Down"),
            "/subscriptions/hangs" => std::future::pending().await,
            _ => error_response(404, "SubscriptionNotFound"),
        }
    })
    .await;
    let azure = fake.azure();
    let discover = async |subscription: &str, purpose| {
        let timeout_ms = if subscription == "hangs" { 300 } else { 20_000 };
        let deadline = Instant::now() + Duration::from_millis(timeout_ms);
        azure.discover_tenant(Cloud::Public, subscription, purpose, deadline).await.unwrap_err()
    };
    for purpose in [DiscoveryPurpose::Check, DiscoveryPurpose::Stored] {
        assert!(matches!(discover("none", purpose).await, DiscoveryError::HeaderMissing));
        let DiscoveryError::NoMatch { header } = discover("odd", purpose).await else { panic!() };
        assert_eq!(header, "Bearer realm=\"x\"");
        let DiscoveryError::Unexpected(arm_error) = discover("a b", purpose).await else { panic!() };
        assert_eq!(
            (arm_error.status, arm_error.url.as_str()),
            (404, "https://management.azure.com/subscriptions/a%20b")
        );
        let service_error = arm_error.service_error();
        assert_eq!(service_error.code.as_deref(), Some("SubscriptionNotFound"));
        assert_eq!(service_error.message.as_deref(), Some("SubscriptionNotFound it is"));
        assert!(matches!(discover("..", purpose).await, DiscoveryError::Request(Error::BadUrl(_))));
        assert!(matches!(discover("", purpose).await, DiscoveryError::Request(Error::EmptySubscription)));
        let hanging = discover("hangs", purpose).await;
        assert!(matches!(hanging, DiscoveryError::Request(Error::TimedOut { to: Service::Arm })));
    }
    let count_requests = |path: &str| fake.requests().iter().filter(|request| request.path == path).count();
    assert_eq!(count_requests("/subscriptions/none"), 2, "failures are not cached");
    assert!(matches!(discover("down", DiscoveryPurpose::Stored).await, DiscoveryError::Unexpected(_)));
    assert_eq!(count_requests("/subscriptions/down"), 1);
    assert!(matches!(discover("down", DiscoveryPurpose::Check).await, DiscoveryError::Unexpected(_)));
    assert_eq!(count_requests("/subscriptions/down"), 4);
}

#[tokio::test]
async fn requests_and_tokens_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let guard = metrics::set_default_local_recorder(&recorder);
    let fake = FakeAzure::start(|request| async move {
        match request.path.as_str() {
            path if path.ends_with("/token") => token_response("token-1"),
            path if path.ends_with("/locations") => json_response(200, &json!({"value": []})),
            path if path.ends_with("/managedClusters") => std::future::pending().await,
            _ => error_response(403, "AuthorizationFailed"),
        }
    })
    .await;
    let azure = fake.azure();
    locations::list(&arm(&azure), locations::ApiVersion::Zones2022).await.unwrap();
    locations::list(&arm(&azure), locations::ApiVersion::Plain2016).await.unwrap();
    assert!(virtual_networks::list(&arm(&azure)).await.is_err());
    let short = azure.arm(&credential(), Instant::now() + Duration::from_millis(50)).unwrap();
    assert!(managed_clusters::list(&short).await.is_err());
    drop(guard);
    let text = recorder.handle().render();
    for line in [
        "norman_aks_upstream_requests_total{operation=\"token\",status=\"200\"} 1",
        "norman_aks_upstream_requests_total{operation=\"locations\",status=\"200\"} 2",
        "norman_aks_upstream_requests_total{operation=\"virtualNetworks\",status=\"403\"} 1",
        "norman_aks_upstream_requests_total{operation=\"managedClusters\",status=\"cancelled\"} 1",
        "norman_aks_token_fetches_total{outcome=\"success\"} 1",
        "norman_aks_upstream_seconds_count{operation=\"locations\"} 2",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn any_response_means_reachable() {
    let fake = FakeAzure::start(|request| async move {
        match request.host.as_str() {
            "login.chinacloudapi.cn" => std::future::pending().await,
            "login.microsoftonline.com" => {
                with_header(error_response(302, "Moved"), "location", "https://x.example/")
            }
            _ => error_response(404, "NotFound"),
        }
    })
    .await;
    let azure = fake.azure();
    azure.reach(Cloud::UsGovernment, Service::Arm, default_deadline()).await.unwrap();
    azure.reach(Cloud::Public, Service::Login, default_deadline()).await.unwrap();
    let deadline = Instant::now() + Duration::from_millis(100);
    let error = azure.reach(Cloud::China, Service::Login, deadline).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { to: Service::Login }), "{error:?}");
    let hosts: Vec<_> = fake.requests().into_iter().map(|request| request.host).collect();
    assert_eq!(hosts[..2], ["management.usgovcloudapi.net", "login.microsoftonline.com"]);
}

#[tokio::test]
async fn invalid_roots_are_rejected() {
    let nonsense = Options { extra_roots_pem: Some("no certificate".to_owned()), ..Options::default() };
    assert!(matches!(Azure::new(nonsense), Err(BuildError::Roots(_))));
    assert!(Azure::new(Options::default()).is_ok(), "the real Azure needs no setting");
}
