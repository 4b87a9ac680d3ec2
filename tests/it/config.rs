//! Settings from flags, variables and files, without using the environment of the test process.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use norman_aks::config::{
    CLIENT_VARIABLES, Config, ConfigError, Flags, LogFormat, Origin, Warning, settings,
};
use secrecy::ExposeSecret as _;

/// The sources of settings.
#[derive(Default)]
struct Sources {
    flags: Flags,
    env: BTreeMap<String, String>,
    files: BTreeMap<&'static str, &'static str>,
}

impl Sources {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn file(mut self, path: &'static str, text: &'static str) -> Self {
        self.files.insert(path, text);
        self
    }

    fn flag(mut self, setting: &settings::Setting, value: &str) -> Self {
        self.flags = self.flags.with(setting, value);
        self
    }

    fn sandbox(mut self) -> Self {
        self.flags = self.flags.with_sandbox();
        self
    }

    fn load(&self) -> Result<(Config, Vec<Warning>), ConfigError> {
        let read = |path: &Path| {
            self.files
                .get(path.to_str().unwrap())
                .map(|text| (*text).to_owned())
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        Config::load(&self.flags, &self.env, &read)
    }

    fn config(&self) -> Config {
        self.load().unwrap().0
    }

    fn error(&self) -> String {
        self.load().unwrap_err().to_string()
    }

    fn warnings(&self) -> Vec<String> {
        self.load().unwrap().1.iter().map(ToString::to_string).collect()
    }
}

fn sources() -> Sources {
    Sources::default()
}

#[test]
fn defaults_are_as_documented() {
    let (config, warnings) = sources().load().unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.metrics_listen, None);
    assert!(config.tls.is_none());
    assert_eq!(config.server_url, None);
    assert_eq!(config.data_dir, Path::new("./norman-aks-data"));
    assert_eq!(config.database.url.expose_secret(), "sqlite:./norman-aks-data/norman-aks.db");
    assert_eq!((config.database.pool, config.database.wait), (10, Duration::from_secs(5)));
    assert!(config.database.migrate);
    assert_eq!(config.encryption_key_file, Path::new("./norman-aks-data/encryption.keys"));
    assert!(config.bootstrap_token.is_none());
    assert!(config.trusted_proxies.is_empty());
    assert!(config.cors_origins.is_empty());
    assert_eq!(config.limits.body_bytes, 1 << 20);
    assert_eq!(config.limits.requests, 1024);
    assert_eq!(config.limits.connections, 4096);
    assert_eq!(config.health_listen, None);
    assert_eq!(config.limits.cache_bytes, 64 << 20);
    assert_eq!(config.limits.drain, Duration::from_mins(1));
    assert_eq!(config.audit_retention, Some(Duration::from_hours(90 * 24)));
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.log.filter, None);
    assert!(config.sandbox.is_none());
}

#[test]
fn flags_override_variables_override_file_override_defaults() {
    let file = "listen = \"127.0.0.1:1\"\ndatabase_pool = 7\nno_migrate = true\ncors_origins = [\"http://a\", \"http://b\"]";
    let sources = sources()
        .file("/etc/n.toml", file)
        .env("NORMAN_AKS_CONFIG", "/etc/n.toml")
        .env("NORMAN_AKS_LISTEN", "127.0.0.1:2")
        .env("NORMAN_AKS_DRAIN_SECONDS", "5");
    assert_eq!(sources.config().listen.port(), 2);
    let sources = sources.flag(&settings::LISTEN, "127.0.0.1:3");
    let config = sources.config();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.limits.drain, Duration::from_secs(5));
    assert_eq!(config.database.pool, 7);
    assert!(!config.database.migrate);
    assert_eq!(config.cors_origins, ["http://a", "http://b"]);

    let origin = |name: &str| config.describe().iter().find(|line| line.name == name).unwrap().origin.clone();
    assert_eq!(origin("listen"), Origin::Flag("--listen".to_owned()));
    assert_eq!(origin("drain-seconds"), Origin::Variable("NORMAN_AKS_DRAIN_SECONDS".to_owned()));
    assert_eq!(
        origin("database-pool"),
        Origin::File { key: "database_pool".to_owned(), path: "/etc/n.toml".into() }
    );
    assert_eq!(origin("log-format"), Origin::Default);
}

