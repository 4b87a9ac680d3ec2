//! The command-line interface. `app` and `service` implement the commands.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 success, 1 failure, 2 an invalid command
//! line or invalid settings.

mod agent;
mod audit;
mod catalog;
mod check;
mod error;
mod health;
mod keys;
mod migrate;
mod output;
mod runtime;
mod tokens;
mod users;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::runtime::{load, run_command, run_server};
use crate::app;
use crate::config::{AgentScope, DatabaseScope, SandboxScope, ServeScope, SettingFlags, help_after_flags};

pub use self::error::Error;

/// Rancher's AKS actions, Azure cloud credentials and AKS clusters in one small server.
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
    Serve(SettingFlags<ServeScope>),
    /// Run the agent of a private cluster, in a pod of that cluster.
    #[command(after_help = agent::HELP)]
    Agent(SettingFlags<AgentScope>),
    /// Run only the simulated Azure, for other programs.
    Sandbox(SettingFlags<SandboxScope>),
    /// Print the API document (OpenAPI, JSON).
    Openapi,
    /// Create, list and revoke API tokens.
    #[command(subcommand)]
    Token(tokens::Command),
    /// List, disable, enable and remove users.
    #[command(subcommand)]
    User(users::Command),
    /// Generate and rotate encryption keys.
    #[command(subcommand)]
    Key(keys::Command),
    /// Read the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Migrate the database schema.
    Migrate(SettingFlags<DatabaseScope>),
    /// Print the settings and test them: database, encryption key, connectivity to Azure; or check a stored credential.
    Check(Box<catalog::Check>),
    /// List the VM sizes of a region with quotas and verdicts, from a running server.
    Sizes(Box<catalog::Sizes>),
    /// List the Kubernetes versions of a region, from a running server.
    Versions(Box<catalog::Versions>),
    /// Rank the regions of a subscription for a desired cluster, from a running server.
    Regions(Box<catalog::Regions>),
    /// Check whether a running server is ready; for container health checks.
    #[command(hide = true)]
    Healthcheck(Box<health::Healthcheck>),
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed standard output or standard error is ignored.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_output() => ExitCode::SUCCESS,
        Err(error) => {
            output::eprint_message(&error::chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Serve(flags) => {
            let loaded = load(&flags.into_flags())?;
            run_server(loaded.config, |config| app::serve(config, loaded.warnings))
        }
        Command::Agent(flags) => agent::run(&flags.into_flags()),
        Command::Sandbox(flags) => run_server(load(&flags.into_flags())?.print_warnings(), app::sandbox),
        Command::Openapi => output::print(&crate::api::openapi_json()),
        Command::Token(command) => tokens::run(command),
        Command::User(command) => users::run(command),
        Command::Key(command) => keys::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Migrate(flags) => {
            let config = load(&flags.into_flags())?.print_warnings();
            run_command(&config, migrate::run(&config))
        }
        Command::Check(command) => match command.settings() {
            Some(flags) => {
                let loaded = load(&flags.into_flags())?.without_server_warnings();
                run_command(&loaded.config, check::run(&loaded.config, &loaded.warnings))
            }
            None => catalog::check(*command),
        },
        Command::Sizes(command) => catalog::sizes(*command),
        Command::Versions(command) => catalog::versions(*command),
        Command::Regions(command) => catalog::regions(*command),
        Command::Healthcheck(command) => health::run(*command),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::settings;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_help_has_every_flag_with_default_and_variable() {
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("serve").unwrap().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for setting in settings::ALL {
            assert!(help.contains(&setting.variable()), "{}", setting.name);
            if let Some(flag) = setting.flag() {
                assert!(help.contains(&flag), "{flag}");
                assert!(help.contains(&format!("[default: {}]", setting.default.as_str())), "{flag}");
            }
        }
    }

    #[test]
    fn database_commands_reject_listen_flags() {
        let parse = |line: &[&str]| Cli::try_parse_from(std::iter::once(&"norman-aks").chain(line));
        assert!(parse(&["migrate", "--data-dir", "x", "--sandbox"]).is_ok());
        assert!(parse(&["serve", "--no-migrate", "--listen", "127.0.0.1:0"]).is_ok());
        assert!(parse(&["serve", "--no-migrate=false"]).is_ok());
        let error = parse(&["migrate", "--listen", "127.0.0.1:0"]).err().unwrap();
        assert_eq!(error.exit_code(), 2);
        let error = parse(&["serve", "--listn", "127.0.0.1:0"]).err().unwrap().to_string();
        assert!(error.contains("--listn") && error.contains("'--listen'"), "{error}");
    }

    #[test]
    fn agent_accepts_only_listener_log_and_config_flags() {
        let parse = |flag: &str| Cli::try_parse_from(["norman-aks", "agent", flag]).map(|_| ());
        for flag in ["--listen=127.0.0.1:0", "--health-listen=127.0.0.1:0", "--log-format=json", "--config=x"]
        {
            assert!(parse(flag).is_ok(), "{flag}");
        }
        for flag in ["--sandbox", "--data-dir=x", "--database-url=x", "--tls-listen=127.0.0.1:0"] {
            assert!(parse(flag).is_err(), "{flag}");
        }
    }
}
