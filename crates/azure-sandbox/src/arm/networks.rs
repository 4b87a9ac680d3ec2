//! `Microsoft.Network/virtualNetworks` and their subnets. The used addresses of a subnet are derived from the pools in it.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::clusters::network::used_address_ids;
use super::error::ArmError;
use super::ranges::{overlaps, parse_ranges, subnet_ranges};
use crate::json;
use crate::operation::{LongOperation, OperationKind, Target};
use crate::response::SandboxResponse;
use crate::subscription::{Resource, find, find_mut, is_named, is_terminal};

const RESOURCE_TYPE: &str = "Microsoft.Network/virtualNetworks";

pub(crate) fn list(call: &Call<'_>) -> Result<SandboxResponse, ArmError> {
    call.page(call.in_scope(&call.resources.networks).map(|network| with_used_addresses(call, &network.body)))
}

pub(crate) fn handle_network(call: &mut Call<'_>, name: &str) -> Result<SandboxResponse, ArmError> {
    let group = call.group_name();
    match call.request.method {
        Method::PUT => create_or_update_network(call, &group, name),
        Method::DELETE => delete_network(call, &group, name),
        _ => {
            let network = find(&call.resources.networks, &group, name);
            let network = network.ok_or_else(|| ArmError::not_found(RESOURCE_TYPE, name, &group))?;
            Ok(SandboxResponse::json(StatusCode::OK, &with_used_addresses(call, &network.body)))
        }
    }
}

pub(crate) fn list_subnets(call: &Call<'_>, network: &str) -> Result<SandboxResponse, ArmError> {
    let network = parent_network(call, network)?;
    let network = with_used_addresses(call, &network.body);
    call.page(json::list(&network, "/properties/subnets").iter().cloned())
}

pub(crate) fn handle_subnet(
    call: &mut Call<'_>,
    network: &str,
    name: &str,
) -> Result<SandboxResponse, ArmError> {
    let (group, network) = (call.group_name(), parent_network(call, network)?.name.clone());
    match call.request.method {
        Method::PUT => create_or_update_subnet(call, &group, &network, name),
        Method::DELETE => delete_subnet(call, &group, &network, name),
        _ => {
            let network = parent_network(call, &network)?;
            let network_body = with_used_addresses(call, &network.body);
            let subnet =
                json::list(&network_body, "/properties/subnets").iter().find(|subnet| is_named(subnet, name));
            let subnet = subnet.ok_or_else(|| subnet_not_found(name, &network.name))?;
            Ok(SandboxResponse::json(StatusCode::OK, subnet))
        }
    }
}

fn parent_network<'a>(call: &'a Call<'_>, network: &str) -> Result<&'a Resource, ArmError> {
    let group = call.target.group.as_deref().unwrap_or_default();
    find(&call.resources.networks, group, network).ok_or_else(|| {
        if call.request.method == Method::GET {
            ArmError::not_found(RESOURCE_TYPE, network, group)
        } else {
            ArmError::parent_not_found(network)
        }
    })
}

fn subnet_not_found(name: &str, network: &str) -> ArmError {
    let text = format!("Subnet '{name}' is not found in virtual network '{network}'.");
    ArmError::from_provider(StatusCode::NOT_FOUND, "NotFound", text)
}

/// The network with the used addresses of its subnets.
fn with_used_addresses(call: &Call<'_>, network: &Value) -> Value {
    let mut network = network.clone();
    let subnets = network.pointer_mut("/properties/subnets").and_then(Value::as_array_mut);
    for subnet in subnets.into_iter().flatten() {
        let id = json::text(subnet, "/id").unwrap_or_default().to_owned();
        let used = used_address_ids(call.resources, &id);
        if !used.is_empty() {
            let used: Vec<Value> = used.into_iter().map(|id| json!({ "id": id })).collect();
            json::set(subnet, "/properties/ipConfigurations", used);
        }
    }
    network
}

fn network_id(call: &Call<'_>, group: &str, name: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{name}",
        call.subscription
    )
}

/// Checks the name of a network or subnet.
fn check_name(name: &str, lengths: std::ops::RangeInclusive<usize>) -> Result<(), ArmError> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_allowed = |c: char| is_word(c) || c == '.' || c == '-';
    let has_valid_ends = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.ends_with(is_word);
    if lengths.contains(&name.len()) && has_valid_ends && name.chars().all(is_allowed) {
        return Ok(());
    }
    let text = format!(
        "Resource name {name} is invalid. The name can be up to {} characters long. It must begin with a word character, and \
         it must end with a word character or with '_'. The name may contain word characters or '.', '-', '_'.",
        lengths.end()
    );
    Err(ArmError::from_provider(StatusCode::BAD_REQUEST, "InvalidResourceName", text))
}