#[test]
fn every_setting_is_read_from_environment_and_file() {
    // A value other than the default for each setting.
    let non_default_value = |setting: &settings::Setting| match setting.name {
        "listen"
        | "tls-listen"
        | "metrics-listen"
        | "health-listen"
        | "internal-listen"
        | "internal-address"
        | "sandbox-listen"
        | "sandbox-control-listen" => "127.0.0.1:4",
        "server-url" => "https://n.example",
        "trusted-proxies" => "10.0.0.0/8",
        "cors-origins" => "https://r.example",
        "database-url" => "sqlite:x.db",
        "bootstrap-token" => "token-a:0123456789abcdefghij",
        "database-url-file" => "/secret/database",
        "bootstrap-token-file" => "/secret/token",
        "no-migrate" => "true",
        "log-format" => "json",
        "rancher-url" => "https://rancher.cattle-system.svc",
        "rancher-host" | "catalog-host" => "rancher.example.org",
        "rancher-ca-checksum" => "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "cluster-review" => "advise",
        "audit-uses" => "each",
        "body-limit" | "cache-bytes" => "2MiB",
        "connection-limit" => "30",
        "database-pool"
        | "database-wait-seconds"
        | "audit-days"
        | "request-limit"
        | "drain-seconds"
        | "rancher-decision-seconds" => "3",
        _ => "/some/path",
    };
    let with_files = || {
        let sources = sources().sandbox().file("/secret/database", "sqlite:y.db\n");
        sources.file("/secret/token", "token-b:0123456789abcdefghij\r\n").file("/some/path", "")
    };
    for setting in settings::ALL {
        let with_tls = |sources: Sources| match setting.name {
            "tls-listen" => sources.flag(&settings::TLS_CERT, "c").flag(&settings::TLS_KEY, "k"),
            "tls-cert" => sources.flag(&settings::TLS_LISTEN, "127.0.0.1:5").flag(&settings::TLS_KEY, "k"),
            "tls-key" => sources.flag(&settings::TLS_LISTEN, "127.0.0.1:5").flag(&settings::TLS_CERT, "c"),
            "rancher-host"
            | "rancher-ca-file"
            | "rancher-ca-checksum"
            | "rancher-decision-seconds"
            | "catalog-host" => sources.flag(&settings::RANCHER_URL, "https://r.example"),
            _ => sources,
        };
        let assert_used = |source: &str, sources: Sources| {
            let (config, warnings) = sources.load().unwrap_or_else(|error| panic!("{source}: {error}"));
            assert_eq!(warnings, [], "{source}");
            let line = config.describe().iter().find(|line| line.name == setting.name).unwrap();
            assert_ne!(line.origin, Origin::Default, "{source}");
            // A setting that is accepted and then ignored would not change the configuration.
            let debug_output =
                |config: &Config| format!("{config:?}").split("effective").next().map(str::to_owned);
            let default_config =
                Config::load(&Flags::new().with_sandbox(), &BTreeMap::new(), &|_| Ok(String::new()));
            let is_hidden_in_debug_output =
                matches!(setting.name, "config" | "database-url" | "database-url-file");
            if !is_hidden_in_debug_output {
                assert_ne!(debug_output(&config), debug_output(&default_config.unwrap().0), "{source}");
            }
        };
        assert_used(
            &setting.variable(),
            with_tls(with_files().env(&setting.variable(), non_default_value(setting))),
        );
        if let Some(key) = setting.key() {
            let line: &'static str =
                Box::leak(format!("{key} = \"{}\"", non_default_value(setting)).into_boxed_str());
            assert_used(
                &key,
                with_tls(with_files().flag(&settings::CONFIG, "/n.toml").file("/n.toml", line)),
            );
        }
    }
    let config = with_files().env("NORMAN_AKS_DATABASE_URL_FILE", "/secret/database").config();
    assert_eq!(config.database.url.expose_secret(), "sqlite:y.db", "without the line break");
}

