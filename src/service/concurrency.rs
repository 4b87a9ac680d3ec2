//! Concurrency limits: [`ConcurrencyLimit`] rejects requests over the limit, [`CallerPermits`] makes them wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A concurrency limit, in total and per user.
pub(super) struct ConcurrencyLimit {
    max_total: usize,
    max_per_user: usize,
    total: Arc<Semaphore>,
    by_user: Mutex<HashMap<String, usize>>,
}

impl ConcurrencyLimit {
    pub(super) fn new(max_total: usize, max_per_user: usize) -> Arc<Self> {
        let total = Arc::new(Semaphore::new(max_total));
        Arc::new(Self { max_total, max_per_user, total, by_user: Mutex::default() })
    }

    /// Acquires a permit for a user without waiting; `None` if a limit is reached.
    pub(super) fn try_acquire(self: &Arc<Self>, user_id: &str) -> Option<Permit> {
        let total_permit = Arc::clone(&self.total).try_acquire_owned().ok()?;
        let mut by_user = self.lock_by_user();
        let in_use = by_user.entry(user_id.to_owned()).or_default();
        if *in_use >= self.max_per_user {
            return None;
        }
        *in_use += 1;
        drop(by_user);
        Some(Permit { limit: Arc::clone(self), user_id: user_id.to_owned(), _total: total_permit })
    }

    /// The number of permits in use.
    pub(super) fn in_use(&self) -> usize {
        self.max_total - self.total.available_permits()
    }

    fn lock_by_user(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit of a [`ConcurrencyLimit`], released when it is dropped.
pub(super) struct Permit {
    limit: Arc<ConcurrencyLimit>,
    user_id: String,
    _total: OwnedSemaphorePermit,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut by_user = self.limit.lock_by_user();
        if let Some(in_use) = by_user.get_mut(&self.user_id) {
            *in_use -= 1;
            if *in_use == 0 {
                by_user.remove(&self.user_id);
            }
        }
    }
}

/// The maximum number of callers whose semaphores are cached.
const MAX_CALLERS: u64 = 10_000;
/// The time after its last use for which a semaphore is cached.
const CALLER_IDLE_TTL: Duration = Duration::from_mins(10);

/// A limit on concurrent requests per caller. Clones share the permits.
#[derive(Clone)]
pub(super) struct CallerPermits {
    max_per_caller: usize,
    by_caller: Cache<String, Arc<Semaphore>>,
}

impl CallerPermits {
    pub(super) fn new(max_per_caller: usize) -> Self {
        let by_caller = Cache::builder().max_capacity(MAX_CALLERS).time_to_idle(CALLER_IDLE_TTL).build();
        Self { max_per_caller, by_caller }
    }

    /// Waits for one of the caller's permits. Always `Some`, because the semaphores are never closed.
    pub(super) async fn acquire(&self, permit_key: &str) -> Option<OwnedSemaphorePermit> {
        let permits =
            self.by_caller.get_with_by_ref(permit_key, || Arc::new(Semaphore::new(self.max_per_caller)));
        permits.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn callers_wait_for_their_own_permits_only() {
        let permits = CallerPermits::new(1);
        let held = permits.acquire("a").await;
        assert!(permits.acquire("b").await.is_some());
        let waiting = tokio::spawn({
            let permits = permits.clone();
            async move { permits.acquire("a").await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        assert!(waiting.await.unwrap());
    }

    #[test]
    fn limits_hold_until_permits_are_released() {
        let limit = ConcurrencyLimit::new(3, 2);
        let permits_of_a: Vec<_> = (0..2).filter_map(|_| limit.try_acquire("a")).collect();
        assert!(limit.try_acquire("a").is_none(), "the limit per user");
        let permit_of_b = limit.try_acquire("b");
        assert!(permit_of_b.is_some());
        assert!(limit.try_acquire("c").is_none(), "the limit in total");
        assert_eq!(limit.in_use(), 3);
        drop(permits_of_a);
        assert!(limit.try_acquire("a").is_some());
        drop(permit_of_b);
        assert_eq!((limit.in_use(), limit.lock_by_user().len()), (0, 0));
    }
}
