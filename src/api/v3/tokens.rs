//! `/v3/tokens`: the caller's own tokens. Terraform checks the tokens of its kubeconfigs here
//! (`docs/contract/terraform.md#kubeconfig`).

use clock::rfc3339;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::metadata;
use super::schemas::TOKEN;
use super::types::{Call, Deleted, IdParameter, Operation, V3Type};
use crate::api::norman::error::Error;
use crate::api::norman::input::{self, InputFor, Object, take_text};
use crate::api::norman::resource::{Resource, Rights, fields, insert_non_empty};
use crate::api::norman::schemas::Schema;
use crate::service::own_tokens::NewOwnToken;
use crate::service::tokens::TokenInfo;

/// The tokens of the caller.
pub(super) struct Tokens;

impl V3Type for Tokens {
    const SCHEMA: &'static Schema = &TOKEN;
    const TAG: &'static str = "Users and tokens";
    const ID: IdParameter = IdParameter { description: "The public part", example: "token-q2w4x" };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("The caller's tokens, without their secrets."),
        Operation::create(
            "Creates a token for the caller. Only this response contains its secret.",
            "The token with its secret",
        ),
        Operation::get("One token of the caller, without its secret.", "The token"),
        Operation::delete(
            "Revokes a token of the caller, everywhere within two seconds.",
            "The revoked token",
        ),
        Operation::post("Revokes a token of the caller, for clients that can only POST."),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        let tokens = call.state.own_tokens.list(call.caller()).await?;
        Ok(tokens.into_iter().map(|token| view(token, call)).collect())
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        Ok(view(call.state.own_tokens.get(call.caller(), id).await?, call))
    }

    async fn create(call: &Call, body: Object) -> Result<Object, Error> {
        let mut input = input::convert(&TOKEN, body, InputFor::Create)?;
        let token = NewOwnToken {
            description: take_text(&mut input, "description").unwrap_or_default(),
            ttl_ms: input.remove("ttl").and_then(|ttl| ttl.as_i64()).unwrap_or_default(),
            cluster_id: take_text(&mut input, "clusterId"),
            metadata: metadata::take(&mut input),
        };
        let (info, secret) = call.state.own_tokens.create(&call.actor, token).await?;
        let mut object = view(info, call);
        insert_non_empty(&mut object, "token", Some(secret.to_bearer().expose_secret().to_owned()));
        Ok(object)
    }

    async fn delete(call: &Call, id: &str) -> Result<Deleted, Error> {
        let token = call.state.own_tokens.revoke(&call.actor, id).await?;
        Ok(view(token, call).into())
    }
}

fn view(token: TokenInfo, call: &Call) -> Object {
    let ttl = token.expires_ms.map_or(0, |expires_ms| expires_ms.saturating_sub(token.created_ms));
    let mut fields = fields([
        ("authProvider", json!("local")),
        ("current", json!(token.name == call.caller().token_name)),
        ("description", json!(token.description)),
        // Tokens that expired or were revoked are not listed.
        ("enabled", json!(true)),
        ("expired", json!(false)),
        ("expiresAt", json!(token.expires_ms.map(rfc3339).unwrap_or_default())),
        ("isDerived", json!(true)),
        ("name", json!(token.name)),
        ("ttl", json!(ttl)),
        ("userId", json!(token.user_id)),
    ]);
    metadata::insert(&mut fields, &token.metadata);
    insert_non_empty(&mut fields, "clusterId", token.cluster_id);
    insert_non_empty(&mut fields, "lastUsedAt", token.last_used_ms.map(rfc3339));
    let resource = Resource::new(&TOKEN, &token.name, Rights { update: false, remove: true });
    Resource { created_ms: Some(token.created_ms), ..resource }.to_object(&call.links, fields)
}
