//! The settings of the process. No other module reads flags, environment or settings file.
//!
//! Flags override the environment (`NORMAN_AKS_*`), which overrides the TOML file, which overrides the defaults.
//! [`settings`] has the table of all settings; help texts, `check` and docs/settings.md are generated from it. `app` uses
//! the settings: it binds addresses and reads keys.

mod client;
mod error;
mod flags;
mod layers;
mod parse;
mod rancher;
pub mod settings;
mod show;
mod variables;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

pub use self::client::{CLIENT_VARIABLES, ClientConfig, ClientFlags};
pub use self::error::{ConfigError, Origin, Warning};
pub use self::flags::{
    AgentScope, DatabaseScope, Flags, SandboxScope, Scope, ServeScope, SettingFlags, help_after_flags,
};
pub use self::parse::LogFormat;
pub use self::rancher::Rancher;
pub use self::show::{EffectiveSetting, settings_table_markdown};
pub use self::variables::unknown_variables;

use self::error::MIN_SECRET_LEN;
use self::layers::{Layers, SettingValue};

const DATA_DIR: &str = "norman-aks-data";
const SANDBOX_DATA_DIR: &str = "norman-aks-sandbox-data";

/// All settings of the process, parsed and validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the plain HTTP listener; port 0 chooses a free port.
    pub listen: SocketAddr,
    pub tls: Option<Tls>,
    pub metrics_listen: Option<SocketAddr>,
    /// Separate address of the health checks; `None` is off.
    pub health_listen: Option<SocketAddr>,
    /// The listener for connections of other servers.
    pub internal_listen: Option<SocketAddr>,
    /// The address at which other servers reach `internal_listen`, as `host:port`.
    pub internal_address: Option<String>,
    /// The URL at which clients reach the server: `https://host[:port][/path]` without a trailing slash. `None`: links
    /// are built from each request.
    pub server_url: Option<String>,
    pub data_dir: PathBuf,
    pub database: Database,
    /// The file of encryption keys: lines of `id:base64`, the first one active. It need not exist yet.
    pub encryption_key_file: PathBuf,
    /// An administrator's token, `token-<name>:<secret>`, stored at each start.
    pub bootstrap_token: Option<SecretString>,
    pub trusted_proxies: Vec<IpNet>,
    /// Origins (`scheme://host[:port]`, in lower case) whose pages may call the server.
    pub cors_origins: Vec<String>,
    /// `enforce` or `advise`; `None` uses the setting in the database.
    pub cluster_review: Option<String>,
    pub limits: Limits,
    /// The retention time of audit records; `None` keeps them forever.
    pub audit_retention: Option<Duration>,
    /// Whether each use has its own audit record; otherwise, uses are counted.
    pub audit_each_use: bool,
    pub log: Log,
    /// The Rancher that this server runs beside.
    pub rancher: Option<Rancher>,
    /// The simulated Azure; `None` without `--sandbox`.
    pub sandbox: Option<Sandbox>,
    effective: Vec<EffectiveSetting>,
}

/// The HTTPS listener. Certificate and key are PEM files, read at startup.
#[derive(Clone, Debug)]
pub struct Tls {
    pub listen: SocketAddr,
    /// The certificate chain, the server certificate first.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug)]
pub struct Database {
    /// `sqlite:<path>`, `sqlite://<path>`, `postgres://…` or `postgresql://…`; may contain a password.
    pub url: SecretString,
    /// Maximum number of connections (SQLite: readers, in addition to one writer).
    pub pool: u32,
    /// The time that a request waits for a free connection.
    pub wait: Duration,
    /// Whether the schema is migrated at startup.
    pub migrate: bool,
}

#[derive(Clone, Debug)]
pub struct Limits {
    /// Maximum number of requests in flight.
    pub requests: usize,
    /// Maximum number of open connections; lowered if the process may open too few files.
    pub connections: usize,
    /// Maximum size of a request body in bytes; larger ones return 413, or 400 under `/meta` as in Rancher.
    pub body_bytes: usize,
    pub cache_bytes: u64,
    /// The time that running requests have to finish after the signal to stop.
    pub drain: Duration,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    /// The unparsed directives of `RUST_LOG`; `None` if it is unset or empty.
    pub filter: Option<String>,
}

/// Listeners of the simulated Azure.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Address of Entra and Resource Manager, with TLS; port 0 chooses a free port.
    pub listen: SocketAddr,
    /// Address of the control API, plain HTTP on loopback; `None` is off.
    pub control_listen: Option<SocketAddr>,
    /// Address at which the server itself serves HTTPS with a certificate of the sandbox's authority; port 0 chooses a
    /// free port. `None` is off. [`Config::tls`] overrides it.
    pub tls_listen: Option<SocketAddr>,
}

