//! Disabling, enabling and removing users: by the API and on the command line, in every server, with the objects they own.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use norman_aks::app::App;
use serde_json::{Value, json};

use crate::norman::{NormanError, norman_error};
use crate::support::app::{Call, TestApp, TestResponse};
use crate::support::connected::{CLUSTER_ID, ConnectedCluster};
use crate::support::databases;
use crate::support::{program, test_clusters};

async fn set_enabled(app: &TestApp, id: &str, enabled: bool) -> TestResponse {
    app.put(&format!("/v3/users/{id}")).json(&json!({"enabled": enabled})).send().await
}

/// The code and message of a response with status 422.
fn validation_error(response: &TestResponse) -> (String, String) {
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", response.text());
    let NormanError { code, message, .. } = norman_error(response);
    (code, message)
}

/// The audit records of the last changes, newest first: action, type, object, detail.
async fn audit_records(app: &TestApp, count: usize) -> Vec<[String; 4]> {
    let list = app.get(&format!("/api/v1/audit?limit={count}")).send().await.json();
    let records = list["data"].as_array().unwrap().iter().map(|record| {
        ["action", "objectType", "objectId", "detail"].map(|key| record[key].as_str().unwrap().to_owned())
    });
    records.collect()
}

/// Opens a stream and reads its first frame; returns the rest of the body.
async fn open_stream(app: &App, path: &str, token: &str) -> Body {
    let response = Call::new(&app.router(), Method::GET, path, token).response().await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    body
}

/// Waits for the end of a body, successful or not.
async fn wait_for_end(mut body: Body) {
    let ending = async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
    tokio::time::timeout(Duration::from_mins(1), ending).await.expect("the stream ends");
}

#[tokio::test]
async fn disabled_user_is_denied_until_enabled_again() {
    let connected = ConnectedCluster::start().await;
    let server_url = json!({"value": "https://norman.test"});
    assert_eq!(
        connected.app.put("/v3/settings/server-url").json(&server_url).send().await.status,
        StatusCode::OK
    );
    let ben = connected.add_member("ben", "cluster-member").await;
    let path = format!("/v3/clusters/{CLUSTER_ID}?action=generateKubeconfig");
    let kubeconfig =
        connected.app.post(&path).token(&ben).send().await.json()["config"].as_str().unwrap().to_owned();
    let kubeconfig_token =
        kubeconfig.split("token: \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let basic = format!("Basic {}", BASE64_STANDARD.encode(&ben));
    let cookie = format!("R_SESS={ben}");
    let version_path = format!("/k8s/clusters/{CLUSTER_ID}/version");
    let statuses = async || {
        let get = |path| connected.app.get(path).anonymous();
        let bearer = format!("Bearer {ben}");
        [
            get("/v3/users").header("authorization", &bearer).send().await.status.as_u16(),
            get("/v3/users").header("authorization", &basic).send().await.status.as_u16(),
            get("/v3/users").header("cookie", &cookie).send().await.status.as_u16(),
            get(&version_path).header("authorization", &bearer).send().await.status.as_u16(),
            get(&version_path)
                .header("authorization", &format!("Bearer {kubeconfig_token}"))
                .send()
                .await
                .status
                .as_u16(),
            get("/meta/aksLocations").header("authorization", &bearer).send().await.status.as_u16(),
            get(&format!("/v3/clusters/{CLUSTER_ID}"))
                .header("authorization", &bearer)
                .send()
                .await
                .status
                .as_u16(),
        ]
    };
    let before = statuses().await;
    assert_eq!((before[0], before[3], before[4], before[6]), (200, 200, 200, 200), "{before:?}");
    let id = connected.app.user_id(&ben).await;
    let disabled = set_enabled(&connected.app, &id, false).await.expect(200);
    assert_eq!((&disabled.json()["enabled"], &disabled.json()["state"]), (&json!(false), &json!("inactive")));
    assert_eq!(statuses().await, [401; 7]);
    let detail = ["update", "user", id.as_str(), "ben is disabled"].map(str::to_owned);
    assert_eq!(audit_records(&connected.app, 1).await, [detail]);

    // The user's objects remain visible to owners and administrators. Once the user is enabled, they are effective again.
    let bindings = connected
        .app
        .get("/v3/clusterroletemplatebindings")
        .token(&connected.owner_token)
        .send()
        .await
        .json();
    assert!(bindings["data"].as_array().unwrap().iter().any(|binding| binding["userId"] == id.as_str()));
    let disabled_users = connected.app.get("/v3/users?enabled=false").send().await.json();
    assert_eq!(disabled_users["data"][0]["id"], id.as_str(), "{disabled_users}");
    assert_eq!(set_enabled(&connected.app, &id, true).await.json()["enabled"], true);
    assert_eq!(statuses().await, before);
}

#[tokio::test]
async fn open_streams_of_disabled_and_removed_users_end() {
    let connected = ConnectedCluster::start().await;
    let (ben, cid) =
        (connected.add_member("ben", "read-only").await, connected.add_member("cid", "read-only").await);
    let (watch, events) = (
        format!("/k8s/clusters/{CLUSTER_ID}/api/v1/watched?watch=true"),
        format!("/api/v1/clusters/{CLUSTER_ID}/events"),
    );
    let mut streams = Vec::new();
    for token in [&ben, &cid] {
        streams.push(open_stream(&connected.app.server, &watch, token).await);
        streams.push(open_stream(&connected.app.server, &events, token).await);
    }
    let mut owners_stream = open_stream(&connected.app.server, &watch, &connected.owner_token).await;
    assert_eq!(
        set_enabled(&connected.app, &connected.app.user_id(&ben).await, false).await.status,
        StatusCode::OK
    );
    let removed =
        connected.app.delete(&format!("/v3/users/{}", connected.app.user_id(&cid).await)).send().await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.text());
    futures_util::future::join_all(streams.into_iter().map(wait_for_end)).await;
    connected.kubernetes.wait_for_open(1).await;
    connected.kubernetes.send_line("still here");
    assert_eq!(owners_stream.frame().await.unwrap().unwrap().into_data().unwrap(), "still here\n");
}

