//! What is cached about access to one cluster.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster_access::Access;

use super::{Error, Known, Place};

/// How long cached access is used without looking at the database: another server may have renewed it. A service
/// account is about to be removed, so that it is looked at more often.
const RECHECK_MS: i64 = 60_000;
const ACCOUNT_RECHECK_MS: i64 = 5_000;

/// What is cached about one cluster.
#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    /// Held while access is loaded or renewed.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// The last time that the cluster was asked whether it rejects access.
    pub(super) probe: tokio::sync::Mutex<Option<Probe>>,
}

pub(super) struct Probe {
    pub(super) access: Arc<Access>,
    pub(super) at_ms: i64,
    pub(super) is_rejected: bool,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) held: Option<Held>,
    /// Why the last renewal did not help.
    pub(super) failure: Option<(Arc<Error>, i64)>,
    /// When Entra was last asked for another token because one was rejected.
    pub(super) token_replaced_ms: Option<i64>,
}

#[derive(Clone)]
pub(super) struct Held {
    pub(super) known: Known,
    /// Tokens of Entra belong to a credential.
    credential_id: Option<String>,
    until_ms: i64,
}

impl Slot {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fresh(&self, credential_id: Option<&str>, now_ms: i64) -> Option<Known> {
        let state = self.lock();
        let held = state.held.as_ref()?;
        (held.until_ms > now_ms && held.credential_id.as_deref() == credential_id).then(|| held.known.clone())
    }

    /// Keeps access; what has not changed keeps its place in memory, so that it can be compared by it.
    pub(super) fn keep(&self, access: Access, is_service_account: bool, place: &Place, now_ms: i64) -> Known {
        let mut state = self.lock();
        let before = state.held.take().map(|held| held.known.access);
        let access = before.filter(|before| before.is_same_as(&access)).unwrap_or_else(|| Arc::new(access));
        let known = Known { access, is_service_account };
        let recheck_ms = if is_service_account { ACCOUNT_RECHECK_MS } else { RECHECK_MS };
        state.held = Some(Held {
            known: known.clone(),
            credential_id: place.credential_id.clone(),
            until_ms: now_ms + recheck_ms,
        });
        known
    }
}
