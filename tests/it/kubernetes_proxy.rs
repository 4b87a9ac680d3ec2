//! `/k8s/clusters/<id>/…`: access, impersonation, proxied requests, audit records, and the end of streams.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aks::status::ClusterStatus;
use axum::body::Body;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use norman_aks::store;
use norman_aks::store::audit::Filter;
use serde_json::json;

use crate::support::app::{TestApp, TestResponse};
use crate::support::audit_row;
use crate::support::connected::{CLUSTER_ID, ConnectedCluster};
use crate::support::kubernetes::{ACCOUNT_TOKEN, FakeCluster};

/// Asserts that the response is an error in Kubernetes' format.
fn assert_status_error(response: &TestResponse, code: u16, reason: &str) {
    assert_eq!(response.status.as_u16(), code, "{}", response.text());
    let body = response.json();
    assert_eq!(
        (&body["kind"], &body["reason"], &body["code"]),
        (&json!("Status"), &json!(reason), &json!(code))
    );
    assert_eq!((&body["status"], &body["apiVersion"]), (&json!("Failure"), &json!("v1")));
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.header("content-security-policy"), "sandbox");
}

/// Waits for the next chunk of a streaming body, with a timeout.
async fn next_chunk(body: &mut Body) -> Option<Result<String, axum::Error>> {
    let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("a chunk in time");
    Some(frame?.map(|frame| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()))
}

#[tokio::test]
async fn proxy_accepts_http1_and_http2() {
    let connected = ConnectedCluster::start().await;
    for version in [http::Version::HTTP_10, http::Version::HTTP_11, http::Version::HTTP_2] {
        let path = format!("/k8s/clusters/{CLUSTER_ID}/version");
        let response = connected.app.get(&path).token(&connected.owner_token).version(version).send().await;
        assert_eq!(response.status, StatusCode::OK, "{version:?}: {}", response.text());
    }
}

#[tokio::test]
async fn proxied_requests_have_the_rights_of_their_caller() {
    let connected = ConnectedCluster::start().await;
    let path = format!("/k8s/clusters/{CLUSTER_ID}/api/v1/namespaces?limit=500&labelSelector=a%3Db");
    let callers = [
        (connected.owner_token.clone(), "cluster-owner"),
        (connected.app.admin.clone(), "cluster-owner"),
        (connected.add_member("ben", "cluster-owner").await, "cluster-owner"),
        (connected.add_member("cid", "cluster-member").await, "cluster-member"),
        (connected.add_member("dan", "read-only").await, "read-only"),
    ];
    for (token, role) in callers {
        let response = connected
            .app
            .get(&path)
            .token(&token)
            .header("cookie", "R_SESS=a:b")
            .header("x-forwarded-for", "1.2.3.4")
            .header("audit-id", "chosen-by-the-client")
            .header("x-request-id", "chosen-by-the-client")
            .header("origin", "https://elsewhere.example")
            .header("accept", "application/json")
            .send()
            .await;
        assert_eq!(response.status, 404, "the response is the cluster's own");
        assert_eq!(response.header("content-security-policy"), "sandbox");
        assert_eq!(response.header("x-content-type-options"), "nosniff");
        let request = connected.kubernetes.take_requests().remove(0);
        assert_eq!(request.path_and_query, "/api/v1/namespaces?limit=500&labelSelector=a%3Db");
        assert_eq!(request.header("impersonate-user"), [connected.app.user_id(&token).await]);
        assert_eq!(
            request.header("impersonate-group"),
            ["system:authenticated", &format!("norman-aks:{role}")]
        );
        assert_eq!(request.header("authorization"), [format!("Bearer {ACCOUNT_TOKEN}")]);
        assert_eq!(request.header("audit-id"), [response.header("x-request-id")]);
        assert_ne!(response.header("x-request-id"), "chosen-by-the-client");
        let mut names: Vec<_> = request.headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "accept",
                "audit-id",
                "authorization",
                "host",
                "impersonate-group",
                "impersonate-user",
                "x-request-id"
            ]
        );
    }
}

