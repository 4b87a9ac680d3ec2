//! Making a cluster, and changing one: what was sent is laid over what is there, so that properties that nobody here
//! knows stay.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{at_rest, change, check, fill, is_running, network, new_etag, place, precondition, shown};
use crate::answer::Answer;
use crate::arm::call::Call;
use crate::arm::refused::Refused;
use crate::arm::workspaces::elsewhere;
use crate::holdings::{Deed, Resource, Work, find, find_mut};
use crate::json;
use crate::stock::group_of_nodes;

const POOLS: &str = "/properties/agentPoolProfiles";

pub(crate) fn put(call: &mut Call<'_>, name: &str) -> Result<Answer, Refused> {
    let mut body = call.object()?;
    let location = call.location(&body, super::KIND)?;
    policy(call, name, &body)?;
    fill::read_only_of_cluster(&mut body);
    json::default(&mut body, "/properties", json!({}));
    let group = call.group();
    match find(&call.holdings.clusters, &group, name).cloned() {
        Some(old) if old.location() != location => Err(elsewhere(name, old.location(), &location, &group)),
        Some(old) => update(call, old, &body),
        None => create(call, &group, name, &location, body),
    }
}

/// A policy of the subscription may want a tag.
fn policy(call: &Call<'_>, name: &str, body: &Value) -> Result<(), Refused> {
    let Some(tag) = call.required_tag else { return Ok(()) };
    let tags = body.get("tags").and_then(Value::as_object);
    if tags.is_some_and(|tags| tags.keys().any(|key| key.eq_ignore_ascii_case(tag))) {
        return Ok(());
    }
    let base = format!("/subscriptions/{}/providers/Microsoft.Authorization", call.subscription);
    let (assignment, definition) = (format!("require-{tag}"), "871b6d14-10aa-478d-b590-94f262ecfa99");
    let identifiers = json!([{
        "policyAssignment": {"name": format!("Require the tag {tag}"), "id": format!("{base}/policyAssignments/{assignment}")},
        "policyDefinition": {
            "name": "Require a tag on resources",
            "id": format!("/providers/Microsoft.Authorization/policyDefinitions/{definition}"),
        },
    }]);
    let text = format!("Resource '{name}' was disallowed by policy. Policy identifiers: '{identifiers}'.");
    let info = json!({
        "type": "PolicyViolation",
        "info": {
            "policyDefinitionDisplayName": "Require a tag on resources",
            "policyAssignmentName": assignment,
            "policyAssignmentDisplayName": format!("Require the tag {tag}"),
            "policyAssignmentScope": format!("/subscriptions/{}", call.subscription),
            "policyDefinitionEffect": "deny",
            "policyAssignmentParameters": {"tagName": {"value": tag}},
        },
    });
    Err(Refused::by_policy(name, text, info))
}

fn create(
    call: &mut Call<'_>,
    group: &str,
    name: &str,
    location: &str,
    mut body: Value,
) -> Result<Answer, Refused> {
    precondition(call, None)?;
    check::name(name)?;
    let offers = call.world.catalog.offers(call.asked.cloud);
    let asked = json::text(&body, "/properties/kubernetesVersion").unwrap_or_default().to_owned();
    let long_term = super::is_long_term(&body);
    let current = change::version_of_new(offers, &asked, long_term)?;
    let version = if asked.is_empty() { current.clone() } else { asked };
    json::set(&mut body, "/properties/kubernetesVersion", version.as_str());
    json::set(&mut body, "/properties/currentKubernetesVersion", current.as_str());
    fill::cluster(call, &mut body, group, name, location);
    let around = fill::Surroundings {
        offers,
        version: &version,
        current: &current,
        flat: network::is_flat(&body),
        overlay: network::is_overlay(&body),
    };
    for pool in body.pointer_mut(POOLS).and_then(Value::as_array_mut).into_iter().flatten() {
        let asked = json::text(pool, "/orchestratorVersion").unwrap_or(&version);
        change::upgrade_of_pool(offers, None, asked, &current, long_term)?;
        fill::pool(pool, around);
    }
    check::cluster(&body)?;
    known_principal(call, &body)?;
    place::check(call, &body, None, location)?;
    let cluster = Resource { group: group.to_owned(), name: name.to_owned(), body };
    let nodes = group_of_nodes(&cluster);
    if let Some(nodes) = &nodes
        && (nodes.name.chars().count() > 80 || call.holdings.group(&nodes.name).is_some())
    {
        let why = format!("the resource group '{}' exists already, or its name is too long", nodes.name);
        return Err(Refused::invalid("nodeResourceGroup", &why));
    }
    call.holdings.groups.extend(nodes);
    let answer = Answer::json(StatusCode::CREATED, &shown(call, &cluster.body));
    call.holdings.clusters.push(cluster);
    let work = call.begin(Work::new(Deed::CreateCluster, group, name, location));
    Ok(call.followed(answer, &work))
}

