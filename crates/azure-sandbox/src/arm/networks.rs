//! `Microsoft.Network/virtualNetworks` and their subnets. Which addresses of a subnet are in use follows from the
//! pools that lie in it.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::refused::Refused;
use super::workspaces::elsewhere;
use super::{clusters, listings};
use crate::answer::Answer;
use crate::holdings::{Deed, Resource, Work, find, find_mut, is_at_rest, position};
use crate::json;

const KIND: &str = "Microsoft.Network/virtualNetworks";

pub(crate) fn list(call: &Call<'_>) -> Result<Answer, Refused> {
    let group = call.target.group.as_deref();
    let all: Vec<String> = call
        .holdings
        .networks
        .iter()
        .filter(|it| group.is_none_or(|group| group.eq_ignore_ascii_case(&it.group)))
        .map(|it| shown(call, &it.body).to_string())
        .collect();
    let items: Vec<&[u8]> = all.iter().map(String::as_bytes).collect();
    listings::paged(&items, call.asked, call.page_size)
}

pub(crate) fn one(call: &mut Call<'_>, name: &str) -> Result<Answer, Refused> {
    let group = call.group();
    match call.asked.method {
        Method::PUT => put(call, &group, name),
        Method::DELETE => delete(call, &group, name),
        _ => {
            let network = find(&call.holdings.networks, &group, name);
            let network = network.ok_or_else(|| Refused::not_found(KIND, name, &group))?;
            Ok(Answer::json(StatusCode::OK, &shown(call, &network.body)))
        }
    }
}

pub(crate) fn subnets(call: &Call<'_>, network: &str) -> Result<Answer, Refused> {
    let network = parent(call, network)?;
    let shown = shown(call, &network.body);
    let all: Vec<String> = json::list(&shown, "/properties/subnets").iter().map(Value::to_string).collect();
    let items: Vec<&[u8]> = all.iter().map(String::as_bytes).collect();
    listings::paged(&items, call.asked, call.page_size)
}

pub(crate) fn subnet(call: &mut Call<'_>, network: &str, name: &str) -> Result<Answer, Refused> {
    let (group, network) = (call.group(), parent(call, network)?.name.clone());
    match call.asked.method {
        Method::PUT => put_subnet(call, &group, &network, name),
        Method::DELETE => delete_subnet(call, &group, &network, name),
        _ => {
            let network = parent(call, &network)?;
            let shown = shown(call, &network.body);
            let subnet = json::list(&shown, "/properties/subnets").iter().find(|it| is_named(it, name));
            let subnet = subnet.ok_or_else(|| no_subnet(name, &network.name))?;
            Ok(Answer::json(StatusCode::OK, subnet))
        }
    }
}

fn is_named(subnet: &Value, name: &str) -> bool {
    json::text(subnet, "/name").is_some_and(|known| known.eq_ignore_ascii_case(name))
}

fn parent<'a>(call: &'a Call<'_>, network: &str) -> Result<&'a Resource, Refused> {
    let group = call.target.group.as_deref().unwrap_or_default();
    find(&call.holdings.networks, group, network).ok_or_else(|| {
        if call.asked.method == Method::GET {
            Refused::not_found(KIND, network, group)
        } else {
            Refused::no_parent(network)
        }
    })
}

fn no_subnet(name: &str, network: &str) -> Refused {
    let text = format!("Subnet '{name}' is not found in virtual network '{network}'.");
    Refused::by_service(StatusCode::NOT_FOUND, "NotFound", text)
}

/// The network with the addresses in use.
fn shown(call: &Call<'_>, network: &Value) -> Value {
    let mut network = network.clone();
    let subnets = network.pointer_mut("/properties/subnets").and_then(Value::as_array_mut);
    for subnet in subnets.into_iter().flatten() {
        let id = json::text(subnet, "/id").unwrap_or_default().to_owned();
        let used = clusters::addresses_in(call.holdings, &id);
        if !used.is_empty() {
            let used: Vec<Value> = used.into_iter().map(|id| json!({ "id": id })).collect();
            json::set(subnet, "/properties/ipConfigurations", used);
        }
    }
    network
}

fn id_of(call: &Call<'_>, group: &str, name: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{name}",
        call.subscription
    )
}

/// The name of a network or subnet.
fn check_name(name: &str, lengths: std::ops::RangeInclusive<usize>) -> Result<(), Refused> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let allowed = |c: char| is_word(c) || c == '.' || c == '-';
    let ends = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.ends_with(is_word);
    if lengths.contains(&name.len()) && ends && name.chars().all(allowed) {
        return Ok(());
    }
    let text = format!(
        "Resource name {name} is invalid. The name can be up to {} characters long. It must begin with a word character, and \
         it must end with a word character or with '_'. The name may contain word characters or '.', '-', '_'.",
        lengths.end()
    );
    Err(Refused::by_service(StatusCode::BAD_REQUEST, "InvalidResourceName", text))
}

