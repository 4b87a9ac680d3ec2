//! `GET /api/v1/audit`: the audit log, for administrators.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::api::auth::Authenticated;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::json;
use crate::api::norman::links::Links;
use crate::api::openapi::failures::AuditFailures;
use crate::api::state::AppState;
use crate::service::Invalid;
use crate::service::audit::{self, AuditRow, Filter, MAX_PAGE_SIZE};

const PATH: &str = "/api/v1/audit";

/// The default number of records on a page.
const DEFAULT_LIMIT: u32 = 100;

/// An action of a caller on an object. Unknown strings are empty.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditRecord {
    /// The ID of the record.
    #[schema(example = "01a209ff-44e3-774a-94cd-94100ad0b89b")]
    id: String,
    /// The time, with milliseconds; for a counted action, the first time.
    #[schema(format = DateTime)]
    time: String,
    /// The ID of the caller; empty for commands and for changes by the server itself.
    #[schema(example = "user-gxwms")]
    user_id: String,
    /// The caller's name at that time; `command line` or `server` if there is no ID.
    #[schema(example = "ann")]
    user_name: String,
    /// The name of the caller's token.
    #[schema(example = "token-x7k9z")]
    token_name: String,
    /// `create`, `update`, `delete`, `use`, or the name of an action of the API, such as `generateKubeconfig`.
    #[schema(example = "create")]
    action: String,
    /// The type of the object.
    #[schema(example = "cluster")]
    object_type: String,
    /// The ID of the object.
    #[schema(example = "c-x7k9z")]
    object_id: String,
    /// `done`, `refused` or `failed`.
    #[schema(example = "done")]
    outcome: String,
    /// The ID of the request.
    #[schema(example = "01a209ff-44e3-774a-94cd-94100ad0b89b")]
    request_id: String,
    /// The client IP.
    #[schema(example = "192.0.2.7")]
    client_ip: String,
    /// Additional information.
    detail: String,
    /// The number of times within a minute, for a counted action: successful uses of cloud credentials by the actions under
    /// `/meta`, and updates of leases, events and status in clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 42, minimum = 1)]
    count: Option<i64>,
    /// The last time, with milliseconds, for a counted action.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_time: Option<String>,
}

impl From<AuditRow> for AuditRecord {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            time: audit::format_time(row.at_ms),
            user_id: row.user_id,
            user_name: row.user_name,
            token_name: row.token_name,
            action: row.action,
            object_type: row.object_type,
            object_id: row.object_id,
            outcome: row.outcome,
            request_id: row.request_id,
            client_ip: row.remote,
            detail: row.detail,
            count: row.counted.map(|counted| counted.count),
            last_time: row.counted.map(|counted| audit::format_time(counted.last_ms)),
        }
    }
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
struct AuditList {
    /// The records, newest first.
    data: Vec<AuditRecord>,
    /// The URL of the next page; `null` on the last page.
    #[schema(
        example = "https://norman.example.com/api/v1/audit?after=1787220672123.01a209ff-44e3-774a-94cd-94100ad0b89b"
    )]
    next: Option<String>,
}

/// The records to list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the handler reads")]
struct AuditQuery {
    /// Only records from this time on (RFC 3339).
    #[param(example = "2026-08-20T00:00:00Z")]
    since: Option<String>,
    /// Only records before this time (RFC 3339).
    #[param(example = "2026-08-21T00:00:00Z")]
    until: Option<String>,
    /// Only actions of this user: an ID or a name.
    #[param(example = "ann")]
    user: Option<String>,
    /// Only actions on objects of this type.
    #[param(rename = "objectType", example = "cluster")]
    object_type: Option<String>,
    /// Only actions on the object with this ID.
    #[param(example = "c-x7k9z")]
    object: Option<String>,
    /// Only this action.
    #[param(example = "delete")]
    action: Option<String>,
    /// The number of records on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The start of the page; use the value in `next`.
    after: Option<String>,
}

const PARAMETERS: [&str; 8] = ["since", "until", "user", "objectType", "object", "action", "limit", "after"];

/// Lists the audit log, newest record first; for administrators.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    operation_id = "listAudit",
    tag = "Audit",
    params(AuditQuery),
    responses((status = 200, description = "One page of the log", body = AuditList), AuditFailures),
)]
pub(super) async fn list_audit(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    links: Links,
    query: Query,
) -> Result<Response, Error> {
    let (filter, limit) = parse_query(&query)?;
    let page = state.audit_log.page(&caller, &filter, limit).await?;
    let next = page.next.map(|next| {
        let query = query.to_query_with("after", &audit::format_cursor(&next));
        links.url(&format!("{PATH}?{query}"))
    });
    let data = page.rows.into_iter().map(AuditRecord::from).collect();
    Ok(json::respond(StatusCode::OK, &AuditList { data, next }))
}

/// The filter and the number of records on a page.
fn parse_query(query: &Query) -> Result<(Filter, u32), Invalid> {
    query.reject_unknown(&PARAMETERS)?;
    let non_empty = |name: &str| query.first(name).filter(|value| !value.is_empty());
    let parse_time = |name: &str| {
        let parse = |text: &str| {
            let message = format!("{name} must be a time such as 2026-08-20T10:11:12Z");
            audit::parse_time(text).ok_or_else(|| Invalid::field("InvalidFormat", name, message))
        };
        non_empty(name).map(parse).transpose()
    };
    let limit = match non_empty("limit").map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit @ 1..=MAX_PAGE_SIZE)) => limit,
        Some(_) => {
            let message = format!("limit must be a whole number from 1 to {MAX_PAGE_SIZE}");
            return Err(Invalid::field("InvalidFormat", "limit", message));
        }
    };
    let filter = Filter {
        since_ms: parse_time("since")?,
        until_ms: parse_time("until")?,
        user: non_empty("user").map(str::to_owned),
        object_type: non_empty("objectType").map(str::to_owned),
        object_id: non_empty("object").map(str::to_owned),
        action: non_empty("action").map(str::to_owned),
        // Newest first: the records after the cursor are older.
        before: non_empty("after").map(|text| audit::parse_cursor("after", text)).transpose()?,
    };
    Ok((filter, limit))
}
