//! COMPOSITION ROOT: the only place that knows every part. [`App::build`] puts the server together from settings
//! and a way to Azure; tests build the same with the sandbox and a clock of their own. What is done with it, listening
//! and stopping, is in `app/run.rs`.

mod database_lock;
mod error;
mod files;
mod reach;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox;
#[cfg(not(feature = "sandbox"))]
#[path = "app/no_sandbox.rs"]
mod sandbox;
mod tls;

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use azure::Azure;
use clock::Clock;
use cluster_access::Downstream;
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::error::Error;
pub use self::reach::{Reach, check_reach, used_environments};
pub use self::run::{sandbox, serve};
pub use self::tls::{Authority, check as check_tls};
use crate::api::origin::Origin;
use crate::api::{self, AppState};
use crate::config::Config;
use crate::provision::{RoleKeeper, Worker};
use crate::service::core::{self, Base, Core};
use crate::service::events::{self, Events};
use crate::service::instance;
use crate::service::plans::Plans;
use crate::service::secrets::{self, Secrets};
use crate::store::{self, Store};
use crate::telemetry;

/// How often what has expired is swept out.
const SWEEP: Duration = Duration::from_hours(1);
/// How often this server says that it lives, and which keys it knows.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long the end waits for the audit to be written; what is left then goes into the log.
const LAST_AUDIT: Duration = Duration::from_secs(10);
/// How often gauges are set.
const GAUGES: Duration = Duration::from_secs(5);

/// The server, ready to answer, with what runs beside it.
pub struct App {
    core: Core,
    /// What brings clusters to what their users want; it works once [`App::work`] was called.
    pub worker: Worker,
    state: AppState,
    background: TaskTracker,
    stop: CancellationToken,
}

impl Deref for App {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

/// How the server reaches what is outside of it. The default is the real Azure and its clusters.
#[derive(Clone, Default)]
pub struct Ways {
    /// Entra and Resource Manager; also the clock of the whole server.
    pub azure: azure::Options,
    /// The Kubernetes APIs of clusters.
    pub clusters: cluster_access::Options,
}

impl App {
    /// Puts the server together: a migrated database, the keys of its secrets, the ways to Azure and into clusters.
    pub async fn build(config: &Config, store: Store, secrets: Secrets, ways: Ways) -> Result<Self, Error> {
        let clock = ways.azure.clock.clone();
        let events = audit(config, &store, &clock);
        let instance = instance::open(&store, stamp(config)).await?.id;
        let base = Base {
            azure: Azure::new(ways.azure)?,
            downstream: Downstream::new(ways.clusters),
            store,
            secrets,
            events,
            clock,
        };
        let options = core::Options {
            fixed_settings: fixed_settings(config, &instance),
            instance,
            cache_bytes: config.limits.cache_bytes,
            log_is_full: telemetry::log_is_full,
        };
        let core = Core::new(base, options);
        let worker = Worker::new(core.clone());
        let plans = Plans::new(&core, worker.clone());
        let state = AppState::new(core.clone(), plans, wire(config));
        let (background, stop) = (TaskTracker::new(), CancellationToken::new());
        let app = Self { core, worker, state, background, stop };
        app.run_beside();
        Ok(app)
    }

    /// Everything that is served.
    pub fn router(&self) -> axum::Router {
        api::router(self.state.clone())
    }

    /// The health checks by themselves, for a listener that clients do not reach.
    pub fn health_router(&self) -> axum::Router {
        api::health_router(self.state.clone())
    }

    /// Lets the worker work beside the requests, until the app stops, and keeps the roles inside clusters.
    pub fn work(&self) {
        self.background.spawn(self.worker.clone().run(self.stop.clone()));
        self.keep_roles();
    }

    /// Keeps the roles inside clusters, until the app stops.
    pub fn keep_roles(&self) {
        self.background.spawn(RoleKeeper::new(self.core.clone()).run(self.stop.clone()));
    }

    /// Ends streams and sessions that would not end by themselves: to be called when the server begins to stop.
    pub fn end_streams(&self) {
        self.kubernetes.close();
        self.cluster_events.close();
    }

    /// Ends what runs beside the requests; the audit is written to its end.
    pub async fn stop(self) {
        self.kubernetes.close();
        self.kubernetes.closed().await;
        self.stop.cancel();
        self.background.close();
        self.background.wait().await;
        self.events.stop(LAST_AUDIT).await;
        report("the sign of life could not be taken back", self.secrets.farewell().await);
        self.store.close().await;
    }

