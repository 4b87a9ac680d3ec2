//! `sizes`, `versions`, `regions` and `check --credential` print parts of the catalog of a running server. They are
//! clients of its API.

mod check;
mod client;
mod regions;
mod sizes;
mod table;
mod terminal;
mod versions;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;

pub(super) use self::check::{Check, run as check};
pub(super) use self::regions::{Regions, run as regions};
pub(super) use self::sizes::{Sizes, run as sizes};
pub(super) use self::versions::{Versions, run as versions};

use self::client::Client;
use self::terminal::Color;
use super::error::Error;
use super::output::{eprint_message, escape_controls, print};
use crate::config::{self, ClientConfig, ClientFlags};
use crate::service::name_list::format_count;

/// The text after the flags in `--help`.
const HELP: &str = "The token is read from NORMAN_AKS_TOKEN or a file, because other users can see command lines. Without a token \
and a server, the file sandbox.json of a sandbox in the data directory provides the server, token, credential and region.\n\n\
In a terminal, tables fit its width and verdicts have colors, unless NO_COLOR is set. Otherwise, lines are as long as needed; \
COLUMNS limits them.";

/// The flags of all lists.
#[derive(Args)]
struct ListFlags {
    /// ID of the stored credential to use [env: NORMAN_AKS_CREDENTIAL]
    #[arg(long, value_name = "ID", help_heading = "Server")]
    credential: Option<String>,
    #[command(flatten)]
    client: ClientFlags,
    /// Data directory of a sandbox [default: ./norman-aks-sandbox-data] [env: NORMAN_AKS_DATA_DIR]
    #[arg(long, value_name = "DIRECTORY", help_heading = "Server")]
    data_dir: Option<PathBuf>,
    /// table, or json for the response of the server
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Whether a size or region can be used for the desired nodes, or a credential for the server.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
enum Verdict {
    Usable,
    Limited,
    Unusable,
    /// A value of a newer server.
    #[serde(other)]
    Unknown,
}

impl Verdict {
    const ALL: [Self; 4] = [Self::Usable, Self::Limited, Self::Unusable, Self::Unknown];

    fn as_str(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::Limited => "limited",
            Self::Unusable => "unusable",
            Self::Unknown => "unknown",
        }
    }

    fn color(self) -> Color {
        match self {
            Self::Usable => Color::Green,
            Self::Limited | Self::Unknown => Color::Yellow,
            Self::Unusable => Color::Red,
        }
    }
}

/// A reason for a verdict.
#[derive(Clone, Debug, Deserialize)]
struct Reason {
    code: String,
    message: String,
    remedy: String,
}

impl Reason {
    /// Code, message and remedy in one sentence.
    fn note(&self) -> String {
        let Self { code, message, remedy } = self;
        if remedy.is_empty() { format!("{code}: {message}") } else { format!("{code}: {message}; {remedy}") }
    }
}

/// The message of the first reason without the name of the entry, and the number of other reasons.
fn summarize_reasons(name: &str, reasons: &[Reason]) -> String {
    let Some((first, others)) = reasons.split_first() else { return String::new() };
    let message = first.message.strip_prefix(name).unwrap_or(&first.message).trim_start();
    if others.is_empty() { message.to_owned() } else { format!("{message} (+{})", others.len()) }
}

/// The numbers of entries by verdict, such as `3 sizes: 1 usable, 2 unusable`.
fn summarize_verdicts(noun: &str, verdicts: impl Iterator<Item = Verdict>) -> String {
    let verdicts: Vec<Verdict> = verdicts.collect();
    let count_of = |expected: Verdict| verdicts.iter().filter(|verdict| **verdict == expected).count();
    let counts = Verdict::ALL.into_iter().map(|verdict| (count_of(verdict), verdict.as_str()));
    let counts: Vec<_> =
        counts.filter(|(count, _)| *count > 0).map(|(count, verdict)| format!("{count} {verdict}")).collect();
    format!("{}: {}", format_count(verdicts.len(), noun), counts.join(", "))
}

/// Prints a message to standard error if standard output is a terminal, not a pipe to another program.
fn eprint_if_terminal(text: &str) {
    if io::stdout().is_terminal() {
        eprint_message(text);
    }
}

/// Prints a server's JSON unchanged, except for characters that control terminals.
fn print_json(json: &str) -> Result<(), Error> {
    print(&escape_controls(json.trim_end()))
}

/// The numbers of zones as text, such as `1 2 3`.
fn format_zones(zones: &[String]) -> String {
    zones.join(" ")
}

/// A number, or a question mark if it is unknown.
fn format_number(number: Option<i64>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

/// Loads the settings of a command. Prints warnings and, if the settings come from a sandbox, its file and address.
fn load(
    flags: &ClientFlags,
    credential: Option<String>,
    data_dir: Option<&Path>,
) -> Result<ClientConfig, Error> {
    let env = config::environment();
    let read_file = |path: &Path| std::fs::read_to_string(path);
    for warning in config::unknown_variables(&env) {
        eprint_message(&format!("warning: {warning}"));
    }
    let config = ClientConfig::load(flags, credential, data_dir, &env, &read_file)?;
    if let Some(file) = &config.sandbox_file {
        let credential = config.credential.as_deref().unwrap_or_default();
        let region = config.region.as_deref().unwrap_or_default();
        eprint_message(&format!(
            "using the sandbox of {} at {}, with credential {credential} and region {region}",
            file.display(),
            config.server
        ));
    }
    Ok(config)
}

impl ListFlags {
    fn load(&self) -> Result<ClientConfig, Error> {
        load(&self.client, self.credential.clone(), self.data_dir.as_deref())
    }
}

/// Runs a command that sends requests.
fn run<T>(config: &ClientConfig, command: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Error> {
    super::runtime::block_on(async { command(&Client::new(config)?).await })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_of_newer_servers_are_unknown() {
        for (json, verdict) in [("\"usable\"", Verdict::Usable), ("\"perhaps\"", Verdict::Unknown)] {
            assert_eq!(serde_json::from_str::<Verdict>(json).unwrap(), verdict);
        }
    }

    #[test]
    fn summary_counts_verdicts_that_occur() {
        let verdicts = [Verdict::Unusable, Verdict::Usable, Verdict::Unusable];
        assert_eq!(summarize_verdicts("size", verdicts.into_iter()), "3 sizes: 1 usable, 2 unusable");
        assert_eq!(summarize_verdicts("size", [Verdict::Limited].into_iter()), "1 size: 1 limited");
    }

    #[test]
    fn reason_summary_omits_name_and_counts_other_reasons() {
        let reason = |code: &str, remedy: &str| Reason {
            code: code.to_owned(),
            message: format!("{code} message"),
            remedy: remedy.to_owned(),
        };
        let (with_remedy, without_remedy) = (reason("one", "do it"), reason("two", ""));
        assert_eq!(summarize_reasons("one", &[]), "");
        assert_eq!(summarize_reasons("one", std::slice::from_ref(&with_remedy)), "message");
        assert_eq!(
            summarize_reasons("other", &[with_remedy.clone(), without_remedy.clone()]),
            "one message (+1)"
        );
        assert_eq!(
            (with_remedy.note(), without_remedy.note()),
            ("one: one message; do it".to_owned(), "two: two message".to_owned())
        );
    }
}