#[tokio::test]
async fn proxy_forwards_every_method_and_audits_changes() {
    let connected = ConnectedCluster::start().await;
    for (method, status) in [("PUT", 404), ("PATCH", 200), ("POST", 201), ("DELETE", 200), ("OPTIONS", 404)] {
        let method: Method = method.parse().unwrap();
        let path = format!("/k8s/clusters/{CLUSTER_ID}/api/v1/things");
        let call = connected
            .app
            .call(method.clone(), &path)
            .token(&connected.owner_token)
            .header("content-type", "application/yaml");
        let response = call.body("{\"a\": 1}").send().await;
        assert_eq!(response.status, status, "{method}");
        let request = connected.kubernetes.take_requests().remove(0);
        assert_eq!((request.method, request.body.as_ref()), (method, b"{\"a\": 1}".as_slice()));
        assert_eq!(request.headers["content-type"], "application/yaml");
    }
    assert_eq!(
        connected
            .app
            .get(&format!("/k8s/clusters/{CLUSTER_ID}/version"))
            .token(&connected.owner_token)
            .send()
            .await
            .status,
        200
    );
    let rows = wait_for_audit_rows(&connected, 4).await;
    let mut outcomes: Vec<_> = rows.iter().map(|row| row.outcome.as_str()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["done", "done", "done", "refused"]);
    assert!(
        rows.iter()
            .all(|row| row.object_id == CLUSTER_ID && row.object_type == "cluster" && row.user_name == "ann")
    );
}

#[tokio::test]
async fn only_bearer_tokens_are_accepted() {
    let connected = ConnectedCluster::start().await;
    let path = format!("/k8s/clusters/{CLUSTER_ID}/version");
    let basic = {
        use base64::Engine as _;
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(&connected.owner_token))
    };
    let cookie = format!("R_SESS={}", connected.owner_token);
    for (name, value) in [
        ("x-nothing", ""),
        ("cookie", cookie.as_str()),
        ("authorization", &basic),
        ("authorization", "Bearer token-none:wrong"),
        ("authorization", &connected.owner_token),
    ] {
        let response = connected.app.get(&path).anonymous().header(name, value).send().await;
        assert_status_error(&response, 401, "Unauthorized");
    }
    assert!(connected.kubernetes.take_requests().is_empty());
    let response = connected
        .app
        .get(&path)
        .anonymous()
        .header("authorization", &format!("bearer {}", connected.owner_token))
        .send()
        .await;
    assert_eq!(response.json()["gitVersion"], "v1.32.7");
}

#[tokio::test]
async fn clusters_of_other_users_are_not_found() {
    let connected = ConnectedCluster::start().await;
    let eve = connected.app.token("eve").await;
    for (id, token) in [(CLUSTER_ID, &eve), ("c-none", &connected.owner_token)] {
        let response = connected.app.get(&format!("/k8s/clusters/{id}/version")).token(token).send().await;
        assert_status_error(&response, 404, "NotFound");
    }
    assert!(connected.kubernetes.take_requests().is_empty());
}

#[tokio::test]
async fn unreachable_cluster_reports_the_reason() {
    let connected = ConnectedCluster::start().await;
    let reachable = connected.status();
    let private = ClusterStatus { private_requires_tunnel: Some(true), ..reachable.clone() };
    let foreign = ClusterStatus { api_endpoint: Some("https://example.org".to_owned()), ..reachable.clone() };
    let unresolvable = ClusterStatus {
        api_endpoint: Some("https://other.hcp.eastus.azmk8s.io".to_owned()),
        ..reachable.clone()
    };
    for (id, status, token, expected) in [
        ("c-new", ClusterStatus::default(), Some(ACCOUNT_TOKEN), "not provisioned yet"),
        ("c-private", private, Some(ACCOUNT_TOKEN), "private"),
        ("c-early", reachable.clone(), None, "not connected yet"),
        ("c-foreign", foreign, Some(ACCOUNT_TOKEN), "the host name is not one that AKS assigns"),
        ("c-gone", unresolvable, Some(ACCOUNT_TOKEN), "other.hcp.eastus.azmk8s.io cannot be resolved"),
        (
            "c-rotated",
            reachable,
            Some("old-token"),
            "the cluster rejected this server's credentials; new access is not available",
        ),
    ] {
        connected.insert_cluster(id, &status, token).await;
        let response =
            connected.app.get(&format!("/k8s/clusters/{id}/api")).token(&connected.owner_token).send().await;
        assert_status_error(&response, 503, "ServiceUnavailable");
        let message = response.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(expected), "{id}: {message}");
        // With `Retry-After`, kubectl would retry for minutes without showing the message.
        assert_eq!(response.header("retry-after"), "");
    }
}

