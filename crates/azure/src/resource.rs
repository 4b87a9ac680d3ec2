//! A single resource of Resource Manager.

use std::sync::Arc;

use aks::arm::{Lenient, Resource};
use http::Method;
use reqwest::Url;
use serde::Deserialize;

use crate::arm::Arm;
use crate::error::{Cause, Error};
use crate::request_name::RequestName;
use crate::response::Response;
use crate::url::without_query;

/// A successful response without the expected content.
#[derive(Debug, thiserror::Error)]
#[error("the response contains no {0}")]
struct Missing(&'static str);

/// Gets a resource; `None` only if Azure reports that it does not exist ([`Error::is_not_found`]).
pub(super) async fn find<T>(arm: &Arm, name: RequestName, url: &Url) -> Result<Option<Resource<T>>, Error>
where
    T: Default,
    Lenient<T>: for<'de> Deserialize<'de>,
{
    none_if_absent(get(arm, name, url).await)
}

/// Gets a resource. Fails if it does not exist.
pub(super) async fn get<T>(arm: &Arm, name: RequestName, url: &Url) -> Result<Resource<T>, Error>
where
    T: Default,
    Lenient<T>: for<'de> Deserialize<'de>,
{
    let response = arm.get(name, url).await?;
    parse(Method::GET, url, &response)
}

/// Parses the resource in the body of a response.
pub(super) fn parse<T>(method: Method, url: &Url, response: &Response) -> Result<Resource<T>, Error>
where
    T: Default,
    Lenient<T>: for<'de> Deserialize<'de>,
{
    response.json_object().and_then(Resource::new).ok_or_else(|| missing(method, url, "JSON object"))
}

/// The error of a response without `what`. Quotes nothing from the response, which may be secret.
pub(super) fn missing(method: Method, url: &Url, what: &'static str) -> Error {
    let source: Cause = Arc::new(Missing(what));
    Error::Decode { method, url: without_query(url).to_owned(), source }
}

/// `None` if Azure reports that the resource does not exist.
pub(super) fn none_if_absent<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Err(error) if error.is_not_found() => Ok(None),
        outcome => outcome.map(Some),
    }
}