#[test]
fn sandbox_has_own_data_directory_and_settings() {
    let config = sources().sandbox().config();
    assert_eq!(config.data_dir, Path::new("./norman-aks-sandbox-data"));
    let sandbox = config.sandbox.unwrap();
    assert!(sandbox.listen.ip().is_loopback());
    assert_eq!(sandbox.control_listen, None);

    assert_eq!(
        sources().env("NORMAN_AKS_SANDBOX_LISTEN", "127.0.0.1:9").error(),
        "sandbox-listen (variable NORMAN_AKS_SANDBOX_LISTEN) requires --sandbox; \
         add that flag or remove the setting"
    );
    let error = sources().sandbox().flag(&settings::SANDBOX_CONTROL_LISTEN, "0.0.0.0:9").error();
    assert!(error.contains("it must be a loopback address"), "{error}");
}

#[test]
fn no_setting_is_named_after_azure_endpoints() {
    for setting in settings::ALL.iter().filter(|setting| setting.section != settings::Section::Sandbox) {
        for word in ["azure", "arm", "entra", "login", "endpoint", "authority", "resolve", "insecure"] {
            assert!(!setting.name.split('-').any(|part| part == word), "{}", setting.name);
        }
    }
}

#[test]
fn errors_name_setting_origin_and_remedy() {
    let file = |text| sources().flag(&settings::CONFIG, "/n.toml").file("/n.toml", text);
    let cases = [
        (
            sources().env("NORMAN_AKS_LISTEN", "8080"),
            "listen cannot be \"8080\" (variable NORMAN_AKS_LISTEN); it must be an IP address and a port, \
             for example 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080",
        ),
        (
            file("database_pool = 0"),
            "database-pool cannot be \"0\" (database_pool in /n.toml); it must be a number from 1 to 1000",
        ),
        (file("listn = 1"), "/n.toml has an unknown key \"listn\"; did you mean listen?"),
        (file("zzz = 1"), "/n.toml has an unknown key \"zzz\""),
        (file("config = 'x'"), "/n.toml has an unknown key \"config\""),
        (
            file("[listen]\na = 1"),
            "listen in /n.toml is a table; write a string, a whole number, true, false or a list of strings",
        ),
        (
            file("listen = 1.5"),
            "listen in /n.toml is a float; write a string, a whole number, true, false or a list of strings",
        ),
        (
            sources().flag(&settings::CONFIG, "/none.toml"),
            "cannot read /none.toml, named by flag --config; check the name and the permissions",
        ),
        (
            sources().env("NORMAN_AKS_BOOTSTRAP_TOKEN_FILE", "/none"),
            "cannot read /none, named by variable NORMAN_AKS_BOOTSTRAP_TOKEN_FILE; check the name and the permissions",
        ),
        (
            sources()
                .flag(&settings::DATABASE_URL, "sqlite:a")
                .env("NORMAN_AKS_DATABASE_URL_FILE", "/f")
                .file("/f", "x"),
            "database-url is set twice, by flag --database-url and by variable NORMAN_AKS_DATABASE_URL_FILE; \
             remove one of them",
        ),
        (
            sources().flag(&settings::TLS_LISTEN, "127.0.0.1:1").flag(&settings::TLS_CERT, "c"),
            "tls-listen (flag --tls-listen) requires tls-key; set --tls-key or NORMAN_AKS_TLS_KEY",
        ),
        (
            sources().flag(&settings::TLS_KEY, "k"),
            "tls-key (flag --tls-key) requires tls-listen; set --tls-listen or NORMAN_AKS_TLS_LISTEN",
        ),
        (
            sources().env("NORMAN_AKS_RANCHER_HOST", "r.example"),
            "rancher-host (variable NORMAN_AKS_RANCHER_HOST) requires rancher-url; set --rancher-url or NORMAN_AKS_RANCHER_URL",
        ),
        (
            sources().flag(&settings::RANCHER_URL, "https://r.example/dashboard"),
            "rancher-url cannot be \"https://r.example/dashboard\" (flag --rancher-url); it must be an http or https URL \
             without a path, for example https://rancher.cattle-system.svc",
        ),
        (
            sources()
                .flag(&settings::RANCHER_URL, "https://r.example")
                .flag(&settings::DATABASE_URL, "sqlite:a"),
            "database-url (flag --database-url) cannot be used with rancher-url, where nothing is stored; remove the setting",
        ),
        (
            sources().flag(&settings::RANCHER_URL, "https://r.example").env("NORMAN_AKS_DATABASE_POOL", "3"),
            "database-pool (variable NORMAN_AKS_DATABASE_POOL) cannot be used with rancher-url, where nothing is stored; \
             remove the setting",
        ),
        (
            sources()
                .flag(&settings::RANCHER_URL, "https://r.example")
                .env("NORMAN_AKS_DATABASE_WAIT_SECONDS", "3"),
            "database-wait-seconds (variable NORMAN_AKS_DATABASE_WAIT_SECONDS) cannot be used with rancher-url, where \
             nothing is stored; remove the setting",
        ),
        (
            sources()
                .flag(&settings::RANCHER_URL, "https://r.example")
                .flag(&settings::RANCHER_CA_FILE, "/ca.pem")
                .flag(&settings::RANCHER_CA_CHECKSUM, &"0".repeat(64)),
            "rancher-ca-file (flag --rancher-ca-file) and rancher-ca-checksum (flag --rancher-ca-checksum) exclude each other; \
             remove one of them",
        ),
        (
            sources()
                .flag(&settings::RANCHER_URL, "https://r.example")
                .flag(&settings::CATALOG_HOST, "r.example"),
            "catalog-host (flag --catalog-host) cannot be the host of Rancher, where /api/v1 is the API of Kubernetes; use \
             another name",
        ),
    ];
    for (sources, expected) in cases {
        assert_eq!(sources.error(), expected);
    }
    let error = file("a = 1\nb = = 2").error();
    assert!(error.starts_with("/n.toml is not valid TOML at line 2: "), "{error}");
}

