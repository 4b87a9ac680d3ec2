//! The search of [`super`] for secrets of clusters: registration tokens, tokens of kubeconfigs, users' tokens, and credentials
//! of a cluster's administrator. The check cannot choose these secrets; it reads each after the server or the cluster created it.

use std::time::{Duration, Instant};

use cluster_access::{Kubeconfig, SignIn};
use norman_aks::services::RegistrationToken;

use super::*;

/// The secret of a token `<name>:<secret>`.
fn token_secret(token: &str) -> String {
    token.split_once(':').unwrap().1.to_owned()
}

impl LeakCheck {
    /// Adds a secret to search for.
    fn add_secret(&mut self, name: &str, core: String) {
        assert!(core.len() >= 30, "{name} is too short to search for: {core}");
        if !self.canaries.iter().any(|canary| canary.core == core) {
            self.canaries.push(Canary { name: name.to_owned(), core });
        }
    }

    /// Sends a request whose response is not searched, because it may contain a secret on purpose.
    async fn send_unsearched(&mut self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.server.http.request(method, format!("{}{path}", self.server.url));
        let response = reply(request.bearer_auth(&self.token).body(body.to_string())).await;
        assert!((200..300).contains(&response.status), "{path}: {}", response.text);
        response.json()
    }

    /// Sends a request without a token, over HTTP/1.1 and HTTP/2; returns both statuses. The HTTP/1.1 request does not use a
    /// client, which could normalize the URL.
    async fn send_without_token(&mut self, method: &str, target: &str, may_contain_secret: bool) -> Vec<u16> {
        let mut statuses = Vec::new();
        let address: SocketAddr = self.server.url.strip_prefix("http://").unwrap().parse().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nX-Forwarded-For: {}\r\nConnection: close\r\n\r\n",
            self.next_client_ip()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut response).await.unwrap();
        let response = String::from_utf8(response).unwrap();
        statuses.push(response.split(' ').nth(1).unwrap().parse().unwrap());
        if !may_contain_secret {
            self.outputs.add(format!("the response to {method} {target}"), response);
        }
        let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
        let request = http2.request(method.parse().unwrap(), format!("{}{target}", self.server.url));
        let response = reply(request.header("x-forwarded-for", self.next_client_ip().to_string())).await;
        statuses.push(response.status);
        if !may_contain_secret {
            self.outputs.add(format!("the response to {method} {target} over HTTP/2"), response.text);
        }
        statuses
    }
}

