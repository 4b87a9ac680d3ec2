//! The commands: what the command line may say, and what each command prints. What they do lies in `app` and
//! `service`.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 the command
//! line or the settings cannot be used.

mod audit;
mod check;
mod database;
mod error;
mod health;
mod keys;
mod tokens;
mod users;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::app;
use crate::config::{
    self, Config, DataOnly, Everything, Flags, LogFormat, SandboxOnly, SettingFlags, Warning,
    help_after_flags,
};
use crate::telemetry;

pub use self::error::Error;

/// How long the end of the program waits for work that cannot be interrupted.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Rancher's AKS actions, Azure cloud credentials and AKS clusters as one small server.
#[derive(Parser)]
#[command(name = "norman-aks", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    #[command(after_help = help_after_flags())]
    Serve(SettingFlags<Everything>),
    /// Run only the built-in Azure, for other programs.
    Sandbox(SettingFlags<SandboxOnly>),
    /// Print the API document (OpenAPI, JSON).
    Openapi,
    /// Make, list and revoke API tokens.
    #[command(subcommand)]
    Token(tokens::Command),
    /// List, disable, enable and remove users.
    #[command(subcommand)]
    User(users::Command),
    /// Make encryption keys and change over to a new one.
    #[command(subcommand)]
    Key(keys::Command),
    /// Read the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Bring the database schema up to date.
    Migrate(SettingFlags<DataOnly>),
    /// Print the settings and test them: database, encryption key, way to Azure.
    #[command(after_help = help_after_flags())]
    Check(SettingFlags<Everything>),
    /// Ask a running server whether it is ready; for container health checks.
    #[command(hide = true)]
    Healthcheck(SettingFlags<Everything>),
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed standard output or error is no reason to fail in another way.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_output() => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "norman-aks: {}", error::chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Serve(flags) => {
            let (config, warnings) = load_for_serve(&flags.into_flags())?;
            long_running(config, |config| app::serve(config, warnings))
        }
        Command::Sandbox(flags) => {
            let (config, warnings) = load(&flags.into_flags())?;
            show(&warnings);
            long_running(config, app::sandbox)
        }
        Command::Openapi => print(&crate::api::openapi_json()),
        Command::Token(command) => tokens::run(command),
        Command::User(command) => users::run(command),
        Command::Key(command) => keys::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Migrate(flags) => {
            let config = load_quietly(&flags.into_flags())?;
            briefly(&config, database::migrate(&config))
        }
        Command::Check(flags) => {
            let (config, warnings) = load(&flags.into_flags())?;
            briefly(&config, check::run(&config, &warnings))
        }
        // The server may have been started with `--sandbox` or without; its settings are fine either way.
        Command::Healthcheck(flags) => health::run(&load(&flags.into_flags().with_sandbox())?.0),
    }
}

/// The settings of this process.
fn load(flags: &Flags) -> Result<(Config, Vec<Warning>), Error> {
    let (config, mut warnings) = load_for_serve(flags)?;
    // Only a server has so many requests that backtraces cost anything.
    warnings.retain(|warning| *warning != Warning::Backtraces);
    Ok((config, warnings))
}

/// The same, with the warnings that only a server needs.
fn load_for_serve(flags: &Flags) -> Result<(Config, Vec<Warning>), Error> {
    Ok(Config::load(flags, &config::environment(), &|path: &Path| std::fs::read_to_string(path))?)
}

/// The same, with the warnings shown at once.
fn load_quietly(flags: &Flags) -> Result<Config, Error> {
    let (config, warnings) = load(flags)?;
    show(&warnings);
    Ok(config)
}

fn show(warnings: &[Warning]) {
    for warning in warnings {
        tell(&format!("warning: {warning}"));
    }
}

/// Says something beside the result. Nothing fails because nobody listens.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "norman-aks: {text}");
}

/// Refuses to go on when there is no SQLite file yet: connecting would make one, and the command would look into an
/// empty database beside the right one.
fn needs_database(config: &Config) -> Result<(), Error> {
    match config.sqlite_file() {
        Some(path) if !path.exists() => Err(Error::NoDatabase { path, sandbox: config.sandbox.is_some() }),
        _ => Ok(()),
    }
}

/// A command that ends by itself: one thread, and a log of what is unusual only.
fn briefly<T>(config: &Config, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let _log = start_log(config, config.log.filter.as_deref().or(Some("warn")))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_WAIT);
    outcome
}

/// A command that runs until it is told to stop.
fn long_running<F>(config: Config, work: impl FnOnce(Config) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), app::Error>>,
{
    let log = start_log(&config, config.log.filter.as_deref())?;
    let format = config.log.format;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    let outcome = runtime.block_on(work(config)).map_err(Error::from);
    runtime.shutdown_timeout(LAST_WAIT);
    if let (Err(error), LogFormat::Json) = (&outcome, format) {
        // Whoever reads JSON lines does not look for a sentence between them.
        tracing::error!(error = error::chain(error), "stopped");
    }
    drop(log);
    outcome
}

fn start_log(config: &Config, directives: Option<&str>) -> Result<telemetry::Guard, Error> {
    let format = match config.log.format {
        LogFormat::Json => telemetry::Format::Json,
        LogFormat::Text => telemetry::Format::Text { ansi: io::stderr().is_terminal() },
    };
    telemetry::init(format, directives).map_err(Error::from)
}

/// Writes a result to standard output, with a line break at its end.
fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
        .and_then(|()| out.flush())
        .map_err(Error::Output)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_with_a_flag_is_explained_by_serve_with_its_default_and_variable() {
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("serve").unwrap().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for setting in config::settings::ALL {
            assert!(help.contains(&setting.variable()), "{}", setting.name);
            if let Some(flag) = setting.flag() {
                assert!(help.contains(&flag), "{flag}");
                assert!(help.contains(&format!("[default: {}]", setting.default.words())), "{flag}");
            }
        }
    }

    #[test]
    fn commands_that_only_touch_data_take_no_addresses() {
        let parse = |line: &[&str]| Cli::try_parse_from(std::iter::once(&"norman-aks").chain(line));
        assert!(parse(&["migrate", "--data-dir", "x", "--sandbox"]).is_ok());
        assert!(parse(&["serve", "--no-migrate", "--listen", "127.0.0.1:0"]).is_ok());
        assert!(parse(&["serve", "--no-migrate=false"]).is_ok());
        let error = parse(&["migrate", "--listen", "127.0.0.1:0"]).err().unwrap();
        assert_eq!(error.exit_code(), 2);
        let error = parse(&["serve", "--listn", "127.0.0.1:0"]).err().unwrap().to_string();
        assert!(error.contains("--listn") && error.contains("'--listen'"), "{error}");
    }
}
