//! A server for one test, with its own SQLite file, sandbox and clock. Start it with [`TestApp::start`], or with
//! [`TestApp::builder`] for settings; send requests with `app.get("/v3").token(&ann).send().await`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use azure_sandbox::{Account, BuiltInImage, Control, Sandbox, Seed};
use clock::Clock;
use http::Method;
use norman_aks::app::{self, App, Connectors};
use norman_aks::config::{Config, Flags};
use norman_aks::store::{self, Store, clusters};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use crate::support::call::{Call, TestResponse};
use crate::support::databases::{self, TestDb};

/// 2026-11-22T12:00:00Z.
pub(crate) const NOW_MS: i64 = 1_795_348_800_000;

/// The interval at which the worker looks for due steps.
pub(crate) const TICK: Duration = Duration::from_secs(2);

pub(crate) struct TestApp {
    pub(crate) server: App,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) control: Control,
    pub(crate) clock: Clock,
    pub(crate) seed: Seed,
    /// An administrator's token.
    pub(crate) admin: String,
    pub(crate) data_dir: Arc<TempDir>,
    router: Router,
}

pub(crate) struct TestAppBuilder {
    settings: BTreeMap<String, String>,
    clock: Clock,
    /// The content of the key file; `None` lets the server create it.
    keys: Option<String>,
    cluster_access: cluster_access::Options,
    sandbox: Option<Arc<Sandbox>>,
    /// The data directory of an earlier server.
    data_dir: Option<Arc<TempDir>>,
    /// The fixture that is copied to the data directory.
    data_fixture: Option<&'static str>,
    /// Timeout of each read of a response of Azure.
    read_timeout: Duration,
    /// Maximum number of pages of the SQLite file.
    max_pages: Option<u32>,
    /// The programs that the pods of a new sandbox run.
    images: Vec<BuiltInImage>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    /// A server that accepts clusters despite review errors that depend on Azure's data.
    pub(crate) async fn with_advisory_review() -> Self {
        Self::builder().advisory_review().start().await
    }

    /// Builds a server with settings.
    pub(crate) fn builder() -> TestAppBuilder {
        TestAppBuilder {
            // Other tests may keep the machine busy.
            settings: BTreeMap::from([("NORMAN_AKS_DATABASE_WAIT_SECONDS".to_owned(), "50".to_owned())]),
            clock: Clock::manual(NOW_MS),
            keys: None,
            cluster_access: cluster_access::Options::default(),
            sandbox: None,
            data_dir: None,
            data_fixture: None,
            read_timeout: azure::Options::default().read_timeout,
            max_pages: None,
            images: Vec::new(),
        }
    }

    /// A new token of a user, who is created if necessary.
    pub(crate) async fn token(&self, user: &str) -> String {
        let token = self.server.tokens.create(user, None, None, "").await.unwrap();
        token.to_bearer().expose_secret().to_owned()
    }

    /// The ID of the user of a token.
    pub(crate) async fn user_id(&self, token: &str) -> String {
        self.server.tokens.authenticate(token).await.unwrap().user_id.clone()
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

    /// A request as the administrator, by default.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call::new(&self.router, method, path, &self.admin)
    }

    /// An account of the sandbox.
    pub(crate) fn account(&self, name: &str) -> Account {
        self.control.accounts().iter().find(|account| account.name == name).unwrap().clone()
    }

    /// See [`seed_credential`].
    pub(crate) fn credential(&self, extra_fields: &Value) -> Value {
        seed_credential(&self.seed, extra_fields)
    }

    /// Stores the credential of the seed account for a user; returns its ID.
    pub(crate) async fn store_credential(&self, token: &str) -> String {
        self.post_credential(token, self.credential(&Value::Null)).await
    }

    /// Stores the credential of an account for the administrator; returns its ID.
    pub(crate) async fn store_credential_of(&self, account: &str) -> String {
        self.post_credential(&self.admin, account_credential(&self.account(account))).await
    }

    async fn post_credential(&self, token: &str, credential: Value) -> String {
        let body = json!({"name": "azure", "azurecredentialConfig": credential});
        self.post("/v3/cloudcredentials").token(token).json(&body).send().await.expect(201).id()
    }