/// A service principal has to be an application of the tenant; next to an identity nobody looks at it.
fn known_principal(call: &Call<'_>, body: &Value) -> Result<(), Refused> {
    let Some(client) = json::text(body, "/properties/servicePrincipalProfile/clientId") else {
        return Ok(());
    };
    let known = client == "msi"
        || call
            .apps
            .iter()
            .any(|app| app.tenant == call.tenant && app.client_id.eq_ignore_ascii_case(client));
    if known {
        return Ok(());
    }
    let text = format!(
        "Service principal clientID: {client} not found in Active Directory tenant {}, Please see \
         https://aka.ms/aks-sp-help for more details.",
        call.tenant
    );
    Err(Refused::by_aks(StatusCode::BAD_REQUEST, "ServicePrincipalNotFound", text))
}

fn update(call: &mut Call<'_>, old: Resource, body: &Value) -> Result<Answer, Refused> {
    at_rest(&old)?;
    is_running(&old)?;
    precondition(call, json::text(&old.body, "/eTag"))?;
    change::cluster(&old.body, body)?;
    let offers = call.world.catalog.offers(call.asked.cloud);
    let current = json::text(&old.body, "/properties/currentKubernetesVersion").unwrap_or_default();
    let asked = json::text(body, "/properties/kubernetesVersion").unwrap_or_default();
    let long_term = super::is_long_term(body) || super::is_long_term(&old.body);
    let target = change::upgrade_of_cluster(offers, current, asked, long_term)?;
    let (deed, state) = match target {
        Some(_) => (Deed::UpgradeCluster, "Upgrading"),
        None => (Deed::UpdateCluster, "Updating"),
    };
    let mut versions = BTreeMap::new();
    versions.extend(target.iter().map(|target| (String::new(), target.clone())));
    let current = target.as_deref().unwrap_or(current);

    let mut new = laid_over(&old.body, body);
    let around = fill::Surroundings {
        offers,
        version: json::text(body, "/properties/kubernetesVersion").unwrap_or(current),
        current,
        flat: network::is_flat(&new),
        overlay: network::is_overlay(&new),
    };
    for pool in new.pointer_mut(POOLS).and_then(Value::as_array_mut).into_iter().flatten() {
        let name = json::text(pool, "/name").unwrap_or_default().to_owned();
        let asked = json::text(pool, "/orchestratorVersion").unwrap_or_default();
        let before =
            old.pool(&name).map(|old| json::text(old, "/currentOrchestratorVersion").unwrap_or_default());
        let goes_to = change::upgrade_of_pool(offers, before, asked, current, long_term)?;
        if before.is_none() {
            fill::pool(pool, around);
            continue;
        }
        versions.extend(goes_to.map(|version| (name, version)));
        fill::tidy(pool);
        json::set(pool, "/provisioningState", state);
    }
    fill::addons(&mut new);
    check::cluster(&new)?;
    place::check(call, &new, Some(&old.body), old.location())?;
    json::set(&mut new, "/eTag", new_etag());
    json::set(&mut new, "/properties/provisioningState", state);
    let answer = Answer::json(StatusCode::OK, &shown(call, &new));
    let mut work = Work::new(deed, &old.group, &old.name, old.location());
    work.versions = versions;
    if let Some(cluster) = find_mut(&mut call.holdings.clusters, &old.group, &old.name) {
        cluster.body = new;
    }
    let work = call.begin(work);
    Ok(call.followed(answer, &work))
}

