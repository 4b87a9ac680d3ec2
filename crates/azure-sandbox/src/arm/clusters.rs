//! `Microsoft.ContainerService/managedClusters`: reading, deleting, starting and stopping. Making and changing is in
//! [`put`], what Azure adds in [`fill`], what it refuses in [`check`], [`change`] and [`place`].

mod change;
mod check;
mod credential;
mod fill;
mod network;
mod place;
mod put;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::listings;
use super::refused::Refused;
use super::route::ClusterAction;
use crate::answer::Answer;
use crate::endings::Final;
use crate::holdings::{Deed, Resource, Work, find, find_mut, is_at_rest};
use crate::json;

pub(crate) use change::{pool as pool_change, upgrade_of_pool};
pub(crate) use check::{has_system_pool, pool as check_pool};
pub(crate) use fill::{Surroundings, pool as fill_pool, read_only as forget_read_only, tidy as tidy_pool};
pub(crate) use network::addresses_in;
pub(crate) use place::check as check_place;
pub(crate) use put::lay_pool;

pub(crate) const KIND: &str = "Microsoft.ContainerService/managedClusters";
/// The first version of the interface that tells entity tags.
const WITH_ETAGS: &str = "2024-09-01";

pub(crate) fn list(call: &Call<'_>) -> Result<Answer, Refused> {
    let group = call.target.group.as_deref();
    let all: Vec<String> = call
        .holdings
        .clusters
        .iter()
        .filter(|it| group.is_none_or(|group| group.eq_ignore_ascii_case(&it.group)))
        .map(|it| shown(call, &it.body).to_string())
        .collect();
    let items: Vec<&[u8]> = all.iter().map(String::as_bytes).collect();
    listings::paged(&items, call.asked, call.page_size)
}

pub(crate) fn one(call: &mut Call<'_>, name: &str) -> Result<Answer, Refused> {
    match call.asked.method {
        Method::PUT => put::put(call, name),
        Method::PATCH => patch(call, name),
        Method::DELETE => Ok(delete(call, name)),
        _ => get(call, name).map(|cluster| Answer::json(StatusCode::OK, &shown(call, &cluster.body))),
    }
}

pub(crate) fn action(call: &mut Call<'_>, name: &str, action: ClusterAction) -> Result<Answer, Refused> {
    match action {
        ClusterAction::Start => power(call, name, true),
        ClusterAction::Stop => power(call, name, false),
        ClusterAction::Abort => abort(call, name),
        _ => credential::list(call, name, action),
    }
}

/// Whether pods have addresses of the subnet, and whether they have addresses of nobody else.
pub(crate) fn plugin(cluster: &Value) -> (bool, bool) {
    (network::is_flat(cluster), network::is_overlay(cluster))
}

/// The cluster of the address.
pub(crate) fn get<'a>(call: &'a Call<'_>, name: &str) -> Result<&'a Resource, Refused> {
    let group = call.target.group.as_deref().unwrap_or_default();
    find(&call.holdings.clusters, group, name).ok_or_else(|| Refused::not_found(KIND, name, group))
}

/// The cluster, as the version of the interface knows it.
pub(crate) fn shown(call: &Call<'_>, cluster: &Value) -> Value {
    let mut cluster = cluster.clone();
    if call.version < WITH_ETAGS {
        json::remove(&mut cluster, "/eTag");
        let pools = cluster.pointer_mut("/properties/agentPoolProfiles").and_then(Value::as_array_mut);
        for pool in pools.into_iter().flatten() {
            json::remove(pool, "/eTag");
        }
    }
    cluster
}