#[tokio::test]
async fn another_server_denies_a_disabled_user_too() {
    let Some(db) = databases::postgres().await else { return };
    let first = TestApp::builder().advisory_review().database(&db).start().await;
    let second = TestApp::builder().advisory_review().database(&db).with_azure_of(&first).start().await;
    let ben = first.token("ben").await;
    let cluster = test_clusters::import(&first, &ben, "shop").await;
    let status = async || second.get("/v3/users").token(&ben).send().await.status.as_u16();
    assert_eq!(status().await, 200, "the second server accepts the token");
    let stream = open_stream(&second.server, &format!("/api/v1/clusters/{cluster}/events"), &ben).await;
    let id = first.user_id(&ben).await;
    assert_eq!(set_enabled(&first, &id, false).await.status, StatusCode::OK);
    second.clock.advance(Duration::from_secs(2));
    assert_eq!(status().await, 401);
    wait_for_end(stream).await;
    assert_eq!(set_enabled(&first, &id, true).await.status, StatusCode::OK);
    assert_eq!(status().await, 200);
    let path = format!("/api/v1/users/{id}?handOverTo=admin");
    assert_eq!(first.delete(&path).send().await.status, StatusCode::OK);
    second.clock.advance(Duration::from_secs(2));
    assert_eq!(status().await, 401);
}

