//! The log of requests, newest last.

use std::collections::VecDeque;

use serde::Serialize;

use crate::recordings::Operation;

const CAPACITY: usize = 10_000;
/// The maximum size of a recorded body.
pub(crate) const MAX_RECORDED_BODY: usize = 1 << 17;

/// A received request, without tokens and bodies of logins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    seen: VecDeque<RecordedRequest>,
    /// The number of the first request.
    first: u64,
}

impl Log {
    /// Adds a request, and returns its number.
    pub(crate) fn push(&mut self, seen: RecordedRequest) -> u64 {
        if self.seen.len() >= CAPACITY {
            self.seen.pop_front();
            self.first += 1;
        }
        self.seen.push_back(seen);
        self.first + self.seen.len() as u64 - 1
    }

    pub(crate) fn set_body(&mut self, number: u64, body: String) {
        if let Some(seen) = self.get_mut(number) {
            seen.body = Some(body);
        }
    }

    pub(crate) fn set_status(&mut self, number: u64, status: u16) {
        if let Some(seen) = self.get_mut(number) {
            seen.status = Some(status);
        }
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut RecordedRequest> {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok())?;
        self.seen.get_mut(index)
    }

    pub(crate) fn all(&self) -> Vec<RecordedRequest> {
        self.seen.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        // Numbers are never reused.
        self.first += self.seen.len() as u64;
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(path: &str) -> RecordedRequest {
        RecordedRequest {
            operation: Operation::Unknown,
            method: "GET".to_owned(),
            host: "management.azure.com".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            status: None,
            client_request_id: None,
            body: None,
            at_ms: 0,
        }
    }

    #[test]
    fn log_is_bounded() {
        let mut log = Log::default();
        let first = log.push(seen("/first"));
        for n in 1..CAPACITY {
            log.push(seen(&n.to_string()));
        }
        log.set_status(first, 200);
        assert_eq!(log.all()[0].status, Some(200));
        let last = log.push(seen("/last"));
        assert_eq!((log.all().len(), &*log.all()[0].path), (CAPACITY, "1"));
        log.set_status(first, 500);
        log.set_status(last, 404);
        assert_eq!(log.all().last().unwrap().status, Some(404));
        log.clear();
        let again = log.push(seen("/again"));
        log.set_status(last, 500);
        assert_eq!(log.all()[0].status, None, "a response from before the clearing");
        log.set_status(again, 200);
        assert_eq!(log.all()[0].status, Some(200));
    }
}
