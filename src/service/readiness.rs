//! Whether the server has what it needs to work. Azure is not part of it: an Azure that is away is no reason to
//! take the server away too.

use std::time::Duration;

use super::secrets::Secrets;
use crate::store::Store;

/// A check that takes longer counts as failed.
const LIMIT: Duration = Duration::from_secs(2);

/// The checks behind `/readyz`.
#[derive(Clone)]
pub struct Readiness {
    store: Store,
    secrets: Secrets,
}

impl Readiness {
    /// Checks of this database and these keys.
    pub fn new(store: Store, secrets: Secrets) -> Self {
        Self { store, secrets }
    }

    /// Each part by name, and whether it can be used.
    pub async fn check(&self) -> [(&'static str, bool); 3] {
        let within = |check| tokio::time::timeout(LIMIT, check);
        let database = matches!(within(self.store.ping()).await, Ok(Ok(())));
        let migrated = async {
            let pending = tokio::time::timeout(LIMIT, self.store.pending_migrations()).await;
            matches!(pending, Ok(Ok(pending)) if pending.is_empty())
        };
        let migrations = database && migrated.await;
        [
            ("database", database),
            ("migrations", migrations),
            ("encryption-key", !self.secrets.key_ids().is_empty()),
        ]
    }
}