#[tokio::test]
async fn removal_hands_everything_over_or_lists_it() {
    let app = TestApp::with_advisory_review().await;
    let (ann, ben, cid) = (app.token("ann").await, app.token("ben").await, app.token("cid").await);
    let credential = app.store_credential(&ann).await;
    let cluster =
        test_clusters::create(&app, &ann, &test_clusters::import_body(&app, "shop", &credential)).await;
    let cids_credential = app.store_credential(&cid).await;
    let other_cluster = test_clusters::import_absent(&app, &cid, "other", &cids_credential).await;
    let ann_id = app.user_id(&ann).await;
    let membership = json!({"clusterId": other_cluster, "userId": ann_id, "roleTemplateId": "read-only"});
    let binding =
        app.post("/v3/clusterroletemplatebindings").token(&cid).json(&membership).send().await.json();
    let binding = binding["id"].as_str().unwrap().to_owned();

    let account = app.get(&format!("/api/v1/users/{ann_id}")).send().await.json();
    assert_eq!(account["clusters"], json!([{"id": cluster, "name": "shop"}]));
    assert_eq!(account["cloudCredentials"], json!([{"id": credential, "name": "azure"}]));
    let (user, expected) = (
        &account["user"],
        json!({"tokens": 1, "memberships": 1, "clusters": 1,
        "cloudCredentials": 1, "administrator": false, "enabled": true, "name": "ann"}),
    );
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&user[key], value, "{key}: {account}");
    }

    // Nothing changes without a new owner, or with an invalid one.
    let disabled_id = app.user_id(&app.token("dan").await).await;
    assert_eq!(set_enabled(&app, &disabled_id, false).await.status, StatusCode::OK);
    for path in [format!("/v3/users/{ann_id}"), format!("/api/v1/users/{ann_id}")] {
        let (code, message) = validation_error(&app.delete(&path).send().await);
        assert_eq!(code, "InvalidAction");
        for expected in [&format!("{cluster} (shop)"), &format!("{credential} (azure)"), "handOverTo"] {
            assert!(message.contains(expected), "{expected}: {message}");
        }
    }
    for new_owner in ["nobody", "dan", &disabled_id, "ann", &ann_id] {
        let rejected = app.delete(&format!("/api/v1/users/{ann_id}?handOverTo={new_owner}")).send().await;
        assert_eq!(validation_error(&rejected).0, "InvalidReference", "{new_owner}");
    }
    let misspelled = app.delete(&format!("/api/v1/users/{ann_id}?handoverto=ben")).send().await;
    assert_eq!(validation_error(&misspelled).0, "InvalidOption");
    assert_eq!(app.get(&format!("/v3/clusters/{cluster}")).token(&ann).send().await.status, 200);
    assert_eq!(app.get(&format!("/v3/clusters/{cluster}")).token(&ben).send().await.status, 404);

    let ben_id = app.user_id(&ben).await;
    let removed = app.delete(&format!("/api/v1/users/{ann_id}?handOverTo=ben")).send().await;
    assert_eq!(
        (removed.status, removed.json()),
        (
            StatusCode::OK,
            json!({"user": {"id": ann_id, "name": "ann"}, "handedOverTo": {"id": ben_id, "name": "ben"},
            "clusters": [{"id": cluster, "name": "shop"}], "cloudCredentials": [{"id": credential, "name": "azure"}],
            "memberships": [binding], "tokens": 1})
        )
    );
    let detail = format!("handed over from ann ({ann_id}) to ben ({ben_id})");
    let summary =
        "ann: 1 token and 1 membership deleted, 1 cluster and 1 cloud credential handed over to ben";
    let expected = [
        ["delete", "user", &ann_id, summary],
        ["delete", "clusterRoleTemplateBinding", &binding, "the user ann was removed"],
        ["update", "cloudCredential", &credential, &detail],
        ["update", "cluster", &cluster, &detail],
    ]
    .map(|record| record.map(str::to_owned));
    let recorded: BTreeSet<_> = audit_records(&app, 4).await.into_iter().collect();
    assert_eq!(recorded, BTreeSet::from(expected), "one request, one transaction");

    assert_eq!(app.get("/v3/users").token(&ann).send().await.status, 401);
    assert_eq!(app.get(&format!("/v3/users/{ann_id}")).send().await.status, 404);
    assert_eq!(app.get(&format!("/v3/clusterroletemplatebindings/{binding}")).send().await.status, 404);
    let owned = app.get(&format!("/v3/clusters/{cluster}")).token(&ben).send().await.json();
    assert_eq!(owned["creatorId"], ben_id.as_str(), "{owned}");
    assert!(owned["links"]["update"].is_string(), "{owned}");
    let listing = format!("/meta/aksLocations?cloudCredentialId={credential}");
    assert_eq!(app.get(&listing).token(&ben).send().await.status, 200);
    let change = json!({"name": "shop", "description": "of ben"});
    app.put(&format!("/v3/clusters/{cluster}")).token(&ben).json(&change).send().await.expect(200);
}

