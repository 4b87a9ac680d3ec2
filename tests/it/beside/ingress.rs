//! Replays requests as Traefik, an ingress controller, delivered them to a server at the nine `/meta/aks…` paths.

use axum::body::Body;
use http::Request;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::app::BesideApp;
use super::rancher_state::{OWNER, UNAUTHORIZED};
use crate::support::fixtures;

#[derive(Deserialize)]
struct Exchange {
    reached: Option<ReceivedRequest>,
}

/// A request as received by the server behind the ingress.
#[derive(Deserialize)]
struct ReceivedRequest {
    accelerator: bool,
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
}

/// The recorded requests that reached the server, of all configurations of the ingress.
fn received_requests() -> Vec<ReceivedRequest> {
    let recording: BTreeMap<String, Vec<Exchange>> = fixtures::json("rancher-auth/rancher-ingress.json");
    let reached = recording.into_values().flatten().filter_map(|exchange| exchange.reached);
    reached.filter(|reached| reached.accelerator).collect()
}

/// The request, with a token in place of the redacted ones.
fn request(received: &ReceivedRequest) -> Request<Body> {
    let mut request = Request::builder().method(received.method.as_str()).uri(&received.path);
    for (name, value) in &received.headers {
        let value = match name.as_str() {
            "Authorization" => format!("Bearer {OWNER}"),
            "Cookie" => format!("R_SESS={OWNER}"),
            _ => value.clone(),
        };
        request = request.header(name, value);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn requests_of_an_ingress_are_answered_as_by_rancher() {
    let (app, _) = BesideApp::start().await;
    let (mut plain, mut anonymous, mut impersonated, mut others) = (0, 0, 0, 0);
    for received in received_requests() {
        app.rancher.take_requests();
        let response = app.send(request(&received)).await;
        let has_header = |name: &str| received.headers.contains_key(name);
        let what = format!("{} {}", received.method, received.path);
        if received.headers["X-Forwarded-Proto"] == "http" {
            plain += 1;
            assert_eq!(response.status, 302, "{what}");
            assert_eq!(response.header("location"), format!("https://rancher.test{}", received.path));
            assert!(app.rancher.take_requests().is_empty(), "{what}: the session is not sent on");
        } else if has_header("Impersonate-User") {
            impersonated += 1;
            assert_eq!(response.header("x-norman-aks-via"), "rancher", "{what}");
            let request_to_rancher = app.only_request();
            assert_eq!(request_to_rancher.path, received.path);
            assert_eq!(
                (request_to_rancher.header("impersonate-user"), request_to_rancher.header("via")),
                ("u", "1.1 norman-aks")
            );
            for (name, expected) in [
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-host", "rancher.test"),
                ("x-forwarded-proto", "https"),
            ] {
                assert_eq!(request_to_rancher.header_values(name), [expected], "{name}");
            }
        } else if received.path.starts_with("/meta/aks")
            && !has_header("Authorization")
            && is_action(&received.path)
        {
            anonymous += 1;
            assert_eq!((response.status.as_u16(), response.text().as_str()), (401, UNAUTHORIZED), "{what}");
            assert_eq!(response.header("x-api-cattle-auth"), "false", "{what}");
            assert!(app.rancher.take_requests().is_empty(), "{what}: no token to look up");
        } else {
            // Prefix rules deliver paths that are not actions.
            others += 1;
            assert_eq!(response.header("x-norman-aks-via"), "rancher", "{what}: {}", response.text());
            assert_eq!(app.only_request().path, received.path);
        }
    }
    println!("plain {plain}, anonymous {anonymous}, impersonated {impersonated}, others {others}");
    assert!(
        plain >= 4 && anonymous >= 20 && impersonated >= 3,
        "{plain} {anonymous} {impersonated} {others}"
    );
}

fn is_action(path: &str) -> bool {
    let name = path.split('?').next().unwrap().strip_prefix("/meta/").unwrap();
    [
        "aksCheckCredentials",
        "aksUpgrades",
        "aksVersions",
        "aksVirtualNetworks",
        "aksClusters",
        "aksVMSizes",
        "aksVMSizesV2",
        "aksLocations",
        "aksRegions",
    ]
    .contains(&name)
}
