//! The id of a request: made at the door, in every answer and in every log line about it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The id, as it stands in `X-Request-Id`.
#[derive(Clone, Debug, Default)]
pub struct RequestId(pub std::sync::Arc<str>);

tokio::task_local! {
    static CURRENT: RequestId;
}

impl RequestId {
    /// Runs the answering of a request, so that [`RequestId::current`] knows it.
    pub(super) async fn scope<F: Future>(self, answering: F) -> F::Output {
        CURRENT.scope(self, answering).await
    }

    /// The id of the request that is being answered, for log lines of places that are not handed it.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// The id that the door gave; empty only for requests that did not come through it.
    pub fn of(parts: &Parts) -> Self {
        parts.extensions.get::<Self>().cloned().unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}
