//! The claim of a cluster object on its AKS cluster: at most one object has it. A claim is valid once Azure has accepted the
//! object's credential. Older versions claimed at the POST without verifying the credential; such claims yield to valid ones.

use azure_sandbox::{Login, Outcome, Page};
use serde_json::{Value, json};

use super::{Database, MAX_WAIT, Progress, small_cluster};
use crate::support::app::{TestApp, TestResponse};
use crate::support::databases::{self, TestDb};
use crate::support::fault;

on_both_databases!(
    rejected_credential_claims_nothing,
    unverified_object_yields_to_a_claim,
    post_claims_the_cluster,
    put_with_a_valid_credential_claims_the_cluster,
    import_yields_to_a_claim,
    one_of_two_unverified_objects_gets_the_cluster,
    removal_releases_the_claim,
    unverified_claim_of_an_older_version_yields,
);

const ALREADY_EXISTS: &str = "cluster already exists for AKS cluster [one] in region [eastus]";

/// A server with two users, and the IDs of their stored, valid credentials.
struct SharedServer {
    app: TestApp,
    ann_token: String,
    bob_token: String,
    ann_credential_id: String,
    bob_credential_id: String,
    db: TestDb,
}

impl SharedServer {
    async fn start(database: Database) -> Self {
        let db = database.create().await;
        let app = TestApp::builder().database(&db).start().await;
        let (ann_token, bob_token) = (app.token("ann").await, app.token("bob").await);
        let ann_credential_id = app.store_credential(&ann_token).await;
        let bob_credential_id = app.store_credential(&bob_token).await;
        Self { app, ann_token, bob_token, ann_credential_id, bob_credential_id, db }
    }

    /// Makes Resource Manager respond with 503.
    fn stop_azure(&self) {
        self.app.control.add_fault(fault::for_host("management.azure.com", fault::status(503)));
    }

    /// Makes Azure available again, and clears the recorded requests.
    fn restore_azure(&self) {
        self.app.control.clear_faults();
        self.app.control.clear_requests();
    }

    async fn post(&self, token: &str, credential: &str) -> TestResponse {
        self.app.post("/v3/clusters").token(token).json(&small_cluster("one", credential)).send().await
    }

    /// Creates Bob's object while its credential cannot be verified; returns the path of the object.
    async fn create_unverified(&self) -> String {
        self.stop_azure();
        let path = created_path(&self.post(&self.bob_token, &self.bob_credential_id).await);
        self.restore_azure();
        path
    }

    async fn progress(&self, path: &str) -> Progress {
        super::progress_of(&super::get_object(&self.app, path).await)
    }

    /// Advances time until the object meets the condition, at most half an hour.
    async fn wait_until(&self, path: &str, is_met: impl Fn(&Progress) -> bool) {
        let find = async || is_met(&self.progress(path).await).then_some(());
        if self.app.advance_until(MAX_WAIT, MAX_WAIT, find).await.is_some() {
            return;
        }
        panic!("not within half an hour: {:?}", self.progress(path).await);
    }

    async fn wait_until_active(&self, path: &str) {
        self.wait_until(path, |progress| progress.state == "active").await;
    }

    /// Waits for the error that another object has claimed the AKS cluster. Its remedy is to delete the object at `path`.
    async fn wait_until_claimed_by_other(&self, path: &str) {
        self.wait_until(path, |progress| {
            progress.transitioning == "error" && progress.message.starts_with(ALREADY_EXISTS)
        })
        .await;
        let Progress { state, message, .. } = self.progress(path).await;
        assert_eq!(state, "provisioning");
        assert!(message.contains("delete this object, which changes nothing in Azure"), "{message}");
    }

    /// The write requests to Azure.
    fn sent_writes(&self) -> Vec<String> {
        super::sent_writes(&self.app).iter().map(super::short_line).collect()
    }
}

fn is_one_active_and_one_rejected(objects: &[Progress]) -> bool {
    objects.iter().any(|object| object.state == "active")
        && objects.iter().any(|object| object.message.starts_with(ALREADY_EXISTS))
}

fn created_path(response: &TestResponse) -> String {
    assert_eq!(response.status, 201, "{}", response.text());
    format!("/v3/clusters/{}", response.id())
}

