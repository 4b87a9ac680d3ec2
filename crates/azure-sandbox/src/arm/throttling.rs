//! Throttling of requests: counts them against the budget of their subscription, and builds the 429 responses.

use http::StatusCode;

use super::error::ArmError;
use super::route::Target;
use crate::budget::{RateLimitHeaders, Throttled};
use crate::request::AzureRequest;
use crate::state::{SandboxState, State, Token};

/// Counts the request against the budget of its subscription. Sets the rate-limit headers of the response even if the
/// request is throttled.
pub(super) fn count_request(
    sandbox: &SandboxState,
    state: &mut State,
    request: &AzureRequest,
    target: &Target,
    token: &Token,
    rate_limit_headers: &mut RateLimitHeaders,
) -> Result<(), ArmError> {
    let id = target.subscription.to_ascii_lowercase();
    let Some(subscription) = state.subscriptions.get_mut(&id) else { return Ok(()) };
    let is_compute = target.route.provider() == Some("Microsoft.Compute");
    let now_ms = sandbox.clock.now_ms();
    let (headers, outcome) = subscription.budget.count(&token.client_id, &request.method, is_compute, now_ms);
    *rate_limit_headers = headers;
    outcome.map_err(|Throttled { is_compute, retry_after_seconds }| {
        if is_compute {
            let text = "The server rejected the request because too many requests have been received for this subscription.";
            let error = ArmError::from_provider(StatusCode::TOO_MANY_REQUESTS, "OperationNotAllowed", text);
            return error.with_header("retry-after", retry_after_seconds.to_string());
        }
        too_many_requests(&subscription.id, retry_after_seconds)
    })
}

/// The 429 error of Resource Manager; the error of Compute differs.
pub(super) fn too_many_requests(subscription: &str, retry_after_seconds: u64) -> ArmError {
    let text = format!(
        "Number of requests for subscription '{subscription}' exceeded the limit. Try again after '{retry_after_seconds}' seconds."
    );
    let error = ArmError::new(StatusCode::TOO_MANY_REQUESTS, "SubscriptionRequestsThrottled", text);
    error.with_header("retry-after", retry_after_seconds.to_string())
}
