//! `migrate`.

use super::{Error, print};
use crate::app;
use crate::config::Config;

/// Brings the schema up to date and prints what that took.
pub(super) async fn migrate(config: &Config) -> Result<(), Error> {
    let store = app::connect_store(config).await?;
    let migrated = store.migrate().await?;
    store.close().await;
    if migrated.applied.is_empty() {
        print("The database schema is up to date.")
    } else {
        print(&format!("Applied: {}", migrated.applied.join(", ")))
    }
}
