//! What a use case may change in Resource Manager: PUT, PATCH and DELETE, and what Azure says to it at once. How it
//! ends is asked in steps ([`Operation`]).

use http::Method;
use reqwest::Url;
use serde_json::Value;

use super::call::{Arm, Ask, present};
use super::error::Error;
use super::operation::{Operation, Purpose, object};
use super::transport::Answer;

/// A change that Azure took.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The resource as Azure now shows it, whole; `None` where the answer has none.
    pub resource: Option<Value>,
    /// What goes on in Azure; `None` when the change is done.
    pub operation: Option<Operation>,
    /// Under which id Azure has the request in its own log.
    pub request_id: Option<String>,
}

impl Arm {
    /// Makes the resource what `body` says.
    pub(super) async fn put(
        &self,
        operation: &'static str,
        url: &Url,
        body: &Value,
    ) -> Result<Written, Error> {
        self.change(&Ask::writing(operation, Method::PUT, url, Some(body)), url).await
    }

    /// Changes what `body` names, and leaves the rest.
    pub(super) async fn patch(
        &self,
        operation: &'static str,
        url: &Url,
        body: &Value,
    ) -> Result<Written, Error> {
        self.change(&Ask::writing(operation, Method::PATCH, url, Some(body)), url).await
    }

    /// Deletes the resource; `None` when there is none.
    pub(super) async fn delete(&self, operation: &'static str, url: &Url) -> Result<Option<Written>, Error> {
        let asked = Ask::writing(operation, Method::DELETE, url, None);
        let Some(answer) = present(self.send(&asked).await)? else { return Ok(None) };
        // Resource Manager's word for "there was nothing to delete".
        if answer.status == 204 {
            return Ok(None);
        }
        Ok(Some(self.written(url, Purpose::Delete, &answer)))
    }

    async fn change(&self, asked: &Ask<'_>, url: &Url) -> Result<Written, Error> {
        let answer = self.send(asked).await?;
        Ok(self.written(url, Purpose::Change, &answer))
    }

    /// Once Azure has taken the change, nothing in its answer is an error any more: what cannot be read is asked
    /// for later.
    fn written(&self, url: &Url, purpose: Purpose, answer: &Answer) -> Written {
        let resource = object(&answer.body);
        let operation = Operation::begun(self, url, purpose, answer, resource.as_ref());
        Written { resource, operation, request_id: answer.header("x-ms-request-id").map(str::to_owned) }
    }
}
