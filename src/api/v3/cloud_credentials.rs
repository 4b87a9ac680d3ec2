//! `/v3/cloudcredentials`.

use aks::ids::CREDENTIAL_NAMESPACE;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::WARNING;
use http::{HeaderValue, Method, StatusCode, Uri};
use secrecy::SecretString;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{
    ActionQuery, ChangeFailures, ChangeQuery, ErasureQuery, ListQuery, PostFailures, ReadFailures,
};
use super::schemas::CLOUD_CREDENTIAL;
use super::{asked_path, metadata, served};
use crate::api::auth::Authenticated;
use crate::api::norman::body::Body;
use crate::api::norman::collection::Collection;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::input::{self, Object, Operation};
use crate::api::norman::links::Links;
use crate::api::norman::openapi::{Form, documented};
use crate::api::norman::reply;
use crate::api::norman::resource::{Resource, Rights, put_text};
use crate::api::state::AppState;
use crate::service::Invalid;
use crate::service::actor::Actor;
use crate::service::credentials::{AzureChange, Change, Credential, CredentialChange, Deleted, Mode};

/// The most clusters that a header names.
const MAX_NAMED: usize = 10;

/// The kind of configuration that is kept here.
const CONFIG: &str = "azurecredentialConfig";

documented!(
    /// A stored Azure credential.
    CloudCredential,
    &CLOUD_CREDENTIAL,
    Form::Answer
);
documented!(
    /// What makes or changes a stored Azure credential.
    CloudCredentialInput,
    &CLOUD_CREDENTIAL,
    Form::Input
);
documented!(
    /// A list of stored Azure credentials.
    CloudCredentialCollection,
    [CloudCredential]
);

pub(super) fn router() -> OpenApiRouter<AppState> {
    let others = ["/v3/cloudcredentials/", "/v3/cloudCredentials", "/v3/cloudCredentials/"];
    let api = served(OpenApiRouter::new(), routes!(list_cloud_credentials, create_cloud_credential), &others);
    let others = ["/v3/cloudcredentials/{id}/", "/v3/cloudCredentials/{id}", "/v3/cloudCredentials/{id}/"];
    let single = routes!(
        get_cloud_credential,
        update_cloud_credential,
        delete_cloud_credential,
        post_cloud_credential
    );
    served(api, single, &others)
}

/// The cloud credentials of the caller; those of everybody for administrators.
#[utoipa::path(
    get,
    path = "/v3/cloudcredentials",
    operation_id = "listCloudCredentials",
    tag = "Cloud credentials",
    params(ListQuery),
    responses((status = 200, description = "One page of the list", body = CloudCredentialCollection), ReadFailures),
)]
async fn list_cloud_credentials(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let credentials = state.credentials().list(&caller).await?;
    let objects = credentials.into_iter().map(|credential| view(credential, &links)).collect();
    Ok(Collection::page(&CLOUD_CREDENTIAL, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// Stores a credential. Azure is not asked; aksCheckCredentials does that.
#[utoipa::path(
    post,
    path = "/v3/cloudcredentials",
    operation_id = "createCloudCredential",
    tag = "Cloud credentials",
    request_body = CloudCredentialInput,
    responses((status = 201, description = "The credential as it is stored", body = CloudCredential), ChangeFailures),
)]
async fn create_cloud_credential(
    State(state): State<AppState>,
    actor: Actor,
    links: Links,
    Body(body): Body,
) -> Result<Response, Error> {
    let change = change(body, Operation::Create)?;
    let credential = state.credentials().create(&actor, change).await?;
    Ok(reply::json(StatusCode::CREATED, &view(credential, &links)))
}

/// One cloud credential.
#[utoipa::path(
    get,
    path = "/v3/cloudcredentials/{id}",
    operation_id = "getCloudCredential",
    tag = "Cloud credentials",
    params(("id" = String, Path, description = "The id", example = "cattle-global-data:cc-q2w4x")),
    responses((status = 200, description = "The credential", body = CloudCredential), ReadFailures),
)]
async fn get_cloud_credential(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let credential = state.credentials().get(&caller, &id).await?;
    Ok(reply::json(StatusCode::OK, &view(credential, &links)))
}