#[tokio::test]
async fn version_responds_within_five_seconds() {
    // A listener that accepts connections and sends nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let options = cluster_access::Options {
        resolver: Some(Arc::new(move |_| Some(address))),
        ..cluster_access::Options::default()
    };
    let app = TestApp::builder().cluster_access(options).start().await;
    let connected = ConnectedCluster::new(app, FakeCluster::start().await).await;
    let started = Instant::now();
    let response = connected
        .app
        .get(&format!("/k8s/clusters/{CLUSTER_ID}/version?timeout=32s"))
        .token(&connected.owner_token)
        .send()
        .await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_status_error(&response, 504, "Timeout");
}

#[tokio::test]
async fn impersonation_is_forbidden_on_every_surface() {
    let connected = ConnectedCluster::start().await;
    for (name, value) in [
        ("Impersonate-User", "nobody"),
        ("IMPERSONATE-GROUP", "system:masters"),
        ("impersonate-uid", "0"),
        ("Impersonate-Extra-Scopes", ""),
    ] {
        let send =
            |path: &str| connected.app.get(path).token(&connected.owner_token).header(name, value).send();
        let exec_path = format!("/k8s/clusters/{CLUSTER_ID}/api/v1/namespaces/a/pods/b/exec?command=sh");
        for upgrade in ["", "websocket", "SPDY/3.1"] {
            let call = connected.app.get(&exec_path).token(&connected.owner_token).header(name, value);
            let response = call.header("connection", "Upgrade").header("upgrade", upgrade).send().await;
            assert_status_error(&response, 403, "Forbidden");
        }
        let norman = send("/v3/clusters").await;
        assert_eq!((norman.status.as_u16(), &norman.json()["code"]), (403, &json!("PermissionDenied")));
        assert_eq!(norman.json()["type"], "error");
        assert_eq!(send("/api/v1/aks/sizes").await.json()["code"], "PermissionDenied");
        let meta = send("/meta/aksVersions").await.expect(403);
        assert!(meta.error().contains("Impersonate-"), "{}", meta.text());
        assert_eq!(meta.json()["requestId"], meta.header("x-request-id"));
        let deleted =
            connected.app.delete(&format!("/v3/clusters/{CLUSTER_ID}")).header(name, value).send().await;
        assert_eq!(deleted.status, 403);
    }
    assert!(connected.kubernetes.take_requests().is_empty());
    assert_eq!(
        connected.app.get(&format!("/v3/clusters/{CLUSTER_ID}")).send().await.status,
        200,
        "it was not deleted"
    );
}

#[tokio::test]
async fn ambiguous_paths_are_not_forwarded() {
    let connected = ConnectedCluster::start().await;
    for path in ["/../c-other/api", "/%2e%2e/api", "/api%2fv1", "/a/./b", "/%252e%252e"] {
        let response = connected
            .app
            .get(&format!("/k8s/clusters/{CLUSTER_ID}{path}"))
            .token(&connected.owner_token)
            .send()
            .await;
        assert_status_error(&response, 400, "BadRequest");
    }
    assert!(connected.kubernetes.take_requests().is_empty());
    for path in ["", "/"] {
        connected
            .app
            .get(&format!("/k8s/clusters/{CLUSTER_ID}{path}"))
            .token(&connected.owner_token)
            .send()
            .await;
        assert_eq!(connected.kubernetes.take_requests().remove(0).path_and_query, "/");
    }
}

