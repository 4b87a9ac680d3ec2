//! The control API over HTTP, described in `docs/sandbox.md`.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::net::IpAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Control;
use super::response::{ControlError, error_response, json_response, parse_json};
use crate::kube::declared::Declared;
use crate::recordings::Page;
use crate::timing::Timing;

pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/requests", get(return_json(Control::requests)).delete(call_method(Control::clear_requests)))
        .route("/writes", get(return_json(Control::writes)))
        .route("/times", get(return_json(Control::timing)).put(set_timing))
        .route(
            "/outcomes",
            get(return_json(Control::outcomes))
                .post(add_item(Control::add_outcome))
                .delete(call_method(Control::clear_outcomes)),
        )
        .route("/quotas/{subscription}", get(quotas).put(set_quota))
        .route("/budgets/{subscription}", get(budget).put(set_budget))
        .route(
            "/faults",
            get(return_json(Control::faults))
                .post(add_item(Control::add_fault))
                .delete(call_method(Control::clear_faults)),
        )
        .route("/accounts", get(return_json(|control| control.accounts().to_vec())))
        .route("/roles/{subscription}/{client}", get(roles).put(set_roles))
        .route("/clusters/{name}", put(super::clusters::edit_cluster))
        .route(
            "/paging",
            get(return_json(|control| Paging { items: control.page_size() }))
                .put(accept_json(|control, Paging { items }| control.set_page_size(items))),
        )
        .route("/plays/{subscription}", put(play_all))
        .route("/plays/{subscription}/{route}", put(play))
        .route("/logins", post(accept_json(Control::script_login)))
        .route("/tokens", delete(call_method(Control::forget_tokens)))
        .merge(kubernetes_router())
        .fallback(async || {
            let paths = "/requests, /writes, /faults, /outcomes, /times, /quotas/{subscription}, \
                         /roles/{subscription}/{client}, /budgets/{subscription}, /accounts, \
                         /clusters/{name}, /paging, /plays/{subscription}, /logins, /tokens, /kubernetes/clusters, \
                         /kubernetes/agents, /kubernetes/images, /kubernetes/network, /kubernetes/faults, \
                         /kubernetes/requests";
            error_response(StatusCode::NOT_FOUND, &format!("not found; the paths are: {paths}"))
        })
        .method_not_allowed_fallback(async || {
            error_response(StatusCode::METHOD_NOT_ALLOWED, "this path does not support the method")
        })
        .layer(middleware::from_fn(reject_other_origins))
        .with_state(control)
}

/// The routes for the Kubernetes APIs of clusters.
fn kubernetes_router() -> Router<Control> {
    Router::new()
        .route("/kubernetes/clusters", get(return_json(Control::cluster_views)))
        .route("/kubernetes/clusters/{fqdn}", put(declare_cluster).delete(delete_cluster))
        .route("/kubernetes/clusters/{fqdn}/kubeconfig", get(kubeconfig))
        .route("/kubernetes/clusters/{fqdn}/reachable", put(set_reachable))
        .route("/kubernetes/clusters/{fqdn}/certificates", post(replace_certificates))
        .route(
            "/kubernetes/agents",
            get(return_json(|control| Agents { enabled: control.agents_enabled() }))
                .put(accept_json(|control, Agents { enabled }| control.enable_agents(enabled))),
        )
        .route(
            "/kubernetes/images",
            get(return_json(|control| Images { unpullable: control.unpullable_images() }))
                .put(accept_json(|control, Images { unpullable }| control.set_unpullable_images(unpullable))),
        )
        .route(
            "/kubernetes/network",
            get(return_json(Control::pod_network)).put(accept_json(
                |control, NetworkLimit { read_bytes_per_second }| {
                    control.limit_pod_reads(read_bytes_per_second);
                },
            )),
        )
        .route("/kubernetes/network/connections", delete(call_method(Control::cut_pod_connections)))
        .route(
            "/kubernetes/faults",
            get(return_json(Control::kubernetes_faults))
                .post(add_item(Control::add_kubernetes_fault))
                .delete(call_method(Control::clear_kubernetes_faults)),
        )
        .route(
            "/kubernetes/requests",
            get(return_json(Control::kubernetes_requests))
                .delete(call_method(Control::clear_kubernetes_requests)),
        )
}

/// A handler that returns a value as JSON.
fn return_json<T: Serialize>(
    read: impl Fn(&Control) -> T + Clone,
) -> impl Fn(State<Control>) -> Ready<Response> + Clone {
    move |State(control)| ready(json_response(StatusCode::OK, &read(&control)))
}

/// A handler that calls a method without parameters.
fn call_method(method: fn(&Control)) -> impl Fn(State<Control>) -> Ready<StatusCode> + Clone {
    move |State(control)| {
        method(&control);
        ready(StatusCode::NO_CONTENT)
    }
}

/// A handler that passes the value in the body to a method.
fn accept_json<T: DeserializeOwned>(
    method: impl Fn(&Control, T) + Clone,
) -> impl Fn(State<Control>, Bytes) -> Ready<Result<StatusCode, ControlError>> + Clone {
    move |State(control), body| {
        ready(parse_json(&body).map(|value| {
            method(&control, value);
            StatusCode::NO_CONTENT
        }))
    }
}