/// Whether the conditions of the request hold for what has this entity tag; `None`: for what is not there.
pub(crate) fn precondition(call: &Call<'_>, etag: Option<&str>) -> Result<(), Refused> {
    let wanted = call.asked.header("if-match").map(|wanted| wanted.trim().trim_matches('"'));
    let unwanted = call.asked.header("if-none-match").map(str::trim);
    let fits = wanted.is_none_or(|wanted| etag.is_some_and(|etag| wanted == "*" || wanted == etag));
    let free = unwanted.is_none_or(|unwanted| unwanted != "*" || etag.is_none());
    if fits && free {
        return Ok(());
    }
    let text = "The condition of If-Match or If-None-Match is not met: the resource has another entity tag.";
    Err(Refused::by_aks(StatusCode::PRECONDITION_FAILED, "EtagMismatch", text))
}

pub(crate) fn new_etag() -> String {
    Uuid::new_v4().to_string()
}

/// Whether the cluster has long-term support.
pub(crate) fn is_long_term(cluster: &Value) -> bool {
    json::text(cluster, "/properties/supportPlan") == Some("AKSLongTermSupport")
}

/// Whether something else goes on in the cluster.
pub(crate) fn at_rest(cluster: &Resource) -> Result<(), Refused> {
    let pending = |what: String| {
        let text = format!(
            "Operation is not allowed: Another {what} is in progress, please wait for it to finish before starting a \
             new operation. See https://aka.ms/aks-pending-operation for more details"
        );
        Err(Refused::by_aks(StatusCode::CONFLICT, "OperationNotAllowed", text))
    };
    if !is_at_rest(cluster.state()) {
        return pending(format!("operation ({})", cluster.state()));
    }
    for pool in cluster.pools() {
        let state = json::text(pool, "/provisioningState").unwrap_or_default();
        if !is_at_rest(state) {
            let name = json::text(pool, "/name").unwrap_or_default();
            return pending(format!("agentpool operation ({name} - {state})"));
        }
    }
    Ok(())
}

/// Whether the cluster is switched on.
pub(crate) fn is_running(cluster: &Resource) -> Result<(), Refused> {
    if json::text(&cluster.body, "/properties/powerState/code") != Some("Stopped") {
        return Ok(());
    }
    let text = format!(
        "Operation is not allowed: the managed cluster '{}' is stopped, and can only be started or deleted.",
        cluster.name
    );
    Err(Refused::by_aks(StatusCode::CONFLICT, "OperationNotAllowed", text))
}

/// Only tags can be patched.
fn patch(call: &mut Call<'_>, name: &str) -> Result<Answer, Refused> {
    let body = call.object()?;
    let cluster = get(call, name)?;
    at_rest(cluster)?;
    precondition(call, json::text(&cluster.body, "/eTag"))?;
    let (group, name, region) = (cluster.group.clone(), cluster.name.clone(), cluster.location().to_owned());
    if let Some(cluster) = find_mut(&mut call.holdings.clusters, &group, &name) {
        json::set(&mut cluster.body, "/tags", Call::tags(&body).unwrap_or_else(|| json!({})));
        json::set(&mut cluster.body, "/eTag", new_etag());
        cluster.set_state("Updating");
    }
    let work = call.begin(Work::new(Deed::TagCluster, &group, &name, &region));
    let cluster = get(call, &name)?;
    Ok(call.followed(Answer::json(StatusCode::OK, &shown(call, &cluster.body)), &work))
}

/// A deletion waits for nothing: what goes on gives way to it.
fn delete(call: &mut Call<'_>, name: &str) -> Answer {
    let Ok(cluster) = get(call, name) else { return Answer::empty(StatusCode::NO_CONTENT) };
    let (group, name, region) = (cluster.group.clone(), cluster.name.clone(), cluster.location().to_owned());
    let running = call.holdings.running();
    let deleting =
        running.filter(|work| work.deed == Deed::DeleteCluster).find(|work| work.is_of(&group, &name));
    let deleting = deleting.cloned();
    let work = deleting.unwrap_or_else(|| {
        let now_ms = call.now_ms;
        call.holdings.preempt(now_ms, |work| work.deed.is_on_cluster() && work.is_of(&group, &name));
        mark(call, &group, &name, "Deleting");
        call.begin(Work::new(Deed::DeleteCluster, &group, &name, &region))
    });
    call.accepted(Answer::empty(StatusCode::ACCEPTED), &work)
}

