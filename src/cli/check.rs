//! `check`: prints what would be used, and tries it without changing anything.

use std::time::Instant;

use super::error::chain;
use super::tokens::columns;
use super::{Error, print};
use crate::app;
use crate::config::{Config, Origin, Warning};
use crate::store::{Store, instance};

/// What a test found: fine, or what is wrong, in words.
type Found = Result<String, String>;

pub(super) async fn run(config: &Config, warnings: &[Warning]) -> Result<(), Error> {
    print(&settings(config))?;
    for warning in warnings {
        print(&format!("warning: {warning}"))?;
    }
    print("")?;
    let mut tests = vec![("database".to_owned(), database(config).await)];
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

async fn database(config: &Config) -> Found {
    if let Some(file) = config.sqlite_file()
        && !file.exists()
    {
        return Ok(format!("{} will be made at the first start", file.display()));
    }
    let started = Instant::now();
    let words = |error: &dyn std::error::Error| chain(error);
    let store = app::connect_store(config).await.map_err(|error| words(&error))?;
    let found = database_of(config, &store).await.map_err(|error| words(&error));
    store.close().await;
    let found = found?;
    found.map(|state| format!("{state} ({} ms)", started.elapsed().as_millis()))
}

async fn database_of(config: &Config, store: &Store) -> Result<Found, Error> {
    store.ping().await?;
    let pending = store.pending_migrations().await?;
    if !pending.is_empty() {
        let pending = pending.join(", ");
        return Ok(if config.database.migrate {
            Ok(format!("the next start will apply {pending}"))
        } else {
            Err(format!("run `norman-aks migrate` first: {pending} are missing"))
        });
    }
    let wanted = if config.sandbox.is_some() { "sandbox" } else { "azure" };
    Ok(match instance::get(store, "stamp").await? {
        Some(stamp) if stamp != wanted => {
            Err(format!("it belongs to a server for {stamp}, and this one is for {wanted}"))
        }
        _ => Ok("reachable, schema up to date".to_owned()),
    })
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
                    Err(error) => Err(chain(error.as_ref())),
                };
                (reach.host, found)
            })
            .collect(),
        Err(error) => vec![("azure".to_owned(), Err(chain(&error)))],
    }
}
