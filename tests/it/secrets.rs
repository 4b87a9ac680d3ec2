//! Searches for leaked secrets: distinct canaries are sent to every input of the real executable, in successful and failed
//! requests, and searched for in all output: responses, log lines of all libraries at the most verbose level, metrics,
//! printed text, files and tables. (The file that the sandbox writes for scripts contains secrets on purpose.)

mod clusters;

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use norman_aks::config::{Config, Flags};
use norman_aks::services::Secrets;
use norman_aks::services::{AzureChange, CredentialChange, CredentialSource, InlineCredential};
use norman_aks::{KeyRing, Vault};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use url::Url;

use crate::meta::LISTINGS;
use crate::support::app::TestApp;
use crate::support::databases::{self, TestDb};
use crate::support::program::{Server, command, output_text, reply, sandbox_file, stdout_of};

/// The most verbose log level of every library.
const TRACE_ALL: &str = "trace,azure_core=trace,azure_identity=trace,h2=trace,hyper=trace,hyper_util=trace,\
    reqwest=trace,rustls=trace,sqlx=trace,tower=trace,tower_http=trace,typespec_client_core=trace";

/// A secret, and the part of it that no escaping changes.
#[derive(Clone)]
struct Canary {
    name: String,
    core: String,
}

impl Canary {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), core: uuid::Uuid::new_v4().simple().to_string() }
    }

    /// The secret with all characters that JSON, forms, URLs and HTML escape.
    fn secret(&self) -> String {
        format!("{}~+/\"&< %41\\", self.core)
    }

    /// The core as it is, in upper case, in hexadecimal, and in base64 at each of the three offsets in a group of bytes.
    fn encodings(&self) -> Vec<String> {
        let hexadecimal = to_hexadecimal(&self.core);
        let mut encodings =
            vec![self.core.clone(), self.core.to_uppercase(), hexadecimal.to_uppercase(), hexadecimal];
        for offset in 0..3 {
            let encoded = STANDARD.encode([&[b' '; 2][..offset], self.core.as_bytes()].concat());
            // The first and last characters depend on the neighbouring bytes.
            encodings.push(encoded[4..encoded.len() - 4].to_owned());
        }
        encodings
    }
}

/// The collected outputs, each with its source.
#[derive(Default)]
struct Outputs(Vec<(String, String)>);

impl Outputs {
    fn add(&mut self, source: impl Into<String>, text: impl AsRef<[u8]>) {
        self.0.push((source.into(), String::from_utf8_lossy(text.as_ref()).into_owned()));
    }

    /// Finds the canaries in the outputs; returns each with the text before it.
    fn find_leaks(&self, canaries: &[Canary]) -> Vec<String> {
        let mut leaks = Vec::new();
        for canary in canaries {
            for encoding in canary.encodings() {
                for (source, text) in &self.0 {
                    if let Some(position) = text.find(&encoding) {
                        let context: String = text[..position].chars().rev().take(300).collect();
                        let context: String = context.chars().rev().collect();
                        leaks.push(format!("{} in {source}: …{context}[HERE]", canary.name));
                    }
                }
            }
        }
        leaks
    }
}

/// A running sandbox server and all its output.
struct LeakCheck {
    server: Server,
    control: String,
    token: String,
    outputs: Outputs,
    canaries: Vec<Canary>,
    /// The number of client IPs that were used.
    client_ips: u32,
}

impl LeakCheck {
    /// Creates a canary that the outputs are searched for.
    fn add_canary(&mut self, name: &str) -> Canary {
        let canary = Canary::new(name);
        self.canaries.push(canary.clone());
        canary
    }

