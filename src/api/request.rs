//! The id of a request: made at the door, in every answer and in every log line about it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The id, as it stands in `X-Request-Id`.
#[derive(Clone, Debug, Default)]
pub struct RequestId(pub std::sync::Arc<str>);

impl RequestId {
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
