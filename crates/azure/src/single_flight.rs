//! Single flight: one task whose outcome many callers await.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;

/// A task that does not depend on its callers: it goes on if they stop waiting.
#[derive(Debug)]
pub(crate) struct SharedTask<T> {
    started: Instant,
    outcome: watch::Receiver<Option<T>>,
}

impl<T> Clone for SharedTask<T> {
    fn clone(&self) -> Self {
        Self { started: self.started, outcome: self.outcome.clone() }
    }
}

impl<T: Clone + Send + Sync + 'static> SharedTask<T> {
    /// Starts the task in the caller's tracing span.
    pub(crate) fn spawn(work: impl Future<Output = T> + Send + 'static) -> Self {
        let (sender, outcome) = watch::channel(None);
        let task = async move {
            sender.send_replace(Some(work.await));
        };
        tokio::spawn(task.in_current_span());
        Self { started: Instant::now(), outcome }
    }

    /// The task in `slot`, which is started if there is none or if it was lost.
    pub(crate) fn join_or_spawn<F>(slot: &mut Option<Self>, work: impl FnOnce() -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let task = slot.take().filter(|task| !task.is_lost()).unwrap_or_else(|| Self::spawn(work()));
        slot.insert(task).clone()
    }

    /// The time `after` the start.
    pub(crate) fn deadline(&self, after: Duration) -> Instant {
        self.started + after
    }

    /// Whether the task ended without an outcome, because it panicked or its runtime was shut down.
    pub(crate) fn is_lost(&self) -> bool {
        self.outcome.has_changed().is_err() && self.outcome.borrow().is_none()
    }

    /// Waits for the outcome; `None` if the task is lost.
    pub(crate) async fn outcome(mut self) -> Option<T> {
        self.outcome.wait_for(Option::is_some).await.ok()?.clone()
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
        assert_eq!(tokio::join!(task.clone().outcome(), joined.outcome()), (Some(7), Some(7)));
        assert!(!task.is_lost());
        assert_eq!(task.outcome().await, Some(7), "also later");
    }

    #[tokio::test]
    async fn lost_task_is_replaced() {
        let task = SharedTask::<u8>::spawn(async { panic!("on purpose") });
        assert_eq!(task.clone().outcome().await, None);
        assert!(task.is_lost());
        let next = SharedTask::join_or_spawn(&mut Some(task), || async { 8 });
        assert_eq!(next.outcome().await, Some(8));
    }
}
