//! The real executable as people and supervisors meet it: first starts, restarts, signals, keys, listeners, logs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use norman_aks::telemetry::metrics;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::program::{Server, all_of, command, log_lines, printed, reply};

const SANDBOX: [&str; 4] = ["serve", "--sandbox", "--listen=127.0.0.1:0", "--data-dir=data"];
const SERVE: [&str; 3] = ["serve", "--listen=127.0.0.1:0", "--data-dir=data"];

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// What the sandbox wrote for scripts.
fn for_scripts(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("data/sandbox.json")).unwrap()).unwrap()
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("{key}: {object}"))
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

/// A start that is refused: what it says, and that it says it with exit code 1.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = command(folder, arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", all_of(&output));
    all_of(&output)
}

/// The administrator's token of a first start.
fn admin_token(folder: &Path) -> String {
    fs::read_to_string(folder.join("data/admin-token")).unwrap().trim_end().to_owned()
}

fn credential(name: &str) -> Value {
    json!({"name": name, "azurecredentialConfig": {"clientId": "c", "clientSecret": "s", "subscriptionId": "u"}})
}

/// The words of a line for a shell; single quotes are the only ones in use.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (number, part) in line.split('\'').enumerate() {
        if number % 2 == 1 {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        for (place, piece) in part.split(' ').enumerate() {
            if place > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(piece);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A line of curl as the request that it makes.
fn pasted(http: &reqwest::Client, line: &str) -> reqwest::RequestBuilder {
    let words = words(line);
    let mut words = words.iter().map(String::as_str);
    assert_eq!(words.next(), Some("curl"));
    let (mut url, mut header, mut data) = (None, None, None);
    while let Some(word) = words.next() {
        match word {
            "-H" => header = words.next(),
            "-d" => data = words.next(),
            "-s" | "-si" => {}
            word => assert!(url.replace(word).is_none(), "two addresses: {line}"),
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
async fn the_sandbox_prints_lines_that_work_and_writes_the_same_for_scripts() {
    let folder = folder();
    let server = Server::start(folder.path(), &SANDBOX);
    let said = server.said();
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 3, "{said}");
    let mut answers = Vec::new();
    for line in lines {
        let answer = reply(pasted(&server.http, line)).await;
        assert_eq!(answer.status, 200, "{line}\n{}", answer.text);
        answers.push(answer);
    }
    let it = for_scripts(folder.path());
    assert!(answers[0].json().as_array().unwrap().contains(&it["kubernetes_version"]), "{}", answers[0].text);
    let regions = answers[1].json();
    assert!(regions.as_array().unwrap().iter().any(|region| region["name"] == it["location"]), "{regions}");
    assert_eq!(answers[2].text, "");

    assert_eq!(mode(&folder.path().join("data/sandbox.json")), 0o600);
    assert_eq!(mode(&folder.path().join("data")), 0o700);
    for key in [
        "api_url",
        "token_key",
        "credential_id",
        "client_id",
        "client_secret",
        "client_secret_2",
        "subscription_id",
        "tenant_id",
        "location",
        "kubernetes_version",
        "kubernetes_version_2",
        "resource_group",
        "virtual_network",
        "subnet",
        "log_workspace",
        "imported_cluster_name",
        "ca_file",
    ] {
        assert!(!text(&it, key).is_empty(), "{key}");
    }
    assert_eq!(text(&it, "api_url"), server.url);
    assert!(fs::read_to_string(text(&it, "ca_file")).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    for named in
        [format!("{}/docs/", server.url), folder.path().canonicalize().unwrap().display().to_string()]
    {
        assert!(said.contains(&named), "{named}\n{said}");
    }
    assert_eq!(server.get("/docs/", "").await.status, 200);

    // What scripts are told is true: both secrets log in, the upgrade is one, the cluster exists.
    let token = text(&it, "token_key");
    let mut body = json!({"subscriptionId": it["subscription_id"], "clientId": it["client_id"],
        "tenantId": it["tenant_id"], "region": it["location"]});
    for secret in ["client_secret", "client_secret_2"] {
        body["clientSecret"] = it[secret].clone();
        assert_eq!(server.post("/meta/aksCheckCredentials", token, &body).await.status, 200, "{secret}");
    }
    let versions = server.post("/meta/aksVersions", token, &body).await.json();
    assert!(versions.as_array().unwrap().contains(&it["kubernetes_version_2"]), "{versions}");
    for (action, keys) in [
        ("aksClusters", ["imported_cluster_name", "resource_group"].as_slice()),
        ("aksVirtualNetworks", &["virtual_network", "subnet", "resource_group"]),
    ] {
        let answer = server.post(&format!("/meta/{action}"), token, &body).await;
        for key in keys {
            assert!(answer.text.contains(text(&it, key)), "{action} {key}: {}", answer.text);
        }
    }
    server.stop();
}

#[tokio::test]
async fn what_was_stored_outlives_a_kill_and_a_second_start_changes_nothing() {
    let folder = folder();
    let server = Server::start(folder.path(), &SANDBOX);
    let first = for_scripts(folder.path());
    let authority = fs::read(text(&first, "ca_file")).unwrap();
    let token = text(&first, "token_key");
    let made = server.post("/v3/cloudcredentials", token, &credential("kept")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    server.signal("KILL");
    assert!(!server.end().0.success());

    let server = Server::start(folder.path(), &SANDBOX);
    let second = for_scripts(folder.path());
    for key in ["token_key", "credential_id", "ca_file"] {
        assert_eq!(first[key], second[key], "{key}");
    }
    assert_eq!(authority, fs::read(text(&second, "ca_file")).unwrap());
    let made = made.json();
    let path = format!("/v3/cloudcredentials/{}", text(&made, "id"));
    assert_eq!(server.get(&path, token).await.json()["name"], "kept");
    let seeded = text(&second, "credential_id");
    let listed = server.get(&format!("/meta/aksLocations?cloudCredentialId={seeded}"), token).await;
    assert_eq!(listed.status, 200, "{}", listed.text);

    let output = command(folder.path(), &["check", "--sandbox", "--data-dir=data"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", all_of(&output));
    assert!(all_of(&output).contains("is active, no other is missing"), "{}", all_of(&output));
    server.stop();
}

/// A sandbox whose list of sizes takes so long.
async fn slow(folder: &Path, milliseconds: u64) -> (Server, String) {
    let server = Server::start(folder, &[&SANDBOX[..], &["--sandbox-control-listen=127.0.0.1:0"]].concat());
    let it = for_scripts(folder);
    let fault = json!({"operation": "skus", "latency_ms": milliseconds}).to_string();
    let added = server.http.post(format!("{}/faults", text(&it, "control_url")));
    let added = reply(added.header("content-type", "application/json").body(fault)).await;
    assert_eq!(added.status, 201, "{}", added.text);
    let (id, region) = (text(&it, "credential_id"), text(&it, "location"));
    let asked = format!("{}/meta/aksVMSizesV2?cloudCredentialId={id}&region={region}", server.url);
    (server, asked)
}

/// Waits until the question has reached Azure.
async fn asked(server: &Server, folder: &Path) {
    let requests = format!("{}/requests", text(&for_scripts(folder), "control_url"));
    let started = Instant::now();
    while !reply(server.http.get(&requests)).await.text.contains("\"skus\"") {
        assert!(started.elapsed() < Duration::from_secs(30), "Azure was never asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_stop_lets_a_running_request_finish_and_takes_no_new_one() {
    let folder = folder();
    let (server, address) = slow(folder.path(), 2_000).await;
    let request = server.http.get(address).bearer_auth(text(&for_scripts(folder.path()), "token_key"));
    let running = tokio::spawn(reply(request));
    asked(&server, folder.path()).await;
    server.signal("TERM");
    let url = server.url.clone();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let started = Instant::now();
    while http.get(format!("{url}/ping")).send().await.is_ok() {
        assert!(started.elapsed() < Duration::from_secs(30), "new requests are still taken");
    }
    let answer = running.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.json().as_array().unwrap().len() > 100);
    let (status, logged) = server.end();
    assert_eq!(status.code(), Some(0), "{logged}");
    assert!(logged.contains("stopped"), "{logged}");
}

#[tokio::test]
async fn a_second_signal_ends_the_server_at_once() {
    let folder = folder();
    let (mut server, address) = slow(folder.path(), 40_000).await;
    let request = server.http.get(address).bearer_auth(text(&for_scripts(folder.path()), "token_key"));
    let running = tokio::spawn(async move { request.send().await.is_ok() });
    asked(&server, folder.path()).await;
    server.signal("TERM");
    server.wait_for("the stop", |server| server.logged().contains("stopping").then_some(()));
    server.signal("TERM");
    let (status, _) = server.end();
    // An exit, not an abort: a core file would have the keys in it.
    assert_eq!(status.code(), Some(1));
    assert!(!running.await.unwrap(), "the request was cut");
}

#[tokio::test]
async fn the_first_start_writes_a_token_and_a_key_and_a_wrong_key_is_refused_by_its_name() {
    let folder = folder();
    let server = Server::start(folder.path(), &SERVE);
    let (tokens, keys) = (folder.path().join("data/admin-token"), folder.path().join("data/encryption.keys"));
    assert_eq!((mode(&tokens), mode(&keys)), (0o600, 0o600));
    assert_eq!(mode(&folder.path().join("data/norman-aks.db")), 0o600);
    let token = admin_token(folder.path());
    let (said, secret) = (server.said(), token.split_once(':').unwrap().1);
    assert!(said.contains("data/admin-token") && !said.contains(secret), "{said}");
    let made = server.post("/v3/cloudcredentials", &token, &credential("sealed")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let logged = server.stop();
    assert!(logged.contains("an encryption key was made") && !logged.contains(secret), "{logged}");

    let right = fs::read_to_string(&keys).unwrap();
    let (id, key) = right.trim_end().split_once(':').unwrap();
    let server = Server::start(folder.path(), &SERVE);
    assert_eq!(admin_token(folder.path()), token, "no second token is made");
    assert_eq!(server.get("/v3/cloudcredentials", &token).await.status, 200);
    server.stop();

    fs::write(&keys, printed(folder.path(), &["key", "generate"])).unwrap();
    let said = refused(folder.path(), &SERVE);
    assert!(said.contains(&format!("need the encryption key {id}")) && !said.contains(key), "{said}");
    fs::remove_file(&keys).unwrap();
    let said = refused(folder.path(), &SERVE);
    assert!(said.contains(id) && !keys.exists(), "no other key is made: {said}");
    fs::write(&keys, &right).unwrap();
    Server::start(folder.path(), &SERVE).stop();
}

#[tokio::test]
async fn a_bootstrap_token_works_and_is_replaced_by_the_next() {
    let folder = folder();
    let start =
        |token: &str| Server::spawn(command(folder.path(), &SERVE).env("NORMAN_AKS_BOOTSTRAP_TOKEN", token));
    let server = start("token-first:one");
    assert!(!folder.path().join("data/admin-token").exists());
    assert_eq!(server.get("/v3/clusters", "token-first:one").await.status, 200);
    assert_eq!(server.get("/v3/clusters", "token-first:two").await.status, 401);
    server.stop();
    let server = start("token-first:two");
    assert_eq!(server.get("/v3/clusters", "token-first:one").await.status, 401);
    assert_eq!(server.get("/v3/clusters", "token-first:two").await.status, 200);
    server.stop();
    let server = start("token-second:three");
    assert_eq!(server.get("/v3/clusters", "token-first:two").await.status, 401);
    assert_eq!(server.get("/v3/clusters", "token-second:three").await.status, 200);
    server.stop();
}

#[test]
fn warning_about_backtraces_is_not_the_first_line() {
    let folder = folder();
    let mut server = Server::spawn(command(folder.path(), &SANDBOX).env("RUST_BACKTRACE", "1"));
    let warning = "RUST_BACKTRACE is set";
    server.wait_for(warning, |server| server.logged().contains(warning).then_some(()));
    let logged = server.logged();
    assert!(!logged.lines().next().unwrap_or_default().contains(warning), "{logged}");
    server.stop();
}

#[test]
fn a_sandbox_and_a_real_server_refuse_each_others_database() {
    let folder = folder();
    Server::start(folder.path(), &SANDBOX).stop();
    let said = refused(folder.path(), &SERVE);
    assert!(said.contains("sandbox") && said.contains("azure"), "{said}");
    let other = tempfile::tempdir().unwrap();
    Server::start(other.path(), &SERVE).stop();
    let said = refused(other.path(), &SANDBOX);
    assert!(said.contains("sandbox") && said.contains("azure"), "{said}");
}

#[tokio::test]
async fn metrics_and_json_logs_tell_of_every_request_and_of_every_failures_cause() {
    let folder = folder();
    let more = ["--metrics-listen=127.0.0.1:0", "--log-format=json", "--sandbox-control-listen=127.0.0.1:0"];
    let mut server = Server::start(folder.path(), &[&SANDBOX[..], &more].concat());
    let it = for_scripts(folder.path());
    let (token, id) = (text(&it, "token_key"), text(&it, "credential_id"));
    let path = format!("/meta/aksLocations?cloudCredentialId={id}&apiKey=in-the-query");
    for expected in ["miss", "hit", "hit"] {
        assert_eq!(server.get(&path, token).await.header("x-norman-aks-cache"), expected);
    }
    assert_eq!(server.get("/v3/no/such/thing", token).await.status, 404);
    assert_eq!(server.get("/v3/clusters", "token-x:wrong").await.status, 401);
    let fault = json!({"operation": "virtualNetworks", "effect": {"status": {"status": 403, "code": "AuthorizationFailed"}}});
    let added = server.http.post(format!("{}/faults", text(&it, "control_url")));
    reply(added.header("content-type", "application/json").body(fault.to_string())).await;
    let failed = server.get(&format!("/meta/aksVirtualNetworks?cloudCredentialId={id}"), token).await;
    assert_eq!(failed.status, 400, "{}", failed.text);

    let metrics_at = format!("http://{}/metrics", server.listener("metrics"));
    let shown = reply(server.http.get(metrics_at)).await;
    assert!(shown.header("content-type").starts_with("text/plain; version=0.0.4"), "{:?}", shown.headers);
    // Azure did not fail in a way that a cached list stands in for, and no request waited for a new role.
    let absent = ["norman_aks_stale_responses_total", "norman_aks_access_waits_total"];
    for metric in metrics::ALL.iter().filter(|metric| !absent.contains(&metric.name)) {
        assert!(shown.text.contains(&format!("# TYPE {}", metric.name)), "{}\n{}", metric.name, shown.text);
    }
    for line in [
        r#"norman_aks_http_requests_total{method="GET",route="/meta/aksLocations",status="200"} 3"#,
        r#"norman_aks_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        "norman_aks_failed_logins_total 1",
        r#"norman_aks_upstream_requests_total{operation="locations",status="200"} 1"#,
    ] {
        assert!(shown.text.lines().any(|shown| shown == line), "{line}\n{}", shown.text);
    }

    let id_of_failure = failed.json()["requestId"].as_str().unwrap().to_owned();
    assert_eq!(failed.header("x-request-id"), id_of_failure);
    let logged = server.stop();
    assert!(!logged.contains("in-the-query"), "queries are not logged");
    let lines = log_lines(&logged);
    let of = |target: &str| lines.iter().filter(|line| line["target"] == target).collect::<Vec<_>>();
    let requests = of("norman_aks::request");
    assert_eq!(requests.len(), 6, "{requests:?}");
    assert!(requests.iter().all(|line| line["request_id"].as_str().is_some_and(|id| id.len() == 36)));
    let about = |line: &&&Value| line["request_id"] == *id_of_failure;
    let request = requests.iter().find(about).unwrap();
    assert_eq!((&request["status"], &request["path"]), (&json!(400), &json!("/meta/aksVirtualNetworks")));
    let causes: Vec<_> = lines.iter().filter(|line| line["message"] == "an action failed").collect();
    assert_eq!(causes.len(), 1, "one line for one failure: {causes:?}");
    assert_eq!(causes[0]["request_id"], *id_of_failure);
    assert!(causes[0]["error"].as_str().unwrap().contains("403 (AuthorizationFailed)"), "{}", causes[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_served_with_a_certificate_of_ones_own_and_links_say_so() {
    let folder = folder();
    let made = rcgen::generate_simple_self_signed(["aks.example".to_owned()]).unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let tls = ["--tls-listen=127.0.0.1:0", "--tls-cert=cert.pem", "--tls-key=key.pem", "--log-format=json"];
    let mut server = Server::start(folder.path(), &[&SERVE[..], &tls].concat());
    let address: std::net::SocketAddr = server.listener("the API over TLS").parse().unwrap();
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .resolve("aks.example", address)
        .build()
        .unwrap();
    let base = format!("https://aks.example:{}", address.port());
    let answer = reply(http.get(format!("{base}/v3")).bearer_auth(admin_token(folder.path()))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(text(&answer.json()["links"], "self"), format!("{base}/v3"));
    // The client keeps its connection open, which must not hold up the stop.
    server.stop();

    fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    let said = refused(folder.path(), &[&SERVE[..], &tls[..3]].concat());
    assert!(said.contains("cert.pem"), "{said}");
}

#[tokio::test]
async fn keys_are_changed_under_a_running_server_without_losing_a_credential() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[&SANDBOX[..], &["--log-format=json"]].concat());
    let it = for_scripts(folder.path());
    let (token, id) = (text(&it, "token_key"), text(&it, "credential_id"));
    let used = format!("/meta/aksRegions?cloudCredentialId={id}");
    let keys = folder.path().join("data/encryption.keys");
    let rotate = ["key", "rotate", "--sandbox", "--data-dir=data"];

    printed(folder.path(), &["key", "generate", "--append", "data/encryption.keys"]);
    let both = fs::read_to_string(&keys).unwrap();
    let (new, old) = both.trim_end().split_once('\n').unwrap();
    let (new_id, old_id) = (new.split(':').next().unwrap(), old.split(':').next().unwrap());
    let said = refused(folder.path(), &rotate);
    assert!(said.contains("running server") && said.contains(new_id), "{said}");

    let read_again = |server: &Server| server.logged().matches("were read again").count();
    server.signal("HUP");
    server.wait_for("the new key", |server| (read_again(server) == 1).then_some(()));
    assert_eq!(printed(folder.path(), &rotate), format!("1 secrets were sealed with {new_id}.\n"));
    assert_eq!(printed(folder.path(), &rotate), format!("0 secrets were sealed with {new_id}.\n"));
    fs::write(&keys, format!("{new}\n")).unwrap();
    server.signal("HUP");
    server.wait_for("the old key's end", |server| (read_again(server) == 2).then_some(()));
    let answer = server.get(&used, token).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    server.stop();

    let server = Server::start(folder.path(), &SANDBOX);
    assert_eq!(server.get(&used, token).await.status, 200);
    server.stop();
    fs::write(&keys, format!("{old}\n")).unwrap();
    let said = refused(folder.path(), &SANDBOX);
    assert!(said.contains(new_id) && !said.contains(&format!("key {old_id}")), "{said}");
}

#[tokio::test]
async fn tokens_of_the_command_line_reach_a_running_server() {
    let folder = folder();
    let server = Server::start(folder.path(), &SERVE);
    let made = printed(folder.path(), &["token", "create", "--user", "ann", "--data-dir=data"]);
    let token = made.trim_end();
    assert_eq!(server.get("/v3/clusters", token).await.status, 200);
    let name = token.split(':').next().unwrap();
    printed(folder.path(), &["token", "revoke", name, "--data-dir=data"]);
    let revoked = Instant::now();
    while server.get("/v3/clusters", token).await.status == 200 {
        assert!(revoked.elapsed() < Duration::from_secs(30), "the revoked token is still valid");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop();
}
