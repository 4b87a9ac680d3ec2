//! The real executable as a server: first start, restart, signals, keys, listeners and logs.

mod stop;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use norman_aks::telemetry::metrics;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::program::{Server, command, log_lines, output_text, reply, sandbox_file, stdout_of};

/// Longer than any step takes on a busy machine.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

const SANDBOX_ARGS: [&str; 4] = ["serve", "--sandbox", "--listen=127.0.0.1:0", "--data-dir=data"];
const SERVE_ARGS: [&str; 3] = ["serve", "--listen=127.0.0.1:0", "--data-dir=data"];

/// Starts a server with a sandbox in a new directory; returns the content of `sandbox.json` as well.
fn start_sandbox(flags: &[&str]) -> (TempDir, Server, Value) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[&SANDBOX_ARGS[..], flags].concat());
    let sandbox = sandbox_file(&directory.path().join("data"));
    (directory, server, sandbox)
}

/// Makes the sandbox slow or faulty.
async fn inject_fault(server: &Server, sandbox: &Value, fault: &Value) {
    let request = server.http.post(format!("{}/faults", str_at(sandbox, "control_url")));
    let response = reply(request.header("content-type", "application/json").body(fault.to_string())).await;
    assert_eq!(response.status, 201, "{}", response.text);
}

fn str_at<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("{key}: {object}"))
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

/// The output of a command that fails with exit code 1.
fn failure_output(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", output_text(&output));
    output_text(&output)
}

/// The administrator's token, which the first start writes.
fn admin_token(directory: &Path) -> String {
    fs::read_to_string(directory.join("data/admin-token")).unwrap().trim_end().to_owned()
}

fn credential_body(name: &str) -> Value {
    json!({"name": name, "azurecredentialConfig": {"clientId": "c", "clientSecret": "s", "subscriptionId": "u"}})
}

