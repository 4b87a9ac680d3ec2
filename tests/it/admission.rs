//! Requests that can only fail in Azure are rejected immediately, with the field and the remedy; otherwise, Terraform would
//! wait half an hour in vain. Checks that may fail because Azure does not know a new secret, application or role yet are
//! repeated for a while.

use std::time::Duration;

use azure_sandbox::{Effect, ErrorResponse, Fault, Login, Operation, Outcome, Page, Quota};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use norman_aks::store;
use serde_json::{Value, json};

use crate::norman::{NormanError, norman_error};
use crate::support::app::{TestApp, TestResponse};
use crate::support::fault;
use crate::support::test_clusters;

const CREDENTIAL_FIELD: &str = "aksConfig.azureCredentialSecret";
const APPLY_AGAIN: &str = "if it was created a few minutes ago, apply again";
const MAX_WAIT: Duration = Duration::from_secs(45);

/// Stores a credential; returns its ID.
async fn store_credential(
    app: &TestApp,
    subscription: &str,
    tenant: &str,
    client: &str,
    secret: &str,
) -> String {
    let config = json!({"subscriptionId": subscription, "tenantId": tenant, "clientId": client, "clientSecret": secret});
    let response =
        app.post("/v3/cloudcredentials").json(&json!({"azurecredentialConfig": config})).send().await;
    assert_eq!(response.status, StatusCode::CREATED, "{}", response.text());
    response.id()
}

/// Stores a credential of the account `ready` with a wrong secret; returns its ID.
async fn store_wrong_secret(app: &TestApp) -> String {
    let seed = &app.seed;
    store_credential(app, seed.subscription_id, seed.tenant_id, seed.client_id, "made~up~secret").await
}

async fn post(app: &TestApp, body: &Value) -> TestResponse {
    app.post("/v3/clusters").json(body).send().await
}

/// Makes Entra reject the wrong secret with an AADSTS error.
fn reject_logins(app: &TestApp, code: u64) {
    let body = json!({"error": "invalid_client", "error_description": format!("AADSTS{code}: No. Trace ID: x"), "error_codes": [code]});
    let outcome = Outcome::Answer(Page::new(401, &body).unwrap());
    app.control.script_login(Login { client_id: None, secret: "made~up~secret".to_owned(), outcome });
}

fn assert_rejected(response: &TestResponse, field: &str, parts: &[&str]) {
    let NormanError { field: actual_field, message, .. } = norman_error(response);
    assert_eq!(
        (response.status, actual_field.as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, field),
        "{message}"
    );
    for part in parts {
        assert!(message.contains(part), "{part} is missing: {message}");
    }
}

/// The stored spec of a cluster.
async fn stored_spec(app: &TestApp, id: &str) -> Value {
    let row = store::clusters::get(&app.server.store, id).await.unwrap().unwrap();
    serde_json::from_str(&row.spec).unwrap()
}

async fn assert_no_cluster(app: &TestApp) {
    assert_eq!(app.get("/v3/clusters").send().await.json()["data"], json!([]));
    assert_eq!(app.control.writes().len(), 0, "{:?}", app.control.writes());
}

/// Azure's response to a request that the application may not send.
fn denied() -> Effect {
    let code = Some("AuthorizationFailed".to_owned());
    Effect::Status(ErrorResponse { status: Some(403), code, ..ErrorResponse::default() })
}

#[tokio::test]
async fn credential_that_can_only_fail_is_rejected_at_once() {
    let app = TestApp::start().await;
    for (account, parts) in [
        ("expired-secret", ["AADSTS7000222", "the client secret has expired: create a new one"]),
        ("disabled-app", ["AADSTS7000112", "an administrator of the tenant must enable its sign-in"]),
        ("disabled-subscription", ["Disabled", "enable"]),
    ] {
        let credential = app.store_credential_of(account).await;
        let started_ms = app.clock.now_ms();
        let response = post(&app, &test_clusters::body("one", &credential)).await;
        assert_rejected(&response, CREDENTIAL_FIELD, &parts);
        assert!(!response.text().contains(APPLY_AGAIN), "{}", response.text());
        assert_eq!(app.clock.now_ms(), started_ms);
        let response = post(&app, &test_clusters::import_body(&app, "two", &credential)).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{account}: {}", response.text());
    }
    assert_no_cluster(&app).await;
}

