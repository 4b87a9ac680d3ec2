//! Requests as a real ingress controller (Traefik) delivered them to a server at the nine paths.

use axum::body::Body;
use http::Request;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::app::BesideApp;
use super::rancher_state::{OWNER, UNAUTHORIZED};
use crate::support::fixtures;

#[derive(Deserialize)]
struct Exchange {
    reached: Option<Reached>,
}

/// A request as received by the server behind the ingress.
#[derive(Deserialize)]
struct Reached {
    accelerator: bool,
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
}

/// The recorded requests that reached the server, in all arrangements.
fn reached() -> Vec<Reached> {
    let recording: BTreeMap<String, Vec<Exchange>> = fixtures::json("rancher-auth/rancher-ingress.json");
    let reached = recording.into_values().flatten().filter_map(|exchange| exchange.reached);
    reached.filter(|reached| reached.accelerator).collect()
}

/// The request with tokens in place of the recorded ellipses.
fn request(reached: &Reached) -> Request<Body> {
    let mut request = Request::builder().method(reached.method.as_str()).uri(&reached.path);
    for (name, value) in &reached.headers {
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
    for reached in reached() {
        app.rancher.take_requests();
        let answer = app.send(request(&reached)).await;
        let has = |name: &str| reached.headers.contains_key(name);
        let place = format!("{} {}", reached.method, reached.path);
        if reached.headers["X-Forwarded-Proto"] == "http" {
            plain += 1;
            assert_eq!(answer.status, 302, "{place}");
            assert_eq!(answer.header("location"), format!("https://rancher.test{}", reached.path));
            assert!(app.rancher.take_requests().is_empty(), "{place}: nothing of a session leaves");
        } else if has("Impersonate-User") {
            impersonated += 1;
            assert_eq!(answer.header("x-norman-aks-via"), "rancher", "{place}");
            let seen = app.only_request();
            assert_eq!(seen.path, reached.path);
            assert_eq!((seen.header("impersonate-user"), seen.header("via")), ("u", "1.1 norman-aks"));
            for (name, expected) in [
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-host", "rancher.test"),
                ("x-forwarded-proto", "https"),
            ] {
                assert_eq!(seen.all(name), [expected], "{name}");
            }
        } else if reached.path.starts_with("/meta/aks") && !has("Authorization") && is_action(&reached.path) {
            anonymous += 1;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (401, UNAUTHORIZED), "{place}");
            assert_eq!(answer.header("x-api-cattle-auth"), "false", "{place}");
            assert!(app.rancher.take_requests().is_empty(), "{place}: there is nothing to ask");
        } else {
            // Prefix rules deliver paths that are not actions.
            others += 1;
            assert_eq!(answer.header("x-norman-aks-via"), "rancher", "{place}: {}", answer.text());
            assert_eq!(app.only_request().path, reached.path);
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
