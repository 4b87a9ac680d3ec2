//! Bodies of responses that no type of the handlers describes.

use serde::Serialize;
use utoipa::ToSchema;

/// The body of a 401 anywhere under `/meta` and `/v3`.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"type": "error", "status": "401", "message": "Unauthorized 401: must authenticate"}))]
pub(super) struct UnauthorizedError {
    /// Always `error`.
    r#type: String,
    /// Always `401`, as text.
    status: String,
    /// What to do.
    message: String,
}

/// The body of a 401 of aksCheckCredentials. Azure refuses the credential: `error`, `requestId` and what goes with them. The
/// request has no valid token: `type`, `status` and `message`. One object with all keys, because generators of clients have no
/// good name for a choice between the two.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckRefusal {
    /// Why Azure refuses the credential, in Rancher's words; the text has several lines.
    #[schema(nullable = false)]
    error: Option<String>,
    /// Azure's own code, for example `AADSTS7000215`.
    #[schema(nullable = false)]
    code: Option<String>,
    /// The HTTP status with which Azure refused.
    #[schema(nullable = false)]
    upstream_status: Option<u16>,
    /// What to do about it.
    #[schema(nullable = false)]
    hint: Option<String>,
    /// The id under which the server's log tells the cause.
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// `error`, when the request has no valid token.
    #[schema(nullable = false)]
    r#type: Option<String>,
    /// `401`, as text.
    #[schema(nullable = false)]
    status: Option<String>,
    /// What to do about the missing token.
    #[schema(nullable = false)]
    message: Option<String>,
}
