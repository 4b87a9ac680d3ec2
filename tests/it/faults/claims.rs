//! The claim of a cluster object on its AKS cluster. It is valid after Azure has responded to the object's credential: for the
//! first object, for any server that processes it, and together with servers that claimed without a request.

use azure_sandbox::{Login, Outcome, Page};
use serde_json::{Value, json};

use super::{Database, MAX_WAIT, Progress, small_cluster};
use crate::support::app::{Answer, TestApp};
use crate::support::databases::{self, TestDb};
use crate::support::fault;

on_both_databases!(
    rejected_credential_claims_nothing,
    object_without_proof_yields_to_a_claim,
    post_claims_the_cluster,
    put_with_a_working_credential_claims,
    import_yields_to_a_claim,
    one_of_two_unclaimed_objects_reaches_azure,
    removal_releases_the_claim,
    unproved_claim_of_an_older_server_yields,
);

const TAKEN: &str = "cluster already exists for AKS cluster [one] in region [eastus]";

/// A server with two users, and the IDs of their stored, valid credentials.
struct TwoUsers {
    app: TestApp,
    ann: String,
    bob: String,
    anns_credential: String,
    bobs_credential: String,
    db: TestDb,
}

impl TwoUsers {
    async fn start(database: Database) -> Self {
        let db = database.create().await;
        let app = TestApp::builder().database(&db).start().await;
        let (ann, bob) = (app.token("ann").await, app.token("bob").await);
        let (anns_credential, bobs_credential) =
            (app.store_credential(&ann).await, app.store_credential(&bob).await);
        Self { app, ann, bob, anns_credential, bobs_credential, db }
    }

    /// Makes Resource Manager respond with 503.
    fn stop_azure(&self) {
        self.app.control.add_fault(fault::for_host("management.azure.com", fault::status(503)));
    }

    fn restore_azure(&self) {
        self.app.control.clear_faults();
        self.app.control.clear_requests();
    }

    async fn post(&self, token: &str, credential: &str) -> Answer {
        self.app.post("/v3/clusters").token(token).json(&small_cluster("one", credential)).send().await
    }