    /// Another client IP for each request, because failed logins are delayed per client IP.
    fn next_client_ip(&mut self) -> Ipv4Addr {
        self.client_ips += 1;
        Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + self.client_ips)
    }

    async fn send(&mut self, description: &str, request: reqwest::RequestBuilder) -> (u16, String) {
        let response = reply(request.header("x-forwarded-for", self.next_client_ip().to_string())).await;
        self.outputs.add(
            format!("the response to {description}"),
            format!("{:?}\n{}", response.headers, response.text),
        );
        (response.status, response.text)
    }

    /// Sends a request with the administrator's token.
    async fn send_as_admin(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> (u16, String) {
        let description = format!("{method} {path}");
        let request = self.server.http.request(method, format!("{}{path}", self.server.url));
        let request = request.bearer_auth(&self.token).body(body);
        self.send(&description, request).await
    }

    /// Sends a request to the sandbox's control API.
    async fn control_sandbox(&self, method: Method, path: &str, body: &Value) {
        let request = self.server.http.request(method, format!("{}{path}", self.control));
        let response = reply(request.header("content-type", "application/json").body(body.to_string())).await;
        assert!((200..300).contains(&response.status), "{path}: {}", response.text);
    }

    /// Sets Entra's response to logins with a secret.
    async fn script_login(&self, canary: &Canary, outcome: &Value) {
        let body = json!({"secret": canary.secret(), "outcome": outcome});
        self.control_sandbox(Method::POST, "/logins", &body).await;
    }
}

fn inline_credential(sandbox: &Value, secret: &str) -> Value {
    json!({"tenantId": sandbox["tenant_id"], "subscriptionId": sandbox["subscription_id"], "clientId": sandbox["client_id"],
        "clientSecret": secret, "region": sandbox["location"]})
}

/// The path that checks the credential in a body.
const CHECK_PATH: &str = "/api/v1/credentials/check";

/// The body for [`CHECK_PATH`].
fn check_body(sandbox: &Value, secret: &str) -> String {
    json!({"tenantId": sandbox["tenant_id"], "subscriptionId": sandbox["subscription_id"], "clientId": sandbox["client_id"],
        "clientSecret": secret})
    .to_string()
}

fn stored_credential_body(sandbox: &Value, secret: &str) -> Value {
    json!({"name": "hunted", "azurecredentialConfig": {"tenantId": sandbox["tenant_id"],
        "subscriptionId": sandbox["subscription_id"], "clientId": sandbox["client_id"], "clientSecret": secret}})
}

