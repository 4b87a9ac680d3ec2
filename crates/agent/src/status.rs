//! Readiness, derived from events.

use tokio::sync::watch;

use crate::event::Event;

/// Whether the agent is ready, and the reason if it is not. Clones share the state; [`Status::record`] updates it.
#[derive(Clone, Debug)]
pub struct Status {
    /// The reason why the agent is not ready; `None` if it is ready.
    reason: watch::Sender<Option<String>>,
}

impl Default for Status {
    fn default() -> Self {
        Self::new()
    }
}

impl Status {
    /// The status of an agent that has not connected yet.
    pub fn new() -> Self {
        Self { reason: watch::Sender::new(Some("not connected yet".to_owned())) }
    }

    /// Updates the status after an event of [`run()`](crate::run()).
    pub fn record(&self, event: &Event) {
        let reason = match event {
            Event::Connected { .. } => None,
            // These events neither open nor end a session; the reason of the last failure stays.
            Event::Connecting { .. } | Event::DialDenied { .. } | Event::ApiServerUnreachable { .. } => {
                return;
            }
            event => Some(event.to_string()),
        };
        self.reason.send_replace(reason);
    }

    /// Whether a session is open and the agent is not stopping.
    pub fn is_ready(&self) -> bool {
        self.reason.borrow().is_none()
    }

    /// The reason why the agent is not ready, with the remedy; `None` if it is ready.
    pub fn reason(&self) -> Option<String> {
        self.reason.borrow().clone()
    }
}
