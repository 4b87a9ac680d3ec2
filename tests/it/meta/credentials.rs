//! Sources of the credential of an action, their precedence, and access to stored credentials.

use serde_json::{Value, json};

use super::{LISTINGS, account_body, hint};
use crate::support::app::TestApp;
use crate::support::test_clusters;

#[tokio::test]
async fn stored_credential_precedes_the_body() {
    let (app, id) = TestApp::builder().advisory_review().start_with_credential().await;
    let path = format!("/meta/aksLocations?cloudCredentialId={id}");
    assert_eq!(app.post(&path).body("no JSON").send().await.status, 200);
    assert_eq!(app.get(&path).body("no JSON").send().await.status, 200);
}

#[tokio::test]
async fn missing_credential_precedes_unknown_action() {
    let app = TestApp::with_advisory_review().await;
    for action in LISTINGS.into_iter().chain(["aksNothing"]) {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let response =
                app.call(method.parse().unwrap(), &format!("/meta/{action}?cloudCredentialId=")).send().await;
            assert_eq!(response.status, 400, "{method} {action}");
            assert_eq!(response.error(), "cannot access Azure API without credentials to authenticate");
            assert!(
                hint(&response).contains("cloudCredentialId=cattle-global-data:cc-"),
                "{}",
                response.text()
            );
        }
    }
    let unknown = app.post("/meta/aksNothing").json(&app.credential(&Value::Null)).send().await;
    assert_eq!((unknown.status.as_u16(), unknown.error()), (404, "invalid endpoint aksNothing".to_owned()));
    let with_stored =
        format!("/meta/aksNothing?cloudCredentialId={}", app.store_credential(&app.admin).await);
    assert_eq!(app.get(&with_stored).send().await.error(), "invalid endpoint aksNothing");
}