/// Puts the cluster and its pools into a state.
fn mark(call: &mut Call<'_>, group: &str, name: &str, state: &str) {
    if let Some(cluster) = find_mut(&mut call.holdings.clusters, group, name) {
        cluster.set_state(state);
        for pool in cluster.pools_mut().into_iter().flatten() {
            json::set(pool, "/provisioningState", state);
        }
    }
}

fn power(call: &mut Call<'_>, name: &str, on: bool) -> Result<Answer, Refused> {
    let cluster = get(call, name)?;
    at_rest(cluster)?;
    let (group, name, region) = (cluster.group.clone(), cluster.name.clone(), cluster.location().to_owned());
    let (deed, state) = if on { (Deed::StartCluster, "Starting") } else { (Deed::StopCluster, "Stopping") };
    mark(call, &group, &name, state);
    let work = call.begin(Work::new(deed, &group, &name, &region));
    Ok(call.accepted(Answer::empty(StatusCode::ACCEPTED), &work))
}

fn abort(call: &mut Call<'_>, name: &str) -> Result<Answer, Refused> {
    let cluster = get(call, name)?;
    let (group, name, region) = (cluster.group.clone(), cluster.name.clone(), cluster.location().to_owned());
    let now_ms = call.now_ms;
    let mut any = false;
    let works = call.holdings.works.iter_mut().filter(|work| {
        work.ended_ms.is_none()
            && work.deed.is_on_cluster()
            && !work.deed.is_deletion()
            && work.is_of(&group, &name)
    });
    for work in works {
        let text = "The operation was stopped by a request to abort it.";
        work.interrupt(now_ms, Final::Canceled, "OperationPreempted", text);
        any = true;
    }
    if !any {
        let text = "Operation is not allowed: there is no operation in progress that could be aborted.";
        return Err(Refused::by_aks(StatusCode::BAD_REQUEST, "OperationNotAllowed", text));
    }
    mark(call, &group, &name, "Canceling");
    let work = call.begin(Work::new(Deed::AbortCluster, &group, &name, &region));
    Ok(call.accepted(Answer::empty(StatusCode::ACCEPTED), &work))
}

pub(crate) fn upgrade_profile(call: &Call<'_>, name: &str) -> Result<Answer, Refused> {
    let cluster = get(call, name)?;
    let offers = call.world.catalog.offers(call.asked.cloud);
    let long_term = is_long_term(&cluster.body);
    let targets = |from: &str| -> Vec<Value> {
        offers
            .upgrades_for(from, long_term)
            .into_iter()
            .map(|version| {
                let mut target = json!({ "kubernetesVersion": version });
                if offers.is_preview(version) {
                    json::set(&mut target, "/isPreview", true);
                }
                target
            })
            .collect()
    };
    let current = json::text(&cluster.body, "/properties/currentKubernetesVersion").unwrap_or_default();
    let pools: Vec<Value> = cluster
        .pools()
        .iter()
        .map(|pool| {
            let version = json::text(pool, "/currentOrchestratorVersion").unwrap_or_default();
            json!({
                "name": pool.get("name"), "kubernetesVersion": version, "osType": pool.get("osType"),
                "upgrades": targets(version),
            })
        })
        .collect();
    let id = json::text(&cluster.body, "/id").unwrap_or_default();
    Ok(Answer::json(
        StatusCode::OK,
        &json!({
            "id": format!("{id}/upgradeprofiles/default"),
            "name": "default",
            "type": "Microsoft.ContainerService/managedClusters/upgradeprofiles",
            "properties": {
                "controlPlaneProfile": {
                    "kubernetesVersion": current, "osType": "Linux", "upgrades": targets(current),
                },
                "agentPoolProfiles": pools,
            },
        }),
    ))
}
