//! The settings: the only reader of flags, environment and file.
//!
//! Flags win over the environment (`NORMAN_AKS_*`), which wins over the TOML file, which wins over the
//! defaults. [`settings`] is the one table of what exists; help texts, `check` and docs/settings.md come from it.
//! What the settings lead to (addresses bound, keys read) is not here.

mod error;
mod flags;
mod layers;
mod parse;
pub mod settings;
mod show;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

pub use self::error::{ConfigError, Origin, Warning};
pub use self::flags::{DataOnly, Everything, Flags, SandboxOnly, Scope, SettingFlags, help_after_flags};
pub use self::show::{Described, settings_table_markdown};

use self::error::SHORT_SECRET;
use self::layers::{Given, Layers};

/// The folder for files unless `--data-dir` says otherwise.
const DATA_DIR: &str = "norman-aks-data";
/// The same with `--sandbox`.
const SANDBOX_DATA_DIR: &str = "norman-aks-sandbox-data";

/// Everything that the program can be told, checked and ready for use.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server listens in plain HTTP; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the server listens with TLS, beside `listen`.
    pub tls: Option<Tls>,
    /// Where the metrics are served; `None` is off.
    pub metrics_listen: Option<SocketAddr>,
    /// Where the health checks are served by themselves; `None` is off.
    pub health_listen: Option<SocketAddr>,
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
    /// `enforce` or `advise`, where the start decides it.
    pub cluster_review: Option<String>,
    /// Bounds on what runs at once and how long.
    pub limits: Limits,
    /// How long audit rows are kept; `None` is for ever.
    pub audit_retention: Option<Duration>,
    /// Whether what could be counted in the audit has a row each.
    pub audit_each_use: bool,
    /// How the log is written.
    pub log: Log,
    /// The built-in Azure in place of the real one; `None` without `--sandbox`.
    pub sandbox: Option<Sandbox>,
    described: Vec<Described>,
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
    /// Connections open at once; fewer where the process may open few files.
    pub connections: usize,
    /// Bytes of a request's body; more are refused: 413, below `/meta` 400 as in Rancher.
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
    /// Where the server itself listens with TLS and a certificate of the built-in Azure's authority; port 0 takes a free
    /// one. `None` is off, or [`Config::tls`] says otherwise.
    pub tls_listen: Option<SocketAddr>,
}

impl Config {
    /// Lays flags, environment and file over the defaults and checks the result. Only `read_file` touches the
    /// outside: it reads the settings file and the files that hold secrets.
    pub fn load(
        flags: &Flags,
        env: &BTreeMap<String, String>,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        use settings as s;

        let mut layers = Layers::gather(flags, env, read_file)?;
        let data_dir = if flags.sandbox() { SANDBOX_DATA_DIR } else { DATA_DIR };
        layers.fill(&s::DATA_DIR, || format!("./{data_dir}"));
        let data_dir = PathBuf::from(text(&layers, &s::DATA_DIR));
        layers.fill(&s::DATABASE_URL, || sqlite_url(&data_dir.join("norman-aks.db")));
        layers.fill(&s::ENCRYPTION_KEY_FILE, || data_dir.join("encryption.keys").display().to_string());

        layers.read(&s::DATABASE_URL, parse::database_url)?;
        layers.read(&s::BOOTSTRAP_TOKEN, parse::bootstrap_token)?;
        let config = Self {
            listen: required(&layers, &s::LISTEN, parse::address)?,
            tls: tls(&layers, flags.sandbox())?,
            metrics_listen: layers.read(&s::METRICS_LISTEN, parse::address_or_off)?.flatten(),
            health_listen: layers.read(&s::HEALTH_LISTEN, parse::address_or_off)?.flatten(),
            server_url: layers.read(&s::SERVER_URL, parse::server_url)?,
            database: database(&layers)?,
            encryption_key_file: text(&layers, &s::ENCRYPTION_KEY_FILE).into(),
            bootstrap_token: layers.get(&s::BOOTSTRAP_TOKEN).map(|given| given.text.clone().into()),
            trusted_proxies: layers.read(&s::TRUSTED_PROXIES, parse::networks)?.unwrap_or_default(),
            cors_origins: layers.read(&s::CORS_ORIGINS, parse::origins)?.unwrap_or_default(),
            cluster_review: layers.read(&s::CLUSTER_REVIEW, parse::cluster_review)?,
            limits: limits(&layers)?,
            audit_retention: required(&layers, &s::AUDIT_DAYS, parse::days)?,
            audit_each_use: required(&layers, &s::AUDIT_USES, parse::audit_uses)?,
            log: Log {
                format: required(&layers, &s::LOG_FORMAT, parse::log_format)?,
                filter: env.get("RUST_LOG").filter(|filter| !filter.is_empty()).cloned(),
            },
            sandbox: sandbox(&layers, flags.sandbox())?,
            described: show::describe(&layers, env, flags.sandbox()),
            data_dir,
        };
        Ok((config, warnings(&layers, env)))
    }