/// The words of a shell command with single quotes.
fn shell_words(line: &str) -> Vec<String> {
    let mut is_quoted = false;
    // Replace the spaces outside of quotes, which separate words, by NUL.
    let marked = line.chars().filter_map(|c| match c {
        '\'' => {
            is_quoted = !is_quoted;
            None
        }
        ' ' if !is_quoted => Some('\0'),
        c => Some(c),
    });
    marked.collect::<String>().split('\0').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The request of a curl command.
fn curl_request(http: &reqwest::Client, line: &str) -> reqwest::RequestBuilder {
    let words = shell_words(line);
    let mut words = words.iter().map(String::as_str);
    assert_eq!(words.next(), Some("curl"));
    let (mut url, mut header, mut data) = (None, None, None);
    while let Some(word) = words.next() {
        match word {
            "-H" => header = words.next(),
            "-d" => data = words.next(),
            "-s" | "-si" => {}
            word => assert!(url.replace(word).is_none(), "two URLs: {line}"),
        }
    }
    let (name, value) = header.unwrap().split_once(": ").unwrap();
    let request = match data {
        Some(data) => http.post(url.unwrap()).body(data.to_owned()),
        None => http.get(url.unwrap()),
    };
    request.header(name, value)
}

#[tokio::test]
async fn sandbox_prints_working_examples() {
    let (_directory, server, sandbox) = start_sandbox(&[]);
    let output = server.stdout();
    let mut replies = Vec::new();
    for line in output.lines().map(str::trim).filter(|line| line.starts_with("curl ")) {
        let reply = reply(curl_request(&server.http, line)).await;
        assert_eq!(reply.status, 200, "{line}\n{}", reply.text);
        replies.push(reply);
    }
    let [versions, regions, check] = replies.try_into().expect("three commands");
    assert!(versions.json().as_array().unwrap().contains(&sandbox["kubernetes_version"]), "{versions:?}");
    let regions = regions.json();
    assert!(
        regions.as_array().unwrap().iter().any(|region| region["name"] == sandbox["location"]),
        "{regions}"
    );
    assert_eq!(check.text, "");
    assert!(output.contains(&format!("{}/docs/", server.url)), "{output}");
    assert_eq!(server.get("/docs/", "").await.status, 200);
    server.stop();
}

#[tokio::test]
async fn sandbox_file_for_scripts_has_working_values() {
    let (directory, server, sandbox) = start_sandbox(&[]);
    assert_eq!(mode(&directory.path().join("data/sandbox.json")), 0o600);
    assert_eq!(mode(&directory.path().join("data")), 0o700);
    let path = directory.path().canonicalize().unwrap().display().to_string();
    assert!(server.stdout().contains(&path), "{path}\n{}", server.stdout());
    assert_eq!(str_at(&sandbox, "api_url"), server.url);
    assert!(
        fs::read_to_string(str_at(&sandbox, "ca_file")).unwrap().starts_with("-----BEGIN CERTIFICATE-----")
    );

    // Both secrets are valid, the second version is available, and the named objects exist.
    let token = str_at(&sandbox, "token_key");
    let mut body = json!({"subscriptionId": sandbox["subscription_id"], "clientId": sandbox["client_id"],
        "tenantId": sandbox["tenant_id"], "region": sandbox["location"]});
    for secret in ["client_secret", "client_secret_2"] {
        body["clientSecret"] = sandbox[secret].clone();
        assert_eq!(server.post("/meta/aksCheckCredentials", token, &body).await.status, 200, "{secret}");
    }
    let versions = server.post("/meta/aksVersions", token, &body).await.json();
    assert!(versions.as_array().unwrap().contains(&sandbox["kubernetes_version_2"]), "{versions}");
    for (action, keys) in [
        ("aksClusters", ["imported_cluster_name", "resource_group"].as_slice()),
        ("aksVirtualNetworks", &["virtual_network", "subnet", "resource_group"]),
    ] {
        let reply = server.post(&format!("/meta/{action}"), token, &body).await;
        for key in keys {
            assert!(reply.text.contains(str_at(&sandbox, key)), "{action} {key}: {}", reply.text);
        }
    }
    assert!(!str_at(&sandbox, "log_workspace").is_empty() && !str_at(&sandbox, "credential_id").is_empty());
    server.stop();
}

#[tokio::test]
async fn data_survives_sigkill() {
    let (directory, server, sandbox) = start_sandbox(&[]);
    let authority = fs::read(str_at(&sandbox, "ca_file")).unwrap();
    let token = str_at(&sandbox, "token_key");
    let created = server.post("/v3/cloudcredentials", token, &credential_body("kept")).await;
    assert_eq!(created.status, 201, "{}", created.text);
    server.signal("KILL");
    assert!(!server.wait_for_exit().0.success());

    let server = Server::start(directory.path(), &SANDBOX_ARGS);
    let restarted_sandbox = sandbox_file(&directory.path().join("data"));
    for key in ["token_key", "credential_id", "ca_file"] {
        assert_eq!(sandbox[key], restarted_sandbox[key], "{key}");
    }
    assert_eq!(authority, fs::read(str_at(&restarted_sandbox, "ca_file")).unwrap());
    let path = format!("/v3/cloudcredentials/{}", str_at(&created.json(), "id"));
    assert_eq!(server.get(&path, token).await.json()["name"], "kept");
    let seeded = str_at(&restarted_sandbox, "credential_id");
    let listed = server.get(&format!("/meta/aksLocations?cloudCredentialId={seeded}"), token).await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    let check = stdout_of(directory.path(), &["check", "--sandbox", "--data-dir=data"]);
    assert!(check.contains("is active, no key is missing"), "{check}");
    server.stop();
}

#[tokio::test]
async fn first_start_creates_token_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &SERVE_ARGS);
    for file in ["admin-token", "encryption.keys", "norman-aks.db"] {
        assert_eq!(mode(&directory.path().join("data").join(file)), 0o600, "{file}");
    }
    let token = admin_token(directory.path());
    let (output, secret) = (server.stdout(), token.split_once(':').unwrap().1);
    assert!(output.contains("data/admin-token") && !output.contains(secret), "{output}");
    let logged = server.stop();
    assert!(logged.contains("encryption key created") && !logged.contains(secret), "{logged}");

    let server = Server::start(directory.path(), &SERVE_ARGS);
    assert_eq!(admin_token(directory.path()), token, "no second token is created");
    assert_eq!(server.get("/v3/cloudcredentials", &token).await.status, 200);
    server.stop();
}

#[tokio::test]
async fn missing_encryption_key_is_reported_by_id() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &SERVE_ARGS);
    let token = admin_token(directory.path());
    let created = server.post("/v3/cloudcredentials", &token, &credential_body("encrypted")).await;
    assert_eq!(created.status, 201, "{}", created.text);
    server.stop();

    let keys = directory.path().join("data/encryption.keys");
    let original = fs::read_to_string(&keys).unwrap();
    let (id, key) = original.trim_end().split_once(':').unwrap();
    fs::write(&keys, stdout_of(directory.path(), &["key", "generate"])).unwrap();
    let error = failure_output(directory.path(), &SERVE_ARGS);
    assert!(error.contains(&format!("need the encryption key {id}")) && !error.contains(key), "{error}");
    fs::remove_file(&keys).unwrap();
    let error = failure_output(directory.path(), &SERVE_ARGS);
    assert!(error.contains(id) && !keys.exists(), "no other key is created: {error}");
    fs::write(&keys, &original).unwrap();
    Server::start(directory.path(), &SERVE_ARGS).stop();
}

