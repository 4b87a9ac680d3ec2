//! The server alongside a fake Rancher, with a sandbox as its Azure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use azure_sandbox::{Control, Sandbox, Seed};
use clock::Clock;
use http::{Method, Request};
use norman_aks::app::{BesideRancher, Connectors};
use norman_aks::config::{Config, Flags};
use tempfile::TempDir;

use super::rancher::{FakeRancher, RecordedRequest};
use super::rancher_state::RancherState;
use crate::support::app::{Call, NOW_MS, TestResponse, azure_options};
use crate::support::call::{LOOPBACK, exchange};

pub(super) struct BesideApp {
    pub(super) rancher: FakeRancher,
    pub(super) control: Control,
    pub(super) config: Config,
    router: Router,
    _sandbox: Arc<Sandbox>,
    data_dir: TempDir,
    _app: BesideRancher,
}

pub(super) struct BesideBuilder {
    rancher: FakeRancher,
    settings: BTreeMap<String, String>,
    data_dir: TempDir,
}

/// The TTL of a cached decision: so long that one expires only if a test advances the time.
pub(super) const DECISION_TTL: Duration = Duration::from_mins(1);

impl BesideApp {
    /// A server alongside Rancher; decisions are valid for [`DECISION_TTL`].
    pub(super) fn builder(rancher: FakeRancher) -> BesideBuilder {
        let url = format!("http://{}", rancher.address);
        let settings = [
            ("NORMAN_AKS_RANCHER_URL", url.as_str()),
            ("NORMAN_AKS_RANCHER_DECISION_SECONDS", "60"),
            ("NORMAN_AKS_TRUSTED_PROXIES", "127.0.0.0/8"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        BesideBuilder { rancher, settings, data_dir: tempfile::tempdir().unwrap() }
    }

    /// A server alongside Rancher, and the state of Rancher.
    pub(super) async fn start() -> (Self, Arc<RancherState>) {
        let state = RancherState::new();
        (Self::with_state(&state).await, state)
    }

    /// A server alongside a Rancher with this state.
    pub(super) async fn with_state(state: &Arc<RancherState>) -> Self {
        Self::builder(state.serve().await).start().await
    }

    pub(super) fn get<'a>(&'a self, path: &str, token: &str) -> Call<'a> {
        Call::new(&self.router, Method::GET, path, token)
    }

    pub(super) fn post<'a>(&'a self, path: &str, token: &str) -> Call<'a> {
        Call::new(&self.router, Method::POST, path, token)
    }

    /// A call of `aksVersions` with a stored credential.
    pub(super) fn get_versions<'a>(&'a self, credential: &str, token: &str) -> Call<'a> {
        self.get(&format!("/meta/aksVersions?cloudCredentialId={credential}&region=eastus"), token)
    }

    /// Sends a request as it is.
    pub(super) async fn send(&self, request: Request<Body>) -> TestResponse {
        TestResponse::read(exchange(&self.router, request, LOOPBACK).await).await
    }

    pub(super) fn router(&self) -> Router {
        self.router.clone()
    }

    /// The number of requests to Azure for lists of versions since the last call.
    pub(super) fn take_version_list_count(&self) -> usize {
        let requests = self.control.requests();
        self.control.clear_requests();
        requests.iter().filter(|request| request.path.contains("kubernetesVersions")).count()
    }

    /// The only request that Rancher received.
    pub(super) fn only_request(&self) -> RecordedRequest {
        let requests = self.rancher.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }

    pub(super) fn data_dir(&self) -> &std::path::Path {
        self.data_dir.path()
    }
}

impl BesideBuilder {
    #[must_use]
    pub(super) fn setting(mut self, variable: &str, value: &str) -> Self {
        self.settings.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// Sends a lookup to Rancher for every request.
    #[must_use]
    pub(super) fn without_decision_cache(self) -> Self {
        self.setting("NORMAN_AKS_RANCHER_DECISION_SECONDS", "0")
    }

    /// Sets a setting to the path of a new file.
    #[must_use]
    pub(super) fn file_setting(self, variable: &str, content: &str) -> Self {
        let path = self.data_dir.path().join("setting.pem");
        std::fs::write(&path, content).unwrap();
        let path = path.display().to_string();
        self.setting(variable, &path)
    }

    pub(super) async fn start(mut self) -> BesideApp {
        let data_dir_path = self.data_dir.path().display().to_string();
        self.settings.insert("NORMAN_AKS_DATA_DIR".to_owned(), data_dir_path);
        let read = |path: &std::path::Path| std::fs::read_to_string(path);
        let (config, warnings) = Config::load(&Flags::new(), &self.settings, &read).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let clock = Clock::manual(NOW_MS);
        let options = azure_sandbox::Options { clock: clock.clone(), ..azure_sandbox::Options::default() };
        let sandbox = Arc::new(Sandbox::start(options).await.unwrap());
        let azure = azure_options(&sandbox, &clock);
        let connectors = Connectors { azure, ..Connectors::default() };
        let app = BesideRancher::build(&config, config.rancher.as_ref().unwrap(), connectors).unwrap();
        BesideApp {
            router: app.router(),
            control: sandbox.control(),
            rancher: self.rancher,
            config,
            _sandbox: sandbox,
            data_dir: self.data_dir,
            _app: app,
        }
    }
}

/// The seed account of the sandbox.
pub(super) fn seed() -> Seed {
    Sandbox::seed()
}
