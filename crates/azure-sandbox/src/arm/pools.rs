//! `Microsoft.ContainerService/managedClusters/<cluster>/agentPools`.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::call::Call;
use super::clusters::{self, Surroundings};
use super::listings;
use super::refused::Refused;
use crate::answer::Answer;
use crate::holdings::{Deed, Resource, Work, find, find_mut};
use crate::json;

pub(crate) fn list(call: &Call<'_>, cluster: &str) -> Result<Answer, Refused> {
    let cluster = parent(call, cluster)?;
    let all: Vec<String> =
        cluster.pools().iter().map(|pool| shown(call, cluster, pool).to_string()).collect();
    let items: Vec<&[u8]> = all.iter().map(String::as_bytes).collect();
    listings::paged(&items, call.asked, call.page_size)
}

pub(crate) fn one(call: &mut Call<'_>, cluster: &str, name: &str) -> Result<Answer, Refused> {
    let cluster = parent(call, cluster)?.clone();
    match call.asked.method {
        Method::PUT => put(call, &cluster, name),
        Method::DELETE => delete(call, &cluster, name),
        _ => {
            let pool = cluster.pool(name).ok_or_else(|| no_pool(name, &cluster))?;
            Ok(Answer::json(StatusCode::OK, &shown(call, &cluster, pool)))
        }
    }
}

pub(crate) fn upgrade_profile(call: &Call<'_>, cluster: &str, name: &str) -> Result<Answer, Refused> {
    let cluster = parent(call, cluster)?;
    let pool = cluster.pool(name).ok_or_else(|| no_pool(name, cluster))?;
    let offers = call.world.catalog.offers(call.asked.cloud);
    let text = |pointer| json::text(pool, pointer).unwrap_or_default();
    let current = text("/currentOrchestratorVersion");
    let most = json::text(&cluster.body, "/properties/currentKubernetesVersion").unwrap_or_default();
    let upgrades: Vec<Value> = offers
        .upgrades_for(current, clusters::is_long_term(&cluster.body))
        .into_iter()
        .filter(|version| crate::versions::fit(version, most))
        .map(|version| json!({ "kubernetesVersion": version }))
        .collect();
    Ok(Answer::json(
        StatusCode::OK,
        &json!({
            "id": format!("{}/upgradeProfiles/default", id_of(cluster, text("/name"))),
            "name": "default",
            "type": "Microsoft.ContainerService/managedClusters/agentPools/upgradeProfiles",
            "properties": {
                "kubernetesVersion": current,
                "osType": text("/osType"),
                "upgrades": upgrades,
                "latestNodeImageVersion": text("/nodeImageVersion"),
            },
        }),
    ))
}

fn parent<'a>(call: &'a Call<'_>, cluster: &str) -> Result<&'a Resource, Refused> {
    let group = call.target.group.as_deref().unwrap_or_default();
    find(&call.holdings.clusters, group, cluster).ok_or_else(|| Refused::no_parent(cluster))
}

fn no_pool(name: &str, cluster: &Resource) -> Refused {
    let text = format!(
        "Could not find agent pool '{name}' of managed cluster '{}', resourceGroup: {}.",
        cluster.name, cluster.group
    );
    Refused::by_aks(StatusCode::NOT_FOUND, "NotFound", text)
}

fn id_of(cluster: &Resource, pool: &str) -> String {
    format!("{}/agentPools/{pool}", json::text(&cluster.body, "/id").unwrap_or_default())
}

/// The pool as a resource of its own, as the version of the interface knows it.
fn shown(call: &Call<'_>, cluster: &Resource, profile: &Value) -> Value {
    let name = json::text(profile, "/name").unwrap_or_default();
    let around = json!({"properties": {"agentPoolProfiles": [profile]}});
    let properties = clusters::shown(call, &around).pointer("/properties/agentPoolProfiles/0").cloned();
    let mut properties = properties.unwrap_or_default();
    json::remove(&mut properties, "/name");
    json!({
        "id": id_of(cluster, name),
        "name": name,
        "type": "Microsoft.ContainerService/managedClusters/agentPools",
        "properties": properties,
    })
}