/// Credentials in bodies: valid, invalid, and repeated in responses of Azure or of a proxy before it.
async fn send_credentials_in_bodies(check: &mut LeakCheck, sandbox: &Value) {
    let good = check.add_canary("a good secret in the body");
    check.script_login(&good, &json!("token")).await;
    let wrong = check.add_canary("a wrong secret in the body");
    for (canary, expected_error) in [(&good, None), (&wrong, Some("AADSTS7000215"))] {
        for action in ["aksCheckCredentials"].into_iter().chain(LISTINGS) {
            let body = inline_credential(sandbox, &canary.secret()).to_string();
            let (status, text) = check.send_as_admin(Method::POST, &format!("/meta/{action}"), body).await;
            match expected_error {
                // `aksUpgrades` requires a cluster too, which the body does not have.
                None => assert!(status == 200 || action == "aksUpgrades", "{action}: {text}"),
                Some(code) => assert!(text.contains(code) || action == "aksUpgrades", "{action}: {text}"),
            }
        }
        let (status, text) =
            check.send_as_admin(Method::POST, CHECK_PATH, check_body(sandbox, &canary.secret())).await;
        assert_eq!(status, 200, "{text}");
        assert_eq!(text.contains(r#""verdict":"usable""#), expected_error.is_none(), "{text}");
    }
    let repeated_by_entra = check.add_canary("a secret that Entra repeats");
    let secret = repeated_by_entra.secret();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let description =
        format!("AADSTS7000215: {secret} (client_secret={form}, {}) is wrong", STANDARD.encode(&secret));
    let body =
        json!({"error": "invalid_client", "error_description": description, "error_codes": [7_000_215]});
    let page = json!({"status": 401, "body": body, "headers": {"x-ms-request-id": secret.replace('\\', "")}});
    check.script_login(&repeated_by_entra, &json!({"answer": page})).await;
    let repeated_by_gateway = check.add_canary("a secret that a gateway repeats");
    let secret =
        repeated_by_gateway.secret().replace('&', "&amp;").replace('<', "&lt;").replace('"', "&#34;");
    let page = json!({"status": 403, "body": format!("<html><pre>client_secret={secret}</pre></html>"),
        "headers": {"content-type": "text/html"}});
    check.script_login(&repeated_by_gateway, &json!({"answer": page})).await;
    for canary in [&repeated_by_entra, &repeated_by_gateway] {
        for action in ["aksCheckCredentials", "aksLocations", "aksVMSizesV2"] {
            let body = inline_credential(sandbox, &canary.secret()).to_string();
            let (status, text) = check.send_as_admin(Method::POST, &format!("/meta/{action}"), body).await;
            assert!(status == 400 || status == 401, "{action}: {status} {text}");
            assert!(text.contains("****"), "the response was forwarded, masked: {text}");
        }
        let (status, text) =
            check.send_as_admin(Method::POST, CHECK_PATH, check_body(sandbox, &canary.secret())).await;
        assert!(status == 200 && !text.contains(r#""verdict":"usable""#), "{status} {text}");
    }

    let token = check.add_canary("an access token of Azure that Azure repeats");
    let login_secret = check.add_canary("the secret that gets this token");
    let page = json!({"body": {"token_type": "Bearer", "expires_in": 3599, "access_token": token.core}});
    check.script_login(&login_secret, &json!({"answer": page})).await;
    let error = json!({"error": {"code": "Forbidden", "message": format!("not with Authorization: Bearer {}", token.core)}});
    let fault = json!({"operation": "managedClusters",
        "effect": {"status": {"status": 403, "body": error.to_string()}}});
    check.control_sandbox(Method::POST, "/faults", &fault).await;
    let body = inline_credential(sandbox, &login_secret.secret()).to_string();
    let (_, text) = check.send_as_admin(Method::POST, "/meta/aksClusters", body.clone()).await;
    assert!(text.contains("Bearer ****"), "{text}");
    check.send_as_admin(Method::POST, "/meta/aksLocations", body).await;
    let fault = json!({"operation": "permissions",
        "effect": {"status": {"status": 403, "body": error.to_string()}}});
    check.control_sandbox(Method::POST, "/faults", &fault).await;
    let (_, text) =
        check.send_as_admin(Method::POST, CHECK_PATH, check_body(sandbox, &login_secret.secret())).await;
    assert!(text.contains("notChecked"), "{text}");
    let unusable = check.add_canary("an access token in an invalid response");
    let login_secret = check.add_canary("the secret of that login");
    let page = json!({"body": {"token_type": "Bearer", "expires_in": unusable.core, "access_token": unusable.secret()}});
    check.script_login(&login_secret, &json!({"answer": page})).await;
    check
        .send_as_admin(
            Method::POST,
            "/meta/aksLocations",
            inline_credential(sandbox, &login_secret.secret()).to_string(),
        )
        .await;
    for effect in ["cut_before_answer", "cut_in_body", "truncated_body", "invalid_json"] {
        check
            .control_sandbox(Method::POST, "/faults", &json!({"operation": "token", "effect": effect}))
            .await;
        let canary = check.add_canary(&format!("a secret whose login ends with {effect}"));
        check.script_login(&canary, &json!("token")).await;
        let (status, text) = check
            .send_as_admin(
                Method::POST,
                "/meta/aksLocations",
                inline_credential(sandbox, &canary.secret()).to_string(),
            )
            .await;
        assert!(status >= 400, "{effect}: {text}");
        check.control_sandbox(Method::DELETE, "/faults", &Value::Null).await;
    }
}

/// Uses a stored credential from creation to deletion; returns its ID.
async fn use_stored_credential(check: &mut LeakCheck, sandbox: &Value) -> String {
    let created = check.add_canary("a stored secret");
    check.script_login(&created, &json!("token")).await;
    let (status, text) = check
        .send_as_admin(
            Method::POST,
            "/v3/cloudcredentials",
            stored_credential_body(sandbox, &created.secret()).to_string(),
        )
        .await;
    assert_eq!(status, 201, "{text}");
    let id = serde_json::from_str::<Value>(&text).unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/v3/cloudcredentials/{id}");
    let cluster = json!({"name": "hunted", "annotations": {"norman-aks.io/review": "advise"}, "aksConfig": {"clusterName": "hunted", "resourceGroup": "g",
        "resourceLocation": sandbox["location"], "imported": true, "azureCredentialSecret": id}});
    let (status, text) = check.send_as_admin(Method::POST, "/v3/clusters", cluster.to_string()).await;
    assert_eq!(status, 201, "{text}");
    let cluster = serde_json::from_str::<Value>(&text).unwrap()["id"].as_str().unwrap().to_owned();
    let use_credential = async |check: &mut LeakCheck| {
        for action in LISTINGS {
            let listing = format!(
                "/meta/{action}?cloudCredentialId={id}&region={}&clusterId={cluster}",
                sandbox["location"].as_str().unwrap()
            );
            let (_, text) = check.send_as_admin(Method::GET, &listing, "").await;
            assert!(!text.is_empty());
        }
        let (status, text) =
            check.send_as_admin(Method::GET, &format!("/api/v1/credentials/{id}/check"), "").await;
        assert!(status == 200 && text.contains("verdict"), "{status} {text}");
    };
    use_credential(check).await;
    let changed = check.add_canary("a stored secret after a change");
    check.script_login(&changed, &json!("token")).await;
    let repeated = check.add_canary("a stored secret that Entra repeats");
    let page = json!({"status": 401, "body": {"error": "invalid_client", "error_description": format!("AADSTS7000215: {}", repeated.secret())}});
    check.script_login(&repeated, &json!({"answer": page})).await;
    for canary in [changed, repeated] {
        let change = json!({"azurecredentialConfig": {"clientSecret": canary.secret()}});
        let (status, text) = check.send_as_admin(Method::PUT, &path, change.to_string()).await;
        assert_eq!(status, 200, "{text}");
        use_credential(check).await;
    }
    for path in [
        &path,
        "/v3/cloudcredentials",
        "/v3/cloudcredentials?name=hunted",
        "/v3/clusters",
        "/v3",
        "/v3/schemas",
        "/v3/schemas/cloudCredential",
        "/openapi.json",
    ] {
        assert_eq!(check.send_as_admin(Method::GET, path, "").await.0, 200, "{path}");
    }
    check.send_as_admin(Method::DELETE, &path, "").await;
    let (status, text) = check.send_as_admin(Method::DELETE, &format!("/v3/clusters/{cluster}"), "").await;
    assert_eq!(status, 200, "{text}");
    id
}

/// Secrets in the wrong fields and in the wrong parts of a request.
async fn send_misplaced_secrets(check: &mut LeakCheck, sandbox: &Value, id: &str) {
    let broken = check.add_canary("a secret in a body that is not JSON");
    let escaped = json!(broken.secret()).to_string();
    for body in [
        format!("{{\"clientSecret\":{escaped}"),
        format!("{{\"clientSecret\":{escaped},}}"),
        format!("{{\"clientSecret\":{}}}", broken.core),
        format!("[{escaped}]"),
        escaped.clone(),
        broken.secret(),
        format!("{{\"azurecredentialConfig\":{{\"clientSecret\":{escaped}"),
        format!("{{\"azurecredentialConfig\":{escaped}}}"),
        format!("{{\"clientSecret\":[{escaped}]}}"),
        format!("{{\"clientSecret\":{{\"a\":{escaped}}},\"region\":5}}"),
        format!("{{\"azurecredentialConfig\":{{\"clientSecret\":[{escaped}]}}}}"),
        format!("{{\"azurecredentialConfig\":{{\"clientSecret\":{{\"a\":{escaped}}}}}}}"),
        format!("{{\"name\":{{\"a\":{escaped}}},\"azurecredentialConfig\":{{}}}}"),
        format!(
            "{{\"name\":\"n\",\"clientSecret\":{escaped},\"azurecredentialConfig\":{{\"password\":{escaped}}}}}"
        ),
        format!("{{\"amazonec2credentialConfig\":{{\"secretKey\":{escaped}}}}}"),
    ] {
        for (method, path) in [
            (Method::POST, "/meta/aksLocations"),
            (Method::POST, "/meta/aksCheckCredentials"),
            (Method::POST, CHECK_PATH),
            (Method::POST, "/v3/cloudcredentials"),
            (Method::PUT, &*format!("/v3/cloudcredentials/{id}")),
            (Method::POST, "/v3/clusters"),
        ] {
            check.send_as_admin(method, path, body.clone()).await;
        }
    }
    let misdirected = check.add_canary("a secret sent to a wrong path");
    let body = inline_credential(sandbox, &misdirected.secret()).to_string();
    for (method, path) in [
        (Method::POST, "/meta/aksNothing"),
        (Method::POST, "/no/such/route"),
        (Method::PATCH, "/v3/cloudcredentials"),
        (Method::DELETE, "/v3/cloudcredentials"),
        (Method::PUT, "/meta/aksLocations"),
        (Method::GET, "/meta/aksCheckCredentials"),
        (Method::POST, "/v3/schemas"),
        (Method::POST, "/livez"),
    ] {
        let (status, text) = check.send_as_admin(method.clone(), path, body.clone()).await;
        assert!(status >= 400, "{method} {path}: {text}");
    }
    let large = check.add_canary("a secret in a body that is too large");
    for (path, status) in [("/meta/aksLocations", 400), ("/v3/cloudcredentials", 413)] {
        let body = inline_credential(sandbox, &large.secret()).to_string() + &" ".repeat(2 << 20);
        // The connection may be closed before the whole body is sent.
        let request = check.server.http.post(format!("{}{path}", check.server.url)).bearer_auth(&check.token);
        if let Ok(response) = request.body(body).send().await {
            assert_eq!(response.status().as_u16(), status, "{path}");
            let text = response.text().await.unwrap_or_default();
            check.outputs.add("the response to a body that is too large", text);
        }
    }
    let half = check.add_canary("a secret in a body that ends in the middle");
    let address: SocketAddr = check.server.url.strip_prefix("http://").unwrap().parse().unwrap();
    for path in ["/meta/aksLocations", "/v3/cloudcredentials"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: 5000\r\n\r\n{}",
            check.token,
            inline_credential(sandbox, &half.secret())
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut response = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut response).await;
        check.outputs.add("the response to half a body", response);
    }
}

/// Tokens in every form, valid and invalid, over HTTP/1.1 and HTTP/2.
async fn send_tokens(check: &mut LeakCheck, tokens: [String; 3]) {
    let http_2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let wrong = ["bearer", "basic", "cookie"].map(|form| check.add_canary(&format!("a wrong {form} token")));
    let wrong = wrong.map(|canary| format!("token-wrong:{}", canary.core));
    for (tokens, expected) in [(tokens, 200), (wrong, 401)] {
        let [bearer, basic, cookie] = tokens;
        let (name, password) = basic.split_once(':').unwrap();
        for http in [&check.server.http.clone(), &http_2] {
            // Requests with invalid tokens are delayed, so the test sends only a few.
            let paths =
                if expected == 200 { &["/v3", "/v3/clusters", "/v3/cloudcredentials"][..] } else { &["/v3"] };
            for path in paths {
                let url = format!("{}{path}", check.server.url);
                for request in [
                    http.get(&url).bearer_auth(&bearer),
                    http.get(&url).basic_auth(name, Some(password)),
                    http.get(&url).header("cookie", format!("R_SESS={cookie}; CSRF=x")),
                ] {
                    let (status, text) = check.send(&format!("a token at {path}"), request).await;
                    assert_eq!(status, expected, "{text}");
                }
            }
        }
    }
}

/// Adds all files below a directory except those named in `except`.
fn add_files(outputs: &mut Outputs, directory: &Path, except: &[&str]) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // The sandbox writes its files under another name first, and renames them.
        let is_new = path.extension().is_some_and(|extension| extension == "new");
        let final_path = if is_new { path.with_extension("json") } else { path.clone() };
        if path.is_dir() {
            add_files(outputs, &path, except);
        } else if !except.iter().any(|name| final_path.ends_with(name)) {
            match fs::read(&path) {
                // Renamed since the directory was listed; it is read again once the server has stopped.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                content => outputs.add(path.display().to_string(), content.unwrap()),
            }
        }
    }
}

/// Adds every row of every table.
async fn add_tables(outputs: &mut Outputs, url: &str) {
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let tables = "select tablename::text from pg_tables where schemaname = 'public'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await.unwrap();
    assert!(tables.iter().any(|table| table == "credentials"), "{tables:?}");
    for table in tables {
        let rows = format!("select row_to_json(t)::text from {table} t");
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(rows)).fetch_all(&mut connection).await.unwrap();
        outputs.add(format!("table {table}"), rows.join("\n"));
    }
}

