//! The server alongside Rancher: serves the nine actions to Rancher's users, without a database.

use std::time::Duration;

use axum::Router;
use azure::Azure;
use clock::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::Error;
use super::files;
use super::run::{Listeners, Startup};
use super::sandbox::RunningSandbox;
use super::server::{Connectors, http_options};
use super::tls::{self, bind};
use super::{output::print_line, server};
use crate::api::{self, RancherState};
use crate::config::{self, Config};
use crate::rancher::{self, Rancher, TlsTrust};
use crate::service::audit::{self, AuditLog, Sink};
use crate::service::listings::Listings;
use crate::service::rancher_access::RancherAccess;

/// The time limit for writing pending audit records to the log at shutdown.
const AUDIT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// The update interval of the gauges.
const GAUGE_INTERVAL: Duration = Duration::from_secs(5);

/// The interval of requests that check whether Rancher responds.
const PROBE_INTERVAL: Duration = Duration::from_secs(15);

/// The services of the server, without listeners.
pub struct BesideRancher {
    state: RancherState,
    rancher: Rancher,
    catalog_host: Option<String>,
    audit_log: AuditLog,
    background: TaskTracker,
    stop: CancellationToken,
}

impl BesideRancher {
    /// Assembles the server. Sends nothing.
    pub fn build(config: &Config, settings: &config::Rancher, connectors: Connectors) -> Result<Self, Error> {
        let clock = connectors.azure.clock.clone();
        let azure = Azure::new(connectors.azure)?;
        let rancher = client(settings)?;
        let options = audit::Options { record_each: config.audit_each_use, ..audit::Options::default() };
        let audit_log = AuditLog::start(Sink::Log, clock.clone(), &options);
        let listings = Listings::new(azure.clone(), config.limits.cache_bytes, clock);
        let access = RancherAccess::new(rancher.clone(), azure, listings, settings.decision_ttl);
        let state = RancherState::new(http_options(config), access, audit_log.clone());
        let app = Self {
            state,
            rancher,
            catalog_host: settings.catalog_host.clone(),
            audit_log,
            background: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        app.start_gauge_updates();
        Ok(app)
    }

    /// All routes.
    pub fn router(&self) -> Router {
        api::rancher_router(self.state.clone(), self.catalog_host.as_deref())
    }

    /// Probes Rancher at the start and at intervals, and logs changes of the result. Requests are served even if
    /// Rancher does not respond.
    fn watch_rancher(&self) {
        let (rancher, stop) = (self.rancher.clone(), self.stop.clone());
        self.background.spawn(async move {
            let mut ticks = tokio::time::interval(PROBE_INTERVAL);
            let mut last = None;
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                let Some(outcome) = stop.run_until_cancelled(rancher.probe()).await else { break };
                if last.replace(outcome.is_ok()) == Some(outcome.is_ok()) {
                    continue;
                }
                match outcome {
                    Ok(()) => tracing::info!("Rancher responds"),
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "Rancher cannot be used");
                    }
                }
            }
        });
    }

    fn start_gauge_updates(&self) {
        let (state, stop) = (self.state.clone(), self.stop.clone());
        self.background.spawn(async move {
            let mut ticks = tokio::time::interval(GAUGE_INTERVAL);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                state.set_gauges();
            }
        });
    }

    /// Stops the background tasks and writes pending audit records.
    pub async fn stop(self) {
        self.stop.cancel();
        self.background.close();
        self.background.wait().await;
        self.audit_log.stop(AUDIT_SHUTDOWN_TIMEOUT).await;
    }
}

/// The client of the Rancher in the settings.
pub fn client(settings: &config::Rancher) -> Result<Rancher, Error> {
    let trust = match (&settings.ca_file, &settings.ca_checksum) {
        (Some(path), _) => {
            let content = std::fs::read_to_string(path);
            TlsTrust::Pem(content.map_err(|source| Error::File { path: path.clone(), source })?)
        }
        (None, Some(checksum)) => TlsTrust::Checksum(checksum.clone()),
        (None, None) => TlsTrust::System,
    };
    let options = rancher::Options { url: settings.url.clone(), host: settings.host.clone(), trust };
    Ok(Rancher::new(options)?)
}

/// Runs the server until a shutdown signal.
pub(super) async fn serve(
    config: &Config,
    settings: &config::Rancher,
    mut startup: Startup,
) -> Result<(), Error> {
    let clock = Clock::system();
    if config.sandbox.is_some() {
        files::create_directory(&config.data_dir)?;
    }
    let sandbox = RunningSandbox::start(config, &clock).await?;
    let app = BesideRancher::build(config, settings, server::connectors(sandbox.as_ref(), clock))?;
    let tls = config.tls.as_ref().map(tls::listen).transpose()?;
    let (listener, address) = bind(config.listen)?;
    if let Some(sandbox) = &sandbox {
        print_line(&sandbox.credential_instructions());
    }
    print_line(&format!(
        "norman-aks listens on http://{address} and serves /meta/aks… for users of {}",
        settings.host.as_deref().or(settings.url.host_str()).unwrap_or_default()
    ));
    if let Some(host) = &settings.catalog_host {
        print_line(&format!("the catalog is at /api/v1, for requests to {host}"));
    }
    let mut listeners = Listeners::new(&startup.stop);
    listeners.start_client_listeners(config, &startup, (listener, tls), &app.router());
    listeners.start_monitoring_listeners(config, api::rancher_health_router(), startup.metrics.take())?;
    app.watch_rancher();

    startup.wait_for_stop().await;
    let result = listeners.join().await;
    app.stop().await;
    if let Some(sandbox) = sandbox {
        sandbox.stop().await;
    }
    result.map_err(Error::Serve)
}
