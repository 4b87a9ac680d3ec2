//! State that survives a restart of the sandbox.

use azure_sandbox::{Error, OperationKind, Options, Sandbox, ScriptedOutcome};
use clock::Clock;
use serde_json::json;

use super::{Azure, PUBLIC, azure_client, cluster, pool, seed, small};

const STATE_FILE: &str = "sandbox-azure.json";

#[tokio::test]
async fn restart_continues_running_operations() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), Clock::manual(1_790_000_000_000));
    let start = || Azure::start_with("ready", clock.clone(), Some(directory.path()));
    let azure = start().await;
    assert!(!directory.path().join(STATE_FILE).exists(), "nothing was changed yet");
    azure.put("/resourceGroups/new", &json!({"location": "westus2"})).await.expect(201);
    let done = azure.create_cluster("done", &small()).await;
    let running = azure.put(&cluster("under-way"), &small()).await.expect(201);
    azure.control().add_outcome(ScriptedOutcome {
        kind: Some(OperationKind::ScalePool),
        code: "Broken".to_owned(),
        ..ScriptedOutcome::default()
    });
    let to_fail = azure.put(&pool("done", "system"), &json!({"properties": {"count": 2}})).await.expect(200);
    // No destructor runs, as if the process were killed.
    std::mem::forget(azure.sandbox);

    let azure = start().await;
    assert_eq!(azure.get("/resourceGroups/new").await.expect(200).at("/location"), "westus2");
    assert_eq!(azure.get(&cluster("done")).await.at("/properties/fqdn"), done.at("/properties/fqdn"));
    azure.post(&format!("{}/listClusterAdminCredential", cluster("done"))).await.expect(200);
    assert_eq!(azure.get(&cluster("under-way")).await.state(), "Creating");
    azure.finish(&running).await;
    assert_eq!(azure.get(&cluster("under-way")).await.state(), "Succeeded");
    let (status, body) = azure.status_of(&to_fail).await;
    assert_eq!(
        (&*status, &body["error"]["code"]),
        ("Failed", &json!("Broken")),
        "scripted outcomes are stored"
    );
    let deletion = azure.delete(&cluster("made-elsewhere")).await.expect(202);
    azure.sandbox.stop().await;

    clock.advance(std::time::Duration::from_mins(1));
    let azure = start().await;
    azure.get(&cluster("made-elsewhere")).await.expect(404);
    assert_eq!(azure.status_of(&deletion).await.0, "Succeeded");
    azure.get(&cluster("entra-only")).await.expect(200);
    let mut file_names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    file_names.sort_unstable();
    let files = [STATE_FILE, "sandbox-ca.key", "sandbox-ca.pem", "sandbox-kubernetes.json"];
    assert_eq!(file_names, files, "no temporary file is left");
}

#[tokio::test]
async fn invalid_state_file_is_rejected_and_left_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let azure = Azure::start().await;
    azure.put("/resourceGroups/new", &json!({"location": "westus2"})).await.expect(201);
    let other = Azure::start().await;
    other.get("/resourceGroups/new").await.expect(404);

    let file = directory.path().join(STATE_FILE);
    std::fs::write(&file, "{\"something\": \"else\"}").unwrap();
    let options = Options { state_dir: Some(directory.path().to_owned()), ..Options::default() };
    assert!(matches!(Sandbox::start(options).await, Err(Error::State(_))));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "{\"something\": \"else\"}");
}

#[tokio::test]
async fn stored_authority_is_trusted_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { state_dir: Some(directory.path().to_owned()), ..Options::default() };
    let first = Sandbox::start(options.clone()).await.unwrap();
    let (authority, address) = (first.authority_pem().to_owned(), first.address());
    assert_eq!(std::fs::read_to_string(Sandbox::authority_file(directory.path())).unwrap(), authority);
    first.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());

    let second = Sandbox::start(options).await.unwrap();
    assert_eq!(second.authority_pem(), authority);
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2016-06-01", seed().subscription_id);
    assert_eq!(azure_client::builder(&second).build().unwrap().get(&url).send().await.unwrap().status(), 401);

    let other = Sandbox::start(Options::default()).await.unwrap();
    let client =
        azure_client::builder(&second).resolve("management.azure.com", other.address()).build().unwrap();
    assert!(client.get(&url).send().await.is_err(), "another authority");
}
