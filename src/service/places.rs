//! Concurrency limits for long requests, in all and for each user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A limit in all and for each user.
pub(super) struct Places {
    all: usize,
    of_one: usize,
    free: Arc<Semaphore>,
    by_user: Mutex<HashMap<String, usize>>,
}

impl Places {
    pub(super) fn new(all: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { all, of_one, free: Arc::new(Semaphore::new(all)), by_user: Mutex::default() })
    }

    /// A permit for a user; `None` if a limit is reached.
    pub(super) fn take(self: &Arc<Self>, user_id: &str) -> Option<Place> {
        let among_all = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let mut by_user = self.by_user();
        let own = by_user.entry(user_id.to_owned()).or_default();
        if *own >= self.of_one {
            return None;
        }
        *own += 1;
        drop(by_user);
        Some(Place { places: Arc::clone(self), user_id: user_id.to_owned(), _among_all: among_all })
    }

    /// The number of permits in use.
    pub(super) fn taken(&self) -> usize {
        self.all - self.free.available_permits()
    }

    fn by_user(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit, released when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    user_id: String,
    _among_all: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_user = self.places.by_user();
        if let Some(own) = by_user.get_mut(&self.user_id) {
            *own -= 1;
            if *own == 0 {
                by_user.remove(&self.user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_per_user_holds_and_permits_are_released() {
        let places = Places::new(3, 2);
        let own: Vec<_> = (0..2).filter_map(|_| places.take("a")).collect();
        assert!(places.take("a").is_none());
        let other = places.take("b");
        assert!(other.is_some() && places.take("c").is_none());
        assert_eq!(places.taken(), 3);
        drop(own);
        assert!(places.take("a").is_some());
        drop(other);
        assert_eq!((places.taken(), places.by_user().len()), (0, 0));
    }
}
