//! Whether the server has what it needs to work. Azure is not part of it: an Azure that is away is no reason to
//! take the server away too.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::secrets::Secrets;
use crate::store::{self, Store, instance};
use crate::vault;

/// A check that takes longer counts as failed.
const LIMIT: Duration = Duration::from_secs(2);

/// The interval of attempts while the disk is full: requests need no authentication, and each attempt writes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes that must fit on the disk: several pages of a database, and too random to be compressed.
const PROBE_LEN: usize = 32 * 1024;

/// A part that the server works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// `database`, `migrations`, `encryption-key`, `disk` or `log`.
    pub name: &'static str,
    /// Whether it can be used.
    pub ok: bool,
    /// Whether requests cannot be served without it.
    pub needed: bool,
    /// The remedy if it cannot be used.
    pub message: Option<&'static str>,
}

/// The checks behind `/readyz`.
#[derive(Clone)]
pub struct Readiness {
    store: Store,
    secrets: Secrets,
    disk: Arc<Mutex<Disk>>,
    log_is_full: fn() -> bool,
}

/// The state of the database's disk.
#[derive(Default)]
struct Disk {
    /// The count of errors up to which the disk is known to have space again.
    settled: u64,
    /// The last attempt, when it failed.
    failed: Option<Instant>,
}

impl Readiness {
    /// Checks of this database and these keys; `log_is_full` tells whether the log cannot be written.
    pub fn new(store: Store, secrets: Secrets, log_is_full: fn() -> bool) -> Self {
        let disk = Disk { settled: store::full_errors(), failed: None };
        Self { store, secrets, disk: Arc::new(Mutex::new(disk)), log_is_full }
    }

    /// Each part, and whether it can be used.
    pub async fn check(&self) -> [Check; 5] {
        let within = |check| tokio::time::timeout(LIMIT, check);
        let database = matches!(within(self.store.ping()).await, Ok(Ok(())));
        let migrated = async {
            let pending = tokio::time::timeout(LIMIT, self.store.pending_migrations()).await;
            matches!(pending, Ok(Ok(pending)) if pending.is_empty())
        };
        let migrations = database && migrated.await;
        let disk = !database || self.has_space().await;
        let needed = |name, ok| Check { name, ok, needed: true, message: None };
        let full = "the disk of the database is full: free space on it; nothing can be saved until then";
        let lost = "the log cannot be written, its disk is full: free space on it; lines are lost until then";
        let log = !(self.log_is_full)();
        [
            needed("database", database),
            needed("migrations", migrations),
            needed("encryption-key", !self.secrets.key_ids().is_empty()),
            Check { message: (!disk).then_some(full), ..needed("disk", disk) },
            // Requests are served all the same.
            Check { message: (!log).then_some(lost), needed: false, ..needed("log", log) },
        ]
    }

    /// Whether the database can write. It is tried only after a write failed for lack of space, until one succeeds.
    async fn has_space(&self) -> bool {
        // One attempt at a time.
        let mut disk = self.disk.lock().await;
        let errors = store::full_errors();
        if errors == disk.settled {
            return true;
        }
        if disk.failed.is_some_and(|failed| failed.elapsed() < PROBE_INTERVAL) {
            return false;
        }
        let filler = STANDARD.encode(vault::random::<PROBE_LEN>());
        let probe = tokio::time::timeout(LIMIT, instance::probe_space(&self.store, &filler)).await;
        let has_space = matches!(probe, Ok(Ok(())));
        disk.failed = (!has_space).then(Instant::now);
        if has_space {
            disk.settled = errors;
            tracing::info!("the disk of the database has space again");
        }
        has_space
    }
}