#[test]
fn secrets_are_never_printed() {
    let canary = "canary-5d1f0a7b9c";
    let url = format!("postgres://u:{canary}@h/d");
    let token = format!("token-a:{canary}-0123456789");
    let valid = sources().env("NORMAN_AKS_DATABASE_URL", &url).env("NORMAN_AKS_BOOTSTRAP_TOKEN", &token);
    let valid = valid.env("HTTPS_PROXY", &format!("http://u:{canary}@proxy:3128"));
    let (config, warnings) = valid.load().unwrap();
    let printed = format!("{config:?} {:?} {warnings:?}", config.describe());
    assert!(!printed.contains(canary), "{printed}");
    assert!(printed.contains("postgres://u:****@h/d"), "{printed}");
    assert!(printed.contains("token-a:****"), "{printed}");
    assert!(printed.contains("http://u:****@proxy:3128/"), "{printed}");

    let broken: &'static str = Box::leak(format!("bootstrap_token = \"token-a:{canary}").into_boxed_str());
    for invalid in [
        sources().env("NORMAN_AKS_DATABASE_URL", &format!("mysql://u:{canary}@h/d")),
        sources().env("NORMAN_AKS_BOOTSTRAP_TOKEN", canary),
        sources().flag(&settings::CONFIG, "/n.toml").file("/n.toml", broken),
    ] {
        let error = invalid.load().unwrap_err();
        let printed = format!("{error} {error:?}");
        assert!(!printed.contains(canary), "{printed}");
    }
}

#[test]
fn unknown_variables_warn_unless_kubernetes_injects_them() {
    assert_eq!(
        sources().env("NORMAN_AKS_LISTN", "x").warnings(),
        ["unknown variable NORMAN_AKS_LISTN is ignored; did you mean NORMAN_AKS_LISTEN?"]
    );
    for name in ["NORMAN_AKS_COLOUR", "NORMAN_AKS_Q", "NORMAN_AKS_"] {
        let without_suggestion = format!("unknown variable {name} is ignored");
        assert_eq!(sources().env(name, "x").warnings(), [without_suggestion]);
    }
    let injected = sources()
        .env("NORMAN_AKS_PORT", "tcp://10.0.0.1:8080")
        .env("NORMAN_AKS_SERVICE_HOST", "10.0.0.1")
        .env("NORMAN_AKS_SERVICE_PORT_HTTP", "8080")
        .env("NORMAN_AKS_PORT_8080_TCP_ADDR", "10.0.0.1")
        .env("OTHER", "x");
    assert_eq!(injected.warnings(), [""; 0]);
}

