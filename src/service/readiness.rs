//! Checks whether the server can work. Azure is not checked: if Azure is unavailable, the server must stay available.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::secrets::Secrets;
use crate::store::{self, Store, instance};
use crate::vault;

/// The time limit of a check; a check that exceeds it has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The minimum interval between write attempts while the disk is full, because anyone may call `/readyz`.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The number of random bytes in a write attempt: several database pages, which cannot be compressed.
const PROBE_LEN: usize = 32 * 1024;

/// The state of a dependency of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// `database`, `migrations`, `encryption-key`, `disk` or `log`.
    pub name: &'static str,
    /// Whether it works.
    pub ok: bool,
    /// Whether the server needs it to serve requests.
    pub needed: bool,
    /// The remedy if it does not work.
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
    /// The number of disk-full errors when a write last succeeded.
    resolved_errors: u64,
    /// The time of the last write attempt, if it failed.
    failed_at: Option<Instant>,
}

impl Readiness {
    /// Checks this database and these keys; `log_is_full` returns whether the log cannot be written.
    pub fn new(store: Store, secrets: Secrets, log_is_full: fn() -> bool) -> Self {
        let disk = Disk { resolved_errors: store::disk_full_errors(), failed_at: None };
        Self { store, secrets, disk: Arc::new(Mutex::new(disk)), log_is_full }
    }

    /// Checks each dependency.
    pub async fn check(&self) -> [Check; 5] {
        let within = |check| tokio::time::timeout(CHECK_TIMEOUT, check);
        let database_ok = matches!(within(self.store.ping()).await, Ok(Ok(())));
        let is_migrated = async {
            let pending = tokio::time::timeout(CHECK_TIMEOUT, self.store.pending_migrations()).await;
            matches!(pending, Ok(Ok(pending)) if pending.is_empty())
        };
        let migrations_ok = database_ok && is_migrated.await;
        let disk_ok = !database_ok || self.has_space().await;
        let new_check = |name, ok| Check { name, ok, needed: true, message: None };
        let disk_remedy =
            "the disk of the database is full: free space on it; nothing can be saved until then";
        let log_remedy =
            "the log cannot be written because its disk is full; free space on it; lines are lost until then";
        let log_ok = !(self.log_is_full)();
        [
            new_check("database", database_ok),
            new_check("migrations", migrations_ok),
            new_check("encryption-key", !self.secrets.key_ids().is_empty()),
            Check { message: (!disk_ok).then_some(disk_remedy), ..new_check("disk", disk_ok) },
            // Requests are served without the log.
            Check { message: (!log_ok).then_some(log_remedy), needed: false, ..new_check("log", log_ok) },
        ]
    }

    /// Whether the disk of the database has space. Tries a write only if an earlier one found the disk full, until a write
    /// succeeds.
    async fn has_space(&self) -> bool {
        // The lock ensures that there is only one attempt at a time.
        let mut disk = self.disk.lock().await;
        let errors = store::disk_full_errors();
        if errors == disk.resolved_errors {
            return true;
        }
        if disk.failed_at.is_some_and(|failed_at| failed_at.elapsed() < PROBE_INTERVAL) {
            return false;
        }
        let filler = STANDARD.encode(vault::random::<PROBE_LEN>());
        let probe = tokio::time::timeout(CHECK_TIMEOUT, instance::probe_space(&self.store, &filler)).await;
        let has_space = matches!(probe, Ok(Ok(())));
        disk.failed_at = (!has_space).then(Instant::now);
        if has_space {
            disk.resolved_errors = errors;
            tracing::info!("the disk of the database has space again");
        }
        has_space
    }
}
