//! Authentication and access: every documented operation without a token, separation of users, browsers, failed logins, expired
//! tokens; and the server's limits.

use std::time::{Duration, Instant};

use azure_sandbox::Operation;
use http::{Method, StatusCode};
use norman_aks::openapi_json;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::meta::LISTINGS;
use crate::support::app::{TestApp, TestResponse};
use crate::support::call::string_at;
use crate::support::fault;
use crate::support::listener::Listener;
use crate::support::test_clusters::absent_body;

const UNAUTHORIZED: &str =
    "{\"type\":\"error\",\"status\":\"401\",\"message\":\"Unauthorized 401: must authenticate\"}\n";

/// Every operation of the API document: method, path, and whether it is documented as public.
fn operations() -> Vec<(Method, String, bool)> {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "delete", "patch", "options", "head"] {
            let Some(operation) = item.get(method) else { continue };
            let public = operation.get("security") == Some(&json!([{}]));
            let method = method.to_uppercase().parse().unwrap();
            operations.push((method, path.replace("{id}", "c-nnnnn"), public));
        }
    }
    operations
}

#[tokio::test]
async fn operations_need_a_token_unless_documented_as_public() {
    let app = TestApp::with_advisory_review().await;
    let operations = operations();
    assert!(operations.len() > 30, "{operations:?}");
    let mut public_paths = Vec::new();
    for (method, path, is_public) in operations {
        let response = app.call(method.clone(), &path).anonymous().body("{}").send().await;
        if is_public {
            assert_eq!(response.status, 200, "{method} {path}");
            public_paths.push(path);
            continue;
        }
        assert_eq!(
            (response.status, response.text().as_str()),
            (StatusCode::UNAUTHORIZED, UNAUTHORIZED),
            "{method} {path}"
        );
        let authenticated = app.call(method.clone(), &path).body("{}").send().await;
        assert_ne!(authenticated.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        // Other spellings do not give access either.
        for path in
            [format!("{path}/"), path.replace("cloudcredentials", "cloudCredentials"), format!("{path}?x=1")]
        {
            let response = app.call(method.clone(), &path).anonymous().body("{}").send().await;
            assert!(matches!(response.status.as_u16(), 401 | 404), "{method} {path}: {}", response.status);
        }
    }
    public_paths.sort();
    assert_eq!(public_paths, ["/healthz", "/livez", "/ping", "/rancherversion", "/readyz"]);
}

/// Ann with a credential and a cluster, and Bob with a credential.
struct TwoUsers {
    app: TestApp,
    ann: String,
    bob: String,
    credential: String,
    cluster: String,
    bobs_credential: String,
}

async fn two_users() -> TwoUsers {
    let app = TestApp::with_advisory_review().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let (credential, bobs_credential) = (app.store_credential(&ann).await, app.store_credential(&bob).await);
    let update = json!({"name": "anns-credential", "description": "anns-words"});
    let path = format!("/v3/cloudcredentials/{credential}");
    assert_eq!(app.put(&path).token(&ann).json(&update).send().await.status, 200);
    let created =
        app.post("/v3/clusters").token(&ann).json(&absent_body("anns-cluster", &credential)).send().await;
    assert_eq!(created.status, 201, "{}", created.text());
    let cluster = created.id();
    TwoUsers { app, ann, bob, credential, cluster, bobs_credential }
}

/// Asserts that a response does not reveal that its object exists: it is the same as for an ID that does not exist.
fn assert_same_as_absent(
    response: &TestResponse,
    id: &str,
    absent: &TestResponse,
    absent_id: &str,
    what: &str,
) {
    let text = response.text().replace(id, absent_id);
    let without_id = |text: &str| match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(mut object)) => {
            object.remove("requestId");
            Value::Object(object).to_string()
        }
        _ => text.to_owned(),
    };
    assert!(response.status.is_client_error(), "{what}: {}", response.status);
    assert_eq!((response.status, without_id(&text)), (absent.status, without_id(&absent.text())), "{what}");
}

