//! The Kubernetes client of one cluster, with its host for errors.

use std::time::Duration;

use http::{Request, StatusCode};
use kube::{Api, Resource};
use tokio::time::timeout;

use crate::error::Error;

/// The field manager of this server.
pub(super) const FIELD_MANAGER: &str = "norman-aks";

/// The maximum length of a cluster's message, in characters; longer ones are truncated.
const MAX_MESSAGE_LEN: usize = 500;

/// A Kubernetes client whose errors name the cluster.
#[derive(Clone)]
pub(super) struct KubeClient {
    pub(super) client: kube::Client,
    pub(super) host: String,
}

impl KubeClient {
    /// The API of all objects of a kind, in all namespaces.
    pub(super) fn api<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    /// Sends a request and returns the body of a successful response.
    pub(super) async fn request_text<E>(
        &self,
        request: Result<Request<Vec<u8>>, E>,
    ) -> Result<String, Error> {
        let request =
            request.map_err(|_| Error::InvalidInput("the URL of the request to the cluster is invalid"))?;
        self.client.request_text(request).await.map_err(|error| self.to_error(error))
    }

    /// Runs `work` with a time limit.
    pub(super) async fn with_timeout<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let timed_out = Err(Error::TimedOut { host: self.host.clone(), after: limit });
        timeout(limit, work).await.unwrap_or(timed_out)
    }

    pub(super) fn to_error(&self, error: kube::Error) -> Error {
        let host = self.host.clone();
        match error {
            kube::Error::Api(status) => {
                let without_control = |c: char| if c.is_control() { ' ' } else { c };
                Error::ErrorResponse {
                    host,
                    status: StatusCode::from_u16(status.code).unwrap_or(StatusCode::BAD_GATEWAY),
                    message: status.message.chars().take(MAX_MESSAGE_LEN).map(without_control).collect(),
                }
            }
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
                Error::Unreadable { host, what: "its content cannot be parsed" }
            }
            error => Error::from_transport(&host, &error),
        }
    }

    pub(super) fn unreadable(&self, what: &'static str) -> Error {
        Error::Unreadable { host: self.host.clone(), what }
    }
}

/// Converts the error of a missing object to `None`.
pub(super) fn none_if_not_found<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Err(Error::ErrorResponse { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
        outcome => outcome.map(Some),
    }
}