#[tokio::test]
async fn bootstrap_token_is_replaced_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut previous = "token-first:none";
    for token in ["token-first:one", "token-first:two", "token-second:three"] {
        let mut command = command(directory.path(), &SERVE_ARGS);
        let server = Server::spawn(command.env("NORMAN_AKS_BOOTSTRAP_TOKEN", token));
        assert!(!directory.path().join("data/admin-token").exists());
        assert_eq!(server.get("/v3/clusters", token).await.status, 200, "{token}");
        assert_eq!(server.get("/v3/clusters", previous).await.status, 401, "{previous}");
        server.stop();
        previous = token;
    }
}

#[test]
fn backtrace_warning_is_not_the_first_log_line() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::spawn(command(directory.path(), &SANDBOX_ARGS).env("RUST_BACKTRACE", "1"));
    let warning = "RUST_BACKTRACE is set";
    server.wait_for(warning, |server| server.stderr().contains(warning).then_some(()));
    let logged = server.stderr();
    assert!(!logged.lines().next().unwrap_or_default().contains(warning), "{logged}");
    server.stop();
}

#[test]
fn sandbox_and_azure_cannot_share_a_database() {
    for (first, second) in [(&SANDBOX_ARGS[..], &SERVE_ARGS[..]), (&SERVE_ARGS, &SANDBOX_ARGS)] {
        let directory = tempfile::tempdir().unwrap();
        Server::start(directory.path(), first).stop();
        let error = failure_output(directory.path(), second);
        assert!(error.contains("sandbox") && error.contains("azure"), "{error}");
    }
}

