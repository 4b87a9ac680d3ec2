//! Registration tokens and their manifests.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use norman_aks::services::HttpsEndpoint;
use norman_aks::store::{self, audit};
use serde_json::{Value, json};

use crate::norman::norman_error;
use crate::support::app::TestApp;
use crate::support::call::string_at;
use crate::support::databases;
use crate::support::test_clusters;

const TOKENS: &str = "/v3/clusterregistrationtokens";

/// The URL to which agents connect, and their image.
const SERVER_URL: &str = "https://aks.example.org";
const IMAGE: &str = "registry.example.org/norman-aks:1";

/// A server with an imported cluster of the user `ann`.
struct TestContext {
    app: TestApp,
    owner_token: String,
    cluster_id: String,
    credential: String,
}

impl TestContext {
    async fn start() -> Self {
        Self::new(TestApp::with_advisory_review().await).await
    }

    async fn new(app: TestApp) -> Self {
        let owner_token = app.token("ann").await;
        app.put_setting("server-url", SERVER_URL).await;
        app.put_setting("agent-image", IMAGE).await;
        let credential = app.store_credential(&owner_token).await;
        let cluster_id = test_clusters::import_absent(&app, &owner_token, "one", &credential).await;
        Self { app, owner_token, cluster_id, credential }
    }

    async fn default_token(&self) -> Value {
        let response = self
            .app
            .get(&format!("{TOKENS}/{}:default-token", self.cluster_id))
            .token(&self.owner_token)
            .send()
            .await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.text());
        response.json()
    }

    /// The status and the body of `/v3/import/<file>`, which `kubectl apply` requests without a token.
    async fn manifest(&self, file: &str) -> (u16, String) {
        let response = self.app.get(&format!("/v3/import/{file}")).anonymous().send().await;
        assert_eq!(response.header("content-type"), "text/plain", "{file}: {}", response.text());
        assert_eq!(response.header("cache-control"), "no-store", "{file}");
        (response.status.as_u16(), response.text().trim_end().to_owned())
    }
}

#[tokio::test]
async fn default_token_is_created_when_it_is_first_read() {
    let context = TestContext::start().await;
    let (token, id) = (context.default_token().await, &context.cluster_id);
    let secret = string_at(&token, "token");
    assert!(
        secret.len() >= 50 && secret.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    );
    let url = format!("{SERVER_URL}/v3/import/{secret}_{id}.yaml");
    let self_link = format!("http://norman.test/v3/clusterRegistrationTokens/{id}:default-token");
    let node_command = token["nodeCommand"].clone();
    assert!(
        node_command.as_str().unwrap().starts_with("# "),
        "the command has no effect when pasted: {node_command}"
    );
    assert_eq!(
        token,
        json!({
            "actions": {}, "annotations": {}, "baseType": "clusterRegistrationToken", "clusterId": id,
            "command": format!("kubectl apply -f {url}"), "created": "2026-11-22T12:00:00Z",
            "createdTS": 1_795_348_800_000_i64, "id": format!("{id}:default-token"),
            "insecureCommand": format!("curl --insecure -sfL {url} | kubectl apply -f -"),
            "insecureNodeCommand": node_command, "insecureWindowsNodeCommand": node_command,
            "labels": {"cattle.io/creator": "norman"}, "links": {"remove": self_link, "self": self_link}, "manifestUrl": url,
            "name": "default-token", "namespaceId": id, "nodeCommand": node_command, "state": "active", "token": secret,
            "transitioning": "no", "type": "clusterRegistrationToken", "uuid": token["uuid"], "windowsNodeCommand": node_command,
        })
    );
    assert_eq!(context.default_token().await, token, "the next read returns the same token");
    for path in [
        TOKENS.to_owned(),
        "/v3/clusterRegistrationTokens".to_owned(),
        format!("{TOKENS}?clusterId={id}"),
        format!("/v3/clusters/{id}/clusterregistrationtokens"),
        format!("/v3/clusters/{id}/clusterRegistrationTokens"),
    ] {
        let list = context.app.get(&path).token(&context.owner_token).send().await;
        assert_eq!(list.json()["data"], json!([token]), "{path}");
    }
    // A list creates the default token too.
    let second_cluster =
        test_clusters::import_absent(&context.app, &context.owner_token, "two", &context.credential).await;
    assert_eq!(
        context
            .app
            .get(&format!("{TOKENS}?clusterId={second_cluster}"))
            .token(&context.owner_token)
            .send()
            .await
            .ids()
            .len(),
        1
    );
    assert_eq!(context.app.get(TOKENS).token(&context.owner_token).send().await.ids().len(), 2);
    assert_eq!(
        context.app.get(&format!("{TOKENS}/{id}:system")).token(&context.owner_token).send().await.status,
        404
    );
}

