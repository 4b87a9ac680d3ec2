//! The table of settings: what exists, how it is spelt in the three places, what it does.
//!
//! Flag, variable and TOML key of a setting follow from its name: `data-dir` is `--data-dir`,
//! `NORMAN_AKS_DATA_DIR` and `data_dir`. Reading and checking values is not here.

/// One thing that the program can be told.
#[derive(Debug)]
pub struct Setting {
    /// Words joined by hyphens.
    pub name: &'static str,
    /// The heading it stands under in help texts.
    pub section: Section,
    /// What stands for the value in help texts; `""` for a switch.
    pub value: &'static str,
    /// What is used when nothing is given.
    pub default: Default,
    /// Whether, and how, the value must be hidden.
    pub secrecy: Secrecy,
    /// Whether a flag exists; a value that is nothing but a secret has none, others could read it there.
    pub on_command_line: bool,
    /// Whether commands that only touch database and keys (`token`, `key`, `migrate`) take it.
    pub for_data: bool,
    /// One sentence for people, without a full stop.
    pub help: &'static str,
}

/// What a setting is when nobody sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// This value, read as if it were given.
    Value(&'static str),
    /// Made from other settings, as these words say.
    Made(&'static str),
    /// Nothing; the words say what that means.
    Nothing(&'static str),
}

impl Default {
    /// The default for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Value(words) | Self::Made(words) | Self::Nothing(words) => words,
        }
    }
}

/// What of a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// All.
    Public,
    /// A URL, without its password.
    Url,
    /// A token `<name>:<secret>`, without its secret.
    Token,
}

/// Headings of help texts and tables, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Where settings come from.
    Settings,
    /// Addresses, and what is believed about those who come.
    Serving,
    /// Files, database, keys and tokens.
    Data,
    /// Bounds.
    Limits,
    /// What is written to standard error.
    Log,
    /// The built-in Azure.
    Sandbox,
}

impl Section {
    /// The heading for people.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Settings => "Settings",
            Self::Serving => "Serving",
            Self::Data => "Data",
            Self::Limits => "Limits",
            Self::Log => "Log",
            Self::Sandbox => "Sandbox (only with --sandbox)",
        }
    }
}

/// What every variable of ours begins with.
pub const VARIABLE_PREFIX: &str = "NORMAN_AKS_";

impl Setting {
    /// The flag, `--data-dir`; `None` when the command line does not take it.
    pub fn flag(&self) -> Option<String> {
        self.on_command_line.then(|| format!("--{}", self.name))
    }

    /// The environment variable, `NORMAN_AKS_DATA_DIR`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// The key in the TOML file, `data_dir`; `None` for the name of that file itself.
    pub fn key(&self) -> Option<String> {
        (self.section != Section::Settings).then(|| self.name.replace('-', "_"))
    }

    /// Whether it is given without a value on the command line.
    pub fn is_switch(&self) -> bool {
        self.value.is_empty()
    }
}

/// A setting like most: public, with a flag, for the server only.
const fn setting(
    name: &'static str,
    section: Section,
    value: &'static str,
    default: Default,
    help: &'static str,
) -> Setting {
    Setting {
        name,
        section,
        value,
        default,
        secrecy: Secrecy::Public,
        on_command_line: true,
        for_data: false,
        help,
    }
}

/// The same, also taken by the commands that only touch database and keys.
const fn data_setting(
    name: &'static str,
    value: &'static str,
    default: Default,
    help: &'static str,
) -> Setting {
    Setting { for_data: true, ..setting(name, Section::Data, value, default, help) }
}

