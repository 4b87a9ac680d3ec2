//! The server without its listeners: services, the worker and periodic tasks.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use azure::Azure;
use clock::Clock;
use cluster_access::ClusterAccess;
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::Error;
use super::replicas::{self, ReplicaRelay};
use super::sandbox::RunningSandbox;
use super::snapshots::{self, Snapshots};
use super::storage::azure_backend;
use crate::api::forwarded::ForwardedConfig;
use crate::api::{self, AppState};
use crate::config::Config;
use crate::provision::{RoleKeeper, Worker};
use crate::service::audit::{self, AuditLog};
use crate::service::base::Base;
use crate::service::core::{self, Core};
use crate::service::instance;
use crate::service::plans::Plans;
use crate::service::secrets::Secrets;
use crate::store::Store;
use crate::telemetry;

/// The interval of removing expired data.
const CLEANUP_INTERVAL: Duration = Duration::from_hours(1);
/// The interval at which this server records that it is running, and the IDs of its keys.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// The interval of checking for deleted registration tokens, and of exchanging agent sessions with other servers.
const AGENT_SYNC_INTERVAL: Duration = Duration::from_secs(2);
/// The time limit for writing pending audit records at shutdown. The rest is logged.
const AUDIT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// The update interval of the gauges.
const GAUGE_INTERVAL: Duration = Duration::from_secs(5);

/// The server and its background tasks.
pub struct App {
    core: Core,
    /// Reconciles clusters with their specifications once [`App::start_background_tasks`] is called.
    pub worker: Worker,
    state: AppState,
    snapshots: Snapshots,
    background: TaskTracker,
    stop: CancellationToken,
}

impl Deref for App {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

/// Options for connecting to external systems. The default connects to the real Azure and its clusters.
#[derive(Clone, Default)]
pub struct Connectors {
    /// Connections to Entra and Resource Manager, and the clock of the whole server.
    pub azure: azure::Options,
    /// Connections to the Kubernetes APIs of clusters.
    pub clusters: cluster_access::Options,
}

/// The connectors for Azure, or for the sandbox.
pub(super) fn connectors(sandbox: Option<&RunningSandbox>, clock: Clock) -> Connectors {
    match sandbox {
        Some(sandbox) => sandbox.connectors(clock),
        None => Connectors {
            azure: azure::Options { clock, ..azure::Options::default() },
            ..Connectors::default()
        },
    }
}

impl App {
    /// Assembles the server from a migrated database, its encryption keys, and access to Azure and clusters.
    pub async fn build(
        config: &Config,
        store: Store,
        secrets: Secrets,
        connectors: Connectors,
    ) -> Result<Self, Error> {
        let clock = connectors.azure.clock.clone();
        let audit_log = start_audit_log(config, &store, &clock);
        let instance = instance::open(&store, azure_backend(config)).await?;
        let base = Base {
            azure: Azure::new(connectors.azure)?,
            cluster_access: ClusterAccess::new(connectors.clusters),
            store,
            secrets,
            audit_log,
            clock,
        };
        let options = core::Options {
            fixed_settings: fixed_settings(config, &instance),
            default_agent_image: default_agent_image(config),
            instance,
            cache_bytes: config.limits.cache_bytes,
            log_is_full: telemetry::is_disk_full,
        };
        let core = Core::new(base, options);
        let worker = Worker::new(core.clone());
        let plans = Plans::new(&core, worker.clone());
        let state = AppState::new(core.clone(), plans, http_options(config));
        let (secrets, listings) = (core.secrets.clone(), core.listings.clone());
        let snapshots = Snapshots::new(&config.data_dir, secrets, listings, config.limits.cache_bytes);
        snapshots.restore().await;
        let (background, stop) = (TaskTracker::new(), CancellationToken::new());
        let app = Self { core, worker, state, snapshots, background, stop };
        app.start_periodic_tasks();
        Ok(app)
    }

    /// All routes.
    pub fn router(&self) -> axum::Router {
        api::router(self.state.clone())
    }

    /// The TLS configuration of the listener for the other replicas.
    pub fn replica_tls(&self) -> Result<Arc<rustls::ServerConfig>, Error> {
        replicas::server_tls(&self.secrets)
    }

    /// The routes for the other replicas, for a listener that clients do not reach.
    pub fn replica_router(&self) -> axum::Router {
        api::replica_router(self.state.clone())
    }

    /// The routes of the health checks, for a listener that clients do not reach.
    pub fn health_router(&self) -> axum::Router {
        api::health_router(self.state.clone())
    }

    /// Starts the worker and [`App::keep_roles`]. Both run until the app stops.
    pub fn start_background_tasks(&self) {
        self.background.spawn(self.worker.clone().run(self.stop.clone()));
        self.keep_roles();
    }

    /// Starts maintaining the roles inside clusters, until the app stops.
    pub fn keep_roles(&self) {
        self.background.spawn(RoleKeeper::new(self.core.clone()).run(self.stop.clone()));
    }

    /// Publishes the address at which other servers connect to this one, and uses the sessions of agents on those
    /// servers.
    pub fn join_replicas(&self, address: String) {
        self.secrets.set_address(address);
        self.agents.sessions().set_relay(Arc::new(ReplicaRelay::new(self.secrets.clone())));
    }

