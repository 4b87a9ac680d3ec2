//! Runs the server, or only the sandbox: listeners, signals and the shutdown.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clock::Clock;
use http::header::CONTENT_TYPE;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::beside;
use super::database_lock::lock_database;
use super::error::Error;
use super::files;
use super::output::print_line;
use super::sandbox::RunningSandbox;
use super::server::{App, connectors};
use super::storage::{open_secrets, open_store};
use super::tls::{self, TlsListener, bind};
use crate::config::{Config, Warning};
use crate::telemetry::metrics::Metrics;

/// The maximum number of connections of the metrics listener, and of the health listener.
const MAX_MONITORING_CONNECTIONS: usize = 32;
/// The interval of aggregating histogram samples.
const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Checks whether this build has the features that the settings require.
///
/// # Errors
/// [`Error::NoSandbox`].
pub fn check_features(config: &Config) -> Result<(), Error> {
    if config.sandbox.is_some() && !cfg!(feature = "sandbox") { Err(Error::NoSandbox) } else { Ok(()) }
}

/// The setup that every server needs before it opens a listener or the database.
pub(super) struct Startup {
    pub(super) stop: CancellationToken,
    /// The maximum number of file descriptors of the process.
    pub(super) descriptors: u64,
    pub(super) metrics: Option<Metrics>,
    /// Less important warnings, which are logged after the start.
    late_warnings: Vec<Warning>,
}

impl Startup {
    fn begin(config: &Config, warnings: Vec<Warning>) -> Result<Self, Error> {
        check_features(config)?;
        // From here on, a signal stops the server gracefully.
        let stop = stop_signal()?;
        let (late_warnings, early_warnings): (Vec<_>, Vec<_>) =
            warnings.into_iter().partition(|warning| *warning == Warning::Backtraces);
        log_warnings(&early_warnings);
        let descriptors = serve::raise_descriptor_limit();
        let metrics = config.metrics_listen.map(|_| Metrics::install()).transpose()?;
        Ok(Self { stop, descriptors, metrics, late_warnings })
    }

    /// Waits for the signal to stop.
    pub(super) async fn wait_for_stop(&self) {
        log_warnings(&self.late_warnings);
        self.stop.cancelled().await;
        tracing::info!("stopping: running requests may finish");
    }
}

/// Runs the server until a shutdown signal, alongside Rancher or with its own database.
pub async fn serve(config: Config, warnings: Vec<Warning>) -> Result<(), Error> {
    let startup = Startup::begin(&config, warnings)?;
    match &config.rancher {
        Some(rancher) => beside::serve(&config, rancher, startup).await?,
        None => serve_with_database(&config, startup).await?,
    }
    tracing::info!("stopped");
    Ok(())
}

/// Runs the server with its own database.
async fn serve_with_database(config: &Config, mut startup: Startup) -> Result<(), Error> {
    let clock = Clock::system();
    files::create_directory(&config.data_dir)?;
    // The database is locked before anything is read or written that another server may use.
    let sqlite_file = config.sqlite_file();
    let lock = tokio::select! {
        lock = lock_database(sqlite_file.as_deref(), &clock) => lock?,
        () = startup.stop.cancelled() => return Ok(()),
    };
    let sandbox = RunningSandbox::start(config, &clock).await?;
    let app = build_app(config, clock, sandbox.as_ref()).await?;

    // Bind and seed before serving any request.
    let tls = bind_tls(config, &app, sandbox.as_ref()).await?;
    let (listener, address) = bind(config.listen)?;
    if let Some(sandbox) = &sandbox {
        sandbox.seed_and_announce(config, &app, address, tls.as_ref()).await?;
    } else {
        ensure_token(config, &app).await?;
        print_line(&format!(
            "norman-aks listens on http://{address}; the API page is http://{address}/docs/"
        ));
    }
    app.start_background_tasks();
    reload_keys_on_hangup(&app, config)?;
    let mut listeners = Listeners::new(&startup.stop);
    listeners.start_client_listeners(config, &startup, (listener, tls), &app.router());
    listeners.start_monitoring_listeners(config, app.health_router(), startup.metrics.take())?;
    listeners.start_replica_listener(config, &app)?;

    startup.wait_for_stop().await;
    app.end_streams();
    let result = listeners.join().await;
    app.stop().await;
    if let Some(sandbox) = sandbox {
        sandbox.stop().await;
    }
    drop(lock);
    result.map_err(Error::Serve)
}