/// A handler that adds an item and returns it.
fn add_item<T: Clone + DeserializeOwned + Serialize>(
    method: fn(&Control, T),
) -> impl Fn(State<Control>, Bytes) -> Ready<Result<Response, ControlError>> + Clone {
    move |State(control), body| {
        ready(parse_json::<T>(&body).map(|item| {
            method(&control, item.clone());
            json_response(StatusCode::CREATED, &item)
        }))
    }
}

/// Rejects requests from web pages: after DNS rebinding, the `Host` header names the page's own host, and a browser sends
/// JSON to another origin only after a preflight.
async fn reject_other_origins(request: Request, next: Next) -> Response {
    if !is_loopback(request.headers()) {
        return error_response(StatusCode::FORBIDDEN, "the Host header must name the loopback interface");
    }
    if [Method::POST, Method::PUT].contains(request.method()) {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.unwrap_or_default().split(';').next().map(str::trim);
        if media_type != Some("application/json") {
            let text = "send JSON, with Content-Type: application/json";
            return error_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        }
    }
    next.run(request).await
}

fn is_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Durations that the body does not contain are unchanged.
async fn set_timing(State(control): State<Control>, body: Bytes) -> Result<StatusCode, ControlError> {
    let changes: serde_json::Value = parse_json(&body)?;
    let mut timing = serde_json::to_value(control.timing()).unwrap_or_default();
    let (Some(target), Some(source)) = (timing.as_object_mut(), changes.as_object()) else {
        return Err(ControlError::bad_request("the body must be a JSON object"));
    };
    target.extend(source.clone());
    let timing: Timing = serde_json::from_value(timing).map_err(ControlError::bad_request)?;
    control.set_timing(timing).map_err(ControlError::bad_request)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn quotas(State(control): State<Control>, Path(subscription): Path<String>) -> Response {
    json_response(StatusCode::OK, &control.quotas(&subscription))
}

async fn set_quota(
    State(control): State<Control>,
    Path(subscription): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    control.set_quota(&subscription, parse_json(&body)?);
    Ok(StatusCode::NO_CONTENT)
}

async fn roles(
    State(control): State<Control>,
    Path((subscription, client)): Path<(String, String)>,
) -> Response {
    json_response(StatusCode::OK, &control.roles(&subscription, &client))
}

async fn set_roles(
    State(control): State<Control>,
    Path((subscription, client)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    control.set_roles(&subscription, &client, parse_json(&body)?);
    Ok(StatusCode::NO_CONTENT)
}

async fn budget(State(control): State<Control>, Path(subscription): Path<String>) -> Response {
    json_response(StatusCode::OK, &control.budget(&subscription))
}

async fn set_budget(
    State(control): State<Control>,
    Path(subscription): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    control.set_budget(&subscription, parse_json(&body)?);
    Ok(StatusCode::NO_CONTENT)
}

/// The number of items on a page.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Paging {
    items: Option<usize>,
}

async fn play(
    State(control): State<Control>,
    Path((subscription, route)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    control.play(&subscription, &route, parse_json(&body)?).map_err(ControlError::bad_request)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn play_all(
    State(control): State<Control>,
    Path(subscription): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    for (route, pages) in parse_json::<HashMap<String, Vec<Page>>>(&body)? {
        control.play(&subscription, &route, pages).map_err(ControlError::bad_request)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn declare_cluster(
    State(control): State<Control>,
    Path(fqdn): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    let cluster: Declared = parse_json(&body)?;
    control.declare_kubernetes(Declared { fqdn, ..cluster });
    control.sandbox.kube.saved().await;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_cluster(State(control): State<Control>, Path(fqdn): Path<String>) -> StatusCode {
    control.forget_kubernetes(&fqdn);
    StatusCode::NO_CONTENT
}

async fn kubeconfig(
    State(control): State<Control>,
    Path(fqdn): Path<String>,
) -> Result<String, ControlError> {
    control.kubeconfig(&fqdn).ok_or_else(|| ControlError::no_cluster(&fqdn))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reachable {
    reachable: bool,
}

async fn set_reachable(
    State(control): State<Control>,
    Path(fqdn): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    let Reachable { reachable } = parse_json(&body)?;
    wait_until_saved(&control, &fqdn, control.set_reachable(&fqdn, reachable)).await
}

/// Whether programs run in pods.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Agents {
    enabled: bool,
}

/// The images that cannot be pulled.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Images {
    unpullable: Vec<String>,
}

/// The limit of the network of pods; `null` for none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkLimit {
    read_bytes_per_second: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Certificates {
    /// The validity of an additional client certificate in days; if unset, all certificates are replaced.
    #[serde(default)]
    client_days: Option<u32>,
}

async fn replace_certificates(
    State(control): State<Control>,
    Path(fqdn): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    let Certificates { client_days } = parse_json(&body)?;
    let is_replaced = match client_days {
        Some(days) => control.renew_client_certificate(&fqdn, days),
        None => control.rotate_certificates(&fqdn),
    };
    wait_until_saved(&control, &fqdn, is_replaced).await
}

/// Waits until a change of a cluster is saved. Returns an error if the cluster was not changed.
async fn wait_until_saved(
    control: &Control,
    fqdn: &str,
    is_changed: bool,
) -> Result<StatusCode, ControlError> {
    if !is_changed {
        return Err(ControlError::no_cluster(fqdn));
    }
    control.sandbox.kube.saved().await;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_are_accepted() {
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
            assert_eq!(is_loopback(&headers), expected, "{host}");
        }
        assert!(!is_loopback(&HeaderMap::new()));
    }
}
