//! Faults: delayed, changed and missing responses for matching requests.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clouds::Service;
use crate::log::RecordedRequest;
use crate::recordings::Operation;
use crate::response::SandboxResponse;
use crate::script::{Rule, Script};

/// A fault. Unset conditions match every request; the first match applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Only this operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Only this host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Only paths (with query) that contain this, in any letter case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only this method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The number of matching requests that pass before the fault applies.
    pub skip: u32,
    /// The number of requests that the fault affects; unlimited if unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// The delay of the response in milliseconds.
    pub latency_ms: u64,
    /// The change of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

/// The effect of a fault on a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// Another response is sent.
    Status(ErrorResponse),
    /// The connection (HTTP/2: the stream) is closed without a response.
    CutBeforeAnswer,
    /// Connections to a cluster are refused, and requests on open connections are cut; no condition except `host` may be set.
    /// Requests to Entra and Resource Manager are cut.
    RefuseConnections,
    /// The request is executed, then the connection (HTTP/2: the stream) is closed without a response.
    CutAfterTaken,
    /// The connection (HTTP/2: the stream) is closed after half of the body.
    CutInBody,
    /// Half of the body is sent, as if it were complete.
    TruncatedBody,
    /// A complete body that is not JSON is sent.
    InvalidJson,
    /// The body is sent in ten parts over this many milliseconds.
    SlowBody(u64),
    /// The response has a `nextLink` to this URL.
    ForeignNextLink(String),
}

/// An error response of a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorResponse {
    /// The status; 500 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `error.code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// `error.message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The whole body instead of code and message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// `Retry-After`: seconds or a date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
    /// `x-ms-retry-after-ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Further headers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// The effect of the fault that matches a request; none by default.
#[derive(Debug, Default)]
pub(crate) struct MatchedFault {
    pub(crate) latency: Duration,
    pub(crate) effect: Option<Effect>,
}

pub(crate) type Faults = Script<Fault>;

impl Script<Fault> {
    /// Whether connections to `host` are refused.
    pub(crate) fn refuses_connections(&self, host: &str) -> bool {
        self.all().iter().any(|fault| {
            fault.effect == Some(Effect::RefuseConnections)
                && fault.host.as_ref().is_none_or(|fault_host| fault_host.eq_ignore_ascii_case(host))
        })
    }

    pub(crate) fn match_request(&mut self, request: &RecordedRequest) -> MatchedFault {
        let fault = self.next_match(request);
        fault.map_or_else(MatchedFault::default, |fault| MatchedFault {
            latency: Duration::from_millis(fault.latency_ms),
            effect: fault.effect,
        })
    }
}

impl Rule for Fault {
    type Subject = RecordedRequest;

    fn matches(&self, request: &RecordedRequest) -> bool {
        let contains = |part: &String| {
            format!("{}?{}", request.path, request.query)
                .to_ascii_lowercase()
                .contains(&part.to_ascii_lowercase())
        };
        self.operation.is_none_or(|operation| operation == request.operation)
            && self.host.as_ref().is_none_or(|host| host.eq_ignore_ascii_case(&request.host))
            && self.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(&request.method))
            && self.path.as_ref().is_none_or(contains)
    }

    fn counters(&mut self) -> (&mut u32, &mut Option<u32>) {
        (&mut self.skip, &mut self.times)
    }
}

impl ErrorResponse {
    /// The response in the form of a service.
    pub(crate) fn to_response(&self, service: Service) -> SandboxResponse {
        let status = self.status.and_then(|status| http::StatusCode::from_u16(status).ok());
        let status = status.unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let code = self.code.as_deref().unwrap_or("InternalServerError");
        let message = self.message.as_deref().unwrap_or("A fault of the sandbox rejected this request.");
        self.with_headers(match (&self.body, service) {
            (Some(body), _) => SandboxResponse::new(status, body.clone()),
            (None, Service::Management) => SandboxResponse::arm_error(status, code, message),
            (None, Service::Login) => SandboxResponse::json(
                status,
                &serde_json::json!({"error": code, "error_description": message}),
            ),
        })
    }

    pub(crate) fn with_headers(&self, mut response: SandboxResponse) -> SandboxResponse {
        if let Some(retry_after) = &self.retry_after {
            response.set("retry-after", retry_after);
        }
        if let Some(milliseconds) = self.retry_after_ms {
            response.set("x-ms-retry-after-ms", &milliseconds.to_string());
        }
        for (name, value) in &self.headers {
            response.set(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, operation: Operation) -> RecordedRequest {
        RecordedRequest {
            operation,
            method: "GET".to_owned(),
            host: "management.azure.com".to_owned(),
            path: path.to_owned(),
            query: "api-version=1".to_owned(),
            ..RecordedRequest::default()
        }
    }

    #[test]
    fn faults_respect_skip_and_times() {
        let mut faults = Faults::default();
        faults.add(Fault {
            path: Some("/VIRTUALnetworks?API".to_owned()),
            skip: 1,
            times: Some(2),
            effect: Some(Effect::CutBeforeAnswer),
            ..Fault::default()
        });
        let networks = request("/x/virtualNetworks", Operation::VirtualNetworks);
        let affected: Vec<bool> = (0..4).map(|_| faults.match_request(&networks).effect.is_some()).collect();
        assert_eq!(affected, [false, true, true, false]);
        assert!(faults.all().is_empty(), "used up");
    }

    #[test]
    fn all_conditions_must_match() {
        let is_affected = |json: &str| {
            let mut faults = Faults::default();
            faults.add(serde_json::from_str(json).unwrap());
            faults.match_request(&request("/a", Operation::Skus)).effect.is_some()
        };
        for (json, expected) in [
            (r#"{"effect":"cut_in_body"}"#, true),
            (
                r#"{"operation":"skus","method":"get","host":"Management.Azure.com","effect":"cut_in_body"}"#,
                true,
            ),
            (r#"{"operation":"vmSizes","effect":"cut_in_body"}"#, false),
            (r#"{"method":"POST","effect":"cut_in_body"}"#, false),
            (r#"{"host":"login.microsoftonline.com","effect":{"slow_body":5}}"#, false),
            (r#"{"path":"/b","effect":{"status":{"status":503}}}"#, false),
            (r#"{"times":0,"effect":"cut_in_body"}"#, false),
        ] {
            assert_eq!(is_affected(json), expected, "{json}");
        }
        assert!(serde_json::from_str::<Fault>(r#"{"opertaion":"skus"}"#).is_err(), "a misspelled key");
    }
}