fn create_or_update_network(
    call: &mut Call<'_>,
    group: &str,
    name: &str,
) -> Result<SandboxResponse, ArmError> {
    check_name(name, 2..=64)?;
    let mut body = call.body_object()?;
    let location = call.parse_location(&body, RESOURCE_TYPE)?;
    let old = find(&call.resources.networks, group, name);
    if let Some(old) = old.filter(|old| old.location() != location) {
        return Err(ArmError::location_conflict(name, old.location(), &location, group));
    }
    let address_ranges = json::texts(&body, "/properties/addressSpace/addressPrefixes");
    let address_ranges = parse_ranges(&address_ranges, "addressSpace")?;
    let id = network_id(call, group, name);
    let etag = format!("W/\"{}\"", Uuid::new_v4());
    let subnets: Vec<Value> = json::list(&body, "/properties/subnets").to_vec();
    let mut new_subnets = Vec::new();
    for subnet in subnets {
        let subnet = subnet_with_defaults(subnet, &id, &etag)?;
        check_subnet(&subnet, &address_ranges, &new_subnets)?;
        new_subnets.push(subnet);
    }
    check_removed_subnets(call, old, &new_subnets)?;
    let status = if old.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let guid = old.and_then(|old| json::text(&old.body, "/properties/resourceGuid"));
    let guid = guid.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    for (key, value) in
        [("name", name), ("id", &id), ("etag", &etag), ("type", RESOURCE_TYPE), ("location", &location)]
    {
        json::set(&mut body, &format!("/{key}"), value);
    }
    json::set(&mut body, "/properties/subnets", new_subnets);
    json::set(&mut body, "/properties/provisioningState", "Updating");
    json::set(&mut body, "/properties/resourceGuid", guid);
    for (key, value) in [
        ("virtualNetworkPeerings", json!([])),
        ("enableDdosProtection", json!(false)),
        ("privateEndpointVNetPolicies", json!("Disabled")),
    ] {
        json::set_default(&mut body, &format!("/properties/{key}"), value);
    }
    let resource = Resource { group: group.to_owned(), name: name.to_owned(), body };
    let response = SandboxResponse::json(status, &resource.body);
    match find_mut(&mut call.resources.networks, group, name) {
        Some(old) => old.body = resource.body,
        None => call.resources.networks.push(resource),
    }
    let operation =
        call.start(LongOperation::new(OperationKind::WriteNetwork, Target::resource(group, name), &location));
    Ok(call.with_operation_url(response, &operation))
}

/// Checks that no removed subnet is in use.
fn check_removed_subnets(call: &Call<'_>, old: Option<&Resource>, new: &[Value]) -> Result<(), ArmError> {
    let old_subnets = old.map(|old| json::list(&old.body, "/properties/subnets")).unwrap_or_default();
    for subnet in old_subnets {
        let name = json::text(subnet, "/name").unwrap_or_default();
        if !new.iter().any(|subnet| is_named(subnet, name)) {
            check_unused(call, subnet)?;
        }
    }
    Ok(())
}

fn check_unused(call: &Call<'_>, subnet: &Value) -> Result<(), ArmError> {
    let (id, name) = (json::text(subnet, "/id").unwrap_or_default(), json::text(subnet, "/name"));
    let used = used_address_ids(call.resources, id);
    let Some(first) = used.first() else { return Ok(()) };
    let text = format!(
        "Subnet {} is in use by {first} and cannot be deleted. In order to delete the subnet, delete all the \
         resources within the subnet. See aka.ms/deletesubnet.",
        name.unwrap_or_default()
    );
    Err(ArmError::from_provider(StatusCode::BAD_REQUEST, "InUseSubnetCannotBeDeleted", text))
}

fn delete_network(call: &mut Call<'_>, group: &str, name: &str) -> Result<SandboxResponse, ArmError> {
    let Some(network) = find(&call.resources.networks, group, name) else {
        return Ok(SandboxResponse::empty(StatusCode::NO_CONTENT));
    };
    for subnet in json::list(&network.body, "/properties/subnets") {
        check_unused(call, subnet)?;
    }
    let (name, location) = (network.name.clone(), network.location().to_owned());
    if let Some(network) = find_mut(&mut call.resources.networks, group, &name) {
        network.set_state("Deleting");
    }
    let operation = call.start(LongOperation::new(
        OperationKind::DeleteNetwork,
        Target::resource(group, &name),
        &location,
    ));
    Ok(call.with_result_url(SandboxResponse::empty(StatusCode::ACCEPTED), &operation))
}

