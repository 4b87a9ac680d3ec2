//! `/v3/tokens` and `/v3/users`: a user's own tokens, and the list of users.

use std::time::Duration;

use http::{Method, StatusCode};
use norman_aks::store::{self, audit};
use serde_json::{Value, json};

use crate::norman::norman_error;
use crate::support::app::TestApp;
use crate::support::call::string_at;
use crate::support::connected::{CLUSTER_ID, ConnectedCluster};
use crate::support::databases;

async fn create_token(app: &TestApp, token: &str, body: &Value) -> Value {
    app.post("/v3/tokens").token(token).json(body).send().await.expect(201).json()
}

fn token_name(token: &str) -> String {
    token.split(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn new_token_expires_no_later_than_its_creator() {
    let connected = ConnectedCluster::start().await;
    let ttl = Some(Duration::from_mins(1));
    let creator = connected.app.server.tokens.create("ann", None, ttl, "").await.unwrap();
    let creator = secrecy::ExposeSecret::expose_secret(&creator.to_bearer()).to_owned();
    for (ttl_ms, expires_at) in
        [(0, "2026-11-22T12:01:00Z"), (600_000, "2026-11-22T12:01:00Z"), (5_000, "2026-11-22T12:00:05Z")]
    {
        assert_eq!(
            create_token(&connected.app, &creator, &json!({"ttl": ttl_ms})).await["expiresAt"],
            expires_at
        );
    }
    let server_url = json!({"value": "https://norman.test"});
    assert_eq!(
        connected.app.put("/v3/settings/server-url").json(&server_url).send().await.status,
        StatusCode::OK
    );
    let path = format!("/v3/clusters/{CLUSTER_ID}?action=generateKubeconfig");
    connected.app.post(&path).token(&creator).send().await.expect(200);
    let tokens = connected.app.get("/v3/tokens").token(&creator).send().await.json();
    for token in tokens["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|token| token["name"] != token_name(&connected.owner_token))
    {
        assert!(
            string_at(token, "expiresAt").as_str() <= "2026-11-22T12:01:00Z" && token["expiresAt"] != "",
            "{token}"
        );
    }
}

#[tokio::test]
async fn token_secret_is_shown_only_once() {
    let app = TestApp::with_advisory_review().await;
    let ann = app.token("ann").await;
    let body = json!({"links": null, "actions": null, "description": "for scripts", "ttl": 60_000, "labels": null,
        "name": "mine", "userId": "user-other", "enabled": false, "expired": true, "isDerived": false});
    let mut token = create_token(&app, &ann, &body).await;
    let secret = token.as_object_mut().unwrap().remove("token").unwrap();
    let id = string_at(&token, "id");
    let bearer = secret.as_str().unwrap();
    assert!(
        id.starts_with("token-")
            && bearer.strip_prefix(&format!("{id}:")).is_some_and(|secret| secret.len() > 40)
    );
    let self_link = format!("http://norman.test/v3/tokens/{id}");
    let user_id = app.get("/v3/users?me=true").token(&ann).send().await.json()["data"][0]["id"].clone();
    assert_eq!(
        token,
        json!({
            "actions": {}, "annotations": {}, "authProvider": "local", "baseType": "token", "created": "2026-11-22T12:00:00Z",
            "createdTS": 1_795_348_800_000_i64, "current": false, "description": "for scripts", "enabled": true,
            "expired": false, "expiresAt": "2026-11-22T12:01:00Z", "id": id, "isDerived": true,
            "labels": {"cattle.io/creator": "norman"}, "links": {"remove": self_link, "self": self_link}, "name": id,
            "ttl": 60_000, "type": "token", "userId": user_id,
        })
    );
    let secret = bearer.split_once(':').unwrap().1;
    for path in [&format!("/v3/tokens/{id}"), "/v3/tokens", "/v3/tokens?ttl=60000"] {
        let response = app.get(path).token(&ann).send().await.expect(200);
        assert!(response.text().contains(&id) && !response.text().contains(secret), "{}", response.text());
    }
    // The token is valid and can read itself.
    let current = app.get(&format!("/v3/tokens/{id}")).token(bearer).send().await.json();
    assert_eq!((&current["current"], &current["userId"]), (&json!(true), &user_id));
    assert!(app.get("/v3/clusters").token(bearer).send().await.status.is_success());
    let file = app.data_dir.path().join("norman-aks.db");
    for path in [file.clone(), file.with_extension("db-wal")] {
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", path.display());
    }
}

#[tokio::test]
async fn labels_and_annotations_of_a_token_are_stored() {
    let app = TestApp::start().await;
    let body = json!({"labels": {"example.com/a": "b"}, "annotations": {"example.com/c": "d"}});
    let token = create_token(&app, &app.admin, &body).await;
    let read = app.get(&format!("/v3/tokens/{}", string_at(&token, "id"))).send().await.json();
    for token in [&token, &read] {
        assert_eq!(token["labels"], json!({"example.com/a": "b", "cattle.io/creator": "norman"}));
        assert_eq!(token["annotations"], json!({"example.com/c": "d"}));
    }
    let rejected = app.post("/v3/tokens").json(&json!({"labels": {"a": "b\nc"}})).send().await;
    assert_eq!(norman_error(&rejected).field, "labels.a");
}

#[tokio::test]
async fn tokens_are_visible_only_to_their_user() {
    let app = TestApp::with_advisory_review().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let anns_token = create_token(&app, &ann, &json!({})).await;
    let id = string_at(&anns_token, "id");
    let mut expected = vec![token_name(&ann), id.clone()];
    expected.sort();
    assert_eq!(app.get("/v3/tokens").token(&ann).send().await.ids(), expected);
    for other in [&bob, &app.admin] {
        assert_eq!(app.get("/v3/tokens").token(other).send().await.ids(), [token_name(other)]);
        let user = string_at(&anns_token, "userId");
        assert!(app.get(&format!("/v3/tokens?userId={user}")).token(other).send().await.ids().is_empty());
        for (method, query) in
            [(Method::GET, ""), (Method::DELETE, ""), (Method::POST, "?_method=DELETE"), (Method::POST, "")]
        {
            let request =
                |id: &str| app.call(method.clone(), &format!("/v3/tokens/{id}{query}")).token(other);
            let (existing, missing) = (request(&id).send().await, request("token-none1").send().await);
            assert_eq!(
                (existing.status, missing.status),
                (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
                "{method}"
            );
            assert_eq!(
                existing.text().replace(&id, "token-none1"),
                missing.text(),
                "the responses do not differ"
            );
        }
    }
    assert!(app.get(&format!("/v3/tokens/{id}")).token(&ann).send().await.status.is_success());
    // The `userId` of another user is ignored.
    let user = string_at(&anns_token, "userId");
    let bobs_token = create_token(&app, &bob, &json!({"userId": user})).await;
    assert_ne!(bobs_token["userId"], json!(user));
}

#[tokio::test]
async fn deleted_token_is_invalid_even_if_it_deletes_itself() {
    let app = TestApp::with_advisory_review().await;
    let ann = app.token("ann").await;
    for method in [Method::DELETE, Method::POST] {
        let query = if method == Method::POST { "?_method=DELETE" } else { "" };
        let token = create_token(&app, &ann, &json!({})).await;
        let path = format!("/v3/tokens/{}", string_at(&token, "id"));
        let bearer = string_at(&token, "token");
        assert!(app.get("/v3/clusters").token(&bearer).send().await.status.is_success());
        let deleted = app.call(method, &format!("{path}{query}")).token(&ann).send().await.expect(200);
        assert_eq!((&deleted.json()["id"], deleted.json().get("token")), (&token["id"], None));
        assert_eq!(app.get("/v3/clusters").token(&bearer).send().await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(app.get(&path).token(&ann).send().await.status, StatusCode::NOT_FOUND);
        assert_eq!(app.delete(&path).token(&ann).send().await.status, StatusCode::NOT_FOUND);
    }
    let own_path = format!("/v3/tokens/{}", token_name(&ann));
    let logout = app.delete(&own_path).token(&ann).send().await;
    assert_eq!((logout.status, &logout.json()["current"]), (StatusCode::OK, &json!(true)));
    assert_eq!(app.get("/v3/tokens").token(&ann).send().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn expired_token_is_invalid_and_not_found() {
    let app = TestApp::with_advisory_review().await;
    let ann = app.token("ann").await;
    let token = create_token(&app, &ann, &json!({"ttl": "60000"})).await;
    let (id, bearer) = (string_at(&token, "id"), string_at(&token, "token"));
    app.clock.advance(Duration::from_millis(59_999));
    assert!(app.get("/v3/tokens").token(&bearer).send().await.status.is_success());
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(app.get("/v3/tokens").token(&bearer).send().await.status, StatusCode::UNAUTHORIZED);
    // Terraform creates a new token after 404, but does without a kubeconfig after 200 with `expired`.
    assert_eq!(app.get(&format!("/v3/tokens/{id}")).token(&ann).send().await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.get("/v3/tokens").token(&ann).send().await.ids(), [token_name(&ann)]);
}

#[tokio::test]
async fn invalid_request_creates_no_token() {
    let app = TestApp::with_advisory_review().await;
    let ann = app.token("ann").await;
    for (body, status, code, field) in [
        (json!({"ttl": -1}), 422, "InvalidFormat", "ttl"),
        (json!({"ttl": 3_153_600_000_001_i64}), 422, "InvalidFormat", "ttl"),
        (json!({"ttl": "soon"}), 422, "InvalidFormat", "ttl"),
        (json!({"ttl": 1e300}), 422, "InvalidFormat", "ttl"),
        (json!({"clusterId": "c-none1"}), 404, "NotFound", ""),
        (json!({"description": "x".repeat(100_000)}), 422, "", ""),
        (json!([]), 422, "InvalidBodyContent", ""),
    ] {
        let response = app.post("/v3/tokens").token(&ann).json(&body).send().await;
        assert_eq!(response.status.as_u16(), status, "{body:.60}: {}", response.text());
        let error = norman_error(&response);
        assert!(
            code.is_empty() || (error.code.as_str(), error.field.as_str()) == (code, field),
            "{body:.60}: {error:?}"
        );
    }
    assert_eq!(app.get("/v3/tokens").token(&ann).send().await.ids(), [token_name(&ann)]);
    let own_path = format!("/v3/tokens/{}", token_name(&ann));
    let put = app.put(&own_path).token(&ann).json(&json!({"description": "x"})).send().await;
    assert_eq!(
        (put.status, norman_error(&put).code),
        (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllow".into())
    );
    assert_eq!(app.post(&own_path).token(&ann).send().await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn cluster_token_is_valid_only_for_its_cluster() {
    let connected = ConnectedCluster::start().await;
    connected.insert_cluster("c-other", &connected.status(), Some("account-token")).await;
    let token = create_token(&connected.app, &connected.owner_token, &json!({"clusterId": CLUSTER_ID})).await;
    assert_eq!(token["clusterId"], CLUSTER_ID);
    let bearer = string_at(&token, "token");
    connected.app.get(&format!("/k8s/clusters/{CLUSTER_ID}/version")).token(&bearer).send().await.expect(200);
    connected.app.get("/k8s/clusters/c-other/version").token(&bearer).send().await.expect(403);
    for path in
        ["/v3/tokens", "/v3/users?me=true", "/v3/settings", "/v3/projects", "/v3/clusterregistrationtokens"]
    {
        assert_eq!(
            connected.app.get(path).token(&bearer).send().await.status,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
    // The token cannot create a token with more rights.
    connected.app.post("/v3/tokens").token(&bearer).json(&json!({})).send().await.expect(401);
    let list = connected
        .app
        .get(&format!("/v3/tokens?clusterId={CLUSTER_ID}"))
        .token(&connected.owner_token)
        .send()
        .await;
    assert_eq!(list.ids(), [string_at(&token, "id")]);
    // Another user's cluster is treated as absent.
    let eve = connected.app.token("eve").await;
    let rejected =
        connected.app.post("/v3/tokens").token(&eve).json(&json!({"clusterId": CLUSTER_ID})).send().await;
    assert_eq!(
        (rejected.status, norman_error(&rejected).message),
        (StatusCode::NOT_FOUND, format!("{CLUSTER_ID} not found"))
    );
}

#[tokio::test]
async fn tokens_are_audited_by_name() {
    let db = databases::sqlite().await;
    let app = TestApp::builder().advisory_review().database(&db).start().await;
    let token = create_token(&app, &app.admin, &json!({"description": "one"})).await;
    let path = format!("/v3/tokens/{}", string_at(&token, "id"));
    assert!(app.delete(&path).send().await.status.is_success());
    assert_eq!(app.delete(&path).send().await.status, StatusCode::NOT_FOUND);
    app.post("/v3/tokens").json(&json!({"ttl": -5})).send().await;
    app.server.stop().await;
    let (object_type, user) = (Some("token".to_owned()), Some("admin".to_owned()));
    let filter = audit::Filter { object_type, user, ..audit::Filter::default() };
    let mut rows = store::audit::list(&db.store, 100, &filter).await.unwrap();
    rows.reverse();
    let records: Vec<_> = rows.iter().map(|row| [&*row.action, &*row.object_id, &*row.outcome]).collect();
    let id = &*string_at(&token, "id");
    let expected = [
        ["create", id, "done"],
        ["delete", id, "done"],
        ["delete", id, "refused"],
        ["create", "", "refused"],
    ];
    assert_eq!(records, expected);
}

#[tokio::test]
async fn users_see_themselves_and_administrators_see_all() {
    let app = TestApp::with_advisory_review().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let own_user = async |token: &str| {
        let list = app.get("/v3/users?me=true").token(token).send().await.json();
        assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
        list["data"][0].clone()
    };
    let (ann_user, bob_user, admin_user) =
        (own_user(&ann).await, own_user(&bob).await, own_user(&app.admin).await);
    let self_link = format!("http://norman.test/v3/users/{}", string_at(&ann_user, "id"));
    assert_eq!(
        ann_user,
        json!({
            "actions": {}, "baseType": "user", "created": "2026-11-22T12:00:00Z", "createdTS": 1_795_348_800_000_i64,
            "enabled": true, "id": ann_user["id"], "links": {"self": self_link}, "me": true, "name": "ann",
            "principalIds": [format!("local://{}", string_at(&ann_user, "id"))], "state": "active", "transitioning": "no",
            "type": "user", "username": "ann",
        })
    );
    assert!(string_at(&ann_user, "id").starts_with("user-"));
    assert_eq!((&bob_user["name"], &admin_user["name"]), (&json!("bob"), &json!("admin")));
    assert_eq!(app.get("/v3/users").token(&ann).send().await.ids(), [string_at(&ann_user, "id")]);
    let user_path = |user: &Value| format!("/v3/users/{}", string_at(user, "id"));
    assert_eq!(app.get(&user_path(&ann_user)).token(&ann).send().await.json(), ann_user);
    let (hidden, missing) = (
        app.get(&user_path(&bob_user)).token(&ann).send().await,
        app.get("/v3/users/user-none1").token(&ann).send().await,
    );
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    assert_eq!(hidden.text().replace(&string_at(&bob_user, "id"), "user-none1"), missing.text());
    assert!(app.get("/v3/users?name=bob").token(&ann).send().await.ids().is_empty());

    let mut all = [&ann_user, &bob_user, &admin_user].map(|user| string_at(user, "id"));
    all.sort();
    assert_eq!(app.get("/v3/users").send().await.ids(), all);
    assert_eq!(app.get("/v3/users?name=bob").send().await.ids(), [string_at(&bob_user, "id")]);
    assert_eq!(app.get("/v3/users?me=false&name=ann").send().await.ids(), [string_at(&ann_user, "id")]);
    assert_eq!(app.get(&user_path(&bob_user)).send().await.json()["me"], false);
    // Users can be created only on the command line.
    for path in ["/v3/users", &user_path(&bob_user)] {
        let response = app.post(path).json(&json!({"name": "x"})).send().await;
        assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}
