//! Entity tags and encodings of lists, as docs/api.md describes them under "Caching".

use std::io::Read as _;
use std::time::Duration;

use azure_sandbox::Page;
use flate2::read::GzDecoder;
use http::Method;
use serde_json::{Value, json};

use super::LISTINGS;
use crate::support::app::{TestApp, TestResponse};

/// A server with a stored credential and a cluster that uses it, and the path of each listing.
async fn start() -> (TestApp, Vec<String>) {
    let (app, credential) = TestApp::builder().advisory_review().start_with_credential().await;
    let cluster = json!({"name": "c", "aksConfig": {"clusterName": "c", "resourceGroup": "g", "resourceLocation": "eastus",
        "imported": true, "azureCredentialSecret": credential, "kubernetesVersion": app.seed.kubernetes_version}});
    let id = app.post("/v3/clusters").json(&cluster).send().await.id();
    let query = format!("cloudCredentialId={credential}&region=eastus&clusterId={id}");
    let paths = LISTINGS.map(|action| format!("/meta/{action}?{query}")).to_vec();
    (app, paths)
}

fn path<'a>(paths: &'a [String], action: &str) -> &'a str {
    paths.iter().find(|path| path.starts_with(&format!("/meta/{action}?"))).unwrap()
}

async fn get(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> TestResponse {
    let call = app.get(path);
    headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await
}

fn decode_body(response: &TestResponse) -> Vec<u8> {
    let mut body = Vec::new();
    match response.header("content-encoding") {
        "gzip" => _ = GzDecoder::new(&response.body[..]).read_to_end(&mut body).unwrap(),
        "zstd" => body = zstd::stream::decode_all(&response.body[..]).unwrap(),
        "" => body.clone_from(&response.body),
        other => panic!("{other}"),
    }
    body
}

#[tokio::test]
async fn known_entity_tag_gets_304_without_a_body() {
    let (app, paths) = start().await;
    for path in &paths {
        let first = get(&app, path, &[]).await;
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() == 24, "{path}: {tag:?}");
        assert_eq!(first.header("vary"), "Authorization, Cookie, Accept-Encoding");
        app.clock.advance(Duration::from_secs(9));
        let weak = format!("\"other\", W/{tag}");
        for value in [&tag, &weak, "*"] {
            for method in [Method::GET, Method::HEAD] {
                let not_modified = app.call(method.clone(), path).header("if-none-match", value).send().await;
                assert_eq!(
                    (not_modified.status.as_u16(), not_modified.body.len()),
                    (304, 0),
                    "{method} {path} {value}"
                );
                assert_eq!(
                    (not_modified.header("etag"), not_modified.header("age").is_empty()),
                    (tag.as_str(), false)
                );
                assert_eq!(not_modified.header("x-norman-aks-cache"), "hit", "{path}");
                assert_eq!(not_modified.header("cache-control"), "private, no-cache");
                assert_eq!(not_modified.header("vary"), "Authorization, Cookie, Accept-Encoding");
                assert!(!not_modified.headers.contains_key("content-type"), "{path}");
            }
        }
        for value in ["\"other\"", "", &tag[1..23], "\"other\", \"\""] {
            let complete = get(&app, path, &[("if-none-match", value)]).await;
            assert_eq!((complete.status.as_u16(), &complete.body), (200, &first.body), "{path} {value}");
        }
    }
}

#[tokio::test]
async fn if_none_match_applies_only_to_get_and_head() {
    let (app, paths) = start().await;
    let credential = app.credential(&json!({"region": "eastus"}));
    let response = app.post("/meta/aksVersions").header("if-none-match", "*").json(&credential).send().await;
    assert_eq!((response.status.as_u16(), response.header("etag").len()), (200, 24));
    for method in [Method::POST, Method::PUT] {
        let path = path(&paths, "aksLocations");
        let response = app.call(method.clone(), path).header("if-none-match", "*").send().await;
        assert_eq!(response.status, 200, "{method}");
    }
}

