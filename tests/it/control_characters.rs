//! Control characters, line separators and text direction marks are rejected when an object is saved. Stored objects that
//! already contain them remain usable.

use http::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, TestResponse};

/// Strings that could forge a line, control a terminal, or change the direction of text.
const FORBIDDEN: [&str; 7] =
    ["a\nb", "a\r2026-01-01 forged", "\u{1b}[31ma", "a\u{7f}", "a\u{9b}b", "a\u{2028}b", "a\u{202e}b"];

fn assert_rejected(response: &TestResponse, field: &str) {
    assert_eq!(response.status, 422, "{field}: {}", response.text());
    let body = response.json();
    assert_eq!((&body["code"], &body["fieldName"]), (&json!("InvalidCharacters"), &json!(field)), "{body}");
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("U+00") || message.contains("U+20"), "{message}");
}

async fn cluster_body(app: &TestApp) -> Value {
    let id = app.store_credential(&app.admin).await;
    json!({"name": "shop", "aksConfig": {
        "azureCredentialSecret": id, "clusterName": "shop", "resourceGroup": "rancher", "resourceLocation": "eastus",
        "dnsPrefix": "shop", "kubernetesVersion": "1.32.7", "networkPlugin": "kubenet",
        "nodePools": [{"name": "system", "count": 1, "maxPods": 110, "mode": "System", "osDiskSizeGB": 128,
            "osDiskType": "Managed", "osType": "Linux", "vmSize": "Standard_DS2_v2"}],
    }})
}

/// The body with a string at a JSON path; missing objects are created.
fn with_string_at(body: &Value, json_path: &[&str], text: &str) -> Value {
    let mut body = body.clone();
    let target = json_path.iter().fold(&mut body, |value, key| match key.parse::<usize>() {
        Ok(index) => &mut value[index],
        Err(_) => &mut value[*key],
    });
    *target = text.into();
    body
}

#[tokio::test]
async fn cluster_with_control_characters_is_not_saved() {
    let app = TestApp::with_advisory_review().await;
    let body = cluster_body(&app).await;
    for (json_path, field) in [
        (&["name"][..], "name"),
        (&["description"], "description"),
        (&["labels", "k"], "labels.k"),
        (&["aksConfig", "resourceGroup"], "aksConfig.resourceGroup"),
        (&["aksConfig", "clusterName"], "aksConfig.clusterName"),
        (&["aksConfig", "nodePools", "0", "name"], "aksConfig.nodePools[0].name"),
        (&["aksConfig", "tags", "k"], "aksConfig.tags.k"),
    ] {
        for text in FORBIDDEN {
            let response =
                app.post("/v3/clusters").json(&with_string_at(&body, json_path, text)).send().await;
            assert_rejected(&response, field);
        }
    }
    for text in FORBIDDEN {
        let response =
            app.post("/v3/clusters").json(&with_string_at(&body, &["labels", text], "v")).send().await;
        assert_rejected(&response, "labels");
    }
    assert_eq!(app.get("/v3/clusters").send().await.json()["data"], json!([]));
    let multiline = with_string_at(&body, &["annotations", "k"], "{\n\t\"document\": 1\n}");
    let response = app.post("/v3/clusters").json(&multiline).send().await;
    assert_eq!(response.status, 201, "annotations may contain documents: {}", response.text());
}

#[tokio::test]
async fn stored_cluster_with_control_characters_can_be_changed() {
    let app = TestApp::with_advisory_review().await;
    let body = cluster_body(&app).await;
    let created =
        app.post("/v3/clusters").json(&with_string_at(&body, &["description"], "placeholder")).send().await;
    assert_eq!(created.status, 201, "{}", created.text());
    let id = created.id();
    // As stored by a version without the check.
    app.execute("update clusters set spec = replace(spec, 'placeholder', 'two\\nlines')").await;
    let path = format!("/v3/clusters/{id}");
    let stored = app.get(&path).send().await.json();
    assert_eq!(stored["description"], "two\nlines");
    // With all fields, as Terraform sends it.
    let mut update = stored.clone();
    update["labels"] = json!({"new": "label"});
    let response = app.put(&path).json(&update).send().await;
    assert_eq!((response.status.as_u16(), &response.json()["description"]), (200, &json!("two\nlines")));
    update["description"] = json!("other\nlines");
    assert_rejected(&app.put(&path).json(&update).send().await, "description");
    assert_eq!(app.delete(&path).send().await.status, 200);
}

#[tokio::test]
async fn credential_rejects_only_new_control_characters() {
    let app = TestApp::with_advisory_review().await;
    let body = json!({"name": "azure", "azurecredentialConfig": {"clientId": "c", "subscriptionId": "s"}});
    let id = app.store_credential(&app.admin).await;
    let path = format!("/v3/cloudcredentials/{id}");
    for (json_path, field) in [
        (&["name"][..], "name"),
        (&["description"], "description"),
        (&["labels", "k"], "labels.k"),
        (&["azurecredentialConfig", "clientId"], "azurecredentialConfig.clientId"),
        (&["azurecredentialConfig", "tenantId"], "azurecredentialConfig.tenantId"),
        (&["azurecredentialConfig", "environment"], "azurecredentialConfig.environment"),
    ] {
        for text in FORBIDDEN {
            let body = with_string_at(&body, json_path, text);
            for (method, path) in [(Method::POST, "/v3/cloudcredentials"), (Method::PUT, path.as_str())] {
                assert_rejected(&app.call(method, path).json(&body).send().await, field);
            }
        }
    }
    // As stored by a version without the check.
    app.execute("update credentials set description = 'two' || char(10) || 'lines'").await;
    let stored = app.get(&path).send().await.json();
    let response = app.put(&path).json(&stored).send().await;
    assert_eq!((response.status.as_u16(), &response.json()["description"]), (200, &json!("two\nlines")));
}

#[tokio::test]
async fn tokens_users_and_settings_reject_control_characters() {
    let app = TestApp::with_advisory_review().await;
    for text in FORBIDDEN {
        let response = app.post("/v3/tokens").json(&json!({"description": text})).send().await;
        assert_rejected(&response, "description");
        let response = app
            .put("/v3/settings/server-url")
            .json(&json!({"value": format!("https://{text}")}))
            .send()
            .await;
        assert_rejected(&response, "value");
        let error = app.server.tokens.create(text, None, None, "").await.unwrap_err().to_string();
        assert!(error.contains("user contains the character U+"), "{error}");
    }
}