#[tokio::test]
async fn requests_and_failures_appear_in_metrics_and_json_logs() {
    let (_directory, mut server, sandbox) = start_sandbox(&[
        "--metrics-listen=127.0.0.1:0",
        "--log-format=json",
        "--sandbox-control-listen=127.0.0.1:0",
    ]);
    let (token, id) = (str_at(&sandbox, "token_key"), str_at(&sandbox, "credential_id"));
    let path = format!("/meta/aksLocations?cloudCredentialId={id}&apiKey=in-the-query");
    for expected in ["miss", "hit", "hit"] {
        assert_eq!(server.get(&path, token).await.header("x-norman-aks-cache"), expected);
    }
    assert_eq!(server.get("/v3/no/such/thing", token).await.status, 404);
    assert_eq!(server.get("/v3/clusters", "token-x:wrong").await.status, 401);
    let fault = json!({"operation": "virtualNetworks", "effect": {"status": {"status": 403, "code": "AuthorizationFailed"}}});
    inject_fault(&server, &sandbox, &fault).await;
    let failed = server.get(&format!("/meta/aksVirtualNetworks?cloudCredentialId={id}"), token).await;
    assert_eq!(failed.status, 400, "{}", failed.text);

    let metrics_url = format!("http://{}/metrics", server.listener_address("metrics"));
    let rendered = reply(server.http.get(metrics_url)).await;
    assert!(rendered.header("content-type").starts_with("text/plain; version=0.0.4"), "{rendered:?}");
    // These have no value here: no snapshot is due, no list is stale, no role is pending, and there is no Rancher.
    let absent_metrics = [
        "norman_aks_snapshots_total",
        "norman_aks_stale_responses_total",
        "norman_aks_access_waits_total",
        "norman_aks_rancher_up",
        "norman_aks_rancher_decisions_total",
    ];
    for metric in metrics::ALL.iter().filter(|metric| !absent_metrics.contains(&metric.name)) {
        assert!(
            rendered.text.contains(&format!("# TYPE {}", metric.name)),
            "{}\n{}",
            metric.name,
            rendered.text
        );
    }
    for line in [
        r#"norman_aks_http_requests_total{method="GET",route="/meta/aksLocations",status="200"} 3"#,
        r#"norman_aks_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        "norman_aks_failed_logins_total 1",
        r#"norman_aks_upstream_requests_total{operation="locations",status="200"} 1"#,
    ] {
        assert!(rendered.text.lines().any(|sample| sample == line), "{line}\n{}", rendered.text);
    }

    let failed_id = failed.json()["requestId"].as_str().unwrap().to_owned();
    assert_eq!(failed.header("x-request-id"), failed_id);
    let logged = server.stop();
    assert!(!logged.contains("in-the-query"), "queries are not logged");
    let lines = log_lines(&logged);
    let requests: Vec<_> = lines.iter().filter(|line| line["target"] == "norman_aks::request").collect();
    assert_eq!(requests.len(), 6, "{requests:?}");
    assert!(requests.iter().all(|line| line["request_id"].as_str().is_some_and(|id| id.len() == 36)));
    let request = requests.iter().find(|line| line["request_id"] == *failed_id).unwrap();
    assert_eq!((&request["status"], &request["path"]), (&json!(400), &json!("/meta/aksVirtualNetworks")));
    let failures: Vec<_> = lines.iter().filter(|line| line["message"] == "action failed").collect();
    assert_eq!(failures.len(), 1, "one line per failure: {failures:?}");
    assert_eq!(failures[0]["request_id"], *failed_id);
    assert!(failures[0]["error"].as_str().unwrap().contains("403 (AuthorizationFailed)"), "{}", failures[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_listener_uses_configured_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["aks.example".to_owned()]).unwrap();
    fs::write(directory.path().join("cert.pem"), certificate.cert.pem()).unwrap();
    fs::write(directory.path().join("key.pem"), certificate.signing_key.serialize_pem()).unwrap();
    let tls = ["--tls-listen=127.0.0.1:0", "--tls-cert=cert.pem", "--tls-key=key.pem", "--log-format=json"];
    let mut server = Server::start(directory.path(), &[&SERVE_ARGS[..], &tls].concat());
    let address: std::net::SocketAddr = server.listener_address("the API over TLS").parse().unwrap();
    let trusted = reqwest::Certificate::from_pem(certificate.cert.pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([trusted])
        .resolve("aks.example", address)
        .build()
        .unwrap();
    let base = format!("https://aks.example:{}", address.port());
    let response = reply(http.get(format!("{base}/v3")).bearer_auth(admin_token(directory.path()))).await;
    assert_eq!(response.status, 200, "{}", response.text);
    assert_eq!(str_at(&response.json()["links"], "self"), format!("{base}/v3"));
    // The client keeps its connection open, which must not delay the stop.
    server.stop();

    fs::write(directory.path().join("cert.pem"), "no certificate").unwrap();
    let error = failure_output(directory.path(), &[&SERVE_ARGS[..], &tls[..3]].concat());
    assert!(error.contains("cert.pem"), "{error}");
}

#[tokio::test]
async fn keys_are_rotated_while_the_server_runs() {
    let (directory, mut server, sandbox) = start_sandbox(&["--log-format=json"]);
    let (token, id) = (str_at(&sandbox, "token_key"), str_at(&sandbox, "credential_id"));
    let path = format!("/meta/aksRegions?cloudCredentialId={id}");
    let keys = directory.path().join("data/encryption.keys");
    let rotate = ["key", "rotate", "--sandbox", "--data-dir=data"];

    stdout_of(directory.path(), &["key", "generate", "--append", "data/encryption.keys"]);
    let new_and_old = fs::read_to_string(&keys).unwrap();
    let (new_key, old_key) = new_and_old.trim_end().split_once('\n').unwrap();
    let (new_id, old_id) = (new_key.split(':').next().unwrap(), old_key.split(':').next().unwrap());
    let error = failure_output(directory.path(), &rotate);
    assert!(error.contains("running server") && error.contains(new_id), "{error}");

    let reload_count = |server: &Server| server.stderr().matches("encryption keys reloaded").count();
    server.signal("HUP");
    server.wait_for("the new key", |server| (reload_count(server) == 1).then_some(()));
    assert_eq!(stdout_of(directory.path(), &rotate), format!("re-encrypted 1 secret with {new_id}\n"));
    assert_eq!(stdout_of(directory.path(), &rotate), format!("re-encrypted 0 secrets with {new_id}\n"));
    fs::write(&keys, format!("{new_key}\n")).unwrap();
    server.signal("HUP");
    server.wait_for("the removal of the old key", |server| (reload_count(server) == 2).then_some(()));
    let listed = server.get(&path, token).await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    server.stop();

    let server = Server::start(directory.path(), &SANDBOX_ARGS);
    assert_eq!(server.get(&path, token).await.status, 200);
    server.stop();
    fs::write(&keys, format!("{old_key}\n")).unwrap();
    let error = failure_output(directory.path(), &SANDBOX_ARGS);
    assert!(error.contains(new_id) && !error.contains(&format!("key {old_id}")), "{error}");
}

#[tokio::test]
async fn cli_token_changes_reach_a_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &SERVE_ARGS);
    let created = stdout_of(directory.path(), &["token", "create", "--user", "ann", "--data-dir=data"]);
    let token = created.trim_end();
    assert_eq!(server.get("/v3/clusters", token).await.status, 200);
    let name = token.split(':').next().unwrap();
    stdout_of(directory.path(), &["token", "revoke", name, "--data-dir=data"]);
    let deadline = Instant::now() + STEP_TIMEOUT;
    while server.get("/v3/clusters", token).await.status == 200 {
        assert!(Instant::now() < deadline, "the revoked token is still valid");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop();
}
