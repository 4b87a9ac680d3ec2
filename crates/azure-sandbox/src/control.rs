//! How tests and other programs steer the sandbox: in process, or over plain HTTP on a loopback port of its
//! own (the table is in the parent module).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::endings::Ending;
use super::faults::Fault;
use super::log::Seen;
use super::play::{Login, Operation, Page};
use super::seed::Account;
use super::times::Times;
use super::world::World;

/// The tenant of a subscription that [`Control::play`] had to make: Microsoft's own, as in most recordings.
pub const PLAYED_TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

/// Times that nobody can wait by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scale of times is a number from 0 up")]
pub struct ImpossibleTimes;

/// The limit of one quota of one region of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// The region, by its name.
    pub region: String,
    /// `cores`, or the family of a size, for example `standardDSv5Family`.
    pub name: String,
    /// The most virtual processors.
    pub limit: u32,
}

/// The strings of a running sandbox. Clones hold the same ones.
#[derive(Clone)]
pub struct Control {
    pub(crate) world: Arc<World>,
}

/// A route or an answer that cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplayable {
    /// The name is none of those that [`Control::play`] lists.
    #[error("there is no route '{0}' to play")]
    Route(String),
    /// A status outside 200 to 599.
    #[error("{0} is no status to answer with")]
    Status(u16),
}

impl Control {
    /// Adds a fault behind those that are in force.
    pub fn add_fault(&self, fault: Fault) {
        self.world.state().faults.add(fault);
    }

    /// The faults in force; `times` and `skip` are what is left of them.
    pub fn faults(&self) -> Vec<Fault> {
        self.world.state().faults.all()
    }

    /// Ends all trouble: answers that are held back go out, too.
    pub fn clear_faults(&self) {
        self.world.state().faults.clear();
        self.world.calm.send_replace(());
    }

