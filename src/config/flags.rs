//! The settings as flags, made from the table for clap. What the values mean is not here.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::settings::{self, Section, Setting, VARIABLE_PREFIX};

/// What was given on the command line, not yet looked at. Not printable: a value may be secret.
#[derive(Clone, Default)]
pub struct Flags {
    values: BTreeMap<&'static str, String>,
    sandbox: bool,
}

impl Flags {
    /// A command line without any.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with `--sandbox`.
    #[must_use]
    pub fn with_sandbox(mut self) -> Self {
        self.sandbox = true;
        self
    }

    /// The same with a flag.
    #[must_use]
    pub fn with(mut self, setting: &Setting, value: impl Into<String>) -> Self {
        self.values.insert(setting.name, value.into());
        self
    }

    /// Whether `--sandbox` was given.
    pub fn sandbox(&self) -> bool {
        self.sandbox
    }

    pub(super) fn get(&self, setting: &Setting) -> Option<&str> {
        self.values.get(setting.name).map(String::as_str)
    }
}

/// Which settings a command takes.
pub trait Scope {
    /// Whether it takes this one.
    fn takes(setting: &Setting) -> bool;
    /// Whether it takes `--sandbox`.
    const SANDBOX: bool = true;
}

/// All settings.
#[derive(Clone)]
pub enum Everything {}

/// Those of database and keys.
#[derive(Clone)]
pub enum DataOnly {}

/// Those of the built-in Azure by itself.
#[derive(Clone)]
pub enum SandboxOnly {}

impl Scope for Everything {
    fn takes(_: &Setting) -> bool {
        true
    }
}

impl Scope for DataOnly {
    fn takes(setting: &Setting) -> bool {
        setting.for_data
    }
}

impl Scope for SandboxOnly {
    fn takes(setting: &Setting) -> bool {
        matches!(setting.section, Section::Settings | Section::Log | Section::Sandbox)
            || setting.name == settings::DATA_DIR.name
            || setting.name == settings::DRAIN_SECONDS.name
    }
    const SANDBOX: bool = false;
}

/// The flags of a command, for `#[command(flatten)]`.
#[derive(Clone)]
pub struct SettingFlags<S>(Flags, PhantomData<S>);

impl<S> SettingFlags<S> {
    /// What was given.
    pub fn into_flags(self) -> Flags {
        self.0
    }
}

const SANDBOX_FLAG: &str = "sandbox";

impl<S: Scope> clap::Args for SettingFlags<S> {
    fn augment_args(mut command: Command) -> Command {
        if S::SANDBOX {
            let help = "Use the built-in Azure on loopback in place of the real one, with data of its own";
            command =
                command.arg(Arg::new(SANDBOX_FLAG).long(SANDBOX_FLAG).action(ArgAction::SetTrue).help(help));
        }
        for setting in settings::ALL.iter().filter(|setting| setting.on_command_line && S::takes(setting)) {
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
        let sandbox = !S::SANDBOX || matches.get_flag(SANDBOX_FLAG);
        let mut flags = Flags { values: BTreeMap::new(), sandbox };
        for setting in settings::ALL.iter().filter(|setting| setting.on_command_line && S::takes(setting)) {
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

/// What the table says of one setting, in clap's terms.
fn arg(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.name).long(setting.name).help_heading(setting.section.heading()).help(
        format!("{} [default: {}] [env: {}]", setting.help, setting.default.words(), setting.variable()),
    );
    if setting.is_switch() {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false")
    } else {
        arg.num_args(1).value_name(setting.value)
    }
}

/// What `--help` says after the flags: what can be set in other ways only.
pub fn help_after_flags() -> String {
    let mut text = String::from("Only in the environment or the settings file:\n");
    for setting in settings::ALL.iter().filter(|setting| !setting.on_command_line) {
        for part in ["  ", &setting.variable(), "  ", setting.help, "\n"] {
            text.push_str(part);
        }
    }
    text.push_str(
        "\nOnly in the environment, as usual:\n  \
         RUST_LOG  which log lines are written, for example debug or norman_aks=debug\n  \
         HTTPS_PROXY, NO_PROXY  the way to Azure\n  \
         SSL_CERT_FILE, SSL_CERT_DIR  the certificate authorities that are trusted\n\nFlags win over ",
    );
    text.push_str(VARIABLE_PREFIX);
    text.push_str("* variables, those over the settings file, that over the defaults.");
    text
}
