//! How tests steer what goes on: times, ends of operations, faults on writes, and the list of all writes.

use std::time::Duration;

use azure_sandbox::{
    Effect, Error, Fault, FinalStatus, Operation, OperationKind, Options, Refusal, Sandbox, ScriptedOutcome,
    Timing,
};
use clock::Clock;
use http::Method;
use serde_json::{Value, json};

use super::{Azure, cluster, pool, read, small};

#[tokio::test]
async fn with_a_scale_of_nothing_everything_is_done_at_the_next_look() {
    let azure = Azure::start().await;
    let made = azure.put(&cluster("c"), &small()).await.expect(201);
    let now = azure.control().timing();
    azure.control().set_timing(Timing { scale: 0.0, retry_after: None, ..now.clone() }).unwrap();
    assert_eq!(azure.status_of(&made).await.0, "Succeeded", "what is under way, too");
    let gone = azure.delete(&cluster("c")).await.expect(202);
    assert!(!gone.headers.contains_key("retry-after"));
    azure.get(&cluster("c")).await.expect(404);
    for scale in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(azure.control().set_timing(Timing { scale, ..now.clone() }).is_err());
        let options = Options { timing: Timing { scale, ..Timing::default() }, ..Options::default() };
        assert!(matches!(Sandbox::start(options).await, Err(Error::Timing(_))));
    }
}

#[tokio::test]
async fn operations_end_as_it_was_decided() {
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
    azure.wait(1);
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
    // A PUT repairs it.
    let again = azure.put(&cluster("bad"), &small()).await.expect(200);
    azure.finish(&again).await;
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
    let trouble = |body: &Value| body["error"]["code"].clone();
    assert_eq!(trouble(&azure.status_of(&scaled).await.1), "ReconcilePortalDNSError", "a trouble on the way");
    azure.finish(&scaled).await;
    assert_eq!(trouble(&azure.status_of(&scaled).await.1), "ReconcilePortalDNSError");
    assert_eq!(azure.get(&pool("bad", "system")).await.state(), "Succeeded");
    let gone = azure.delete(&cluster("bad")).await.expect(202);
    azure.wait(30);
    assert_eq!(azure.status_of(&gone).await.0, "Canceled");
    assert_eq!(azure.get(gone.header("location")).await.error(), (409, "X".to_owned()));
    assert_eq!(azure.get(&cluster("bad")).await.state(), "Canceled");
    control.clear_outcomes();
    let gone = azure.delete(&cluster("bad")).await.expect(202);
    azure.finish(&gone).await;
}

#[tokio::test]
async fn a_group_that_cannot_be_deleted_says_so_and_stays() {
    let azure = Azure::start().await;
    azure.control().add_outcome(ScriptedOutcome {
        kind: Some(OperationKind::DeleteGroup),
        code: "ResourceGroupDeletionBlocked".to_owned(),
        ..ScriptedOutcome::default()
    });
    azure.put("/resourceGroups/stays", &json!({"location": "eastus"})).await.expect(201);
    let gone = azure.delete("/resourceGroups/stays").await.expect(202);
    azure.wait(30);
    let end = azure.get(gone.header("location")).await.expect(409);
    assert_eq!(end.at("/Error/Code"), "ResourceGroupDeletionBlocked");
    assert_eq!(azure.get("/resourceGroups/stays").await.state(), "Succeeded");
}