#[tokio::test]
async fn users_see_no_foreign_credentials_and_clusters() {
    let TwoUsers { app, ann, bob, credential, cluster: cluster_id, bobs_credential } = two_users().await;
    let (no_credential, no_cluster) = ("cattle-global-data:cc-nnnnn", "c-nnnnn");
    let update = json!({"name": "taken", "description": "over", "aksConfig": {"tags": {"a": "b"}}});
    for (collection, id, absent_id) in [
        ("cloudcredentials", credential.as_str(), no_credential),
        ("clusters", cluster_id.as_str(), no_cluster),
    ] {
        let spellings =
            if collection == "clusters" { vec![collection] } else { vec![collection, "cloudCredentials"] };
        for spelling in spellings {
            let object_path = |id: &str| format!("/v3/{spelling}/{id}");
            let calls = [
                (Method::GET, ""),
                (Method::HEAD, ""),
                (Method::PUT, ""),
                (Method::DELETE, ""),
                (Method::POST, ""),
                (Method::PUT, "?_replace=true"),
                (Method::POST, "?_method=PUT"),
                (Method::POST, "?_method=DELETE"),
                (Method::POST, "?action=generateKubeconfig"),
                (Method::GET, "/"),
            ];
            for (method, query) in calls {
                let [existing, missing] = [object_path(id), object_path(absent_id)].map(|path| {
                    app.call(method.clone(), &format!("{path}{query}")).token(&bob).json(&update).send()
                });
                let (existing, missing) = (existing.await, missing.await);
                let what = format!("{method} {spelling} {query}");
                assert_same_as_absent(&existing, id, &missing, absent_id, &what);
            }
            let lists = [
                "",
                "?name=anns-credential",
                "?name=anns-cluster",
                "?name_prefix=anns",
                "?all=true",
                "?limit=1000",
            ];
            for query in lists
                .into_iter()
                .map(str::to_owned)
                .chain([format!("?id={id}"), format!("?creatorId_ne=x&uuid_ne={id}")])
            {
                let list = app.get(&format!("/v3/{spelling}{query}")).token(&bob).send().await;
                assert_eq!(list.status, 200, "{query}: {}", list.text());
                let objects = list.json()["data"].as_array().unwrap().clone();
                let foreign = objects.iter().find(|object| object["id"] != *bobs_credential);
                assert!(foreign.is_none() && !list.text().contains("anns-words"), "{query}: {}", list.text());
            }
        }
    }
    for action in LISTINGS.into_iter().chain(["aksNothing"]) {
        for parameters in [
            "",
            "&region=eastus",
            &format!("&clusterId={cluster_id}"),
            &format!("&clusterID={cluster_id}&region=eastus"),
        ] {
            let path = |id: &str| format!("/meta/{action}?cloudCredentialId={id}{parameters}");
            let existing = app.get(&path(&credential)).token(&bob).send().await;
            let missing = app.get(&path(no_credential)).token(&bob).send().await;
            assert_same_as_absent(
                &existing,
                &credential,
                &missing,
                no_credential,
                &format!("{action}{parameters}"),
            );
        }
    }
    let upgrades = |id: &str| {
        format!("/meta/aksUpgrades?cloudCredentialId={bobs_credential}&region=eastus&clusterId={id}")
    };
    let existing = app.get(&upgrades(&cluster_id)).token(&bob).send().await;
    let missing = app.get(&upgrades(no_cluster)).token(&bob).send().await;
    assert_same_as_absent(&existing, &cluster_id, &missing, no_cluster, "aksUpgrades of another's cluster");
    // Nor can a new cluster use another user's credential.
    let [existing, missing] = [&*credential, no_credential]
        .map(|id| app.post("/v3/clusters").token(&bob).json(&absent_body("bobs", id)).send());
    let (existing, missing) = (existing.await, missing.await);
    assert_same_as_absent(
        &existing,
        &credential,
        &missing,
        no_credential,
        "a cluster with another's credential",
    );

    // The owner and the administrator still see both objects unchanged.
    for token in [&ann, &app.admin] {
        let read = app.get(&format!("/v3/cloudcredentials/{credential}")).token(token).send().await;
        assert_eq!(
            (&*string_at(&read.json(), "name"), &*string_at(&read.json(), "description")),
            ("anns-credential", "anns-words")
        );
        let read = app.get(&format!("/v3/clusters/{cluster_id}")).token(token).send().await;
        assert_eq!(string_at(&read.json(), "name"), "anns-cluster");
        assert!(read.json()["aksConfig"].get("tags").is_none(), "{}", read.text());
    }
}

