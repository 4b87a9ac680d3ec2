//! Readiness, derived from events.

use tokio::sync::watch;

use crate::event::Event;

/// Whether the agent is connected, and the reason if it is not. Clones share the state; [`Status::record`] updates it.
#[derive(Clone, Debug)]
pub struct Status(watch::Sender<State>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Ready,
    NotReady(String),
}

impl Default for Status {
    fn default() -> Self {
        Self::new()
    }
}

impl Status {
    /// The status of an agent that has not connected yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(State::NotReady("not connected yet".to_owned())))
    }

    /// Updates the status after an event of [`run()`](crate::run()).
    pub fn record(&self, event: &Event) {
        let state = match event {
            Event::Connected { .. } => State::Ready,
            // A new attempt does not change the reason of the previous failure.
            Event::Connecting { .. } | Event::DialDenied { .. } | Event::ApiServerUnreachable { .. } => {
                return;
            }
            event => State::NotReady(event.to_string()),
        };
        self.0.send_replace(state);
    }

    /// Whether a session is open.
    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == State::Ready
    }

    /// The reason why no session is open, with the remedy; `None` if one is open.
    pub fn reason(&self) -> Option<String> {
        match &*self.0.borrow() {
            State::Ready => None,
            State::NotReady(reason) => Some(reason.clone()),
        }
    }

    /// Waits until a session is open.
    pub async fn wait_until_ready(&self) {
        // The sender lives in `self`.
        let _ = self.0.subscribe().wait_for(|state| *state == State::Ready).await;
    }
}