    /// The last 10,000 requests, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        self.world.state().log.all()
    }

    /// The requests to Resource Manager that were no GET and no HEAD, oldest first, with their bodies.
    pub fn writes(&self) -> Vec<Seen> {
        let is_login = |operation| {
            matches!(
                operation,
                Operation::Token | Operation::OpenidConfiguration | Operation::InstanceDiscovery
            )
        };
        let mut seen = self.requests();
        seen.retain(|seen| !["GET", "HEAD"].contains(&&*seen.method) && !is_login(seen.operation));
        seen
    }

    /// How long things take now.
    pub fn times(&self) -> Times {
        self.world.state().times.clone()
    }

    /// Changes how long things take, for operations that are under way too.
    ///
    /// # Errors
    /// When the scale is negative or no number.
    pub fn set_times(&self, times: Times) -> Result<(), ImpossibleTimes> {
        if !times.is_possible() {
            return Err(ImpossibleTimes);
        }
        self.world.state().times = times;
        self.world.begun.notify_one();
        Ok(())
    }

    /// Decides how long operations that are yet to begin are to end; behind the decisions that are in force.
    pub fn add_ending(&self, ending: Ending) {
        self.world.state().endings.add(ending);
    }

    /// The decisions in force; `times` and `skip` are what is left of them.
    pub fn endings(&self) -> Vec<Ending> {
        self.world.state().endings.all()
    }

    /// Lets every operation end well again.
    pub fn clear_endings(&self) {
        self.world.state().endings.clear();
    }

    /// The limits of the subscription that were changed.
    pub fn quotas(&self, subscription: &str) -> Vec<Quota> {
        let state = self.world.state();
        let found = state.subscriptions.get(&subscription.to_ascii_lowercase());
        let regions = found.map(|found| &found.holdings.quotas).into_iter().flatten();
        let all = regions.flat_map(|(region, quotas)| quotas.iter().map(move |quota| (region, quota)));
        all.map(|(region, (name, limit))| Quota { region: region.clone(), name: name.clone(), limit: *limit })
            .collect()
    }

    /// Changes a limit; a subscription that is not there yet is made as by [`Control::play`].
    pub fn set_quota(&self, subscription: &str, quota: Quota) {
        let mut state = self.world.state();
        let holdings = &mut state.subscription_or_new(subscription, PLAYED_TENANT).holdings;
        holdings.quotas.entry(quota.region.to_ascii_lowercase()).or_default().insert(quota.name, quota.limit);
        holdings.touched = true;
        self.world.keep(&state);
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.world.state().log.clear();
    }

    /// The accounts that are there from the start.
    pub fn accounts(&self) -> &[Account] {
        &self.world.catalog.accounts
    }

    /// How many items a page of SKUs, networks or clusters has; `None` (as at the start) for all of them.
    pub fn set_page_size(&self, items: Option<usize>) {
        self.world.state().page_size = items.map(|items| items.max(1));
    }

    /// Makes all tokens so far invalid.
    pub fn forget_tokens(&self) {
        self.world.state().tokens.clear();
    }

    /// Answers `route` of one subscription with `pages` instead of the sandbox's own answer, in whatever region,
    /// with whatever filter and api-version; without pages the sandbox's own is back. The second page is
    /// reached by the `nextLink` that is written into the first, and so on.
    ///
    /// Routes are the names of [`Operation`]s of Resource Manager; and `tenant`, whose page is the id as a string
    /// ([`Control::reveal_tenant`]). A subscription that is not there yet is made in [`PLAYED_TENANT`], open to
    /// everybody who has a token of its tenant, in every cloud.
    ///
    /// # Errors
    /// When there is no such route, or a page has no proper status.
    pub fn play(&self, subscription: &str, route: &str, pages: Vec<Page>) -> Result<(), Unplayable> {
        if let Some(page) = pages.iter().find(|page| !(200..=599).contains(&page.status)) {
            return Err(Unplayable::Status(page.status));
        }
        if route == "tenant" {
            if let Some(page) = pages.first() {
                self.reveal_tenant(subscription, &page.text());
            }
            return Ok(());
        }
        let operation = serde_json::from_value::<Operation>(route.into()).ok().filter(|operation| {
            !matches!(
                operation,
                Operation::Token
                    | Operation::OpenidConfiguration
                    | Operation::InstanceDiscovery
                    | Operation::Kubernetes
                    | Operation::Unknown
            )
        });
        let operation = operation.ok_or_else(|| Unplayable::Route(route.to_owned()))?;
        let mut state = self.world.state();
        let played = &mut state.subscription_or_new(subscription, PLAYED_TENANT).played;
        if pages.is_empty() {
            played.remove(&operation);
        } else {
            played.insert(operation, pages.into());
        }
        Ok(())
    }

    /// Changes the body of the clusters of that name, as Azure itself would: a migration, an automatic upgrade, a support
    /// plan. Nothing is checked.
    pub fn edit_cluster(&self, name: &str, change: impl Fn(&mut serde_json::Value)) {
        let mut state = self.world.state();
        let holdings = state.subscriptions.values_mut().map(|subscription| &mut subscription.holdings);
        for cluster in holdings.flat_map(|holdings| &mut holdings.clusters) {
            if cluster.name.eq_ignore_ascii_case(name) {
                change(&mut cluster.body);
            }
        }
    }

    /// Sets the tenant that an unauthenticated request for the subscription is told; makes the subscription as
    /// [`Control::play`] does.
    pub fn reveal_tenant(&self, subscription: &str, tenant: &str) {
        let tenant = tenant.to_ascii_lowercase();
        self.world.state().subscription_or_new(subscription, PLAYED_TENANT).tenant = tenant;
    }

    /// Decides what a login with that secret gets, in every tenant and cloud and before anything else is
    /// looked at. A later decision for the same secret and application replaces an earlier one.
    pub fn login(&self, login: Login) {
        let mut state = self.world.state();
        state.logins.retain(|old| (&old.secret, &old.client_id) != (&login.secret, &login.client_id));
        state.logins.push(login);
    }
}

/// The number of items on a page, on the control API.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Paging {
    items: Option<usize>,
}

/// The control API.
pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/requests", get(requests).delete(clear_requests))
        .route("/writes", get(writes))
        .route("/times", get(times).put(set_times))
        .route("/outcomes", get(endings).post(add_ending).delete(clear_endings))
        .route("/quotas/{subscription}", get(quotas).put(set_quota))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/accounts", get(accounts))
        .route("/paging", get(paging).put(set_paging))
        .route("/plays/{subscription}", put(play_all))
        .route("/plays/{subscription}/{route}", put(play))
        .route("/logins", post(login))
        .route("/tokens", delete(forget_tokens))
        .merge(super::kube::control_router())
        .fallback(async || {
            let known = "/requests, /writes, /faults, /outcomes, /times, /quotas/{subscription}, /accounts, \
                         /paging, /plays/{subscription}, /logins, /tokens, /kubernetes/clusters, \
                         /kubernetes/faults, /kubernetes/requests";
            refused(StatusCode::NOT_FOUND, &format!("nothing is here; there is: {known}"))
        })
        .method_not_allowed_fallback(async || {
            refused(StatusCode::METHOD_NOT_ALLOWED, "this method is not for this address")
        })
        .layer(middleware::from_fn(guard))
        .with_state(control)
}

/// A status and what is wrong.
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        sent(self.0, &serde_json::json!({ "error": self.1 }))
    }
}

fn refused(status: StatusCode, text: &str) -> Response {
    Refused(status, text.to_owned()).into_response()
}

pub(crate) fn sent(status: StatusCode, body: &impl Serialize) -> Response {
    Answer::json(status, body).into_response(axum::body::Body::from)
}

