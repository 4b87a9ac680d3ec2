//! Single flight by key: concurrent callers that need the same value share one task that computes it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use azure::SharedTask;

/// The tasks in flight, by key. Clones share them.
pub(super) struct InFlightTasks<K, V> {
    by_key: Arc<Mutex<HashMap<K, SharedTask<V>>>>,
}

impl<K, V> Clone for InFlightTasks<K, V> {
    fn clone(&self) -> Self {
        Self { by_key: Arc::clone(&self.by_key) }
    }
}

impl<K, V> Default for InFlightTasks<K, V> {
    fn default() -> Self {
        Self { by_key: Arc::default() }
    }
}

impl<K, V> InFlightTasks<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The task in flight for `key`.
    pub(super) fn get(&self, key: &K) -> Option<SharedTask<V>> {
        self.lock().get(key).cloned()
    }

    /// The number of tasks in flight.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Joins the task in flight for `key`. If there is none, returns the value of `existing` or starts a task, which continues
    /// if its callers stop waiting. `finish` converts the output of the task to the value. It runs under the lock, so that no
    /// caller joins or removes a task meanwhile; its second argument is false if the task was removed before.
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
        let mut tasks = self.lock();
        if let Some(task) = tasks.get(key) {
            return task.clone();
        }
        if let Some(value) = existing() {
            return SharedTask::ready(value);
        }
        let (task, starting) = SharedTask::new();
        tasks.insert(key.clone(), task.clone());
        drop(tasks);
        let guard = RemoveOnDrop { tasks: self.clone(), key: key.clone(), task: task.clone() };
        let future = start();
        starting.spawn(async move {
            let output = future.await;
            guard.finish_and_remove(|is_current| finish(output, is_current))
        });
        task
    }

    /// Removes the tasks with matching keys. Their callers still receive the value, but new callers do not join them.
    pub(super) fn remove_if(&self, matches: impl Fn(&K) -> bool) {
        self.lock().retain(|key, _| !matches(key));
    }
}

impl<K, V> InFlightTasks<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, SharedTask<V>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a task from those in flight when it ends, even by a panic.
struct RemoveOnDrop<K: Eq + Hash, V: Clone + Send + Sync + 'static> {
    tasks: InFlightTasks<K, V>,
    key: K,
    task: SharedTask<V>,
}

impl<K: Eq + Hash, V: Clone + Send + Sync + 'static> RemoveOnDrop<K, V> {
    /// Calls `finish` under the lock with whether the task is still in flight, and then removes the task.
    fn finish_and_remove<T>(&self, finish: impl FnOnce(bool) -> T) -> T {
        let mut tasks = self.tasks.lock();
        let is_current = tasks.get(&self.key).is_some_and(|task| task.is_same(&self.task));
        let value = finish(is_current);
        if is_current {
            tasks.remove(&self.key);
        }
        value
    }
}

impl<K: Eq + Hash, V: Clone + Send + Sync + 'static> Drop for RemoveOnDrop<K, V> {
    fn drop(&mut self) {
        self.finish_and_remove(|_| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join_number(tasks: &InFlightTasks<&'static str, u32>, value: u32) -> SharedTask<u32> {
        tasks.join(&"a", || None, move || async move { value }, |value, _| value)
    }

    #[tokio::test]
    async fn concurrent_callers_share_one_task() {
        let tasks = InFlightTasks::default();
        let (first, second) = (join_number(&tasks, 1), join_number(&tasks, 2));
        assert_eq!((first.outcome().await, second.outcome().await), (Some(1), Some(1)));
        assert_eq!(tasks.len(), 0);
        assert_eq!(join_number(&tasks, 3).outcome().await, Some(3));
    }

    #[tokio::test]
    async fn removed_task_is_not_joined_and_not_current() {
        let tasks = InFlightTasks::default();
        let zero_unless_current = |value: u32, is_current: bool| if is_current { value } else { 0 };
        let first = tasks.join(&"a", || None, || async { 1 }, zero_unless_current);
        tasks.remove_if(|key| *key == "a");
        assert_eq!(join_number(&tasks, 2).outcome().await, Some(2));
        assert_eq!(first.outcome().await, Some(0));
    }

    #[tokio::test]
    async fn panic_ends_the_task_without_a_value() {
        let tasks = InFlightTasks::<_, u32>::default();
        let task = tasks.join(&"a", || None, || async { panic!("expected") }, |(): (), _| 1);
        assert_eq!(task.outcome().await, None);
        assert!(tasks.get(&"a").is_none());
        assert_eq!(join_number(&tasks, 2).outcome().await, Some(2));
    }
}