#[tokio::test]
async fn only_administrators_manage_users_and_not_themselves() {
    let app = TestApp::with_advisory_review().await;
    let (ann, ben) = (app.token("ann").await, app.token("ben").await);
    let (ann_id, ben_id) = (app.user_id(&ann).await, app.user_id(&ben).await);
    let admin_id = app.user_id(&app.admin).await;
    for (id, expected) in [(&ann_id, 403), (&ben_id, 404)] {
        let path = format!("/v3/users/{id}");
        let put = app.put(&path).token(&ann).json(&json!({"enabled": false})).send().await;
        let delete = app.delete(&path).token(&ann).send().await;
        assert_eq!((put.status.as_u16(), delete.status.as_u16()), (expected, expected), "{id}");
    }
    for (method, path) in
        [(Method::GET, "/api/v1/users".to_owned()), (Method::GET, format!("/api/v1/users/{ann_id}"))]
    {
        assert_eq!(app.call(method, &path).token(&ann).send().await.status, 403, "{path}");
    }
    for rejected in [
        set_enabled(&app, &admin_id, false).await,
        app.delete(&format!("/v3/users/{admin_id}")).send().await,
        app.delete(&format!("/api/v1/users/{admin_id}?handOverTo=ann")).send().await,
    ] {
        let (code, message) = validation_error(&rejected);
        assert!(code == "InvalidAction" && message.contains("yourself"), "{message}");
    }
    let renamed = app.put(&format!("/v3/users/{ann_id}")).json(&json!({"name": "anna"})).send().await;
    assert_eq!(norman_error(&renamed).field, "name", "{}", renamed.text());
    for path in ["/v3/users/user-none", "/api/v1/users/user-none"] {
        assert_eq!(app.delete(path).send().await.status, 404, "{path}");
    }
    let accounts = app.get("/api/v1/users").send().await.json();
    let names: Vec<_> = accounts["users"].as_array().unwrap().iter().map(|user| &user["name"]).collect();
    assert_eq!(names, ["admin", "ann", "ben"]);
    app.post(&format!("/v3/users/{ben_id}?_method=DELETE")).send().await.expect(200);
}

/// Runs a command on the data directory of `app`; returns its exit code and its output, standard error first.
fn run_command(app: &TestApp, arguments: &[&str]) -> (Option<i32>, String) {
    let directory = app.data_dir.path();
    let data_dir = directory.display().to_string();
    let all_arguments = [arguments, &["--data-dir", &data_dir]].concat();
    let output = program::command(directory, &all_arguments).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap(),
    )
}