async fn search_for_secrets(db: Option<&TestDb>) {
    let directory = tempfile::tempdir().unwrap();
    let mut canaries = vec![Canary::new("the bootstrap token")];
    let bootstrap = format!("token-boot:{}", canaries[0].core);
    let key = stdout_of(directory.path(), &["key", "generate"]);
    fs::write(directory.path().join("keys"), &key).unwrap();
    let key = key.trim_end().split_once(':').unwrap().1.to_owned();
    canaries
        .push(Canary { name: "the encryption key".to_owned(), core: key.trim_end_matches('=').to_owned() });
    let mut database = db.map(|db| Url::parse(&db.url).unwrap());
    if let Some(url) = database.as_mut().filter(|url| url.password().is_none()) {
        let password = Canary::new("the database password");
        url.set_password(Some(&password.core)).unwrap();
        canaries.push(password);
    }
    let configured_command = |arguments: &[&str]| -> Command {
        let mut command = command(directory.path(), arguments);
        command.args(["--sandbox", "--data-dir=data", "--encryption-key-file=keys", "--log-format=json"]);
        if let Some(url) = &database {
            command.env("NORMAN_AKS_DATABASE_URL", url.as_str());
        }
        command.env("RUST_LOG", TRACE_ALL);
        command
    };
    let mut outputs = Outputs::default();
    let tokens = ["bearer", "basic", "cookie"].map(|form| {
        let output = configured_command(&["token", "create", "--user", form]).output().unwrap();
        assert!(output.status.success(), "{}", output_text(&output));
        outputs.add("the log of `token create`", &output.stderr);
        let token = String::from_utf8(output.stdout).unwrap().trim_end().to_owned();
        let core = token.split_once(':').unwrap().1.to_owned();
        canaries.push(Canary { name: format!("the {form} token"), core });
        token
    });

    let mut serve = configured_command(&[
        "serve",
        "--listen=127.0.0.1:0",
        "--metrics-listen=127.0.0.1:0",
        "--sandbox-control-listen=127.0.0.1:0",
        "--trusted-proxies=127.0.0.1",
    ]);
    let mut server = Server::spawn(serve.env("NORMAN_AKS_BOOTSTRAP_TOKEN", &bootstrap));
    let metrics = format!("http://{}/metrics", server.listener_address("metrics"));
    let sandbox = sandbox_file(&directory.path().join("data"));
    let control = sandbox["control_url"].as_str().unwrap().to_owned();
    // Only the printed examples and sandbox.json, both for trying out the sandbox, may contain the bootstrap token.
    assert!(server.stdout().contains(&bootstrap));
    let mut check = LeakCheck { server, control, token: bootstrap.clone(), outputs, canaries, client_ips: 0 };

    send_credentials_in_bodies(&mut check, &sandbox).await;
    let id = use_stored_credential(&mut check, &sandbox).await;
    send_misplaced_secrets(&mut check, &sandbox, &id).await;
    send_tokens(&mut check, tokens).await;
    let query_secret = check.add_canary("a secret in a query");
    let path = format!("/v3/no?clientSecret={}", query_secret.core);
    let request = check.server.http.get(format!("{}{path}", check.server.url)).bearer_auth(&check.token);
    check.send("GET /v3/no", request).await;
    check.send("GET /metrics", check.server.http.get(metrics)).await;

    let LeakCheck { server, mut outputs, canaries, .. } = check;
    // Read the files while the server runs, with the write-ahead log, and again after it stopped.
    add_files(&mut outputs, &directory.path().join("data"), &["sandbox.json"]);
    outputs.add("the log", server.stop());
    add_files(&mut outputs, &directory.path().join("data"), &["sandbox.json"]);
    if let Some(url) = &database {
        add_tables(&mut outputs, url.as_str()).await;
    }
    for arguments in [["check"].as_slice(), &["token", "list"], &["key", "rotate"], &["migrate"]] {
        let mut command = configured_command(arguments);
        let output = command.env("NORMAN_AKS_BOOTSTRAP_TOKEN", &bootstrap).output().unwrap();
        outputs.add(format!("{arguments:?}"), output_text(&output));
    }
    fs::write(directory.path().join("keys"), stdout_of(directory.path(), &["key", "generate"])).unwrap();
    outputs.add(
        "a start with another key",
        output_text(&configured_command(&["serve", "--listen=127.0.0.1:0"]).output().unwrap()),
    );

    assert!(canaries.len() >= 25, "{}", canaries.len());
    let (_, log) = outputs.0.iter().find(|(source, _)| source == "the log").unwrap();
    for library in ["\"sqlx", "\"hyper", "\"h2", "\"norman_aks::request\""] {
        assert!(log.contains(&format!("\"target\":{library}")), "nothing of {library}\" is in the log");
    }
    let leaks = outputs.find_leaks(&canaries);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n\n"));
}

