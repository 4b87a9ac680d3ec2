//! `key generate`, `key rotate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clock::Clock;
use secrecy::ExposeSecret as _;

use super::{Error, briefly, load_quietly, needs_database, print};
use crate::app;
use crate::config::{Config, DataOnly, SettingFlags};
use crate::service::secrets::{self, Rotation, Secrets};
use crate::vault::KeyRing;

/// What can be done with encryption keys.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Print a new key as a line for the key file.
    Generate(Generate),
    /// Seal every stored secret with the active key, so that older keys can be removed from the file.
    ///
    /// Refused while a running server does not know the active key.
    Rotate(SettingFlags<DataOnly>),
}

#[derive(Args)]
pub(super) struct Generate {
    /// Put the key into this file instead, as the first and so the active one; the file is made if it is missing
    #[arg(long, value_name = "FILE")]
    append: Option<PathBuf>,
}

pub(super) fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Generate(Generate { append: None }) => print(KeyRing::generate().expose_secret()),
        Command::Generate(Generate { append: Some(path) }) => {
            print(&format!("{} is the active key now.", secrets::append_key(&path)?))
        }
        Command::Rotate(settings) => {
            let config = load_quietly(&settings.into_flags())?;
            briefly(&config, rotate(&config))
        }
    }
}

async fn rotate(config: &Config) -> Result<(), Error> {
    needs_database(config)?;
    let store = app::open_store(config).await?;
    let rotated =
        match Secrets::open(&config.encryption_key_file, false, store.clone(), Clock::system()).await {
            Ok((secrets, _)) => secrets.rotate().await,
            Err(error) => Err(error),
        };
    store.close().await;
    let Rotation { key_id, rewrapped, still_needed } = rotated?;
    print(&format!("{rewrapped} secrets were sealed with {key_id}."))?;
    if still_needed.is_empty() { Ok(()) } else { Err(Error::StillNeeded(still_needed)) }
}