#[tokio::test]
async fn failed_logins_are_delayed_but_valid_tokens_are_not() {
    let app = TestApp::with_advisory_review().await;
    let guess = async |token: &str| {
        let started = Instant::now();
        assert_eq!(app.get("/v3").token(token).send().await.status, 401);
        started.elapsed()
    };
    for _ in 0..5 {
        guess("token-nnnnn:wrong").await;
    }
    for min_ms in [100, 200, 400] {
        let delay = guess("token-nnnnn:wrong").await;
        assert!(delay >= Duration::from_millis(min_ms), "{delay:?} instead of at least {min_ms} ms");
    }
    // Valid tokens from the same IP address, while guesses are delayed for more than a second.
    let valid = async {
        for _ in 0..20 {
            assert_eq!(app.get("/v3").send().await.status, 200);
        }
        Instant::now()
    };
    let guesses = async {
        guess("token-nnnnn:wrong").await;
        guess("").await;
        Instant::now()
    };
    let (valid_end, guesses_end) = tokio::join!(valid, guesses);
    assert!(valid_end < guesses_end, "valid tokens were delayed by the guesses");
    let started = Instant::now();
    assert_eq!(app.get("/v3").anonymous().send().await.status, 401);
    assert!(started.elapsed() < Duration::from_millis(1_500), "a missing token is not a guess");
}

#[tokio::test]
async fn cookie_changes_need_a_csrf_token() {
    let app = TestApp::with_advisory_review().await;
    let body = json!({"name": "by-cookie", "azurecredentialConfig": {"clientId": "c", "clientSecret": "s", "subscriptionId": "u"}});
    let session = format!("R_SESS={}", app.admin);
    let cookies_with = |csrf_cookie: &str| {
        if csrf_cookie.is_empty() { session.clone() } else { format!("{session}; CSRF={csrf_cookie}") }
    };
    for (csrf_cookie, csrf_header, expected) in [
        ("", None, 422),
        ("", Some(""), 422),
        ("abc", None, 422),
        ("abc", Some("abd"), 422),
        ("", Some("abc"), 422),
        ("abc", Some("abc"), 201),
    ] {
        let mut call = app
            .post("/v3/cloudcredentials")
            .anonymous()
            .header("cookie", &cookies_with(csrf_cookie))
            .json(&body);
        if let Some(value) = csrf_header {
            call = call.header("x-api-csrf", value);
        }
        let response = call.send().await;
        assert_eq!(response.status, expected, "{csrf_cookie:?} {csrf_header:?}: {}", response.text());
        if expected == 422 {
            assert_eq!(response.json()["code"], "InvalidCSRFToken");
        }
    }
    let list = app.get("/v3/cloudcredentials").anonymous().header("cookie", &session).send().await;
    let ids = list.ids();
    assert_eq!(ids.len(), 1, "only the last one was created; reads need no CSRF token");
    let path = format!("/v3/cloudcredentials/{}", ids[0]);
    for method in [Method::PUT, Method::DELETE, Method::POST] {
        let response =
            app.call(method.clone(), &path).anonymous().header("cookie", &session).json(&body).send().await;
        assert_eq!(response.status, 422, "{method}");
    }
    // A bearer token needs no CSRF token, because browsers do not send one automatically.
    app.delete(&path).header("cookie", "R_SESS=token-x:y").send().await.expect(200);
}

#[tokio::test]
async fn cross_site_pages_need_cors_origins() {
    let (app, id) = TestApp::builder()
        .advisory_review()
        .setting("NORMAN_AKS_CORS_ORIGINS", "https://ui.example")
        .start_with_credential()
        .await;
    let session = format!("R_SESS={}", app.admin);
    for action in LISTINGS.into_iter().chain(["aksCheckCredentials"]) {
        for method in [Method::GET, Method::POST, Method::PUT] {
            let path = format!("/meta/{action}?cloudCredentialId={id}&region=eastus");
            let call = app.call(method.clone(), &path).anonymous().header("cookie", &session);
            let response = call.header("sec-fetch-site", "cross-site").send().await;
            assert_eq!(response.status, 403, "{method} {action}: {}", response.text());
            assert!(!response.error().is_empty());
        }
    }
    assert_eq!(app.take_azure_requests(), [""; 0], "no request to Azure");
    for (origin, allowed) in [("https://ui.example", true), ("https://evil.example", false), ("null", false)]
    {
        let response = app.get("/v3").header("origin", origin).send().await;
        assert_eq!(response.header("access-control-allow-origin") == origin, allowed, "{origin}");
        assert_ne!(response.header("access-control-allow-origin"), "*");
    }
}

#[tokio::test]
async fn expired_and_revoked_tokens_are_rejected() {
    let app = TestApp::with_advisory_review().await;
    let created = app.server.tokens.create("ann", None, Some(Duration::from_mins(10)), "").await.unwrap();
    let token = secrecy::ExposeSecret::expose_secret(&created.to_bearer()).to_owned();
    let status = async |token: &str| app.get("/v3").token(token).send().await.status.as_u16();
    assert_eq!(status(&token).await, 200);
    app.clock.advance(Duration::from_secs(599));
    assert_eq!(status(&token).await, 200);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&token).await, 401, "also from the cache");

    let token = app.token("ann").await;
    let id = app.store_credential(&token).await;
    let path = format!("/meta/aksLocations?cloudCredentialId={id}");
    assert_eq!(app.get(&path).token(&token).send().await.status, 200);
    assert!(app.server.tokens.revoke(token.split(':').next().unwrap()).await.unwrap());
    assert_eq!(status(&token).await, 401);
    assert_eq!(
        app.get(&path).token(&token).send().await.status,
        401,
        "cached responses are not for all callers"
    );
    // Another token of the same user is valid.
    let new_token = app.token("ann").await;
    assert_eq!(app.get(&path).token(&new_token).send().await.status, 200);
}

