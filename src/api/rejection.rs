//! The response to a request that an extractor or a handler does not serve itself.

use axum::response::{IntoResponse, Response};

use super::auth::AuthError;
use super::norman::error::Error;
use crate::service::Invalid;

/// The response to a request that is rejected, redirected or forwarded to Rancher. Boxed, because it is large and rare.
pub(super) struct Rejection(Box<Response>);

impl Rejection {
    pub(super) fn new(response: impl IntoResponse) -> Self {
        Self(Box::new(response.into_response()))
    }
}

impl From<AuthError> for Rejection {
    fn from(error: AuthError) -> Self {
        Self::new(error)
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::new(error)
    }
}

impl From<Invalid> for Rejection {
    fn from(invalid: Invalid) -> Self {
        Self::new(Error::from(invalid))
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        *self.0
    }
}