#[tokio::test]
async fn secrets_do_not_leak_on_sqlite() {
    search_for_secrets(None).await;
}

#[tokio::test]
async fn secrets_do_not_leak_on_postgres() {
    if let Some(db) = databases::postgres().await {
        search_for_secrets(Some(&db)).await;
    }
}

fn to_hexadecimal(text: &str) -> String {
    text.bytes().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[test]
fn search_finds_secrets_in_all_encodings() {
    let canary = Canary::new("x");
    let text = canary.secret();
    let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    for hidden in [
        text.clone(),
        json!(text).to_string(),
        form,
        STANDARD.encode(&text),
        STANDARD.encode(format!(":{text}")),
        STANDARD.encode(format!("i:{text}")),
        canary.core.to_uppercase(),
        to_hexadecimal(&canary.core),
    ] {
        let mut outputs = Outputs::default();
        outputs.add("here", format!("before {hidden} after"));
        assert!(!outputs.find_leaks(std::slice::from_ref(&canary)).is_empty(), "{hidden}");
        assert!(outputs.find_leaks(&[Canary::new("y")]).is_empty());
    }
}

#[tokio::test]
async fn debug_output_of_public_types_has_no_secrets() {
    let canary = Canary::new("a secret");
    let secret = || SecretString::from(canary.secret());
    let app = TestApp::with_advisory_review().await;
    let mut outputs = Outputs::default();
    let settings = [
        ("NORMAN_AKS_BOOTSTRAP_TOKEN".to_owned(), format!("token-a:{}", canary.core)),
        ("NORMAN_AKS_DATABASE_URL".to_owned(), format!("postgres://u:{}@h/d", canary.core)),
        ("HTTPS_PROXY".to_owned(), format!("http://u:{}@h:1", canary.core)),
    ];
    let (config, _) = Config::load(&Flags::new(), &settings.into(), &|_| Ok(String::new())).unwrap();
    outputs.add("Config", format!("{config:?} {:?}", config.describe()));
    let credential = azure::Credential {
        cloud: azure::Cloud::Public,
        tenant_id: "t".to_owned(),
        subscription_id: "s".to_owned(),
        client_id: "c".to_owned(),
        client_secret: secret(),
        fingerprint: azure::Fingerprint([7; 32]),
    };
    outputs.add("azure::Credential", format!("{credential:?}"));
    let arm = azure::Azure::new(azure::Options::default()).unwrap();
    let arm = arm.arm(&credential.into(), tokio::time::Instant::now()).unwrap();
    outputs.add("azure::Arm", format!("{arm:?}"));
    let inline = InlineCredential {
        tenant_id: "t".to_owned(),
        subscription_id: "s".to_owned(),
        client_id: "c".to_owned(),
        client_secret: secret(),
        environment: String::new(),
    };
    outputs.add("InlineCredential", format!("{inline:?} {:?}", CredentialSource::Inline(inline.clone())));
    let caller = app.server.tokens.authenticate(&app.admin).await.unwrap();
    outputs.add("Caller", format!("{caller:?}"));
    let access = app.server.credentials.resolve(&caller, CredentialSource::Inline(inline)).await.unwrap();
    outputs.add("AzureAccess", format!("{access:?}"));
    let azure = AzureChange { client_secret: Some(secret()), ..AzureChange::default() };
    let change = CredentialChange { azure: Some(azure), ..CredentialChange::default() };
    outputs.add("CredentialChange", format!("{change:?}"));
    let sealed = app.server.secrets.seal("cc-x", &secret()).unwrap();
    outputs.add("EncryptedColumns", format!("{sealed:?}"));

    let mut canaries = vec![canary];
    let token = app.server.tokens.create("ann", None, None, "").await.unwrap();
    let bearer = token.to_bearer();
    let (_, secret) = bearer.expose_secret().split_once(':').unwrap();
    canaries.push(Canary { name: "a token".to_owned(), core: secret.to_owned() });
    outputs.add("PlainToken", format!("{token:?}"));
    let key_line = KeyRing::generate();
    let key = key_line.expose_secret().split_once(':').unwrap().1.trim_end_matches('=').to_owned();
    canaries.push(Canary { name: "a key".to_owned(), core: key });
    let ring = KeyRing::parse(key_line.expose_secret()).unwrap();
    outputs.add(
        "KeyRing",
        format!("{key_line:?} {ring:?} {:?}", Vault::new(KeyRing::parse(key_line.expose_secret()).unwrap())),
    );
    let path = app.data_dir.path().join("keys");
    fs::write(&path, key_line.expose_secret().replace(':', "")).unwrap();
    let store =
        norman_aks::store::Store::connect("sqlite:/nowhere/at/all", &norman_aks::store::Options::default())
            .await;
    outputs.add("store::Error", format!("{:?}", store.err()));
    let db = databases::sqlite().await;
    let opened = Secrets::open(&path, false, db.store.clone(), app.clock.clone()).await;
    let error = opened.err().expect("the key file is invalid");
    outputs.add("secrets::Error", format!("{error:?} {error}"));
    let leaks = outputs.find_leaks(&canaries);
    assert!(leaks.is_empty(), "{}", leaks.join("\n\n"));
}
