//! Changes in Resource Manager (PUT, PATCH, DELETE) and Azure's immediate response. Their completion is polled
//! ([`LongRunningOperation`]).

use http::Method;
use reqwest::Url;
use serde_json::Value;

use crate::arm::Arm;
use crate::error::Error;
use crate::long_running::{LongRunningOperation, Purpose};
use crate::request::ArmRequest;
use crate::request_name::RequestName;
use crate::resource::none_if_absent;
use crate::response::Response;

/// A change that Azure accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteResponse {
    /// The complete resource in its current state; `None` if the response contains none.
    pub resource: Option<Value>,
    /// The operation that is running in Azure; `None` if the change is complete.
    pub operation: Option<LongRunningOperation>,
    /// Azure's ID of the request.
    pub request_id: Option<String>,
}

impl Arm {
    /// Creates, replaces or changes the resource.
    pub(super) async fn change(
        &self,
        method: Method,
        name: RequestName,
        url: &Url,
        body: &Value,
    ) -> Result<WriteResponse, Error> {
        let response = self.send(&ArmRequest::write(name, method, url, Some(body))).await?;
        Ok(self.write_response(url, Purpose::Change, &response))
    }

    /// Deletes the resource; `None` if it does not exist.
    pub(super) async fn delete(&self, name: RequestName, url: &Url) -> Result<Option<WriteResponse>, Error> {
        let request = ArmRequest::write(name, Method::DELETE, url, None);
        let response = none_if_absent(self.send(&request).await)?;
        // Resource Manager responds with 204 if there was nothing to delete.
        let response = response.filter(|response| response.status != 204);
        Ok(response.map(|response| self.write_response(url, Purpose::Delete, &response)))
    }

    /// Reads the response to a change. Azure accepted the change, so an unreadable part is not an error: the operation or the
    /// resource is polled.
    fn write_response(&self, url: &Url, purpose: Purpose, response: &Response) -> WriteResponse {
        let resource = response.json_object();
        let operation = LongRunningOperation::from_response(self, url, purpose, response, resource.as_ref());
        let request_id = response.header("x-ms-request-id").map(str::to_owned);
        WriteResponse { resource, operation, request_id }
    }
}
