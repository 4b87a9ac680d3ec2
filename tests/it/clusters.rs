//! Cluster objects over `/v3/clusters`.

use http::StatusCode;
use norman_aks::store::{Store, sqlite_url};
use serde_json::{Value, json};

use crate::norman::{NO_CREDENTIAL, NormanError, norman_error};
use crate::support::app::TestApp;

/// A body as the Terraform provider sends it.
fn terraform_body(credential_id: &str) -> Value {
    json!({
        "links": null, "actions": null, "name": "one", "driver": "AKS", "description": "words",
        "enableNetworkPolicy": false, "labels": {"team": "a"}, "agentEnvVars": null,
        "aksConfig": {
            "azureCredentialSecret": credential_id, "clusterName": "One", "resourceGroup": "Group", "resourceLocation": "eastus",
            "dnsPrefix": "one", "kubernetesVersion": "1.32.7", "networkPlugin": "azure", "outboundType": "loadBalancer",
            "httpApplicationRouting": false, "monitoring": false, "privateCluster": false,
            "authorizedIpRanges": ["10.0.0.0/8"], "tags": {"b": "2", "a": "1"},
            "nodePools": [
                {"name": "zeta", "count": 1, "maxPods": 110, "mode": "System", "availabilityZones": [], "orchestratorVersion": "",
                    "osDiskSizeGB": 128, "osDiskType": "Managed", "osType": "Linux", "enableAutoScaling": false, "vmSize": "Standard_DS2_v2"},
                {"name": "alpha", "count": 2, "maxSurge": "33%", "nodeLabels": {"x": "y"}, "nodeTaints": ["a=b:NoSchedule"], "maxPods": 60,
                    "mode": "User", "osDiskSizeGB": 64, "osDiskType": "Managed", "osType": "Linux", "vmSize": "Standard_D2s_v3"},
            ],
        },
    })
}

/// The error for another object with the AKS cluster of [`terraform_body`].
const TAKEN: &str = "cluster already exists for AKS cluster [One] in region [eastus]: change the existing cluster object, or \
                     use another clusterName";

fn path(cluster: &Value) -> String {
    format!("/v3/clusters/{}", cluster["id"].as_str().unwrap())
}

async fn create(app: &TestApp, body: &Value) -> Value {
    app.post("/v3/clusters").json(body).send().await.expect(201).json()
}

/// `aksConfig` of a response without the names of types, which only responses contain.
fn config(cluster: &Value) -> Value {
    let mut config = cluster["aksConfig"].clone();
    assert_eq!(config.as_object_mut().unwrap().remove("type").unwrap(), "/v3/schemas/aksClusterConfigSpec");
    for pool in config.get_mut("nodePools").and_then(Value::as_array_mut).into_iter().flatten() {
        assert_eq!(pool.as_object_mut().unwrap().remove("type").unwrap(), "/v3/schemas/aksNodePool");
    }
    config
}

#[tokio::test]
async fn created_cluster_round_trips() {
    let app = TestApp::with_advisory_review().await;
    let body = terraform_body(&app.store_credential(&app.admin).await);
    let cluster = create(&app, &body).await;
    assert_eq!(config(&cluster), body["aksConfig"]);
    let id = cluster["id"].as_str().unwrap();
    let url = format!("http://norman.test/v3/clusters/{id}");
    assert!(id.len() == 7 && id.starts_with("c-"), "{id}");
    let mut without_config = cluster.clone();
    without_config.as_object_mut().unwrap().remove("aksConfig");
    let review = without_config["aksStatus"].as_object_mut().unwrap().remove("review").unwrap();
    assert!(
        review["findings"].as_array().unwrap().iter().all(|finding| finding["severity"] != "error"),
        "{review}"
    );
    assert_eq!(
        without_config,
        json!({
            "actions": {"generateKubeconfig": format!("{url}?action=generateKubeconfig")},
            "aksStatus": {"type": "/v3/schemas/aksStatus"},
            "annotations": {},
            "baseType": "cluster",
            "conditions": [],
            "created": "2026-11-22T12:00:00Z",
            "createdTS": 1_795_348_800_000_i64,
            "creatorId": cluster["creatorId"],
            "description": "words",
            "dockerRootDir": "/var/lib/docker",
            "driver": "AKS",
            "enableNetworkPolicy": false,
            "id": id,
            "internal": false,
            "labels": {"cattle.io/creator": "norman", "team": "a"},
            "links": {
                "clusterRegistrationTokens": format!("{url}/clusterregistrationtokens"),
                "clusterRoleTemplateBindings": format!("{url}/clusterroletemplatebindings"),
                "nodes": format!("{url}/nodes"),
                "projects": format!("{url}/projects"),
                "remove": url,
                "self": url,
                "update": url,
            },
            "name": "one",
            "state": "provisioning",
            "transitioning": "yes",
            "transitioningMessage": "",
            "type": "cluster",
            "uuid": cluster["uuid"],
        })
    );
    assert_eq!(app.get(&path(&cluster)).send().await.json(), cluster);
    let list = app.get("/v3/clusters?name=one").send().await.json();
    assert_eq!(list["data"], json!([cluster]));
}

