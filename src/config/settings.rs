//! The table of settings.
//!
//! Flag, variable and TOML key of a setting follow from its name: `data-dir` is `--data-dir`,
//! `NORMAN_AKS_DATA_DIR` and `data_dir`. `parse.rs` parses the values.

/// The definition of one setting.
#[derive(Debug)]
pub struct Setting {
    pub name: &'static str,
    pub section: Section,
    /// The placeholder of the value in help texts; `""` for a switch.
    pub placeholder: &'static str,
    pub default: DefaultValue,
    /// The secret parts of the value.
    pub secrecy: Secrecy,
    /// Whether the setting has a flag. The bootstrap token has none, because other users can read the list of processes.
    pub on_command_line: bool,
    /// Whether commands that only use database and keys (`token`, `user`, `key`, `audit`, `migrate`) accept the setting.
    pub for_database_commands: bool,
    /// The help text: a phrase without a full stop. Further clauses are separated by semicolons.
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// The text of a value, which is parsed like a configured one.
    Value(&'static str),
    /// Derived from other settings; the text describes it.
    Derived(&'static str),
    /// No value; the text describes the effect.
    Unset(&'static str),
}

impl DefaultValue {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value(text) | Self::Derived(text) | Self::Unset(text) => text,
        }
    }
}

/// The secret parts of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// None.
    Public,
    /// The password in a URL.
    Url,
    /// The secret of a token `<name>:<secret>`.
    Token,
}

/// Headings of help texts and tables, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    SettingsFile,
    Serving,
    Rancher,
    Data,
    Limits,
    Log,
    Sandbox,
}

impl Section {
    pub fn heading(self) -> &'static str {
        match self {
            Self::SettingsFile => "Settings",
            Self::Serving => "Serving",
            Self::Rancher => "Alongside Rancher (only with --rancher-url)",
            Self::Data => "Data",
            Self::Limits => "Limits",
            Self::Log => "Log",
            Self::Sandbox => "Sandbox (only with --sandbox)",
        }
    }
}

pub const VARIABLE_PREFIX: &str = "NORMAN_AKS_";

impl Setting {
    /// The flag, such as `--data-dir`; `None` if there is none.
    pub fn flag(&self) -> Option<String> {
        self.on_command_line.then(|| format!("--{}", self.name))
    }

    /// The environment variable, such as `NORMAN_AKS_DATA_DIR`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// The key in the TOML file, such as `data_dir`; `None` for `config`, which names that file.
    pub fn key(&self) -> Option<String> {
        (self.section != Section::SettingsFile).then(|| self.name.replace('-', "_"))
    }

    pub fn is_switch(&self) -> bool {
        self.placeholder.is_empty()
    }
}

/// A public setting with a flag, but not for commands that only use database and keys.
const fn setting(
    name: &'static str,
    section: Section,
    placeholder: &'static str,
    default: DefaultValue,
    help: &'static str,
) -> Setting {
    Setting {
        name,
        section,
        placeholder,
        default,
        secrecy: Secrecy::Public,
        on_command_line: true,
        for_database_commands: false,
        help,
    }
}

/// A public setting with a flag, also for commands that only use database and keys.
const fn data_setting(
    name: &'static str,
    placeholder: &'static str,
    default: DefaultValue,
    help: &'static str,
) -> Setting {
    Setting { for_database_commands: true, ..setting(name, Section::Data, placeholder, default, help) }
}

