//! Single flight: one task whose outcome many callers await.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument as _;

/// A task that is independent of its callers: it continues if they stop waiting.
#[derive(Debug)]
pub struct SharedTask<T> {
    started: Instant,
    outcome: watch::Receiver<Option<T>>,
}

/// Starts a [`SharedTask`]. If it is dropped instead, the task is lost.
#[derive(Debug)]
pub struct Start<T>(watch::Sender<Option<T>>);

impl<T: Send + Sync + 'static> Start<T> {
    /// Starts the task in the caller's tracing span.
    pub fn spawn(self, work: impl Future<Output = T> + Send + 'static) {
        let task = async move {
            self.0.send_replace(Some(work.await));
        };
        // Boxed to one type, so that the runtime's code for tasks is compiled once and not for each kind of work.
        let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task.in_current_span());
        tokio::spawn(task);
    }
}

impl<T> Clone for SharedTask<T> {
    fn clone(&self) -> Self {
        Self { started: self.started, outcome: self.outcome.clone() }
    }
}

impl<T: Clone + Send + Sync + 'static> SharedTask<T> {
    /// A task that can be awaited before it is started.
    pub fn new() -> (Self, Start<T>) {
        let (sender, outcome) = watch::channel(None);
        (Self { started: Instant::now(), outcome }, Start(sender))
    }

    /// Starts a task.
    pub fn spawn(work: impl Future<Output = T> + Send + 'static) -> Self {
        let (task, start) = Self::new();
        start.spawn(work);
        task
    }

    /// Whether both are the same task.
    pub fn is_same(&self, other: &Self) -> bool {
        self.outcome.same_channel(&other.outcome)
    }

    /// The task in `slot`. Starts a new one if there is none or it was lost.
    pub fn join_or_spawn<F>(slot: &mut Option<Self>, work: impl FnOnce() -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let task = slot.take().filter(|task| !task.is_lost()).unwrap_or_else(|| Self::spawn(work()));
        slot.insert(task).clone()
    }

    /// A completed task with `outcome`.
    pub fn ready(outcome: T) -> Self {
        Self { started: Instant::now(), outcome: watch::channel(Some(outcome)).1 }
    }

    /// The point in time `after` the start of the task.
    pub fn deadline(&self, after: Duration) -> Instant {
        self.started + after
    }

    /// Whether the task ended without an outcome, because it panicked or its runtime was shut down.
    pub fn is_lost(&self) -> bool {
        self.outcome.has_changed().is_err() && self.outcome.borrow().is_none()
    }

    /// Waits for the outcome; `None` if the task is lost.
    pub async fn outcome(&self) -> Option<T> {
        self.outcome.clone().wait_for(Option::is_some).await.ok()?.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn callers_share_one_outcome() {
        let task = SharedTask::spawn(async {
            tokio::task::yield_now().await;
            7
        });
        let mut slot = Some(task.clone());
        let joined = SharedTask::join_or_spawn(&mut slot, || async { 8 });
        assert_eq!(tokio::join!(task.outcome(), joined.outcome()), (Some(7), Some(7)));
        assert!(!task.is_lost());
        assert_eq!(task.outcome().await, Some(7), "later callers too");
    }

    #[tokio::test]
    async fn lost_task_is_replaced() {
        let task = SharedTask::<u8>::spawn(async { panic!("on purpose") });
        assert_eq!(task.outcome().await, None);
        assert!(task.is_lost());
        let next = SharedTask::join_or_spawn(&mut Some(task), || async { 8 });
        assert_eq!(next.outcome().await, Some(8));
    }
}