#[tokio::test]
async fn oversized_bodies_are_rejected() {
    let app = TestApp::builder().advisory_review().setting("NORMAN_AKS_BODY_LIMIT", "2KiB").start().await;
    let id = app.store_credential(&app.admin).await;
    let large = json!({"name": "n".repeat(3_000), "azurecredentialConfig": {}}).to_string();
    for (method, path) in [
        (Method::POST, "/v3/cloudcredentials".to_owned()),
        (Method::PUT, format!("/v3/cloudcredentials/{id}")),
        (Method::POST, format!("/v3/cloudcredentials/{id}?_method=PUT")),
        (Method::POST, "/v3/clusters".to_owned()),
    ] {
        let response = app.call(method.clone(), &path).body(large.clone()).send().await;
        assert_eq!(response.status, 413, "{method} {path}: {}", response.text());
        assert_eq!(response.json()["code"], "InvalidBodyContent");
        // In chunks, without `Content-Length`.
        let chunks = large.as_bytes().chunks(500).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()));
        let chunks = axum::body::Body::from_stream(futures_util::stream::iter(chunks.collect::<Vec<_>>()));
        let response = app.call(method.clone(), &path).body(chunks).send().await;
        assert_eq!(response.status, 413, "{method} {path} in chunks: {}", response.text());
    }
    let just_fits = json!({"name": "n".repeat(60), "description": "d".repeat(1_000),
        "azurecredentialConfig": {"clientId": "c", "clientSecret": "s", "subscriptionId": "u"}});
    assert_eq!(app.post("/v3/cloudcredentials").json(&just_fits).send().await.status, 201);
}

#[tokio::test]
async fn concurrency_limit_rejects_requests_but_not_health_checks() {
    let app = TestApp::builder().advisory_review().setting("NORMAN_AKS_REQUEST_LIMIT", "1").start().await;
    let id = app.store_credential(&app.admin).await;
    app.control.add_fault(fault::delay(Operation::Locations, 60_000));
    let path = format!("/meta/aksLocations?cloudCredentialId={id}");
    let busy = async { app.get(&path).send().await };
    let others = async {
        while app.control.requests().iter().all(|request| request.operation != Operation::Locations) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let v3 = app.get("/v3");
        let meta = app.get("/meta/aksRegions");
        let health_checks = async {
            let started = Instant::now();
            for path in ["/livez", "/readyz", "/healthz", "/ping"] {
                assert_eq!(app.get(path).anonymous().send().await.status, 200, "{path}");
            }
            started.elapsed()
        };
        let others = tokio::join!(v3.send(), meta.send(), health_checks);
        // Ends the delay of the first request.
        app.control.clear_faults();
        others
    };
    let (busy, (v3, meta, health_checks_time)) = tokio::join!(busy, others);
    assert_eq!(busy.status, 200, "{}", busy.text());
    for rejected in [&v3, &meta] {
        assert_eq!(rejected.status, 503, "{}", rejected.text());
        assert_eq!(rejected.header("retry-after"), "2");
        assert_eq!(rejected.header("content-type"), "application/json");
        assert_eq!(rejected.json()["requestId"], rejected.header("x-request-id"));
    }
    assert_eq!((&v3.json()["type"], &v3.json()["status"]), (&json!("error"), &json!(503)));
    assert!(!meta.error().is_empty());
    assert!(
        health_checks_time < Duration::from_millis(1_500),
        "{health_checks_time:?}: health checks waited for a permit"
    );
    assert_eq!(app.get("/v3").send().await.status, 200, "the permit is free again");
}

/// The server on a port, with a short timeout for request headers.
async fn start_listener(app: &TestApp) -> Listener {
    let options = serve::Options { header_timeout: Duration::from_millis(400), ..serve::Options::default() };
    Listener::serve(app.router(), None, options).await
}