impl Config {
    /// Combines flags, environment, settings file and defaults, and validates the result. `read_file` reads the settings
    /// file and the files that contain secrets; nothing else is accessed.
    ///
    /// # Errors
    /// An unknown key, an invalid or incomplete setting, or a file that cannot be read.
    pub fn load(
        flags: &Flags,
        env: &BTreeMap<String, String>,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        use settings as s;

        let mut layers = Layers::collect(flags, env, read_file)?;
        let data_dir = if flags.sandbox() { SANDBOX_DATA_DIR } else { DATA_DIR };
        layers.set_default(&s::DATA_DIR, || format!("./{data_dir}"));
        let data_dir = PathBuf::from(layers.text(&s::DATA_DIR));
        layers.set_default(&s::DATABASE_URL, || sqlite_url(&data_dir.join("norman-aks.db")));
        layers
            .set_default(&s::ENCRYPTION_KEY_FILE, || data_dir.join("encryption.keys").display().to_string());

        layers.read(&s::DATABASE_URL, parse::database_url)?;
        layers.read(&s::BOOTSTRAP_TOKEN, parse::bootstrap_token)?;
        let config = Self {
            listen: read_with_default(&layers, &s::LISTEN, parse::address)?,
            tls: tls(&layers, flags.sandbox())?,
            metrics_listen: layers.read(&s::METRICS_LISTEN, parse::address_or_off)?.flatten(),
            health_listen: layers.read(&s::HEALTH_LISTEN, parse::address_or_off)?.flatten(),
            internal_listen: internal_listen(&layers)?,
            internal_address: layers.read(&s::INTERNAL_ADDRESS, parse::host_and_port)?,
            server_url: layers.read(&s::SERVER_URL, parse::server_url)?,
            database: database(&layers)?,
            encryption_key_file: layers.text(&s::ENCRYPTION_KEY_FILE).into(),
            bootstrap_token: layers.get(&s::BOOTSTRAP_TOKEN).map(|value| value.text.clone().into()),
            trusted_proxies: layers.read(&s::TRUSTED_PROXIES, parse::networks)?.unwrap_or_default(),
            cors_origins: layers.read(&s::CORS_ORIGINS, parse::origins)?.unwrap_or_default(),
            cluster_review: layers.read(&s::CLUSTER_REVIEW, parse::cluster_review)?,
            limits: limits(&layers)?,
            audit_retention: read_with_default(&layers, &s::AUDIT_DAYS, parse::days)?,
            audit_each_use: read_with_default(&layers, &s::AUDIT_USES, parse::audit_uses)?,
            log: Log {
                format: read_with_default(&layers, &s::LOG_FORMAT, parse::log_format)?,
                filter: env.get("RUST_LOG").filter(|filter| !filter.is_empty()).cloned(),
            },
            rancher: Rancher::read(&layers)?,
            sandbox: sandbox(&layers, flags.sandbox())?,
            effective: show::effective_settings(&layers, env, flags.sandbox()),
            data_dir,
        };
        Ok((config, warnings(&layers, env)))
    }

    /// All settings that apply, with their values (secrets masked) and origins, then the variables that libraries read.
    pub fn describe(&self) -> &[EffectiveSetting] {
        &self.effective
    }

