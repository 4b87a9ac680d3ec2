//! The settings: the only reader of flags, environment and file.
//!
//! Flags win over the environment (`NORMAN_AKS_*`), which wins over the TOML file, which wins over the
//! defaults. [`settings`] is the one table of what exists; help texts, `check` and the README come from it.
//! What the settings lead to (addresses bound, keys read) is not here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;

/// Everything that the program can be told, checked and ready for use.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where the server listens in plain HTTP; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the server listens with TLS, beside `listen`.
    pub tls: Option<Tls>,
    /// Where the metrics are served; `None` is off.
    pub metrics_listen: Option<SocketAddr>,
    /// The address at which clients reach the server: `https://host[:port][/path]` without a slash at the
    /// end. `None`: links are made from what the request says.
    pub server_url: Option<String>,
    /// The folder for everything that the program keeps in files.
    pub data_dir: PathBuf,
    /// The database.
    pub database: Database,
    /// The file of encryption keys, lines of `id:base64`, the first one active. It need not exist yet.
    pub encryption_key_file: PathBuf,
    /// An administrator's token, `token-<name>:<secret>`, to be set at each start.
    pub bootstrap_token: Option<SecretString>,
    /// Proxies whose `X-Forwarded-*` and `X-API-Host` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins (`scheme://host[:port]`, lower case) whose pages may call the server.
    pub cors_origins: Vec<String>,
    /// Bounds on what runs at once and how long.
    pub limits: Limits,
    /// How long audit rows are kept; `None` is for ever.
    pub audit_retention: Option<Duration>,
    /// How the log is written.
    pub log: Log,
    /// The built-in Azure in place of the real one; `None` without `--sandbox`.
    pub sandbox: Option<Sandbox>,
}

/// The second, encrypted way in. Certificate and key are PEM files; they are read at the start.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// The private key of the first certificate.
    pub key: PathBuf,
}

/// Which database, and how it is used.
#[derive(Clone, Debug)]
pub struct Database {
    /// `sqlite:<path>`, `sqlite://<path>`, `postgres://…` or `postgresql://…`; may hold a password.
    pub url: SecretString,
    /// Open connections at most (SQLite: readers; there is one writer besides).
    pub pool: u32,
    /// How long a request waits for a free connection before it fails.
    pub wait: Duration,
    /// Whether the schema is brought up to date at the start.
    pub migrate: bool,
}

/// Bounds of the server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests that are worked on at once; more are answered 503.
    pub requests: usize,
    /// Bytes of a request's body; more are answered 413.
    pub body_bytes: usize,
    /// Bytes that cached listings may take together; 0 keeps none.
    pub cache_bytes: u64,
    /// How long running requests may go on after the signal to stop.
    pub drain: Duration,
}

/// How the log is written.
#[derive(Clone, Debug)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The directives of `RUST_LOG`, not yet parsed; `None` when it is unset or empty.
    pub filter: Option<String>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where the built-in Azure listens.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Its Entra and Resource Manager, with TLS; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its control API, plain HTTP on a loopback address; `None` is off.
    pub control_listen: Option<SocketAddr>,
}
