//! The same search for secrets of clusters: registration tokens, tokens of kubeconfigs, users' tokens, and credentials of a
//! cluster's administrator. The test does not choose them: it searches for each as the server or the cluster created it.

use std::time::{Duration, Instant};

use cluster_access::{Kubeconfig, SignIn};
use norman_aks::services::RegistrationToken;

use super::*;

/// The secret part of a text: the part after the last separator.
fn behind(text: &str, separator: char) -> String {
    text.rsplit_once(separator).map_or(text, |(_, secret)| secret).to_owned()
}

impl Hunt {
    /// Adds a secret that was read from where it belongs.
    fn met(&mut self, name: &str, core: String) {
        assert!(core.len() >= 30, "{name}: {core}");
        if !self.canaries.iter().any(|known| known.core == core) {
            self.canaries.push(Canary { name: name.to_owned(), core });
        }
    }

    /// Sends a request whose response may contain a secret.
    async fn send_json(&mut self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.server.http.request(method, format!("{}{path}", self.server.url));
        let answer = reply(request.bearer_auth(&self.token).body(body.to_string())).await;
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.text);
        answer.json()
    }

    /// Sends a request without a token, over HTTP/1.1 and HTTP/2, with an unchanged URL, which clients could normalise.
    async fn bare(&mut self, method: &str, target: &str, may_tell: bool) -> Vec<u16> {
        let mut statuses = Vec::new();
        let address: SocketAddr = self.server.url.strip_prefix("http://").unwrap().parse().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nX-Forwarded-For: {}\r\nConnection: close\r\n\r\n",
            self.next_client_ip()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        statuses.push(answer.split(' ').nth(1).unwrap().parse().unwrap());
        if !may_tell {
            self.found.add(format!("the answer to {method} {target}"), answer);
        }
        let two = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
        let request = two.request(method.parse().unwrap(), format!("{}{target}", self.server.url));
        let answer = reply(request.header("x-forwarded-for", self.next_client_ip().to_string())).await;
        statuses.push(answer.status);
        if !may_tell {
            self.found.add(format!("the answer to {method} {target} over HTTP/2"), answer.text);
        }
        statuses
    }
}