    /// Every setting that applies, with its value (secrets masked) and where it came from, and after them
    /// the variables of the libraries below us that are set.
    pub fn describe(&self) -> &[Described] {
        &self.described
    }

    /// The file of a SQLite database; `None` for PostgreSQL.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        let path = self.database.url.expose_secret().strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        Some(percent_decode_str(path).decode_utf8_lossy().into_owned().into())
    }

    /// The database in words: its file, or its address without the password.
    pub fn database_name(&self) -> String {
        match self.sqlite_file() {
            Some(file) => file.display().to_string(),
            None => show::masked_url(self.database.url.expose_secret()),
        }
    }

    /// Where a sandbox of the same place has its files by default; `None` when this is one.
    pub fn sandbox_beside(&self) -> Option<PathBuf> {
        match self.sandbox {
            Some(_) => None,
            None => Some(self.data_dir.with_file_name(SANDBOX_DATA_DIR)),
        }
    }
}

/// The address of a SQLite file; a path may have characters that mean something in an address.
fn sqlite_url(path: &Path) -> String {
    const SPECIAL: AsciiSet = CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');
    format!("sqlite:{}", utf8_percent_encode(&path.to_string_lossy(), &SPECIAL))
}

/// The environment of this process, for [`Config::load`]. Variables that are no UTF-8 do not count.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The text of a setting that has a default.
fn text<'a>(layers: &'a Layers, setting: &settings::Setting) -> &'a str {
    layers.get(setting).map_or("", |given| given.text.as_str())
}

/// The value of a setting that has a default.
fn required<T>(
    layers: &Layers,
    setting: &'static settings::Setting,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<T, ConfigError> {
    match layers.read(setting, &parse)? {
        Some(value) => Ok(value),
        // Only a hole in the table leads here; the error then says what is missing.
        None => parse("").map_err(|expected| ConfigError::Invalid {
            setting: setting.name,
            shown: "unset".to_owned(),
            origin: Origin::Default,
            expected,
        }),
    }
}

fn tls(layers: &Layers, sandbox: bool) -> Result<Option<Tls>, ConfigError> {
    use settings::{TLS_CERT, TLS_KEY, TLS_LISTEN};

    let listen = layers.read(&TLS_LISTEN, parse::address_or_off)?;
    // An explicit `off` keeps certificate and key of a lower layer from mattering.
    if listen == Some(None) {
        return Ok(None);
    }
    // The built-in Azure has an authority that makes a certificate.
    if sandbox && layers.get(&TLS_CERT).is_none() && layers.get(&TLS_KEY).is_none() {
        return Ok(None);
    }
    let all = [&TLS_LISTEN, &TLS_CERT, &TLS_KEY];
    let Some((setting, given)) = all.iter().find_map(|setting| Some((setting, layers.get(setting)?))) else {
        return Ok(None);
    };
    let incomplete =
        |missing| ConfigError::Incomplete { setting: setting.name, origin: given.origin.clone(), missing };
    let path = |setting| layers.get(setting).map(|given| PathBuf::from(&given.text));
    Ok(Some(Tls {
        listen: listen.flatten().ok_or_else(|| incomplete(&TLS_LISTEN))?,
        certificate: path(&TLS_CERT).ok_or_else(|| incomplete(&TLS_CERT))?,
        key: path(&TLS_KEY).ok_or_else(|| incomplete(&TLS_KEY))?,
    }))
}

