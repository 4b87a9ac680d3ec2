//! Stored cloud credentials over `/v3/cloudcredentials`.

use http::StatusCode;
use serde_json::{Value, json};

use crate::norman::{NO_CREDENTIAL, NormanError, norman_error};
use crate::support::app::{NOW_MS, TestApp};

const CANARY: &str = "canary~secret~8Q";

fn credential_body(config: &Value) -> Value {
    json!({"name": "my azure", "azurecredentialConfig": config})
}

async fn create_credential(app: &TestApp, body: &Value) -> Value {
    app.post("/v3/cloudcredentials").json(body).send().await.expect(201).json()
}

fn path(credential: &Value) -> String {
    format!("/v3/cloudcredentials/{}", credential["id"].as_str().unwrap())
}

#[tokio::test]
async fn created_credential_has_ranchers_format_without_secret() {
    let app = TestApp::with_advisory_review().await;
    let body = json!({
        "type": "cloudCredential", "links": null, "actions": null, "s3credentialConfig": null, "unknown": 1,
        "name": " my azure ", "description": "",
        "annotations": {"provisioning.cattle.io/driver": "azure"},
        "azurecredentialConfig": {"clientId": "app", "clientSecret": CANARY, "environment": "AzurePublicCloud",
            "subscriptionId": "sub", "tenantId": ""},
    });
    let response = app.post("/v3/cloudcredentials").json(&body).send().await.expect(201);
    let credential = response.json();
    let id = credential["id"].as_str().unwrap();
    let name = id.strip_prefix("cattle-global-data:cc-").unwrap();
    assert!(
        name.len() == 5 && name.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte)),
        "{id}"
    );
    let url = format!("http://norman.test/v3/cloudCredentials/{id}");
    assert_eq!(
        credential,
        json!({
            "actions": {},
            "annotations": {"provisioning.cattle.io/driver": "azure"},
            "azurecredentialConfig": {"clientId": "app", "environment": "AzurePublicCloud", "subscriptionId": "sub"},
            "baseType": "cloudCredential",
            "created": "2026-11-22T12:00:00Z",
            "createdTS": NOW_MS,
            "creatorId": credential["creatorId"],
            "id": id,
            "labels": {"cattle.io/creator": "norman"},
            "links": {"remove": url, "self": url, "update": url},
            "name": "my azure",
            "type": "cloudCredential",
            "uuid": credential["uuid"],
        })
    );
    assert!(credential["creatorId"].as_str().unwrap().starts_with("user-"));
    assert_eq!(credential["uuid"].as_str().unwrap().len(), 36);
    // The keys in the raw body are in alphabetical order.
    let text = response.text();
    let positions: Vec<_> =
        ["\"actions\"", "\"annotations\"", "\"azurecredentialConfig\"", "\"id\"", "\"links\"", "\"uuid\""]
            .map(|key| text.find(key))
            .to_vec();
    assert!(positions.is_sorted() && !positions.contains(&None), "{text}");
    for spelling in ["cloudcredentials", "cloudCredentials"] {
        for end in ["", "/"] {
            let read = app.get(&format!("/v3/{spelling}/{id}{end}")).send().await;
            assert_eq!((read.status, read.json()), (StatusCode::OK, credential.clone()));
        }
    }
    assert!(!text.contains(CANARY));
}

#[tokio::test]
async fn credential_has_the_fields_that_terraform_compares() {
    let app = TestApp::with_advisory_review().await;
    let credential = create_credential(
        &app,
        &credential_body(&json!({"clientId": "c", "clientSecret": "s", "subscriptionId": "u"})),
    )
    .await;
    assert_eq!(credential["annotations"], json!({}));
    assert_eq!(credential["labels"].as_object().unwrap().len(), 1);
    assert!(credential.get("description").is_none());
    assert_eq!(credential["azurecredentialConfig"], json!({"clientId": "c", "subscriptionId": "u"}));
}

#[tokio::test]
async fn default_name_is_the_id() {
    let app = TestApp::with_advisory_review().await;
    let credential = create_credential(&app, &json!({"azurecredentialConfig": {"clientId": "c"}})).await;
    assert_eq!(credential["name"], credential["id"]);
}

