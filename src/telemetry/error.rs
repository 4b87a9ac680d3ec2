//! Errors of setting up log and metrics.

use tracing_subscriber::filter::ParseError;

/// An error of setting up the log or the metrics.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("RUST_LOG is not a list of directives such as `info` or `norman_aks=debug,sqlx=info`")]
    Filter(#[source] ParseError),
    #[error("a global {0} is already installed")]
    AlreadySet(&'static str),
    #[error("cannot set up metrics")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
    #[error("cannot start the log writer")]
    Thread(#[source] std::io::Error),
}
