//! [`Call`]: an authorized request with the locked state of its subscription. It also starts long-running operations.

use http::StatusCode;
use serde_json::{Map, Value};

use super::error::ArmError;
use super::pages;
use super::route::Target;
use crate::operation::LongOperation;
use crate::outcomes::ScriptedOutcome;
use crate::request::AzureRequest;
use crate::response::SandboxResponse;
use crate::roles::RoleAssignment;
use crate::script::Script;
use crate::state::{App, SandboxState};
use crate::subscription::{Resource, SubscriptionState};
use crate::timing::Timing;

/// The api-version in operation URLs.
const OPERATIONS_API_VERSION: &str = "2016-03-30";

pub(crate) struct Call<'a> {
    pub(crate) sandbox: &'a SandboxState,
    pub(crate) request: &'a AzureRequest,
    pub(crate) target: &'a Target,
    pub(crate) api_version: &'a str,
    /// The client ID of the caller.
    pub(crate) client_id: &'a str,
    /// The roles of the caller in the subscription and its resource groups.
    pub(crate) roles: &'a [RoleAssignment],
    pub(crate) body: &'a [u8],
    pub(crate) now_ms: i64,
    /// The subscription ID as stored, which may differ in letter case from the URL.
    pub(crate) subscription: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) required_tag: Option<&'a str>,
    pub(crate) page_size: usize,
    pub(crate) timing: &'a Timing,
    pub(crate) outcomes: &'a mut Script<ScriptedOutcome>,
    pub(crate) apps: &'a [App],
    pub(crate) resources: &'a mut SubscriptionState,
}

impl Call<'_> {
    /// The requested page of `items`.
    pub(crate) fn page(&self, items: impl IntoIterator<Item = Value>) -> Result<SandboxResponse, ArmError> {
        let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
        let items: Vec<&[u8]> = items.iter().map(String::as_bytes).collect();
        pages::page(&items, self.request, self.page_size)
    }

    /// The resources of the group in the URL, or all resources if the URL has no group.
    pub(crate) fn in_scope<'r>(&self, all: &'r [Resource]) -> impl Iterator<Item = &'r Resource> {
        let group = self.target.group.clone();
        all.iter().filter(move |resource| group.as_deref().is_none_or(|group| resource.is_in(group)))
    }

    /// The name of the resource group in the URL, as spelled when the group was created.
    pub(crate) fn group_name(&self) -> String {
        let name = self.target.group.as_deref().unwrap_or_default();
        self.resources.group(name).map_or_else(|| name.to_owned(), |group| group.name.clone())
    }

    /// The body, which must be an object.
    pub(crate) fn body_object(&self) -> Result<Value, ArmError> {
        serde_json::from_slice::<Value>(self.body).ok().filter(Value::is_object).ok_or_else(|| {
            let text =
                "The request content was invalid and could not be deserialized: it is not a JSON object.";
            ArmError::new(StatusCode::BAD_REQUEST, "InvalidRequestContent", text)
        })
    }

    /// The name of the region in `location`, which may be a display name.
    pub(crate) fn parse_location(&self, body: &Value, resource_type: &str) -> Result<String, ArmError> {
        let location = body.get("location").and_then(Value::as_str).unwrap_or_default();
        if location.is_empty() {
            let text = "The location property is required for this definition.";
            return Err(ArmError::new(StatusCode::BAD_REQUEST, "LocationRequired", text));
        }
        let region = self.sandbox.catalog.region(self.request.cloud, location);
        region.map(|region| region.name.clone()).ok_or_else(|| {
            let mut names: Vec<&str> =
                self.sandbox.catalog.physical_regions(self.request.cloud).map(|region| region.name.as_str()).collect();
            names.sort_unstable();
            let text = format!(
                "The provided location '{location}' is not available for resource type '{resource_type}'. List of available \
                 regions for the resource type is '{}'.",
                names.join(",")
            );
            ArmError::new(StatusCode::BAD_REQUEST, "LocationNotAvailableForResourceType", text)
        })
    }

    /// The tags in the body whose values are strings; `None` if there are no tags.
    pub(crate) fn tags(body: &Value) -> Option<Value> {
        let tags = body.get("tags")?.as_object()?;
        let string_tags: Map<String, Value> =
            tags.iter().filter(|(_, value)| value.is_string()).map(|(k, v)| (k.clone(), v.clone())).collect();
        Some(Value::Object(string_tags))
    }

    /// Starts a long-running operation, with its scripted outcome if there is one.
    pub(crate) fn start(&mut self, mut operation: LongOperation) -> LongOperation {
        operation.started_ms = self.now_ms;
        operation.duration_ms = self.timing.duration_ms(operation.kind);
        self.outcomes.apply(&mut operation);
        self.resources.push(operation.clone());
        self.sandbox.operation_started.notify_one();
        operation
    }

    /// Adds the `Azure-AsyncOperation` and `Retry-After` headers.
    pub(crate) fn with_operation_url(
        &self,
        response: SandboxResponse,
        operation: &LongOperation,
    ) -> SandboxResponse {
        let response = response.with("azure-asyncoperation", &self.operation_url(operation, "operations"));
        self.with_retry_after(response)
    }

    /// Adds the headers of [`Self::with_operation_url`] and `Location`.
    pub(crate) fn with_result_url(
        &self,
        response: SandboxResponse,
        operation: &LongOperation,
    ) -> SandboxResponse {
        let results = if operation.kind.provider() == "Microsoft.Network" {
            "operationResults"
        } else {
            "operationresults"
        };
        self.with_operation_url(response, operation).with("location", &self.operation_url(operation, results))
    }

    /// Adds the `Retry-After` header, if it is configured.
    pub(crate) fn with_retry_after(&self, response: SandboxResponse) -> SandboxResponse {
        match self.timing.retry_after {
            Some(seconds) => response.with("retry-after", &seconds.to_string()),
            None => response,
        }
    }

    /// The URL of the request itself.
    pub(crate) fn own_url(&self) -> String {
        let request = self.request;
        format!("https://{}{}?{}", request.cloud.names().management, request.path, request.query)
    }

    fn operation_url(&self, operation: &LongOperation, collection: &str) -> String {
        let host = self.request.cloud.names().management;
        let (provider, region) = (operation.kind.provider(), &operation.region);
        let api_version =
            if provider == "Microsoft.Network" { self.api_version } else { OPERATIONS_API_VERSION };
        let (certificate, signature) =
            operation.signature.split_at_checked(32).unwrap_or(("", &operation.signature));
        format!(
            "https://{host}/subscriptions/{}/providers/{provider}/locations/{region}/{collection}/{}?api-version={api_version}&t={}&c={certificate}&s={signature}&h=sandbox",
            self.subscription,
            operation.id,
            // In units of 100 ns.
            operation.started_ms * 10_000,
        )
    }
}
