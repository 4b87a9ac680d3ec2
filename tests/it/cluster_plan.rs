//! `GET /api/v1/clusters/<id>/plan`: previews the next step of the worker, with its reason, for callers with and without access
//! to the credential. The request changes nothing.

use std::time::Duration;

use http::StatusCode;
use norman_aks::store::audit::Filter;
use norman_aks::store::{self, ClusterRow, Store, clusters, sqlite_url};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::norman::norman_error;
use crate::support::app::TestApp;
use crate::support::audit_row;
use crate::support::test_clusters;

/// A second connection to the app's database, which stays open when the server stops.
async fn open_database(app: &TestApp) -> Store {
    let file = sqlite_url(&app.data_dir.path().join("norman-aks.db"));
    Store::connect(&file, &store::Options::default()).await.unwrap()
}

async fn row(app: &TestApp, id: &str) -> ClusterRow {
    clusters::get(&app.server.store, id).await.unwrap().unwrap()
}

/// The plan as returned to a caller; checks that the request changes nothing here or in Azure.
async fn plan_for(app: &TestApp, token: &str, id: &str) -> Value {
    let (before, writes) = (row(app, id).await, app.control.writes().len());
    let response = app.get(&format!("/api/v1/clusters/{id}/plan")).token(token).send().await.expect(200);
    assert_eq!(row(app, id).await, before);
    assert_eq!(app.control.writes().len(), writes, "{:?}", app.control.writes().last());
    let plan = response.json();
    assert_eq!(plan["clusterId"], id);
    for field in ["summary", "reason"] {
        assert!(!plan[field].as_str().unwrap().is_empty(), "{plan}");
    }
    plan
}

async fn plan(app: &TestApp, id: &str) -> Value {
    plan_for(app, &app.admin, id).await
}

fn step(plan: &Value) -> &str {
    plan["step"].as_str().unwrap()
}

/// Runs the worker once for all due clusters.
async fn run_worker_once(app: &TestApp) {
    app.server.worker.run_due(&CancellationToken::new()).await.unwrap();
}

/// Runs the worker until it writes to Azure; returns the writes as `METHOD <last path segment>`, or nothing after 30 runs.
async fn run_until_write(app: &TestApp) -> Vec<String> {
    let before = app.control.writes().len();
    let mut writes = Vec::new();
    for _ in 0..30 {
        run_worker_once(app).await;
        writes = app.control.writes().split_off(before);
        if !writes.is_empty() {
            break;
        }
        app.clock.advance(Duration::from_secs(2));
    }
    let last_segment = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    writes.iter().map(|write| format!("{} {}", write.method, last_segment(&write.path))).collect()
}

/// Runs the worker until the plan's step is no longer `current`; returns the new plan.
async fn run_until_step_changes(app: &TestApp, id: &str, current: &str) -> Value {
    for _ in 0..300 {
        app.clock.advance(Duration::from_secs(1));
        let plan = plan(app, id).await;
        if step(&plan) != current {
            return plan;
        }
        run_worker_once(app).await;
    }
    panic!("the plan does not change from {current}");
}

async fn plan_after_waiting(app: &TestApp, id: &str) -> Value {
    let preview = plan(app, id).await;
    if step(&preview) == "wait" { run_until_step_changes(app, id, "wait").await } else { preview }
}

/// The parts of an Entra error before and after its trace ID, correlation ID and timestamp.
fn without_trace_ids(message: &str) -> (&str, &str) {
    let (start, rest) = message.split_once("Trace ID").unwrap();
    (start, rest.rsplit_once('}').unwrap().1)
}

async fn change(app: &TestApp, id: &str, config: Value) {
    let name = app.get(&format!("/v3/clusters/{id}")).send().await.json()["name"].clone();
    let body = json!({"name": name, "aksConfig": config});
    app.put(&format!("/v3/clusters/{id}")).json(&body).send().await.expect(200);
}