#[tokio::test]
async fn owners_create_and_delete_more_tokens() {
    let context = TestContext::start().await;
    let (first, id) = (context.default_token().await, context.cluster_id.clone());
    let cluster_path = format!("/v3/clusters/{id}/clusterregistrationtokens");
    let body = json!({"links": null, "actions": null, "clusterId": id, "name": "second", "token": "chosen", "command": "x"});
    let second =
        context.app.post(TOKENS).token(&context.owner_token).json(&body).send().await.expect(201).json();
    assert_eq!(string_at(&second, "id"), format!("{id}:second"));
    assert!(string_at(&second, "token") != "chosen" && second["token"] != first["token"]);
    let unnamed = context
        .app
        .post(&cluster_path)
        .token(&context.owner_token)
        .json(&json!({"clusterId": "c-other"}))
        .send()
        .await
        .json();
    assert!(string_at(&unnamed, "name").starts_with("crt-") && unnamed["clusterId"] == *id, "{unnamed}");
    for name in ["second", "default-token"] {
        let duplicate = json!({"clusterId": id, "name": name});
        let conflict = context.app.post(TOKENS).token(&context.owner_token).json(&duplicate).send().await;
        assert_eq!(
            (conflict.status, norman_error(&conflict).code),
            (StatusCode::CONFLICT, "AlreadyExists".into())
        );
    }
    for (body, code, field) in [
        (json!({"name": "x"}), "MissingRequired", "clusterId"),
        (json!({"clusterId": null}), "MissingRequired", "clusterId"),
        (json!({"clusterId": ""}), "MissingRequired", "clusterId"),
        (json!({"clusterId": id, "name": "Not A Name"}), "InvalidFormat", "name"),
        (json!({"clusterId": "c-none1"}), "NotFound", ""),
    ] {
        let rejected = context.app.post(TOKENS).token(&context.owner_token).json(&body).send().await;
        let error = norman_error(&rejected);
        assert_eq!((error.code.as_str(), error.field.as_str()), (code, field), "{body}: {}", rejected.text());
    }
    // All tokens are valid at the same time, and each is deleted separately.
    let file = |token: &Value| format!("{}_{id}.yaml", string_at(token, "token"));
    for token in [&first, &second, &unnamed] {
        assert_eq!(context.manifest(&file(token)).await.0, 200);
    }
    let path = |token: &Value| format!("{TOKENS}/{}", string_at(token, "id"));
    let removed = context.app.delete(&path(&second)).token(&context.owner_token).send().await;
    assert_eq!((removed.status, &removed.json()["id"]), (StatusCode::OK, &second["id"]));
    assert_eq!(
        context.app.delete(&path(&second)).token(&context.owner_token).send().await.status,
        StatusCode::NOT_FOUND
    );
    let removed = context
        .app
        .post(&format!("{}?_method=DELETE", path(&unnamed)))
        .token(&context.owner_token)
        .send()
        .await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.text());
    let not_found = (400, "cluster not found or invalid token".to_owned());
    for token in [&second, &unnamed] {
        assert_eq!(context.manifest(&file(token)).await, not_found);
    }
    assert_eq!(context.manifest(&file(&first)).await.0, 200);
    // The default token is created again with another value.
    assert_eq!(
        context.app.delete(&path(&first)).token(&context.owner_token).send().await.status,
        StatusCode::OK
    );
    assert_eq!(context.manifest(&file(&first)).await, not_found);
    let recreated = context.default_token().await;
    assert!(recreated["token"] != first["token"] && recreated["uuid"] != first["uuid"]);
    assert_eq!(context.manifest(&file(&recreated)).await.0, 200);
    assert_eq!(
        context.app.put(&path(&recreated)).token(&context.owner_token).json(&json!({})).send().await.status,
        405
    );
}

