//! The schemas of response bodies for which the handlers have no type.

use serde::Serialize;
use utoipa::ToSchema;

/// The body of a 401 under `/meta` and `/v3`.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"type": "error", "status": "401", "message": "Unauthorized 401: must authenticate"}))]
pub(super) struct UnauthorizedError {
    /// Always `error`.
    r#type: String,
    /// Always `401`, as a string.
    status: String,
    /// The remedy.
    message: String,
}

/// The body of a 401 of aksCheckCredentials. If Azure rejects the credential: `error`, `requestId` and related fields. If the
/// request has no valid token: `type`, `status` and `message`. One object with all keys, because client generators have no good
/// name for a choice between the two.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckRefusal {
    /// The reason why Azure rejects the credential, in Rancher's words; has several lines.
    #[schema(nullable = false)]
    error: Option<String>,
    /// Azure's code, for example `AADSTS7000215`.
    #[schema(nullable = false)]
    code: Option<String>,
    /// The HTTP status of Azure's response.
    #[schema(nullable = false)]
    upstream_status: Option<u16>,
    /// The remedy.
    #[schema(nullable = false)]
    hint: Option<String>,
    /// The ID of the request in the server's log, which contains the cause.
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// `error`, if the request has no valid token.
    #[schema(nullable = false)]
    r#type: Option<String>,
    /// `401`, as a string.
    #[schema(nullable = false)]
    status: Option<String>,
    /// The remedy for the missing token.
    #[schema(nullable = false)]
    message: Option<String>,
}