async fn rejected_credential_claims_nothing(database: Database) {
    let server = SharedServer::start(database).await;
    // Eve knows the subscription, but not the secret.
    let eve = server.app.token("eve").await;
    let seed = &server.app.seed;
    let invalid_credential = server.app.credential(&json!({"clientSecret": "made~up~secret"}));
    let body = json!({"name": "azure", "azurecredentialConfig": invalid_credential});
    let credential = server.app.post("/v3/cloudcredentials").token(&eve).json(&body).send().await.id();
    // Entra responds with 503 when Eve creates the object, so her credential cannot be verified.
    let outcome = Outcome::Answer(Page::new(503, &json!({})).unwrap());
    server.app.control.script_login(Login { client_id: None, secret: "made~up~secret".to_owned(), outcome });
    let eve_path = created_path(&server.post(&eve, &credential).await);
    let description = "AADSTS7000215: Invalid client secret provided.";
    let rejection =
        json!({"error": "invalid_client", "error_description": description, "error_codes": [7_000_215]});
    let outcome = Outcome::Answer(Page::new(401, &rejection).unwrap());
    server.app.control.script_login(Login { client_id: None, secret: "made~up~secret".to_owned(), outcome });
    server.wait_until(&eve_path, |progress| progress.message.contains("AADSTS7000215")).await;

    let ann_path = created_path(&server.post(&server.ann_token, &server.ann_credential_id).await);
    server.wait_until_active(&ann_path).await;
    let progress = server.progress(&eve_path).await;
    assert_eq!((progress.state.as_str(), progress.transitioning.as_str()), ("provisioning", "error"));
    // With a valid credential, the error is that another object has claimed the cluster, and Azure gets no write request.
    server.app.control.clear_requests();
    let change = json!({"azurecredentialConfig": {"clientSecret": seed.client_secret_2}});
    let path = format!("/v3/cloudcredentials/{credential}");
    assert_eq!(server.app.put(&path).token(&eve).json(&change).send().await.status, 200);
    server.wait_until_claimed_by_other(&eve_path).await;
    assert_eq!(server.sent_writes(), [""; 0]);
}

async fn unverified_object_yields_to_a_claim(database: Database) {
    let server = SharedServer::start(database).await;
    let bob_path = server.create_unverified().await;
    let ann_path = created_path(&server.post(&server.ann_token, &server.ann_credential_id).await);
    let plan =
        server.app.get(&format!("/api/v1{}/plan", bob_path.trim_start_matches("/v3"))).send().await.json();
    assert_eq!(plan["step"], "blocked", "{plan}");
    assert!(plan["reason"].as_str().unwrap().starts_with(ALREADY_EXISTS), "{plan}");
    server.wait_until_claimed_by_other(&bob_path).await;
    server.wait_until_active(&ann_path).await;
    assert_eq!(server.sent_writes(), ["PUT group", "PUT cluster"]);
    // Bob's object is deleted immediately, and Ann's cluster remains in Azure.
    server.app.control.clear_requests();
    assert_eq!(server.app.delete(&bob_path).token(&server.bob_token).send().await.status, 200);
    server.app.settle().await;
    assert_eq!(server.app.get(&bob_path).send().await.status, 404);
    assert_eq!(server.sent_writes(), [""; 0]);
    assert_eq!(server.progress(&ann_path).await.state, "active");
}

async fn post_claims_the_cluster(database: Database) {
    let server = SharedServer::start(database).await;
    created_path(&server.post(&server.ann_token, &server.ann_credential_id).await);
    let rejected = server.post(&server.bob_token, &server.bob_credential_id).await.expect(422);
    assert!(
        crate::norman::norman_error(&rejected).message.starts_with(ALREADY_EXISTS),
        "{}",
        rejected.text()
    );
}

async fn put_with_a_valid_credential_claims_the_cluster(database: Database) {
    let server = SharedServer::start(database).await;
    let bob_path = server.create_unverified().await;
    let change = json!({"name": "one", "aksConfig": {"tags": {"a": "b"}}});
    server.app.put(&bob_path).token(&server.bob_token).json(&change).send().await.expect(200);
    let rejected = server.post(&server.ann_token, &server.ann_credential_id).await;
    assert!(
        crate::norman::norman_error(&rejected).message.starts_with(ALREADY_EXISTS),
        "{}",
        rejected.text()
    );
    server.wait_until_active(&bob_path).await;
}