#[tokio::test]
async fn only_owners_see_tokens() {
    let context = TestContext::start().await;
    context.default_token().await;
    let (eve, admin) = (context.app.token("eve").await, context.app.admin.clone());
    let absent_id = "c-none1:default-token";
    let id = format!("{}:default-token", context.cluster_id);
    for method in [Method::GET, Method::DELETE, Method::POST] {
        let request = |id: &str| context.app.call(method.clone(), &format!("{TOKENS}/{id}")).token(&eve);
        let (existing, absent) = (request(&id).send().await, request(absent_id).send().await);
        assert_eq!(existing.status, StatusCode::NOT_FOUND, "{method}");
        assert_eq!(
            existing.text().replace(&id, absent_id),
            absent.text(),
            "{method}: the responses do not differ"
        );
    }
    let create =
        context.app.post(TOKENS).token(&eve).json(&json!({"clusterId": context.cluster_id})).send().await;
    assert_eq!(
        (create.status, norman_error(&create).message),
        (StatusCode::NOT_FOUND, format!("{} not found", context.cluster_id))
    );
    assert!(
        context
            .app
            .get(&format!("{TOKENS}?clusterId={}", context.cluster_id))
            .token(&eve)
            .send()
            .await
            .ids()
            .is_empty()
    );
    assert_eq!(context.app.get(TOKENS).token(&admin).send().await.ids(), std::slice::from_ref(&id));
    let user = context.app.user_id(&eve).await;
    for (role, status) in [("read-only", 403), ("cluster-member", 403), ("cluster-owner", 200)] {
        let body =
            json!({"clusterId": context.cluster_id, "userId": user, "roleTemplateId": role, "name": "eve"});
        context.app.post("/v3/clusterroletemplatebindings").json(&body).send().await.expect(201);
        let response = context.app.get(&format!("{TOKENS}/{id}")).token(&eve).send().await;
        assert_eq!(response.status.as_u16(), status, "{role}");
        let list = context.app.get(TOKENS).token(&eve).send().await;
        assert_eq!(list.ids().len(), usize::from(status == 200), "{role}");
        let binding = format!("/v3/clusterroletemplatebindings/{}:eve", context.cluster_id);
        assert_eq!(context.app.delete(&binding).send().await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn manifest_needs_no_token_and_configures_the_agent() {
    let context = TestContext::start().await;
    let secret = string_at(&context.default_token().await, "token");
    let (status, manifest) = context.manifest(&format!("{secret}_{}.yaml", context.cluster_id)).await;
    assert_eq!(status, 200, "{manifest}");
    let kinds: Vec<&str> = manifest.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    assert_eq!(
        kinds,
        ["\"Namespace\"", "\"ServiceAccount\"", "\"NetworkPolicy\"", "\"Secret\"", "\"Deployment\""]
    );
    for value in [SERVER_URL, &secret] {
        assert!(manifest.contains(&BASE64_STANDARD.encode(value)), "{manifest}");
    }
    assert!(!manifest.contains(&secret), "the token is only in the secret");
    assert!(manifest.contains(IMAGE) && !manifest.contains("norman.test"), "{manifest}");
    // The manifest also contains the settings of the cluster.
    let body = json!({"name": "one", "agentEnvVars": [{"name": "HTTP_PROXY", "value": "http://proxy:3128\n---\nkind: Evil"}],
        "desiredAgentImage": "mine.example.org/agent:7"});
    let changed = context
        .app
        .put(&format!("/v3/clusters/{}", context.cluster_id))
        .token(&context.owner_token)
        .json(&body)
        .send()
        .await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text());
    let (_, manifest) = context.manifest(&format!("{secret}_{}.yaml", context.cluster_id)).await;
    assert!(manifest.contains("mine.example.org/agent:7") && manifest.contains("HTTP_PROXY"), "{manifest}");
    assert!(
        !manifest.lines().any(|line| line.starts_with("kind: Evil")),
        "line breaks in values are escaped"
    );
    let image_query = "?authImage=rancher/kube-api-auth:v0.2.4";
    assert_eq!(
        context.manifest(&format!("{secret}_{}.yaml{image_query}", context.cluster_id)).await,
        (200, manifest)
    );
    let head = context
        .app
        .call(Method::HEAD, &format!("/v3/import/{secret}_{}.yaml", context.cluster_id))
        .anonymous()
        .send()
        .await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn manifest_requires_https_and_names_the_remedy() {
    let context = TestContext::start().await;
    let file = format!("{}_{}.yaml", string_at(&context.default_token().await, "token"), context.cluster_id);
    for url in ["", "http://aks.example.org"] {
        context.app.put_setting("server-url", url).await;
        let (status, message) = context.manifest(&file).await;
        assert_eq!(status, 400, "{url}: {message}");
        assert!(message.contains("setting server-url") && message.contains("--tls-listen"), "{message}");
    }
    assert!(
        string_at(&context.default_token().await, "command").contains("http://aks.example.org/v3/import/")
    );
}

#[tokio::test]
async fn manifest_uses_the_tls_listener_and_its_authority() {
    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let context = TestContext::start().await;
    context.app.put_setting("server-url", "").await;
    let over_tls = HttpsEndpoint { host: None, port: 8443, authority: PEM.to_owned() };
    context.app.server.public_address.set_https_endpoint(over_tls);
    let token = context.default_token().await;
    assert!(string_at(&token, "command").contains("https://norman.test:8443/v3/import/"), "{token}");
    let (status, manifest) =
        context.manifest(&format!("{}_{}.yaml", string_at(&token, "token"), context.cluster_id)).await;
    assert_eq!(status, 200, "{manifest}");
    assert!(manifest.contains("value: \"https://norman.test:8443\""), "{manifest}");
    assert!(manifest.contains("port: 8443"), "the network policy allows the port: {manifest}");
    // Agents read the setting and hash it with an additional line break.
    let cacerts = context.app.get("/v3/settings/cacerts").send().await.json();
    assert_eq!(cacerts["value"], PEM.trim_end());
    let checksum = aks::registration::ca_checksum(PEM);
    assert!(manifest.contains(&format!("value: \"{checksum}\"")), "{manifest}");
}

#[tokio::test]
async fn manifest_requires_an_image_and_names_the_setting() {
    let context = TestContext::start().await;
    let file = format!("{}_{}.yaml", string_at(&context.default_token().await, "token"), context.cluster_id);
    context.app.put_setting("agent-image", "").await;
    let (status, message) = context.manifest(&file).await;
    assert!(status == 400 && message.contains("setting agent-image"), "{message}");
    // An image in the cluster's own settings is sufficient.
    let body = json!({"name": "one", "desiredAgentImage": "mine.example.org/agent:7"});
    let changed = context
        .app
        .put(&format!("/v3/clusters/{}", context.cluster_id))
        .token(&context.owner_token)
        .json(&body)
        .send()
        .await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text());
    assert_eq!(context.manifest(&file).await.0, 200);
}

#[tokio::test]
async fn manifest_names_the_api_server_once_it_is_known() {
    let context = TestContext::start().await;
    let app = &context.app;
    let body = test_clusters::import_body(app, "real", &context.credential);
    let id = test_clusters::create(app, &context.owner_token, &body).await;
    app.settle().await;
    let cluster = app.get(&format!("/v3/clusters/{id}")).token(&context.owner_token).send().await.json();
    let host = string_at(&cluster, "apiEndpoint").replace("https://", "").replace(":443", "");
    let token =
        app.get(&format!("{TOKENS}/{id}:default-token")).token(&context.owner_token).send().await.json();
    let (_, manifest) = context.manifest(&format!("{}_{id}.yaml", string_at(&token, "token"))).await;
    let variable = format!("name: \"NORMAN_AKS_API_SERVER\"\n              value: \"{host}:443\"");
    assert!(manifest.contains(&variable), "{host}: {manifest}");
}

#[tokio::test]
async fn invalid_manifest_paths_have_plain_text_errors() {
    let context = TestContext::start().await;
    let (secret, id) = (string_at(&context.default_token().await, "token"), context.cluster_id.clone());
    let other_cluster =
        test_clusters::import_absent(&context.app, &context.owner_token, "two", &context.credential).await;
    let bad_name = "invalid filename format, expected {token}_{clusterId}.yaml";
    let unknown = "cluster not found or invalid token";
    for (file, status, expected) in [
        (format!("{secret}_{other_cluster}.yaml"), 400, unknown),
        (format!("{secret}_c-none1.yaml"), 400, unknown),
        (format!("{secret}x_{id}.yaml"), 400, unknown),
        (format!("{}_{id}.yaml", &secret[1..]), 400, unknown),
        (format!("{}_{id}.yaml", secret.to_uppercase()), 400, unknown),
        (format!("{}_{id}.yaml", "x".repeat(5_000)), 400, unknown),
        (format!("%00_{id}.yaml"), 400, unknown),
        (format!("{secret}_%00.yaml"), 400, unknown),
        (format!("_{id}.yaml"), 400, bad_name),
        (format!("{secret}_.yaml"), 400, bad_name),
        (format!("{secret}{id}.yaml"), 404, "404 page not found"),
        (format!("{secret}_{id}.yml"), 404, "404 page not found"),
        (format!("{secret}_{id}"), 404, "404 page not found"),
        (format!("{secret}_{id}.yaml?authImage=no%20image"), 400, "invalid authImage - "),
    ] {
        let (actual, message) = context.manifest(&file).await;
        assert_eq!(actual, status, "{file}: {message}");
        assert!(message.starts_with(expected) && !message.contains(&secret), "{file}: {message}");
    }
    // Percent-encoded characters are decoded.
    assert_eq!(context.manifest(&format!("{secret}%5f{id}%2Eyaml")).await.0, 200);
    // Deleting a cluster deletes its tokens.
    assert_eq!(context.app.delete(&format!("/v3/clusters/{id}")).send().await.status, StatusCode::OK);
    context.app.settle().await;
    assert_eq!(context.manifest(&format!("{secret}_{id}.yaml")).await, (400, unknown.to_owned()));
    context
        .app
        .get(&format!("{TOKENS}/{id}:default-token"))
        .token(&context.owner_token)
        .send()
        .await
        .expect(404);
}

#[tokio::test]
async fn tokens_are_encrypted_and_audited_by_name() {
    let db = databases::sqlite().await;
    let context = TestContext::new(TestApp::builder().advisory_review().database(&db).start().await).await;
    let secret = string_at(&context.default_token().await, "token");
    let created = context
        .app
        .post(TOKENS)
        .token(&context.owner_token)
        .json(&json!({"clusterId": context.cluster_id, "name": "b"}))
        .send()
        .await;
    let path = format!("{TOKENS}/{}:b", context.cluster_id);
    let (eve, second) = (context.app.token("eve").await, string_at(&created.json(), "token"));
    assert_eq!(context.app.delete(&path).token(&eve).send().await.status, StatusCode::NOT_FOUND);
    assert_eq!(context.app.delete(&path).token(&context.owner_token).send().await.status, StatusCode::OK);
    context.app.server.stop().await;
    let audit_records = async |name: &str| {
        let (object_type, object_id) =
            (Some("clusterRegistrationToken".to_owned()), Some(format!("{}:{name}", context.cluster_id)));
        let filter = audit::Filter { object_type, object_id, ..audit::Filter::default() };
        let rows = store::audit::list(&db.store, 100, &filter).await.unwrap().into_iter().rev();
        rows.map(|row| [row.user_name, row.action, row.outcome].join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(audit_records("b").await, ["ann create done", "eve delete refused", "ann delete done"]);
    assert_eq!(audit_records("default-token").await, ["server create done"]);
    let file =
        db.url.trim_start_matches("sqlite:").split('?').next().unwrap().trim_start_matches("//").to_owned();
    let mut byte_count = 0;
    for name in [file.clone(), format!("{file}-wal")] {
        let bytes = std::fs::read(&name).unwrap_or_default();
        byte_count += bytes.len();
        for secret in [&secret, &second] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{name}");
        }
    }
    assert!(byte_count > 0, "{file}");
}
