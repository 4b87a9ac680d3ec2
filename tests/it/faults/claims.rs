//! The claim of a cluster object on its AKS cluster. It is valid after Azure has responded to the object's credential: for the
//! first object, for any server that processes it, and together with servers that claimed without a request.

use azure_sandbox::{Effect, Fault, Login, Outcome, Page, Refusal};
use serde_json::{Value, json};
use sqlx::Connection as _;

use super::{Base, small};
use crate::support::app::{Answer, TestApp};
use crate::support::databases::TestDb;

on_both!(
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

/// The stored, valid credentials of ann and bob, with their IDs.
struct Stage {
    app: TestApp,
    ann: String,
    bob: String,
    of_ann: String,
    of_bob: String,
    db: TestDb,
}

impl Stage {
    async fn set(base: Base) -> Self {
        let db = base.db().await;
        let app = TestApp::with().on(&db).start().await;
        let (ann, bob) = (app.token("ann").await, app.token("bob").await);
        let (of_ann, of_bob) = (app.stored_credential(&ann).await, app.stored_credential(&bob).await);
        Self { app, ann, bob, of_ann, of_bob, db }
    }

    /// Makes Resource Manager respond with 503.
    fn azure_goes_away(&self) {
        let effect = Effect::Status(Refusal { status: Some(503), ..Refusal::default() });
        let host = Some("management.azure.com".to_owned());
        self.app.control.add_fault(Fault { host, effect: Some(effect), ..Fault::default() });
    }

    fn azure_comes_back(&self) {
        self.app.control.clear_faults();
        self.app.control.clear_requests();
    }

    async fn post(&self, token: &str, credential: &str) -> Answer {
        self.app.post("/v3/clusters").token(token).json(&small("one", credential)).send().await
    }

    /// Bob's object, created while his credential cannot be verified.
    async fn unclaimed(&self) -> String {
        self.azure_goes_away();
        let path = made(&self.post(&self.bob, &self.of_bob).await);
        self.azure_comes_back();
        path
    }

    async fn told(&self, path: &str) -> (String, String, String) {
        super::told(&super::seen(&self.app, path).await)
    }

    /// Advances time until the object meets the condition, at most half an hour.
    async fn until(&self, path: &str, good: impl Fn(&(String, String, String)) -> bool) {
        for _ in 0..900 {
            if good(&self.told(path).await) {
                return;
            }
            self.app.pass(std::time::Duration::from_secs(2)).await;
        }
        panic!("not within half an hour: {:?}", self.told(path).await);
    }

    async fn becomes_active(&self, path: &str) {
        self.until(path, |(state, ..)| state == "active").await;
    }

    /// Expects the message that another object has the AKS cluster, and how to delete this one.
    async fn is_told_of_the_other(&self, path: &str) {
        self.until(path, |(_, transitioning, message)| {
            transitioning == "error" && message.starts_with(TAKEN)
        })
        .await;
        let (state, _, message) = self.told(path).await;
        assert_eq!(state, "provisioning");
        assert!(message.contains("delete this object, which changes nothing in Azure"), "{message}");
    }

    /// The write requests to Azure.
    fn sent(&self) -> Vec<String> {
        super::sent(&self.app).iter().map(super::short).collect()
    }

    async fn execute(&self, statement: &'static str) {
        match self.db.store.kind() {
            norman_aks::store::Kind::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(&self.db.url).await.unwrap();
                sqlx::query(statement).execute(&mut connection).await.unwrap();
            }
            norman_aks::store::Kind::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&self.db.url).await.unwrap();
                sqlx::query(statement).execute(&mut connection).await.unwrap();
            }
        }
    }
}

fn made(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text());
    format!("/v3/clusters/{}", answer.json()["id"].as_str().unwrap())
}