#[tokio::test]
async fn entity_tag_changes_with_the_content_only() {
    let (app, paths) = start().await;
    let path = path(&paths, "aksVMSizes");
    let fetch_tag =
        async || get(&app, path, &[("cache-control", "no-cache")]).await.header("etag").to_owned();
    let old_tag = fetch_tag().await;
    assert_eq!(fetch_tag().await, old_tag);
    let page = Page::new(200, &json!({"value": [{"name": "Standard_New"}]})).unwrap();
    app.control.play(app.seed.subscription_id, "vmSizes", vec![page]).unwrap();
    let new_tag = fetch_tag().await;
    assert_ne!(new_tag, old_tag);
    assert_eq!(get(&app, path, &[("if-none-match", &old_tag)]).await.status, 200);
    assert_eq!(get(&app, path, &[("if-none-match", &new_tag)]).await.status, 304);
}

#[tokio::test]
async fn network_tag_depends_on_region_but_not_on_its_spelling() {
    let (app, paths) = start().await;
    let in_region = path(&paths, "aksVirtualNetworks").to_owned();
    let in_all_regions = in_region.replace("region=eastus", "region=");
    let other_spelling = in_region.replace("region=eastus", "region=East%20US");
    let (in_region, in_all_regions, other_spelling) = (
        get(&app, &in_region, &[]).await,
        get(&app, &in_all_regions, &[]).await,
        get(&app, &other_spelling, &[]).await,
    );
    assert_ne!(in_region.header("etag"), in_all_regions.header("etag"));
    assert_eq!(
        (in_region.header("etag"), &in_region.body),
        (other_spelling.header("etag"), &other_spelling.body)
    );
}

#[tokio::test]
async fn list_is_sent_in_the_preferred_encoding() {
    let (app, paths) = start().await;
    let path = path(&paths, "aksVMSizesV2");
    let plain = get(&app, path, &[]).await;
    assert!(plain.body.len() > 1024 && !plain.headers.contains_key("content-encoding"));
    let mut tags = vec![plain.header("etag").to_owned()];
    for (accepted, encoding) in [
        ("gzip, zstd", "zstd"),
        ("gzip, deflate, br", "gzip"),
        ("zstd;q=0.5, gzip;q=0.8", "gzip"),
        ("gzip;q=0, *", "zstd"),
        ("br", ""),
        ("gzip;q=0.5, identity", ""),
        ("identity;q=0, br", ""),
    ] {
        let response = get(&app, path, &[("accept-encoding", accepted)]).await;
        assert_eq!(response.header("content-encoding"), encoding, "{accepted}");
        assert_eq!(response.header("content-type"), "application/json");
        assert_eq!(response.header("x-norman-aks-cache"), "hit");
        assert_eq!(response.header("vary"), "Authorization, Cookie, Accept-Encoding");
        assert_eq!(decode_body(&response), plain.body, "{accepted}");
        assert!(encoding.is_empty() || response.body.len() < plain.body.len());
        let length = response.body.len().to_string();
        let head = app.call(Method::HEAD, path).header("accept-encoding", accepted).send().await;
        assert_eq!((head.header("content-length"), head.body.len()), (length.as_str(), 0), "{accepted}");
        assert_eq!(head.header("etag"), response.header("etag"));
        tags.push(response.header("etag").to_owned());
        let headers = [("accept-encoding", accepted), ("if-none-match", response.header("etag"))];
        let not_modified = get(&app, path, &headers).await;
        assert_eq!(
            (not_modified.status.as_u16(), not_modified.header("content-encoding")),
            (304, ""),
            "{accepted}"
        );
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3, "one for each encoding: {tags:?}");
    let headers = [("accept-encoding", "gzip"), ("if-none-match", plain.header("etag"))];
    assert_eq!(get(&app, path, &headers).await.status, 200, "a tag matches only its own encoding");
}

#[tokio::test]
async fn short_list_is_not_compressed() {
    let (app, paths) = start().await;
    let response = get(&app, path(&paths, "aksVersions"), &[("accept-encoding", "gzip, zstd")]).await;
    assert!(response.body.len() < 1024 && response.json().is_array(), "{}", response.text());
    assert!(!response.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn list_with_the_credential_in_the_body_is_compressed() {
    let app = TestApp::with_advisory_review().await;
    let body = app.credential(&json!({"region": "eastus"}));
    let response = app.post("/meta/aksVMSizesV2").header("accept-encoding", "gzip").json(&body).send().await;
    assert_eq!(
        (response.header("x-norman-aks-cache"), response.header("content-encoding")),
        ("miss", "gzip")
    );
    assert!(serde_json::from_slice::<Value>(&decode_body(&response)).unwrap().is_array());
}