    pub(crate) async fn put_setting(&self, name: &str, value: &str) {
        let body = json!({"value": value});
        self.put(&format!("/v3/settings/{name}")).json(&body).send().await.expect(200);
    }

    /// Runs the worker while advancing the clock by two minutes, which is longer than the sandbox's operations take.
    pub(crate) async fn settle(&self) {
        self.advance(Duration::from_mins(2)).await;
    }

    /// Runs the worker while advancing the clock by `time`, in whole ticks.
    pub(crate) async fn advance(&self, time: Duration) {
        let mut remaining = TICK * u32::try_from(time.as_millis() / TICK.as_millis()).unwrap();
        while remaining >= TICK {
            remaining -= self.advance_to_next_step(remaining).await;
        }
    }

    /// Runs the due steps. Then advances the clock: by a tick if a step ran, otherwise to the first tick at which a step is due,
    /// by at most `max`. Returns the time that passed. At the skipped ticks, the worker would find no due step.
    pub(crate) async fn advance_to_next_step(&self, max: Duration) -> Duration {
        let stop = CancellationToken::new();
        let mut has_run = false;
        while self.server.worker.run_due(&stop).await.unwrap() > 0 {
            has_run = true;
        }
        let time = if has_run { TICK } else { self.time_to_next_step().await.unwrap_or(max).min(max) };
        self.clock.advance(time);
        time
    }

    /// Runs the worker while advancing the clock, by at most `max_step` at once, until `find` finds something; `None` if it does not
    /// within `time`.
    pub(crate) async fn advance_until<T>(
        &self,
        time: Duration,
        max_step: Duration,
        find: impl AsyncFn() -> Option<T>,
    ) -> Option<T> {
        let mut remaining = time;
        while remaining >= TICK {
            if let Some(found) = find().await {
                return Some(found);
            }
            remaining -= self.advance_to_next_step(max_step.min(remaining)).await;
        }
        None
    }

    /// The time until the first tick at which a step is due; `None` if none is scheduled.
    async fn time_to_next_step(&self) -> Option<Duration> {
        let rows = clusters::list(&self.server.store, None).await.unwrap();
        let next_run_ms = rows.iter().filter_map(|row| row.work.next_run_ms).min()?;
        let wait =
            Duration::from_millis(u64::try_from(next_run_ms - self.clock.now_ms()).unwrap_or_default());
        // A cluster that is due and leased is tried at every tick.
        let ticks = wait.as_millis().div_ceil(TICK.as_millis()).max(1);
        Some(TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX)))
    }

    /// Executes a statement on the SQLite file, for states that the API does not produce.
    pub(crate) async fn execute(&self, statement: &'static str) {
        let url = norman_aks::store::sqlite_url(&self.data_dir.path().join("norman-aks.db"));
        databases::execute_on(&url, statement).await;
    }

    /// Sends a call while the clock advances; returns the response and the time that passed on the clock. The clock stands
    /// still while requests to Azure are in flight.
    pub(crate) async fn send_while_time_passes(&self, call: Call<'_>) -> (TestResponse, Duration) {
        let started_ms = self.clock.now_ms();
        let mut call = std::pin::pin!(call.send());
        let mut count = 0;
        let response = loop {
            tokio::select! {
                response = &mut call => break response,
                () = tokio::time::sleep(Duration::from_millis(40)) => {
                    let requests = self.control.requests();
                    if requests.len() == count && requests.iter().all(|request| request.status.is_some()) {
                        self.clock.advance(Duration::from_secs(1));
                    }
                    count = requests.len();
                }
            }
        };
        (response, Duration::from_millis(u64::try_from(self.clock.now_ms() - started_ms).unwrap()))
    }

    /// Waits until some request to Azure has no response and nothing has changed for 200 ms: no new request, no new response.
    pub(crate) async fn wait_until_azure_hangs(&self) {
        let started = Instant::now();
        let (mut last_statuses, mut quiet_polls) = (Vec::new(), 0);
        while quiet_polls < 10 {
            assert!(started.elapsed() < Duration::from_mins(1), "{last_statuses:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
            let statuses: Vec<Option<u16>> =
                self.control.requests().into_iter().map(|request| request.status).collect();
            let is_quiet = statuses == last_statuses && statuses.contains(&None);
            quiet_polls = if is_quiet { quiet_polls + 1 } else { 0 };
            last_statuses = statuses;
        }
    }

    /// The router, for a listener of the test.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// The requests to the sandbox since the last call, as `METHOD path`.
    pub(crate) fn take_azure_requests(&self) -> Vec<String> {
        let requests = self
            .control
            .requests()
            .into_iter()
            .map(|request| format!("{} {}", request.method, request.path))
            .collect();
        self.control.clear_requests();
        requests
    }
}