    /// The file of a SQLite database; `None` for PostgreSQL.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        let path = self.database.url.expose_secret().strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        Some(percent_decode_str(path).decode_utf8_lossy().into_owned().into())
    }

    /// The name of the database for messages: its file, or its URL without the password.
    pub fn database_name(&self) -> String {
        match self.sqlite_file() {
            Some(file) => file.display().to_string(),
            None => show::mask_url(self.database.url.expose_secret()),
        }
    }

    /// The default data directory of a sandbox, next to this data directory; `None` if this is a sandbox.
    pub fn adjacent_sandbox(&self) -> Option<PathBuf> {
        match self.sandbox {
            Some(_) => None,
            None => Some(self.data_dir.with_file_name(SANDBOX_DATA_DIR)),
        }
    }
}

/// The URL of a SQLite file. Characters that have a meaning in URLs are escaped.
fn sqlite_url(path: &Path) -> String {
    const SPECIAL: AsciiSet = CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');
    format!("sqlite:{}", utf8_percent_encode(&path.to_string_lossy(), &SPECIAL))
}

/// The environment of this process, for [`Config::load`]. Variables that are not UTF-8 are ignored.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Parses the value of a setting that has a default.
fn read_with_default<T>(
    layers: &Layers,
    setting: &'static settings::Setting,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<T, ConfigError> {
    match layers.read(setting, &parse)? {
        Some(value) => Ok(value),
        // Unreachable, as long as the setting has a default in the table.
        None => parse("").map_err(|expected| ConfigError::Invalid {
            setting: setting.name,
            shown: Some("unset".to_owned()),
            origin: Origin::Default,
            expected,
        }),
    }
}

/// The address of the listener for other servers. If its IP address is unspecified (`0.0.0.0` or `::`), `internal-address` is
/// required.
fn internal_listen(layers: &Layers) -> Result<Option<SocketAddr>, ConfigError> {
    use settings::{INTERNAL_ADDRESS, INTERNAL_LISTEN};

    let listen = layers.read(&INTERNAL_LISTEN, parse::address_or_off)?.flatten();
    let is_unspecified = listen.is_some_and(|address| address.ip().is_unspecified());
    match layers.get(&INTERNAL_LISTEN).filter(|_| is_unspecified && layers.get(&INTERNAL_ADDRESS).is_none()) {
        Some(value) => Err(ConfigError::Incomplete {
            setting: INTERNAL_LISTEN.name,
            origin: value.origin.clone(),
            missing: &INTERNAL_ADDRESS,
        }),
        None => Ok(listen),
    }
}

fn tls(layers: &Layers, is_sandbox: bool) -> Result<Option<Tls>, ConfigError> {
    use settings::{TLS_CERT, TLS_KEY, TLS_LISTEN};

    let listen = layers.read(&TLS_LISTEN, parse::address_or_off)?;
    // An explicit `off` overrides the certificate and key of a lower layer.
    if listen == Some(None) {
        return Ok(None);
    }
    // The sandbox issues a certificate itself.
    if is_sandbox && layers.get(&TLS_CERT).is_none() && layers.get(&TLS_KEY).is_none() {
        return Ok(None);
    }
    let tls_settings = [&TLS_LISTEN, &TLS_CERT, &TLS_KEY];
    let Some((setting, value)) =
        tls_settings.iter().find_map(|setting| Some((setting, layers.get(setting)?)))
    else {
        return Ok(None);
    };
    let incomplete =
        |missing| ConfigError::Incomplete { setting: setting.name, origin: value.origin.clone(), missing };
    let path = |setting| layers.get(setting).map(|value| PathBuf::from(&value.text));
    Ok(Some(Tls {
        listen: listen.flatten().ok_or_else(|| incomplete(&TLS_LISTEN))?,
        certificate: path(&TLS_CERT).ok_or_else(|| incomplete(&TLS_CERT))?,
        key: path(&TLS_KEY).ok_or_else(|| incomplete(&TLS_KEY))?,
    }))
}

