//! Notifications of new cluster events within this server. Subscribers find the events of other servers by polling.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

/// The maximum number of queued notifications. A slow receiver loses the oldest ones, and is then woken in any case.
const CAPACITY: usize = 64;

/// Notifies the subscribers in this server of changed clusters. Clones share everything.
#[derive(Clone, Debug)]
pub struct ChangeNotifier(broadcast::Sender<Arc<str>>);

impl Default for ChangeNotifier {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl ChangeNotifier {
    /// Notifies the subscribers of a cluster.
    pub fn notify(&self, cluster_id: &str) {
        // Fails if there are no receivers.
        self.0.send(cluster_id.into()).ok();
    }

    pub(super) fn subscribe(&self) -> Notifications {
        Notifications(self.0.subscribe())
    }
}

/// The notifications since a subscription.
pub(super) struct Notifications(broadcast::Receiver<Arc<str>>);

impl Notifications {
    /// Waits for a notification for the cluster, or for the loss of notifications.
    pub(super) async fn changed(&mut self, cluster_id: &str) {
        loop {
            match self.0.recv().await {
                Ok(changed_id) if *changed_id != *cluster_id => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                // The server is shutting down. The subscriber still polls at intervals.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
