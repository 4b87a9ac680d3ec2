//! generateKubeconfig: kubeconfigs for access through this server, each with a token for one cluster.

use aks::status::ClusterStatus;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use norman_aks::services::HttpsEndpoint;
use norman_aks::store;
use norman_aks::store::audit::Filter;
use secrecy::ExposeSecret as _;

use crate::support::app::{NOW_MS, TestApp, TestResponse};
use crate::support::connected::{CLUSTER_ID, ConnectedCluster};
use crate::support::kubernetes::FakeCluster;

const MINUTE_MS: i64 = 60_000;

/// The contents of a kubeconfig.
struct ParsedKubeconfig {
    server: String,
    authority: Option<String>,
    token: String,
}

fn parse_kubeconfig(response: &TestResponse) -> ParsedKubeconfig {
    assert_eq!(response.status, StatusCode::OK, "{}", response.text());
    let body = response.json();
    assert_eq!((&body["type"], &body["baseType"]), (&"generateKubeConfigOutput".into(), &body["type"]));
    let config = kube::config::Kubeconfig::from_yaml(body["config"].as_str().unwrap()).unwrap();
    let name = config.current_context.unwrap();
    let context = config.contexts[0].context.as_ref().unwrap();
    assert_eq!(
        (&config.contexts[0].name, &context.cluster, context.user.as_ref()),
        (&name, &name, Some(&name))
    );
    assert_eq!((&config.clusters[0].name, &config.auth_infos[0].name), (&name, &name));
    assert_eq!((config.kind.as_deref(), config.api_version.as_deref()), (Some("Config"), Some("v1")));
    let cluster = config.clusters[0].cluster.as_ref().unwrap();
    let authority = cluster.certificate_authority_data.as_ref();
    let token = config.auth_infos[0].auth_info.as_ref().unwrap().token.as_ref().unwrap();
    ParsedKubeconfig {
        server: cluster.server.clone().unwrap(),
        authority: authority.map(|text| String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap()),
        token: token.expose_secret().to_owned(),
    }
}

async fn connected_with_server_url() -> ConnectedCluster {
    let cluster = FakeCluster::start().await;
    let app = TestApp::builder()
        .advisory_review()
        .cluster_access(cluster.options())
        .setting("NORMAN_AKS_SERVER_URL", "https://aks.example.org")
        .start()
        .await;
    ConnectedCluster::new(app, cluster).await
}

fn kubeconfig_action(id: &str) -> String {
    format!("/v3/clusters/{id}?action=generateKubeconfig")
}

#[tokio::test]
async fn kubeconfig_points_to_this_server() {
    let connected = connected_with_server_url().await;
    let response =
        connected.app.post(&kubeconfig_action(CLUSTER_ID)).token(&connected.owner_token).send().await;
    assert_eq!(response.header("cache-control"), "no-store");
    assert!(
        response.json()["config"].as_str().unwrap().contains("current-context: \"name of \\\"c-abcde\\\"\"")
    );
    let first = parse_kubeconfig(&response);
    assert_eq!(first.server, format!("https://aks.example.org/k8s/clusters/{CLUSTER_ID}"));
    assert_eq!(first.authority, None);
    assert!(first.token.starts_with("kubeconfig-user-"), "{}", first.token);
    let version = format!("/k8s/clusters/{CLUSTER_ID}/version");
    let version = connected.app.get(&version).token(&first.token).send().await;
    assert_eq!(version.json()["gitVersion"], "v1.32.7");
    assert_eq!(
        connected.kubernetes.take_requests().remove(0).header("impersonate-user"),
        [connected.app.user_id(&connected.owner_token).await]
    );
    let second = parse_kubeconfig(
        &connected.app.post(&kubeconfig_action(CLUSTER_ID)).token(&connected.owner_token).send().await,
    );
    assert_ne!(first.token, second.token);
}