fn database(layers: &Layers) -> Result<Database, ConfigError> {
    use settings as s;
    Ok(Database {
        url: layers.text(&s::DATABASE_URL).into(),
        pool: read_with_default(layers, &s::DATABASE_POOL, |text| {
            parse::number(text, 1..=1_000, "a number from 1 to 1000")
        })?,
        wait: read_with_default(layers, &s::DATABASE_WAIT_SECONDS, |text| {
            parse::seconds(text, 1..=50, "a number of seconds from 1 to 50")
        })?,
        migrate: !read_with_default(layers, &s::NO_MIGRATE, parse::switch)?,
    })
}

fn limits(layers: &Layers) -> Result<Limits, ConfigError> {
    use settings as s;
    let requests = read_with_default(layers, &s::REQUEST_LIMIT, |text| {
        parse::number(text, 1..=1_000_000, "a number from 1 to 1000000")
    })?;
    let connections = read_with_default(layers, &s::CONNECTION_LIMIT, |text| {
        parse::number(text, 16..=1_000_000, "a number from 16 to 1000000")
    })?;
    Ok(Limits {
        requests: usize::try_from(requests).unwrap_or(usize::MAX),
        connections: usize::try_from(connections).unwrap_or(usize::MAX),
        body_bytes: read_with_default(layers, &s::BODY_LIMIT, parse::body_bytes)?,
        cache_bytes: read_with_default(layers, &s::CACHE_BYTES, parse::bytes)?,
        drain: read_with_default(layers, &s::DRAIN_SECONDS, |text| {
            parse::seconds(text, 0..=3_600, "a number of seconds from 0 to 3600")
        })?,
    })
}

fn sandbox(layers: &Layers, is_enabled: bool) -> Result<Option<Sandbox>, ConfigError> {
    use settings::{LISTEN, SANDBOX_CONTROL_LISTEN, SANDBOX_LISTEN, TLS_LISTEN};
    if is_enabled {
        let tls_default = SocketAddr::new(read_with_default(layers, &LISTEN, parse::address)?.ip(), 0);
        let tls_listen = layers.read(&TLS_LISTEN, parse::address_or_off)?.unwrap_or(Some(tls_default));
        return Ok(Some(Sandbox {
            listen: read_with_default(layers, &SANDBOX_LISTEN, parse::address)?,
            control_listen: layers.read(&SANDBOX_CONTROL_LISTEN, parse::loopback_or_off)?.flatten(),
            tls_listen,
        }));
    }
    let configured = [&SANDBOX_LISTEN, &SANDBOX_CONTROL_LISTEN].into_iter().find_map(|setting| {
        let origin = &layers.get(setting)?.origin;
        (*origin != Origin::Default).then(|| (setting.name, origin.clone()))
    });
    match configured {
        Some((setting, origin)) => Err(ConfigError::SandboxOnly { setting, origin }),
        None => Ok(None),
    }
}

fn warnings(layers: &Layers, env: &BTreeMap<String, String>) -> Vec<Warning> {
    let mut warnings = unknown_variables(env);
    if let Some(SettingValue { text, origin: Origin::Flag(_) }) = layers.get(&settings::DATABASE_URL)
        && show::mask_url(text) != *text
    {
        warnings.push(Warning::PasswordOnCommandLine);
    }
    if let Some(SettingValue { text, origin }) = layers.get(&settings::BOOTSTRAP_TOKEN)
        && text.split_once(':').is_some_and(|(_, secret)| secret.len() < MIN_SECRET_LEN)
    {
        warnings.push(Warning::ShortBootstrapToken { origin: origin.clone() });
    }
    let is_on = |name| env.get(name).is_some_and(|value| value != "0");
    if is_on("RUST_BACKTRACE") && !env.contains_key("RUST_LIB_BACKTRACE") || is_on("RUST_LIB_BACKTRACE") {
        warnings.push(Warning::Backtraces);
    }
    warnings
}