pub(crate) fn parsed<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused(StatusCode::BAD_REQUEST, error.to_string()))
}

/// Keeps web pages of others out: a browser on this machine can reach the port, but it names its own host, and
/// cannot send JSON elsewhere without asking first.
async fn guard(request: Request, next: Next) -> Response {
    if !loopback(request.headers()) {
        return refused(StatusCode::FORBIDDEN, "the Host header must name the loopback interface");
    }
    if [Method::POST, Method::PUT].contains(request.method()) {
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send JSON, with Content-Type: application/json",
            );
        }
    }
    next.run(request).await
}

fn loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn requests(State(control): State<Control>) -> Response {
    sent(StatusCode::OK, &control.requests())
}

async fn clear_requests(State(control): State<Control>) -> StatusCode {
    control.clear_requests();
    StatusCode::NO_CONTENT
}

async fn writes(State(control): State<Control>) -> Response {
    sent(StatusCode::OK, &control.writes())
}

async fn times(State(control): State<Control>) -> Response {
    sent(StatusCode::OK, &control.times())
}

/// What is left out stays as it is.
async fn set_times(State(control): State<Control>, body: Bytes) -> Result<Response, Refused> {
    let sent_times: serde_json::Value = parsed(&body)?;
    let bad = |error: &dyn std::fmt::Display| Refused(StatusCode::BAD_REQUEST, error.to_string());
    let mut whole = serde_json::to_value(control.times()).unwrap_or_default();
    let (Some(target), Some(source)) = (whole.as_object_mut(), sent_times.as_object()) else {
        return Err(bad(&"send an object"));
    };
    target.extend(source.clone());
    let whole: Times = serde_json::from_value(whole).map_err(|error| bad(&error))?;
    control.set_times(whole).map_err(|error| bad(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn endings(State(control): State<Control>) -> Response {
    sent(StatusCode::OK, &control.endings())
}

async fn add_ending(State(control): State<Control>, body: Bytes) -> Result<Response, Refused> {
    let ending: Ending = parsed(&body)?;
    control.add_ending(ending.clone());
    Ok(sent(StatusCode::CREATED, &ending))
}

async fn clear_endings(State(control): State<Control>) -> StatusCode {
    control.clear_endings();
    StatusCode::NO_CONTENT
}

async fn quotas(State(control): State<Control>, Path(subscription): Path<String>) -> Response {
    sent(StatusCode::OK, &control.quotas(&subscription))
}

async fn set_quota(
    State(control): State<Control>,
    Path(subscription): Path<String>,
    body: Bytes,
) -> Result<Response, Refused> {
    control.set_quota(&subscription, parsed(&body)?);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn faults(State(control): State<Control>) -> Response {
    sent(StatusCode::OK, &control.faults())
}

async fn add_fault(State(control): State<Control>, body: Bytes) -> Result<Response, Refused> {
    let fault: Fault = parsed(&body)?;
    control.add_fault(fault.clone());
    Ok(sent(StatusCode::CREATED, &fault))
}

async fn clear_faults(State(control): State<Control>) -> StatusCode {
    control.clear_faults();
    StatusCode::NO_CONTENT
}

async fn accounts(State(control): State<Control>) -> Response {
    sent(StatusCode::OK, &control.accounts())
}

async fn paging(State(control): State<Control>) -> Response {
    sent(StatusCode::OK, &Paging { items: control.world.state().page_size })
}

async fn set_paging(State(control): State<Control>, body: Bytes) -> Result<Response, Refused> {
    let Paging { items } = parsed(&body)?;
    control.set_page_size(items);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn play(
    State(control): State<Control>,
    Path((subscription, route)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Refused> {
    played(&control, &subscription, HashMap::from([(route, parsed(&body)?)]))
}

async fn play_all(
    State(control): State<Control>,
    Path(subscription): Path<String>,
    body: Bytes,
) -> Result<Response, Refused> {
    played(&control, &subscription, parsed(&body)?)
}

fn played(
    control: &Control,
    subscription: &str,
    routes: HashMap<String, Vec<Page>>,
) -> Result<Response, Refused> {
    for (route, pages) in routes {
        control
            .play(subscription, &route, pages)
            .map_err(|unplayable| Refused(StatusCode::BAD_REQUEST, unplayable.to_string()))?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn login(State(control): State<Control>, body: Bytes) -> Result<Response, Refused> {
    control.login(parsed(&body)?);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn forget_tokens(State(control): State<Control>) -> StatusCode {
    control.forget_tokens();
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_interface_is_a_host() {
        for (host, expected) in [
            ("127.0.0.1:8080", true),
            ("127.0.0.1", true),
            ("localhost:1", true),
            ("[::1]:99", true),
            ("evil.example:8080", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            assert_eq!(loopback(&headers), expected, "{host}");
        }
        assert!(!loopback(&HeaderMap::new()));
    }
}