#[tokio::test]
async fn kubeconfig_token_is_for_its_cluster_only() {
    let connected = connected_with_server_url().await;
    connected.insert_cluster("c-other", &connected.status(), Some("account-token")).await;
    let token = parse_kubeconfig(
        &connected.app.post(&kubeconfig_action(CLUSTER_ID)).token(&connected.owner_token).send().await,
    )
    .token;
    let response = connected.app.get("/k8s/clusters/c-other/version").token(&token).send().await;
    assert_eq!((response.status, &response.json()["reason"]), (StatusCode::FORBIDDEN, &"Forbidden".into()));
    let response = connected.app.get("/k8s/clusters/c-none/version").token(&token).send().await;
    assert_eq!(response.status, StatusCode::FORBIDDEN, "others' clusters are not revealed");
    for path in ["/v3/clusters", "/v3/cloudcredentials", &format!("/v3/clusters/{CLUSTER_ID}")] {
        let response = connected.app.get(path).token(&token).send().await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{path}: {}", response.text());
    }
    assert_eq!(
        connected.app.post(&kubeconfig_action(CLUSTER_ID)).token(&token).send().await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn kubeconfig_is_created_in_every_state_for_every_role() {
    let connected = connected_with_server_url().await;
    connected.insert_cluster("c-new", &ClusterStatus::default(), None).await;
    parse_kubeconfig(
        &connected.app.post(&kubeconfig_action("c-new")).token(&connected.owner_token).send().await,
    );
    for role in ["cluster-owner", "cluster-member", "read-only"] {
        let token = connected.add_member(&format!("of-{role}"), role).await;
        let kubeconfig =
            parse_kubeconfig(&connected.app.post(&kubeconfig_action(CLUSTER_ID)).token(&token).send().await);
        assert_eq!(connected.app.user_id(&kubeconfig.token).await, connected.app.user_id(&token).await);
    }
    let eve = connected.app.token("eve").await;
    assert_eq!(
        connected.app.post(&kubeconfig_action(CLUSTER_ID)).token(&eve).send().await.status,
        StatusCode::NOT_FOUND
    );
    // Records of rejected requests are written with a delay, at the latest when the server stops.
    connected.app.server.stop().await;
    let filter = Filter { action: Some("generateKubeconfig".to_owned()), ..Filter::default() };
    let rows = store::audit::list(&connected.store, 100, &filter).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.outcome == "done").count(), 4);
    let rejected: Vec<_> = rows.iter().filter(|row| row.outcome == "refused").collect();
    assert!(matches!(rejected.as_slice(), [row] if row.user_name == "eve" && row.object_id == CLUSTER_ID));
}

#[tokio::test]
async fn kubeconfig_token_expires_after_thirty_days() {
    let connected = connected_with_server_url().await;
    let token = parse_kubeconfig(
        &connected.app.post(&kubeconfig_action(CLUSTER_ID)).token(&connected.owner_token).send().await,
    )
    .token;
    let (row, _) =
        store::tokens::find(&connected.store, token.split(':').next().unwrap()).await.unwrap().unwrap();
    assert_eq!(row.expires_ms, Some(NOW_MS + 43_200 * MINUTE_MS));
    assert_eq!(row.cluster_id.as_deref(), Some(CLUSTER_ID));
}

#[tokio::test]
async fn kubeconfig_without_url_is_empty_or_uses_the_tls_listener() {
    let connected = ConnectedCluster::start().await;
    // A browser session gets an error, which the UI shows.
    let cookies = format!("R_SESS={}; CSRF=proof", connected.owner_token);
    let request = connected.app.call(http::Method::POST, &kubeconfig_action(CLUSTER_ID)).anonymous();
    let response = request.header("cookie", &cookies).header("x-api-csrf", "proof").send().await.expect(422);
    assert_eq!(
        (&response.json()["code"], &response.json()["fieldName"]),
        (&"InvalidState".into(), &"server-url".into())
    );
    // Other callers get an empty kubeconfig, because Terraform would destroy the new cluster after an error.
    let empty = connected.app.post(&kubeconfig_action(CLUSTER_ID)).token(&connected.owner_token).send().await;
    assert_eq!((empty.status, empty.header("cache-control")), (StatusCode::OK, "no-store"));
    assert_eq!(
        (&empty.json()["config"], &empty.json()["type"]),
        (&"".into(), &"generateKubeConfigOutput".into())
    );
    assert_eq!(empty.json()["message"], response.json()["message"]);
    assert!(empty.text().contains("setting server-url"), "{}", empty.text());
    let tokens = store::tokens::list(&connected.store, None).await.unwrap();
    assert!(tokens.iter().all(|(token, _)| token.cluster_id.is_none()), "no unnecessary token was created");

    let authority = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    connected.app.server.public_address.set_https_endpoint(HttpsEndpoint {
        host: None,
        port: 8443,
        authority: authority.clone(),
    });
    let kubeconfig = parse_kubeconfig(
        &connected.app.post(&kubeconfig_action(CLUSTER_ID)).token(&connected.owner_token).send().await,
    );
    assert_eq!(kubeconfig.server, format!("https://norman.test:8443/k8s/clusters/{CLUSTER_ID}"));
    assert_eq!(kubeconfig.authority, Some(authority));
}