    fn run_beside(&self) {
        let (secrets, tokens) = (self.secrets.clone(), self.tokens.clone());
        self.every(HEARTBEAT, move || {
            let secrets = secrets.clone();
            async move { report("the sign of life could not be written", secrets.heartbeat().await) }
        });
        self.every(SWEEP, move || {
            let tokens = tokens.clone();
            async move { report("expired tokens could not be removed", tokens.remove_expired().await) }
        });
        let credentials = self.credentials.clone();
        self.every(SWEEP, move || {
            let credentials = credentials.clone();
            async move {
                report("deleted cloud credentials could not be erased", credentials.erase_unused().await);
            }
        });
        let cluster_events = self.cluster_events.clone();
        self.every(SWEEP, move || {
            let cluster_events = cluster_events.clone();
            async move { report("old events of clusters could not be removed", cluster_events.sweep().await) }
        });
        let (state, store) = (self.state.clone(), self.store.clone());
        self.every(GAUGES, move || {
            let (open, idle) = store.connections();
            let idle = u32::try_from(idle).unwrap_or(u32::MAX);
            metrics::gauge!("norman_aks_database_connections", "state" => "idle").set(f64::from(idle));
            metrics::gauge!("norman_aks_database_connections", "state" => "busy")
                .set(f64::from(open.saturating_sub(idle)));
            state.set_gauges();
            std::future::ready(())
        });
    }

    /// Does something now and then, until the app stops.
    fn every<F: Future<Output = ()> + Send>(&self, period: Duration, act: impl Fn() -> F + Send + 'static) {
        let stop = self.stop.clone();
        self.background.spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                act().await;
            }
        });
    }
}

/// How requests are received.
fn wire(config: &Config) -> api::Options {
    api::Options {
        origin: Origin {
            server_url: config.server_url.clone().unwrap_or_default(),
            trusted_proxies: config.trusted_proxies.clone(),
        },
        cors_origins: config.cors_origins.clone(),
        body_limit: config.limits.body_bytes,
        request_limit: config.limits.requests,
    }
}

/// The audit, kept as long as the settings say.
fn audit(config: &Config, store: &Store, clock: &Clock) -> Events {
    let keep = config.audit_retention.unwrap_or_default();
    let options = events::Options { keep, record_each: config.audit_each_use, ..events::Options::default() };
    Events::start(store.clone(), clock.clone(), &options)
}

/// What the start decides, whatever is stored under these names.
fn fixed_settings(config: &Config, instance: &str) -> Vec<(String, String)> {
    let server_url = config.server_url.iter().map(|url| ("server-url".to_owned(), url.clone()));
    let review = config.cluster_review.iter().map(|review| ("cluster-review".to_owned(), review.clone()));
    server_url.chain(review).chain([("install-uuid".to_owned(), instance.to_owned())]).collect()
}

fn report<T, E: std::error::Error + 'static>(what: &'static str, outcome: Result<T, E>) {
    if let Err(error) = outcome {
        tracing::warn!(error = &error as &dyn std::error::Error, "{what}");
    }
}

/// Connects the database, without touching its schema. Makes the folder of a SQLite file (0700).
pub async fn connect_store(config: &Config) -> Result<Store, Error> {
    if let Some(folder) = config.sqlite_file().as_deref().and_then(Path::parent) {
        files::make_folder(folder)?;
    }
    let options = store::Options {
        connections: config.database.pool,
        acquire: config.database.wait,
        ..store::Options::default()
    };
    Ok(Store::connect(config.database.url.expose_secret(), &options).await?)
}

/// Connects the database, brings its schema up to date unless that is switched off, and holds it to its kind.
pub async fn open_store(config: &Config) -> Result<Store, Error> {
    let store = connect_store(config).await?;
    if config.database.migrate {
        store.migrate().await?;
    } else if let Some(first) = store.pending_migrations().await?.first() {
        return Err(Error::NotMigrated { first: first.clone() });
    } else {
        store.reject_newer_schema().await?;
    }
    instance::open(&store, stamp(config)).await?;
    Ok(store)
}

/// The kind of server that these settings make.
pub fn stamp(config: &Config) -> store::Stamp {
    if config.sandbox.is_some() { store::Stamp::Sandbox } else { store::Stamp::Azure }
}

/// The keys of stored secrets: read, or made where that is safe.
pub async fn open_secrets(config: &Config, store: &Store, clock: &Clock) -> Result<Secrets, Error> {
    // Several servers on one PostgreSQL must share a key; each making its own would lose secrets.
    let may_create = store.kind() == store::Kind::Sqlite;
    let file = &config.encryption_key_file;
    let (secrets, origin) = Secrets::open(file, may_create, store.clone(), clock.clone()).await?;
    if origin == secrets::Origin::Made {
        tracing::info!(file = %file.display(), "an encryption key was made; keep a copy of it apart from the database");
    }
    Ok(secrets)
}
