//! What is wrong with the settings, in sentences that name the setting, where it came from and the remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::settings::Setting;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag, for example `--listen`.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A key of the TOML file.
    File {
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// The content of a file that another setting names.
    Content {
        /// The file.
        path: PathBuf,
        /// Where its name came from.
        named_by: Box<Origin>,
    },
    /// Nobody said anything.
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

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key of the file that no setting has.
    #[error("{} has an unknown key \"{key}\"{}", path.display(), did_you_mean(near.as_deref()))]
    UnknownKey {
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
        /// The known key that looks most like it.
        near: Option<String>,
    },
    /// A key of the file whose value has a kind that no setting takes.
    #[error(
        "{key} in {} is a {kind}; write a string, a whole number, true, false or a list of strings",
        path.display()
    )]
    Kind {
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
        /// TOML's word for what stands there.
        kind: &'static str,
    },
    /// A file that is no TOML. The line itself is not shown; it may hold a secret.
    #[error("{} is not valid TOML at line {line}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's words.
        problem: String,
    },
    /// A file that a setting names and that cannot be read.
    #[error("cannot read {}, named by {origin}; check the name and the permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where its name came from.
        origin: Origin,
        /// The system's reason.
        source: io::Error,
    },
    /// A value of the wrong form.
    #[error("{setting} cannot be {shown} ({origin}); it must be {expected}")]
    Invalid {
        /// The setting's name.
        setting: &'static str,
        /// The value in quotes, or words in its place when it is secret.
        shown: String,
        /// Where it came from.
        origin: Origin,
        /// What it must be.
        expected: &'static str,
    },
    /// A secret that is given directly and as a file.
    #[error("{setting} is given twice, by {direct} and by {file}; remove one of them")]
    GivenTwice {
        /// The setting's name.
        setting: &'static str,
        /// Where the value came from.
        direct: Origin,
        /// Where the file's name came from.
        file: Origin,
    },
    /// A setting that does nothing without another.
    #[error(
        "{setting} ({origin}) needs {} as well; give --{} or {}",
        missing.name, missing.name, missing.variable()
    )]
    Incomplete {
        /// The setting that was given.
        setting: &'static str,
        /// Where it came from.
        origin: Origin,
        /// The setting that is missing.
        missing: &'static Setting,
    },
    /// A setting of the sandbox without the sandbox.
    #[error("{setting} ({origin}) is only for --sandbox; add that flag or remove the setting")]
    SandboxOnly {
        /// The setting.
        setting: &'static str,
        /// Where it came from.
        origin: Origin,
    },
}

/// Something that is probably a mistake but does not stop the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A `NORMAN_AKS_*` variable that nothing reads.
    UnknownVariable {
        /// The variable.
        name: String,
        /// The known variable that looks most like it.
        near: Option<String>,
    },
    /// A database URL with a password among the arguments of the process.
    PasswordOnCommandLine,
    /// A bootstrap token whose secret can be guessed.
    ShortBootstrapToken {
        /// Where it came from.
        origin: Origin,
    },
    /// Backtraces that every failed Azure request would pay for.
    Backtraces,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVariable { name, near } => {
                write!(f, "the variable {name} is unknown and has no effect{}", did_you_mean(near.as_deref()))
            }
            Self::PasswordOnCommandLine => f.write_str(
                "the database password can be read by every user of this machine in the list of processes; \
                 use --database-url-file or NORMAN_AKS_DATABASE_URL",
            ),
            Self::ShortBootstrapToken { origin } => write!(
                f,
                "the secret of the bootstrap token ({origin}) has fewer than {SHORT_SECRET} characters and can be \
                 guessed; use a long random one"
            ),
            Self::Backtraces => f.write_str(
                "RUST_BACKTRACE is set, so every failed request to Azure collects a backtrace; \
                 set RUST_LIB_BACKTRACE=0 beside it",
            ),
        }
    }
}

/// Below this many characters a secret is called short.
pub(super) const SHORT_SECRET: usize = 20;

fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean {near}?"))
}