/// Changes a cloud credential. A client secret that is not sent stays.
#[utoipa::path(
    put,
    path = "/v3/cloudcredentials/{id}",
    operation_id = "updateCloudCredential",
    tag = "Cloud credentials",
    params(("id" = String, Path, description = "The id", example = "cattle-global-data:cc-q2w4x"), ChangeQuery),
    request_body = CloudCredentialInput,
    responses((status = 200, description = "The credential as it is stored", body = CloudCredential), ChangeFailures),
)]
async fn update_cloud_credential(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
    query: Query,
    Body(body): Body,
) -> Result<Response, Error> {
    let change = change(body, Operation::Update)?;
    let mode = if query.is_on("_replace") { Mode::Replace } else { Mode::Merge };
    let credential = state.credentials().update(&actor, &id, change, mode).await?;
    Ok(reply::json(StatusCode::OK, &view(credential, &links)))
}

/// Deletes a cloud credential.
///
/// One that clusters use is kept for them, and does not exist for callers any more: a `Warning` header names the clusters. Its
/// secret is erased when the last of them uses another credential or is gone.
#[utoipa::path(
    delete,
    path = "/v3/cloudcredentials/{id}",
    operation_id = "deleteCloudCredential",
    tag = "Cloud credentials",
    params(("id" = String, Path, description = "The id", example = "cattle-global-data:cc-q2w4x"), ErasureQuery),
    responses((status = 200, description = "The credential as it was", body = CloudCredential), ChangeFailures),
)]
async fn delete_cloud_credential(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
    query: Query,
) -> Result<Response, Error> {
    match query.first("force") {
        None | Some("false") => {
            let deleted = state.credentials().delete(&actor, &id).await?;
            let warning = deletion_warning(&deleted);
            let mut response = reply::json(StatusCode::OK, &view(deleted.credential, &links));
            if let Some(warning) = warning {
                response.headers_mut().insert(WARNING, warning);
            }
            Ok(response)
        }
        Some("true") => {
            let erased = state.credentials().erase(&actor, &id).await?;
            Ok(reply::json(StatusCode::OK, &view(erased, &links)))
        }
        Some(_) => Err(Invalid::field("InvalidOption", "force", "force must be true or false").into()),
    }
}

/// The `Warning` header of a deletion that is pending; `None` when the credential is erased.
fn deletion_warning(deleted: &Deleted) -> Option<HeaderValue> {
    let mut users: Vec<_> = deleted
        .clusters
        .iter()
        .take(MAX_NAMED)
        .map(|cluster| format!("{} ({})", cluster.name, cluster.id))
        .collect();
    match deleted.clusters.len().saturating_sub(MAX_NAMED) + deleted.others {
        0 => {}
        1 => users.push("1 more cluster".to_owned()),
        more => users.push(format!("{more} more clusters")),
    }
    if users.is_empty() {
        return None;
    }
    let text = format!(
        "cloud credential is deleted and kept for {}; its secret is erased when the last of them uses another credential or is \
         removed; DELETE with force=true erases it at once",
        users.join(", ")
    );
    // Headers are ASCII, and the text stands between quotation marks.
    let text: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => '\'',
            ' '..='~' => c,
            _ => '?',
        })
        .collect();
    HeaderValue::try_from(format!("299 - \"{text}\"")).ok()
}

/// Changes or removes a cloud credential, for clients that can only POST.
#[utoipa::path(
    post,
    path = "/v3/cloudcredentials/{id}",
    operation_id = "postCloudCredential",
    tag = "Cloud credentials",
    params(("id" = String, Path, description = "The id", example = "cattle-global-data:cc-q2w4x"), ActionQuery),
    request_body = Option<CloudCredentialInput>,
    responses((status = 200, description = "As for the method that is meant", body = CloudCredential), PostFailures),
)]
async fn post_cloud_credential(
    state: State<AppState>,
    actor: Actor,
    id: Path<String>,
    links: Links,
    query: Query,
    body: Result<Body, Error>,
) -> Result<Response, Error> {
    match query.first("_method") {
        Some("PUT") => update_cloud_credential(state, actor, id, links, query, body?).await,
        Some("DELETE") => delete_cloud_credential(state, actor, id, links, query).await,
        _ => {
            state.credentials().get(&actor.caller, &id).await?;
            Err(match query.first("action") {
                None => Error::method(&Method::POST),
                Some(action) => Error::no_action(action, &CLOUD_CREDENTIAL),
            })
        }
    }
}