#[tokio::test]
async fn form_fields_are_dropped_and_values_converted() {
    let (app, id) = TestApp::builder().advisory_review().start_with_credential().await;
    let body = json!({
        "name": "one", "enableClusterMonitoring": false, "windowsPreferedCluster": false,
        "importedConfig": {"privateRegistryURL": null},
        "aksConfig": {
            "clusterName": "one", "resourceGroup": "g", "resourceLocation": "eastus", "imported": "true", "subnet": null,
            "azureCredentialSecret": id,
            "nodePools": [{"name": "agentpool", "count": "3", "maxPods": 110.0, "maxSurge": 1, "osDiskSizeGB": 128.7,
                "_id": {}, "_isNewOrUnprovisioned": true, "_validation": {"x": false}, "type": "x"}],
        },
    });
    let cluster = create(&app, &body).await;
    assert_eq!(
        config(&cluster),
        json!({"clusterName": "one", "resourceGroup": "g", "resourceLocation": "eastus", "imported": true,
            "azureCredentialSecret": id, "nodePools": [{"name": "agentpool", "count": 3, "maxPods": 110, "maxSurge": "1", "osDiskSizeGB": 128}]})
    );
    for key in ["enableClusterMonitoring", "networkPolicy"] {
        assert!(cluster.get(key).is_none(), "{key}");
    }
    assert_eq!(cluster["windowsPreferedCluster"], false);
    let text = app.get(&path(&cluster)).send().await.text();
    assert!(text.contains(r#""count":3,"#) && !text.contains("null"), "{text}");
}

#[tokio::test]
async fn import_requires_only_name_group_region() {
    let (app, id) = TestApp::builder().advisory_review().start_with_credential().await;
    let imported = json!({"clusterName": "c", "imported": true, "resourceGroup": "g", "resourceLocation": "eastus", "azureCredentialSecret": id});
    let cluster = create(&app, &json!({"name": "in", "aksConfig": imported})).await;
    assert_eq!((config(&cluster), &cluster["state"]), (imported.clone(), &json!("provisioning")));
    let again = app
        .put(&path(&cluster))
        .json(&json!({"name": "in", "description": "d", "aksConfig": imported}))
        .send()
        .await;
    assert_eq!((again.status, &again.json()["description"]), (StatusCode::OK, &json!("d")));
}

/// A cluster other than that of [`terraform_body`], with a change.
fn second_cluster_body(id: &str, change: fn(&mut Value)) -> Value {
    let mut body = terraform_body(id);
    body["name"] = json!("two");
    body["aksConfig"]["clusterName"] = json!("Two");
    change(&mut body);
    body
}

/// Posts a body, and expects an error with this status, code, field and message.
async fn assert_post_rejected(app: &TestApp, body: &Value, expected: (u16, &str, &str, &str)) {
    let response = app.post("/v3/clusters").json(body).send().await;
    let NormanError { code, field, message } = norman_error(&response);
    assert_eq!(
        (response.status.as_u16(), code.as_str(), field.as_str(), message.as_str()),
        expected,
        "{body}"
    );
}

#[tokio::test]
async fn create_validation_matches_rancher() {
    let (app, id) = TestApp::builder().advisory_review().start_with_credential().await;
    create(&app, &terraform_body(&id)).await;
    let body = |change: fn(&mut Value)| second_cluster_body(&id, change);
    let policy = "Network Policy support must be enabled on AKS cluster in order to enable Project Network Isolation: set \
                  networkPolicy to azure or calico when the cluster is created, or leave enableNetworkPolicy off";
    let invalid_body = "InvalidBodyContent";
    for (body, expected) in [
        (
            body(|b| b["aksConfig"]["nodePools"][0]["count"] = json!("many")),
            (422, "InvalidFormat", "count", "count must be a whole number, but it is a string"),
        ),
        (
            body(|b| drop(b.as_object_mut().unwrap().remove("name"))),
            (422, "MissingRequired", "name", "set name; it is required"),
        ),
        (
            body(|b| b["aksConfig"] = json!(null)),
            (422, "MissingRequired", "aksConfig", "aksConfig must be set: only AKS clusters are supported"),
        ),
        (
            body(|b| b["aksConfig"]["azureCredentialSecret"] = json!("cattle-global-data:cc-none")),
            (404, "NotFound", "aksConfig.azureCredentialSecret", NO_CREDENTIAL),
        ),
        (
            body(|b| {
                b["enableNetworkPolicy"] = json!(true);
                b["aksConfig"]["networkPolicy"] = json!("none");
            }),
            (422, invalid_body, "aksConfig.networkPolicy", policy),
        ),
        (
            body(|b| b["aksConfig"]["kubernetesVersion"] = json!("")),
            (
                422,
                invalid_body,
                "aksConfig.kubernetesVersion",
                "cluster kubernetes version cannot be empty string: set it to a version that aksVersions lists",
            ),
        ),
        (
            body(|b| b["aksConfig"]["nodePools"] = json!([])),
            (
                422,
                invalid_body,
                "aksConfig.nodePools",
                "must have at least one nodepool: add at least one pool with mode System",
            ),
        ),
        (
            body(|b| b["aksConfig"]["nodePools"][1]["name"] = json!(" ")),
            (
                422,
                invalid_body,
                "aksConfig.nodePools[1].name",
                "nodePool Name cannot be an empty string: give the pool a name",
            ),
        ),
        (
            body(|b| b["aksConfig"]["nodePools"][1]["osType"] = json!("Windows")),
            (
                422,
                invalid_body,
                "aksConfig.nodePools[1].osType",
                "windows node pools are not supported: set osType to Linux; Windows pools that already exist in Azure are not changed",
            ),
        ),
    ] {
        assert_post_rejected(&app, &body, expected).await;
    }
    assert_eq!(app.get("/v3/clusters").send().await.json()["pagination"]["total"], 1);
    create(&app, &body(|_| ())).await;
}

#[tokio::test]
async fn create_needs_region_and_free_names() {
    let (app, id) = TestApp::builder().start_with_credential().await;
    create(&app, &terraform_body(&id)).await;
    let body = |change: fn(&mut Value)| second_cluster_body(&id, change);
    let taken = "cluster already exists for AKS cluster [oNE] in region [eastus]: change the existing cluster object, \
                 or use another clusterName";
    let name_taken = "a cluster with this name already exists; choose another name";
    let invalid_body = "InvalidBodyContent";
    for (body, expected) in [
        (
            body(|b| {
                b["aksConfig"]["clusterName"] = json!("oNE");
                b["aksConfig"]["resourceGroup"] = json!("gROUP");
                b["name"] = json!("");
            }),
            (422, invalid_body, "aksConfig.clusterName", taken),
        ),
        (
            body(|b| {
                b["aksConfig"]["resourceLocation"] = json!("");
                b["name"] = json!("");
            }),
            (
                422,
                invalid_body,
                "aksConfig.resourceLocation",
                "must provide region: set resourceLocation to the name of a region, for example eastus",
            ),
        ),
        (
            body(|b| b["name"] = json!("")),
            (422, "MissingRequired", "Cluster name", "set name; a cluster requires one"),
        ),
        (body(|b| b["name"] = json!("ONE")), (422, "NotUnique", "Cluster name", name_taken)),
    ] {
        assert_post_rejected(&app, &body, expected).await;
    }
}

#[tokio::test]
async fn cluster_names_are_unique_per_group_and_subscription() {
    let app = TestApp::with_advisory_review().await;
    let mut body = terraform_body(&app.store_credential(&app.admin).await);
    create(&app, &body).await;
    body["name"] = json!("two");
    body["aksConfig"]["resourceGroup"] = json!("other");
    create(&app, &body).await;
    let credential = json!({"azurecredentialConfig": {"subscriptionId": "other"}});
    let credential = app.post("/v3/cloudcredentials").json(&credential).send().await.json();
    let mut body = terraform_body(credential["id"].as_str().unwrap());
    body["name"] = json!("three");
    let three = create(&app, &body).await;
    let original_subscription = json!({"name": "three", "aksConfig": {"azureCredentialSecret": terraform_body(&app.store_credential(&app.admin).await)["aksConfig"]["azureCredentialSecret"]}});
    let response = app.put(&path(&three)).json(&original_subscription).send().await;
    assert_eq!(norman_error(&response).message, TAKEN);
}

#[tokio::test]
async fn put_merges_and_full_config_removes_missing_fields() {
    let app = TestApp::with_advisory_review().await;
    let mut body = terraform_body(&app.store_credential(&app.admin).await);
    body["aksConfig"]["managedIdentity"] = json!(true);
    let cluster = create(&app, &body).await;
    let mut pool = body["aksConfig"]["nodePools"][1].clone();
    pool["mode"] = json!("System");
    let dashboard =
        json!({"name": "one", "aksConfig": {"tags": {"c": "3"}, "monitoring": null, "nodePools": [pool]}});
    let response = app.put(&path(&cluster)).json(&dashboard).send().await.expect(200);
    let mut expected = body["aksConfig"].clone();
    expected["tags"] = json!({"c": "3"});
    expected["nodePools"] = dashboard["aksConfig"]["nodePools"].clone();
    expected.as_object_mut().unwrap().remove("monitoring");
    assert_eq!(config(&response.json()), expected);
    assert_eq!(response.json()["labels"], cluster["labels"]);

    let mut update = terraform_body(body["aksConfig"]["azureCredentialSecret"].as_str().unwrap());
    for key in ["authorizedIpRanges", "tags", "nodePools"] {
        update["aksConfig"].as_object_mut().unwrap().remove(key);
    }
    update["description"] = json!("");
    update["labels"] = json!({});
    let after = app.put(&path(&cluster)).json(&update).send().await.json();
    expected.as_object_mut().unwrap().remove("authorizedIpRanges");
    expected["monitoring"] = json!(false);
    assert_eq!(config(&after), expected);
    assert_eq!(after["labels"], json!({"cattle.io/creator": "norman"}));
    assert!(after.get("description").is_none());
    assert_eq!(app.get(&path(&cluster)).send().await.json(), after);

    let mut config = body["aksConfig"].clone();
    for key in
        ["clusterName", "resourceGroup", "resourceLocation", "tags", "managedIdentity", "authorizedIpRanges"]
    {
        config.as_object_mut().unwrap().remove(key);
    }
    config["nodeResourceGroup"] = json!("machines");
    let replaced = app
        .put(&format!("{}?_replace=true", path(&cluster)))
        .json(&json!({"name": "one", "aksConfig": config}))
        .send()
        .await;
    assert_eq!(replaced.status, StatusCode::OK, "{}", replaced.text());
    for key in ["clusterName", "resourceGroup", "resourceLocation"] {
        config[key] = body["aksConfig"][key].clone();
    }
    assert_eq!(self::config(&replaced.json()), config);
}

#[tokio::test]
async fn update_validation_matches_rancher() {
    let app = TestApp::with_advisory_review().await;
    let body = terraform_body(&app.store_credential(&app.admin).await);
    let cluster = create(&app, &body).await;
    let mut other = body.clone();
    (other["name"], other["aksConfig"]["clusterName"]) = (json!("other"), json!("Other"));
    create(&app, &other).await;
    let immutable_name =
        "aksConfig.clusterName is \"One\" and cannot be changed: create another cluster instead";
    let name_taken = "a cluster with this name already exists; choose another name";
    let invalid_body = "InvalidBodyContent";
    for (change, expected) in [
        (
            json!({"name": "one", "aksConfig": null}),
            (422, "MissingRequired", "aksConfig", "aksConfig must be set: only AKS clusters are supported"),
        ),
        (
            json!({"name": "one", "aksConfig": {"azureCredentialSecret": "x"}}),
            (404, "NotFound", "aksConfig.azureCredentialSecret", NO_CREDENTIAL),
        ),
        (
            json!({"name": "one", "aksConfig": {"kubernetesVersion": ""}}),
            (
                422,
                invalid_body,
                "aksConfig.kubernetesVersion",
                "cluster kubernetes version cannot be empty string: set it to a version that aksVersions lists",
            ),
        ),
        (
            json!({"name": "one", "aksConfig": {"nodePools": []}}),
            (
                422,
                invalid_body,
                "aksConfig.nodePools",
                "must have at least one nodepool: add at least one pool with mode System",
            ),
        ),
        (
            json!({"name": "one", "aksConfig": {"nodePools": [body["aksConfig"]["nodePools"][0], {"name": ""}]}}),
            (
                422,
                invalid_body,
                "aksConfig.nodePools[1].name",
                "nodePool Name cannot be an empty string: give the pool a name",
            ),
        ),
        (
            json!({"aksConfig": {"clusterName": "two"}}),
            (422, invalid_body, "aksConfig.clusterName", immutable_name),
        ),
        (json!({}), (422, "MissingRequired", "Cluster name", "set name; PUT requires it, too")),
        (json!({"name": null}), (422, "MissingRequired", "Cluster name", "set name; PUT requires it, too")),
        (json!({"name": "OTHER"}), (422, "NotUnique", "Cluster name", name_taken)),
    ] {
        let response = app.put(&path(&cluster)).json(&change).send().await;
        let NormanError { code, field, message } = norman_error(&response);
        assert_eq!(
            (response.status.as_u16(), code.as_str(), field.as_str(), message.as_str()),
            expected,
            "{change}"
        );
    }
    assert_eq!(app.get(&path(&cluster)).send().await.json(), cluster, "nothing was changed");
    let renamed = app
        .put(&path(&cluster))
        .json(&json!({"name": "ONE", "aksConfig": {"clusterName": "one", "resourceGroup": ""}}))
        .send()
        .await
        .json();
    assert_eq!(
        (&renamed["name"], &renamed["aksConfig"]["clusterName"], &renamed["aksConfig"]["resourceGroup"]),
        (&json!("ONE"), &json!("one"), &json!("Group"))
    );
}

#[tokio::test]
async fn only_the_owner_and_administrators_see_a_cluster() {
    let app = TestApp::with_advisory_review().await;
    let (anna, ben) = (app.token("anna").await, app.token("ben").await);
    let body = terraform_body(&app.store_credential(&anna).await);
    let cluster = app.post("/v3/clusters").token(&anna).json(&body).send().await.json();
    let cluster_path = path(&cluster);
    for response in [
        app.get(&cluster_path).token(&ben).send().await,
        app.put(&cluster_path).token(&ben).json(&json!({"name": "x"})).send().await,
        app.delete(&cluster_path).token(&ben).send().await,
        app.post(&format!("{cluster_path}?action=generateKubeconfig")).token(&ben).send().await,
        app.get("/v3/clusters/c-none").token(&ben).send().await,
    ] {
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{}", response.text());
    }
    assert_eq!(app.get("/v3/clusters").token(&ben).send().await.json()["data"], json!([]));
    let with_foreign_credential = app.post("/v3/clusters").token(&ben).json(&body).send().await;
    assert_eq!(
        (with_foreign_credential.status, norman_error(&with_foreign_credential).message.as_str()),
        (StatusCode::NOT_FOUND, NO_CREDENTIAL)
    );
    // Ben may use the object's name, because Anna's object is invisible to Ben; but the AKS cluster is taken.
    let ben_body = terraform_body(&app.store_credential(&ben).await);
    let rejected = app.post("/v3/clusters").token(&ben).json(&ben_body).send().await;
    assert_eq!(norman_error(&rejected).message, TAKEN);
    for token in [&anna, &app.admin] {
        assert_eq!(app.get(&cluster_path).token(token).send().await.json(), cluster);
    }
    // An administrator may change a cluster with another user's credential without owning the credential.
    let changed =
        app.put(&cluster_path).json(&json!({"name": "one", "description": "by admin"})).send().await;
    assert_eq!((changed.status, &changed.json()["creatorId"]), (StatusCode::OK, &cluster["creatorId"]));
}

#[tokio::test]
async fn removed_cluster_no_longer_exists() {
    let app = TestApp::with_advisory_review().await;
    let body = terraform_body(&app.store_credential(&app.admin).await);
    let cluster = create(&app, &body).await;
    let removed = app.delete(&path(&cluster)).send().await;
    assert_eq!(
        (removed.status, &removed.json()["state"], &removed.json()["id"]),
        (StatusCode::OK, &json!("removing"), &cluster["id"])
    );
    let again = app.delete(&path(&cluster)).send().await;
    assert_eq!((again.status, &again.json()["state"]), (StatusCode::OK, &json!("removing")));
    app.settle().await;
    for response in [app.get(&path(&cluster)).send().await, app.delete(&path(&cluster)).send().await] {
        assert_eq!(response.status, StatusCode::NOT_FOUND);
    }
    create(&app, &body).await;
}

#[tokio::test]
async fn listed_actions_work_and_unknown_ones_return_404() {
    let app = TestApp::with_advisory_review().await;
    let cluster = create(&app, &terraform_body(&app.store_credential(&app.admin).await)).await;
    let action = cluster["actions"]["generateKubeconfig"]
        .as_str()
        .unwrap()
        .strip_prefix("http://norman.test")
        .unwrap();
    let response = app.post(action).send().await;
    assert_eq!(
        (response.status, &response.json()["config"]),
        (StatusCode::OK, &json!("")),
        "{}",
        response.text()
    );
    assert!(response.json()["message"].as_str().unwrap().contains("server-url"), "{}", response.text());
    let unknown = app.post(&format!("{}?action=shake", path(&cluster))).send().await;
    assert_eq!(
        (unknown.status, norman_error(&unknown).code.as_str()),
        (StatusCode::NOT_FOUND, "ActionNotAvailable")
    );
    assert_eq!(
        norman_error(&unknown).message,
        "type cluster has no action \"shake\"; use generateKubeconfig"
    );
    let without_action = app.post(&path(&cluster)).send().await;
    assert_eq!(norman_error(&without_action).message, "Method POST not supported");
}

#[tokio::test]
async fn only_one_of_concurrent_creates_succeeds() {
    let (app, id) = TestApp::builder().advisory_review().start_with_credential().await;
    let bodies: Vec<Value> = (0..8)
        .map(|number| {
            let mut body = terraform_body(&id);
            body["name"] = json!(format!("n{number}"));
            body
        })
        .collect();
    let responses =
        futures_util::future::join_all(bodies.iter().map(|body| app.post("/v3/clusters").json(body).send()))
            .await;
    let mut statuses: Vec<_> = responses.iter().map(|response| response.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422, 422, 422, 422, 422, 422, 422]);
}

#[tokio::test]
async fn writes_are_audited_reads_are_not() {
    let app = TestApp::with_advisory_review().await;
    let cluster = create(&app, &terraform_body(&app.store_credential(&app.admin).await)).await;
    let cluster_path = path(&cluster);
    app.get(&cluster_path).send().await;
    app.put(&cluster_path).header("x-request-id", "request-17").json(&json!({"name": "one"})).send().await;
    app.put(&cluster_path).json(&json!({})).send().await;
    app.delete(&cluster_path).send().await;
    app.delete(&cluster_path).send().await;
    let database = database_file(&app);
    app.server.stop().await;
    let store = Store::connect(&sqlite_url(&database), &norman_aks::store::Options::default()).await.unwrap();
    let filter =
        norman_aks::store::audit::Filter { object_type: Some("cluster".to_owned()), ..Default::default() };
    let mut rows = norman_aks::store::audit::list(&store, 100, &filter).await.unwrap();
    rows.reverse();
    let records: Vec<_> = rows.iter().map(|row| (row.action.as_str(), row.outcome.as_str())).collect();
    assert_eq!(
        records,
        [
            ("create", "done"),
            ("update", "done"),
            ("update", "refused"),
            ("delete", "done"),
            ("delete", "done")
        ]
    );
    assert!(
        rows.iter().all(|row| row.object_id == cluster["id"]
            && row.user_name == "admin"
            && row.remote == "127.0.0.1")
    );
    assert_eq!(rows[1].request_id, "request-17");
}

fn database_file(app: &TestApp) -> std::path::PathBuf {
    let files = std::fs::read_dir(app.data_dir.path()).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|end| end == "db")).expect("a database file")
}
