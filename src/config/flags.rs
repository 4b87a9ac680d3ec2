//! The settings as command-line flags: clap arguments that are generated from [`settings::ALL`]. `parse.rs` parses the values.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::settings::{self, Section, Setting, VARIABLE_PREFIX};

/// The unparsed flags of a command line. Not `Debug`: a value may be secret.
#[derive(Clone, Default)]
pub struct Flags {
    values: BTreeMap<&'static str, String>,
    sandbox: bool,
}

impl Flags {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with_sandbox(mut self) -> Self {
        self.sandbox = true;
        self
    }

    #[must_use]
    pub fn with(mut self, setting: &Setting, value: impl Into<String>) -> Self {
        self.values.insert(setting.name, value.into());
        self
    }

    pub fn sandbox(&self) -> bool {
        self.sandbox
    }

    /// The value of the flag `--data-dir`, if there is one. The environment and the settings file are not considered.
    pub fn data_dir(&self) -> Option<&Path> {
        self.get(&settings::DATA_DIR).map(Path::new)
    }

    pub(super) fn get(&self, setting: &Setting) -> Option<&str> {
        self.values.get(setting.name).map(String::as_str)
    }
}

/// The settings that a command accepts.
pub trait Scope {
    fn accepts(setting: &Setting) -> bool;
    /// Whether the command always or never uses the sandbox; `None` leaves it to `--sandbox`.
    const SANDBOX: Option<bool> = None;
}

/// The settings of `serve`, `check` and `healthcheck`: all.
#[derive(Clone)]
pub enum ServeScope {}

/// The settings of commands that only use database and keys.
#[derive(Clone)]
pub enum DatabaseScope {}

/// The settings of `sandbox`.
#[derive(Clone)]
pub enum SandboxScope {}

/// The settings of `agent`.
#[derive(Clone)]
pub enum AgentScope {}

impl Scope for ServeScope {
    fn accepts(_: &Setting) -> bool {
        true
    }
}

impl Scope for DatabaseScope {
    fn accepts(setting: &Setting) -> bool {
        setting.for_database_commands
    }
}

impl Scope for SandboxScope {
    fn accepts(setting: &Setting) -> bool {
        matches!(setting.section, Section::SettingsFile | Section::Log | Section::Sandbox)
            || setting.name == settings::DATA_DIR.name
            || setting.name == settings::DRAIN_SECONDS.name
    }
    const SANDBOX: Option<bool> = Some(true);
}

impl Scope for AgentScope {
    fn accepts(setting: &Setting) -> bool {
        matches!(setting.section, Section::SettingsFile | Section::Log)
            || setting.name == settings::LISTEN.name
            || setting.name == settings::HEALTH_LISTEN.name
    }
    const SANDBOX: Option<bool> = Some(false);
}

/// The flags of a command, for `#[command(flatten)]`.
#[derive(Clone)]
pub struct SettingFlags<S>(Flags, PhantomData<S>);

impl<S> SettingFlags<S> {
    pub fn into_flags(self) -> Flags {
        self.0
    }
}

const SANDBOX_FLAG: &str = "sandbox";

impl<S: Scope> clap::Args for SettingFlags<S> {
    fn augment_args(mut command: Command) -> Command {
        if S::SANDBOX.is_none() {
            let help = "Use a simulated Azure on loopback, with a data directory of its own";
            command =
                command.arg(Arg::new(SANDBOX_FLAG).long(SANDBOX_FLAG).action(ArgAction::SetTrue).help(help));
        }
        for setting in settings::ALL.iter().filter(|setting| setting.on_command_line && S::accepts(setting)) {
            command = command.arg(arg(setting));
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Scope> clap::FromArgMatches for SettingFlags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let sandbox = S::SANDBOX.unwrap_or_else(|| matches.get_flag(SANDBOX_FLAG));
        let mut flags = Flags { values: BTreeMap::new(), sandbox };
        for setting in settings::ALL.iter().filter(|setting| setting.on_command_line && S::accepts(setting)) {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                flags.values.insert(setting.name, value.clone());
            }
        }
        Ok(Self(flags, PhantomData))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The flag of one setting.
fn arg(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.name).long(setting.name).help_heading(setting.section.heading()).help(
        format!("{} [default: {}] [env: {}]", setting.help, setting.default.as_str(), setting.variable()),
    );
    if setting.is_switch() {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false")
    } else {
        arg.num_args(1).value_name(setting.placeholder)
    }
}

/// The text after the flags in `--help`: the settings without a flag.
pub fn help_after_flags() -> String {
    let mut text = String::from("Only in the environment or the settings file:\n");
    for setting in settings::ALL.iter().filter(|setting| !setting.on_command_line) {
        for part in ["  ", &setting.variable(), "  ", setting.help, "\n"] {
            text.push_str(part);
        }
    }
    text.push_str(
        "\nOnly in the environment:\n  \
         RUST_LOG  log filter, for example debug or norman_aks=debug\n  \
         HTTPS_PROXY, NO_PROXY  the proxy for requests to Azure\n  \
         SSL_CERT_FILE, SSL_CERT_DIR  the trusted certificate authorities\n\nFlags override ",
    );
    text.push_str(VARIABLE_PREFIX);
    text.push_str("* variables, which override the settings file, which overrides the defaults.");
    text
}
