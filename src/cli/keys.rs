//! `key generate` and `key rotate`: the encryption keys of stored secrets.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clock::Clock;
use secrecy::ExposeSecret as _;

use super::error::Error;
use super::output::print;
use super::runtime::run_on_database;
use crate::config::{DatabaseScope, SettingFlags};
use crate::service::name_list::format_count;
use crate::service::secrets::{self, Rotation, Secrets};
use crate::vault::KeyRing;

/// The commands for encryption keys.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Print a new key as a line for the key file.
    Generate(Generate),
    /// Encrypt every stored secret with the active key, so that older keys can be removed from the file.
    ///
    /// Fails while a running server does not know the active key.
    Rotate(SettingFlags<DatabaseScope>),
}

#[derive(Args)]
pub(super) struct Generate {
    /// Insert the key into this file as the first line, which is the active key; the file is created if it is missing
    #[arg(long, value_name = "FILE")]
    append: Option<PathBuf>,
}

pub(super) fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Generate(Generate { append: None }) => print(KeyRing::generate().expose_secret()),
        Command::Generate(Generate { append: Some(path) }) => {
            print(&format!("{} is the active key now", secrets::append_key(&path)?))
        }
        Command::Rotate(settings) => {
            let Rotation { key_id, rewrapped, still_needed } =
                run_on_database(settings, async |config, store| {
                    let file = &config.encryption_key_file;
                    let (secrets, _) = Secrets::open(file, false, store.clone(), Clock::system()).await?;
                    Ok(secrets.rotate().await?)
                })?;
            print(&format!("re-encrypted {} with {key_id}", format_count(rewrapped, "secret")))?;
            if still_needed.is_empty() { Ok(()) } else { Err(Error::StillNeeded(still_needed)) }
        }
    }
}
