//! Durations, scripted outcomes, faults on writes, and the control API.

use std::time::Duration;

use azure_sandbox::{
    Effect, Error, ErrorResponse, FinalStatus, Operation, OperationKind, Options, Sandbox, ScriptedOutcome,
    Timing,
};
use clock::Clock;
use http::Method;
use serde_json::{Value, json};

use super::{Azure, PUBLIC_SCOPE, cluster, pool, seed, small};
use crate::support::fault;

#[tokio::test]
async fn zero_time_scale_completes_operations_immediately() {
    let azure = Azure::start().await;
    let created = azure.put(&cluster("c"), &small()).await.expect(201);
    let timing = azure.control().timing();
    azure.control().set_timing(Timing { scale: 0.0, retry_after: None, ..timing.clone() }).unwrap();
    assert_eq!(azure.status_of(&created).await.0, "Succeeded", "running operations too");
    let deletion = azure.delete(&cluster("c")).await.expect(202);
    assert!(!deletion.headers.contains_key("retry-after"));
    azure.get(&cluster("c")).await.expect(404);
    for scale in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(azure.control().set_timing(Timing { scale, ..timing.clone() }).is_err());
        let options = Options { timing: Timing { scale, ..Timing::default() }, ..Options::default() };
        assert!(matches!(Sandbox::start(options).await, Err(Error::Timing(_))));
    }
}

#[tokio::test]
async fn scripted_outcomes_apply() {
    let azure = Azure::start().await;
    let control = azure.control();
    control.add_outcome(ScriptedOutcome {
        kind: Some(OperationKind::CreateCluster),
        name: Some("BAD".to_owned()),
        times: Some(1),
        code: "CreateVMSSAgentPoolFailed".to_owned(),
        message: "no room".to_owned(),
        lasts: Some(1_000),
        ..ScriptedOutcome::default()
    });
    let good = azure.put(&cluster("good"), &small()).await.expect(201);
    let bad = azure.put(&cluster("bad"), &small()).await.expect(201);
    assert!(control.outcomes().is_empty(), "used up");
    let (status, body) = azure.status_of(&bad).await;
    assert_eq!((&*status, body.get("error")), ("InProgress", None));
    azure.advance_secs(1);
    let (status, body) = azure.status_of(&bad).await;
    assert_eq!(
        (&*status, &body["error"]),
        ("Failed", &json!({"code": "CreateVMSSAgentPoolFailed", "message": "no room"}))
    );
    let failed = azure.get(&cluster("bad")).await;
    assert_eq!(
        (failed.state(), failed.at("/properties/agentPoolProfiles/0/provisioningState")),
        ("Failed".to_owned(), json!("Failed"))
    );
    assert_eq!(azure.post(&format!("{}/listClusterAdminCredential", cluster("bad"))).await.status, 404);
    azure.finish(&good).await;
    // A PUT repairs the cluster.
    let repair = azure.put(&cluster("bad"), &small()).await.expect(200);
    azure.finish(&repair).await;
    assert_eq!(azure.get(&cluster("bad")).await.state(), "Succeeded");
    azure.post(&format!("{}/listClusterAdminCredential", cluster("bad"))).await.expect(200);

    control.add_outcome(ScriptedOutcome {
        kind: Some(OperationKind::DeleteCluster),
        status: FinalStatus::Canceled,
        code: "X".to_owned(),
        ..ScriptedOutcome::default()
    });
    control.add_outcome(ScriptedOutcome {
        name: Some("system".to_owned()),
        status: FinalStatus::Succeeded,
        code: "ReconcilePortalDNSError".to_owned(),
        ..ScriptedOutcome::default()
    });
    let scaled = azure.put(&pool("bad", "system"), &json!({"properties": {"count": 2}})).await.expect(200);
    let code_of = |body: &Value| body["error"]["code"].clone();
    assert_eq!(
        code_of(&azure.status_of(&scaled).await.1),
        "ReconcilePortalDNSError",
        "the error of an operation that succeeded"
    );
    azure.finish(&scaled).await;
    assert_eq!(code_of(&azure.status_of(&scaled).await.1), "ReconcilePortalDNSError");
    assert_eq!(azure.get(&pool("bad", "system")).await.state(), "Succeeded");
    let deletion = azure.delete(&cluster("bad")).await.expect(202);
    azure.advance_secs(30);
    assert_eq!(azure.status_of(&deletion).await.0, "Canceled");
    assert_eq!(azure.get(deletion.header("location")).await.error(), (409, "X".to_owned()));
    assert_eq!(azure.get(&cluster("bad")).await.state(), "Canceled");
    control.clear_outcomes();
    let deletion = azure.delete(&cluster("bad")).await.expect(202);
    azure.finish(&deletion).await;
}

