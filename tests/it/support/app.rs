//! A server of one test: its own SQLite file, its own sandbox, its own clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use azure_sandbox::{Control, Sandbox, Seed};
use clock::Clock;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use norman_aks::app::{self, App, Connectors};
use norman_aks::config::{Config, Flags};
use norman_aks::store::{self, Store};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tower::ServiceExt;

use crate::support::databases::TestDb;

/// 2026-11-22T12:00:00Z.
pub(crate) const NOW_MS: i64 = 1_795_348_800_000;

pub(crate) struct TestApp {
    pub(crate) app: App,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) control: Control,
    pub(crate) clock: Clock,
    pub(crate) seed: Seed,
    /// An administrator's token.
    pub(crate) admin: String,
    pub(crate) folder: TempDir,
    router: Router,
}

pub(crate) struct TestAppBuilder {
    settings: BTreeMap<String, String>,
    clock: Clock,
    /// The text of the key file; made by the server without.
    keys: Option<String>,
    clusters: cluster_access::Options,
    sandbox: Option<Arc<Sandbox>>,
    /// The name of a data directory that is there from the start.
    data_directory: Option<&'static str>,
    /// How long the next part of an answer of Azure may take.
    read_limit: Duration,
    /// The most pages of the SQLite file.
    max_pages: Option<u32>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::with().start().await
    }

    /// A server that keeps clusters which Azure does not have: errors that rest on Azure only warn.
    pub(crate) async fn advising() -> Self {
        Self::with().advise().start().await
    }

    /// A server with settings of its own.
    pub(crate) fn with() -> TestAppBuilder {
        TestAppBuilder {
            // A machine that is busy with other tests takes its time.
            settings: BTreeMap::from([("NORMAN_AKS_DATABASE_WAIT_SECONDS".to_owned(), "50".to_owned())]),
            clock: Clock::manual(NOW_MS),
            keys: None,
            clusters: cluster_access::Options::default(),
            sandbox: None,
            data_directory: None,
            read_limit: azure::Options::default().read_limit,
            max_pages: None,
        }
    }

    /// A token of a new or known user.
    pub(crate) async fn token(&self, user: &str) -> String {
        let token = self.app.tokens.create(user, None, None, "").await.unwrap();
        token.to_bearer().expose_secret().to_owned()
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> Call<'_> {
        self.call(Method::PUT, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    /// A call as the administrator, unless the call says otherwise.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        let request = Request::builder().method(method).uri(path).header("host", "norman.test");
        Call { app: self, request, token: Some(self.admin.clone()), body: Body::empty() }
    }

    /// The body of a request with the ready account's credential and whatever else is given.
    pub(crate) fn credential(&self, more: &serde_json::Value) -> serde_json::Value {
        let mut body = serde_json::json!({
            "tenantId": self.seed.tenant_id,
            "subscriptionId": self.seed.subscription_id,
            "clientId": self.seed.client_id,
            "clientSecret": self.seed.client_secret,
        });
        let object = body.as_object_mut().unwrap();
        object.extend(more.as_object().cloned().unwrap_or_default());
        body
    }

    /// Stores the ready account's credential for the caller of that token; its id.
    pub(crate) async fn stored_credential(&self, token: &str) -> String {
        let seed = &self.seed;
        let answer = self
            .post("/v3/cloudcredentials")
            .token(token)
            .json(&serde_json::json!({"name": "azure", "azurecredentialConfig": {
                "subscriptionId": seed.subscription_id,
                "tenantId": seed.tenant_id,
                "clientId": seed.client_id,
                "clientSecret": seed.client_secret,
            }}))
            .send()
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Lets the worker work, and time pass, until nothing is on its way any more.
    pub(crate) async fn settle(&self) {
        self.pass(Duration::from_mins(2)).await;
    }

    /// Lets the worker work while so much time passes.
    pub(crate) async fn pass(&self, time: Duration) {
        let tick = Duration::from_secs(2);
        let stop = tokio_util::sync::CancellationToken::new();
        for _ in 0..time.as_secs() / tick.as_secs() {
            while self.app.worker.run_due(&stop).await.unwrap() > 0 {}
            self.clock.advance(tick);
        }
    }

    /// A statement on the SQLite file beside the store, to bring about what the API does not.
    pub(crate) async fn execute(&self, statement: &'static str) {
        let url = norman_aks::store::sqlite_url(&self.folder.path().join("norman-aks.db"));
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        sqlx::query(statement).execute(&pool).await.unwrap();
        pool.close().await;
    }

    /// The response to a call during which time passes, and how much has passed on the clock of the server.
    pub(crate) async fn send_while_time_passes(&self, call: Call<'_>) -> (Answer, Duration) {
        let begun = self.clock.now_ms();
        let mut call = std::pin::pin!(call.send());
        let answer = loop {
            tokio::select! {
                answer = &mut call => break answer,
                () = tokio::time::sleep(Duration::from_millis(100)) => self.clock.advance(Duration::from_secs(1)),
            }
        };
        (answer, Duration::from_millis(u64::try_from(self.clock.now_ms() - begun).unwrap()))
    }

    /// Everything that is served, for a listener of one's own.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Requests that the sandbox has seen since the last look, as `METHOD path`.
    pub(crate) fn upstream(&self) -> Vec<String> {
        let seen = self
            .control
            .requests()
            .into_iter()
            .map(|seen| format!("{} {}", seen.method, seen.path))
            .collect();
        self.control.clear_requests();
        seen
    }
}

impl TestAppBuilder {
    #[must_use]
    pub(crate) fn setting(mut self, variable: &str, value: &str) -> Self {
        self.settings.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// As [`TestApp::advising`].
    #[must_use]
    pub(crate) fn advise(self) -> Self {
        self.setting("NORMAN_AKS_CLUSTER_REVIEW", "advise")
    }

    /// A server on a database that outlives it, with the key that all servers of that database share.
    #[must_use]
    pub(crate) fn on(mut self, db: &TestDb) -> Self {
        self.keys = Some(db.keys.clone());
        self.setting("NORMAN_AKS_DATABASE_URL", &db.url)
    }

    /// A server whose time is another one's too.
    #[must_use]
    pub(crate) fn clock(self, clock: &Clock) -> Self {
        Self { clock: clock.clone(), ..self }
    }

    /// A server that has the same Azure and the same time as another one.
    #[must_use]
    pub(crate) fn beside(self, other: &TestApp) -> Self {
        Self { clock: other.clock.clone(), sandbox: Some(Arc::clone(&other.sandbox)), ..self }
    }

    /// A server on a copy of a data directory of an earlier version, with the sandbox's clusters in it.
    #[must_use]
    pub(crate) fn data_directory(self, fixture: &'static str) -> Self {
        Self { data_directory: Some(fixture), ..self }
    }

    /// A server that waits no longer for the next part of an answer of Azure.
    #[must_use]
    pub(crate) fn read_limit(self, read_limit: Duration) -> Self {
        Self { read_limit, ..self }
    }

    /// A server whose SQLite file may have so many pages, as if its disk were that small.
    #[must_use]
    pub(crate) fn max_pages(self, max_pages: u32) -> Self {
        Self { max_pages: Some(max_pages), ..self }
    }

    /// A server that finds clusters in another way than by DNS.
    #[must_use]
    pub(crate) fn clusters(self, clusters: cluster_access::Options) -> Self {
        Self { clusters, ..self }
    }

    pub(crate) async fn start(mut self) -> TestApp {
        let folder = tempfile::tempdir().unwrap();
        if let Some(fixture) = self.data_directory {
            copy_data(fixture, folder.path()).await;
        }
        if let Some(keys) = &self.keys {
            let file = folder.path().join("keys");
            std::fs::write(&file, keys).unwrap();
            self = self.setting("NORMAN_AKS_ENCRYPTION_KEY_FILE", &file.display().to_string());
        }
        let data_dir = folder.path().display().to_string();
        self.settings.insert("NORMAN_AKS_DATA_DIR".to_owned(), data_dir);
        let read = |path: &std::path::Path| std::fs::read_to_string(path);
        let (config, warnings) = Config::load(&Flags::new(), &self.settings, &read).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let clock = self.clock;
        let sandbox = if let Some(sandbox) = self.sandbox {
            sandbox
        } else {
            let state_dir = self.data_directory.map(|_| folder.path().to_owned());
            let options = azure_sandbox::Options {
                clock: clock.clone(),
                state_dir,
                ..azure_sandbox::Options::default()
            };
            Arc::new(Sandbox::start(options).await.unwrap())
        };
        let store = match self.max_pages {
            None => app::open_store(&config).await.unwrap(),
            max_pages => {
                let options =
                    store::Options { max_pages, acquire: config.database.wait, ..Default::default() };
                let store = Store::connect(config.database.url.expose_secret(), &options).await.unwrap();
                store.migrate().await.unwrap();
                store
            }
        };
        let secrets = app::open_secrets(&config, &store, &clock).await.unwrap();
        let to_azure = azure::Options {
            clock: clock.clone(),
            resolve: Sandbox::hosts().iter().map(|host| ((*host).to_owned(), sandbox.address())).collect(),
            extra_roots_pem: Some(sandbox.authority_pem().to_owned()),
            use_proxy: false,
            retry_pause: Duration::from_millis(5),
            read_limit: self.read_limit,
            ..azure::Options::default()
        };
        // Into the sandbox's clusters, unless the test has clusters of its own.
        let resolver = self.clusters.resolver.clone().or_else(|| Some(sandbox.kubernetes_resolver()));
        let ways = Connectors { azure: to_azure, clusters: cluster_access::Options { resolver, ..self.clusters } };
        let app = App::build(&config, store, secrets, ways).await.unwrap();
        let admin = app.tokens.create("admin", Some(true), None, "").await.unwrap();
        TestApp {
            router: app.router(),
            control: sandbox.control(),
            seed: Sandbox::seed(),
            admin: admin.to_bearer().expose_secret().to_owned(),
            app,
            sandbox,
            clock,
            folder,
        }
    }
}

/// Copies a data directory. Its server had the sandbox for Azure, which in process looks like the real one.
async fn copy_data(fixture: &str, to: &std::path::Path) {
    for entry in std::fs::read_dir(super::fixtures::path(fixture)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    let url = store::sqlite_url(&to.join("norman-aks.db"));
    let store = Store::connect(&url, &store::Options::default()).await.unwrap();
    store::instance::put(&store, "stamp", "azure").await.unwrap();
    store.close().await;
}

pub(crate) struct Call<'a> {
    app: &'a TestApp,
    request: http::request::Builder,
    token: Option<String>,
    body: Body,
}

impl Call<'_> {
    #[must_use]
    pub(crate) fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    #[must_use]
    pub(crate) fn anonymous(mut self) -> Self {
        self.token = None;
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// As it comes over a connection of another version of HTTP.
    #[must_use]
    pub(crate) fn version(mut self, version: http::Version) -> Self {
        self.request = self.request.version(version);
        self
    }

    #[must_use]
    pub(crate) fn json(self, body: &serde_json::Value) -> Self {
        self.body(body.to_string())
    }

    #[must_use]
    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let request = match &self.token {
            Some(token) => self.request.header("authorization", format!("Bearer {token}")),
            None => self.request,
        };
        let mut request = request.body(self.body).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        let response = self.app.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The text of `error`.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("{}", self.text())).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}