    /// Bob's object, created while his credential cannot be verified.
    async fn create_unclaimed(&self) -> String {
        self.stop_azure();
        let path = path_of(&self.post(&self.bob, &self.bobs_credential).await);
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

    /// Expects the message that another object has the AKS cluster, and how to delete this one.
    async fn wait_until_other_has_cluster(&self, path: &str) {
        self.wait_until(path, |progress| {
            progress.transitioning == "error" && progress.message.starts_with(TAKEN)
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
        && objects.iter().any(|object| object.message.starts_with(TAKEN))
}

fn path_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text());
    format!("/v3/clusters/{}", answer.id())
}

async fn rejected_credential_claims_nothing(database: Database) {
    let users = TwoUsers::start(database).await;
    // Eve knows the subscription, but not the secret.
    let eve = users.app.token("eve").await;
    let seed = &users.app.seed;
    let made_up = users.app.credential(&json!({"clientSecret": "made~up~secret"}));
    let made_up = json!({"name": "azure", "azurecredentialConfig": made_up});
    let credential = users.app.post("/v3/cloudcredentials").token(&eve).json(&made_up).send().await.id();
    // Entra does not respond when she creates the object, so her credential cannot be verified.
    let outcome = Outcome::Answer(Page::new(503, &json!({})).unwrap());
    users.app.control.login(Login { client_id: None, secret: "made~up~secret".to_owned(), outcome });
    let squatting = path_of(&users.post(&eve, &credential).await);
    let description = "AADSTS7000215: Invalid client secret provided.";
    let body =
        json!({"error": "invalid_client", "error_description": description, "error_codes": [7_000_215]});
    let outcome = Outcome::Answer(Page::new(401, &body).unwrap());
    users.app.control.login(Login { client_id: None, secret: "made~up~secret".to_owned(), outcome });
    users.wait_until(&squatting, |progress| progress.message.contains("AADSTS7000215")).await;

    let rightful = path_of(&users.post(&users.ann, &users.anns_credential).await);
    users.wait_until_active(&rightful).await;
    let progress = users.progress(&squatting).await;
    assert_eq!((progress.state.as_str(), progress.transitioning.as_str()), ("provisioning", "error"));
    // With a valid credential, the message names the other object, and nothing more is done.
    users.app.control.clear_requests();
    let change = json!({"azurecredentialConfig": {"clientSecret": seed.client_secret_2}});
    let path = format!("/v3/cloudcredentials/{credential}");
    assert_eq!(users.app.put(&path).token(&eve).json(&change).send().await.status, 200);
    users.wait_until_other_has_cluster(&squatting).await;
    assert_eq!(users.sent_writes(), [""; 0]);
}

async fn object_without_proof_yields_to_a_claim(database: Database) {
    let users = TwoUsers::start(database).await;
    let bobs = users.create_unclaimed().await;
    let anns = path_of(&users.post(&users.ann, &users.anns_credential).await);
    let plan = users.app.get(&format!("/api/v1{}/plan", bobs.trim_start_matches("/v3"))).send().await.json();
    assert_eq!(plan["step"], "blocked", "{plan}");
    assert!(plan["reason"].as_str().unwrap().starts_with(TAKEN), "{plan}");
    users.wait_until_other_has_cluster(&bobs).await;
    users.wait_until_active(&anns).await;
    assert_eq!(users.sent_writes(), ["PUT group", "PUT cluster"]);
    // The object is deleted immediately, and ann's cluster remains in Azure.
    users.app.control.clear_requests();
    assert_eq!(users.app.delete(&bobs).token(&users.bob).send().await.status, 200);
    users.app.settle().await;
    assert_eq!(users.app.get(&bobs).send().await.status, 404);
    assert_eq!(users.sent_writes(), [""; 0]);
    assert_eq!(users.progress(&anns).await.state, "active");
}

async fn post_claims_the_cluster(database: Database) {
    let users = TwoUsers::start(database).await;
    path_of(&users.post(&users.ann, &users.anns_credential).await);
    let refused = users.post(&users.bob, &users.bobs_credential).await.expect(422);
    assert!(crate::norman::norman_error(&refused).message.starts_with(TAKEN), "{}", refused.text());
}

async fn put_with_a_working_credential_claims(database: Database) {
    let users = TwoUsers::start(database).await;
    let bobs = users.create_unclaimed().await;
    let change = json!({"name": "one", "aksConfig": {"tags": {"a": "b"}}});
    users.app.put(&bobs).token(&users.bob).json(&change).send().await.expect(200);
    let refused = users.post(&users.ann, &users.anns_credential).await;
    assert!(crate::norman::norman_error(&refused).message.starts_with(TAKEN), "{}", refused.text());
    users.wait_until_active(&bobs).await;
}

async fn import_yields_to_a_claim(database: Database) {
    let users = TwoUsers::start(database).await;
    let import = |credential: &str| -> Value {
        json!({"name": "import", "aksConfig": {"imported": true, "azureCredentialSecret": credential,
            "clusterName": "one", "resourceGroup": "group-of-one", "resourceLocation": "eastus"}})
    };
    let anns = path_of(&users.post(&users.ann, &users.anns_credential).await);
    users.wait_until_active(&anns).await;
    // The object of ann is deleted, and the cluster remains in Azure.
    assert_eq!(users.app.delete(&format!("{anns}?force=true")).token(&users.ann).send().await.status, 200);
    users.stop_azure();
    let post = |token: String, credential: String| {
        let call = users.app.post("/v3/clusters").token(&token).json(&import(&credential));
        async move { path_of(&call.send().await) }
    };
    let bobs = post(users.bob.clone(), users.bobs_credential.clone()).await;
    let anns = post(users.ann.clone(), users.anns_credential.clone()).await;
    users.restore_azure();
    // Both have a valid credential: the first one that the worker processes gets the cluster.
    for _ in 0..300 {
        if is_one_active_and_one_rejected(&[users.progress(&anns).await, users.progress(&bobs).await]) {
            assert_eq!(users.sent_writes(), [""; 0], "both only look");
            return;
        }
        users.app.advance(std::time::Duration::from_secs(2)).await;
    }
    panic!("{:?} {:?}", users.progress(&anns).await, users.progress(&bobs).await);
}

async fn one_of_two_unclaimed_objects_reaches_azure(database: Database) {
    let users = TwoUsers::start(database).await;
    users.stop_azure();
    let first = path_of(&users.post(&users.bob, &users.bobs_credential).await);
    let second = path_of(&users.post(&users.ann, &users.anns_credential).await);
    users.restore_azure();
    // On PostgreSQL, another server runs in parallel.
    let other = match users.db.store.kind() {
        norman_aks::store::DatabaseKind::Sqlite => None,
        norman_aks::store::DatabaseKind::Postgres => {
            Some(TestApp::builder().database(&users.db).with_azure_of(&users.app).start().await)
        }
    };
    let stop = tokio_util::sync::CancellationToken::new();
    for _ in 0..300 {
        let worker = other.as_ref().unwrap_or(&users.app).server.worker.clone();
        let (one, two) = tokio::join!(users.app.server.worker.run_due(&stop), worker.run_due(&stop));
        if one.unwrap() + two.unwrap() == 0 {
            users.app.clock.advance(std::time::Duration::from_secs(1));
        }
        let (of_first, of_second) = (users.progress(&first).await, users.progress(&second).await);
        if is_one_active_and_one_rejected(&[of_first, of_second]) {
            assert_eq!(users.sent_writes(), ["PUT group", "PUT cluster"]);
            return;
        }
    }
    panic!("{:?} {:?}", users.progress(&first).await, users.progress(&second).await);
}

async fn removal_releases_the_claim(database: Database) {
    let users = TwoUsers::start(database).await;
    let bobs = users.create_unclaimed().await;
    let anns = path_of(&users.post(&users.ann, &users.anns_credential).await);
    users.wait_until_other_has_cluster(&bobs).await;
    users.wait_until_active(&anns).await;
    assert_eq!(users.app.delete(&anns).token(&users.ann).send().await.status, 200);
    users.wait_until_active(&bobs).await;
    assert_eq!(users.app.get(&anns).send().await.status, 404);
}

async fn unproved_claim_of_an_older_server_yields(database: Database) {
    let users = TwoUsers::start(database).await;
    let bobs = users.create_unclaimed().await;
    // Written as by a version that claims with the POST and does not have the column.
    let identity = users.app.seed.subscription_id;
    assert_eq!(identity, "9d1f3c52-0d2b-4e6a-8c1e-000000000001");
    let statement =
        "update clusters set aks_identity = '9d1f3c52-0d2b-4e6a-8c1e-000000000001/group-of-one/one'
        where identity_proved is not null";
    databases::execute_on(&users.db.url, statement).await;
    let anns = path_of(&users.post(&users.ann, &users.anns_credential).await);
    users.wait_until_other_has_cluster(&bobs).await;
    users.wait_until_active(&anns).await;
    assert_eq!(users.sent_writes(), ["PUT group", "PUT cluster"]);
}