/// Imports the existing cluster and waits until it is active; returns its ID.
async fn cluster(hunt: &mut Hunt, it: &Value) -> String {
    let config = json!({"clusterName": it["imported_cluster_name"], "resourceGroup": it["resource_group"],
        "resourceLocation": it["location"], "imported": true, "azureCredentialSecret": it["credential_id"]});
    let body = json!({"name": "hunted", "aksConfig": config});
    let made = hunt.send_json(Method::POST, "/v3/clusters", &body).await;
    let id = made["id"].as_str().unwrap().to_owned();
    let started = Instant::now();
    loop {
        let (_, text) = hunt.ask(Method::GET, &format!("/v3/clusters/{id}"), "").await;
        let seen: Value = serde_json::from_str(&text).unwrap();
        if seen["state"] == "active" && seen["nodeCount"].is_number() {
            return id;
        }
        assert!(started.elapsed() < Duration::from_mins(2), "{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The credentials of the cluster's administrator, which the server uses too.
async fn inside(hunt: &mut Hunt) {
    let clusters = reply(hunt.server.http.get(format!("{}/kubernetes/clusters", hunt.control))).await.json();
    let fqdn =
        clusters[0]["fqdn"].as_str().or(clusters[0]["host"].as_str()).unwrap_or_else(|| panic!("{clusters}"));
    let address = format!("{}/kubernetes/clusters/{fqdn}/kubeconfig", hunt.control);
    let kubeconfig = reply(hunt.server.http.get(address)).await.text;
    let value = |key: &str| {
        let line = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_else(|| panic!("{key} in {kubeconfig}")).trim().to_owned()
    };
    let key = String::from_utf8(STANDARD.decode(value("client-key-data:")).unwrap()).unwrap();
    // A line from inside the PEM, which does not depend on wrapping, and its base64 form.
    hunt.met("the key of a cluster's administrator", key.lines().nth(1).unwrap().to_owned());
    hunt.met("the token of a cluster's administrator", value("token:"));
}

/// Registration tokens, from creation to deletion, and in every place where one can be put by mistake.
async fn registration(hunt: &mut Hunt, id: &str) {
    let tokens = "/v3/clusterregistrationtokens";
    let first = hunt.send_json(Method::GET, &format!("{tokens}/{id}:default-token"), &Value::Null).await;
    let more = hunt.send_json(Method::POST, tokens, &json!({"clusterId": id, "name": "more"})).await;
    for (token, name) in [(&first, "a registration token"), (&more, "a registration token that is removed")] {
        let secret = token["token"].as_str().unwrap().to_owned();
        hunt.met(name, secret.clone());
        let file = format!("{secret}_{id}.yaml");
        assert_eq!(hunt.bare("GET", &format!("/v3/import/{file}"), true).await, [200, 200]);
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
            let statuses = hunt.bare("GET", &target, false).await;
            assert!(statuses.iter().all(|status| *status != 500), "{target}: {statuses:?}");
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            hunt.bare(method, &format!("/v3/import/{file}"), false).await;
        }
        // With a valid token, with which more of the URL is processed. Filters are repeated in the response.
        for (method, path) in [
            (Method::GET, format!("{tokens}/{secret}")),
            (Method::GET, format!("{tokens}/{id}:{secret}")),
            (Method::DELETE, format!("{tokens}/{id}:{secret}")),
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
            hunt.ask(method, &path, r#"{"name":"x","value":"x"}"#).await;
        }
        for body in [json!({"clusterId": secret}), json!({"clusterId": id, "name": "more", "token": secret})]
        {
            let (status, text) = hunt.ask(Method::POST, tokens, body.to_string()).await;
            assert!(status >= 400, "{text}");
        }
    }
    let removed = hunt.send_json(Method::DELETE, &format!("{tokens}/{id}:more"), &Value::Null).await;
    assert_eq!(removed["id"], more["id"]);
    let gone = format!("/v3/import/{}_{id}.yaml", more["token"].as_str().unwrap());
    assert_eq!(hunt.bare("GET", &gone, false).await, [400, 400]);
}

/// Tokens of kubeconfigs and users' own: used, read, put in the wrong place, and deleted.
async fn tokens_of_people(hunt: &mut Hunt, id: &str) {
    let setting = json!({"value": "https://aks.example.org"});
    hunt.send_json(Method::PUT, "/v3/settings/server-url", &setting).await;
    let action = format!("/v3/clusters/{id}?action=generateKubeconfig");
    let made = hunt.send_json(Method::POST, &action, &Value::Null).await;
    let config = made["config"].as_str().unwrap();
    let in_kubeconfig = config.split("token: \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    hunt.met("the token of a kubeconfig", behind(&in_kubeconfig, ':'));
    let own =
        hunt.send_json(Method::POST, "/v3/tokens", &json!({"description": "mine", "ttl": 3_600_000})).await;
    let own = own["token"].as_str().unwrap().to_owned();
    hunt.met("a token of one's own", behind(&own, ':'));
    let narrow = hunt.send_json(Method::POST, "/v3/tokens", &json!({"clusterId": id})).await;
    let narrow = narrow["token"].as_str().unwrap().to_owned();
    hunt.met("a token of one's own for one cluster", behind(&narrow, ':'));
    for (token, everywhere) in [(&in_kubeconfig, false), (&own, true), (&narrow, false)] {
        let (name, secret) = token.split_once(':').unwrap();
        for (path, expected) in [
            (format!("/k8s/clusters/{id}/version"), 200),
            (format!("/k8s/clusters/{id}/api/v1/namespaces"), 200),
            ("/v3/clusters".to_owned(), if everywhere { 200 } else { 401 }),
        ] {
            let request = hunt.server.http.get(format!("{}{path}", hunt.server.url)).bearer_auth(token);
            let (status, text) = hunt.send(&path, request).await;
            assert_eq!(status, expected, "{path}: {text}");
        }
        let wrong = hunt.server.http.get(format!("{}/v3/clusters", hunt.server.url));
        let wrong = wrong.bearer_auth(format!("token-none1:{secret}"));
        assert_eq!(hunt.send("a secret with another name", wrong).await.0, 401);
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
            hunt.ask(method, &path, "").await;
        }
        assert_eq!(hunt.ask(Method::DELETE, &format!("/v3/tokens/{name}"), "").await.0, 200);
    }
}

async fn hunted(db: Option<&TestDb>) {
    let folder = tempfile::tempdir().unwrap();
    let key = stdout_of(folder.path(), &["key", "generate"]);
    fs::write(folder.path().join("keys"), &key).unwrap();
    let bootstrap = Canary::new("the bootstrap token");
    let token = format!("token-boot:{}", bootstrap.core);
    let arguments = ["--sandbox", "--data-dir=data", "--encryption-key-file=keys", "--log-format=json"];
    let prepared = |more: &[&str]| -> Command {
        let mut command = command(folder.path(), more);
        command.args(arguments).env("RUST_LOG", TALKATIVE);
        if let Some(db) = db {
            command.env("NORMAN_AKS_DATABASE_URL", &db.url);
        }
        command
    };
    let mut serve = prepared(&[
        "serve",
        "--listen=127.0.0.1:0",
        "--metrics-listen=127.0.0.1:0",
        "--sandbox-control-listen=127.0.0.1:0",
        "--trusted-proxies=127.0.0.1/32",
    ]);
    let mut server = Server::spawn(serve.env("NORMAN_AKS_BOOTSTRAP_TOKEN", &token));
    let metrics = format!("http://{}/metrics", server.listener_address("metrics"));
    let it = sandbox_file(&folder.path().join("data"));
    let control = it["control_url"].as_str().unwrap().to_owned();
    let mut hunt =
        Hunt { server, control, token, found: Found::default(), canaries: vec![bootstrap], client_ips: 0 };

    let id = cluster(&mut hunt, &it).await;
    inside(&mut hunt).await;
    registration(&mut hunt, &id).await;
    tokens_of_people(&mut hunt, &id).await;
    for path in
        ["/v3/clusters", "/v3/tokens", "/v3/users", "/v3/settings", "/v3/projects", "/v3/cloudcredentials"]
    {
        assert_eq!(hunt.ask(Method::GET, path, "").await.0, 200, "{path}");
    }
    let token = hunt
        .send_json(Method::GET, &format!("/v3/clusterregistrationtokens/{id}:default-token"), &Value::Null)
        .await;
    // An API with faulty responses, while the administrator's certificate is used.
    for effect in ["cut_before_answer", "truncated_body", "invalid_json"] {
        hunt.steer(Method::POST, "/kubernetes/faults", &json!({"effect": effect})).await;
        hunt.ask(Method::GET, &format!("/k8s/clusters/{id}/version"), "").await;
        hunt.steer(Method::DELETE, "/kubernetes/faults", &Value::Null).await;
    }
    // Until the cluster is deleted, its agent may need the token.
    for path in [format!("/v3/clusters/{id}"), format!("/v3/clusters/{id}?force=true")] {
        hunt.ask(Method::DELETE, &path, "").await;
    }
    let token = token["token"].as_str().unwrap();
    let removed = format!("/v3/import/{token}_{id}.yaml");
    assert_eq!(hunt.bare("GET", &removed, false).await, [400, 400]);
    hunt.send("GET /metrics", hunt.server.http.get(metrics)).await;

    let Hunt { server, mut found, canaries, .. } = hunt;
    // The sandbox's own files, with the keys of its clusters.
    let of_azure = ["sandbox.json", "sandbox-azure.json", "sandbox-kubernetes.json"];
    add_files(&mut found, &folder.path().join("data"), &of_azure);
    found.add("the log", server.stop());
    add_files(&mut found, &folder.path().join("data"), &of_azure);
    if let Some(db) = db {
        add_tables(&mut found, &db.url).await;
    }
    for arguments in [["check"].as_slice(), &["token", "list"], &["key", "rotate"]] {
        found.add(format!("{arguments:?}"), output_text(&prepared(arguments).output().unwrap()));
    }
    assert_eq!(canaries.len(), 8, "{:?}", canaries.iter().map(|canary| &canary.name).collect::<Vec<_>>());
    let (_, logged) = found.0.iter().find(|(place, _)| place == "the log").unwrap();
    for shown in [
        "\"path\":\"/v3/import/****\"".to_owned(),
        "\"path\":\"/v3/tokens/kubeconfig-user-".to_owned(),
        format!("\"path\":\"/v3/clusterregistrationtokens/{id}:****\""),
        "\"target\":\"hyper".to_owned(),
        "\"target\":\"h2".to_owned(),
    ] {
        assert!(logged.contains(&shown), "{shown} is not in the log");
    }
    let sightings = found.sightings(&canaries);
    assert!(sightings.is_empty(), "{} sightings:\n{}", sightings.len(), sightings.join("\n\n"));
}

#[tokio::test]
async fn no_secret_of_a_cluster_leaves_a_server_on_sqlite() {
    hunted(None).await;
}

#[tokio::test]
async fn no_secret_of_a_cluster_leaves_a_server_on_postgres() {
    if let Some(db) = databases::postgres().await {
        hunted(Some(&db)).await;
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
async fn neither_debug_forms_nor_errors_around_clusters_show_a_secret() {
    let (token, key) = (Canary::new("a token of a cluster"), Canary::new("a key of a cluster"));
    let whole = kubeconfig(&token.core, &key.core);
    let mut found = Found::default();
    let mut parsed = 0;
    // Unchanged, with a certificate only, and truncated or damaged at every line.
    let lines: Vec<&str> = whole.lines().collect();
    let mut texts = vec![whole.clone(), whole.replace(&format!("token: {}", token.core), "")];
    for at in 0..lines.len() {
        texts.push(lines[..at].join("\n"));
        texts.push(format!("{}\n\t}}: [{}\n{}", lines[..at].join("\n"), lines[at], lines[at..].join("\n")));
        texts.push([&lines[..at], &lines[at + 1..]].concat().join("\n"));
        texts.push(whole.replacen(lines[at], &format!("{}: {{", lines[at]), 1));
    }
    texts.push(whole.replace(&STANDARD.encode(&key.core), &key.core));
    for text in texts {
        match Kubeconfig::parse(&SecretString::from(text)) {
            Ok(kubeconfig) => {
                parsed += 1;
                let SignIn::Identity(identity) = kubeconfig.sign_in.clone() else { panic!("{kubeconfig:?}") };
                found.add(
                    "Kubeconfig",
                    format!("{kubeconfig:?} {:?}", kubeconfig.access("c-abcde", identity)),
                );
            }
            Err(error) => {
                let source = std::error::Error::source(&error);
                found.add("the error of a kubeconfig", format!("{error:?} {error} {source:?}"));
            }
        }
    }
    assert!(parsed >= 2, "{parsed}");

    let registered = Canary::new("a registration token");
    let of_cluster = RegistrationToken {
        cluster_id: "c-x7k9z".to_owned(),
        name: "default-token".to_owned(),
        uuid: String::new(),
        created_ms: 0,
        token: SecretString::from(registered.core.clone()),
    };
    found.add("RegistrationToken", format!("{of_cluster:?}"));
    let sightings = found.sightings(&[token, key, registered]);
    assert!(sightings.is_empty(), "{}", sightings.join("\n\n"));
}
