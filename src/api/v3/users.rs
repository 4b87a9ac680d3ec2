//! `/v3/users`: the users that the caller may see; administrators enable, disable and delete them. `/api/v1/users` also returns
//! the objects of a user, for which Rancher's type has no fields.

use serde_json::{Value, json};

use super::docs::UserQuery;
use super::schemas::USER;
use super::types::{Call, Deleted, IdParameter, Operation, V3Type};
use crate::api::norman::error::Error;
use crate::api::norman::input::{self, InputFor, Object};
use crate::api::norman::resource::{Resource, Rights, fields};
use crate::api::norman::schemas::Schema;
use crate::service::Invalid;
use crate::service::users::User;

/// The users.
pub(super) struct Users;

impl V3Type for Users {
    const SCHEMA: &'static Schema = &USER;
    const TAG: &'static str = "Users and tokens";
    const ID: IdParameter = IdParameter { description: "The ID", example: "user-gxwms" };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("The caller; for administrators, all users.").with_query::<UserQuery>(),
        Operation::get("One user: the caller, or any user for administrators.", "The user"),
        Operation::update(
            "Enables or disables a user; for administrators.\n\n\
             Within two seconds, every server rejects the tokens of a disabled user and ends its open streams. Its objects, tokens and\n\
             memberships are kept, and become valid again when it is enabled.",
            "The changed user",
        ),
        Operation::delete(
            "Deletes a user who owns nothing; for administrators.\n\n\
             Its tokens, memberships and open streams end in every server within two seconds. The deletion of a user who owns clusters\n\
             or cloud credentials is rejected with a list of them; `DELETE /api/v1/users/{id}` hands them over.",
            "The deleted user",
        ),
        Operation::post("Changes or deletes a user, for clients that can only POST."),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        let users = call.state.users.list(call.caller()).await?;
        Ok(users.into_iter().map(|user| view(user, call)).collect())
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        Ok(view(call.state.users.get(call.caller(), id).await?, call))
    }

    async fn update(call: &Call, id: &str, body: Object) -> Result<Object, Error> {
        let input = input::convert(&USER, body, InputFor::Update)?;
        let users = &call.state.users;
        let user = users.get(call.caller(), id).await?;
        for key in ["name", "username"] {
            if let Some(name) = input.get(key).and_then(Value::as_str).filter(|name| *name != user.name) {
                let message = format!("{key} is {} and cannot be changed to {name}", user.name);
                return Err(Invalid::field("InvalidOption", key, message).into());
            }
        }
        let user = match input.get("enabled").and_then(Value::as_bool) {
            Some(enabled) => users.set_enabled(&call.actor, id, enabled).await?,
            None => user,
        };
        Ok(view(user, call))
    }

    async fn delete(call: &Call, id: &str) -> Result<Deleted, Error> {
        let removed = call.state.users.remove(&call.actor, id, None).await?;
        Ok(view(removed.user, call).into())
    }
}

fn view(user: User, call: &Call) -> Object {
    let caller = call.caller();
    let is_caller = user.id == caller.user_id;
    let fields = fields([
        ("enabled", json!(user.enabled)),
        ("me", json!(is_caller)),
        ("name", json!(user.name)),
        ("principalIds", json!([format!("local://{}", user.id)])),
        ("state", json!(if user.enabled { "active" } else { "inactive" })),
        ("transitioning", json!("no")),
        ("username", json!(user.name)),
    ]);
    let rights = Rights { update: caller.admin, remove: caller.admin && !is_caller };
    let resource = Resource::new(&USER, &user.id, rights);
    Resource { created_ms: Some(user.created_ms), ..resource }.to_object(&call.links, fields)
}