#[tokio::test]
async fn invalid_tenant_and_unknown_subscription_are_rejected() {
    let app = TestApp::start().await;
    let seed = &app.seed;
    let bad_tenant = store_credential(&app, seed.subscription_id, "no tenant", seed.client_id, "s").await;
    assert_rejected(
        &post(&app, &test_clusters::body("one", &bad_tenant)).await,
        CREDENTIAL_FIELD,
        &["tenantID", "tenantId is"],
    );
    let unknown_subscription = "9d1f3c52-0d2b-4e6a-8c1e-0000000000ff";
    let unknown = store_credential(&app, unknown_subscription, "", seed.client_id, "s").await;
    let response = post(&app, &test_clusters::body("one", &unknown)).await;
    assert_rejected(&response, CREDENTIAL_FIELD, &["SubscriptionNotFound", "check subscriptionId"]);
}

#[tokio::test]
async fn wrong_secret_or_application_is_retried_for_45_seconds() {
    let app = TestApp::start().await;
    for code in [7_000_215, 700_016] {
        let credential = store_wrong_secret(&app).await;
        reject_logins(&app, code);
        let call = app.post("/v3/clusters").json(&test_clusters::body("one", &credential));
        let (response, waited) = app.send_while_time_passes(call).await;
        assert_rejected(
            &response,
            CREDENTIAL_FIELD,
            &[&format!("AADSTS{code}"), "cloud credential", APPLY_AGAIN],
        );
        assert!(
            waited >= Duration::from_secs(35) && waited <= MAX_WAIT + Duration::from_secs(15),
            "{waited:?}"
        );
        let logins =
            app.control.requests().iter().filter(|request| request.operation == Operation::Token).count();
        assert!((2..=7).contains(&logins), "{logins} logins");
        app.control.clear_requests();
    }
    assert_no_cluster(&app).await;
}

#[tokio::test]
async fn secret_that_works_after_some_seconds_is_accepted() {
    let (app, credential) = TestApp::builder().start_with_credential().await;
    let body = json!({"error": "invalid_client", "error_description": "AADSTS7000215: No.", "error_codes": [7_000_215]});
    app.control.add_fault(Fault {
        operation: Some(Operation::Token),
        times: Some(2),
        effect: Some(fault::body(401, &body.to_string())),
        ..Fault::default()
    });
    let call = app.post("/v3/clusters").json(&test_clusters::body("one", &credential));
    let (response, _) = app.send_while_time_passes(call).await;
    assert_eq!(response.status, StatusCode::CREATED, "{}", response.text());
    let review = &response.json()["aksStatus"]["review"];
    assert_eq!(review["unchecked"], json!([]), "{review}");
    app.advance(Duration::from_mins(10)).await;
    let path = format!("/v3/clusters/{}", response.id());
    assert_eq!(app.get(&path).send().await.json()["state"], "active");
}

#[tokio::test]
async fn missing_role_is_checked_again_for_45_seconds() {
    let app = TestApp::start().await;
    for (account, part) in [
        ("no-role", "Microsoft.ContainerService/managedClusters/read"),
        ("reader", "lacks the right Microsoft.ContainerService/managedClusters/write"),
    ] {
        let credential = app.store_credential_of(account).await;
        let call = app.post("/v3/clusters").json(&test_clusters::body("one", &credential));
        let (response, waited) = app.send_while_time_passes(call).await;
        assert_rejected(&response, CREDENTIAL_FIELD, &[part, "az role assignment create", APPLY_AGAIN]);
        assert!(waited >= Duration::from_secs(35), "{waited:?}");
    }
    assert_no_cluster(&app).await;
}

#[tokio::test]
async fn role_that_works_after_some_seconds_is_accepted() {
    let (app, credential) = TestApp::builder().start_with_credential().await;
    app.control.add_fault(Fault {
        operation: Some(Operation::ManagedCluster),
        times: Some(2),
        effect: Some(denied()),
        ..Fault::default()
    });
    let call = app.post("/v3/clusters").json(&test_clusters::body("one", &credential));
    let (response, _) = app.send_while_time_passes(call).await;
    assert_eq!(response.status, StatusCode::CREATED, "{}", response.text());
}

#[tokio::test]
async fn right_in_one_resource_group_is_enough() {
    let (app, credential) = TestApp::builder().start_with_credential().await;
    for operation in [Operation::Subscription, Operation::Provider, Operation::Locations, Operation::Usages] {
        app.control.add_fault(fault::for_operation(operation, denied()));
    }
    post(&app, &test_clusters::body("one", &credential)).await.expect(201);
}