/// The old body with the new one over it: pools by name, add-ons by name in any letter case, tags as a whole.
fn laid_over(old: &Value, body: &Value) -> Value {
    let mut new = old.clone();
    let mut sent = body.clone();
    json::remove(&mut sent, "/location");
    json::remove(&mut sent, "/properties/servicePrincipalProfile");
    let tags = sent.get("tags").cloned();
    let pools: Vec<Value> = json::list(&sent, POOLS).to_vec();
    json::remove(&mut sent, POOLS);
    let addons = sent.pointer("/properties/addonProfiles").and_then(Value::as_object).cloned();
    json::remove(&mut sent, "/properties/addonProfiles");
    if json::text(&sent, "/properties/networkProfile/loadBalancerSku").is_some() {
        let path = "/properties/networkProfile/loadBalancerSku";
        let sku = json::text(&sent, path).unwrap_or_default().to_ascii_lowercase();
        json::set(&mut sent, path, sku);
    }
    json::overlay(&mut new, &sent);
    match Call::tags(&json!({ "tags": tags })) {
        Some(tags) => json::set(&mut new, "/tags", tags),
        None => json::remove(&mut new, "/tags"),
    }
    if let Some(addons) = addons {
        lay_addons(&mut new, addons);
    }
    json::default(&mut new, POOLS, json!([]));
    for pool in pools {
        let known = new.pointer_mut(POOLS).and_then(Value::as_array_mut);
        let Some(known) = known else { break };
        match known.iter_mut().find(|known| known.get("name") == pool.get("name")) {
            Some(known) => lay_pool(known, &pool),
            None => known.push(pool),
        }
    }
    new
}

fn lay_addons(new: &mut Value, addons: Map<String, Value>) {
    json::default(new, "/properties/addonProfiles", json!({}));
    let known = new.pointer_mut("/properties/addonProfiles").and_then(Value::as_object_mut);
    let Some(known) = known else { return };
    for (key, addon) in addons {
        let same = known.keys().find(|known| known.eq_ignore_ascii_case(&key)).cloned();
        // What is switched off loses its settings.
        if json::is_true(&addon, "/enabled") {
            json::overlay(known.entry(same.unwrap_or(key)).or_insert_with(|| json!({})), &addon);
        } else {
            known.insert(same.unwrap_or(key), json!({"enabled": false, "config": null}));
        }
    }
}

/// Lays a sent profile over that of a pool: labels, taints and zones as a whole.
pub(crate) fn lay_pool(pool: &mut Value, sent: &Value) {
    let mut sent = sent.clone();
    if json::number(&sent, "/osDiskSizeGB") == Some(0) {
        json::remove(&mut sent, "/osDiskSizeGB");
    }
    if json::text(&sent, "/orchestratorVersion").is_none() {
        json::remove(&mut sent, "/orchestratorVersion");
    }
    for whole in ["nodeLabels", "tags"] {
        if sent.get(whole).is_some_and(Value::is_object) {
            json::remove(pool, &format!("/{whole}"));
        }
    }
    json::overlay(pool, &sent);
    if !json::is_true(pool, "/enableAutoScaling") {
        // Limits that were sent with it are refused; older ones end with the autoscaler.
        for key in ["minCount", "maxCount"] {
            if sent.get(key).is_none_or(Value::is_null) {
                json::remove(pool, &format!("/{key}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_laid_over_what_is_there() {
        let old = json!({
            "tags": {"a": "1"},
            "properties": {
                "unknown": {"kept": 1},
                "addonProfiles": {"omsagent": {"enabled": true, "config": {"id": 1}, "identity": {"x": 1}}, "other": {"enabled": true}},
                "agentPoolProfiles": [
                    {"name": "a", "count": 1, "nodeLabels": {"x": "1"}, "enableAutoScaling": true, "minCount": 1, "maxCount": 3, "future": 1},
                    {"name": "b", "count": 2},
                ],
            },
        });
        let new = laid_over(
            &old,
            &json!({
                "location": "eastus",
                "tags": {"b": "2"},
                "properties": {
                    "more": true,
                    "servicePrincipalProfile": {"clientId": "x", "secret": "s"},
                    "addonProfiles": {"omsAgent": {"enabled": false}},
                    "agentPoolProfiles": [
                        {"name": "a", "count": 3, "nodeLabels": {"y": "2"}, "enableAutoScaling": false},
                        {"name": "c", "count": 1},
                    ],
                },
            }),
        );
        assert_eq!(
            new,
            json!({
                "tags": {"b": "2"},
                "properties": {
                    "unknown": {"kept": 1},
                    "more": true,
                    "addonProfiles": {"omsagent": {"enabled": false, "config": null}, "other": {"enabled": true}},
                    "agentPoolProfiles": [
                        {"name": "a", "count": 3, "nodeLabels": {"y": "2"}, "enableAutoScaling": false, "future": 1},
                        {"name": "b", "count": 2},
                        {"name": "c", "count": 1},
                    ],
                },
            })
        );
        let without_tags = laid_over(&old, &json!({"properties": {}}));
        assert!(without_tags.get("tags").is_none(), "a PUT without tags leaves none");
    }
}