#[tokio::test]
async fn invalid_credential_bodies_are_rejected() {
    let app = TestApp::with_advisory_review().await;
    let missing = (
        "MissingRequired",
        "azurecredentialConfig",
        "a Config field must be set: send azurecredentialConfig",
    );
    for (body, expected) in [
        (json!({}), missing),
        (json!({"name": "n", "azurecredentialConfig": null}), missing),
        (credential_body(&json!({})), missing),
        (credential_body(&json!({"clientId": "", "clientSecret": " "})), missing),
        (
            json!({"amazonec2credentialConfig": {"accessKey": "k"}}),
            (
                "InvalidOption",
                "amazonec2credentialConfig",
                "only Azure credentials are supported: send azurecredentialConfig instead of amazonec2credentialConfig",
            ),
        ),
        (
            credential_body(&json!("text")),
            (
                "InvalidFormat",
                "azurecredentialConfig",
                "azurecredentialConfig must be an object, but it is a string",
            ),
        ),
        (
            json!({"namespaceId": "default", "azurecredentialConfig": {"clientId": "c"}}),
            (
                "InvalidOption",
                "namespaceId",
                "error creating namespaced resource, cannot assign to cattle-global-data \
                 since already assigned to default namespace",
            ),
        ),
    ] {
        let response = app.post("/v3/cloudcredentials").json(&body).send().await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        let NormanError { code, field, message } = norman_error(&response);
        assert_eq!((code.as_str(), field.as_str(), message.as_str()), expected, "{body}");
    }
    assert_eq!(app.get("/v3/cloudcredentials").send().await.json()["data"], json!([]));
}

#[tokio::test]
async fn put_merges_unless_replace_is_requested() {
    let app = TestApp::with_advisory_review().await;
    let config = json!({"clientId": "c", "clientSecret": CANARY, "subscriptionId": "s", "tenantId": "t"});
    let before = create_credential(
        &app,
        &json!({"name": "old", "description": "words", "labels": {"a": "1"}, "annotations": {"x.cattle.io/y": "1", "b": "2"},
            "azurecredentialConfig": config}),
    )
    .await;
    let change = json!({"description": null, "labels": {"c": "3"}, "annotations": {}, "creatorId": "me", "uuid": "u",
        "azurecredentialConfig": {"clientId": "d"}});
    let after = app.put(&path(&before)).json(&change).send().await.expect(200).json();
    let mut expected = before.clone();
    expected.as_object_mut().unwrap().remove("description");
    // Labels and annotations are replaced as a whole, except those of Rancher.
    expected["labels"] = json!({"c": "3", "cattle.io/creator": "norman"});
    expected["annotations"] = json!({"x.cattle.io/y": "1"});
    expected["azurecredentialConfig"]["clientId"] = json!("d");
    assert_eq!(after, expected);
    assert_eq!(app.get(&path(&before)).send().await.json(), expected);

    let replacement = json!({"azurecredentialConfig": {"subscriptionId": "s2"}});
    let replaced =
        app.put(&format!("{}?_replace=true", path(&before))).json(&replacement).send().await.json();
    assert_eq!(replaced["azurecredentialConfig"], json!({"subscriptionId": "s2"}));
    assert_eq!(replaced["name"], before["id"]);
    let without_config =
        app.put(&format!("{}?_replace=true", path(&before))).json(&json!({"name": "n"})).send().await;
    assert_eq!(
        norman_error(&without_config).message,
        "a Config field must be set: send azurecredentialConfig"
    );
}