#[tokio::test]
async fn response_headers_for_browsers_are_removed() {
    let connected = ConnectedCluster::start().await;
    let response = connected
        .app
        .get(&format!("/k8s/clusters/{CLUSTER_ID}/elsewhere"))
        .token(&connected.owner_token)
        .send()
        .await;
    assert_eq!(response.status, StatusCode::FOUND);
    assert_eq!(response.header("location"), format!("/k8s/clusters/{CLUSTER_ID}/api/"));
    assert_eq!(response.header("warning"), "299 - \"kept\"");
    assert_eq!(response.header("content-security-policy"), "sandbox");
    for name in ["set-cookie", "access-control-allow-origin", "refresh", "x-accel-redirect"] {
        assert_eq!(response.headers.get(name), None, "{name}");
    }
    let forbidden = connected
        .app
        .get(&format!("/k8s/clusters/{CLUSTER_ID}/forbidden"))
        .token(&connected.owner_token)
        .send()
        .await;
    assert_eq!(
        (forbidden.status, &forbidden.json()["message"]),
        (StatusCode::FORBIDDEN, &json!("you may not"))
    );
}

#[tokio::test]
async fn bodies_are_bounded_as_in_kubernetes() {
    let connected = ConnectedCluster::start().await;
    let path = format!("/k8s/clusters/{CLUSTER_ID}/api/v1/things");
    let largest = vec![b' '; 3 * 1024 * 1024];
    connected.app.post(&path).token(&connected.owner_token).body(largest.clone()).send().await.expect(201);
    assert_eq!(connected.kubernetes.take_requests().remove(0).body.len(), largest.len());
    let too_large = [largest, b" ".to_vec()].concat();
    let with_length = connected
        .app
        .post(&path)
        .token(&connected.owner_token)
        .header("content-length", &too_large.len().to_string());
    let pieces: Vec<_> =
        too_large.chunks(100_000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    let without_length = connected
        .app
        .post(&path)
        .token(&connected.owner_token)
        .body(Body::from_stream(futures_util::stream::iter(pieces)));
    for call in [with_length.body(too_large), without_length] {
        assert_status_error(&call.send().await, 413, "RequestEntityTooLarge");
    }
}

#[tokio::test]
async fn streams_are_unbuffered_and_end_with_the_client() {
    let connected = ConnectedCluster::start().await;
    let response =
        connected.send_to_cluster(Method::GET, "/api/v1/watched?watch=true", &connected.owner_token).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    assert_eq!(next_chunk(&mut body).await.unwrap().unwrap(), "first\n");
    connected.kubernetes.wait_for_open(1).await;
    for line in ["one", "two"] {
        connected.kubernetes.send_line(line);
        assert_eq!(next_chunk(&mut body).await.unwrap().unwrap(), format!("{line}\n"));
    }
    drop(body);
    connected.kubernetes.wait_for_open(0).await;
    // A request ends with its client even before the first byte of the response.
    let waiting = connected.send_to_cluster(Method::GET, "/never", &connected.owner_token);
    assert!(tokio::time::timeout(Duration::from_millis(500), waiting).await.is_err());
    connected.kubernetes.wait_for_open(0).await;
}

#[tokio::test]
async fn stream_ends_with_its_token() {
    let connected = ConnectedCluster::start().await;
    let token = connected.app.token("ann").await;
    let mut bodies = Vec::new();
    for (query, is_watch) in
        [("watch=%74rue", true), ("w%61tch=1", true), ("watch=yes", true), ("x=1", false)]
    {
        let path = format!("/api/v1/watched?{query}");
        let mut body = connected.send_to_cluster(Method::GET, &path, &token).await.into_body();
        assert_eq!(next_chunk(&mut body).await.unwrap().unwrap(), "first\n");
        bodies.push((body, is_watch));
    }
    assert!(connected.app.server.tokens.revoke(token.split(':').next().unwrap()).await.unwrap());
    for (body, is_watch) in &mut bodies {
        // A response that is not a watch must not look complete.
        assert_eq!(next_chunk(body).await.is_none(), *is_watch);
    }
}

#[tokio::test]
async fn change_of_a_disconnected_client_is_audited() {
    // A request that ends, and a request to a pod that never ends.
    for (path, outcome) in [("/late", "done"), ("/api/v1/namespaces/a/pods/b/proxy/never", "failed")] {
        let connected = ConnectedCluster::start().await;
        let request = http::Request::post(format!("/k8s/clusters/{CLUSTER_ID}{path}"))
            .header("authorization", format!("Bearer {}", connected.owner_token))
            .extension(axum::extract::ConnectInfo(std::net::SocketAddr::from(([127, 0, 0, 1], 40_000))))
            .body(Body::from("{}"))
            .unwrap();
        let sending = tokio::spawn(tower::ServiceExt::oneshot(connected.app.router(), request));
        connected.kubernetes.wait_for_open(1).await;
        sending.abort();
        assert!(sending.await.unwrap_err().is_cancelled());
        assert_eq!(outcome_of_the_only_change(&connected).await, outcome, "{path}");
    }
}

/// Waits for the audit record of the only change in the cluster, and returns its outcome.
async fn outcome_of_the_only_change(connected: &ConnectedCluster) -> String {
    for _ in 0..400 {
        // The request to `/late` gets its response when a line is sent.
        connected.kubernetes.send_line("go on");
        if let Some(row) = audit_rows(connected).await.pop() {
            return row.outcome;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no audit record");
}

/// The audit records of proxied requests, oldest first.
async fn audit_rows(connected: &ConnectedCluster) -> Vec<store::AuditRow> {
    let mut rows = store::audit::list(&connected.store, 100, &Filter::default()).await.unwrap();
    rows.retain(|row| row.action == "kubernetes");
    rows.reverse();
    rows
}

/// Waits until there are `count` audit records of proxied requests, and returns them.
async fn wait_for_audit_rows(connected: &ConnectedCluster, count: usize) -> Vec<store::AuditRow> {
    for _ in 0..400 {
        let rows = audit_rows(connected).await;
        if rows.len() >= count {
            assert_eq!(rows.len(), count, "{rows:?}");
            return rows;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("expected {count} rows: {:?}", audit_rows(connected).await);
}

#[tokio::test]
async fn audit_records_verb_resource_and_object() {
    let connected = ConnectedCluster::start().await;
    let secret_name = "s".repeat(40);
    let secret_path = format!("/api/v1/namespaces/a/secrets/{secret_name}");
    for (method, path, upgrade, expected) in [
        ("GET", "/api/v1/namespaces/a/pods", "", None),
        ("GET", "/version", "", None),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "", None),
        ("POST", "/api/v1/namespaces/a/pods", "", Some("verb=create resource=pods namespace=a")),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/web/scale",
            "",
            Some("verb=patch resource=deployments.apps/scale namespace=a name=web"),
        ),
        (
            "POST",
            "/api/v1/namespaces/a/serviceaccounts/b/token",
            "",
            Some("verb=create resource=serviceaccounts/token namespace=a name=b"),
        ),
        (
            "GET",
            "/api/v1/namespaces/a/pods/b/exec?command=sh",
            "websocket",
            Some("verb=get resource=pods/exec namespace=a name=b"),
        ),
        (
            "GET",
            "/api/v1/namespaces/a/services/b/proxy/x",
            "",
            Some("verb=get resource=services/proxy namespace=a name=b"),
        ),
        ("GET", "/api/v1/secrets?watch=1", "", Some("verb=watch resource=secrets")),
        ("GET", &secret_path, "", Some("verb=get resource=secrets namespace=a name=****")),
    ] {
        let before = audit_rows(&connected).await.len();
        let call = connected
            .app
            .call(method.parse().unwrap(), &format!("/k8s/clusters/{CLUSTER_ID}{path}"))
            .token(&connected.owner_token);
        let call = if upgrade.is_empty() {
            call
        } else {
            call.header("connection", "Upgrade").header("upgrade", upgrade)
        };
        let response = call.body("{}").send().await;
        let Some(expected) = expected else { continue };
        let row = wait_for_audit_rows(&connected, before + 1).await.pop().unwrap();
        assert_eq!(row.detail, expected);
        assert_eq!(row.outcome, if response.status.is_client_error() { "refused" } else { "done" }, "{path}");
        assert_eq!((row.object_type.as_str(), row.object_id.as_str()), ("cluster", CLUSTER_ID));
        assert_eq!(row.request_id, response.header("x-request-id"));
    }
}

#[tokio::test]
async fn stream_ends_when_the_caller_loses_access() {
    let connected = ConnectedCluster::start().await;
    let ben = connected.add_member("ben", "read-only").await;
    let mut body =
        connected.send_to_cluster(Method::GET, "/api/v1/watched?watch=true", &ben).await.into_body();
    assert_eq!(next_chunk(&mut body).await.unwrap().unwrap(), "first\n");
    assert!(store::members::delete(&connected.store, "crtb-ben", &audit_row()).await.unwrap());
    assert!(next_chunk(&mut body).await.is_none());
    let response = connected.app.get(&format!("/k8s/clusters/{CLUSTER_ID}/version")).token(&ben).send().await;
    assert_status_error(&response, 404, "NotFound");
}

#[tokio::test]
async fn changed_role_applies_at_once_in_this_server() {
    let connected = ConnectedCluster::start().await;
    let ben = connected.app.token("ben").await;
    let bindings_path = "/v3/clusterroletemplatebindings";
    let body = json!({"clusterId": CLUSTER_ID, "roleTemplateId": "read-only", "userId": connected.app.user_id(&ben).await});
    let id = connected.app.post(bindings_path).json(&body).send().await.expect(201).id();
    let path = format!("/k8s/clusters/{CLUSTER_ID}/version");
    // The server's own requests, which maintain the rights in the cluster, impersonate no user.
    let take_group = || {
        let requests = connected.kubernetes.take_requests();
        let groups =
            requests.iter().filter_map(|request| request.header("impersonate-group").last().copied());
        groups.last().map(str::to_owned)
    };
    assert_eq!(connected.app.get(&path).token(&ben).send().await.status, 200);
    assert_eq!(take_group().as_deref(), Some("norman-aks:read-only"));
    let changed = connected
        .app
        .put(&format!("{bindings_path}/{id}"))
        .json(&json!({"roleTemplateId": "cluster-owner"}))
        .send()
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(connected.app.get(&path).token(&ben).send().await.status, 200);
    assert_eq!(take_group().as_deref(), Some("norman-aks:cluster-owner"));
    assert_eq!(connected.app.delete(&format!("{bindings_path}/{id}")).send().await.status, 200);
    assert_status_error(&connected.app.get(&path).token(&ben).send().await, 404, "NotFound");
}

#[tokio::test]
async fn streams_end_when_the_server_begins_to_stop() {
    let connected = ConnectedCluster::start().await;
    let mut body = connected
        .send_to_cluster(Method::GET, "/api/v1/watched?watch=true", &connected.owner_token)
        .await
        .into_body();
    assert_eq!(next_chunk(&mut body).await.unwrap().unwrap(), "first\n");
    let mut plain_body =
        connected.send_to_cluster(Method::GET, "/api/v1/watched", &connected.owner_token).await.into_body();
    connected.app.server.end_streams();
    assert!(next_chunk(&mut body).await.is_none());
    connected.kubernetes.wait_for_open(1).await;
    assert_eq!(
        next_chunk(&mut plain_body).await.unwrap().unwrap(),
        "first\n",
        "a response that is not a watch may complete"
    );
}

#[tokio::test]
async fn streams_of_one_user_cannot_use_all_permits() {
    const MAX_PER_USER: usize = 256;
    let connected = ConnectedCluster::start().await;
    let opening = (0..MAX_PER_USER).map(|_| {
        connected.send_to_cluster(Method::GET, "/api/v1/watched?watch=true", &connected.owner_token)
    });
    let streams = join_all(opening).await;
    assert!(streams.iter().all(|response| response.status() == 200));
    let version = format!("/k8s/clusters/{CLUSTER_ID}/version");
    let response = connected.app.get(&version).token(&connected.owner_token).send().await;
    assert_status_error(&response, 429, "TooManyRequests");
    assert_eq!(connected.app.get(&version).send().await.status, 200, "other requests have permits");
    drop(streams);
    assert_eq!(connected.app.get(&version).token(&connected.owner_token).send().await.status, 200);
}
