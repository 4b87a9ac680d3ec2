//! `check`: prints what would be used, and tries it without changing anything.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Instant;

use aks::shell;
use azure::Cloud;
use zeroize::Zeroizing;

use super::error::chain;
use super::tokens::columns;
use super::{Error, print};
use crate::app;
use crate::config::{Config, Origin, Warning};
use crate::service::secrets::{self, Secrets};
use crate::store::{self, Store};
use crate::vault::KeyRing;

/// What a test found: fine, or what is wrong, in words.
type Found = Result<String, String>;

/// A cloud that nobody uses need not be reached.
enum Weight {
    Needed,
    Unused,
}

pub(super) async fn run(config: &Config, warnings: &[Warning]) -> Result<(), Error> {
    print(&settings(config))?;
    for warning in warnings {
        print(&format!("warning: {warning}"))?;
    }
    print("")?;
    let (stored, used, cacerts) = stored(config).await;
    let tests = stored.into_iter().map(|(name, found)| (name, found, Weight::Needed));
    let tests = tests.chain(certificate(config, cacerts.as_deref())).chain(reach(config, used).await);
    let mut failed = 0;
    for (name, found, weight) in tests {
        let (mark, words) = match (found, weight) {
            (Ok(words), _) => ("ok    ", words),
            (Err(words), Weight::Unused) => ("note  ", words),
            (Err(words), Weight::Needed) => {
                failed += 1;
                ("FAILED", words)
            }
        };
        print(&format!("{mark}  {name}: {words}"))?;
    }
    if failed > 0 { Err(Error::Check(failed)) } else { Ok(()) }
}

fn settings(config: &Config) -> String {
    columns(config.describe().iter().map(|line| {
        let origin = match &line.origin {
            Origin::Default => String::new(),
            origin => format!("({origin})"),
        };
        [line.name.clone(), line.value.clone(), origin]
    }))
}

/// The environments that stored credentials are for; `None` when nobody can tell.
type Used = Option<BTreeSet<&'static str>>;

/// Database and key; the key is compared with what the database needs when that can be asked. And what the database says
/// about environments and the setting `cacerts`.
async fn stored(config: &Config) -> ([(String, Found); 2], Used, Option<String>) {
    let tests = |database, key| [("database".to_owned(), database), ("encryption key".to_owned(), key)];
    let named = |database, key| (tests(database, key), None, None);
    if let Some(file) = config.sqlite_file()
        && !file.exists()
    {
        // Connecting would make it.
        let database = Ok(format!("{} will be made at the first start", file.display()));
        return named(database, key_file(config));
    }
    let started = Instant::now();
    let store = match app::connect_store(config).await {
        Ok(store) => store,
        Err(error) => return named(Err(chain(&error)), key_file(config)),
    };
    let state = schema(config, &store).await;
    let database = match &state {
        Ok(schema) => {
            schema.words(config).map(|words| format!("{words} ({} ms)", started.elapsed().as_millis()))
        }
        Err(error) => Err(chain(&error)),
    };
    let (key, used, cacerts) = match state {
        Ok(Schema::Current) => {
            let rows = store::settings::list(&store).await.unwrap_or_default();
            let cacerts = rows.into_iter().find(|row| row.name == "cacerts").map(|row| row.value);
            (key(config, &store).await, app::used_environments(&store).await.ok(), cacerts)
        }
        _ => (key_file(config), None, None),
    };
    store.close().await;
    (tests(database, key), used, cacerts)
}

/// What is in a database that answers.
enum Schema {
    Current,
    Pending(Vec<String>),
    Foreign(String),
}

impl Schema {
    fn words(&self, config: &Config) -> Found {
        match self {
            Self::Current => Ok("reachable, schema up to date".to_owned()),
            Self::Pending(steps) if config.database.migrate => {
                Ok(format!("reachable, the next start will apply {}", steps.join(", ")))
            }
            Self::Pending(steps) => Err(format!("{} is missing; run `norman-aks migrate`", steps.join(", "))),
            Self::Foreign(stamp) => {
                let expected = app::stamp(config);
                Err(store::Error::WrongKind { found: stamp.clone(), expected }.to_string())
            }
        }
    }
}