fn create_or_update_subnet(
    call: &mut Call<'_>,
    group: &str,
    network: &str,
    name: &str,
) -> Result<SandboxResponse, ArmError> {
    let mut body = call.body_object()?;
    let Some(parent) = find(&call.resources.networks, group, network) else {
        return Err(ArmError::parent_not_found(network));
    };
    if !is_terminal(parent.state()) {
        let text = format!("Another operation on this or dependent resource is in progress: '{network}'.");
        return Err(ArmError::from_provider(
            StatusCode::TOO_MANY_REQUESTS,
            "AnotherOperationInProgress",
            text,
        ));
    }
    let location = parent.location().to_owned();
    let id = json::text(&parent.body, "/id").unwrap_or_default();
    json::set(&mut body, "/name", name);
    let subnet = subnet_with_defaults(body, id, &format!("W/\"{}\"", Uuid::new_v4()))?;
    let address_ranges =
        parse_ranges(&json::texts(&parent.body, "/properties/addressSpace/addressPrefixes"), "addressSpace")?;
    let mut others = json::list(&parent.body, "/properties/subnets").to_vec();
    let index = others.iter().position(|subnet| is_named(subnet, name));
    if let Some(index) = index {
        others.remove(index);
    }
    check_subnet(&subnet, &address_ranges, &others)?;
    let response =
        SandboxResponse::json(if index.is_some() { StatusCode::OK } else { StatusCode::CREATED }, &subnet);
    others.insert(index.unwrap_or(others.len()), subnet);
    if let Some(parent) = find_mut(&mut call.resources.networks, group, network) {
        json::set(&mut parent.body, "/properties/subnets", others);
    }
    let operation = call.start(LongOperation::new(
        OperationKind::WriteSubnet,
        Target::child(group, network, name),
        &location,
    ));
    Ok(call.with_operation_url(response, &operation))
}

fn delete_subnet(
    call: &mut Call<'_>,
    group: &str,
    network: &str,
    name: &str,
) -> Result<SandboxResponse, ArmError> {
    let parent = parent_network(call, network)?;
    let subnet = json::list(&parent.body, "/properties/subnets").iter().find(|subnet| is_named(subnet, name));
    let Some(subnet) = subnet else { return Ok(SandboxResponse::empty(StatusCode::NO_CONTENT)) };
    check_unused(call, subnet)?;
    let location = parent.location().to_owned();
    let name = json::text(subnet, "/name").unwrap_or_default().to_owned();
    let operation = call.start(LongOperation::new(
        OperationKind::DeleteSubnet,
        Target::child(group, network, &name),
        &location,
    ));
    Ok(call.with_result_url(SandboxResponse::empty(StatusCode::ACCEPTED), &operation))
}

/// The validated subnet with Azure's defaults.
fn subnet_with_defaults(mut subnet: Value, network_id: &str, etag: &str) -> Result<Value, ArmError> {
    let name = json::text(&subnet, "/name").unwrap_or_default().to_owned();
    let single_prefix = json::text(&subnet, "/properties/addressPrefix").map(str::to_owned);
    let all_prefixes: Vec<String> =
        single_prefix.into_iter().chain(json::texts(&subnet, "/properties/addressPrefixes")).collect();
    if name.is_empty() || all_prefixes.is_empty() {
        let text = format!("The subnet '{name}' needs a name and an address prefix.");
        return Err(ArmError::from_provider(StatusCode::BAD_REQUEST, "InvalidRequestFormat", text));
    }
    check_name(&name, 1..=80)?;
    parse_ranges(&all_prefixes, "addressPrefix")?;
    json::set(&mut subnet, "/id", format!("{network_id}/subnets/{name}"));
    json::set(&mut subnet, "/etag", etag);
    json::set(&mut subnet, "/type", "Microsoft.Network/virtualNetworks/subnets");
    json::set(&mut subnet, "/properties/provisioningState", "Updating");
    json::remove(&mut subnet, "/properties/ipConfigurations");
    for (key, value) in [
        ("delegations", json!([])),
        ("privateEndpointNetworkPolicies", json!("Disabled")),
        ("privateLinkServiceNetworkPolicies", json!("Enabled")),
    ] {
        json::set_default(&mut subnet, &format!("/properties/{key}"), value);
    }
    Ok(subnet)
}

/// Checks that the subnet is within the address space and does not overlap the other subnets.
fn check_subnet(subnet: &Value, address_ranges: &[ipnet::IpNet], others: &[Value]) -> Result<(), ArmError> {
    let name = json::text(subnet, "/name").unwrap_or_default();
    for range in subnet_ranges(subnet) {
        if !address_ranges.iter().any(|space| space.contains(&range)) {
            let text = format!(
                "Subnet '{name}' is not valid: {range} is not within the address space of the network."
            );
            return Err(ArmError::from_provider(StatusCode::BAD_REQUEST, "NetcfgInvalidSubnet", text));
        }
        let overlapping =
            others.iter().find(|other| subnet_ranges(other).iter().any(|other| overlaps(other, &range)));
        if let Some(other) = overlapping {
            let text = format!(
                "Subnet '{name}' is not valid: {range} overlaps with subnet '{}'.",
                json::text(other, "/name").unwrap_or_default()
            );
            return Err(ArmError::from_provider(StatusCode::BAD_REQUEST, "NetcfgSubnetRangesOverlap", text));
        }
    }
    Ok(())
}
