//! `/api/v1/users`, for administrators: lists users with the numbers of their objects, and deletes users, whose objects are
//! handed over to a new owner. `PUT /v3/users/{id}` enables and disables users.

use axum::extract::{Path, State};
use axum::response::Response;
use clock::rfc3339;
use http::StatusCode;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::api::auth::Authenticated;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::json;
use crate::api::openapi::failures::{ChangeFailures, ReadFailures};
use crate::api::state::AppState;
use crate::service::actor::Actor;
use crate::service::users::{self, AccountRow, OwnedRow, User};

/// All users.
#[derive(Serialize, ToSchema)]
struct UserAccountList {
    /// The users, by name.
    users: Vec<UserAccount>,
}

/// A user and the numbers of its objects.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UserAccount {
    /// The ID.
    #[schema(example = "user-gxwms")]
    id: String,
    /// The unique name.
    #[schema(example = "ann")]
    name: String,
    /// Whether the user is an administrator, who may do everything.
    administrator: bool,
    /// Whether its tokens are accepted.
    enabled: bool,
    /// The time at which its first token was created.
    #[schema(format = DateTime)]
    created: String,
    /// The time at which one of its tokens was last used, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    last_used: Option<String>,
    /// The number of tokens that have not expired.
    tokens: i64,
    /// The number of memberships in other users' clusters.
    memberships: i64,
    /// The number of clusters that it owns.
    clusters: i64,
    /// The number of cloud credentials that it owns.
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

/// An object that a user owns or owned.
#[derive(Serialize, ToSchema)]
struct OwnedObject {
    /// The ID.
    #[schema(example = "c-x7k9z")]
    id: String,
    /// The display name; may be empty.
    #[schema(example = "shop")]
    name: String,
}

/// The ID and name of a user.
#[derive(Serialize, ToSchema)]
struct UserName {
    /// The ID.
    #[schema(example = "user-gxwms")]
    id: String,
    /// The name.
    #[schema(example = "ann")]
    name: String,
}

/// A deleted user, and the objects that it owned.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RemovedUser {
    user: UserName,
    /// The new owner of the clusters and cloud credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    handed_over_to: Option<UserName>,
    /// The clusters that were handed over.
    clusters: Vec<OwnedObject>,
    /// The cloud credentials that were handed over.
    cloud_credentials: Vec<OwnedObject>,
    /// The IDs of the deleted memberships.
    #[schema(example = json!(["c-x7k9z:crtb-q2w4x"]))]
    memberships: Vec<String>,
    /// The number of deleted tokens.
    tokens: u64,
}

impl From<AccountRow> for UserAccount {
    fn from(account: AccountRow) -> Self {
        Self {
            id: account.user.id,
            name: account.user.name,
            administrator: account.user.admin,
            enabled: account.user.enabled,
            created: rfc3339(account.user.created_ms),
            last_used: account.last_used_ms.map(rfc3339),
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

fn owned_objects(owned: Vec<OwnedRow>) -> Vec<OwnedObject> {
    owned.into_iter().map(|OwnedRow { id, name }| OwnedObject { id, name }).collect()
}

impl From<users::RemovedUser> for RemovedUser {
    fn from(removed: users::RemovedUser) -> Self {
        Self {
            user: removed.user.into(),
            handed_over_to: removed.new_owner.map(UserName::from),
            clusters: owned_objects(removed.owned.clusters),
            cloud_credentials: owned_objects(removed.owned.credentials),
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
    /// The user (ID or name) who becomes the owner of the clusters and cloud credentials. Without it, a user who owns any of
    /// them is not deleted.
    #[param(rename = "handOverTo", example = "user-5tb7c")]
    hand_over_to: Option<String>,
}

/// Lists all users with the numbers of their objects, for administrators.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    operation_id = "listUserAccounts",
    tag = "Users and tokens",
    responses((status = 200, description = "The users, by name", body = UserAccountList), ReadFailures),
)]
pub(super) async fn list_user_accounts(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
) -> Result<Response, Error> {
    let users = state.users.accounts(&caller).await?.into_iter().map(UserAccount::from).collect();
    Ok(json::respond(StatusCode::OK, &UserAccountList { users }))
}

/// Returns a user with the objects that it owns, for administrators.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}",
    operation_id = "getUserAccount",
    tag = "Users and tokens",
    params(("id" = String, Path, description = "The ID", example = "user-gxwms")),
    responses((status = 200, description = "The user", body = UserDetails), ReadFailures),
)]
pub(super) async fn get_user_account(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let (account, owned) = state.users.account(&caller, &id).await?;
    let details = UserDetails {
        user: account.into(),
        clusters: owned_objects(owned.clusters),
        cloud_credentials: owned_objects(owned.credentials),
    };
    Ok(json::respond(StatusCode::OK, &details))
}

/// Deletes a user and hands its objects over, for administrators.
///
/// Its tokens, memberships and open streams end in every server within two seconds. The change and its audit records are one
/// transaction: either everything is handed over and the user is deleted, or nothing changes. The last enabled administrator
/// and the caller itself cannot be deleted.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}",
    operation_id = "deleteUserAccount",
    tag = "Users and tokens",
    params(("id" = String, Path, description = "The ID", example = "user-gxwms"), HandOverQuery),
    responses((status = 200, description = "The deleted user, and the objects that were handed over or deleted", body = RemovedUser), ChangeFailures),
)]
pub(super) async fn delete_user_account(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response, Error> {
    query.reject_unknown(&["handOverTo"])?;
    let hand_over_to = query.first("handOverTo").filter(|name| !name.is_empty());
    let removed = state.users.remove(&actor, &id, hand_over_to).await?;
    Ok(json::respond(StatusCode::OK, &RemovedUser::from(removed)))
}
