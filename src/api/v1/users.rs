//! `/api/v1/users`: users with what belongs to them, and their removal with a new owner of it, for administrators.
//! Enabling and disabling is `PUT /v3/users/{id}`.

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::auth::Authenticated;
use crate::api::methods::reject_others;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::reply;
use crate::api::norman::resource::date;
use crate::api::openapi::failures::{ChangeFailures, ReadFailures};
use crate::api::state::AppState;
use crate::service::actor::Actor;
use crate::service::users::{Account, Property, Removed, User};

/// All users.
#[derive(Serialize, ToSchema)]
struct UserAccountList {
    /// By name.
    users: Vec<UserAccount>,
}

/// A user, and how much belongs to it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UserAccount {
    /// The id.
    #[schema(example = "user-gxwms")]
    id: String,
    /// The name; no other user has it.
    #[schema(example = "ann")]
    name: String,
    /// Whether it sees and may do everything.
    administrator: bool,
    /// Whether its tokens are accepted.
    enabled: bool,
    /// When its first token was made.
    #[schema(format = DateTime)]
    created: String,
    /// When one of its tokens was last used, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    last_used: Option<String>,
    /// Tokens that have not expired.
    tokens: i64,
    /// Memberships in clusters of others.
    memberships: i64,
    /// Clusters that it owns.
    clusters: i64,
    /// Cloud credentials that it owns.
    cloud_credentials: i64,
}

/// A user, and the objects that it owns.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UserDetails {
    user: UserAccount,
    /// The clusters, oldest first.
    clusters: Vec<OwnedObject>,
    /// The cloud credentials, oldest first.
    cloud_credentials: Vec<OwnedObject>,
}

/// An object that a user owns, or owned.
#[derive(Serialize, ToSchema)]
struct OwnedObject {
    /// The id.
    #[schema(example = "c-x7k9z")]
    id: String,
    /// The name that people see; may be empty.
    #[schema(example = "shop")]
    name: String,
}

/// A user by id and name.
#[derive(Serialize, ToSchema)]
struct UserName {
    /// The id.
    #[schema(example = "user-gxwms")]
    id: String,
    /// The name.
    #[schema(example = "ann")]
    name: String,
}

/// A removed user, and what became of the rest.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RemovedUser {
    user: UserName,
    /// The owner of the clusters and cloud credentials from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    handed_over_to: Option<UserName>,
    /// The clusters that were handed over.
    clusters: Vec<OwnedObject>,
    /// The cloud credentials that were handed over.
    cloud_credentials: Vec<OwnedObject>,
    /// The memberships that ended, by id.
    #[schema(example = json!(["c-x7k9z:crtb-q2w4x"]))]
    memberships: Vec<String>,
    /// The number of tokens that ended.
    tokens: u64,
}

impl From<Account> for UserAccount {
    fn from(account: Account) -> Self {
        Self {
            id: account.user.id,
            name: account.user.name,
            administrator: account.user.admin,
            enabled: account.user.enabled,
            created: date(account.user.created_ms),
            last_used: account.last_used_ms.map(date),
            tokens: account.tokens,
            memberships: account.memberships,
            clusters: account.clusters,
            cloud_credentials: account.credentials,
        }
    }
}

impl From<User> for UserName {
    fn from(User { id, name, .. }: User) -> Self {
        Self { id, name }
    }
}

fn owned(properties: Vec<Property>) -> Vec<OwnedObject> {
    properties.into_iter().map(|Property { id, name }| OwnedObject { id, name }).collect()
}

impl From<Removed> for RemovedUser {
    fn from(removed: Removed) -> Self {
        Self {
            user: removed.user.into(),
            handed_over_to: removed.new_owner.map(UserName::from),
            clusters: owned(removed.properties.clusters),
            cloud_credentials: owned(removed.properties.credentials),
            memberships: removed.memberships,
            tokens: removed.tokens,
        }
    }
}

/// The new owner.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the handler reads")]
struct HandOverQuery {
    /// The user, by id or name, who gets the clusters and cloud credentials. Without it, a user who owns any is not removed.
    #[param(rename = "handOverTo", example = "user-5tb7c")]
    hand_over_to: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(reject_others(routes!(list_user_accounts)))
        .routes(reject_others(routes!(get_user_account, delete_user_account)))
}

/// All users with what belongs to them, for administrators.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    operation_id = "listUserAccounts",
    tag = "Users and tokens",
    responses((status = 200, description = "The users, by name", body = UserAccountList), ReadFailures),
)]
async fn list_user_accounts(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
) -> Result<Response, Error> {
    let users = state.users.accounts(&caller).await?.into_iter().map(UserAccount::from).collect();
    Ok(reply::json(StatusCode::OK, &UserAccountList { users }))
}

/// A user with the objects that it owns, for administrators.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}",
    operation_id = "getUserAccount",
    tag = "Users and tokens",
    params(("id" = String, Path, description = "The id", example = "user-gxwms")),
    responses((status = 200, description = "The user", body = UserDetails), ReadFailures),
)]
async fn get_user_account(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let (account, properties) = state.users.account(&caller, &id).await?;
    let details = UserDetails {
        user: account.into(),
        clusters: owned(properties.clusters),
        cloud_credentials: owned(properties.credentials),
    };
    Ok(reply::json(StatusCode::OK, &details))
}

/// Removes a user and hands over what it owns, as an administrator.
///
/// Its tokens, memberships and open streams end in every server within two seconds. All of it is one change with its audit
/// records: either everything is handed over and the user is gone, or nothing changed. The last enabled administrator and
/// the caller itself are not removed.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}",
    operation_id = "deleteUserAccount",
    tag = "Users and tokens",
    params(("id" = String, Path, description = "The id", example = "user-gxwms"), HandOverQuery),
    responses((status = 200, description = "The user as it was, and what became of the rest", body = RemovedUser), ChangeFailures),
)]
async fn delete_user_account(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response, Error> {
    let hand_over_to = query.first("handOverTo").filter(|name| !name.is_empty());
    let removed = state.users.remove(&actor, &id, hand_over_to).await?;
    Ok(reply::json(StatusCode::OK, &RemovedUser::from(removed)))
}
