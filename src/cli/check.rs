//! `check`: prints what would be used, and tries it without changing anything.

use std::io::ErrorKind;
use std::time::Instant;

use zeroize::Zeroizing;

use super::error::chain;
use super::tokens::columns;
use super::{Error, print};
use crate::app;
use crate::clock::Clock;
use crate::config::{Config, Origin, Warning};
use crate::service::secrets::{self, Secrets};
use crate::store::{self, Stamp, Store};
use crate::vault::KeyRing;

/// What a test found: fine, or what is wrong, in words.
type Found = Result<String, String>;

pub(super) async fn run(config: &Config, warnings: &[Warning]) -> Result<(), Error> {
    print(&settings(config))?;
    for warning in warnings {
        print(&format!("warning: {warning}"))?;
    }
    print("")?;
    let mut tests = Vec::from(stored(config).await);
    tests.extend(reach(config).await);
    let failed = tests.iter().filter(|(_, found)| found.is_err()).count();
    for (name, found) in tests {
        let (mark, words) = match found {
            Ok(words) => ("ok    ", words),
            Err(words) => ("FAILED", words),
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

/// Database and key; the key is compared with what the database needs when that can be asked.
async fn stored(config: &Config) -> [(String, Found); 2] {
    let named = |database, key| [("database".to_owned(), database), ("encryption key".to_owned(), key)];
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
    let key = match state {
        Ok(Schema::Current) => key(config, &store).await,
        _ => key_file(config),
    };
    store.close().await;
    named(database, key)
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
                Err(format!("it belongs to a server for {stamp}, and this one is for {}", wanted(config)))
            }
        }
    }
}

async fn schema(config: &Config, store: &Store) -> Result<Schema, store::Error> {
    store.ping().await?;
    let pending = store.pending_migrations().await?;
    if !pending.is_empty() {
        return Ok(Schema::Pending(pending));
    }
    Ok(match store::instance::get(store, "stamp").await? {
        Some(stamp) if stamp != wanted(config) => Schema::Foreign(stamp),
        _ => Schema::Current,
    })
}

fn wanted(config: &Config) -> String {
    if config.sandbox.is_some() { Stamp::Sandbox } else { Stamp::Azure }.to_string()
}

async fn key(config: &Config, store: &Store) -> Found {
    let path = &config.encryption_key_file;
    match Secrets::open(path, false, store.clone(), Clock::system()).await {
        Ok((secrets, _)) => {
            Ok(format!("{} is active, no other is missing", active(secrets.key_ids().first())))
        }
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
                "{0}: {error}; make one with `norman-aks key generate --append {0}`",
                path.display()
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

async fn reach(config: &Config) -> Vec<(String, Found)> {
    if config.sandbox.is_some() {
        return vec![("azure".to_owned(), Ok("built in".to_owned()))];
    }
    match app::check_reach(config).await {
        Ok(hosts) => hosts
            .into_iter()
            .map(|reach| {
                let found = match reach.outcome {
                    Ok(time) => Ok(format!("answers ({} ms)", time.as_millis())),
                    Err(error) => Err(chain(&error)),
                };
                (reach.host, found)
            })
            .collect(),
        Err(error) => vec![("azure".to_owned(), Err(chain(&error)))],
    }
}