fn put(call: &mut Call<'_>, group: &str, name: &str) -> Result<Answer, Refused> {
    check_name(name, 2..=64)?;
    let mut body = call.object()?;
    let location = call.location(&body, KIND)?;
    let old = find(&call.holdings.networks, group, name);
    if let Some(old) = old.filter(|old| old.location() != location) {
        return Err(elsewhere(name, old.location(), &location, group));
    }
    let spaces = json::texts(&body, "/properties/addressSpace/addressPrefixes");
    let spaces = ranges(&spaces, "addressSpace")?;
    let id = id_of(call, group, name);
    let etag = format!("W/\"{}\"", Uuid::new_v4());
    let subnets: Vec<Value> = json::list(&body, "/properties/subnets").to_vec();
    let mut taken = Vec::new();
    let mut made = Vec::new();
    for subnet in subnets {
        let subnet = filled_subnet(subnet, &id, &etag)?;
        check_subnet(&subnet, &spaces, &taken)?;
        taken.push(subnet.clone());
        made.push(subnet);
    }
    in_use(call, old, &made)?;
    let status = if old.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let guid = old.and_then(|old| json::text(&old.body, "/properties/resourceGuid"));
    let guid = guid.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    for (key, value) in
        [("name", name), ("id", &id), ("etag", &etag), ("type", KIND), ("location", &location)]
    {
        json::set(&mut body, &format!("/{key}"), value);
    }
    json::set(&mut body, "/properties/subnets", made);
    json::set(&mut body, "/properties/provisioningState", "Updating");
    json::set(&mut body, "/properties/resourceGuid", guid);
    for (key, value) in [
        ("virtualNetworkPeerings", json!([])),
        ("enableDdosProtection", json!(false)),
        ("privateEndpointVNetPolicies", json!("Disabled")),
    ] {
        json::default(&mut body, &format!("/properties/{key}"), value);
    }
    let resource = Resource { group: group.to_owned(), name: name.to_owned(), body };
    let answer = Answer::json(status, &resource.body);
    match find_mut(&mut call.holdings.networks, group, name) {
        Some(old) => old.body = resource.body,
        None => call.holdings.networks.push(resource),
    }
    let work = call.begin(Work::new(Deed::WriteNetwork, group, name, &location));
    Ok(call.followed(answer, &work))
}

/// A subnet with pools in it cannot leave the network.
fn in_use(call: &Call<'_>, old: Option<&Resource>, new: &[Value]) -> Result<(), Refused> {
    let before = old.map(|old| json::list(&old.body, "/properties/subnets")).unwrap_or_default();
    for subnet in before {
        let name = json::text(subnet, "/name").unwrap_or_default();
        if !new.iter().any(|it| is_named(it, name)) {
            not_in_use(call, subnet)?;
        }
    }
    Ok(())
}

fn not_in_use(call: &Call<'_>, subnet: &Value) -> Result<(), Refused> {
    let (id, name) = (json::text(subnet, "/id").unwrap_or_default(), json::text(subnet, "/name"));
    let used = clusters::addresses_in(call.holdings, id);
    let Some(first) = used.first() else { return Ok(()) };
    let text = format!(
        "Subnet {} is in use by {first} and cannot be deleted. In order to delete the subnet, delete all the \
         resources within the subnet. See aka.ms/deletesubnet.",
        name.unwrap_or_default()
    );
    Err(Refused::by_service(StatusCode::BAD_REQUEST, "InUseSubnetCannotBeDeleted", text))
}

fn delete(call: &mut Call<'_>, group: &str, name: &str) -> Result<Answer, Refused> {
    let Some(network) = find(&call.holdings.networks, group, name) else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    for subnet in json::list(&network.body, "/properties/subnets") {
        not_in_use(call, subnet)?;
    }
    let (name, location) = (network.name.clone(), network.location().to_owned());
    if let Some(network) = find_mut(&mut call.holdings.networks, group, &name) {
        network.set_state("Deleting");
    }
    let work = call.begin(Work::new(Deed::DeleteNetwork, group, &name, &location));
    Ok(call.accepted(Answer::empty(StatusCode::ACCEPTED), &work))
}

fn put_subnet(call: &mut Call<'_>, group: &str, network: &str, name: &str) -> Result<Answer, Refused> {
    let mut body = call.object()?;
    let index = position(&call.holdings.networks, group, network);
    let Some(parent) = index.and_then(|index| call.holdings.networks.get(index)) else {
        return Err(Refused::no_parent(network));
    };
    if !is_at_rest(parent.state()) {
        let text = format!("Another operation on this or dependent resource is in progress: '{network}'.");
        return Err(Refused::by_service(StatusCode::TOO_MANY_REQUESTS, "AnotherOperationInProgress", text));
    }
    let location = parent.location().to_owned();
    let id = json::text(&parent.body, "/id").unwrap_or_default();
    json::set(&mut body, "/name", name);
    let subnet = filled_subnet(body, id, &format!("W/\"{}\"", Uuid::new_v4()))?;
    let spaces =
        ranges(&json::texts(&parent.body, "/properties/addressSpace/addressPrefixes"), "addressSpace")?;
    let mut others = json::list(&parent.body, "/properties/subnets").to_vec();
    let place = others.iter().position(|it| is_named(it, name));
    if let Some(place) = place {
        others.remove(place);
    }
    check_subnet(&subnet, &spaces, &others)?;
    let answer = Answer::json(if place.is_some() { StatusCode::OK } else { StatusCode::CREATED }, &subnet);
    others.insert(place.unwrap_or(others.len()), subnet);
    if let Some(parent) = find_mut(&mut call.holdings.networks, group, network) {
        json::set(&mut parent.body, "/properties/subnets", others);
    }
    let work = call.begin(Work::new(Deed::WriteSubnet, group, network, &location).on(name));
    Ok(call.followed(answer, &work))
}

