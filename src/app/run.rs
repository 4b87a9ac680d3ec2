//! Listening and stopping: the server with its metrics, and the built-in Azure by itself.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clock::Clock;
use http::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::database_lock::lock_database;
use super::sandbox::BuiltIn;
use super::{App, Error, Ways, files, open_secrets, open_store, tls};
use crate::config::{Config, Warning};
use crate::telemetry::metrics::Metrics;

/// Connections of the listener for metrics, and of the one for health checks.
const MAX_INTERNAL_CONNECTIONS: usize = 32;
/// How often the newest samples of the metrics are sorted in.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Runs the server until it is told to stop.
pub async fn serve(config: Config, warnings: Vec<Warning>) -> Result<(), Error> {
    // From here on a signal stops the server in order, however early it comes.
    let stop = stop_signal()?;
    // What only costs time is not worth the first line.
    let (late, early): (Vec<_>, Vec<_>) =
        warnings.into_iter().partition(|warning| *warning == Warning::Backtraces);
    warn_of(&early);
    let clock = Clock::system();
    let descriptors = serve::raise_descriptor_limit();
    let metrics = config.metrics_listen.map(|_| Metrics::install()).transpose()?;
    files::make_folder(&config.data_dir)?;
    // Before anything is read or written that another server may be using.
    let file = config.sqlite_file();
    let lock = tokio::select! {
        lock = lock_database(file.as_deref(), &clock) => lock?,
        () = stop.cancelled() => return Ok(()),
    };
    let sandbox = match &config.sandbox {
        Some(settings) => Some(BuiltIn::start(&config.data_dir, settings, &clock).await?),
        None => None,
    };
    let store = open_store(&config).await?;
    let secrets = open_secrets(&config, &store, &clock).await?;
    let ways = match &sandbox {
        Some(sandbox) => sandbox.ways(clock),
        None => Ways { azure: azure::Options { clock, ..azure::Options::default() }, ..Ways::default() },
    };
    let app = App::build(&config, store, secrets, ways).await?;

    // Nothing is served before everything can be.
    let tls = match (&config.tls, &sandbox) {
        (Some(tls), _) => Some(tls::own(tls)?),
        (None, Some(sandbox)) => sandbox.tls(&config)?,
        (None, None) => None,
    };
    if let Some(tls) = &tls {
        app.kubeconfigs.serve_over_tls(tls.told.clone());
        if let Some(remedy) = &tls.remedy
            && app.kubeconfigs.name_no_authority().await
        {
            tracing::warn!("{remedy}");
        }
    }
    let listener = bind(config.listen)?;
    let address = listener.local_addr().map_err(|source| Error::Listen { address: config.listen, source })?;
    if let Some(sandbox) = &sandbox {
        sandbox.furnish(&config, &app, address, tls.as_ref()).await?;
    } else {
        ensure_token(&config, &app).await?;
        say(&format!("norman-aks listens on http://{address}; the API page is http://{address}/docs/"));
    }

    app.work();
    reload_keys_on_hangup(&app, &config)?;
    let mut listeners = Listeners { running: JoinSet::new(), stop: stop.clone() };
    let options = options(&config, descriptors);
    listeners.run("the API", listener, None, app.router(), options.clone());
    if let Some(tls) = tls {
        let over_tls = app.router().layer(axum::Extension(crate::api::origin::OverTls));
        listeners.run("the API over TLS", tls.listener, Some(tls.config), over_tls, options);
    }
    if let (Some(address), Some(metrics)) = (config.metrics_listen, metrics) {
        listeners.run("metrics", bind(address)?, None, metrics_router(metrics), internal_options(&config));
    }
    if let Some(address) = config.health_listen {
        listeners.run("health checks", bind(address)?, None, app.health_router(), internal_options(&config));
    }
    warn_of(&late);
    stop.cancelled().await;
    tracing::info!("stopping: running requests may finish");
    app.end_streams();
    let ended = listeners.end().await;
    app.stop().await;
    if let Some(sandbox) = sandbox {
        sandbox.stop().await;
    }
    drop(lock);
    tracing::info!("stopped");
    ended.map_err(Error::Serve)
}