/// The credential on the wire. The secret is not even known here.
fn view(credential: Credential, links: &Links) -> Object {
    let mut config = Object::new();
    put_text(&mut config, "clientId", credential.client_id);
    put_text(&mut config, "environment", credential.environment);
    put_text(&mut config, "subscriptionId", credential.subscription_id);
    put_text(&mut config, "tenantId", credential.tenant_id);
    let mut fields = Object::from_iter([
        ("annotations".to_owned(), serde_json::json!(credential.annotations)),
        (CONFIG.to_owned(), Value::Object(config)),
        ("labels".to_owned(), serde_json::json!(credential.labels)),
        ("name".to_owned(), Value::String(credential.name)),
    ]);
    put_text(&mut fields, "description", credential.description);
    let resource = Resource {
        schema: &CLOUD_CREDENTIAL,
        path: &format!("/v3/cloudCredentials/{}", credential.id),
        id: &credential.id,
        uuid: Some(&credential.uuid),
        creator: Some(&credential.owner),
        created_ms: Some(credential.created_ms),
        // Only those who may change a credential get to see it.
        rights: Rights::ALL,
    };
    resource.object(links, fields)
}

/// What the body says.
fn change(body: Object, operation: Operation) -> Result<CredentialChange, Error> {
    refuse_other_drivers(&body)?;
    refuse_other_namespaces(&body)?;
    let mut input = input::convert(&CLOUD_CREDENTIAL, body, operation)?;
    let azure = match input.remove(CONFIG) {
        Some(Value::Object(config)) => Some(azure_change(config)),
        _ => None,
    };
    Ok(CredentialChange {
        name: text(&mut input, "name"),
        description: text(&mut input, "description"),
        metadata: metadata::take(&mut input),
        azure,
    })
}

fn azure_change(mut config: Object) -> AzureChange {
    let client_secret = match config.remove("clientSecret") {
        Some(Value::String(secret)) => Some(SecretString::from(secret)),
        _ => None,
    };
    AzureChange {
        tenant_id: text(&mut config, "tenantId"),
        subscription_id: text(&mut config, "subscriptionId"),
        client_id: text(&mut config, "clientId"),
        environment: text(&mut config, "environment"),
        client_secret,
    }
}

/// Rancher keeps the first configuration of any driver; here there is only Azure's.
fn refuse_other_drivers(body: &Object) -> Result<(), Invalid> {
    if body.get(CONFIG).is_some_and(|config| !config.is_null()) {
        return Ok(());
    }
    let other = body.iter().find(|(key, value)| key.ends_with("Config") && !value.is_null());
    match other.filter(|(key, _)| key.as_str() != CONFIG) {
        None => Ok(()),
        Some((key, _)) => {
            let message = format!("only Azure credentials are kept here: send {CONFIG} instead of {key}");
            Err(Invalid::field("InvalidOption", key, message))
        }
    }
}

/// There is one namespace of credentials; it is not shown, but clients may name it.
fn refuse_other_namespaces(body: &Object) -> Result<(), Invalid> {
    let namespace = body.get("namespaceId").and_then(Value::as_str).unwrap_or_default();
    if namespace.is_empty() || namespace == CREDENTIAL_NAMESPACE {
        return Ok(());
    }
    let message = format!(
        "error creating namespaced resource, cannot assign to {CREDENTIAL_NAMESPACE} \
         since already assigned to {namespace} namespace"
    );
    Err(Invalid::field("InvalidOption", "namespaceId", message))
}

fn text(input: &mut Object, key: &str) -> Change<String> {
    match input.remove(key) {
        None => Change::Keep,
        Some(Value::String(text)) => Change::Set(text),
        Some(_) => Change::Clear,
    }
}