macro_rules! settings {
    ($($id:ident = $setting:expr;)*) => {
        $(#[doc = concat!("The setting `", stringify!($id), "`; see its help text.")] pub static $id: Setting = $setting;)*

        /// All settings, in the order of help texts.
        pub static ALL: &[&Setting] = &[$(&$id),*];
    };
}

settings! {
    CONFIG = Setting {
        for_database_commands: true,
        ..setting("config", Section::SettingsFile, "FILE", DefaultValue::Unset("none"), "TOML file with settings")
    };

    LISTEN = setting("listen", Section::Serving, "ADDRESS", DefaultValue::Value("127.0.0.1:8080"),
        "Address for plain HTTP; port 0 chooses a free port and prints it");
    TLS_LISTEN = setting("tls-listen", Section::Serving, "ADDRESS", DefaultValue::Unset("off"),
        "Address for HTTPS, in addition to listen; needs tls-cert and tls-key");
    TLS_CERT = setting("tls-cert", Section::Serving, "FILE", DefaultValue::Unset("none"),
        "Certificate chain for HTTPS (PEM, the server certificate first)");
    TLS_KEY = setting("tls-key", Section::Serving, "FILE", DefaultValue::Unset("none"),
        "Private key of the certificate (PEM)");
    METRICS_LISTEN = setting("metrics-listen", Section::Serving, "ADDRESS", DefaultValue::Unset("off"),
        "Address for Prometheus metrics at /metrics, without authentication");
    HEALTH_LISTEN = setting("health-listen", Section::Serving, "ADDRESS", DefaultValue::Unset("off"),
        "Separate address for the health checks (/livez, /readyz, /healthz, /ping), so that clients cannot delay them");
    INTERNAL_LISTEN = setting("internal-listen", Section::Serving, "ADDRESS", DefaultValue::Unset("off"),
        "Address where other servers of the same database connect to this one, for the tunnels of agents; only servers with the same encryption key can connect");
    INTERNAL_ADDRESS = setting("internal-address", Section::Serving, "HOST:PORT", DefaultValue::Derived("the address of internal-listen"),
        "Address of internal-listen as other servers reach it, such as the IP address of a pod");
    SERVER_URL = setting("server-url", Section::Serving, "URL", DefaultValue::Unset("taken from each request"),
        "URL at which clients reach the server, for links in responses");
    TRUSTED_PROXIES = setting("trusted-proxies", Section::Serving, "LIST", DefaultValue::Unset("none"),
        "Comma-separated addresses or networks (CIDR) of proxies whose X-Forwarded-* and X-API-Host headers are trusted and whose connections are not limited by address");
    CORS_ORIGINS = setting("cors-origins", Section::Serving, "LIST", DefaultValue::Unset("none"),
        "Comma-separated origins whose pages may call the server from a browser");
    CLUSTER_REVIEW = setting("cluster-review", Section::Serving, "enforce|advise", DefaultValue::Unset("the setting cluster-review in the database"),
        "Whether review errors that depend on Azure's data reject a cluster (enforce) or only warn (advise); the annotation norman-aks.io/review of a cluster overrides it");

    RANCHER_URL = setting("rancher-url", Section::Rancher, "URL", DefaultValue::Unset("off"),
        "URL of Rancher's Service, such as https://rancher.cattle-system.svc; the server runs alongside this Rancher, with its users, permissions and cloud credentials, and stores nothing");
    RANCHER_HOST = setting("rancher-host", Section::Rancher, "HOST", DefaultValue::Derived("the host of rancher-url"),
        "Public host name of Rancher, for its certificate and the header Host, if it differs from the host of rancher-url");
    RANCHER_CA_FILE = setting("rancher-ca-file", Section::Rancher, "FILE", DefaultValue::Unset("the authorities of the system"),
        "Certificate authorities of Rancher (PEM)");
    RANCHER_CA_CHECKSUM = setting("rancher-ca-checksum", Section::Rancher, "SHA256", DefaultValue::Unset("none"),
        "Trust the authorities that Rancher publishes as its setting cacerts, if they have this SHA-256 (hexadecimal)");
    RANCHER_DECISION_SECONDS = setting("rancher-decision-seconds", Section::Rancher, "SECONDS", DefaultValue::Value("5"),
        "Time for which Rancher's decision that a caller may use a credential is cached; 0 disables the cache");

    CATALOG_HOST = setting("catalog-host", Section::Rancher, "HOST", DefaultValue::Unset("off"),
        "Host name that serves the catalog (/api/v1); must differ from Rancher's host name");

    DATA_DIR = data_setting("data-dir", "DIRECTORY",
        DefaultValue::Derived("./norman-aks-data (./norman-aks-sandbox-data with --sandbox)"),
        "Directory for everything that is stored in files");
    DATABASE_URL = Setting {
        secrecy: Secrecy::Url,
        ..data_setting("database-url", "URL", DefaultValue::Derived("sqlite:<data-dir>/norman-aks.db"),
            "Database: sqlite:<path>, or postgres://… for several server instances")
    };
    DATABASE_URL_FILE = data_setting("database-url-file", "FILE", DefaultValue::Unset("none"),
        "File that contains the database URL");
    DATABASE_POOL = data_setting("database-pool", "NUMBER", DefaultValue::Value("10"),
        "Maximum number of database connections");
    DATABASE_WAIT_SECONDS = data_setting("database-wait-seconds", "SECONDS", DefaultValue::Value("5"),
        "Time that a request waits for a free database connection");
    NO_MIGRATE = data_setting("no-migrate", "", DefaultValue::Value("false"),
        "Do not migrate the database schema at startup; run `norman-aks migrate` instead");
    ENCRYPTION_KEY_FILE = data_setting("encryption-key-file", "FILE", DefaultValue::Derived("<data-dir>/encryption.keys"),
        "Keys that encrypt stored secrets: lines of id:base64, the first one active; read again on SIGHUP");
    BOOTSTRAP_TOKEN = Setting {
        secrecy: Secrecy::Token,
        on_command_line: false,
        ..setting("bootstrap-token", Section::Data, "TOKEN", DefaultValue::Unset("none"),
            "Administrator's token, token-<name>:<secret>, which is stored at each start")
    };
    BOOTSTRAP_TOKEN_FILE = setting("bootstrap-token-file", Section::Data, "FILE", DefaultValue::Unset("none"),
        "File that contains the administrator's token");
    AUDIT_DAYS = setting("audit-days", Section::Data, "DAYS", DefaultValue::Value("90"),
        "Days to keep audit records; 0 keeps them forever");
    AUDIT_USES = setting("audit-uses", Section::Data, "count|each", DefaultValue::Value("count"),
        "Whether successful uses of cloud credentials under /meta, and updates of leases, events and status in clusters, are counted per minute (count) or each have an audit record (each)");

    REQUEST_LIMIT = setting("request-limit", Section::Limits, "NUMBER", DefaultValue::Value("1024"),
        "Maximum number of requests in flight; further ones return 503");
    CONNECTION_LIMIT = setting("connection-limit", Section::Limits, "NUMBER", DefaultValue::Value("4096"),
        "Maximum number of open connections, at most half of the process's limit of open files; at most a quarter of this number may be connections without an authenticated request");
    BODY_LIMIT = setting("body-limit", Section::Limits, "BYTES", DefaultValue::Value("1MiB"),
        "Maximum size of a request body; larger ones are rejected");
    CACHE_BYTES = setting("cache-bytes", Section::Limits, "BYTES", DefaultValue::Value("64MiB"),
        "Memory for cached lists; 0 disables the cache");
    DRAIN_SECONDS = setting("drain-seconds", Section::Limits, "SECONDS", DefaultValue::Value("60"),
        "Time that running requests have to finish after the signal to stop");

    LOG_FORMAT = Setting {
        for_database_commands: true,
        ..setting("log-format", Section::Log, "text|json", DefaultValue::Value("text"),
            "Format of log lines; RUST_LOG selects the lines")
    };

    SANDBOX_LISTEN = setting("sandbox-listen", Section::Sandbox, "ADDRESS", DefaultValue::Value("127.0.0.1:0"),
        "Address of the simulated Azure");
    SANDBOX_CONTROL_LISTEN = setting("sandbox-control-listen", Section::Sandbox, "ADDRESS", DefaultValue::Unset("off"),
        "Address of the sandbox's control API (faults, recorded requests); must be loopback");
}

/// The name that is most similar to `wrong`, for suggestions; `None` if none is similar enough.
pub(super) fn most_similar(wrong: &str, names: impl Iterator<Item = String>) -> Option<String> {
    names
        .map(|name| (strsim::jaro_winkler(wrong, &name), name))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_used_by_scripts_are_stable() {
        let variables: Vec<_> = ALL.iter().map(|setting| setting.variable()).collect();
        for fixed in [
            "NORMAN_AKS_LISTEN",
            "NORMAN_AKS_METRICS_LISTEN",
            "NORMAN_AKS_DATABASE_URL",
            "NORMAN_AKS_DATA_DIR",
            "NORMAN_AKS_SERVER_URL",
            "NORMAN_AKS_ENCRYPTION_KEY_FILE",
            "NORMAN_AKS_BOOTSTRAP_TOKEN",
        ] {
            assert!(variables.iter().any(|variable| variable == fixed), "{fixed}");
        }
    }

    #[test]
    fn bootstrap_token_has_no_flag_and_config_has_no_key() {
        assert_eq!(BOOTSTRAP_TOKEN.flag(), None);
        assert_eq!(BOOTSTRAP_TOKEN.key().as_deref(), Some("bootstrap_token"));
        assert_eq!(CONFIG.key(), None);
    }

    #[test]
    fn settings_are_sorted_by_section_and_unique() {
        assert!(ALL.is_sorted_by_key(|setting| setting.section));
        let mut names: Vec<_> = ALL.iter().map(|setting| setting.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn only_similar_names_are_suggested() {
        let names = || ALL.iter().filter_map(|setting| setting.key());
        for (wrong, expected) in [
            ("listn", Some("listen")),
            ("database-url", Some("database_url")),
            ("databse_url", Some("database_url")),
            ("encryption_key", Some("encryption_key_file")),
            ("zzz", None),
        ] {
            assert_eq!(most_similar(wrong, names()).as_deref(), expected, "{wrong}");
        }
    }
}