/// Imports the existing cluster and waits until it is active; returns its ID.
async fn import_cluster(check: &mut LeakCheck, sandbox: &Value) -> String {
    let config = json!({"clusterName": sandbox["imported_cluster_name"],
        "resourceGroup": sandbox["resource_group"], "resourceLocation": sandbox["location"], "imported": true,
        "azureCredentialSecret": sandbox["credential_id"]});
    let body = json!({"name": "hunted", "aksConfig": config});
    let created = check.send_unsearched(Method::POST, "/v3/clusters", &body).await;
    let id = created["id"].as_str().unwrap().to_owned();
    let started = Instant::now();
    loop {
        let (_, text) = check.send_as_admin(Method::GET, &format!("/v3/clusters/{id}"), "").await;
        let cluster: Value = serde_json::from_str(&text).unwrap();
        if cluster["state"] == "active" && cluster["nodeCount"].is_number() {
            return id;
        }
        assert!(started.elapsed() < Duration::from_mins(2), "{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Adds the credentials of the cluster's administrator, which the server uses too.
async fn add_administrator_credentials(check: &mut LeakCheck) {
    let clusters =
        reply(check.server.http.get(format!("{}/kubernetes/clusters", check.control))).await.json();
    let fqdn = clusters[0]["fqdn"].as_str().unwrap_or_else(|| panic!("{clusters}"));
    let url = format!("{}/kubernetes/clusters/{fqdn}/kubeconfig", check.control);
    let kubeconfig = reply(check.server.http.get(url)).await.text;
    let value = |key: &str| {
        let line = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_else(|| panic!("{key} in {kubeconfig}")).trim().to_owned()
    };
    let key = String::from_utf8(STANDARD.decode(value("client-key-data:")).unwrap()).unwrap();
    // One line of the PEM, so that other line breaks do not hide it.
    check.add_secret("the key of a cluster's administrator", key.lines().nth(1).unwrap().to_owned());
    check.add_secret("the token of a cluster's administrator", value("token:"));
}

/// Uses registration tokens from creation to deletion, and sends them in all places where a user could put one by mistake.
async fn use_registration_tokens(check: &mut LeakCheck, id: &str) {
    let base = "/v3/clusterregistrationtokens";
    let default_token_path = format!("{base}/{id}:default-token");
    let first = check.send_unsearched(Method::GET, &default_token_path, &Value::Null).await;
    let second = check.send_unsearched(Method::POST, base, &json!({"clusterId": id, "name": "more"})).await;
    for (token, name) in [(&first, "a registration token"), (&second, "a registration token that is deleted")]
    {
        let secret = token["token"].as_str().unwrap().to_owned();
        check.add_secret(name, secret.clone());
        let file = format!("{secret}_{id}.yaml");
        assert_eq!(check.send_without_token("GET", &format!("/v3/import/{file}"), true).await, [200, 200]);
        for target in [
            format!("/v3/import/{file}?authImage=no%20image"),
            format!("/v3/import/{secret}_c-none1.yaml"),
            format!("/v3/import/{secret}.yaml"),
            format!("/v3/import/{secret}_{id}.yml"),
            format!("/v3/import/{secret}_{id}"),
            format!("/v3/import/_{secret}.yaml"),
            format!("/v3/import/x{file}"),
            format!("/v3/import/{file}/"),
            format!("/v3/import/{secret}/{id}.yaml"),
            format!("/v3/import//{file}"),
            format!("//v3/import/{file}"),
            format!("/V3/Import/{file}"),
            format!("/v3/%69mport/{file}"),
            format!("/v3/imports/{file}"),
            format!("/import/{file}"),
            format!("/{file}"),
            format!("/v3/{file}"),
            format!("/v3?token={secret}"),
            format!("/v3/import/?file={file}"),
            format!("/livez?file={file}"),
            format!("/meta/{secret}"),
            format!("/meta/aksLocations?cloudCredentialId={secret}"),
        ] {
            let statuses = check.send_without_token("GET", &target, false).await;
            assert!(statuses.iter().all(|status| *status != 500), "{target}: {statuses:?}");
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            check.send_without_token(method, &format!("/v3/import/{file}"), false).await;
        }
        // With an API token, more of the URL is processed. Filters are left out: responses repeat them on purpose.
        for (method, path) in [
            (Method::GET, format!("{base}/{secret}")),
            (Method::GET, format!("{base}/{id}:{secret}")),
            (Method::DELETE, format!("{base}/{id}:{secret}")),
            (Method::GET, format!("/v3/clusters/{secret}")),
            (Method::PUT, format!("/v3/clusters/{secret}")),
            (Method::DELETE, format!("/v3/clusters/{secret}")),
            (Method::POST, format!("/v3/clusters/{secret}?action=generateKubeconfig")),
            (Method::DELETE, format!("/v3/cloudcredentials/{secret}")),
            (Method::DELETE, format!("/v3/clusterroletemplatebindings/{id}:{secret}")),
            (Method::PUT, format!("/v3/settings/{secret}")),
            (Method::GET, format!("/k8s/clusters/{secret}/version")),
            (Method::GET, format!("/v3/nodes?token={secret}")),
        ] {
            check.send_as_admin(method, &path, r#"{"name":"x","value":"x"}"#).await;
        }
        for body in [json!({"clusterId": secret}), json!({"clusterId": id, "name": "more", "token": secret})]
        {
            let (status, text) = check.send_as_admin(Method::POST, base, body.to_string()).await;
            assert!(status >= 400, "{text}");
        }
    }
    let deleted = check.send_unsearched(Method::DELETE, &format!("{base}/{id}:more"), &Value::Null).await;
    assert_eq!(deleted["id"], second["id"]);
    let manifest = format!("/v3/import/{}_{id}.yaml", second["token"].as_str().unwrap());
    assert_eq!(check.send_without_token("GET", &manifest, false).await, [400, 400]);
}

/// Uses a kubeconfig's token and users' tokens from creation to deletion, and sends them in wrong places.
async fn use_user_tokens(check: &mut LeakCheck, id: &str) {
    let setting = json!({"value": "https://aks.example.org"});
    check.send_unsearched(Method::PUT, "/v3/settings/server-url", &setting).await;
    let action = format!("/v3/clusters/{id}?action=generateKubeconfig");
    let response = check.send_unsearched(Method::POST, &action, &Value::Null).await;
    let kubeconfig = response["config"].as_str().unwrap();
    let kubeconfig_token =
        kubeconfig.split("token: \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    check.add_secret("the token of a kubeconfig", token_secret(&kubeconfig_token));
    let body = json!({"description": "mine", "ttl": 3_600_000});
    let response = check.send_unsearched(Method::POST, "/v3/tokens", &body).await;
    let user_token = response["token"].as_str().unwrap().to_owned();
    check.add_secret("a user's token", token_secret(&user_token));
    let response = check.send_unsearched(Method::POST, "/v3/tokens", &json!({"clusterId": id})).await;
    let cluster_token = response["token"].as_str().unwrap().to_owned();
    check.add_secret("a user's token for one cluster", token_secret(&cluster_token));
    for (token, is_unrestricted) in [(&kubeconfig_token, false), (&user_token, true), (&cluster_token, false)]
    {
        let (name, secret) = token.split_once(':').unwrap();
        for (path, expected) in [
            (format!("/k8s/clusters/{id}/version"), 200),
            (format!("/k8s/clusters/{id}/api/v1/namespaces"), 200),
            ("/v3/clusters".to_owned(), if is_unrestricted { 200 } else { 401 }),
        ] {
            let request = check.server.http.get(format!("{}{path}", check.server.url)).bearer_auth(token);
            let (status, text) = check.send(&path, request).await;
            assert_eq!(status, expected, "{path}: {text}");
        }
        let request = check.server.http.get(format!("{}/v3/clusters", check.server.url));
        let request = request.bearer_auth(format!("token-none1:{secret}"));
        assert_eq!(check.send("a secret with another name", request).await.0, 401);
        for (method, path) in [
            (Method::GET, format!("/v3/tokens/{name}")),
            (Method::GET, "/v3/tokens".to_owned()),
            (Method::GET, format!("/v3/tokens/{token}")),
            (Method::GET, format!("/v3/tokens/{name}%3A{secret}")),
            (Method::DELETE, format!("/v3/tokens/{token}")),
            (Method::POST, format!("/v3/tokens/{token}?_method=DELETE")),
            (Method::DELETE, format!("/v3/tokens/{secret}")),
            (Method::GET, format!("/v3/users/{secret}")),
            (Method::GET, format!("/v3/clusters?access_token={token}")),
            (Method::GET, format!("/k8s/clusters/{id}/version?access_token={token}")),
            (Method::GET, format!("/k8s/clusters/{id}/{token}")),
            (Method::GET, format!("/docs/{token}")),
        ] {
            check.send_as_admin(method, &path, "").await;
        }
        assert_eq!(check.send_as_admin(Method::DELETE, &format!("/v3/tokens/{name}"), "").await.0, 200);
    }
}

async fn search_for_secrets(db: Option<&TestDb>) {
    let directory = tempfile::tempdir().unwrap();
    let key = stdout_of(directory.path(), &["key", "generate"]);
    fs::write(directory.path().join("keys"), &key).unwrap();
    let bootstrap = Canary::new("the bootstrap token");
    let token = format!("token-boot:{}", bootstrap.core);
    let arguments = ["--sandbox", "--data-dir=data", "--encryption-key-file=keys", "--log-format=json"];
    let configured_command = |subcommand: &[&str]| -> Command {
        let mut command = command(directory.path(), subcommand);
        command.args(arguments).env("RUST_LOG", TRACE_ALL);
        if let Some(db) = db {
            command.env("NORMAN_AKS_DATABASE_URL", &db.url);
        }
        command
    };
    let mut serve = configured_command(&[
        "serve",
        "--listen=127.0.0.1:0",
        "--metrics-listen=127.0.0.1:0",
        "--sandbox-control-listen=127.0.0.1:0",
        "--trusted-proxies=127.0.0.1/32",
    ]);
    let mut server = Server::spawn(serve.env("NORMAN_AKS_BOOTSTRAP_TOKEN", &token));
    let metrics = format!("http://{}/metrics", server.listener_address("metrics"));
    let sandbox = sandbox_file(&directory.path().join("data"));
    let control = sandbox["control_url"].as_str().unwrap().to_owned();
    let mut check = LeakCheck {
        server,
        control,
        token,
        outputs: Outputs::default(),
        canaries: vec![bootstrap],
        client_ips: 0,
    };

    let id = import_cluster(&mut check, &sandbox).await;
    add_administrator_credentials(&mut check).await;
    use_registration_tokens(&mut check, &id).await;
    use_user_tokens(&mut check, &id).await;
    for path in
        ["/v3/clusters", "/v3/tokens", "/v3/users", "/v3/settings", "/v3/projects", "/v3/cloudcredentials"]
    {
        assert_eq!(check.send_as_admin(Method::GET, path, "").await.0, 200, "{path}");
    }
    let default_token_path = format!("/v3/clusterregistrationtokens/{id}:default-token");
    let token = check.send_unsearched(Method::GET, &default_token_path, &Value::Null).await;
    // The cluster's API returns faulty responses to requests that the server sends with the administrator's certificate.
    for effect in ["cut_before_answer", "truncated_body", "invalid_json"] {
        check.control_sandbox(Method::POST, "/kubernetes/faults", &json!({"effect": effect})).await;
        check.send_as_admin(Method::GET, &format!("/k8s/clusters/{id}/version"), "").await;
        check.control_sandbox(Method::DELETE, "/kubernetes/faults", &Value::Null).await;
    }
    // The registration token is valid until the cluster is deleted, because the agent may need it.
    for path in [format!("/v3/clusters/{id}"), format!("/v3/clusters/{id}?force=true")] {
        check.send_as_admin(Method::DELETE, &path, "").await;
    }
    let token = token["token"].as_str().unwrap();
    let manifest = format!("/v3/import/{token}_{id}.yaml");
    assert_eq!(check.send_without_token("GET", &manifest, false).await, [400, 400]);
    check.send("GET /metrics", check.server.http.get(metrics)).await;

    let LeakCheck { server, mut outputs, canaries, .. } = check;
    // The sandbox's own files contain the keys of its clusters.
    let sandbox_files = ["sandbox.json", "sandbox-azure.json", "sandbox-kubernetes.json"];
    add_files(&mut outputs, &directory.path().join("data"), &sandbox_files);
    outputs.add("the log", server.stop());
    add_files(&mut outputs, &directory.path().join("data"), &sandbox_files);
    if let Some(db) = db {
        add_tables(&mut outputs, &db.url).await;
    }
    for arguments in [["check"].as_slice(), &["token", "list"], &["key", "rotate"]] {
        outputs.add(format!("{arguments:?}"), output_text(&configured_command(arguments).output().unwrap()));
    }
    assert_eq!(canaries.len(), 8, "{:?}", canaries.iter().map(|canary| &canary.name).collect::<Vec<_>>());
    // Without requests and lines of libraries in the log, the search would prove nothing.
    let (_, log) = outputs.0.iter().find(|(source, _)| source == "the log").unwrap();
    for expected in [
        "\"path\":\"/v3/import/****\"".to_owned(),
        "\"path\":\"/v3/tokens/kubeconfig-user-".to_owned(),
        format!("\"path\":\"/v3/clusterregistrationtokens/{id}:****\""),
        "\"target\":\"hyper".to_owned(),
        "\"target\":\"h2".to_owned(),
    ] {
        assert!(log.contains(&expected), "{expected} is not in the log");
    }
    let leaks = outputs.find_leaks(&canaries);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n\n"));
}

#[tokio::test]
async fn cluster_secrets_do_not_leak_on_sqlite() {
    search_for_secrets(None).await;
}

#[tokio::test]
async fn cluster_secrets_do_not_leak_on_postgres() {
    if let Some(db) = databases::postgres().await {
        search_for_secrets(Some(&db)).await;
    }
}

/// A kubeconfig as Azure returns it to administrators.
fn kubeconfig(token: &str, key: &str) -> String {
    let encoded = |text: &str| STANDARD.encode(text);
    format!(
        "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {}
    server: https://one-dns-12345678.hcp.eastus.azmk8s.io:443
  name: one
contexts:
- context:
    cluster: one
    user: clusterAdmin_one
  name: one
current-context: one
kind: Config
users:
- name: clusterAdmin_one
  user:
    client-certificate-data: {}
    client-key-data: {}
    token: {token}
",
        encoded("an authority"),
        encoded("a certificate"),
        encoded(key)
    )
}

#[tokio::test]
async fn cluster_types_and_errors_do_not_print_secrets() {
    let (token, key) = (Canary::new("a token of a cluster"), Canary::new("a key of a cluster"));
    let valid = kubeconfig(&token.core, &key.core);
    let mut outputs = Outputs::default();
    let mut parsed = 0;
    // Unchanged, with a certificate only, and truncated or damaged at every line.
    let lines: Vec<&str> = valid.lines().collect();
    let mut variants = vec![valid.clone(), valid.replace(&format!("token: {}", token.core), "")];
    for (index, line) in lines.iter().enumerate() {
        let before = lines[..index].join("\n");
        variants.push(before.clone());
        variants.push(format!("{before}\n\t}}: [{line}\n{}", lines[index..].join("\n")));
        variants.push([&lines[..index], &lines[index + 1..]].concat().join("\n"));
        variants.push(valid.replacen(line, &format!("{line}: {{"), 1));
    }
    variants.push(valid.replace(&STANDARD.encode(&key.core), &key.core));
    for variant in variants {
        match Kubeconfig::parse(&SecretString::from(variant)) {
            Ok(kubeconfig) => {
                parsed += 1;
                let SignIn::Identity(identity) = kubeconfig.sign_in.clone() else { panic!("{kubeconfig:?}") };
                outputs.add(
                    "Kubeconfig",
                    format!("{kubeconfig:?} {:?}", kubeconfig.access("c-abcde", identity)),
                );
            }
            Err(error) => {
                let source = std::error::Error::source(&error);
                outputs.add("the error of a kubeconfig", format!("{error:?} {error} {source:?}"));
            }
        }
    }
    assert!(parsed >= 2, "{parsed}");

    let canary = Canary::new("a registration token");
    let registration_token = RegistrationToken {
        cluster_id: "c-x7k9z".to_owned(),
        name: "default-token".to_owned(),
        uuid: String::new(),
        created_ms: 0,
        token: SecretString::from(canary.core.clone()),
    };
    outputs.add("RegistrationToken", format!("{registration_token:?}"));
    let leaks = outputs.find_leaks(&[token, key, canary]);
    assert!(leaks.is_empty(), "{}", leaks.join("\n\n"));
}
