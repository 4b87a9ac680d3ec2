//! Who changes something, and in which request: what the audit writes down beside the change itself.

use std::net::IpAddr;
use std::sync::Arc;

use super::Caller;
use super::error::Error;
use super::events::{Action, Event, Outcome};
use crate::domain::mask::mask;

/// The caller of a change.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The caller.
    pub caller: Arc<Caller>,
    /// The id of the request.
    pub request_id: Arc<str>,
    /// The address that the request came from.
    pub remote: IpAddr,
}

impl Actor {
    /// What the audit keeps of a change and its end.
    pub(super) fn event<T>(
        &self,
        action: Action,
        object_type: &'static str,
        object_id: &str,
        result: &Result<T, Error>,
    ) -> Event {
        let outcome = match result {
            Ok(_) => Outcome::Done,
            Err(
                Error::NotFound { .. }
                | Error::Missing(_)
                | Error::NoCredential
                | Error::Forbidden(_)
                | Error::Invalid(_)
                | Error::Conflict { .. }
                | Error::Exists { .. }
                | Error::Busy(_)
                | Error::Rejected(_),
            ) => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        // What is not there was not named by us.
        let object_id = if outcome == Outcome::Done { object_id.into() } else { mask(object_id) };
        Event::new(&self.caller, action, object_type, &object_id)
            .outcome(outcome)
            .request(&self.request_id, Some(self.remote))
    }
}