#[tokio::test]
async fn commands_manage_users_beside_a_running_server() {
    let app = TestApp::with_advisory_review().await;
    let ben = app.token("ben").await;
    let credential = app.store_credential(&ben).await;
    let status = async || {
        app.clock.advance(Duration::from_secs(2));
        app.get("/v3/users").token(&ben).send().await.status.as_u16()
    };
    assert_eq!(status().await, 200);
    assert_eq!(
        run_command(&app, &["user", "disable", "ben"]),
        (Some(0), "norman-aks: ben is disabled now\n".to_owned())
    );
    assert_eq!(status().await, 401);
    let (code, list) = run_command(&app, &["user", "list"]);
    assert_eq!(code, Some(0), "{list}");
    let line = list.lines().find(|line| line.starts_with("ben ")).unwrap();
    assert!(line.contains(" disabled ") && line.contains(&id_of_name(&app, "ben").await), "{list}");
    let (code, rejected) = run_command(&app, &["token", "create", "--user", "ben"]);
    assert!(code == Some(1) && rejected.contains("norman-aks user enable ben"), "{rejected}");
    assert!(run_command(&app, &["token", "list"]).1.contains("user disabled"));
    assert_eq!(run_command(&app, &["user", "enable", "ben"]).0, Some(0));
    assert_eq!(status().await, 200);

    let (code, rejected) = run_command(&app, &["user", "remove", "ben"]);
    assert!(
        code == Some(1) && rejected.contains(&credential) && rejected.contains("--hand-over-to"),
        "{rejected}"
    );
    let (code, rejected) = run_command(&app, &["user", "remove", "ben", "--hand-over-to", "eve"]);
    assert!(code == Some(1) && rejected.contains("eve"), "{rejected}");
    assert_eq!(status().await, 200);
    let (code, done) = run_command(&app, &["user", "remove", "ben", "--hand-over-to", "admin"]);
    let expected = "norman-aks: removed user ben with 1 token and 0 memberships; handed over 0 clusters and 1 cloud \
                    credential to admin\n";
    assert_eq!((code, done.as_str()), (Some(0), expected));
    assert_eq!(status().await, 401);
    let log = app.get("/api/v1/audit?objectType=user&action=delete").send().await.json();
    assert_eq!(log["data"][0]["userName"], "command line", "{log}");
    let (code, unknown) = run_command(&app, &["user", "disable", "ben"]);
    assert!(code == Some(1) && unknown.contains("norman-aks user list"), "{unknown}");
    for arguments in [
        &["user", "disable", "admin"][..],
        &["user", "remove", "admin"],
        &["token", "create", "--user", "admin", "--no-admin"],
    ] {
        let (code, rejected) = run_command(&app, arguments);
        assert!(
            code == Some(1) && rejected.contains("last enabled administrator"),
            "{arguments:?}: {rejected}"
        );
    }
}

async fn id_of_name(app: &TestApp, name: &str) -> String {
    let users = app.get(&format!("/v3/users?name={name}")).send().await.json();
    users["data"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bootstrap_token_of_a_disabled_user_stays_invalid() {
    let app = TestApp::with_advisory_review().await;
    let other_admin = app.server.tokens.create("boss", Some(true), None, "").await.unwrap();
    let other_admin = secrecy::ExposeSecret::expose_secret(&other_admin.to_bearer()).to_owned();
    let bootstrap = "token-boot:a-long-enough-secret-of-the-bootstrap-token";
    let status = async || app.get("/v3/users").token(bootstrap).send().await.status.as_u16();
    app.server.tokens.ensure_bootstrap(&bootstrap.into()).await.unwrap();
    assert_eq!(status().await, 200);
    let path = format!("/v3/users/{}", app.user_id(bootstrap).await);
    app.put(&path).token(&other_admin).json(&json!({"enabled": false})).send().await.expect(200);
    // Servers do this at every start.
    app.server.tokens.ensure_bootstrap(&bootstrap.into()).await.unwrap();
    assert_eq!(status().await, 401);
}

#[tokio::test]
async fn disabled_user_gets_no_new_token() {
    let app = TestApp::with_advisory_review().await;
    let ben = app.token("ben").await;
    let id = app.user_id(&ben).await;
    assert_eq!(set_enabled(&app, &id, false).await.status, StatusCode::OK);
    // As in a request that was authenticated before the user was disabled.
    let rejected = app.server.tokens.create("ben", None, None, "").await.unwrap_err();
    assert!(rejected.to_string().contains("user enable ben"), "{rejected}");
    let account = app.get(&format!("/api/v1/users/{id}")).send().await.json();
    assert_eq!(account["user"]["tokens"], 1, "{account}");
    assert_eq!(account["user"]["enabled"], Value::Bool(false));
}
