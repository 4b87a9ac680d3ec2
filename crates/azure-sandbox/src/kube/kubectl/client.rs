//! The Kubernetes client of the simulated kubectl: it calls the API in process.

use std::sync::Arc;

use http::Method;
use serde_json::Value;

use crate::faults::Effect;
use crate::kube::api::{self, Call, KubeResponse};
use crate::kube::cluster::Cluster;
use crate::kube::clusters::KubeClusters;
use crate::kube::request::KubeRequest;
use crate::kube::server::{record_body, record_request, scripted_error};
use crate::kube::user::User;
use crate::kube::value::text;

pub(super) const JSON: &str = "application/json";
/// The `Content-Type` and `Accept` of most requests.
pub(super) const JSON_HEADERS: (&str, &str) = (JSON, JSON);

/// A client with the rights of a user.
pub(crate) struct Client {
    pub(crate) kube: KubeClusters,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) user: User,
}

/// An error response, from its `Status` object.
pub(super) struct ServerError {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Client {
    /// Sends a request, and returns the object in the response.
    pub(super) fn send(
        &self,
        method: Method,
        uri: &str,
        headers: (&str, &str),
        body: &Value,
    ) -> Result<Value, ServerError> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (content_type, accept) = headers;
        let request = http::Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", content_type)
            .header("accept", accept)
            .body(())
            .map_err(|error| ServerError::new(400, "BadRequest", &error.to_string()))?;
        let (parts, ()) = request.into_parts();
        let (request_number, fault) = record_request(&self.kube, &self.cluster.host, &parts);
        let request = KubeRequest::new(parts);
        record_body(&self.kube, request_number, &request, &body);
        let call = Call {
            kube: &self.kube,
            cluster: &self.cluster,
            user: &self.user,
            request: &request,
            body: &body,
        };
        let response = match fault.effect {
            Some(Effect::Status(error_response)) => scripted_error(&error_response),
            _ => match api::respond(&call) {
                Ok(KubeResponse::Full(response)) => response,
                Ok(KubeResponse::Stream(..)) => {
                    return Err(ServerError::new(400, "BadRequest", "the response is a stream"));
                }
                Err(error) => error.to_response(),
            },
        };
        self.kube.traffic().log.set_status(request_number, response.status.as_u16());
        let value: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        if response.status.is_success() {
            return Ok(value);
        }
        Err(ServerError::new(response.status.as_u16(), text(&value, "/reason"), text(&value, "/message")))
    }
}

impl ServerError {
    fn new(code: u16, reason: &str, message: &str) -> Self {
        Self { code, reason: reason.to_owned(), message: message.to_owned() }
    }

    /// The error in kubectl's format; `context` names the failed action.
    pub(super) fn render(&self, context: &str) -> String {
        format!("Error from server ({}): {context}{}", self.reason, self.message)
    }
}