/// Runs the built-in Azure by itself until it is told to stop.
pub async fn sandbox(config: Config) -> Result<(), Error> {
    files::make_folder(&config.data_dir)?;
    let Some(settings) = &config.sandbox else { return Ok(()) };
    let stop = stop_signal()?;
    let sandbox = BuiltIn::start(&config.data_dir, settings, &Clock::system()).await?;
    say(&sandbox.instructions(&config.data_dir));
    stop.cancelled().await;
    sandbox.stop().await;
    Ok(())
}

struct Listeners {
    running: JoinSet<io::Result<()>>,
    stop: CancellationToken,
}

impl Listeners {
    fn run(
        &mut self,
        what: &'static str,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        router: Router,
        options: serve::Options,
    ) {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "listening: {what}");
        }
        let stop = self.stop.clone();
        self.running.spawn(async move {
            // One that ends, for whatever reason, ends the others too.
            let _stop = stop.clone().drop_guard();
            serve::serve(listener, tls, router, stop, options).await
        });
    }

    /// Waits for all of them; the first failure is the outcome.
    async fn end(mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        while let Some(ended) = self.running.join_next().await {
            outcome = outcome.and(ended.map_err(io::Error::other).flatten());
        }
        outcome
    }
}

/// The listeners of clients share their connections. Those may take half of the file descriptors; the other half is for
/// the database, Azure and clusters.
fn options(config: &Config, descriptors: u64) -> serve::Options {
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
    let limits = serve::ConnectionLimits {
        total,
        unauthenticated: Some(total / 4),
        trusted: config.trusted_proxies.clone(),
    };
    let connections = serve::Connections::new(limits);
    serve::Options { connections, drain: config.limits.drain, ..serve::Options::default() }
}

/// The listeners of collectors and probes have few connections of their own. None of these is ever authenticated: the
/// oldest idle one makes room.
fn internal_options(config: &Config) -> serve::Options {
    let limits = serve::ConnectionLimits {
        total: 2 * MAX_INTERNAL_CONNECTIONS,
        unauthenticated: Some(MAX_INTERNAL_CONNECTIONS),
        trusted: Vec::new(),
    };
    let connections = serve::Connections::new(limits);
    serve::Options { connections, drain: config.limits.drain, ..serve::Options::default() }
}

fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    serve::bind(address).map_err(|source| Error::Listen { address, source })
}

fn metrics_router(metrics: Metrics) -> Router {
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(METRICS_UPKEEP);
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    });
    let show = move || async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()) };
    Router::new().route("/metrics", get(show))
}

/// An administrator's token: the one of the settings, or a new one when there is none at all.
async fn ensure_token(config: &Config, app: &App) -> Result<(), Error> {
    if let Some(token) = &config.bootstrap_token {
        return Ok(app.tokens.ensure_bootstrap(token).await?);
    }
    let Some(token) = app.tokens.create_first().await? else { return Ok(()) };
    let path = config.data_dir.join("admin-token");
    files::write_private(&path, &format!("{}\n", token.to_bearer().expose_secret()))?;
    say(&format!("an administrator's token was written to {}", path.display()));
    show_on_terminal(&token.to_bearer());
    Ok(())
}

/// Where a log collector reads along, a token is not shown.
fn show_on_terminal(token: &SecretString) {
    if io::stdout().is_terminal() {
        say(&format!("the token: {}", token.expose_secret()));
    }
}

/// A line for the person who started the program. Nobody reading it is no reason to stop.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

fn warn_of(warnings: &[Warning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// Cancelled by the first SIGTERM or SIGINT; a second one ends the process at once.
fn stop_signal() -> Result<CancellationToken, Error> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Serve)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Serve)?;
    let told = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            if told.is_cancelled() {
                end_at_once();
            }
            told.cancel();
        }
    });
    Ok(stop)
}

/// An abort would leave a core file, with the keys in it.
#[expect(
    clippy::disallowed_methods,
    reason = "the second signal asks for exactly this: no destructor may wait"
)]
fn end_at_once() {
    std::process::exit(1);
}

/// SIGHUP reads the key file again, so that a new key can be brought in without a restart.
fn reload_keys_on_hangup(app: &App, config: &Config) -> Result<(), Error> {
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Serve)?;
    let (secrets, path) = (app.secrets.clone(), config.encryption_key_file.clone());
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match secrets.reload().await {
                Ok(_) => {
                    tracing::info!(file = %path.display(), "the encryption keys were read again");
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(
                        error,
                        "the encryption keys could not be read again; the old ones stay in use"
                    );
                }
            }
        }
    });
    Ok(())
}