#[tokio::test]
async fn slow_headers_are_cut_off() {
    let app = TestApp::with_advisory_review().await;
    let listener = start_listener(&app).await;
    let address = listener.address;
    let dripping = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let started = Instant::now();
        let mut response = Vec::new();
        for byte in b"GET /ping HTTP/1.1\r\nHost: a\r\nX-Slow: ".iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() || started.elapsed() > Duration::from_secs(20) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let _ = stream.read_to_end(&mut response).await;
        (started.elapsed(), String::from_utf8_lossy(&response).into_owned())
    };
    let others = async {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            assert!(response.ends_with("pong"), "{response}");
        }
    };
    let ((took, response), ()) = tokio::join!(dripping, others);
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(!response.contains("200 OK"), "{response}");
}

#[tokio::test]
async fn thousand_concurrent_connections_get_responses() {
    // Both ends of each connection are file descriptors of this process; 400 are left to other tests, which run in parallel.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let max_files = limits.lines().find(|line| line.starts_with("Max open files"));
    let max_files = max_files.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1_024);
    let connection_count = 1_000.min((max_files - 400) / 2);
    if connection_count < 1_000 {
        println!("only {connection_count} connections: this process may open {max_files} files");
    }
    let app = TestApp::with_advisory_review().await;
    let listener = Listener::start(&app).await;
    let request =
        format!("GET /v3/clusters HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", app.admin);
    let mut connections = Vec::new();
    for _ in 0..connection_count {
        connections.push(TcpStream::connect(listener.address).await.unwrap());
    }
    let exchanges = connections.into_iter().map(async |mut stream: TcpStream| {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        stream
    });
    let streams = futures_util::future::join_all(exchanges).await;
    assert_eq!(streams.len(), connection_count);
}

#[tokio::test]
async fn responses_report_whether_the_token_is_valid() {
    let app = TestApp::with_advisory_review().await;
    let auth_header = |response: &TestResponse| response.header("x-api-cattle-auth").to_owned();
    for path in
        ["/v3/clusters", "/v3/settings/cacerts", "/rancherversion", "/meta/aksLocations", "/v3/nothing"]
    {
        let expected = if path == "/v3/nothing" { "" } else { "true" };
        assert_eq!(auth_header(&app.get(path).send().await), expected, "{path}");
        assert_eq!(auth_header(&app.get(path).anonymous().send().await), "false", "{path}");
        let wrong = app.get(path).token("nobody:wrong").send().await;
        assert_eq!(auth_header(&wrong), if path == "/v3/nothing" { "" } else { "false" }, "{path}");
    }
    // A request into a cluster, and one that is rejected for a reason other than its token.
    assert_eq!(auth_header(&app.get("/k8s/clusters/c-nnnnn/version").send().await), "true");
    assert_eq!(auth_header(&app.get("/k8s/clusters/c-nnnnn/version").token("a:b").send().await), "false");
    let ann = app.token("ann").await;
    let denied = app.put("/v3/settings/aks-refresh").token(&ann).json(&json!({"value": "5"})).send().await;
    assert_eq!((denied.status.as_u16(), auth_header(&denied).as_str()), (403, "true"));
}

#[tokio::test]
async fn cacerts_and_version_need_no_token() {
    let app = TestApp::with_advisory_review().await;
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let empty = app.get("/v3/settings/cacerts").anonymous().send().await;
    assert_eq!((empty.status, &empty.json()["value"]), (StatusCode::OK, &json!("")));
    assert_eq!(app.put("/v3/settings/cacerts").json(&json!({"value": pem})).send().await.status, 200);
    for path in ["/v3/settings/cacerts", "/v3/settings/cacerts/"] {
        let setting = app.get(path).anonymous().send().await.expect(200).json();
        assert_eq!(
            (&setting["id"], &setting["type"], &setting["value"]),
            (&json!("cacerts"), &json!("setting"), &json!(pem.trim_end()))
        );
        assert!(setting["links"].get("update").is_none(), "{setting}");
    }
    app.get("/v3/settings/cacerts").token("nobody:wrong").send().await.expect(200);
    for (method, path) in [
        (Method::PUT, "/v3/settings/cacerts"),
        (Method::POST, "/v3/settings/cacerts?_method=PUT"),
        (Method::DELETE, "/v3/settings/cacerts"),
        (Method::GET, "/v3/settings/server-url"),
        (Method::GET, "/v3/settings"),
    ] {
        let response = app.call(method.clone(), path).anonymous().body("{}").send().await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    let version = app.get("/rancherversion").anonymous().send().await.expect(200);
    let setting = app.get("/v3/settings/server-version").send().await.json()["value"].clone();
    assert_eq!((&version.json()["Version"], &version.json()["RancherPrime"]), (&setting, &json!("false")));
}
