//! `migrate`: migrates the database schema.

use super::error::Error;
use super::output::print;
use crate::app;
use crate::config::Config;

/// Migrates the schema and prints the migrations that were applied.
pub(super) async fn run(config: &Config) -> Result<(), Error> {
    let store = app::connect_store(config).await?;
    let migrated = store.migrate().await?;
    store.close().await;
    if migrated.applied.is_empty() {
        print("The database schema is up to date.")
    } else {
        print(&format!("Applied: {}", migrated.applied.join(", ")))
    }
}
