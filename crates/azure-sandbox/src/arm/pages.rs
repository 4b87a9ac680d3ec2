//! Pages of lists.

use http::StatusCode;

use super::error::ArmError;
use crate::recordings::Page;
use crate::request::AzureRequest;
use crate::response::SandboxResponse;

fn invalid_skip_token() -> ArmError {
    ArmError::new(StatusCode::BAD_REQUEST, "InvalidSkipToken", "The skip token of the request is invalid.")
}

/// The response `{"value":[…],"nextLink":…}` with items that are serialized JSON.
pub(crate) fn list_response<'a>(
    items: impl IntoIterator<Item = &'a [u8]>,
    next: Option<&str>,
) -> SandboxResponse {
    let mut body = b"{\"value\":[".to_vec();
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    body.push(b']');
    if let Some(next) = next {
        body.extend_from_slice(b",\"nextLink\":");
        body.extend_from_slice(&serde_json::to_vec(next).unwrap_or_default());
    }
    body.push(b'}');
    SandboxResponse::new(StatusCode::OK, body)
}

/// The requested page of `items`.
pub(crate) fn page(
    items: &[&[u8]],
    request: &AzureRequest,
    page_size: usize,
) -> Result<SandboxResponse, ArmError> {
    let start = request.skip_index().ok_or_else(invalid_skip_token)?;
    let remaining = items.get(start..).ok_or_else(invalid_skip_token)?;
    let page = remaining.get(..page_size).unwrap_or(remaining);
    let next = (page.len() < remaining.len()).then(|| request.next_link(start + page.len()));
    Ok(list_response(page.iter().copied(), next.as_deref()))
}

/// The requested page of a recording.
pub(crate) fn recorded_page(pages: &[Page], request: &AzureRequest) -> Result<SandboxResponse, ArmError> {
    let index = request.skip_index().ok_or_else(invalid_skip_token)?;
    let page = pages.get(index).ok_or_else(invalid_skip_token)?;
    let next = (index + 1 < pages.len()).then(|| request.next_link(index + 1));
    Ok(page.to_response(next.as_deref()))
}
