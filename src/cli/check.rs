//! `check`: prints the effective settings and tests them without changing anything.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Instant;

use aks::shell;
use azure::Cloud;
use zeroize::Zeroizing;

use super::error::{Error, chain};
use super::output::{columns, print};
use crate::app;
use crate::config::{self, Config, Origin, Warning};
use crate::service::secrets::{self, Secrets};
use crate::store::{self, Store};
use crate::vault::KeyRing;

/// A success or failure message.
type Outcome = Result<String, String>;

/// A test and its outcome.
struct Test {
    name: String,
    outcome: Outcome,
    /// Whether the command fails if this test fails.
    is_required: bool,
}

impl Test {
    fn new(name: impl Into<String>, outcome: Outcome) -> Self {
        Self { name: name.into(), outcome, is_required: true }
    }
}

pub(super) async fn run(config: &Config, warnings: &[Warning]) -> Result<(), Error> {
    print(&effective_settings(config))?;
    for warning in warnings {
        print(&format!("warning: {warning}"))?;
    }
    print("")?;
    let tests = match &config.rancher {
        Some(rancher) => run_tests_beside_rancher(config, rancher).await,
        None => run_tests(config).await,
    };
    let mut failed = 0;
    for Test { name, outcome, is_required } in tests {
        let (label, message) = match outcome {
            Ok(message) => ("ok    ", message),
            Err(message) if is_required => {
                failed += 1;
                ("FAILED", message)
            }
            Err(message) => ("note  ", message),
        };
        print(&format!("{label}  {name}: {message}"))?;
    }
    if failed > 0 { Err(Error::Check(failed)) } else { Ok(()) }
}

async fn run_tests(config: &Config) -> Vec<Test> {
    let database = DatabaseReport::read(config).await;
    let mut tests =
        vec![Test::new("database", database.database), Test::new("encryption key", database.encryption_key)];
    tests.extend(check_certificate(config, database.cacerts.as_deref()));
    tests.extend(check_connectivity(config, database.environments.as_ref()).await);
    tests
}

/// Runs the tests of a server alongside Rancher, which has no database. The test of Rancher fails, too, if requests to Rancher
/// come back to this server.
async fn run_tests_beside_rancher(config: &Config, settings: &config::Rancher) -> Vec<Test> {
    let started = Instant::now();
    let outcome = match app::rancher_client(settings) {
        Err(error) => Err(chain(&error)),
        Ok(rancher) => match rancher.probe().await {
            Ok(()) => Ok(format!("responds ({} ms)", started.elapsed().as_millis())),
            Err(error) => Err(chain(&error)),
        },
    };
    let mut tests = vec![Test::new("rancher", outcome)];
    tests.extend(check_connectivity(config, None).await);
    tests
}

fn effective_settings(config: &Config) -> String {
    columns(config.describe().iter().map(|setting| {
        let origin = match &setting.origin {
            Origin::Default => String::new(),
            origin => format!("({origin})"),
        };
        [setting.name.clone(), setting.value.clone(), origin]
    }))
}

/// The tests that use the database, and the stored data that other tests need.
struct DatabaseReport {
    database: Outcome,
    encryption_key: Outcome,
    /// The Azure environments of stored credentials, if known.
    environments: Option<BTreeSet<&'static str>>,
    /// The value of the setting `cacerts`.
    cacerts: Option<String>,
}

impl DatabaseReport {
    async fn read(config: &Config) -> Self {
        match config.sqlite_file() {
            // Connecting would create the file.
            Some(file) if !file.exists() => Self::without_data(config, Ok(created_at_first_start(&file))),
            _ => {
                let started = Instant::now();
                match app::connect_store(config).await {
                    Ok(store) => Self::from_store(config, store, started).await,
                    Err(error) => Self::without_data(config, Err(chain(&error))),
                }
            }
        }
    }

    fn without_data(config: &Config, database: Outcome) -> Self {
        Self { database, encryption_key: check_key_file(config), environments: None, cacerts: None }
    }

    async fn from_store(config: &Config, store: Store, started: Instant) -> Self {
        let schema = Schema::read(config, &store).await;
        let database = match &schema {
            Ok(schema) => schema.outcome(config),
            Err(error) => Err(chain(error)),
        };
        let database = database.map(|message| format!("{message} ({} ms)", started.elapsed().as_millis()));
        let mut report = Self::without_data(config, database);
        if let Ok(Schema::Current) = schema {
            report.encryption_key = check_encryption_key(config, &store).await;
            report.environments = app::used_environments(&store).await.ok();
            let settings = store::settings::list(&store).await.unwrap_or_default();
            report.cacerts = settings.into_iter().find(|row| row.name == "cacerts").map(|row| row.value);
        }
        store.close().await;
        report
    }
}

/// The state of the schema of a database.
enum Schema {
    Current,
    /// Names of the migrations that are not applied.
    Pending(Vec<String>),
    /// The database belongs to a server with the other backend. Contains the name of that backend.
    Foreign(String),
}

