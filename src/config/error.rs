//! Errors and warnings about settings. Each names the setting, its origin and the remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::settings::Setting;

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag(String),
    Variable(String),
    /// A key of the settings file.
    File {
        key: String,
        path: PathBuf,
    },
    /// The content of a file that another setting names.
    Content {
        path: PathBuf,
        named_by: Box<Origin>,
    },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File { key, path } => write!(f, "{key} in {}", path.display()),
            Self::Content { path, named_by } => write!(f, "file {}, {named_by}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Invalid settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{} has an unknown key \"{key}\"{}", path.display(), did_you_mean(suggestion.as_deref()))]
    UnknownKey { key: String, path: PathBuf, suggestion: Option<String> },
    #[error(
        "{key} in {} is a {kind}; write a string, a whole number, true, false or a list of strings",
        path.display()
    )]
    Kind {
        key: String,
        path: PathBuf,
        /// The TOML type of the value.
        kind: &'static str,
    },
    /// A file that is not TOML. The message does not contain the line, which may contain a secret.
    #[error("{} is not valid TOML at line {line}: {problem}", path.display())]
    Syntax { path: PathBuf, line: usize, problem: String },
    #[error("cannot read {}, named by {origin}; check the name and the permissions", path.display())]
    Unreadable { path: PathBuf, origin: Origin, source: io::Error },
    #[error("{}; it must be {expected}", invalid_value(setting, shown.as_deref(), origin))]
    Invalid {
        setting: &'static str,
        /// The value in quotes; `None` if it may be secret.
        shown: Option<String>,
        origin: Origin,
        /// A description of the valid values, which completes "it must be …".
        expected: &'static str,
    },
    #[error("{setting} is set twice, by {direct} and by {file}; remove one of them")]
    SetTwice { setting: &'static str, direct: Origin, file: Origin },
    #[error(
        "{setting} ({origin}) requires {}; set --{} or {}",
        missing.name, missing.name, missing.variable()
    )]
    Incomplete { setting: &'static str, origin: Origin, missing: &'static Setting },
    #[error(
        "{setting} ({origin}) cannot be used with rancher-url, where nothing is stored; remove the setting"
    )]
    NotBesideRancher { setting: &'static str, origin: Origin },
    #[error(
        "{setting} ({origin}) cannot be the host of Rancher, where /api/v1 is the API of Kubernetes; use another name"
    )]
    RancherHost { setting: &'static str, origin: Origin },
    #[error("{setting} ({}) and {other} ({}) exclude each other; remove one of them", origins.0, origins.1)]
    Exclusive { setting: &'static str, other: &'static str, origins: Box<(Origin, Origin)> },
    #[error(
        "no token for the server; set NORMAN_AKS_TOKEN, or name a file with --token-file. For a sandbox, name its data \
         directory with --data-dir: {} is used if it exists and no server is named",
        file.display()
    )]
    NoToken { file: PathBuf },
    #[error(
        "no credential; name a stored one with --credential or NORMAN_AKS_CREDENTIAL, such as cattle-global-data:cc-q2w4x"
    )]
    NoCredential,
    #[error("no region; name one with --region, such as eastus")]
    NoRegion,
    /// The message does not contain the content of the file, which includes a token.
    #[error(
        "{} is not the file of a sandbox; start `norman-aks serve --sandbox`, which replaces it",
        path.display()
    )]
    SandboxFile { path: PathBuf },
    #[error("{setting} ({origin}) requires --sandbox; add that flag or remove the setting")]
    SandboxOnly { setting: &'static str, origin: Origin },
}

/// A probable mistake that does not stop the program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error("unknown variable {name} is ignored{}", did_you_mean(suggestion.as_deref()))]
    UnknownVariable { name: String, suggestion: Option<String> },
    #[error(
        "the database password on the command line is visible to every user of this machine; \
         use --database-url-file or NORMAN_AKS_DATABASE_URL"
    )]
    PasswordOnCommandLine,
    #[error(
        "the secret of the bootstrap token ({origin}) has fewer than {MIN_SECRET_LEN} characters and can be \
         guessed; use a long random one"
    )]
    ShortBootstrapToken { origin: Origin },
    #[error(
        "RUST_BACKTRACE is set, so every failed request to Azure collects a backtrace; \
         set RUST_LIB_BACKTRACE=0 as well"
    )]
    Backtraces,
}

/// The minimum length of a secret, in characters. A shorter one causes a warning.
pub(super) const MIN_SECRET_LEN: usize = 20;

fn invalid_value(setting: &str, shown: Option<&str>, origin: &Origin) -> String {
    match shown {
        Some(value) => format!("{setting} cannot be {value} ({origin})"),
        None => format!("the value of {setting} ({origin}) is invalid"),
    }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |suggestion| format!("; did you mean {suggestion}?"))
}
