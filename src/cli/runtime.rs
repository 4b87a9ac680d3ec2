//! The common setup of commands: settings, log, asynchronous runtime and database.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use tokio::runtime;

use super::error::{self, Error};
use super::output::eprint_message;
use crate::app;
use crate::config::{self, Config, DatabaseScope, Flags, LogFormat, SettingFlags, Warning};
use crate::store::Store;
use crate::telemetry;

/// The time limit for blocking tasks at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of this process, and warnings about them.
pub(super) struct Loaded {
    pub(super) config: Config,
    pub(super) warnings: Vec<Warning>,
}

pub(super) fn load(flags: &Flags) -> Result<Loaded, Error> {
    let read_file = |path: &Path| std::fs::read_to_string(path);
    let (config, warnings) = Config::load(flags, &config::environment(), &read_file)?;
    Ok(Loaded { config, warnings })
}

impl Loaded {
    /// Removes the warnings that concern only a server: backtraces are expensive only there.
    pub(super) fn without_server_warnings(mut self) -> Self {
        self.warnings.retain(|warning| *warning != Warning::Backtraces);
        self
    }

    /// Prints the warnings, except those that concern only a server.
    pub(super) fn print_warnings(self) -> Config {
        let Self { config, warnings } = self.without_server_warnings();
        for warning in warnings {
            eprint_message(&format!("warning: {warning}"));
        }
        config
    }
}

/// Runs a one-shot command on one thread. By default, logs only warnings and errors.
pub(super) fn run_command<T>(
    config: &Config,
    command: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let _log = start_log(config, config.log.filter.as_deref().or(Some("warn")))?;
    block_on(command)
}

/// Runs a one-shot command on one thread, without a log.
pub(super) fn block_on<T>(command: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let result = runtime.block_on(command);
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result
}

/// Runs a one-shot command on an existing database.
pub(super) fn run_on_database<T>(
    settings: SettingFlags<DatabaseScope>,
    command: impl AsyncFnOnce(&Config, &Store) -> Result<T, Error>,
) -> Result<T, Error> {
    let config = load(&settings.into_flags())?.print_warnings();
    run_command(&config, async {
        require_existing_database(&config)?;
        let store = app::open_store(&config).await?;
        let result = command(&config, &store).await;
        store.close().await;
        result
    })
}

/// Fails if there is no SQLite file: connecting would create an empty one next to the intended database.
fn require_existing_database(config: &Config) -> Result<(), Error> {
    match config.sqlite_file() {
        Some(path) if !path.exists() => Err(Error::NoDatabase { path, sandbox: config.sandbox.is_some() }),
        _ => Ok(()),
    }
}

/// Runs a server until a shutdown signal.
pub(super) fn run_server<F>(config: Config, start: impl FnOnce(Config) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), app::Error>>,
{
    run_until_signal(&mut runtime::Builder::new_multi_thread(), config, start)
}

/// Runs the agent until a shutdown signal: on one thread, because it runs in every cluster and is mostly idle.
pub(super) fn run_agent<F>(config: Config, start: impl FnOnce(Config) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), app::Error>>,
{
    run_until_signal(&mut runtime::Builder::new_current_thread(), config, start)
}

fn run_until_signal<F>(
    builder: &mut runtime::Builder,
    config: Config,
    start: impl FnOnce(Config) -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), app::Error>>,
{
    let _log = start_log(&config, config.log.filter.as_deref())?;
    let format = config.log.format;
    let runtime = builder.enable_all().build().map_err(Error::Runtime)?;
    let result = runtime.block_on(start(config)).map_err(Error::from);
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    if let (Err(error), LogFormat::Json) = (&result, format) {
        // Log collectors read only JSON lines.
        tracing::error!(error = error::chain(error), "stopped");
    }
    result
}

fn start_log(config: &Config, directives: Option<&str>) -> Result<telemetry::Guard, Error> {
    let format = match config.log.format {
        LogFormat::Json => telemetry::Format::Json,
        LogFormat::Text => telemetry::Format::Text { ansi: io::stderr().is_terminal() },
    };
    telemetry::init(format, directives).map_err(Error::from)
}