#[tokio::test]
async fn plan_matches_the_steps_of_the_worker() {
    let (app, credential) = TestApp::builder().start_with_credential().await;
    let mut body = test_clusters::body("shop", &credential);
    body["aksConfig"]["monitoring"] = json!(true);
    let id = test_clusters::create(&app, &app.admin, &body).await;

    let preview = plan(&app, &id).await;
    assert_eq!(
        (step(&preview), &preview["state"], &preview["phase"]),
        ("createResourceGroup", &json!("provisioning"), &json!("new"))
    );
    assert_eq!(preview["azure"], json!({"outcome": "asked"}));
    assert_eq!(preview["summary"], "create the resource group shops");
    assert_eq!(preview["managedFields"], json!(["kubernetesVersion", "monitoring", "nodePools", "tags"]));
    assert_eq!(
        preview["notLookedAt"],
        json!([{"what": "workspace", "reason": "the resource group does not exist yet"}])
    );
    assert_eq!(run_until_write(&app).await, ["PUT shops"]);

    let preview = plan_after_waiting(&app, &id).await;
    assert_eq!(step(&preview), "ensureWorkspace", "{preview}");
    let writes = run_until_write(&app).await;
    assert!(writes.iter().all(|line| line.starts_with("PUT shops-EUS")) && writes.len() == 1, "{writes:?}");

    let mut preview = plan_after_waiting(&app, &id).await;
    if step(&preview) == "ensureWorkspace" {
        // The workspace exists but is not ready yet, so the step is repeated.
        preview = run_until_step_changes(&app, &id, "ensureWorkspace").await;
    }
    assert_eq!((step(&preview), &preview["notLookedAt"]), ("createCluster", &json!([])), "{preview}");
    assert_eq!(run_until_write(&app).await, ["PUT shop"]);

    let preview = plan(&app, &id).await;
    assert_eq!(step(&preview), "wait", "{preview}");
    assert_eq!(preview["waiting"]["what"], "Azure: creating cluster shop");
    assert_eq!(
        preview["waiting"]["since"],
        app.get(&format!("/v3/clusters/{id}")).send().await.json()["aksStatus"]["waiting"]["since"]
    );
    assert_eq!(preview["notLookedAt"][0]["what"], "cluster");

    let preview = run_until_step_changes(&app, &id, "wait").await;
    assert_eq!(step(&preview), "connect", "{preview}");
    // `inside`: objects in the cluster, which the preview does not read.
    assert!(
        preview["notLookedAt"].as_array().unwrap().iter().any(|entry| entry["what"] == "inside"),
        "{preview}"
    );
    let preview = run_until_step_changes(&app, &id, "connect").await;
    assert_eq!(
        (step(&preview), &preview["state"], &preview["phase"], &preview["differences"]),
        ("nothing", &json!("active"), &json!("active"), &json!([]))
    );
    assert!(preview["nextLook"].as_str().unwrap() > preview["at"].as_str().unwrap(), "{preview}");
    assert!(clusters::wake(&open_database(&app).await, &id).await.unwrap());
    let preview = plan(&app, &id).await;
    assert_eq!(preview["nextLook"], preview["at"], "{preview}");

    assert_eq!(app.delete(&format!("/v3/clusters/{id}")).send().await.status, StatusCode::OK);
    let preview = plan(&app, &id).await;
    assert_eq!((step(&preview), &preview["phase"]), ("deleteCluster", &json!("removing")), "{preview}");
    assert_eq!(run_until_write(&app).await, ["DELETE shop"]);
    assert_eq!(step(&plan(&app, &id).await), "wait");
}

#[tokio::test]
async fn plan_lists_differences_and_one_step_at_a_time() {
    let app = TestApp::start().await;
    let (id, _) = test_clusters::create_active(&app, &app.admin, "shop").await;
    let mut pool = test_clusters::body("shop", "")["aksConfig"]["nodePools"][0].clone();
    pool["count"] = json!(2);
    let mut second_pool = pool.clone();
    second_pool["name"] = json!("more");
    second_pool["mode"] = json!("User");
    let config =
        json!({"tags": {"team": "b"}, "kubernetesVersion": "1.33.3", "nodePools": [pool, second_pool]});
    change(&app, &id, config).await;

    let preview = plan(&app, &id).await;
    assert_eq!(
        (step(&preview), &preview["state"], &preview["generation"]),
        ("updateTags", &json!("updating"), &json!(2)),
        "{preview}"
    );
    let fields: Vec<_> = preview["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| difference["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "aksConfig.tags",
            "aksConfig.kubernetesVersion",
            "aksConfig.nodePools[0].count",
            "aksConfig.nodePools[1]"
        ]
    );
    assert_eq!(
        preview["differences"][1],
        json!({"field": "aksConfig.kubernetesVersion", "wanted": "1.33.3", "found": "1.32.7"})
    );
    let mut steps = vec![step(&preview).to_owned()];
    for _ in 0..300 {
        let preview = plan(&app, &id).await;
        let pool = preview["pool"].as_str().map(|pool| format!(" {pool}")).unwrap_or_default();
        let current = format!("{}{pool}", step(&preview));
        if steps.last() != Some(&current) {
            steps.push(current);
        }
        if step(&preview) == "nothing" {
            break;
        }
        run_worker_once(&app).await;
        app.clock.advance(Duration::from_secs(1));
    }
    steps.retain(|step| step != "wait");
    assert_eq!(
        steps,
        ["updateTags", "updateCluster", "putPool system", "putPool more", "connect", "nothing"]
    );
}