impl TestAppBuilder {
    #[must_use]
    pub(crate) fn setting(mut self, variable: &str, value: &str) -> Self {
        self.settings.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// See [`TestApp::with_advisory_review`].
    #[must_use]
    pub(crate) fn advisory_review(self) -> Self {
        self.setting("NORMAN_AKS_CLUSTER_REVIEW", "advise")
    }

    /// Uses a database that outlives the server, with the encryption key that its servers share.
    #[must_use]
    pub(crate) fn database(mut self, db: &TestDb) -> Self {
        self.keys = Some(db.keys.clone());
        self.setting("NORMAN_AKS_DATABASE_URL", &db.url)
    }

    /// Uses the clock of another server.
    #[must_use]
    pub(crate) fn clock(self, clock: &Clock) -> Self {
        Self { clock: clock.clone(), ..self }
    }

    /// Uses the sandbox and the clock of another server.
    #[must_use]
    pub(crate) fn with_azure_of(self, other: &TestApp) -> Self {
        Self { clock: other.clock.clone(), sandbox: Some(Arc::clone(&other.sandbox)), ..self }
    }

    /// Continues after another server stopped: with its data directory, sandbox and clock.
    #[must_use]
    pub(crate) fn restart_of(self, other: &TestApp) -> Self {
        Self { data_dir: Some(Arc::clone(&other.data_dir)), ..self.with_azure_of(other) }
    }

    /// Uses a copy of a data directory of an earlier version, with the sandbox's clusters in it.
    #[must_use]
    pub(crate) fn data_fixture(self, fixture: &'static str) -> Self {
        Self { data_fixture: Some(fixture), ..self }
    }

    /// Sets the timeout of each read of a response of Azure.
    #[must_use]
    pub(crate) fn read_timeout(self, read_timeout: Duration) -> Self {
        Self { read_timeout, ..self }
    }

    /// Limits the pages of the SQLite file, like a small disk.
    #[must_use]
    pub(crate) fn max_pages(self, max_pages: u32) -> Self {
        Self { max_pages: Some(max_pages), ..self }
    }

    /// Provides the image of the agent to clusters of the sandbox, as `serve --sandbox` does.
    #[must_use]
    pub(crate) fn built_in_agent(self) -> Self {
        Self { images: vec![app::built_in_agent_image()], ..self }
    }

    /// Sets how the server connects to clusters.
    #[must_use]
    pub(crate) fn cluster_access(self, cluster_access: cluster_access::Options) -> Self {
        Self { cluster_access, ..self }
    }

    /// Starts the server and stores a credential for its administrator; returns the ID of the credential as well.
    pub(crate) async fn start_with_credential(self) -> (TestApp, String) {
        let app = self.start().await;
        let credential = app.store_credential(&app.admin).await;
        (app, credential)
    }

    pub(crate) async fn start(mut self) -> TestApp {
        let data_dir = match self.data_dir.take() {
            Some(data_dir) => data_dir,
            None => Arc::new(new_data_dir(self.data_fixture).await),
        };
        if let Some(keys) = &self.keys {
            let file = data_dir.path().join("keys");
            std::fs::write(&file, keys).unwrap();
            self = self.setting("NORMAN_AKS_ENCRYPTION_KEY_FILE", &file.display().to_string());
        }
        let data_dir_path = data_dir.path().display().to_string();
        self.settings.insert("NORMAN_AKS_DATA_DIR".to_owned(), data_dir_path);
        let read = |path: &std::path::Path| std::fs::read_to_string(path);
        let (config, warnings) = Config::load(&Flags::new(), &self.settings, &read).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let clock = self.clock;
        let sandbox = if let Some(sandbox) = self.sandbox {
            sandbox
        } else {
            let state_dir = self.data_fixture.map(|_| data_dir.path().to_owned());
            let options = azure_sandbox::Options {
                clock: clock.clone(),
                state_dir,
                images: self.images,
                ..azure_sandbox::Options::default()
            };
            Arc::new(Sandbox::start(options).await.unwrap())
        };
        let store = match self.max_pages {
            None => app::open_store(&config).await.unwrap(),
            max_pages => {
                let options =
                    store::Options { max_pages, acquire_timeout: config.database.wait, ..Default::default() };
                let store = Store::connect(config.database.url.expose_secret(), &options).await.unwrap();
                store.migrate().await.unwrap();
                store
            }
        };
        let secrets = app::open_secrets(&config, &store, &clock).await.unwrap();
        let azure = azure::Options { read_timeout: self.read_timeout, ..azure_options(&sandbox, &clock) };
        // The sandbox's clusters, unless the test provides others.
        let resolver = self.cluster_access.resolver.clone().or_else(|| Some(sandbox.kubernetes_resolver()));
        let connectors =
            Connectors { azure, clusters: cluster_access::Options { resolver, ..self.cluster_access } };
        let server = App::build(&config, store, secrets, connectors).await.unwrap();
        let admin = server.tokens.create("admin", Some(true), None, "").await.unwrap();
        TestApp {
            router: server.router(),
            control: sandbox.control(),
            seed: Sandbox::seed(),
            admin: admin.to_bearer().expose_secret().to_owned(),
            server,
            sandbox,
            clock,
            data_dir,
        }
    }
}

/// The options of a client of the sandbox's Azure.
pub(crate) fn azure_options(sandbox: &Sandbox, clock: &Clock) -> azure::Options {
    azure::Options {
        clock: clock.clone(),
        resolve: Sandbox::hosts().iter().map(|host| ((*host).to_owned(), sandbox.address())).collect(),
        extra_roots_pem: Some(sandbox.authority_pem().to_owned()),
        use_proxy: false,
        retry_base_delay: Duration::from_millis(5),
        ..azure::Options::default()
    }
}

/// A body with the credential of the seed account and with extra fields.
pub(crate) fn seed_credential(seed: &Seed, extra_fields: &Value) -> Value {
    let mut body = json!({
        "tenantId": seed.tenant_id, "subscriptionId": seed.subscription_id, "clientId": seed.client_id,
        "clientSecret": seed.client_secret,
    });
    body.as_object_mut().unwrap().extend(extra_fields.as_object().cloned().unwrap_or_default());
    body
}

/// The credential of an account, with an expired secret if it has no other.
pub(crate) fn account_credential(account: &Account) -> Value {
    let secret = account.secrets.first().or(account.expired_secrets.first()).unwrap();
    json!({"tenantId": account.tenant_id, "subscriptionId": account.subscription_id, "clientId": account.client_id,
        "clientSecret": secret})
}

/// A data directory with a copy of `fixture` or with an empty database.
async fn new_data_dir(fixture: Option<&str>) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    match fixture {
        Some(fixture) => copy_data(fixture, directory.path()).await,
        None => databases::copy_migrated(&directory.path().join("norman-aks.db")).await,
    }
    directory
}

/// Copies a data directory of a server with a sandbox, and changes the stamp of its database to `azure`, because [`TestApp`]
/// uses its sandbox as if it were Azure.
async fn copy_data(fixture: &str, directory: &std::path::Path) {
    for entry in std::fs::read_dir(super::fixtures::path(fixture)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, directory.join(path.file_name().unwrap())).unwrap();
    }
    let url = store::sqlite_url(&directory.join("norman-aks.db"));
    let store = Store::connect(&url, &store::Options::default()).await.unwrap();
    store::instance::put(&store, "stamp", "azure").await.unwrap();
    store.close().await;
}