#[tokio::test]
async fn failed_group_deletion_keeps_the_group() {
    let azure = Azure::start().await;
    azure.control().add_outcome(ScriptedOutcome {
        kind: Some(OperationKind::DeleteGroup),
        code: "ResourceGroupDeletionBlocked".to_owned(),
        ..ScriptedOutcome::default()
    });
    azure.put("/resourceGroups/stays", &json!({"location": "eastus"})).await.expect(201);
    let deletion = azure.delete("/resourceGroups/stays").await.expect(202);
    azure.advance_secs(30);
    let result = azure.get(deletion.header("location")).await.expect(409);
    assert_eq!(result.at("/Error/Code"), "ResourceGroupDeletionBlocked");
    assert_eq!(azure.get("/resourceGroups/stays").await.state(), "Succeeded");
}

#[tokio::test]
async fn faults_match_operation_and_method() {
    let azure = Azure::start().await;
    let one_fault = |operation: Operation, method: &str, effect: Effect| {
        fault::once(fault::for_request(operation, method, effect))
    };
    let store_error = ErrorResponse {
        status: Some(500),
        code: Some("GetSKUStoreError".to_owned()),
        ..ErrorResponse::default()
    };
    azure.control().add_fault(one_fault(Operation::ManagedCluster, "PUT", Effect::Status(store_error)));
    azure.get(&cluster("c")).await.expect(404);
    azure.put(&cluster("c"), &small()).await.assert_error(500, "GetSKUStoreError", "");
    azure.get(&cluster("c")).await.expect(404);

    azure.control().add_fault(one_fault(Operation::ManagedCluster, "PUT", Effect::CutAfterTaken));
    assert!(
        azure.request(Method::PUT, &cluster("c"), Some(&small())).send().await.is_err(),
        "the response is lost"
    );
    assert_eq!(azure.get(&cluster("c")).await.expect(200).state(), "Creating", "the request was executed");
    let write = azure.control().writes().pop().unwrap();
    assert_eq!((write.operation, write.status), (Operation::ManagedCluster, None));
    azure.advance_secs(30);

    azure.control().add_fault(one_fault(Operation::AgentPool, "PUT", Effect::CutBeforeAnswer));
    let body = json!({"properties": {"count": 1, "vmSize": "Standard_D2s_v3"}});
    assert!(azure.request(Method::PUT, &pool("c", "p"), Some(&body)).send().await.is_err());
    azure.get(&pool("c", "p")).await.expect(404);
    for (operation, method, path) in [
        (Operation::LongOperation, "GET", None),
        (
            Operation::AdminCredential,
            "POST",
            Some(format!("{}/accessProfiles/clusterAdmin/listCredential", cluster("c"))),
        ),
        (Operation::UserCredential, "POST", Some(format!("{}/listClusterUserCredential", cluster("c")))),
        (Operation::ResourceGroup, "HEAD", Some("/resourcegroups/rancher".to_owned())),
        (
            Operation::RegisterProvider,
            "POST",
            Some("/providers/Microsoft.ContainerService/register".to_owned()),
        ),
        (Operation::Usages, "GET", Some("/providers/Microsoft.Compute/locations/eastus/usages".to_owned())),
        (Operation::ClusterAction, "POST", Some(format!("{}/stop", cluster("c")))),
    ] {
        let path = match path {
            Some(path) => path,
            None => {
                azure.put(&pool("c", "p"), &body).await.expect(201).header("azure-asyncoperation").to_owned()
            }
        };
        let throttled = ErrorResponse {
            status: Some(429),
            retry_after: Some("9".to_owned()),
            ..ErrorResponse::default()
        };
        azure.control().add_fault(one_fault(operation, method, Effect::Status(throttled)));
        let method: Method = method.parse().unwrap();
        let response = azure.send(method, &path, None).await;
        assert_eq!((response.status.as_u16(), response.header("retry-after")), (429, "9"), "{operation:?}");
        azure.advance_secs(30);
    }
}