#[tokio::test]
async fn plan_announces_takeover_of_azure_values() {
    let app = TestApp::start().await;
    let (id, _) = test_clusters::create_active(&app, &app.admin, "shop").await;
    // As after an upgrade in the portal: the version in the desired spec is older than the version in Azure.
    let mut row = row(&app, &id).await;
    let mut spec: Value = serde_json::from_str(&row.spec).unwrap();
    spec["aksConfig"]["kubernetesVersion"] = json!("1.31.8");
    row.spec = spec.to_string();
    clusters::update(&app.server.store, &row, None, None, &audit_row()).await.unwrap();
    let preview = plan(&app, &id).await;
    assert_eq!(
        (step(&preview), &preview["summary"]),
        ("takeOver", &json!("adopt from Azure: kubernetesVersion"))
    );
    assert_eq!(
        preview["differences"],
        json!([{"field": "aksConfig.kubernetesVersion", "wanted": "1.31.8", "found": "1.32.7"}])
    );
}

#[tokio::test]
async fn plan_of_unmanaged_import_never_changes_azure() {
    let app = TestApp::start().await;
    let id = test_clusters::import(&app, &app.admin, "one").await;
    let assert_unmanaged = |preview: &Value| {
        let note =
            "the cluster is imported and no managed field of aksConfig is set, so it is only monitored";
        assert!(preview["reason"].as_str().unwrap().ends_with(note), "{preview}");
        assert_eq!(preview["managedFields"], json!([]));
    };
    let preview = plan(&app, &id).await;
    assert_eq!((step(&preview), &preview["differences"]), ("connect", &json!([])), "{preview}");
    assert_unmanaged(&preview);
    app.settle().await;
    let preview = plan(&app, &id).await;
    assert_eq!((step(&preview), &preview["state"]), ("nothing", &json!("active")), "{preview}");
    assert_unmanaged(&preview);

    app.control.clear_requests();
    app.delete(&format!("/v3/clusters/{id}")).send().await;
    let preview = plan(&app, &id).await;
    assert_eq!((step(&preview), &preview["azure"]["outcome"]), ("forget", &json!("notNeeded")), "{preview}");
    assert_eq!(app.take_azure_requests(), [""; 0]);
}