impl Schema {
    async fn read(config: &Config, store: &Store) -> Result<Self, store::Error> {
        store.ping().await?;
        store.reject_newer_schema().await?;
        let pending = store.pending_migrations().await?;
        if !pending.is_empty() {
            return Ok(Self::Pending(pending));
        }
        Ok(match store::instance::get(store, "stamp").await? {
            Some(stamp) if stamp != app::azure_backend(config).to_string() => Self::Foreign(stamp),
            _ => Self::Current,
        })
    }

    fn outcome(&self, config: &Config) -> Outcome {
        match self {
            Self::Current => Ok("reachable, schema up to date".to_owned()),
            Self::Pending(migrations) if config.database.migrate => {
                Ok(format!("reachable, the next start applies {}", migrations.join(", ")))
            }
            Self::Pending(migrations) => {
                Err(format!("{} is missing; run `norman-aks migrate`", migrations.join(", ")))
            }
            Self::Foreign(stamp) => {
                let expected = app::azure_backend(config);
                Err(store::Error::WrongBackend { found: stamp.clone(), expected }.to_string())
            }
        }
    }
}

fn created_at_first_start(file: &std::path::Path) -> String {
    format!("{} will be created at the first start", file.display())
}

/// Checks that the key file contains all keys that the database requires.
async fn check_encryption_key(config: &Config, store: &Store) -> Outcome {
    match Secrets::inspect(&config.encryption_key_file, store).await {
        Ok(ids) => Ok(format!("{} is active, no key is missing", ids.first().map_or("", String::as_str))),
        Err(secrets::Error::NoFile { .. }) => check_key_file(config),
        Err(error) => Err(chain(&error)),
    }
}

/// Checks the key file without the database.
fn check_key_file(config: &Config) -> Outcome {
    let path = &config.encryption_key_file;
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound && config.sqlite_file().is_some() => {
            return Ok(created_at_first_start(path));
        }
        Err(error) => {
            return Err(format!(
                "{}: {error}; create one with `norman-aks key generate --append {}`",
                path.display(),
                shell::quote(&path.display().to_string())
            ));
        }
    };
    match KeyRing::parse(&text) {
        Ok(ring) => Ok(format!("{} is active", ring.ids().next().unwrap_or_default())),
        Err(error) => Err(format!("{}: {}", path.display(), chain(&error))),
    }
}

/// Tests the server certificate, and whether kubeconfigs contain its authority.
fn check_certificate(config: &Config, cacerts: Option<&str>) -> Option<Test> {
    let tls = config.tls.as_ref()?;
    let certificate_test = |outcome| Test::new("TLS certificate", outcome);
    Some(match app::check_tls(tls) {
        Err(error) => certificate_test(Err(chain(&error))),
        Ok(_) if cacerts.is_some_and(|pem| !pem.trim().is_empty()) => {
            certificate_test(Ok("kubeconfigs contain the authority of the setting cacerts".to_owned()))
        }
        Ok(authority) => match (authority.missing_authority_warning(tls), authority) {
            (Some(warning), _) => Test { is_required: false, ..certificate_test(Err(warning)) },
            (None, app::Authority::Private(_)) => {
                certificate_test(Ok("kubeconfigs contain its authority".to_owned()))
            }
            (None, _) => certificate_test(Ok("issued by an authority that the system trusts".to_owned())),
        },
    })
}

/// Tests the connections to Azure. Only the clouds of stored credentials are required; if those are unknown, the public
/// cloud.
async fn check_connectivity(config: &Config, environments: Option<&BTreeSet<&'static str>>) -> Vec<Test> {
    if config.sandbox.is_some() {
        let simulated = app::check_features(config).map(|()| "simulated".to_owned());
        return vec![Test::new("azure", simulated.map_err(|error| chain(&error)))];
    }
    let hosts = match app::check_hosts().await {
        Ok(hosts) => hosts,
        Err(error) => return vec![Test::new("azure", Err(chain(&error)))],
    };
    let is_used = |environment: &str| match environments {
        Some(environments) => environments.contains(environment),
        None => environment == Cloud::Public.environment(),
    };
    let tests = hosts.into_iter().map(|check| {
        let is_required = is_used(check.environment);
        let note = if is_required {
            String::new()
        } else {
            format!(" (no stored credential is for {})", check.environment)
        };
        let outcome = match check.outcome {
            Ok(time) => Ok(format!("responds ({} ms)", time.as_millis())),
            Err(error) => Err(with_innermost_cause(&error) + &note),
        };
        Test { name: check.host, outcome, is_required }
    });
    tests.collect()
}

/// The message of an error and of its innermost cause, usually an error of the operating system, on one line.
fn with_innermost_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let (message, cause) = (error.to_string(), innermost.to_string());
    let text = if message.ends_with(&cause) { message } else { format!("{message}: {cause}") };
    text.replace('\n', " ")
}