fn database(layers: &Layers) -> Result<Database, ConfigError> {
    use settings as s;
    Ok(Database {
        url: text(layers, &s::DATABASE_URL).into(),
        pool: required(layers, &s::DATABASE_POOL, |text| {
            parse::number(text, 1..=1_000, "a number from 1 to 1000")
        })?,
        wait: required(layers, &s::DATABASE_WAIT_SECONDS, |text| {
            parse::seconds(text, 1..=50, "a number of seconds from 1 to 50")
        })?,
        migrate: !required(layers, &s::NO_MIGRATE, parse::switch)?,
    })
}

fn limits(layers: &Layers) -> Result<Limits, ConfigError> {
    use settings as s;
    let requests = required(layers, &s::REQUEST_LIMIT, |text| {
        parse::number(text, 1..=1_000_000, "a number from 1 to 1000000")
    })?;
    let connections = required(layers, &s::CONNECTION_LIMIT, |text| {
        parse::number(text, 16..=1_000_000, "a number from 16 to 1000000")
    })?;
    Ok(Limits {
        requests: usize::try_from(requests).unwrap_or(usize::MAX),
        connections: usize::try_from(connections).unwrap_or(usize::MAX),
        body_bytes: required(layers, &s::BODY_LIMIT, parse::body_bytes)?,
        cache_bytes: required(layers, &s::CACHE_BYTES, parse::bytes)?,
        drain: required(layers, &s::DRAIN_SECONDS, |text| {
            parse::seconds(text, 0..=3_600, "a number of seconds from 0 to 3600")
        })?,
    })
}

fn sandbox(layers: &Layers, wanted: bool) -> Result<Option<Sandbox>, ConfigError> {
    use settings::{LISTEN, SANDBOX_CONTROL_LISTEN, SANDBOX_LISTEN, TLS_LISTEN};
    if wanted {
        let beside = SocketAddr::new(required(layers, &LISTEN, parse::address)?.ip(), 0);
        let tls_listen = layers.read(&TLS_LISTEN, parse::address_or_off)?.unwrap_or(Some(beside));
        return Ok(Some(Sandbox {
            listen: required(layers, &SANDBOX_LISTEN, parse::address)?,
            control_listen: layers.read(&SANDBOX_CONTROL_LISTEN, parse::loopback_or_off)?.flatten(),
            tls_listen,
        }));
    }
    let stray = [&SANDBOX_LISTEN, &SANDBOX_CONTROL_LISTEN].into_iter().find_map(|setting| {
        let origin = &layers.get(setting)?.origin;
        (*origin != Origin::Default).then(|| (setting.name, origin.clone()))
    });
    match stray {
        Some((setting, origin)) => Err(ConfigError::SandboxOnly { setting, origin }),
        None => Ok(None),
    }
}

fn warnings(layers: &Layers, env: &BTreeMap<String, String>) -> Vec<Warning> {
    let mut warnings = layers::unknown_variables(env);
    if let Some(Given { text, origin: Origin::Flag(_) }) = layers.get(&settings::DATABASE_URL)
        && show::masked_url(text) != *text
    {
        warnings.push(Warning::PasswordOnCommandLine);
    }
    if let Some(Given { text, origin }) = layers.get(&settings::BOOTSTRAP_TOKEN)
        && text.split_once(':').is_some_and(|(_, secret)| secret.len() < SHORT_SECRET)
    {
        warnings.push(Warning::ShortBootstrapToken { origin: origin.clone() });
    }
    let on = |name| env.get(name).is_some_and(|value| value != "0");
    if on("RUST_BACKTRACE") && !env.contains_key("RUST_LIB_BACKTRACE") || on("RUST_LIB_BACKTRACE") {
        warnings.push(Warning::Backtraces);
    }
    warnings
}