async fn rejected_credential_claims_nothing(base: Base) {
    let stage = Stage::set(base).await;
    // Eve knows the subscription, but not the secret.
    let eve = stage.app.token("eve").await;
    let seed = &stage.app.seed;
    let made_up = json!({"name": "azure", "azurecredentialConfig": {
        "subscriptionId": seed.subscription_id, "tenantId": seed.tenant_id, "clientId": seed.client_id,
        "clientSecret": "made~up~secret",
    }});
    let credential = stage.app.post("/v3/cloudcredentials").token(&eve).json(&made_up).send().await.json();
    // Entra does not respond when she creates the object, so her credential cannot be verified.
    let outcome = Outcome::Answer(Page::new(503, &json!({})).unwrap());
    stage.app.control.login(Login { client_id: None, secret: "made~up~secret".to_owned(), outcome });
    let squatting = made(&stage.post(&eve, credential["id"].as_str().unwrap()).await);
    let description = "AADSTS7000215: Invalid client secret provided.";
    let body =
        json!({"error": "invalid_client", "error_description": description, "error_codes": [7_000_215]});
    let outcome = Outcome::Answer(Page::new(401, &body).unwrap());
    stage.app.control.login(Login { client_id: None, secret: "made~up~secret".to_owned(), outcome });
    stage.until(&squatting, |(_, _, message)| message.contains("AADSTS7000215")).await;

    let rightful = made(&stage.post(&stage.ann, &stage.of_ann).await);
    stage.becomes_active(&rightful).await;
    let told = stage.told(&squatting).await;
    assert_eq!((told.0.as_str(), told.1.as_str()), ("provisioning", "error"));
    // With a valid credential, the message names the other object, and nothing more is done.
    stage.app.control.clear_requests();
    let change = json!({"azurecredentialConfig": {"clientSecret": seed.client_secret_2}});
    let path = format!("/v3/cloudcredentials/{}", credential["id"].as_str().unwrap());
    assert_eq!(stage.app.put(&path).token(&eve).json(&change).send().await.status, 200);
    stage.is_told_of_the_other(&squatting).await;
    assert_eq!(stage.sent(), [""; 0]);
}

async fn object_without_proof_yields_to_a_claim(base: Base) {
    let stage = Stage::set(base).await;
    let bobs = stage.unclaimed().await;
    let anns = made(&stage.post(&stage.ann, &stage.of_ann).await);
    let plan = stage.app.get(&format!("/api/v1{}/plan", bobs.trim_start_matches("/v3"))).send().await.json();
    assert_eq!(plan["step"], "blocked", "{plan}");
    assert!(plan["reason"].as_str().unwrap().starts_with(TAKEN), "{plan}");
    stage.is_told_of_the_other(&bobs).await;
    stage.becomes_active(&anns).await;
    assert_eq!(stage.sent(), ["PUT group", "PUT cluster"]);
    // The object is deleted immediately, and ann's cluster remains in Azure.
    stage.app.control.clear_requests();
    assert_eq!(stage.app.delete(&bobs).token(&stage.bob).send().await.status, 200);
    stage.app.settle().await;
    assert_eq!(stage.app.get(&bobs).send().await.status, 404);
    assert_eq!(stage.sent(), [""; 0]);
    assert_eq!(stage.told(&anns).await.0, "active");
}

async fn post_claims_the_cluster(base: Base) {
    let stage = Stage::set(base).await;
    made(&stage.post(&stage.ann, &stage.of_ann).await);
    let refused = stage.post(&stage.bob, &stage.of_bob).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(crate::norman::refusal(&refused).2.starts_with(TAKEN), "{}", refused.text());
}

async fn put_with_a_working_credential_claims(base: Base) {
    let stage = Stage::set(base).await;
    let bobs = stage.unclaimed().await;
    let change = json!({"name": "one", "aksConfig": {"tags": {"a": "b"}}});
    let put = stage.app.put(&bobs).token(&stage.bob).json(&change).send().await;
    assert_eq!(put.status, 200, "{}", put.text());
    let refused = stage.post(&stage.ann, &stage.of_ann).await;
    assert!(crate::norman::refusal(&refused).2.starts_with(TAKEN), "{}", refused.text());
    stage.becomes_active(&bobs).await;
}