#[tokio::test]
async fn plan_queries_azure_only_for_owners() {
    let app = TestApp::start().await;
    let ann = app.token("ann").await;
    let credential = app.store_credential(&ann).await;
    let id = test_clusters::create(&app, &ann, &test_clusters::body("shop", &credential)).await;
    let ben = test_clusters::add_member(&app, &id, "ben", "cluster-owner").await;
    for token in [&ann, &ben, &app.admin] {
        let preview = plan_for(&app, token, &id).await;
        assert_eq!(
            (step(&preview), &preview["azure"]),
            ("createResourceGroup", &json!({"outcome": "asked"}))
        );
    }
    app.take_azure_requests();
    let (cid, dan) = (
        test_clusters::add_member(&app, &id, "cid", "cluster-member").await,
        test_clusters::add_member(&app, &id, "dan", "read-only").await,
    );
    for (token, role) in [(&cid, "cluster-member"), (&dan, "read-only")] {
        let preview = plan_for(&app, token, &id).await;
        assert_eq!(
            (step(&preview), &preview["azure"]["outcome"]),
            ("unknown", &json!("notAllowed")),
            "{preview}"
        );
        let reason = preview["azure"]["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("your role in {id} is {role}")), "{reason}");
        assert_eq!(preview["notLookedAt"], json!([{"what": "azure", "reason": reason}]));
    }
    // Once the cluster is active, the next step is known without a request to Azure.
    app.advance(Duration::from_mins(10)).await;
    app.take_azure_requests();
    let preview = plan_for(&app, &dan, &id).await;
    assert_eq!(
        (step(&preview), &preview["azure"]["outcome"]),
        ("nothing", &json!("notAllowed")),
        "{preview}"
    );
    assert_eq!(app.take_azure_requests(), [""; 0]);

    let path = format!("/api/v1/clusters/{id}/plan");
    let eve = app.token("eve").await;
    for (path, token) in [(&path, &eve), (&"/api/v1/clusters/c-none/plan".to_owned(), &ann)] {
        let response = app.get(path).token(token).send().await;
        assert_eq!((response.status.as_u16(), norman_error(&response).code.as_str()), (404, "NotFound"));
    }
    assert_eq!(app.get(&path).anonymous().send().await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.post(&path).send().await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(app.take_azure_requests(), [""; 0]);

    // Every use of a stored credential is in the audit log.
    let store = open_database(&app).await;
    app.server.stop().await;
    let filter = Filter { action: Some("plan".to_owned()), ..Filter::default() };
    let rows = store::audit::list(&store, 100, &filter).await.unwrap();
    let users: Vec<_> = rows.iter().rev().map(|row| row.user_name.as_str()).collect();
    assert_eq!(users, ["ann", "ben", "admin"]);
    assert!(rows.iter().all(|row| row.object_type == "cloudCredential" && row.object_id == credential));
}

#[tokio::test]
async fn plan_reports_the_reason_of_the_worker() {
    let (app, credential) = TestApp::builder().advisory_review().start_with_credential().await;
    // Runs the worker, and returns its message.
    let worker_message = async |id: &str| {
        app.settle().await;
        let cluster = app.get(&format!("/v3/clusters/{id}")).send().await.json();
        cluster["transitioningMessage"].as_str().unwrap().to_owned()
    };

    // Azure already has a cluster with this name, which this server did not create.
    let mut body = test_clusters::body("shop", &credential);
    body["aksConfig"]["clusterName"] = json!(app.seed.imported_cluster_name);
    body["aksConfig"]["resourceGroup"] = json!(app.seed.resource_group);
    let taken_id = test_clusters::create(&app, &app.admin, &body).await;
    let preview = plan(&app, &taken_id).await;
    assert_eq!((step(&preview), &preview["azure"]["outcome"]), ("refuse", &json!("asked")), "{preview}");
    assert_eq!(worker_message(&taken_id).await, preview["reason"].as_str().unwrap());
    let preview = plan(&app, &taken_id).await;
    assert_eq!(preview["failure"], preview["reason"], "the worker's recorded failure is shown too");

    // A missing network is found before the request that creates the cluster.
    let mut body = test_clusters::body("net", &credential);
    for (key, value) in
        [("virtualNetwork", "none"), ("subnet", "none"), ("resourceGroup", app.seed.resource_group)]
    {
        body["aksConfig"][key] = json!(value);
    }
    let invalid_id = test_clusters::create(&app, &app.admin, &body).await;
    let preview = plan(&app, &invalid_id).await;
    assert_eq!(step(&preview), "refuse", "{preview}");
    assert!(preview["reason"].as_str().unwrap().contains("virtual network none does not exist"), "{preview}");
    assert_eq!(worker_message(&invalid_id).await, preview["reason"].as_str().unwrap());

    let (id, credential) = test_clusters::create_active(&app, &app.admin, "spoilt").await;
    test_clusters::invalidate_credential(&app, &credential).await;
    change(&app, &id, json!({"tags": {"team": "b"}})).await;
    let preview = plan(&app, &id).await;
    assert_eq!((step(&preview), &preview["azure"]["outcome"]), ("blocked", &json!("failed")), "{preview}");
    assert!(preview["azure"]["reason"].as_str().unwrap().contains("AADSTS"), "{preview}");
    assert_eq!(
        without_trace_ids(&worker_message(&id).await),
        without_trace_ids(preview["reason"].as_str().unwrap())
    );
    app.delete(&format!("/v3/clusters/{id}")).send().await;
    let preview = plan(&app, &id).await;
    assert!(preview["reason"].as_str().unwrap().ends_with("?force=true"), "{preview}");
    assert_eq!(
        without_trace_ids(&worker_message(&id).await),
        without_trace_ids(preview["reason"].as_str().unwrap())
    );
}
