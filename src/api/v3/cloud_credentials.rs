//! `/v3/cloudcredentials`.

use aks::ids::CREDENTIAL_NAMESPACE;
use http::HeaderValue;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::docs::{ChangeQuery, ErasureQuery};
use super::metadata;
use super::schemas::CLOUD_CREDENTIAL;
use super::types::{self, Call, IdParameter, Operation, V3Type};
use crate::api::norman::error::Error;
use crate::api::norman::input::{self, InputFor, Object};
use crate::api::norman::links::Links;
use crate::api::norman::resource::{Resource, Rights, fields, insert_non_empty};
use crate::api::norman::schemas::Schema;
use crate::service::Invalid;
use crate::service::credentials::{AzureChange, Credential, CredentialChange, Deleted, Mode};

/// The maximum number of clusters that a `Warning` header names.
const MAX_NAMED_CLUSTERS: usize = 10;

/// The key of Azure's configuration, the only supported one.
const CONFIG_KEY: &str = "azurecredentialConfig";

/// The stored Azure credentials.
pub(super) struct CloudCredentials;

impl V3Type for CloudCredentials {
    const SCHEMA: &'static Schema = &CLOUD_CREDENTIAL;
    const TAG: &'static str = "Cloud credentials";
    const ID: IdParameter = IdParameter { description: "The ID", example: "cattle-global-data:cc-q2w4x" };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("The cloud credentials of the caller; for administrators, all of them."),
        Operation::create(
            "Stores a credential without sending a request to Azure; aksCheckCredentials checks it.",
            "The stored credential",
        ),
        Operation::get("One cloud credential.", "The credential"),
        Operation::update(
            "Changes a cloud credential. A missing client secret is kept.",
            "The stored credential",
        )
        .with_query::<ChangeQuery>(),
        Operation::delete(
            "Deletes a cloud credential.\n\n\
             If clusters use it, it is kept for them, but no longer exists for callers: a `Warning` header names the clusters. Its\n\
             secret is erased when the last of them uses another credential or is removed.",
            "The deleted credential",
        )
        .with_query::<ErasureQuery>(),
        Operation::post("Changes or deletes a cloud credential, for clients that can only POST."),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        let credentials = call.state.credentials.list(call.caller()).await?;
        Ok(credentials.into_iter().map(|credential| view(credential, &call.links)).collect())
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        Ok(view(call.state.credentials.get(call.caller(), id).await?, &call.links))
    }

    async fn create(call: &Call, body: Object) -> Result<Object, Error> {
        let change = parse_change(body, InputFor::Create)?;
        Ok(view(call.state.credentials.create(&call.actor, change).await?, &call.links))
    }

    async fn update(call: &Call, id: &str, body: Object) -> Result<Object, Error> {
        let change = parse_change(body, InputFor::Update)?;
        let mode = if call.query.is_on("_replace") { Mode::Replace } else { Mode::Merge };
        Ok(view(call.state.credentials.update(&call.actor, id, change, mode).await?, &call.links))
    }

    async fn delete(call: &Call, id: &str) -> Result<types::Deleted, Error> {
        let credentials = &call.state.credentials;
        if call.query.is_forced()? {
            return Ok(view(credentials.erase(&call.actor, id).await?, &call.links).into());
        }
        let deleted = credentials.delete(&call.actor, id).await?;
        let warning = deletion_warning(&deleted);
        Ok(types::Deleted { object: view(deleted.credential, &call.links), warning })
    }
}

/// The `Warning` header of a pending deletion; `None` if the credential is erased.
fn deletion_warning(deleted: &Deleted) -> Option<HeaderValue> {
    let mut names: Vec<_> = deleted
        .clusters
        .iter()
        .take(MAX_NAMED_CLUSTERS)
        .map(|cluster| format!("{} ({})", cluster.name, cluster.id))
        .collect();
    match deleted.clusters.len().saturating_sub(MAX_NAMED_CLUSTERS) + deleted.others {
        0 => {}
        1 => names.push("1 more cluster".to_owned()),
        count => names.push(format!("{count} more clusters")),
    }
    if names.is_empty() {
        return None;
    }
    let message = format!(
        "cloud credential is deleted and kept for {}; its secret is erased when the last of them uses another credential or is \
         removed; DELETE with force=true erases it at once",
        names.join(", ")
    );
    // Headers are ASCII, and the text is enclosed in quotation marks.
    let ascii: String = message
        .chars()
        .map(|character| match character {
            '"' | '\\' => '\'',
            ' '..='~' => character,
            _ => '?',
        })
        .collect();
    HeaderValue::try_from(format!("299 - \"{ascii}\"")).ok()
}

/// The credential on the wire, without its secret, which is not loaded.
fn view(credential: Credential, links: &Links) -> Object {
    let mut config = Object::new();
    insert_non_empty(&mut config, "clientId", credential.client_id);
    insert_non_empty(&mut config, "environment", credential.environment);
    insert_non_empty(&mut config, "subscriptionId", credential.subscription_id);
    insert_non_empty(&mut config, "tenantId", credential.tenant_id);
    let mut fields = fields([
        ("annotations", json!(credential.annotations)),
        (CONFIG_KEY, Value::Object(config)),
        ("labels", json!(credential.labels)),
        ("name", Value::String(credential.name)),
    ]);
    insert_non_empty(&mut fields, "description", credential.description);
    let resource = Resource {
        uuid: Some(&credential.uuid),
        creator: Some(&credential.owner),
        created_ms: Some(credential.created_ms),
        // Callers who see a credential may change it.
        ..Resource::new(&CLOUD_CREDENTIAL, &credential.id, Rights::ALL)
    };
    resource.to_object(links, fields)
}

/// Converts the body.
fn parse_change(body: Object, input_for: InputFor) -> Result<CredentialChange, Error> {
    reject_other_drivers(&body)?;
    reject_other_namespaces(&body)?;
    let mut input = input::convert(&CLOUD_CREDENTIAL, body, input_for)?;
    let azure = match input.remove(CONFIG_KEY) {
        Some(Value::Object(config)) => Some(parse_azure_change(config)),
        _ => None,
    };
    Ok(CredentialChange {
        name: metadata::take_change(&mut input, "name"),
        description: metadata::take_change(&mut input, "description"),
        metadata: metadata::take(&mut input),
        azure,
    })
}

fn parse_azure_change(mut config: Object) -> AzureChange {
    let client_secret = match config.remove("clientSecret") {
        Some(Value::String(secret)) => Some(SecretString::from(secret)),
        _ => None,
    };
    AzureChange {
        tenant_id: metadata::take_change(&mut config, "tenantId"),
        subscription_id: metadata::take_change(&mut config, "subscriptionId"),
        client_id: metadata::take_change(&mut config, "clientId"),
        environment: metadata::take_change(&mut config, "environment"),
        client_secret,
    }
}

/// Rejects the configurations of other drivers: Rancher stores the first one of any driver, this server only Azure's.
fn reject_other_drivers(body: &Object) -> Result<(), Invalid> {
    if body.get(CONFIG_KEY).is_some_and(|config| !config.is_null()) {
        return Ok(());
    }
    let other_config = body.iter().find(|(key, value)| key.ends_with("Config") && !value.is_null());
    match other_config {
        None => Ok(()),
        Some((key, _)) => {
            let message = format!("only Azure credentials are supported: send {CONFIG_KEY} instead of {key}");
            Err(Invalid::field("InvalidOption", key, message))
        }
    }
}

/// All credentials are in one namespace. Clients may send it, although responses omit it.
fn reject_other_namespaces(body: &Object) -> Result<(), Invalid> {
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