fn put(call: &mut Call<'_>, cluster: &Resource, name: &str) -> Result<Answer, Refused> {
    let body = call.object()?;
    let mut sent = body.get("properties").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    clusters::forget_read_only(&mut sent);
    clusters::at_rest(cluster)?;
    clusters::is_running(cluster)?;
    let old = cluster.pool(name);
    clusters::precondition(call, old.and_then(|old| json::text(old, "/eTag")))?;
    let offers = call.world.catalog.offers(call.asked.cloud);
    let text = |pointer| json::text(&cluster.body, pointer).unwrap_or_default();
    let current = text("/properties/currentKubernetesVersion");
    let asked = json::text(&sent, "/orchestratorVersion").unwrap_or_default().to_owned();
    let long_term = clusters::is_long_term(&cluster.body);
    let (deed, pool, version) = match old {
        None => {
            let version = text("/properties/kubernetesVersion");
            let asked = if asked.is_empty() { version } else { &asked };
            clusters::upgrade_of_pool(offers, None, asked, current, long_term)?;
            json::set(&mut sent, "/name", name);
            let (flat, overlay) = clusters::plugin(&cluster.body);
            clusters::fill_pool(&mut sent, Surroundings { offers, version, current, flat, overlay });
            (Deed::CreatePool, sent, None)
        }
        Some(old) => {
            clusters::pool_change(old, &sent, "properties")?;
            let before = json::text(old, "/currentOrchestratorVersion");
            let version = clusters::upgrade_of_pool(offers, before, &asked, current, long_term)?;
            let mut new = old.clone();
            clusters::lay_pool(&mut new, &sent);
            clusters::tidy_pool(&mut new);
            let deed = deed_of(old, &new, version.is_some());
            (deed, new, version)
        }
    };
    clusters::check_pool(&pool)?;
    let after = with_pool(cluster, &pool);
    clusters::has_system_pool(json::list(&after, "/properties/agentPoolProfiles"))?;
    clusters::check_place(call, &after, Some(&cluster.body), cluster.location())?;
    Ok(begin(call, cluster, deed, pool, version))
}

/// What the change of a pool is called.
fn deed_of(old: &Value, new: &Value, upgrade: bool) -> Deed {
    let scaled = ["count", "minCount", "maxCount", "enableAutoScaling"];
    if upgrade {
        Deed::UpgradePool
    } else if scaled.iter().any(|key| old.get(key) != new.get(key)) {
        Deed::ScalePool
    } else {
        Deed::UpdatePool
    }
}

/// The body of the cluster with this pool in it.
fn with_pool(cluster: &Resource, pool: &Value) -> Value {
    let mut cluster = cluster.clone();
    let name = json::text(pool, "/name").unwrap_or_default();
    match cluster.pool_mut(name) {
        Some(known) => *known = pool.clone(),
        None => cluster.pools_mut().into_iter().for_each(|pools| pools.push(pool.clone())),
    }
    cluster.body
}

fn begin(
    call: &mut Call<'_>,
    cluster: &Resource,
    deed: Deed,
    mut pool: Value,
    version: Option<String>,
) -> Answer {
    let (status, state) = match deed {
        Deed::CreatePool => (StatusCode::CREATED, "Creating"),
        Deed::UpgradePool => (StatusCode::OK, "Upgrading"),
        Deed::ScalePool => (StatusCode::OK, "Scaling"),
        _ => (StatusCode::OK, "Updating"),
    };
    json::set(&mut pool, "/provisioningState", state);
    json::set(&mut pool, "/eTag", clusters::new_etag());
    let name = json::text(&pool, "/name").unwrap_or_default().to_owned();
    let answer = Answer::json(status, &shown(call, cluster, &pool));
    let body = with_pool(cluster, &pool);
    if let Some(cluster) = find_mut(&mut call.holdings.clusters, &cluster.group, &cluster.name) {
        cluster.body = body;
    }
    let mut work = Work::new(deed, &cluster.group, &cluster.name, cluster.location()).on(&name);
    work.versions.extend(version.map(|version| (name, version)));
    let work = call.begin(work);
    call.followed(answer, &work)
}

fn delete(call: &mut Call<'_>, cluster: &Resource, name: &str) -> Result<Answer, Refused> {
    let Some(pool) = cluster.pool(name) else { return Ok(Answer::empty(StatusCode::NO_CONTENT)) };
    let name = json::text(pool, "/name").unwrap_or_default();
    let leaves = |work: &&Work| {
        work.deed == Deed::DeletePool
            && work.is_of(&cluster.group, &cluster.name)
            && work.part.as_deref() == Some(name)
    };
    let leaving = call.holdings.running().find(leaves).cloned();
    if let Some(work) = leaving {
        return Ok(call.accepted(Answer::empty(StatusCode::ACCEPTED), &work));
    }
    clusters::at_rest(cluster)?;
    let others: Vec<Value> =
        cluster.pools().iter().filter(|other| json::text(other, "/name") != Some(name)).cloned().collect();
    if others.is_empty() {
        let text = "There has to be at least one agent pool.";
        return Err(Refused::by_aks(StatusCode::CONFLICT, "OperationNotAllowed", text));
    }
    clusters::has_system_pool(&others)?;
    let mut leaving = cluster.clone();
    if let Some(pool) = leaving.pool_mut(name) {
        json::set(pool, "/provisioningState", "Deleting");
    }
    if let Some(known) = find_mut(&mut call.holdings.clusters, &cluster.group, &cluster.name) {
        known.body = leaving.body;
    }
    let work = Work::new(Deed::DeletePool, &cluster.group, &cluster.name, cluster.location()).on(name);
    let work = call.begin(work);
    Ok(call.accepted(Answer::empty(StatusCode::ACCEPTED), &work))
}