macro_rules! settings {
    ($($id:ident = $setting:expr;)*) => {
        $(#[doc = concat!("See [`ALL`]: ", stringify!($id), ".")] pub static $id: Setting = $setting;)*

        /// Every setting, in the order of help texts.
        pub static ALL: &[&Setting] = &[$(&$id),*];
    };
}

settings! {
    CONFIG = Setting {
        for_data: true,
        ..setting("config", Section::Settings, "FILE", Default::Nothing("none"), "TOML file with settings")
    };

    LISTEN = setting("listen", Section::Serving, "ADDRESS", Default::Value("127.0.0.1:8080"),
        "Address for plain HTTP; port 0 chooses a free port and prints it");
    TLS_LISTEN = setting("tls-listen", Section::Serving, "ADDRESS", Default::Nothing("off"),
        "Address for HTTPS, in addition; needs tls-cert and tls-key");
    TLS_CERT = setting("tls-cert", Section::Serving, "FILE", Default::Nothing("none"),
        "Certificate chain for HTTPS (PEM, the server certificate first)");
    TLS_KEY = setting("tls-key", Section::Serving, "FILE", Default::Nothing("none"),
        "Private key of the certificate (PEM)");
    METRICS_LISTEN = setting("metrics-listen", Section::Serving, "ADDRESS", Default::Nothing("off"),
        "Address for Prometheus metrics at /metrics, without authentication");
    HEALTH_LISTEN = setting("health-listen", Section::Serving, "ADDRESS", Default::Nothing("off"),
        "Separate address for the health checks (/livez, /readyz, /healthz, /ping), so that clients cannot delay them");
    SERVER_URL = setting("server-url", Section::Serving, "URL", Default::Nothing("taken from each request"),
        "URL at which clients reach the server, for links in responses");
    TRUSTED_PROXIES = setting("trusted-proxies", Section::Serving, "LIST", Default::Nothing("none"),
        "Comma-separated addresses or networks (CIDR) of proxies whose X-Forwarded-* and X-API-Host headers are trusted and whose connections are not limited by address");
    CORS_ORIGINS = setting("cors-origins", Section::Serving, "LIST", Default::Nothing("none"),
        "Comma-separated origins whose pages may call the server from a browser");
    CLUSTER_REVIEW = setting("cluster-review", Section::Serving, "enforce|advise", Default::Nothing("the setting cluster-review in the database"),
        "Whether review errors that depend on Azure's data reject a cluster (enforce) or only warn (advise); the annotation norman-aks.io/review of a cluster overrides it");

    DATA_DIR = data_setting("data-dir", "DIRECTORY",
        Default::Made("./norman-aks-data (./norman-aks-sandbox-data with --sandbox)"),
        "Directory for everything that is stored in files");
    DATABASE_URL = Setting {
        secrecy: Secrecy::Url,
        ..data_setting("database-url", "URL", Default::Made("sqlite:<data-dir>/norman-aks.db"),
            "Database: sqlite:<path>, or postgres://… for several server instances")
    };
    DATABASE_URL_FILE = data_setting("database-url-file", "FILE", Default::Nothing("none"),
        "File that contains the database URL");
    DATABASE_POOL = data_setting("database-pool", "NUMBER", Default::Value("10"),
        "Maximum number of database connections");
    DATABASE_WAIT_SECONDS = data_setting("database-wait-seconds", "SECONDS", Default::Value("5"),
        "Time that a request waits for a free database connection");
    NO_MIGRATE = data_setting("no-migrate", "", Default::Value("false"),
        "Do not migrate the database schema at startup; run `norman-aks migrate` instead");
    ENCRYPTION_KEY_FILE = data_setting("encryption-key-file", "FILE", Default::Made("<data-dir>/encryption.keys"),
        "Keys that encrypt stored secrets: lines of id:base64, the first one active; read again on SIGHUP");
    BOOTSTRAP_TOKEN = Setting {
        secrecy: Secrecy::Token,
        on_command_line: false,
        ..setting("bootstrap-token", Section::Data, "TOKEN", Default::Nothing("none"),
            "Administrator's token, token-<name>:<secret>, set at each start")
    };
    BOOTSTRAP_TOKEN_FILE = setting("bootstrap-token-file", Section::Data, "FILE", Default::Nothing("none"),
        "File that contains the administrator's token");
    AUDIT_DAYS = setting("audit-days", Section::Data, "DAYS", Default::Value("90"),
        "Days to keep audit records; 0 keeps them forever");
    AUDIT_USES = setting("audit-uses", Section::Data, "count|each", Default::Value("count"),
        "Whether successful uses of cloud credentials under /meta, and heartbeats inside clusters, are counted per minute (count) or have an audit record each (each)");

    REQUEST_LIMIT = setting("request-limit", Section::Limits, "NUMBER", Default::Value("1024"),
        "Maximum number of requests in flight; further ones return 503");
    CONNECTION_LIMIT = setting("connection-limit", Section::Limits, "NUMBER", Default::Value("4096"),
        "Maximum number of open connections, at most half of the process's limit of open files; a quarter of them may lack an authenticated request");
    BODY_LIMIT = setting("body-limit", Section::Limits, "BYTES", Default::Value("1MiB"),
        "Maximum size of a request body; larger ones are rejected");
    CACHE_BYTES = setting("cache-bytes", Section::Limits, "BYTES", Default::Value("64MiB"),
        "Memory for cached lists; 0 disables the cache");
    DRAIN_SECONDS = setting("drain-seconds", Section::Limits, "SECONDS", Default::Value("60"),
        "Time that running requests have to finish after the signal to stop");

    LOG_FORMAT = Setting {
        for_data: true,
        ..setting("log-format", Section::Log, "text|json", Default::Value("text"),
            "Format of log lines; RUST_LOG selects the lines")
    };

    SANDBOX_LISTEN = setting("sandbox-listen", Section::Sandbox, "ADDRESS", Default::Value("127.0.0.1:0"),
        "Address of the simulated Azure");
    SANDBOX_CONTROL_LISTEN = setting("sandbox-control-listen", Section::Sandbox, "ADDRESS", Default::Nothing("off"),
        "Address of the sandbox's control API (faults, recorded requests); must be loopback");
}

/// The name in `known` that `wrong` was probably meant to be.
pub(super) fn nearest(wrong: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|name| (strsim::jaro_winkler(wrong, &name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_scripts_rely_on_stay_as_they_are() {
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
        let bootstrap = &BOOTSTRAP_TOKEN;
        assert_eq!(bootstrap.flag(), None);
        assert_eq!(bootstrap.key().as_deref(), Some("bootstrap_token"));
        assert_eq!(CONFIG.key(), None);
    }

    #[test]
    fn settings_of_a_section_stand_together_and_no_name_comes_twice() {
        assert!(ALL.is_sorted_by_key(|setting| setting.section));
        let mut names: Vec<_> = ALL.iter().map(|setting| setting.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let names = || ALL.iter().filter_map(|setting| setting.key());
        for (wrong, expected) in [
            ("listn", Some("listen")),
            ("database-url", Some("database_url")),
            ("databse_url", Some("database_url")),
            ("encryption_key", Some("encryption_key_file")),
            ("zzz", None),
        ] {
            assert_eq!(nearest(wrong, names()).as_deref(), expected, "{wrong}");
        }
    }
}
