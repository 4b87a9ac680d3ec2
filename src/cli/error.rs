//! Errors of commands, and their exit codes.

use std::io;
use std::path::PathBuf;

use super::output::one_line;
use crate::config::ConfigError;
use crate::{app, service, store, telemetry};

/// The error of a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid settings")]
    Config(#[from] ConfigError),
    #[error("cannot set up the log")]
    Log(#[from] telemetry::Error),
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error(transparent)]
    App(#[from] app::Error),
    #[error(transparent)]
    Service(#[from] service::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Secrets(#[from] service::secrets::Error),
    #[error(
        "running servers have since encrypted secrets with {}; keep these lines in the key file and repeat \
         `norman-aks key rotate`",
        _0.join(", ")
    )]
    StillNeeded(Vec<String>),
    #[error(
        "database {} not found; {}name another one with --data-dir",
        path.display(),
        if *sandbox { "" } else { "add --sandbox for the sandbox's database, or " }
    )]
    NoDatabase { path: PathBuf, sandbox: bool },
    #[error("token {0:?} not found; list tokens with `norman-aks token list`")]
    NoToken(String),
    #[error("user {0:?} not found; list users with `norman-aks user list`")]
    NoUser(String),
    #[error("the server at {address} is not ready: {response}")]
    NotReady { address: String, response: String },
    #[error("no response from {address}")]
    NoServer { address: String, source: io::Error },
    #[error("{0} of the checks above failed")]
    Check(usize),
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Errors of requests to a running server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("--server is not a base URL; write it as https://aks.example.org")]
    Url,
    #[error("the token contains characters that are not allowed; check NORMAN_AKS_TOKEN or the token file")]
    Token,
    #[error("--ca-file contains no PEM certificate")]
    Authorities,
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("no response from {server}; {remedy}")]
    NoResponse { server: String, remedy: &'static str, source: reqwest::Error },
    #[error("{server} redirects to {}; name that server with --server", one_line(location))]
    Redirect { server: String, location: String },
    #[error("{} (status {status}){remedy}", one_line(message))]
    Rejected { status: u16, message: String, remedy: String },
    #[error(
        "{server} did not respond as norman-aks does ({}); check --server and its version",
        one_line(reason)
    )]
    Unexpected { server: String, reason: String },
    #[error("credential {id} cannot be used; the reasons are above")]
    Credential { id: String },
}

impl Error {
    /// 2 for errors in the command line or the settings, otherwise 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Log(telemetry::Error::Filter(_))
            | Self::App(app::Error::NoSandbox | app::Error::AgentSettings(_))
            | Self::Server(ServerError::Url | ServerError::Token | ServerError::Authorities) => 2,
            _ => 1,
        }
    }

    /// Whether the reader of standard output closed it, as in `… | head -1`.
    pub(super) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// The message of an error and those of its causes, each on its own line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        // Some libraries repeat the message of their cause.
        if !text.ends_with(&message) {
            text.push_str("\n  caused by: ");
            text.push_str(&message);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_contains_every_cause_once() {
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
    fn only_invalid_settings_have_exit_code_2() {
        let invalid = ConfigError::Invalid {
            setting: "listen",
            shown: Some("\"x\"".to_owned()),
            origin: crate::config::Origin::Default,
            expected: "an address",
        };
        assert_eq!(Error::from(invalid).exit_code(), 2);
        assert_eq!(Error::Check(1).exit_code(), 1);
        assert_eq!(Error::from(ServerError::Token).exit_code(), 2);
        assert!(Error::Output(io::ErrorKind::BrokenPipe.into()).is_closed_output());
        assert!(!Error::Output(io::ErrorKind::StorageFull.into()).is_closed_output());
    }
}
