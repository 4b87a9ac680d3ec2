//! The cached access to one cluster.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster_access::Access;

use super::error::Error;
use super::target::OwnedTarget;

/// The time for which cached access is used before the database is read again, because another server may have renewed it.
const RECHECK_MS: i64 = 60_000;
/// The same for access with a service account: shorter, because the account is about to be deleted.
const ACCOUNT_RECHECK_MS: i64 = 5_000;

/// The access that this server currently uses for a cluster.
#[derive(Clone, Debug)]
pub struct CurrentAccess {
    /// The access.
    pub access: Arc<Access>,
    /// Whether the access uses the service account that an earlier version of this server created.
    pub is_service_account: bool,
}

/// The cache entry of one cluster.
#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    /// Locked while access is loaded or renewed.
    pub(super) renewal: tokio::sync::Mutex<()>,
    /// The last check of whether the cluster rejects this server's access.
    pub(super) probe: tokio::sync::Mutex<Option<Probe>>,
}

pub(super) struct Probe {
    pub(super) access: Arc<Access>,
    pub(super) at_ms: i64,
    pub(super) is_rejected: bool,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) cached: Option<CachedAccess>,
    /// The error of the last renewal, and the time until which it is returned instead of a new attempt.
    pub(super) failure: Option<(Arc<Error>, i64)>,
    /// The time at which a rejected Entra token was last replaced.
    pub(super) token_replaced_ms: Option<i64>,
}

#[derive(Clone)]
pub(super) struct CachedAccess {
    pub(super) current: CurrentAccess,
    /// The cluster's credential when the access was cached; Entra tokens belong to it.
    credential_id: Option<String>,
    fresh_until_ms: i64,
}

impl Slot {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get_fresh(&self, credential_id: Option<&str>, now_ms: i64) -> Option<CurrentAccess> {
        let state = self.lock();
        let cached = state.cached.as_ref()?;
        (cached.fresh_until_ms > now_ms && cached.credential_id.as_deref() == credential_id)
            .then(|| cached.current.clone())
    }

    /// Caches access. Unchanged access keeps its `Arc`.
    pub(super) fn cache(
        &self,
        access: Access,
        is_service_account: bool,
        cluster: &OwnedTarget,
        now_ms: i64,
    ) -> CurrentAccess {
        let mut state = self.lock();
        let previous = state.cached.take().map(|cached| cached.current.access);
        let access =
            previous.filter(|previous| previous.is_same_as(&access)).unwrap_or_else(|| Arc::new(access));
        let current = CurrentAccess { access, is_service_account };
        let recheck_ms = if is_service_account { ACCOUNT_RECHECK_MS } else { RECHECK_MS };
        state.cached = Some(CachedAccess {
            current: current.clone(),
            credential_id: cluster.credential_id.clone(),
            fresh_until_ms: now_ms + recheck_ms,
        });
        current
    }
}
