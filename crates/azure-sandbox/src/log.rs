//! The log of requests, newest last.

use std::collections::VecDeque;

use serde::Serialize;

use crate::recordings::Operation;

/// The maximum number of requests; the oldest is dropped first.
const CAPACITY: usize = 10_000;
/// The maximum size of a recorded body.
pub(crate) const MAX_RECORDED_BODY: usize = 1 << 17;

/// A received request. Tokens and the bodies of logins are not recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecordedRequest {
    /// The requested operation.
    pub operation: Operation,
    /// The method.
    pub method: String,
    /// The host name.
    pub host: String,
    /// The path on the wire.
    pub path: String,
    /// The query on the wire; may be empty.
    pub query: String,
    /// The status of the response; `None` while it is pending, or if the connection was cut.
    pub status: Option<u16>,
    /// `x-ms-client-request-id`.
    pub client_request_id: Option<String>,
    /// The body of a write to Resource Manager or Kubernetes; `None` if it is empty or too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The time of arrival by the sandbox's clock, in milliseconds since 1970.
    pub at_ms: i64,
}

#[derive(Default)]
pub(crate) struct Log {
    requests: VecDeque<RecordedRequest>,
    /// The number of the oldest request in the log.
    first_number: u64,
}

impl Log {
    /// Adds a request, and returns its number.
    pub(crate) fn push(&mut self, request: RecordedRequest) -> u64 {
        if self.requests.len() >= CAPACITY {
            self.requests.pop_front();
            self.first_number += 1;
        }
        self.requests.push_back(request);
        self.first_number + self.requests.len() as u64 - 1
    }

    pub(crate) fn set_body(&mut self, number: u64, body: String) {
        if let Some(request) = self.get_mut(number) {
            request.body = Some(body);
        }
    }

    pub(crate) fn set_status(&mut self, number: u64, status: u16) {
        if let Some(request) = self.get_mut(number) {
            request.status = Some(status);
        }
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut RecordedRequest> {
        let index = number.checked_sub(self.first_number).and_then(|index| usize::try_from(index).ok())?;
        self.requests.get_mut(index)
    }

    pub(crate) fn all(&self) -> Vec<RecordedRequest> {
        self.requests.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        // Numbers are never reused.
        self.first_number += self.requests.len() as u64;
        self.requests.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(path: &str) -> RecordedRequest {
        RecordedRequest { path: path.to_owned(), ..RecordedRequest::default() }
    }

    #[test]
    fn log_is_bounded_and_ignores_updates_of_dropped_requests() {
        let mut log = Log::default();
        let first_number = log.push(recorded("/first"));
        for n in 1..CAPACITY {
            log.push(recorded(&n.to_string()));
        }
        log.set_status(first_number, 200);
        assert_eq!(log.all()[0].status, Some(200));
        let last_number = log.push(recorded("/last"));
        assert_eq!((log.all().len(), &*log.all()[0].path), (CAPACITY, "1"));
        log.set_status(first_number, 500);
        log.set_status(last_number, 404);
        assert_eq!(log.all().last().unwrap().status, Some(404));
        log.clear();
        let next_number = log.push(recorded("/again"));
        log.set_status(last_number, 500);
        assert_eq!(log.all()[0].status, None, "a response from before the clearing");
        log.set_status(next_number, 200);
        assert_eq!(log.all()[0].status, Some(200));
    }
}