async fn schema(config: &Config, store: &Store) -> Result<Schema, store::Error> {
    store.ping().await?;
    store.reject_newer_schema().await?;
    let pending = store.pending_migrations().await?;
    if !pending.is_empty() {
        return Ok(Schema::Pending(pending));
    }
    Ok(match store::instance::get(store, "stamp").await? {
        Some(stamp) if stamp != app::stamp(config).to_string() => Schema::Foreign(stamp),
        _ => Schema::Current,
    })
}

async fn key(config: &Config, store: &Store) -> Found {
    let path = &config.encryption_key_file;
    match Secrets::inspect(path, store).await {
        Ok(ids) => Ok(format!("{} is active, no other is missing", active(ids.first()))),
        Err(secrets::Error::NoFile { .. }) => key_file(config),
        Err(error) => Err(chain(&error)),
    }
}

/// The key file by itself.
fn key_file(config: &Config) -> Found {
    let path = &config.encryption_key_file;
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound && config.sqlite_file().is_some() => {
            return Ok(format!("{} will be made at the first start", path.display()));
        }
        Err(error) => {
            return Err(format!(
                "{}: {error}; make one with `norman-aks key generate --append {}`",
                path.display(),
                shell::quoted(&path.display().to_string())
            ));
        }
    };
    match KeyRing::parse(&text) {
        Ok(ring) => Ok(format!("{} is active", active(ring.ids().next()))),
        Err(error) => Err(format!("{}: {}", path.display(), chain(&error))),
    }
}

fn active(id: Option<impl AsRef<str>>) -> String {
    id.map_or_else(String::new, |id| id.as_ref().to_owned())
}

/// The server's own certificate, and whether kubeconfigs say what to trust for it.
fn certificate(config: &Config, cacerts: Option<&str>) -> Option<(String, Found, Weight)> {
    let tls = config.tls.as_ref()?;
    let (found, weight) = match app::check_tls(tls) {
        Err(error) => (Err(chain(&error)), Weight::Needed),
        Ok(_) if cacerts.is_some_and(|pem| !pem.trim().is_empty()) => {
            (Ok("kubeconfigs name the authority of the setting cacerts".to_owned()), Weight::Needed)
        }
        Ok(authority) => match (authority.remedy(tls), authority) {
            (Some(remedy), _) => (Err(remedy), Weight::Unused),
            (None, app::Authority::Own(_)) => {
                (Ok("kubeconfigs name its authority".to_owned()), Weight::Needed)
            }
            (None, _) => (Ok("leads to an authority of the system".to_owned()), Weight::Needed),
        },
    };
    Some(("TLS certificate".to_owned(), found, weight))
}

/// The hosts of Azure. Without a database that tells, the public cloud is the one that counts.
async fn reach(config: &Config, used: Used) -> Vec<(String, Found, Weight)> {
    if config.sandbox.is_some() {
        return vec![("azure".to_owned(), Ok("built in".to_owned()), Weight::Needed)];
    }
    let hosts = match app::check_reach().await {
        Ok(hosts) => hosts,
        Err(error) => return vec![("azure".to_owned(), Err(chain(&error)), Weight::Needed)],
    };
    let is_used = |environment: &str| match &used {
        Some(used) => used.contains(environment),
        None => environment == Cloud::Public.environment(),
    };
    let tests = hosts.into_iter().map(|reach| {
        let weight = if is_used(reach.environment) { Weight::Needed } else { Weight::Unused };
        let found = match (reach.outcome, &weight) {
            (Ok(time), _) => Ok(format!("answers ({} ms)", time.as_millis())),
            (Err(error), Weight::Needed) => Err(cause(&error)),
            (Err(error), Weight::Unused) => {
                Err(format!("{} (no stored credential is for {})", cause(&error), reach.environment))
            }
        };
        (reach.host, found, weight)
    });
    tests.collect()
}

/// Why a host cannot be reached, on one line: what failed, and the last cause, which is the system's.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let (said, because) = (error.to_string(), innermost.to_string());
    let text = if said.ends_with(&because) { said } else { format!("{said}: {because}") };
    text.replace('\n', " ")
}