#[test]
fn exposed_or_weak_secrets_and_backtraces_warn() {
    let warnings = |sources: Sources| sources.load().unwrap().1;
    assert_eq!(
        warnings(sources().flag(&settings::DATABASE_URL, "postgres://u:p@h/d")),
        [Warning::PasswordOnCommandLine]
    );
    assert_eq!(warnings(sources().flag(&settings::DATABASE_URL, "postgres://u@h/d")), []);
    assert_eq!(warnings(sources().env("NORMAN_AKS_DATABASE_URL", "postgres://u:p@h/d")), []);
    assert!(matches!(
        warnings(sources().env("NORMAN_AKS_BOOTSTRAP_TOKEN", "token-a:short"))[..],
        [Warning::ShortBootstrapToken { origin: Origin::Variable(_) }]
    ));
    assert_eq!(warnings(sources().env("RUST_BACKTRACE", "1")), [Warning::Backtraces]);
    assert_eq!(warnings(sources().env("RUST_BACKTRACE", "1").env("RUST_LIB_BACKTRACE", "0")), []);
    assert_eq!(warnings(sources().env("RUST_BACKTRACE", "0")), []);
}

#[test]
fn empty_variables_are_unset_and_off_overrides_file() {
    let file = "metrics_listen = \"127.0.0.1:9090\"\ntls_listen = \"127.0.0.1:8443\"\ntls_cert = \"c\"\ntls_key = \"k\"";
    let sources = sources()
        .flag(&settings::CONFIG, "/n.toml")
        .file("/n.toml", file)
        .env("NORMAN_AKS_LISTEN", "")
        .env("NORMAN_AKS_DATABASE_URL_FILE", "");
    assert!(sources.config().metrics_listen.is_some());
    assert!(sources.config().tls.is_some());
    let sources = sources.env("NORMAN_AKS_METRICS_LISTEN", "off").env("NORMAN_AKS_TLS_LISTEN", "off");
    assert!(sources.config().metrics_listen.is_none());
    assert!(sources.config().tls.is_none());
}

#[test]
fn sqlite_file_survives_url_encoding() {
    for directory in ["/var/lib/norman aks", "./a%20b", "/x?y#z", "relative"] {
        let config = sources().flag(&settings::DATA_DIR, directory).config();
        assert_eq!(config.sqlite_file().unwrap(), Path::new(directory).join("norman-aks.db"));
    }
    for (url, path) in [
        ("sqlite:a.db", Some("a.db")),
        ("sqlite:///a.db", Some("/a.db")),
        ("sqlite://a%20b.db", Some("a b.db")),
        ("postgres://h/d", None),
    ] {
        let config = sources().flag(&settings::DATABASE_URL, url).config();
        assert_eq!(config.sqlite_file().as_deref(), path.map(Path::new), "{url}");
    }
}

#[test]
fn shipped_files_name_existing_settings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("Dockerfile"), root.join("README.md")];
    for directory in
        ["docs", "deploy/helm/norman-aks", "deploy/helm/norman-aks/ci", "deploy/helm/norman-aks/templates"]
    {
        files.extend(std::fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().path()));
    }
    let variables: Vec<_> = settings::ALL.iter().map(|setting| setting.variable()).collect();
    let mut count = 0;
    for file in files.iter().filter(|file| file.is_file()) {
        let text = std::fs::read_to_string(file).unwrap();
        for (start, prefix) in text.match_indices("NORMAN_AKS_") {
            let is_name_char = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            let suffix: String =
                text[start + prefix.len()..].chars().take_while(|c| is_name_char(*c)).collect();
            // A name that ends with `_`, as in `NORMAN_AKS_TLS_*`, is a prefix of several settings.
            let name = format!("{prefix}{suffix}");
            // The first name is a variable of the agent, which the manifest sets.
            let is_known = name == "NORMAN_AKS_API_SERVER"
                || CLIENT_VARIABLES.contains(&name.as_str())
                || variables
                    .iter()
                    .any(|variable| *variable == name || name.ends_with('_') && variable.starts_with(&name));
            assert!(is_known, "{name} in {}", file.display());
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}