#[tokio::test]
async fn provider_is_an_error_only_if_it_cannot_be_registered() {
    let app = TestApp::start().await;
    let fresh = app.store_credential_of("fresh").await;
    post(&app, &test_clusters::body("one", &fresh)).await.expect(201);
    assert_eq!(app.control.writes().len(), 0, "a review registers nothing");
    let unregistered = app.store_credential_of("unregistered").await;
    let review = json!({"aksConfig": test_clusters::body("two", &unregistered)["aksConfig"]});
    let review = app.post("/api/v1/aks/review").json(&review).send().await.json();
    let findings = review["findings"].as_array().unwrap();
    let finding = findings
        .iter()
        .find(|finding| finding["rule"] == "provider-registered")
        .unwrap_or_else(|| panic!("{review}"));
    assert_eq!((&finding["severity"], &finding["field"]), (&json!("error"), &json!(CREDENTIAL_FIELD)));
    assert!(finding["remedy"].as_str().unwrap().contains("az provider register"), "{finding}");
}

#[tokio::test]
async fn import_that_is_not_in_azure_is_rejected() {
    let (app, credential) = TestApp::builder().start_with_credential().await;
    let mut body = test_clusters::import_body(&app, "theirs", &credential);
    body["aksConfig"]["clusterName"] = json!("nowhere");
    let parts = ["nowhere does not exist", "aksClusters lists"];
    assert_rejected(&post(&app, &body).await, "aksConfig.clusterName", &parts);
    body["aksConfig"]["resourceGroup"] = json!("no-such-group");
    assert_rejected(&post(&app, &body).await, "aksConfig.clusterName", &parts);
    assert_no_cluster(&app).await;
}

#[tokio::test]
async fn quota_counts_what_the_request_adds() {
    let app = TestApp::start().await;
    let (id, _) = test_clusters::create_active(&app, &app.admin.clone(), "one").await;
    let limit_cores = |cores: u32| {
        let quota = Quota { region: "eastus".to_owned(), name: "cores".to_owned(), limit: cores };
        app.control.set_quota(app.seed.subscription_id, quota);
    };
    limit_cores(2);
    let path = format!("/v3/clusters/{id}");
    let put = async |count: u32| {
        let mut pool = test_clusters::body("one", "")["aksConfig"]["nodePools"][0].clone();
        pool["count"] = json!(count);
        app.put(&path)
            .json(&json!({"name": "one", "aksConfig": {"nodePools": [pool], "tags": {"team": "b"}}}))
            .send()
            .await
    };
    let response = put(9).await;
    assert_rejected(
        &response,
        "aksConfig.nodePools",
        &["need 16 more vCPUs", "of which 0 are left", "use fewer"],
    );
    // Existing nodes need no more quota.
    put(1).await.expect(200);
    let credential = app.store_credential(&app.admin).await;
    let rejected = post(&app, &test_clusters::body("two", &credential)).await;
    assert_rejected(&rejected, "aksConfig.nodePools", &["need 2 more vCPUs", "ask Azure for more quota"]);
}