#[tokio::test]
async fn secret_is_kept_or_rotated_by_updates() {
    let app = TestApp::with_advisory_review().await;
    let token = app.token("anna").await;
    let id = app.store_credential(&token).await;
    let credential_path = format!("/v3/cloudcredentials/{id}");
    let locations = format!("/meta/aksLocations?cloudCredentialId={id}");
    let list_status =
        async || app.get(&locations).token(&token).header("cache-control", "no-cache").send().await.status;
    assert_eq!(list_status().await, StatusCode::OK);
    for change in [
        json!({"name": "x"}),
        json!({"azurecredentialConfig": {"clientSecret": ""}}),
        json!({"azurecredentialConfig": {"clientSecret": null}}),
    ] {
        assert_eq!(app.put(&credential_path).token(&token).json(&change).send().await.status, StatusCode::OK);
        assert_eq!(list_status().await, StatusCode::OK, "{change}");
    }
    let wrong = json!({"azurecredentialConfig": {"clientSecret": CANARY}});
    let response = app.put(&credential_path).token(&token).json(&wrong).send().await;
    assert!(response.status == StatusCode::OK && !response.text().contains(CANARY));
    let rejected = app.get(&locations).token(&token).header("cache-control", "no-cache").send().await;
    assert_eq!(rejected.status, StatusCode::BAD_REQUEST, "{}", rejected.text());
    assert!(!rejected.text().contains(CANARY));
    let right = json!({"azurecredentialConfig": {"clientSecret": app.seed.client_secret_2}});
    assert_eq!(app.put(&credential_path).token(&token).json(&right).send().await.status, StatusCode::OK);
    assert_eq!(list_status().await, StatusCode::OK);
    assert_eq!(app.delete(&credential_path).token(&token).send().await.status, StatusCode::OK);
    assert_eq!(list_status().await, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn only_the_owner_and_administrators_see_a_credential() {
    let app = TestApp::with_advisory_review().await;
    let (anna, ben) = (app.token("anna").await, app.token("ben").await);
    let id = app.store_credential(&anna).await;
    let credential_path = format!("/v3/cloudcredentials/{id}");
    let change = json!({"name": "stolen"});
    for response in [
        app.get(&credential_path).token(&ben).send().await,
        app.put(&credential_path).token(&ben).json(&change).send().await,
        app.delete(&credential_path).token(&ben).send().await,
        app.post(&format!("{credential_path}?_method=DELETE")).token(&ben).send().await,
        app.get("/v3/cloudcredentials/cattle-global-data:cc-none").token(&ben).send().await,
    ] {
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{}", response.text());
        assert!(norman_error(&response).message.ends_with(" not found"));
    }
    assert_eq!(app.get("/v3/cloudcredentials").token(&ben).send().await.json()["data"], json!([]));
    let meta = format!("/meta/aksLocations?cloudCredentialId={id}");
    assert_eq!(app.get(&meta).token(&ben).send().await.status, StatusCode::UNPROCESSABLE_ENTITY);
    for token in [&anna, &app.admin] {
        assert_eq!(app.get(&credential_path).token(token).send().await.json()["name"], "azure");
        assert_eq!(
            app.get("/v3/cloudcredentials").token(token).send().await.json()["pagination"]["total"],
            1
        );
        assert_eq!(app.get(&meta).token(token).send().await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn invalid_ids_are_not_found() {
    let (app, id) = TestApp::builder().advisory_review().start_with_credential().await;
    let bare_id = id.split_once(':').unwrap().1;
    for id in [
        bare_id.to_owned(),
        format!("default:{bare_id}"),
        format!("{id}:x"),
        "a%2Fb".to_owned(),
        "%00".to_owned(),
        ":".to_owned(),
    ] {
        let response = app.get(&format!("/v3/cloudcredentials/{id}")).send().await;
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{id}");
    }
}

/// The body of an import that uses a credential.
fn import_body(name: &str, credential: &str) -> Value {
    json!({"name": name, "annotations": {"norman-aks.io/review": "advise"},
        "aksConfig": {"azureCredentialSecret": credential, "clusterName": name, "resourceGroup": "g",
        "resourceLocation": "eastus", "imported": true}})
}

/// Creates a cluster; returns its path.
async fn create_cluster(app: &TestApp, token: &str, body: &Value) -> String {
    let response = app.post("/v3/clusters").token(token).json(body).send().await.expect(201);
    format!("/v3/clusters/{}", response.id())
}

/// The audit records of successful actions of this kind on a credential, as user and detail, oldest first.
async fn audit_records(app: &TestApp, id: &str, action: &str) -> Vec<(String, String)> {
    let path = format!("/api/v1/audit?object={id}&action={action}");
    let list = app.get(&path).send().await.json();
    let field = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    let mut records: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["outcome"] == "done")
        .map(|record| (field(record, "userName"), field(record, "detail")))
        .collect();
    records.reverse();
    records
}

#[tokio::test]
async fn subscription_and_cloud_of_used_credential_are_fixed() {
    let (app, id) = TestApp::builder().advisory_review().start_with_credential().await;
    let credential_path = format!("/v3/cloudcredentials/{id}");
    create_cluster(&app, &app.admin, &import_body("prod", &id)).await;
    let message = "Cloud credential is currently referenced by provisioning cluster prod";
    for config in [json!({"subscriptionId": "other"}), json!({"environment": "AzureChinaCloud"})] {
        let rejected = app.put(&credential_path).json(&json!({"azurecredentialConfig": config})).send().await;
        assert!(norman_error(&rejected).message.starts_with(message), "{config}");
    }
    app.put(&credential_path)
        .json(&json!({"azurecredentialConfig": {"clientSecret": "new"}}))
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn deleted_credential_is_hidden_then_erased_after_last_use() {
    let (app, id) = TestApp::builder().start_with_credential().await;
    let credential_path = format!("/v3/cloudcredentials/{id}");
    let mut paths = Vec::new();
    for name in ["one", "two", "three"] {
        paths.push(create_cluster(&app, &app.admin, &import_body(name, &id)).await);
    }
    let ids: Vec<&str> = paths.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    // The clusters have the same timestamp, so their IDs determine the order.
    let mut clusters = [("one", ids[0]), ("two", ids[1]), ("three", ids[2])];
    clusters.sort_by_key(|(_, id)| *id);
    let listed = clusters.map(|(name, id)| format!("{name} ({id})")).join(", ");
    let deleted = app.delete(&credential_path).send().await;
    assert_eq!((deleted.status, deleted.json()["id"].as_str()), (StatusCode::OK, Some(id.as_str())));
    let warning = deleted.headers["warning"].to_str().unwrap();
    let expected = format!(
        "299 - \"cloud credential is deleted and kept for {listed}; its secret is erased when the last of them uses another \
         credential or is removed; DELETE with force=true erases it at once\""
    );
    assert_eq!(warning, expected);
    // Callers no longer see the credential, not even through a cluster.
    for response in [
        app.get(&credential_path).send().await,
        app.delete(&credential_path).send().await,
        app.put(&credential_path).json(&credential_body(&json!({"clientSecret": "new"}))).send().await,
    ] {
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{}", response.text());
    }
    assert_eq!(app.get("/v3/cloudcredentials").send().await.json()["data"], json!([]));
    for query in [String::new(), format!("&clusterId={}", ids[0])] {
        let path = format!("/meta/aksLocations?cloudCredentialId={id}{query}");
        let response = app.get(&path).send().await.expect(422);
        assert_eq!(response.json()["error"], "cloud credential not found");
    }
    let rejected = app.post("/v3/clusters").json(&import_body("four", &id)).send().await;
    assert_eq!(
        (rejected.status, norman_error(&rejected).message),
        (StatusCode::NOT_FOUND, NO_CREDENTIAL.to_owned())
    );
    // The clusters still use the credential, so a PUT that names it is accepted.
    let update = json!({"name": "one", "description": "new", "aksConfig": {"azureCredentialSecret": id}});
    let put = app.put(&paths[0]).json(&update).send().await;
    assert_eq!((put.status, put.json()["description"].as_str()), (StatusCode::OK, Some("new")));
    let pending = app.get("/api/v1/cloudcredentials/pending").send().await.json();
    let entry = &pending["cloudCredentials"][0];
    assert_eq!(
        (entry["id"].as_str(), entry["deleted"].as_str()),
        (Some(id.as_str()), Some("2026-11-22T12:00:00Z"))
    );
    assert_eq!(entry["clusters"], json!(clusters.map(|(name, id)| json!({"id": id, "name": name}))));
    // End the three uses of the credential: change one cluster, force-delete one, and delete the last one.
    let other_id = app.store_credential(&app.admin).await;
    let moved = json!({"name": "one", "aksConfig": {"azureCredentialSecret": other_id}});
    app.put(&paths[0]).json(&moved).send().await.expect(200);
    let back = json!({"name": "one", "aksConfig": {"azureCredentialSecret": id}});
    app.put(&paths[0]).json(&back).send().await.expect(404);
    app.delete(&format!("{}?force=true", paths[1])).send().await;
    let pending = app.get("/api/v1/cloudcredentials/pending").send().await.json();
    assert_eq!(pending["cloudCredentials"][0]["clusters"], json!([{"id": ids[2], "name": "three"}]));
    assert!(audit_records(&app, &id, "erase").await.is_empty());
    app.delete(&paths[2]).send().await;
    app.settle().await;
    let pending = app.get("/api/v1/cloudcredentials/pending").send().await.json();
    assert_eq!(pending, json!({"cloudCredentials": []}));
    let detail = format!("pending: its secret is kept for {listed}");
    assert_eq!(audit_records(&app, &id, "delete").await, [("admin".to_owned(), detail)]);
    let detail = format!("the cluster {} was the last that used it", ids[2]);
    assert_eq!(audit_records(&app, &id, "erase").await, [("server".to_owned(), detail)]);
}

#[tokio::test]
async fn put_that_ends_last_use_erases_deleted_credential() {
    let app = TestApp::start().await;
    let (old, new) = (app.store_credential(&app.admin).await, app.store_credential(&app.admin).await);
    let path = create_cluster(&app, &app.admin, &import_body("one", &old)).await;
    app.settle().await;
    app.delete(&format!("/v3/cloudcredentials/{old}")).send().await;
    // The worker continues to use the deleted credential.
    app.settle().await;
    let body = json!({"name": "one", "aksConfig": {"azureCredentialSecret": new}});
    app.put(&path).json(&body).send().await.expect(200);
    let erased = audit_records(&app, &old, "erase").await;
    assert_eq!(erased.len(), 1);
    assert_eq!(erased[0].0, "admin");
    assert_eq!(
        app.delete(&format!("/v3/cloudcredentials/{old}?force=true")).send().await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn forced_deletion_erases_at_once() {
    let (app, id) = TestApp::builder().start_with_credential().await;
    let credential_path = format!("/v3/cloudcredentials/{id}");
    let path = create_cluster(&app, &app.admin, &import_body("one", &id)).await;
    let wrong = app.delete(&format!("{credential_path}?force=1")).send().await;
    assert_eq!(norman_error(&wrong).field, "force");
    let pending = app.delete(&format!("{credential_path}?force=false")).send().await;
    assert!(pending.headers.contains_key("warning"));
    let erased = app.delete(&format!("{credential_path}?force=true")).send().await;
    assert_eq!((erased.status, erased.headers.get("warning")), (StatusCode::OK, None));
    assert_eq!(erased.json()["id"], id.as_str());
    assert_eq!(
        app.get("/api/v1/cloudcredentials/pending").send().await.json(),
        json!({"cloudCredentials": []})
    );
    let cluster_id = path.rsplit('/').next().unwrap();
    let detail = format!("removed from one ({cluster_id})");
    assert_eq!(audit_records(&app, &id, "erase").await, [("admin".to_owned(), detail)]);
    // The cluster's message asks for another credential; the erased one is rejected, and a new one is accepted.
    app.settle().await;
    let message = app.get(&path).send().await.json()["transitioningMessage"].as_str().unwrap().to_owned();
    assert!(message.contains("set aksConfig.azureCredentialSecret"), "{message}");
    let erased = json!({"name": "one", "aksConfig": {"azureCredentialSecret": id}});
    app.put(&path).json(&erased).send().await.expect(404);
    let other_id = app.store_credential(&app.admin).await;
    let change = json!({"name": "one", "aksConfig": {"azureCredentialSecret": other_id}});
    app.put(&path).json(&change).send().await.expect(200);
    // An unused credential is deleted immediately.
    let unused = app.store_credential(&app.admin).await;
    let deleted = app.delete(&format!("/v3/cloudcredentials/{unused}")).send().await;
    assert_eq!((deleted.status, deleted.headers.get("warning")), (StatusCode::OK, None));
}

#[tokio::test]
async fn deletion_warning_names_only_visible_clusters() {
    let app = TestApp::start().await;
    let ann = app.token("ann").await;
    let id = app.store_credential(&ann).await;
    let credential_path = format!("/v3/cloudcredentials/{id}");
    create_cluster(&app, &ann, &import_body("hers", &id)).await;
    // A cluster of an administrator.
    create_cluster(&app, &app.admin, &import_body("secret-name", &id)).await;
    let deleted = app.delete(&credential_path).token(&ann).send().await;
    let warning = deleted.headers["warning"].to_str().unwrap();
    assert!(warning.contains("kept for hers (c-") && warning.contains("), 1 more cluster; "), "{warning}");
    assert!(!warning.contains("secret-name"), "{warning}");
    app.get("/api/v1/cloudcredentials/pending").token(&ann).send().await.expect(403);
    let ben = app.token("ben").await;
    app.delete(&format!("{credential_path}?force=true")).token(&ben).send().await.expect(404);
    app.delete(&format!("{credential_path}?force=true")).token(&ann).send().await.expect(200);
}

#[tokio::test]
async fn concurrent_updates_are_merged() {
    let app = TestApp::with_advisory_review().await;
    let credential =
        create_credential(&app, &credential_body(&json!({"clientId": "c", "subscriptionId": "s"}))).await;
    let credential_path = path(&credential);
    let changes = [
        json!({"name": "new"}),
        json!({"description": "new"}),
        json!({"azurecredentialConfig": {"clientId": "new"}}),
        json!({"azurecredentialConfig": {"tenantId": "new"}}),
    ];
    let responses = futures_util::future::join_all(
        changes.iter().map(|change| app.put(&credential_path).json(change).send()),
    )
    .await;
    for response in responses {
        assert_eq!(response.status, StatusCode::OK, "{}", response.text());
    }
    let after = app.get(&credential_path).send().await.json();
    assert_eq!((&after["name"], &after["description"]), (&json!("new"), &json!("new")));
    assert_eq!(
        after["azurecredentialConfig"],
        json!({"clientId": "new", "subscriptionId": "s", "tenantId": "new"})
    );
}

#[tokio::test]
async fn post_with_method_parameter_updates_and_deletes() {
    let app = TestApp::with_advisory_review().await;
    let credential = create_credential(&app, &credential_body(&json!({"clientId": "c"}))).await;
    let credential_path = path(&credential);
    let changed =
        app.post(&format!("{credential_path}?_method=PUT")).json(&json!({"name": "n"})).send().await;
    assert_eq!((changed.status, &changed.json()["name"]), (StatusCode::OK, &json!("n")));
    let action = app.post(&format!("{credential_path}?action=shake")).send().await;
    assert_eq!(
        (action.status, norman_error(&action).code.as_str()),
        (StatusCode::NOT_FOUND, "ActionNotAvailable")
    );
    assert_eq!(norman_error(&action).message, "type cloudCredential has no actions");
    assert_eq!(app.post(&credential_path).send().await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(app.post(&format!("{credential_path}?_method=DELETE")).send().await.status, StatusCode::OK);
    assert_eq!(app.get(&credential_path).send().await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn secret_is_not_in_responses_and_files() {
    let app = TestApp::with_advisory_review().await;
    let body = credential_body(
        &json!({"clientId": "c", "clientSecret": CANARY, "subscriptionId": "s", "tenantId": "t"}),
    );
    let credential = create_credential(&app, &body).await;
    let credential_path = path(&credential);
    let misplaced = json!({"azurecredentialConfig": {"clientId": {"x": CANARY}}, "labels": CANARY});
    for response in [
        app.get(&credential_path).send().await,
        app.get("/v3/cloudcredentials").send().await,
        app.put(&credential_path).json(&body).send().await,
        app.put(&credential_path).json(&misplaced).send().await,
        app.put(&credential_path).body(format!("{{\"name\": {CANARY}")).send().await,
        app.get(&format!("/meta/aksLocations?cloudCredentialId={}", credential["id"].as_str().unwrap()))
            .send()
            .await,
        app.get("/v3/cloudcredentials?clientSecret=x").send().await,
    ] {
        assert!(!response.text().contains(CANARY), "{}", response.text());
    }
    let mut checked_files = 0;
    for entry in std::fs::read_dir(app.data_dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(
                !bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()),
                "{}",
                path.display()
            );
            checked_files += 1;
        }
    }
    assert!(checked_files >= 2, "a database and a key at least");
}