#[tokio::test]
async fn missing_fields_are_named_in_ranchers_order() {
    let app = TestApp::with_advisory_review().await;
    for (body, expected) in [
        ("null", "invalid subscriptionId"),
        ("{}", "invalid subscriptionId"),
        (r#"{"subscriptionId":"s"}"#, "invalid clientId"),
        (r#"{"SUBSCRIPTIONID":"s","clientid":"c"}"#, "invalid clientSecret"),
        ("", "cannot parse request body: unexpected end of JSON input"),
        (
            "[]",
            "cannot parse request body: json: cannot unmarshal array into Go value of type aks.Capabilities",
        ),
        (
            "{\"region\":1}",
            "cannot parse request body: json: cannot unmarshal number into Go struct field Capabilities.region of type string",
        ),
    ] {
        let response = app.post("/meta/aksVersions").body(body).send().await;
        assert_eq!((response.status.as_u16(), response.error().as_str()), (400, expected), "{body}");
    }
    let large = app.post("/meta/aksVersions").body(vec![b' '; 1_048_577]).send().await.expect(400);
    assert_eq!(large.error(), "cannot read request body: http: request body too large");
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
}

#[tokio::test]
async fn missing_tenant_is_discovered_and_cached() {
    let app = TestApp::with_advisory_review().await;
    let mut body = app.credential(&Value::Null);
    body.as_object_mut().unwrap().remove("tenantId");
    assert_eq!(app.post("/meta/aksLocations").json(&body).send().await.status, 200);
    let first = app.take_azure_requests();
    assert_eq!(first.len(), 3, "{first:?}");
    assert_eq!(app.post("/meta/aksRegions").json(&body).send().await.status, 200);
    assert_eq!(app.take_azure_requests().len(), 1, "tenant and token are cached");
}

#[tokio::test]
async fn malformed_and_unknown_ids_have_different_errors() {
    let app = TestApp::with_advisory_review().await;
    for (id, status, error) in [
        ("nocolon", 400, "invalid cloud credential ID nocolon"),
        (":x", 400, "invalid cloud credential ID :x"),
        ("x:", 400, "invalid cloud credential ID x:"),
        ("cattle-global-data:cc-nnnnn", 422, "cloud credential not found"),
        ("other:cc-nnnnn", 422, "cloud credential not found"),
        ("a:b:c", 422, "cloud credential not found"),
    ] {
        let response = app.get(&format!("/meta/aksLocations?cloudCredentialId={id}")).send().await;
        assert_eq!((response.status.as_u16(), response.error().as_str()), (status, error), "{id}");
        let expected = if status == 400 { "write it as cattle-global-data:cc-" } else { "does not exist" };
        assert!(hint(&response).contains(expected), "{}", response.text());
    }
}

#[tokio::test]
async fn cluster_id_grants_use_of_the_clusters_credential() {
    let app = TestApp::with_advisory_review().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let (anns_credential, bobs_credential) =
        (app.store_credential(&ann).await, app.store_credential(&bob).await);
    let id = test_clusters::import_absent(&app, &bob, "bobs", &bobs_credential).await;
    // Bob's cluster does not use Ann's credential, and Ann may not touch Bob's cluster.
    for (token, credential) in [(&bob, &anns_credential), (&ann, &bobs_credential)] {
        for name in ["clusterID", "clusterId"] {
            let path = format!("/meta/aksLocations?cloudCredentialId={credential}&{name}={id}");
            assert_eq!(app.get(&path).token(token).send().await.status, 422, "{name}");
        }
    }
    // The administrator gives Bob's cluster Ann's credential: now Bob may use it, through the cluster only.
    let change = json!({"name": "bobs", "aksConfig": {"azureCredentialSecret": anns_credential}});
    app.put(&format!("/v3/clusters/{id}")).json(&change).send().await.expect(200);
    for query in
        [format!("&clusterID={id}"), format!("&clusterId={id}"), format!("&clusterId=c-nnnnn&clusterID={id}")]
    {
        let path = format!("/meta/aksLocations?cloudCredentialId={anns_credential}{query}");
        assert_eq!(app.get(&path).token(&bob).send().await.status, 200, "{query}");
    }
    for query in ["", "&clusterId=c-nnnnn"] {
        let path = format!("/meta/aksLocations?cloudCredentialId={anns_credential}{query}");
        assert_eq!(app.get(&path).token(&bob).send().await.status, 422, "{query}");
    }
    let path = format!("/meta/aksLocations?cloudCredentialId={anns_credential}&clusterId={id}");
    app.get(&path).token(&app.token("eve").await).send().await.expect(422);
    // Deleting the cluster ends the access at once, although access is cached for a second.
    app.delete(&format!("/v3/clusters/{id}")).token(&bob).send().await.expect(200);
    app.settle().await;
    app.get(&path).token(&bob).send().await.expect(422);
}

#[tokio::test]
async fn incomplete_stored_credential_is_rejected() {
    let app = TestApp::with_advisory_review().await;
    let seed = &app.seed;
    let complete = json!({"subscriptionId": seed.subscription_id, "tenantId": seed.tenant_id, "clientId": seed.client_id, "clientSecret": "x"});
    for (missing, action, expected) in [
        ("clientSecret", "aksLocations", "secret can't be empty string"),
        (
            "subscriptionId",
            "aksClusters",
            "failed to get cluster list: parameter client.subscriptionID cannot be empty",
        ),
        ("subscriptionId", "aksRegions", "failed to get regions: parameter subscriptionID cannot be empty"),
    ] {
        let mut config = complete.clone();
        config.as_object_mut().unwrap().remove(missing);
        let created =
            app.post("/v3/cloudcredentials").json(&json!({"azurecredentialConfig": config})).send().await;
        let id = created.id();
        let response = app.get(&format!("/meta/{action}?cloudCredentialId={id}")).send().await;
        assert_eq!((response.status.as_u16(), response.error().as_str()), (400, expected), "{missing}");
    }
}

#[tokio::test]
async fn unknown_environment_is_named_in_the_hint() {
    let app = TestApp::with_advisory_review().await;
    let body_with_moon = |name: &str, more: Value| {
        let mut body = account_body(&app, name, &more);
        body["environment"] = json!("moon");
        body
    };
    let expected = "environment moon is unknown, so AzurePublicCloud was used; the others are";
    let rejected = body_with_moon("expired-secret", json!({}));
    let without_tenant = body_with_moon(
        "expired-secret",
        json!({"tenantId": "", "subscriptionId": "00000000-0000-4000-8000-000000000000"}),
    );
    for body in [&rejected, &without_tenant] {
        for action in ["aksLocations", "aksCheckCredentials"] {
            let response = app.post(&format!("/meta/{action}")).json(body).send().await;
            assert!(response.status.is_client_error(), "{}", response.text());
            assert!(hint(&response).starts_with(expected), "{action}: {}", response.text());
        }
    }
    let config = json!({"azurecredentialConfig": rejected});
    let created = app.post("/v3/cloudcredentials").json(&config).send().await.json();
    let path = format!("/meta/aksLocations?cloudCredentialId={}", created["id"].as_str().unwrap());
    assert!(hint(&app.get(&path).send().await).starts_with(expected));
    // Errors that do not come from Azure do not mention the cloud, and a known cloud causes no hint.
    let without_region = body_with_moon("expired-secret", json!({"region": ""}));
    let response = app.post("/meta/aksVersions").json(&without_region).send().await;
    assert_eq!(response.error(), "region is required");
    assert!(
        hint(&response).contains("aksLocations") && !hint(&response).contains("moon"),
        "{}",
        response.text()
    );
    let known_cloud = account_body(&app, "expired-secret", &json!({"environment": "AzurePublicCloud"}));
    let response = app.post("/meta/aksLocations").json(&known_cloud).send().await;
    assert!(!hint(&response).contains("unknown"), "{}", response.text());
}

#[tokio::test]
async fn base_urls_are_ignored() {
    let app = TestApp::with_advisory_review().await;
    let urls = json!({"baseUrl": "https://evil.example/", "authBaseUrl": "https://evil.example/"});
    assert_eq!(app.post("/meta/aksLocations").json(&app.credential(&urls)).send().await.status, 200);
    let id = app.store_credential(&app.admin).await;
    let path = format!(
        "/meta/aksRegions?cloudCredentialId={id}&baseUrl=https://evil.example&authBaseUrl=https://evil.example"
    );
    assert_eq!(app.get(&path).send().await.status, 200);
}

#[tokio::test]
async fn ids_in_a_query_are_trimmed() {
    let (app, stored) = TestApp::builder().advisory_review().start_with_credential().await;
    for whitespace in ["%20", "%0A", "%0D%0A", "+", "%C2%A0", "%09"] {
        for path in [
            format!("/meta/aksLocations?cloudCredentialId={stored}{whitespace}"),
            format!("/meta/aksLocations?cloudCredentialId={whitespace}{stored}"),
            format!("/meta/aksVersions?cloudCredentialId={stored}&region=eastus{whitespace}"),
            format!("/meta/aksClusters?cloudCredentialId={stored}&clusterId={whitespace}"),
        ] {
            let response = app.get(&path).send().await;
            assert_eq!(response.status, 200, "{path}: {}", response.text());
        }
    }
    // Whitespace alone is treated as empty.
    let response = app.get("/meta/aksLocations?cloudCredentialId=%20").send().await.expect(400);
    assert!(hint(&response).contains("cloudCredentialId"), "{}", response.text());
}