    /// Ends watches, upgraded connections and event streams when a shutdown begins, because they would not end by themselves.
    pub fn end_streams(&self) {
        self.kubernetes.close();
        self.cluster_events.close();
    }

    /// Writes the snapshot of cached lists if they have changed. The server does so at intervals, too.
    pub async fn save_lists(&self) {
        self.snapshots.save().await;
    }

    /// Stops the background tasks and writes pending audit records.
    pub async fn stop(self) {
        self.kubernetes.close();
        self.kubernetes.closed().await;
        // Cancelled before the agents stop, so that the end of their sessions starts no reconcile step.
        self.stop.cancel();
        self.agents.stop().await;
        self.background.close();
        self.background.wait().await;
        self.snapshots.save().await;
        self.audit_log.stop(AUDIT_SHUTDOWN_TIMEOUT).await;
        log_failure("cannot remove the heartbeat", self.secrets.delete_heartbeat().await);
        self.store.close().await;
    }

    fn start_periodic_tasks(&self) {
        self.run_every(
            HEARTBEAT_INTERVAL,
            "cannot write the heartbeat",
            &self.secrets,
            |secrets| async move { secrets.heartbeat().await },
        );
        let message = "cannot check the registration tokens of agents";
        self.run_every(AGENT_SYNC_INTERVAL, message, &self.agents, |agents| async move {
            agents.close_revoked().await
        });
        let message = "cannot exchange agent sessions with other servers";
        self.run_every(AGENT_SYNC_INTERVAL, message, &self.agents, |agents| async move {
            agents.exchange().await
        });
        self.run_every(CLEANUP_INTERVAL, "cannot remove expired tokens", &self.tokens, |tokens| async move {
            tokens.remove_expired().await
        });
        self.run_every(
            CLEANUP_INTERVAL,
            "cannot erase deleted cloud credentials",
            &self.credentials,
            |credentials| async move { credentials.erase_unused().await },
        );
        self.run_every(
            CLEANUP_INTERVAL,
            "cannot remove old cluster events",
            &self.cluster_events,
            |events| async move { events.prune().await },
        );
        let message = "cannot save cached lists";
        self.run_every(snapshots::SAVE_INTERVAL, message, &self.snapshots, |snapshots| async move {
            snapshots.save().await;
            Ok::<_, Infallible>(())
        });
        let state_and_store = (self.state.clone(), self.store.clone());
        self.run_every(
            GAUGE_INTERVAL,
            "cannot update gauges",
            &state_and_store,
            |(state, store)| async move {
                set_gauges(&state, &store);
                Ok::<_, Infallible>(())
            },
        );
    }

    /// Runs `action` on clones of `service` at an interval, until the app stops. Failures are logged with `failure_message`.
    fn run_every<S, F, T, E>(
        &self,
        interval: Duration,
        failure_message: &'static str,
        service: &S,
        action: impl Fn(S) -> F + Send + 'static,
    ) where
        S: Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, E>> + Send,
        T: Send,
        E: std::error::Error + Send + 'static,
    {
        let (stop, service) = (self.stop.clone(), service.clone());
        let task = async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                log_failure(failure_message, action(service.clone()).await);
            }
        };
        // Boxed to one type, so that the runtime's code for tasks is compiled once, and not for each service.
        self.background.spawn(task.boxed());
    }
}

fn set_gauges(state: &AppState, store: &Store) {
    let (open, idle) = store.connections();
    let idle = u32::try_from(idle).unwrap_or(u32::MAX);
    let busy = open.saturating_sub(idle);
    metrics::gauge!("norman_aks_database_connections", "state" => "idle").set(f64::from(idle));
    metrics::gauge!("norman_aks_database_connections", "state" => "busy").set(f64::from(busy));
    state.set_gauges();
}

pub(super) fn http_options(config: &Config) -> api::HttpOptions {
    api::HttpOptions {
        forwarded: ForwardedConfig {
            server_url: config.server_url.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
        },
        cors_origins: config.cors_origins.clone(),
        body_limit: config.limits.body_bytes,
        request_limit: config.limits.requests,
    }
}

fn start_audit_log(config: &Config, store: &Store, clock: &Clock) -> AuditLog {
    let retention = config.audit_retention.unwrap_or_default();
    let options =
        audit::Options { retention, record_each: config.audit_each_use, ..audit::Options::default() };
    AuditLog::start(store.clone(), clock.clone(), &options)
}

/// Settings that override the stored ones.
fn fixed_settings(config: &Config, instance: &str) -> Vec<(String, String)> {
    let server_url = config.server_url.iter().map(|url| ("server-url".to_owned(), url.clone()));
    let review = config.cluster_review.iter().map(|review| ("cluster-review".to_owned(), review.clone()));
    server_url.chain(review).chain([("install-uuid".to_owned(), instance.to_owned())]).collect()
}

/// The default image of agents: built into the sandbox, otherwise empty. The administrator must then set an image that
/// clusters can pull.
fn default_agent_image(config: &Config) -> String {
    let image = config.sandbox.as_ref().map(|_| concat!("norman-aks:", env!("CARGO_PKG_VERSION")));
    image.unwrap_or_default().to_owned()
}

fn log_failure<T, E: std::error::Error + 'static>(message: &'static str, result: Result<T, E>) {
    if let Err(error) = result {
        tracing::warn!(error = &error as &dyn std::error::Error, "{message}");
    }
}
