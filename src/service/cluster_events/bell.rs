//! Told of what is new in the table by those who write it in this server. What other servers write is found by looking.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

/// How many rings are kept for somebody who is slow; whoever misses one looks anyway.
const KEPT: usize = 64;

/// The bell of one server. Clones are the same bell.
#[derive(Clone, Debug)]
pub struct Bell(broadcast::Sender<Arc<str>>);

impl Default for Bell {
    fn default() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }
}

impl Bell {
    /// Something was written about the cluster.
    pub fn ring(&self, cluster_id: &str) {
        // Nobody listening is no failure.
        self.0.send(cluster_id.into()).ok();
    }

    pub(super) fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

/// Somebody who hears everything that is rung from now on.
pub(super) struct Listener(broadcast::Receiver<Arc<str>>);

impl Listener {
    /// Comes to an end when something was written about the cluster, or may have been.
    pub(super) async fn rung_for(&mut self, cluster_id: &str) {
        loop {
            match self.0.recv().await {
                Ok(rung) if *rung != *cluster_id => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                // The bell is gone with its server; whoever listens still has his clock.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