/// Runs only the sandbox until a shutdown signal.
pub async fn sandbox(config: Config) -> Result<(), Error> {
    check_features(&config)?;
    files::create_directory(&config.data_dir)?;
    let stop = stop_signal()?;
    let Some(sandbox) = RunningSandbox::start(&config, &Clock::system()).await? else { return Ok(()) };
    print_line(&sandbox.instructions(&config));
    stop.cancelled().await;
    sandbox.stop().await;
    Ok(())
}

async fn build_app(config: &Config, clock: Clock, sandbox: Option<&RunningSandbox>) -> Result<App, Error> {
    let store = open_store(config).await?;
    let secrets = open_secrets(config, &store, &clock).await?;
    App::build(config, store, secrets, connectors(sandbox, clock)).await
}

/// Binds the TLS listener of the settings or of the sandbox, and advertises it in kubeconfigs and to agents.
async fn bind_tls(
    config: &Config,
    app: &App,
    sandbox: Option<&RunningSandbox>,
) -> Result<Option<TlsListener>, Error> {
    let tls = match (&config.tls, sandbox) {
        (Some(tls), _) => Some(tls::listen(tls)?),
        (None, Some(sandbox)) => sandbox.tls_listener(config)?,
        (None, None) => None,
    };
    if let Some(tls) = &tls {
        app.public_address.set_https_endpoint(tls.advertised.clone());
        // Kubeconfigs lack the CA of this certificate.
        if let Some(warning) = &tls.missing_authority_warning
            && app.kubeconfigs.uses_system_authorities().await
        {
            tracing::warn!("{warning}");
        }
    }
    Ok(tls)
}

/// The running listeners.
pub(super) struct Listeners {
    running: JoinSet<io::Result<()>>,
    stop: CancellationToken,
}

impl Listeners {
    pub(super) fn new(stop: &CancellationToken) -> Self {
        Self { running: JoinSet::new(), stop: stop.clone() }
    }

    /// Starts the listeners for clients: plain HTTP and, if there is one, TLS. They share the connection limits.
    pub(super) fn start_client_listeners(
        &mut self,
        config: &Config,
        startup: &Startup,
        (listener, tls): (TcpListener, Option<TlsListener>),
        router: &Router,
    ) {
        let options = client_options(config, startup.descriptors);
        self.start("the API", listener, None, router.clone(), options.clone());
        if let Some(tls) = tls {
            let router = router.clone().layer(axum::Extension(crate::api::forwarded::OverTls));
            self.start("the API over TLS", tls.listener, Some(tls.config), router, options);
        }
    }

    /// Starts the listeners for metrics collectors and health probes.
    pub(super) fn start_monitoring_listeners(
        &mut self,
        config: &Config,
        health: Router,
        metrics: Option<Metrics>,
    ) -> Result<(), Error> {
        let metrics = metrics.map(metrics_router);
        for (name, address, router) in [
            ("metrics", config.metrics_listen, metrics),
            ("health checks", config.health_listen, Some(health)),
        ] {
            if let (Some(address), Some(router)) = (address, router) {
                self.start(name, bind(address)?.0, None, router, monitoring_options(config));
            }
        }
        Ok(())
    }

    /// Starts the listener for the other replicas, and announces it to them.
    fn start_replica_listener(&mut self, config: &Config, app: &App) -> Result<(), Error> {
        let Some(listen) = config.internal_listen else { return Ok(()) };
        let (listener, bound) = bind(listen)?;
        let address = config.internal_address.clone().unwrap_or_else(|| bound.to_string());
        app.join_replicas(address);
        let tls = app.replica_tls()?;
        self.start("other servers", listener, Some(tls), app.replica_router(), replica_options(config));
        Ok(())
    }