async fn import_yields_to_a_claim(base: Base) {
    let stage = Stage::set(base).await;
    let import = |credential: &str| -> Value {
        json!({"name": "import", "aksConfig": {"imported": true, "azureCredentialSecret": credential,
            "clusterName": "one", "resourceGroup": "group-of-one", "resourceLocation": "eastus"}})
    };
    let anns = made(&stage.post(&stage.ann, &stage.of_ann).await);
    stage.becomes_active(&anns).await;
    // The object of ann is deleted, and the cluster remains in Azure.
    assert_eq!(stage.app.delete(&format!("{anns}?force=true")).token(&stage.ann).send().await.status, 200);
    stage.azure_goes_away();
    let post = |token: String, credential: String| {
        let call = stage.app.post("/v3/clusters").token(&token).json(&import(&credential));
        async move { made(&call.send().await) }
    };
    let bobs = post(stage.bob.clone(), stage.of_bob.clone()).await;
    let anns = post(stage.ann.clone(), stage.of_ann.clone()).await;
    stage.azure_comes_back();
    // Both have a valid credential: the first one that the worker processes gets the cluster.
    for _ in 0..300 {
        let states = [stage.told(&anns).await, stage.told(&bobs).await];
        if states.iter().any(|(state, ..)| state == "active")
            && states.iter().any(|(_, _, message)| message.starts_with(TAKEN))
        {
            assert_eq!(stage.sent(), [""; 0], "both only look");
            return;
        }
        stage.app.pass(std::time::Duration::from_secs(2)).await;
    }
    panic!("{:?} {:?}", stage.told(&anns).await, stage.told(&bobs).await);
}

async fn one_of_two_unclaimed_objects_reaches_azure(base: Base) {
    let stage = Stage::set(base).await;
    stage.azure_goes_away();
    let first = made(&stage.post(&stage.bob, &stage.of_bob).await);
    let second = made(&stage.post(&stage.ann, &stage.of_ann).await);
    stage.azure_comes_back();
    // On PostgreSQL, another server runs in parallel.
    let other = match stage.db.store.kind() {
        norman_aks::store::Kind::Sqlite => None,
        norman_aks::store::Kind::Postgres => {
            Some(TestApp::with().on(&stage.db).beside(&stage.app).start().await)
        }
    };
    let stop = tokio_util::sync::CancellationToken::new();
    for _ in 0..300 {
        let worker = other.as_ref().unwrap_or(&stage.app).app.worker.clone();
        let (one, two) = tokio::join!(stage.app.app.worker.run_due(&stop), worker.run_due(&stop));
        if one.unwrap() + two.unwrap() == 0 {
            stage.app.clock.advance(std::time::Duration::from_secs(1));
        }
        let (of_first, of_second) = (stage.told(&first).await, stage.told(&second).await);
        let told = [&of_first, &of_second];
        if told.iter().any(|told| told.0 == "active") && told.iter().any(|told| told.2.starts_with(TAKEN)) {
            assert_eq!(stage.sent(), ["PUT group", "PUT cluster"]);
            return;
        }
    }
    panic!("{:?} {:?}", stage.told(&first).await, stage.told(&second).await);
}

async fn removal_releases_the_claim(base: Base) {
    let stage = Stage::set(base).await;
    let bobs = stage.unclaimed().await;
    let anns = made(&stage.post(&stage.ann, &stage.of_ann).await);
    stage.is_told_of_the_other(&bobs).await;
    stage.becomes_active(&anns).await;
    assert_eq!(stage.app.delete(&anns).token(&stage.ann).send().await.status, 200);
    stage.becomes_active(&bobs).await;
    assert_eq!(stage.app.get(&anns).send().await.status, 404);
}

async fn unproved_claim_of_an_older_server_yields(base: Base) {
    let stage = Stage::set(base).await;
    let bobs = stage.unclaimed().await;
    // Written as by a version that claims with the POST and does not have the column.
    let identity = stage.app.seed.subscription_id;
    assert_eq!(identity, "9d1f3c52-0d2b-4e6a-8c1e-000000000001");
    stage
        .execute(
            "update clusters set aks_identity = '9d1f3c52-0d2b-4e6a-8c1e-000000000001/group-of-one/one'
             where identity_proved is not null",
        )
        .await;
    let anns = made(&stage.post(&stage.ann, &stage.of_ann).await);
    stage.is_told_of_the_other(&bobs).await;
    stage.becomes_active(&anns).await;
    assert_eq!(stage.sent(), ["PUT group", "PUT cluster"]);
}