#[tokio::test]
async fn write_log_excludes_logins() {
    let azure = Azure::start().await;
    azure.get(&cluster("made-elsewhere")).await;
    azure.put(&cluster("c"), &small()).await.expect(201);
    azure.delete(&cluster("d")).await.expect(204);
    azure.post(&format!("{}/listClusterUserCredential", cluster("made-elsewhere"))).await.expect(200);
    let writes = azure.control().writes();
    let logged: Vec<_> =
        writes.iter().map(|write| (&*write.method, write.operation, write.status.unwrap())).collect();
    assert_eq!(
        logged,
        [
            ("PUT", Operation::ManagedCluster, 201),
            ("DELETE", Operation::ManagedCluster, 204),
            ("POST", Operation::UserCredential, 200)
        ]
    );
    let sent: Value = serde_json::from_str(writes[0].body.as_ref().unwrap()).unwrap();
    assert_eq!(sent, small());
    assert_eq!(writes[1].body, None);
    let all = serde_json::to_string(&azure.control().requests()).unwrap();
    assert!(all.contains("\"token\"") && !all.contains(&azure.account.secrets[0]), "logins have no body");
}

#[tokio::test]
async fn control_api_serves_times_outcomes_quotas_and_budgets() {
    let azure = Azure::start_controlled().await;
    let request =
        async |method: &str, path: &str, body: Option<&str>| azure.send_to_control(method, path, body).await;
    assert_eq!(request("GET", "/times", None).await.json()["create_cluster"], 8_000);
    request("PUT", "/times", Some(r#"{"scale": 0.5, "retry_after": null}"#)).await.expect(204);
    let timing = azure.control().timing();
    assert_eq!((timing.retry_after, timing.create_cluster), (None, 8_000), "omitted fields are unchanged");
    assert!((timing.scale - 0.5).abs() < f64::EPSILON);
    for (body, words) in [(r#"{"scale": -1}"#, "scale"), (r#"{"scael": 1}"#, "scael"), ("[]", "object")] {
        let response = request("PUT", "/times", Some(body)).await.expect(400);
        assert!(response.text.contains(words), "{}", response.text);
    }
    let outcome =
        r#"{"deed": "createCluster", "times": 1, "code": "C", "message": "m", "status": "Canceled"}"#;
    request("POST", "/outcomes", Some(outcome)).await.expect(201);
    assert_eq!(request("GET", "/outcomes", None).await.json()[0]["status"], "Canceled");
    request("DELETE", "/outcomes", None).await.expect(204);
    assert_eq!(request("GET", "/outcomes", None).await.json(), json!([]));
    let quotas = format!("/quotas/{}", Sandbox::seed().subscription_id);
    request("PUT", &quotas, Some(r#"{"region": "eastus", "name": "cores", "limit": 7}"#)).await.expect(204);
    assert_eq!(
        request("GET", &quotas, None).await.json(),
        json!([{"region": "eastus", "name": "cores", "limit": 7}])
    );
    let budget = format!("/budgets/{}", Sandbox::seed().subscription_id);
    let reads = json!({"size": 3, "refill_per_minute": 60});
    request("PUT", &budget, Some(&json!({ "reads": reads }).to_string())).await.expect(204);
    let expected = json!({"reads": reads, "writes": null, "deletes": null, "compute": null});
    assert_eq!(request("GET", &budget, None).await.json(), expected);
    assert_eq!(request("GET", "/writes", None).await.json(), json!([]));
}

#[tokio::test]
async fn control_api_edits_clusters_and_their_pools() {
    let azure = Azure::start_controlled().await;
    azure.control().set_timing(Timing { scale: 0.0, ..azure.control().timing() }).unwrap();
    azure.put(&cluster("c"), &small()).await.expect(201);
    let edit = async |path: &str, body: &str| azure.send_to_control("PUT", path, Some(body)).await;
    let body = r#"{"properties": {"supportPlan": "AKSLongTermSupport"}, "pools": {"system": {"provisioningState": "Scaling"}}}"#;
    edit("/clusters/c", body).await.expect(204);
    let edited = azure.get(&cluster("c")).await.json();
    assert_eq!(edited["properties"]["supportPlan"], "AKSLongTermSupport");
    assert_eq!(edited["properties"]["agentPoolProfiles"][0]["provisioningState"], "Scaling", "{edited}");
    assert_eq!(edited["properties"]["provisioningState"], "Succeeded");
    edit("/clusters/missing", "{}").await.expect(404);
    edit("/clusters/c", r#"{"tags": {}}"#).await.expect(400);
}

#[tokio::test]
async fn cluster_creation_completes_on_the_system_clock() {
    let azure = Azure::start_with("ready", Clock::system(), None).await;
    azure.control().set_timing(Timing { scale: 0.1, ..azure.control().timing() }).unwrap();
    let created = azure.put(&cluster("c"), &small()).await.expect(201);
    let completion = async {
        while azure.status_of(&created).await.0 == "InProgress" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), completion).await.expect("the operation completes");
    assert_eq!(azure.get(&cluster("c")).await.state(), "Succeeded");
}

#[tokio::test]
async fn control_api_serves_faults_and_recordings() {
    let azure = Azure::start_controlled().await;
    let request =
        async |method: &str, path: &str, body: Option<&str>| azure.send_to_control(method, path, body).await;
    let accounts = request("GET", "/accounts", None).await.json();
    assert_eq!(accounts.as_array().unwrap().len(), azure.control().accounts().len());
    assert_eq!(accounts[0]["client_secret"], Value::Null);
    assert_eq!(accounts[0]["secrets"][1], seed().client_secret_2);

    let fault = r#"{"operation": "token", "times": 1, "effect": {"status": {"status": 500}}}"#;
    assert_eq!(request("POST", "/faults", Some(fault)).await.status, 201);
    assert_eq!(request("GET", "/faults", None).await.json()[0]["effect"]["status"]["status"], 500);
    let seed = seed();
    let host = "login.microsoftonline.com";
    let response = azure.login(host, seed.tenant_id, seed.client_id, seed.client_secret, PUBLIC_SCOPE).await;
    assert_eq!(response.status, 500);
    assert_eq!(request("GET", "/faults", None).await.json(), json!([]));
    assert_eq!(request("GET", "/requests", None).await.json()[0]["operation"], "token");
    assert_eq!(request("DELETE", "/requests", None).await.status, 204);
    assert_eq!(request("GET", "/requests", None).await.json(), json!([]));
    request("POST", "/faults", Some(r#"{"latency_ms": 1}"#)).await;
    assert_eq!(request("DELETE", "/faults", None).await.status, 204);
    assert!(azure.control().faults().is_empty());

    assert_eq!(request("PUT", "/paging", Some(r#"{"items": 2}"#)).await.status, 204);
    assert_eq!(request("GET", "/paging", None).await.json(), json!({"items": 2}));
    let plays = format!("/plays/{}", seed.subscription_id);
    let pages = r#"{"subscription": [{"body": {"id": "played"}}]}"#;
    assert_eq!(request("PUT", &plays, Some(pages)).await.status, 204);
    assert_eq!(azure.get("?api-version=2022-12-01").await.json()["id"], "played");
    assert_eq!(request("PUT", &format!("{plays}/subscription"), Some("[]")).await.status, 204);
    assert_ne!(azure.get("?api-version=2022-12-01").await.json()["id"], "played");
    assert_eq!(request("POST", "/logins", Some(r#"{"secret": "s", "outcome": "token"}"#)).await.status, 204);
    assert_eq!(azure.login(host, seed.tenant_id, "x", "s", PUBLIC_SCOPE).await.status, 200);
    assert_eq!(request("DELETE", "/tokens", None).await.status, 204);

    for (method, path, body, status, words) in [
        ("POST", "/faults", Some("{"), 400, "EOF"),
        ("POST", "/faults", Some(r#"{"tmies": 1}"#), 400, "unknown field `tmies`"),
        ("PUT", &*format!("{plays}/nothing"), Some("[]"), 400, "route 'nothing' does not exist"),
        ("POST", "/faults", None, 415, "application/json"),
        ("PUT", "/faults", Some("{}"), 405, "method"),
        ("GET", "/nothing", None, 404, "/requests"),
    ] {
        let response = request(method, path, body).await;
        assert_eq!(response.status, status, "{method} {path}: {}", response.text);
        assert!(response.json()["error"].as_str().unwrap().contains(words), "{}", response.text);
    }
    let url = format!("http://{}/accounts", azure.sandbox.control_address().unwrap());
    let foreign = azure.client.get(url).header("host", "evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), 403);
}

#[tokio::test]
async fn control_api_requires_a_loopback_address() {
    let control_listen = Some("0.0.0.0:0".parse().unwrap());
    let rejected = Sandbox::start(Options { control_listen, ..Options::default() }).await;
    assert!(matches!(rejected, Err(azure_sandbox::Error::NotLoopback(_))));
}
