//! Why a command failed, and which exit code that is.

use std::io;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::{app, service, store, telemetry};

/// A command that could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be used.
    #[error("the settings cannot be used")]
    Config(#[from] ConfigError),
    /// The log cannot be set up.
    #[error("the log cannot be set up")]
    Log(#[from] telemetry::Error),
    /// The threads of the program cannot be started.
    #[error("the program cannot be started")]
    Runtime(#[source] io::Error),
    /// The result cannot be printed.
    #[error("standard output cannot be written")]
    Output(#[source] io::Error),
    /// The program could not be put together, or stopped.
    #[error(transparent)]
    App(#[from] app::Error),
    /// A use case was refused or failed.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The key file cannot be used, or keys cannot be changed now.
    #[error(transparent)]
    Secrets(#[from] service::secrets::Error),
    /// Some secrets are still sealed with older keys.
    #[error(
        "running servers went on sealing with {}; keep these lines in the key file and repeat `norman-aks key rotate`",
        _0.join(", ")
    )]
    StillNeeded(Vec<String>),
    /// There is no SQLite file to look into.
    #[error(
        "there is no database at {}; {}name another with --data-dir",
        path.display(),
        if *sandbox { "" } else { "for the sandbox add --sandbox, or " }
    )]
    NoDatabase {
        /// The file.
        path: PathBuf,
        /// Whether the sandbox's was asked for.
        sandbox: bool,
    },
    /// Nobody has this token.
    #[error("there is no token {0:?}; `norman-aks token list` shows all")]
    NoToken(String),
    /// No user has this name or ID.
    #[error("user {0:?} not found; list users with `norman-aks user list`")]
    NoUser(String),
    /// A server that is not ready, or none.
    #[error("the server at {address} is not ready: {answer}")]
    NotReady {
        /// Where it was asked.
        address: String,
        /// What it said.
        answer: String,
    },
    /// No server.
    #[error("no server answers at {address}")]
    NoServer {
        /// Where it was asked.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Some tests of `check` failed; they have been printed.
    #[error("{0} of the tests above failed")]
    Check(usize),
}

impl Error {
    /// 2 for what the caller can mend on the command line or in the settings, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Log(telemetry::Error::Filter(_)) => 2,
            _ => 1,
        }
    }

    /// Whether nobody reads what we print, as in `… | head -1`.
    pub(super) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// An error as one sentence for each cause, the outermost first.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        // Some libraries repeat their cause in their own words.
        if !text.ends_with(&words) {
            text.push_str("\n  caused by: ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{text}")]
        struct Layer {
            text: &'static str,
            source: Option<Box<Layer>>,
        }
        let innermost = Layer { text: "c", source: None };
        let middle = Layer { text: "b: c", source: Some(Box::new(innermost)) };
        let outer = Layer { text: "a", source: Some(Box::new(middle)) };
        assert_eq!(chain(&outer), "a\n  caused by: b: c");
    }

    #[test]
    fn only_what_the_caller_wrote_is_a_usage_error() {
        let invalid = ConfigError::Invalid {
            setting: "listen",
            shown: "\"x\"".to_owned(),
            origin: crate::config::Origin::Default,
            expected: "an address",
        };
        assert_eq!(Error::from(invalid).exit_code(), 2);
        assert_eq!(Error::Check(1).exit_code(), 1);
        assert!(Error::Output(io::ErrorKind::BrokenPipe.into()).is_closed_output());
        assert!(!Error::Output(io::ErrorKind::StorageFull.into()).is_closed_output());
    }
}
