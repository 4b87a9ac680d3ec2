//! Runs the agent for the command `agent`: reads its environment, logs its events and serves its health checks.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use agent::{Event, Network, Settings, Status};
use axum::Router;
use axum::routing::get;
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::run::{log_warnings, monitoring_options, stop_signal};
use super::tls::bind;
use crate::config::{Config, Warning};

/// Runs the agent until a shutdown signal. `environment` contains the variables of the process.
pub async fn run_agent(
    config: Config,
    warnings: Vec<Warning>,
    environment: BTreeMap<String, String>,
) -> Result<(), Error> {
    let stop = stop_signal()?;
    let settings = Settings::from_environment(|name| environment.get(name).cloned(), read_file)?;
    tracing::info!(
        server = settings.server(),
        api_server = settings.api_server(),
        proxy = settings.proxy(),
        trusted = settings.checksum().unwrap_or("the system's certificate authorities"),
        "agent starting"
    );
    log_warnings(&warnings);

    let status = Status::new();
    let (listener, address) = bind(config.health_listen.unwrap_or(config.listen))?;
    tracing::info!(%address, "listening: health checks");
    // This listener stops last, so that probes see that the agent is stopping.
    let stop_health = CancellationToken::new();
    let (router, options) = (health_router(status.clone()), monitoring_options(&config));
    let health = tokio::spawn(serve::serve(listener, None, router, stop_health.clone(), options));

    let observer = Arc::new(move |event: &Event| {
        status.record(event);
        log_event(event);
    });
    let result = agent::run(settings, Network::system(), observer, stop).await;
    stop_health.cancel();
    health.await.map_err(io::Error::other).flatten().map_err(Error::Serve)?;
    Ok(result?)
}

/// Reads a file of the mounted secret.
fn read_file(path: &str) -> Option<Vec<u8>> {
    match std::fs::read(path) {
        Ok(content) => Some(content),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(file = path, error, "cannot read a file of the mounted secret");
            }
            None
        }
    }
}

fn log_event(event: &Event) {
    if event.is_failure() {
        tracing::warn!("{event}");
    } else {
        tracing::info!("{event}");
    }
}

/// Health checks under the same paths as the server's, except `/ping`.
fn health_router(status: Status) -> Router {
    let readyz = async move || match status.reason() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    };
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
}
