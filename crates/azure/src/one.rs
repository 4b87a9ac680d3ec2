//! One resource of Resource Manager, read whole.

use std::sync::Arc;

use aks::arm::{Maybe, Resource};
use http::Method;
use reqwest::Url;
use serde::Deserialize;

use super::call::Arm;
use super::error::{Cause, Error};
use super::operation::object;
use super::url::without_query;

/// The answer is a success without what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("there is no {0} in it")]
pub(super) struct Missing(pub(super) &'static str);

/// The resource at `url`; `None` only when Azure says that there is none.
pub(super) async fn find<T>(
    arm: &Arm,
    operation: &'static str,
    url: &Url,
) -> Result<Option<Resource<T>>, Error>
where
    T: Default,
    Maybe<T>: for<'de> Deserialize<'de>,
{
    let Some(answer) = arm.find(operation, url).await? else { return Ok(None) };
    read(Method::GET, url, &answer.body).map(Some)
}

/// The resource in the body of an answer.
pub(super) fn read<T>(method: Method, url: &Url, body: &[u8]) -> Result<Resource<T>, Error>
where
    T: Default,
    Maybe<T>: for<'de> Deserialize<'de>,
{
    object(body).and_then(Resource::new).ok_or_else(|| missing(method, url, "JSON object"))
}

/// The error for an answer without `what`. Names nothing that was in the answer: it may be secret.
pub(super) fn missing(method: Method, url: &Url, what: &'static str) -> Error {
    let source: Cause = Arc::new(Missing(what));
    Error::Decode { method, url: without_query(url).to_owned(), source }
}