#[tokio::test]
async fn change_with_an_expired_secret_is_rejected() {
    let app = TestApp::start().await;
    let (id, credential) = test_clusters::create_active(&app, &app.admin.clone(), "one").await;
    let path = format!("/v3/clusters/{id}");
    let new_secret = json!({"azurecredentialConfig": {"clientSecret": "made~up~secret"}});
    reject_logins(&app, 7_000_222);
    let changed = app.put(&format!("/v3/cloudcredentials/{credential}")).json(&new_secret).send().await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text());
    let before = app.get(&path).send().await.json();
    let tags = json!({"name": "one", "aksConfig": {"tags": {"team": "b"}}});
    assert_rejected(
        &app.put(&path).json(&tags).send().await,
        CREDENTIAL_FIELD,
        &["AADSTS7000222", "expired"],
    );
    assert_eq!(app.get(&path).send().await.json()["aksConfig"], before["aksConfig"], "nothing was changed");
    // Changes that do not concern Azure are still possible.
    let description = json!({"name": "one", "description": "other words"});
    assert_eq!(app.put(&path).json(&description).send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn review_setting_is_the_default_of_the_annotation() {
    let app = TestApp::start().await;
    let expired = app.store_credential_of("expired-secret").await;
    let value = json!({"value": "advise"});
    app.put("/v3/settings/cluster-review").json(&value).send().await.expect(200);
    let accepted = post(&app, &test_clusters::body("one", &expired)).await.expect(201);
    let findings = accepted.json()["aksStatus"]["review"]["findings"].clone();
    let is_warning =
        |finding: &Value| finding["rule"] == "credential-refused" && finding["severity"] == "warning";
    assert!(findings.as_array().unwrap().iter().any(is_warning), "{findings}");
    let mut enforced = test_clusters::body("two", &expired);
    enforced["annotations"] = json!({"norman-aks.io/review": "enforce"});
    assert_rejected(&post(&app, &enforced).await, CREDENTIAL_FIELD, &["AADSTS7000222"]);
    let value = json!({"value": "sometimes"});
    let response = app.put("/v3/settings/cluster-review").json(&value).send().await;
    assert_rejected(&response, "value", &["cluster-review must be enforce or advise"]);
}

#[tokio::test]
async fn waiting_requests_of_a_user_are_limited() {
    let app = TestApp::start().await;
    let credential = store_wrong_secret(&app).await;
    let bodies: Vec<_> = (0..18).map(|n| test_clusters::body(&format!("one{n}"), &credential)).collect();
    let mut calls: FuturesUnordered<_> = bodies.iter().map(|body| post(&app, body)).collect();
    // The limit is 16. The checks of the other two requests are not repeated, so these get responses although no time passes.
    for _ in 0..2 {
        let response = tokio::time::timeout(Duration::from_secs(40), calls.next()).await.unwrap().unwrap();
        assert_rejected(&response, CREDENTIAL_FIELD, &["AADSTS7000215", APPLY_AGAIN]);
    }
    assert!(tokio::time::timeout(Duration::from_secs(1), calls.next()).await.is_err());
}

#[tokio::test]
async fn taint_without_a_value_is_rejected() {
    let (app, credential) = TestApp::builder().start_with_credential().await;
    let mut body = test_clusters::body("one", &credential);
    body["aksConfig"]["nodePools"][0]["nodeTaints"] = json!(["dedicated:NoSchedule"]);
    let response = post(&app, &body).await;
    assert_rejected(
        &response,
        "aksConfig.nodePools[0].nodeTaints",
        &["dedicated:NoSchedule", "use the form key=value:Effect", "key=true:NoSchedule"],
    );
}

#[tokio::test]
async fn unset_keys_have_azures_value() {
    let app = TestApp::start().await;
    let (id, _) = test_clusters::create_active(&app, &app.admin.clone(), "one").await;
    let path = format!("/v3/clusters/{id}");
    let cluster = app.get(&path).send().await.json();
    let config = &cluster["aksConfig"];
    for key in ["serviceCidr", "dnsServiceIp", "loadBalancerSku"] {
        let azure_value = &cluster["aksStatus"]["upstreamSpec"][key];
        assert!(azure_value.is_string() && config[key] == *azure_value, "{key}: {config}");
    }
    assert!(config["nodeResourceGroup"].is_string(), "{config}");
    // A client that sends everything back changes nothing, and the values remain Azure's.
    let response = app.put(&path).json(&json!({"name": "one", "aksConfig": config})).send().await;
    assert_eq!(
        (response.status, &response.json()["state"]),
        (StatusCode::OK, &json!("active")),
        "{}",
        response.text()
    );
    let stored = stored_spec(&app, &id).await;
    for key in ["serviceCidr", "dnsServiceIp", "loadBalancerSku", "nodeResourceGroup"] {
        assert!(stored["aksConfig"].get(key).is_none(), "{key} became the user's: {stored}");
    }
    // Another value is rejected, and responses still contain Azure's value.
    let wrong = json!({"name": "one", "aksConfig": {"serviceCidr": "10.99.0.0/16"}});
    assert_rejected(&app.put(&path).json(&wrong).send().await, "aksConfig.serviceCidr", &["cannot become"]);
    assert_eq!(app.get(&path).send().await.json()["aksConfig"], *config);
    let listed = app.get("/v3/clusters").send().await.json();
    assert_eq!(listed["data"][0]["aksConfig"], *config);
}

#[tokio::test]
async fn rejected_value_that_azure_lacks_has_a_terraform_remedy() {
    let app = TestApp::start().await;
    let (id, _) = test_clusters::create_active(&app, &app.admin.clone(), "one").await;
    let path = format!("/v3/clusters/{id}");
    let mut pool = test_clusters::body("one", "")["aksConfig"]["nodePools"][0].clone();
    pool["nodeTaints"] = json!(["dedicated:NoSchedule"]);
    let put =
        async |config: Value| app.put(&path).json(&json!({"name": "one", "aksConfig": config})).send().await;
    let response = put(json!({"nodePools": [pool]})).await;
    let remedy = ["write a valid value", "terraform state rm"];
    assert_rejected(&response, "aksConfig.nodePools[0].nodeTaints", &remedy);
    let network =
        json!({"virtualNetwork": "rancher-net", "virtualNetworkResourceGroup": "rancher", "subnet": "nodes"});
    let response = put(network).await.expect(422);
    assert!(response.text().contains(remedy[1]), "{}", response.text());
    // Not for tags: the user has set them, and responses restore them in Terraform's state.
    let response = put(json!({"tags": {"a/b": "c"}})).await;
    assert!(!response.text().contains(remedy[1]), "{}", response.text());
}
