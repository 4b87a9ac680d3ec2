//! One piece of work that many wait for.

use tokio::sync::watch;
use tracing::Instrument;

/// Work that runs in a task of its own: whoever waits may go away, the work and the others do not notice.
#[derive(Debug)]
pub(super) struct Flight<T>(watch::Receiver<Option<T>>);

impl<T> Clone for Flight<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone + Send + Sync + 'static> Flight<T> {
    /// Starts the work; what it logs belongs to the one who started it.
    pub(super) fn start(work: impl Future<Output = T> + Send + 'static) -> Self {
        let (done, outcome) = watch::channel(None);
        let task = async move {
            done.send_replace(Some(work.await));
        };
        tokio::spawn(task.in_current_span());
        Self(outcome)
    }

    /// Whether the task ended without an outcome, because it panicked or its runtime is gone.
    pub(super) fn is_lost(&self) -> bool {
        self.0.has_changed().is_err() && self.0.borrow().is_none()
    }

    /// Waits for the outcome; `None` when the task is lost.
    pub(super) async fn outcome(mut self) -> Option<T> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_wait_get_the_same_outcome_also_later() {
        let flight = Flight::start(async {
            tokio::task::yield_now().await;
            7
        });
        let (first, second) = tokio::join!(flight.clone().outcome(), flight.clone().outcome());
        assert_eq!((first, second), (Some(7), Some(7)));
        assert!(!flight.is_lost());
        assert_eq!(flight.outcome().await, Some(7));
    }

    #[tokio::test]
    async fn a_task_that_panics_is_noticed() {
        let flight = Flight::<u8>::start(async { panic!("on purpose") });
        assert_eq!(flight.clone().outcome().await, None);
        assert!(flight.is_lost());
    }
}
