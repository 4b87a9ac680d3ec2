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

fn name(token: &str) -> String {
    token.split(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn new_token_expires_no_later_than_its_creator() {
    let connected = ConnectedCluster::start().await;
    let ttl = Some(Duration::from_mins(1));
    let short = connected.app.server.tokens.create("ann", None, ttl, "").await.unwrap();
    let short = secrecy::ExposeSecret::expose_secret(&short.to_bearer()).to_owned();
    for (ttl_ms, expires_at) in
        [(0, "2026-11-22T12:01:00Z"), (600_000, "2026-11-22T12:01:00Z"), (5_000, "2026-11-22T12:00:05Z")]
    {
        assert_eq!(
            create_token(&connected.app, &short, &json!({"ttl": ttl_ms})).await["expiresAt"],
            expires_at
        );
    }
    let url = json!({"value": "https://norman.test"});
    assert_eq!(connected.app.put("/v3/settings/server-url").json(&url).send().await.status, StatusCode::OK);
    let path = format!("/v3/clusters/{CLUSTER_ID}?action=generateKubeconfig");
    connected.app.post(&path).token(&short).send().await.expect(200);
    let tokens = connected.app.get("/v3/tokens").token(&short).send().await.json();
    for token in tokens["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|token| token["name"] != name(&connected.owner_token))
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
    let sent = json!({"links": null, "actions": null, "description": "for scripts", "ttl": 60_000, "labels": null,
        "name": "mine", "userId": "user-other", "enabled": false, "expired": true, "isDerived": false});
    let mut token = create_token(&app, &ann, &sent).await;
    let secret = token.as_object_mut().unwrap().remove("token").unwrap();
    let id = string_at(&token, "id");
    let bearer = secret.as_str().unwrap();
    assert!(
        id.starts_with("token-")
            && bearer.strip_prefix(&format!("{id}:")).is_some_and(|rest| rest.len() > 40)
    );
    let own = format!("http://norman.test/v3/tokens/{id}");
    let me = app.get("/v3/users?me=true").token(&ann).send().await.json()["data"][0]["id"].clone();
    assert_eq!(
        token,
        json!({
            "actions": {}, "annotations": {}, "authProvider": "local", "baseType": "token", "created": "2026-11-22T12:00:00Z",
            "createdTS": 1_795_348_800_000_i64, "current": false, "description": "for scripts", "enabled": true,
            "expired": false, "expiresAt": "2026-11-22T12:01:00Z", "id": id, "isDerived": true,
            "labels": {"cattle.io/creator": "norman"}, "links": {"remove": own, "self": own}, "name": id,
            "ttl": 60_000, "type": "token", "userId": me,
        })
    );
    let secret = bearer.split_once(':').unwrap().1;
    for path in [&format!("/v3/tokens/{id}"), "/v3/tokens", "/v3/tokens?ttl=60000"] {
        let response = app.get(path).token(&ann).send().await.expect(200);
        assert!(response.text().contains(&id) && !response.text().contains(secret), "{}", response.text());
    }
    // The token is valid and can read itself.
    let current = app.get(&format!("/v3/tokens/{id}")).token(bearer).send().await.json();
    assert_eq!((&current["current"], &current["userId"]), (&json!(true), &me));
    assert!(app.get("/v3/clusters").token(bearer).send().await.status.is_success());
    let file = app.data_dir.path().join("norman-aks.db");
    for name in [file.clone(), file.with_extension("db-wal")] {
        let bytes = std::fs::read(&name).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", name.display());
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
    let refused = app.post("/v3/tokens").json(&json!({"labels": {"a": "b\nc"}})).send().await;
    assert_eq!(norman_error(&refused).field, "labels.a");
}

#[tokio::test]
async fn tokens_are_visible_only_to_their_user() {
    let app = TestApp::with_advisory_review().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let of_ann = create_token(&app, &ann, &json!({})).await;
    let id = string_at(&of_ann, "id");
    let mut expected = vec![name(&ann), id.clone()];
    expected.sort();
    assert_eq!(app.get("/v3/tokens").token(&ann).send().await.ids(), expected);
    for other in [&bob, &app.admin] {
        assert_eq!(app.get("/v3/tokens").token(other).send().await.ids(), [name(other)]);
        let user = string_at(&of_ann, "userId");
        assert!(app.get(&format!("/v3/tokens?userId={user}")).token(other).send().await.ids().is_empty());
        for (method, query) in
            [(Method::GET, ""), (Method::DELETE, ""), (Method::POST, "?_method=DELETE"), (Method::POST, "")]
        {
            let request =
                |id: &str| app.call(method.clone(), &format!("/v3/tokens/{id}{query}")).token(other);
            let (seen, none) = (request(&id).send().await, request("token-none1").send().await);
            assert_eq!(
                (seen.status, none.status),
                (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
                "{method}"
            );
            assert_eq!(seen.text().replace(&id, "token-none1"), none.text(), "the responses do not differ");
        }
    }
    assert!(app.get(&format!("/v3/tokens/{id}")).token(&ann).send().await.status.is_success());
    // A token for another user cannot be created either.
    let user = string_at(&of_ann, "userId");
    let of_bob = create_token(&app, &bob, &json!({"userId": user})).await;
    assert_ne!(of_bob["userId"], json!(user));
}

#[tokio::test]
async fn deleted_token_is_invalid_even_if_it_deletes_itself() {
    let app = TestApp::with_advisory_review().await;
    let ann = app.token("ann").await;
    for delete in [Method::DELETE, Method::POST] {
        let query = if delete == Method::POST { "?_method=DELETE" } else { "" };
        let token = create_token(&app, &ann, &json!({})).await;
        let path = format!("/v3/tokens/{}", string_at(&token, "id"));
        let bearer = string_at(&token, "token");
        assert!(app.get("/v3/clusters").token(&bearer).send().await.status.is_success());
        let deleted = app.call(delete, &format!("{path}{query}")).token(&ann).send().await.expect(200);
        assert_eq!((&deleted.json()["id"], deleted.json().get("token")), (&token["id"], None));
        assert_eq!(app.get("/v3/clusters").token(&bearer).send().await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(app.get(&path).token(&ann).send().await.status, StatusCode::NOT_FOUND);
        assert_eq!(app.delete(&path).token(&ann).send().await.status, StatusCode::NOT_FOUND);
    }
    let own = format!("/v3/tokens/{}", name(&ann));
    let logout = app.delete(&own).token(&ann).send().await;
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
    // 404, because clients that get a token with `expired` remove the kubeconfig for good.
    assert_eq!(app.get(&format!("/v3/tokens/{id}")).token(&ann).send().await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.get("/v3/tokens").token(&ann).send().await.ids(), [name(&ann)]);
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
    assert_eq!(app.get("/v3/tokens").token(&ann).send().await.ids(), [name(&ann)]);
    let own = format!("/v3/tokens/{}", name(&ann));
    let put = app.put(&own).token(&ann).json(&json!({"description": "x"})).send().await;
    assert_eq!(
        (put.status, norman_error(&put).code),
        (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllow".into())
    );
    assert_eq!(app.post(&own).token(&ann).send().await.status, StatusCode::METHOD_NOT_ALLOWED);
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
    // The token cannot create one with more rights.
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
    let refused =
        connected.app.post("/v3/tokens").token(&eve).json(&json!({"clusterId": CLUSTER_ID})).send().await;
    assert_eq!(
        (refused.status, norman_error(&refused).message),
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
    let seen: Vec<_> = rows.iter().map(|row| [&*row.action, &*row.object_id, &*row.outcome]).collect();
    let id = &*string_at(&token, "id");
    let expected = [
        ["create", id, "done"],
        ["delete", id, "done"],
        ["delete", id, "refused"],
        ["create", "", "refused"],
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn users_see_themselves_and_administrators_see_all() {
    let app = TestApp::with_advisory_review().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let me = async |token: &str| {
        let list = app.get("/v3/users?me=true").token(token).send().await.json();
        assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
        list["data"][0].clone()
    };
    let (of_ann, of_bob, of_admin) = (me(&ann).await, me(&bob).await, me(&app.admin).await);
    let own = format!("http://norman.test/v3/users/{}", string_at(&of_ann, "id"));
    assert_eq!(
        of_ann,
        json!({
            "actions": {}, "baseType": "user", "created": "2026-11-22T12:00:00Z", "createdTS": 1_795_348_800_000_i64,
            "enabled": true, "id": of_ann["id"], "links": {"self": own}, "me": true, "name": "ann",
            "principalIds": [format!("local://{}", string_at(&of_ann, "id"))], "state": "active", "transitioning": "no",
            "type": "user", "username": "ann",
        })
    );
    assert!(string_at(&of_ann, "id").starts_with("user-"));
    assert_eq!((&of_bob["name"], &of_admin["name"]), (&json!("bob"), &json!("admin")));
    assert_eq!(app.get("/v3/users").token(&ann).send().await.ids(), [string_at(&of_ann, "id")]);
    let path_of = |user: &Value| format!("/v3/users/{}", string_at(user, "id"));
    assert_eq!(app.get(&path_of(&of_ann)).token(&ann).send().await.json(), of_ann);
    let (seen, none) = (
        app.get(&path_of(&of_bob)).token(&ann).send().await,
        app.get("/v3/users/user-none1").token(&ann).send().await,
    );
    assert_eq!(seen.status, StatusCode::NOT_FOUND);
    assert_eq!(seen.text().replace(&string_at(&of_bob, "id"), "user-none1"), none.text());
    assert!(app.get("/v3/users?name=bob").token(&ann).send().await.ids().is_empty());

    let mut all = [&of_ann, &of_bob, &of_admin].map(|user| string_at(user, "id"));
    all.sort();
    assert_eq!(app.get("/v3/users").send().await.ids(), all);
    assert_eq!(app.get("/v3/users?name=bob").send().await.ids(), [string_at(&of_bob, "id")]);
    assert_eq!(app.get("/v3/users?me=false&name=ann").send().await.ids(), [string_at(&of_ann, "id")]);
    assert_eq!(app.get(&path_of(&of_bob)).send().await.json()["me"], false);
    // Users are created on the command line.
    for path in ["/v3/users", &path_of(&of_bob)] {
        let response = app.post(path).json(&json!({"name": "x"})).send().await;
        assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}