    fn start(
        &mut self,
        name: &'static str,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        router: Router,
        options: serve::Options,
    ) {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "listening: {name}");
        }
        let stop = self.stop.clone();
        self.running.spawn(async move {
            // When a listener ends for any reason, the others stop too.
            let _stop = stop.clone().drop_guard();
            serve::serve(listener, tls, router, stop, options).await
        });
    }

    /// Waits for all listeners, and returns the first error.
    pub(super) async fn join(mut self) -> io::Result<()> {
        let mut result = Ok(());
        while let Some(finished) = self.running.join_next().await {
            result = result.and(finished.map_err(io::Error::other).flatten());
        }
        result
    }
}

/// Options of the client listeners, which share their limits: connections use at most half of the file descriptors. The
/// other half is for the database, Azure and clusters.
fn client_options(config: &Config, descriptors: u64) -> serve::Options {
    let wanted = config.limits.connections;
    let total = wanted.min(usize::try_from(descriptors / 2).unwrap_or(usize::MAX));
    if total < wanted {
        tracing::warn!(
            wanted,
            used = total,
            descriptors,
            "connection limit lowered: the process may open too few files (ulimit -n)"
        );
    }
    listener_options(config, total, total / 4, config.trusted_proxies.clone())
}

/// Options of a listener for metrics collectors or health probes, whose connections are never authenticated. Beyond the limit,
/// one connection is closed, preferably the longest idle one of the address with the most connections. A closing connection
/// still counts towards `max_connections`, which is therefore twice the limit.
pub(super) fn monitoring_options(config: &Config) -> serve::Options {
    listener_options(config, 2 * MAX_MONITORING_CONNECTIONS, MAX_MONITORING_CONNECTIONS, Vec::new())
}

/// Options of the listener for the other replicas, which open one connection for each connection to a cluster.
fn replica_options(config: &Config) -> serve::Options {
    listener_options(config, config.limits.connections, config.limits.connections, Vec::new())
}

fn listener_options(
    config: &Config,
    max_connections: usize,
    max_unauthenticated: usize,
    trusted_proxies: Vec<ipnet::IpNet>,
) -> serve::Options {
    let limits = serve::ConnectionLimits {
        total: max_connections,
        unauthenticated: Some(max_unauthenticated),
        trusted: trusted_proxies,
    };
    let connections = serve::Connections::new(limits);
    serve::Options { connections, drain: config.limits.drain, ..serve::Options::default() }
}

fn metrics_router(metrics: Metrics) -> Router {
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(METRICS_UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    });
    let render = move || async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()) };
    Router::new().route("/metrics", get(render))
}

/// Stores the administrator's token from the settings, or creates one if no administrator has a token.
async fn ensure_token(config: &Config, app: &App) -> Result<(), Error> {
    if let Some(token) = &config.bootstrap_token {
        return Ok(app.tokens.ensure_bootstrap(token).await?);
    }
    let Some(token) = app.tokens.create_first().await? else { return Ok(()) };
    let (token, path) = (token.to_bearer(), config.data_dir.join("admin-token"));
    files::write_private(&path, &format!("{}\n", token.expose_secret()))?;
    print_line(&format!("an administrator's token was written to {}", path.display()));
    // A log collector may read a standard output that is not a terminal.
    if io::stdout().is_terminal() {
        print_line(&format!("the token: {}", token.expose_secret()));
    }
    Ok(())
}

pub(super) fn log_warnings(warnings: &[Warning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// A token that the first SIGTERM or SIGINT cancels. A second signal exits the process immediately.
pub(super) fn stop_signal() -> Result<CancellationToken, Error> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Serve)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Serve)?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            if stopping.is_cancelled() {
                exit_immediately();
            }
            stopping.cancel();
        }
    });
    Ok(stop)
}

/// Exits without aborting, because a core dump would contain the keys.
#[expect(clippy::disallowed_methods, reason = "after the second signal, no destructor may wait")]
fn exit_immediately() {
    std::process::exit(1);
}

/// Reloads the key file on SIGHUP, so that keys can be rotated without a restart.
fn reload_keys_on_hangup(app: &App, config: &Config) -> Result<(), Error> {
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Serve)?;
    let (secrets, path) = (app.secrets.clone(), config.encryption_key_file.clone());
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match secrets.reload().await {
                Ok(_) => tracing::info!(file = %path.display(), "encryption keys reloaded"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "cannot reload encryption keys; the old ones stay in use");
                }
            }
        }
    });
    Ok(())
}