async fn import_yields_to_a_claim(database: Database) {
    let server = SharedServer::start(database).await;
    let import = |credential: &str| -> Value {
        json!({"name": "import", "aksConfig": {"imported": true, "azureCredentialSecret": credential,
            "clusterName": "one", "resourceGroup": "group-of-one", "resourceLocation": "eastus"}})
    };
    let ann_path = created_path(&server.post(&server.ann_token, &server.ann_credential_id).await);
    server.wait_until_active(&ann_path).await;
    // Ann's object is deleted, and the cluster remains in Azure.
    assert_eq!(
        server.app.delete(&format!("{ann_path}?force=true")).token(&server.ann_token).send().await.status,
        200
    );
    server.stop_azure();
    let post_import = |token: String, credential: String| {
        let call = server.app.post("/v3/clusters").token(&token).json(&import(&credential));
        async move { created_path(&call.send().await) }
    };
    let bob_path = post_import(server.bob_token.clone(), server.bob_credential_id.clone()).await;
    let ann_path = post_import(server.ann_token.clone(), server.ann_credential_id.clone()).await;
    server.restore_azure();
    // Both have a valid credential: the first one that the worker processes gets the cluster.
    for _ in 0..300 {
        if is_one_active_and_one_rejected(&[
            server.progress(&ann_path).await,
            server.progress(&bob_path).await,
        ]) {
            assert_eq!(server.sent_writes(), [""; 0], "imports send no write requests");
            return;
        }
        server.app.advance(std::time::Duration::from_secs(2)).await;
    }
    panic!("{:?} {:?}", server.progress(&ann_path).await, server.progress(&bob_path).await);
}

async fn one_of_two_unverified_objects_gets_the_cluster(database: Database) {
    let server = SharedServer::start(database).await;
    server.stop_azure();
    let first = created_path(&server.post(&server.bob_token, &server.bob_credential_id).await);
    let second = created_path(&server.post(&server.ann_token, &server.ann_credential_id).await);
    server.restore_azure();
    // On PostgreSQL, another server runs in parallel; on SQLite, the same worker twice.
    let other_app = match server.db.store.kind() {
        norman_aks::store::DatabaseKind::Sqlite => None,
        norman_aks::store::DatabaseKind::Postgres => {
            Some(TestApp::builder().database(&server.db).with_azure_of(&server.app).start().await)
        }
    };
    let stop = tokio_util::sync::CancellationToken::new();
    for _ in 0..300 {
        let worker = other_app.as_ref().unwrap_or(&server.app).server.worker.clone();
        let (steps, other_steps) =
            tokio::join!(server.app.server.worker.run_due(&stop), worker.run_due(&stop));
        if steps.unwrap() + other_steps.unwrap() == 0 {
            server.app.clock.advance(std::time::Duration::from_secs(1));
        }
        let (first_progress, second_progress) =
            (server.progress(&first).await, server.progress(&second).await);
        if is_one_active_and_one_rejected(&[first_progress, second_progress]) {
            assert_eq!(server.sent_writes(), ["PUT group", "PUT cluster"]);
            return;
        }
    }
    panic!("{:?} {:?}", server.progress(&first).await, server.progress(&second).await);
}

async fn removal_releases_the_claim(database: Database) {
    let server = SharedServer::start(database).await;
    let bob_path = server.create_unverified().await;
    let ann_path = created_path(&server.post(&server.ann_token, &server.ann_credential_id).await);
    server.wait_until_claimed_by_other(&bob_path).await;
    server.wait_until_active(&ann_path).await;
    assert_eq!(server.app.delete(&ann_path).token(&server.ann_token).send().await.status, 200);
    server.wait_until_active(&bob_path).await;
    assert_eq!(server.app.get(&ann_path).send().await.status, 404);
}

async fn unverified_claim_of_an_older_version_yields(database: Database) {
    let server = SharedServer::start(database).await;
    let bob_path = server.create_unverified().await;
    // As stored by the POST of an older version, which has no column `identity_proved`.
    assert_eq!(server.app.seed.subscription_id, "9d1f3c52-0d2b-4e6a-8c1e-000000000001");
    let statement =
        "update clusters set aks_identity = '9d1f3c52-0d2b-4e6a-8c1e-000000000001/group-of-one/one'";
    databases::execute_on(&server.db.url, statement).await;
    let ann_path = created_path(&server.post(&server.ann_token, &server.ann_credential_id).await);
    server.wait_until_claimed_by_other(&bob_path).await;
    server.wait_until_active(&ann_path).await;
    assert_eq!(server.sent_writes(), ["PUT group", "PUT cluster"]);
}
