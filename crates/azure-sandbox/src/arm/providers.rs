//! Resource providers, and their registration.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use super::error::ArmError;
use crate::operation::{LongOperation, OperationKind, Target};
use crate::response::SandboxResponse;

/// The supported resource providers in Azure's spelling.
const PROVIDERS: [&str; 8] = [
    "Microsoft.Compute",
    "Microsoft.ContainerService",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.OperationsManagement",
    "Microsoft.Resources",
    "Microsoft.Storage",
];

pub(crate) fn get(call: &Call<'_>, namespace: &str) -> Result<SandboxResponse, ArmError> {
    let provider = find_provider(namespace)?;
    Ok(SandboxResponse::json(StatusCode::OK, &provider_body(call, provider)))
}

pub(crate) fn register(call: &mut Call<'_>, namespace: &str) -> Result<SandboxResponse, ArmError> {
    let provider = find_provider(namespace)?;
    if !call.resources.is_registered(provider) && !is_registering(call, provider) {
        call.start(LongOperation::new(OperationKind::RegisterProvider, Target::provider(provider), ""));
    }
    Ok(SandboxResponse::json(StatusCode::OK, &provider_body(call, provider)))
}

fn find_provider(namespace: &str) -> Result<&'static str, ArmError> {
    let provider = PROVIDERS.into_iter().find(|provider| provider.eq_ignore_ascii_case(namespace));
    provider.ok_or_else(|| {
        let text = format!("The resource namespace '{namespace}' is invalid.");
        ArmError::new(StatusCode::NOT_FOUND, "InvalidResourceNamespace", text)
    })
}

fn is_registering(call: &Call<'_>, provider: &str) -> bool {
    call.resources.running().any(|operation| {
        operation.kind == OperationKind::RegisterProvider && operation.target.name() == provider
    })
}

fn provider_body(call: &Call<'_>, provider: &str) -> Value {
    let state = if call.resources.is_registered(provider) {
        "Registered"
    } else if is_registering(call, provider) {
        "Registering"
    } else {
        "NotRegistered"
    };
    let locations: Vec<&str> = call
        .sandbox
        .catalog
        .physical_regions(call.request.cloud)
        .map(|region| region.display_name.as_str())
        .collect();
    let types: BTreeMap<&str, &Vec<String>> = call
        .sandbox
        .catalog
        .api_versions
        .iter()
        .filter_map(|(full_type, versions)| {
            let (namespace, short_type) = full_type.split_once('/')?;
            namespace.eq_ignore_ascii_case(provider).then_some((short_type, versions))
        })
        .collect();
    let types: Vec<Value> = types
        .into_iter()
        .map(|(short_type, versions)| {
            let newest_first: Vec<&String> = versions.iter().rev().collect();
            json!({"resourceType": short_type, "locations": locations, "apiVersions": newest_first, "capabilities": "None"})
        })
        .collect();
    json!({
        "id": format!("/subscriptions/{}/providers/{provider}", call.subscription),
        "namespace": provider,
        "resourceTypes": types,
        "registrationState": state,
        "registrationPolicy": "RegistrationRequired",
    })
}