#[tokio::test]
async fn faults_meet_writes_by_operation_and_method() {
    let azure = Azure::start().await;
    let on = |operation: Operation, method: &str, effect: Effect| Fault {
        operation: Some(operation),
        method: Some(method.to_owned()),
        times: Some(1),
        effect: Some(effect),
        ..Fault::default()
    };
    let refusal =
        Refusal { status: Some(500), code: Some("GetSKUStoreError".to_owned()), ..Refusal::default() };
    azure.control().add_fault(on(Operation::ManagedCluster, "PUT", Effect::Status(refusal)));
    azure.get(&cluster("c")).await.expect(404);
    azure.put(&cluster("c"), &small()).await.refused(500, "GetSKUStoreError", "");
    azure.get(&cluster("c")).await.expect(404);

    azure.control().add_fault(on(Operation::ManagedCluster, "PUT", Effect::CutAfterTaken));
    assert!(
        azure.request(Method::PUT, &cluster("c"), Some(&small())).send().await.is_err(),
        "the answer is lost"
    );
    assert_eq!(azure.get(&cluster("c")).await.expect(200).state(), "Creating", "but it was taken");
    let seen = azure.control().writes().pop().unwrap();
    assert_eq!((seen.operation, seen.status), (Operation::ManagedCluster, None));
    azure.wait(30);

    azure.control().add_fault(on(Operation::AgentPool, "PUT", Effect::CutBeforeAnswer));
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
        let throttled =
            Refusal { status: Some(429), retry_after: Some("9".to_owned()), ..Refusal::default() };
        azure.control().add_fault(on(operation, method, Effect::Status(throttled)));
        let method: Method = method.parse().unwrap();
        let answer = azure.send(method, &path, None).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "9"), "{operation:?}");
        azure.wait(30);
    }
}

#[tokio::test]
async fn every_write_is_remembered_with_its_body_and_no_login_is() {
    let azure = Azure::start().await;
    azure.get(&cluster("made-elsewhere")).await;
    azure.put(&cluster("c"), &small()).await.expect(201);
    azure.delete(&cluster("d")).await.expect(204);
    azure.post(&format!("{}/listClusterUserCredential", cluster("made-elsewhere"))).await.expect(200);
    let writes = azure.control().writes();
    let said: Vec<_> =
        writes.iter().map(|seen| (&*seen.method, seen.operation, seen.status.unwrap())).collect();
    assert_eq!(
        said,
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
async fn the_control_api_has_times_outcomes_quotas_and_writes() {
    let options = Options { control_listen: Some("127.0.0.1:0".parse().unwrap()), ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let base = format!("http://{}", sandbox.control_address().unwrap());
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |method: &str, path: &str, body: Option<&str>| {
        let mut request = plain.request(method.parse().unwrap(), format!("{base}{path}"));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        read(request.send().await.unwrap()).await
    };
    assert_eq!(ask("GET", "/times", None).await.json()["create_cluster"], 8_000);
    ask("PUT", "/times", Some(r#"{"scale": 0.5, "retry_after": null}"#)).await.expect(204);
    let times = sandbox.control().timing();
    assert_eq!((times.retry_after, times.create_cluster), (None, 8_000), "what is left out stays");
    assert!((times.scale - 0.5).abs() < f64::EPSILON);
    for (body, words) in [(r#"{"scale": -1}"#, "scale"), (r#"{"scael": 1}"#, "scael"), ("[]", "object")] {
        let answer = ask("PUT", "/times", Some(body)).await.expect(400);
        assert!(answer.text.contains(words), "{}", answer.text);
    }
    let outcome =
        r#"{"deed": "createCluster", "times": 1, "code": "C", "message": "m", "status": "Canceled"}"#;
    ask("POST", "/outcomes", Some(outcome)).await.expect(201);
    assert_eq!(ask("GET", "/outcomes", None).await.json()[0]["status"], "Canceled");
    ask("DELETE", "/outcomes", None).await.expect(204);
    assert_eq!(ask("GET", "/outcomes", None).await.json(), json!([]));
    let quotas = format!("/quotas/{}", Sandbox::seed().subscription_id);
    ask("PUT", &quotas, Some(r#"{"region": "eastus", "name": "cores", "limit": 7}"#)).await.expect(204);
    assert_eq!(
        ask("GET", &quotas, None).await.json(),
        json!([{"region": "eastus", "name": "cores", "limit": 7}])
    );
    assert_eq!(ask("GET", "/writes", None).await.json(), json!([]));
}

#[tokio::test]
async fn by_the_clock_of_the_machine_a_cluster_ends_by_itself() {
    let azure = Azure::start_with("ready", Clock::system(), None).await;
    azure.control().set_timing(Timing { scale: 0.1, ..azure.control().timing() }).unwrap();
    let made = azure.put(&cluster("c"), &small()).await.expect(201);
    let ended = async {
        while azure.status_of(&made).await.0 == "InProgress" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), ended).await.expect("it ends");
    assert_eq!(azure.get(&cluster("c")).await.state(), "Succeeded");
}
