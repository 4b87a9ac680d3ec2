//! Single flight by key: concurrent callers that need the same value share one task that computes it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use azure::SharedTask;

/// The tasks in flight, by key. Clones share them.
pub(super) struct Flights<K, V> {
    by_key: Arc<Mutex<HashMap<K, SharedTask<V>>>>,
}

impl<K, V> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Self { by_key: Arc::clone(&self.by_key) }
    }
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { by_key: Arc::default() }
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The flight of `key`, if there is one.
    pub(super) fn get(&self, key: &K) -> Option<SharedTask<V>> {
        self.lock().get(key).cloned()
    }

    /// The number of flights.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Joins the flight of `key`. If there is none, returns the value of `existing`, or else starts a task, which does not depend
    /// on its callers. `finish` converts its output to the value. It runs under the lock, so that no caller joins or removes a
    /// flight meanwhile; its second argument is false if the flight was removed.
    pub(super) fn join<F>(
        &self,
        key: &K,
        existing: impl FnOnce() -> Option<V>,
        start: impl FnOnce() -> F,
        finish: impl FnOnce(F::Output, bool) -> V + Send + 'static,
    ) -> SharedTask<V>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(key) {
            return flight.clone();
        }
        if let Some(value) = existing() {
            return SharedTask::ready(value);
        }
        let (task, starting) = SharedTask::new();
        flights.insert(key.clone(), task.clone());
        drop(flights);
        let flight = RemoveOnEnd { flights: self.clone(), key: key.clone(), task: task.clone() };
        let future = start();
        starting.spawn(async move {
            let output = future.await;
            flight.end(|is_current| finish(output, is_current))
        });
        task
    }

    /// Removes flights. Their callers still get the value; new callers do not join them.
    pub(super) fn remove_if(&self, matches: impl Fn(&K) -> bool) {
        self.lock().retain(|key, _| !matches(key));
    }
}

impl<K, V> Flights<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, SharedTask<V>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a flight when its task ends, even by a panic.
struct RemoveOnEnd<K: Eq + Hash, V: Clone + Send + Sync + 'static> {
    flights: Flights<K, V>,
    key: K,
    task: SharedTask<V>,
}

impl<K: Eq + Hash, V: Clone + Send + Sync + 'static> RemoveOnEnd<K, V> {
    fn end<T>(&self, finish: impl FnOnce(bool) -> T) -> T {
        let mut flights = self.flights.lock();
        let is_current = flights.get(&self.key).is_some_and(|flight| flight.is_same(&self.task));
        let value = finish(is_current);
        if is_current {
            flights.remove(&self.key);
        }
        value
    }
}

impl<K: Eq + Hash, V: Clone + Send + Sync + 'static> Drop for RemoveOnEnd<K, V> {
    fn drop(&mut self) {
        self.end(|_| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(flights: &Flights<&'static str, u32>, value: u32) -> SharedTask<u32> {
        flights.join(&"a", || None, move || async move { value }, |value, _| value)
    }

    #[tokio::test]
    async fn concurrent_callers_share_one_task() {
        let flights = Flights::default();
        let (first, second) = (number(&flights, 1), number(&flights, 2));
        assert_eq!((first.outcome().await, second.outcome().await), (Some(1), Some(1)));
        assert_eq!(flights.len(), 0);
        assert_eq!(number(&flights, 3).outcome().await, Some(3));
    }

    #[tokio::test]
    async fn removed_flight_is_not_joined_and_not_current() {
        let flights = Flights::default();
        let current = |value: u32, is_current: bool| if is_current { value } else { 0 };
        let first = flights.join(&"a", || None, || async { 1 }, current);
        flights.remove_if(|key| *key == "a");
        assert_eq!(number(&flights, 2).outcome().await, Some(2));
        assert_eq!(first.outcome().await, Some(0));
    }

    #[tokio::test]
    async fn panic_ends_the_flight_without_a_value() {
        let flights = Flights::<_, u32>::default();
        let flight = flights.join(&"a", || None, || async { panic!("expected") }, |(): (), _| 1);
        assert_eq!(flight.outcome().await, None);
        assert!(flights.get(&"a").is_none());
        assert_eq!(number(&flights, 2).outcome().await, Some(2));
    }
}