fn delete_subnet(call: &mut Call<'_>, group: &str, network: &str, name: &str) -> Result<Answer, Refused> {
    let parent = parent(call, network)?;
    let subnet = json::list(&parent.body, "/properties/subnets").iter().find(|it| is_named(it, name));
    let Some(subnet) = subnet else { return Ok(Answer::empty(StatusCode::NO_CONTENT)) };
    not_in_use(call, subnet)?;
    let location = parent.location().to_owned();
    let name = json::text(subnet, "/name").unwrap_or_default().to_owned();
    let work = call.begin(Work::new(Deed::DeleteSubnet, group, network, &location).on(&name));
    Ok(call.accepted(Answer::empty(StatusCode::ACCEPTED), &work))
}

/// The subnet with all that Azure adds.
fn filled_subnet(mut subnet: Value, network: &str, etag: &str) -> Result<Value, Refused> {
    let name = json::text(&subnet, "/name").unwrap_or_default().to_owned();
    let given = json::text(&subnet, "/properties/addressPrefix").map(str::to_owned);
    let all: Vec<String> =
        given.into_iter().chain(json::texts(&subnet, "/properties/addressPrefixes")).collect();
    if name.is_empty() || all.is_empty() {
        let text = format!("The subnet '{name}' needs a name and an address prefix.");
        return Err(Refused::by_service(StatusCode::BAD_REQUEST, "InvalidRequestFormat", text));
    }
    check_name(&name, 1..=80)?;
    ranges(&all, "addressPrefix")?;
    json::set(&mut subnet, "/id", format!("{network}/subnets/{name}"));
    json::set(&mut subnet, "/etag", etag);
    json::set(&mut subnet, "/type", "Microsoft.Network/virtualNetworks/subnets");
    json::set(&mut subnet, "/properties/provisioningState", "Updating");
    json::remove(&mut subnet, "/properties/ipConfigurations");
    for (key, value) in [
        ("delegations", json!([])),
        ("privateEndpointNetworkPolicies", json!("Disabled")),
        ("privateLinkServiceNetworkPolicies", json!("Enabled")),
    ] {
        json::default(&mut subnet, &format!("/properties/{key}"), value);
    }
    Ok(subnet)
}

/// The ranges of a subnet.
pub(crate) fn prefixes(subnet: &Value) -> Vec<ipnet::IpNet> {
    let one = json::text(subnet, "/properties/addressPrefix").map(str::to_owned);
    let all = one.into_iter().chain(json::texts(subnet, "/properties/addressPrefixes"));
    all.filter_map(|text| text.parse().ok()).collect()
}

fn ranges(texts: &[String], what: &str) -> Result<Vec<ipnet::IpNet>, Refused> {
    let read = |text: &String| {
        text.parse::<ipnet::IpNet>().ok().filter(|range| range.trunc() == *range).ok_or_else(|| {
            let text = format!("The {what} '{text}' is not a valid range in CIDR form.");
            Refused::by_service(StatusCode::BAD_REQUEST, "InvalidCIDRNotation", text)
        })
    };
    texts.iter().map(read).collect()
}

/// Within the network, and beside the other subnets.
fn check_subnet(subnet: &Value, spaces: &[ipnet::IpNet], others: &[Value]) -> Result<(), Refused> {
    let name = json::text(subnet, "/name").unwrap_or_default();
    for range in prefixes(subnet) {
        if !spaces.iter().any(|space| space.contains(&range)) {
            let text = format!(
                "Subnet '{name}' is not valid: {range} is not within the address space of the network."
            );
            return Err(Refused::by_service(StatusCode::BAD_REQUEST, "NetcfgInvalidSubnet", text));
        }
        let clash = others.iter().find(|other| prefixes(other).iter().any(|it| overlap(it, &range)));
        if let Some(other) = clash {
            let text = format!(
                "Subnet '{name}' is not valid: {range} overlaps with subnet '{}'.",
                json::text(other, "/name").unwrap_or_default()
            );
            return Err(Refused::by_service(StatusCode::BAD_REQUEST, "NetcfgSubnetRangesOverlap", text));
        }
    }
    Ok(())
}

/// Whether two ranges have an address in common.
pub(crate) fn overlap(one: &ipnet::IpNet, other: &ipnet::IpNet) -> bool {
    one.contains(other) || other.contains(one)
}
