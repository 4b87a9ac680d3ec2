//! An extractor that reads the body of a request as a JSON object.

use axum::extract::{FromRef, FromRequest, Request};
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::error::Error;
use super::input::{self, Object};
use crate::api::source::MetaState;

/// The body of a request as a JSON object.
#[derive(Clone, Debug)]
pub struct Body(pub Object);

impl<S> FromRequest<S> for Body
where
    S: Send + Sync,
    MetaState: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let limit = MetaState::from_ref(state).http().body_limit;
        match Limited::new(request.into_body(), limit).collect().await {
            Ok(body) => Ok(Self(input::parse(&body.to_bytes())?)),
            Err(error) if error.is::<LengthLimitError>() => {
                let message = format!("Failed to parse body: it is larger than {limit} bytes");
                Err(Error::new(StatusCode::PAYLOAD_TOO_LARGE, "InvalidBodyContent", message))
            }
            Err(_) => {
                let message = "Failed to parse body: the connection ended before the whole body arrived";
                Err(Error::new(StatusCode::UNPROCESSABLE_ENTITY, "InvalidBodyContent", message))
            }
        }
    }
}
