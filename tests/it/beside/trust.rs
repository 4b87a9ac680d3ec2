//! The certificate of Rancher: `rancher-ca-file` and `rancher-ca-checksum`, right and wrong.

use std::fmt::Write as _;
use std::sync::Arc;

use super::app::{BesideApp, BesideBuilder};
use super::rancher::FakeRancher;
use super::rancher_state::{CREDENTIAL, OWNER, RancherState};
use crate::support::listener::certificate;

const PUBLIC_NAME: &str = "rancher.test";

fn checksum(pem: &str) -> String {
    let pem = format!("{}\n", pem.trim());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pem.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A server alongside a Rancher that has a certificate for `name`; also the PEM of its authority.
async fn builder(name: &str) -> (Arc<RancherState>, String, BesideBuilder) {
    let (authority, tls) = certificate(&[name]);
    let state = RancherState::new();
    state.set_cacerts(&authority);
    let fake = {
        let state = Arc::clone(&state);
        FakeRancher::start_tls(tls, move |request| state.respond(request)).await
    };
    let url = format!("https://127.0.0.1:{}", fake.address.port());
    let builder = BesideApp::builder(fake)
        .setting("NORMAN_AKS_RANCHER_URL", &url)
        .setting("NORMAN_AKS_RANCHER_HOST", PUBLIC_NAME);
    (state, authority, builder)
}

/// Sends a request; returns its status.
async fn status(app: &BesideApp) -> u16 {
    let response = app.get_versions(CREDENTIAL, OWNER).send().await;
    assert!(response.status != 503 || response.header("retry-after") == "2");
    response.status.as_u16()
}

#[tokio::test]
async fn authority_of_the_file_is_trusted_for_the_public_name() {
    let (_, authority, builder) = builder(PUBLIC_NAME).await;
    let app = builder.file_setting("NORMAN_AKS_RANCHER_CA_FILE", &authority).start().await;
    assert_eq!(status(&app).await, 200);
    let request = app.only_request();
    assert_eq!(request.path, "/v1/secrets/cattle-global-data/cc-aaaaa");
}

#[tokio::test]
async fn other_authorities_are_not_trusted() {
    let (_, _, builder) = builder(PUBLIC_NAME).await;
    let (other, _) = certificate(&[PUBLIC_NAME]);
    let app = builder.file_setting("NORMAN_AKS_RANCHER_CA_FILE", &other).start().await;
    assert_eq!(status(&app).await, 503);
    assert!(app.rancher.take_requests().is_empty(), "nothing of the session was sent");
}

#[tokio::test]
async fn private_authority_is_not_trusted_by_default() {
    let (_, _, builder) = builder(PUBLIC_NAME).await;
    let app = builder.start().await;
    assert_eq!(status(&app).await, 503);
    assert!(app.rancher.take_requests().is_empty());
}

#[tokio::test]
async fn certificate_for_another_name_is_rejected() {
    let (_, authority, builder) = builder("elsewhere.test").await;
    let app = builder.file_setting("NORMAN_AKS_RANCHER_CA_FILE", &authority).start().await;
    assert_eq!(status(&app).await, 503);
    assert!(app.rancher.take_requests().is_empty());
}

#[tokio::test]
async fn published_authority_with_the_checksum_is_trusted() {
    let (_, authority, builder) = builder(PUBLIC_NAME).await;
    let app = builder.setting("NORMAN_AKS_RANCHER_CA_CHECKSUM", &checksum(&authority)).start().await;
    assert_eq!(status(&app).await, 200);
    let requests = app.rancher.requests();
    assert_eq!(requests[0].path, "/v3/settings/cacerts");
    assert!(requests[0].headers.get("authorization").is_none(), "sent before the certificate is verified");
    assert_eq!((requests[1].path.as_str(), requests.len()), ("/v1/secrets/cattle-global-data/cc-aaaaa", 2));
}

#[tokio::test]
async fn published_authority_with_another_checksum_is_not_trusted() {
    let (_, _, builder) = builder(PUBLIC_NAME).await;
    let app = builder.setting("NORMAN_AKS_RANCHER_CA_CHECKSUM", &"0".repeat(64)).start().await;
    assert_eq!(status(&app).await, 503);
    let requests = app.rancher.requests();
    assert!(
        requests.iter().all(|request| request.headers.get("authorization").is_none()),
        "no session was sent"
    );
}

#[tokio::test]
async fn pinned_authority_of_another_certificate_is_not_trusted() {
    let (state, _, builder) = builder(PUBLIC_NAME).await;
    let (other, _) = certificate(&[PUBLIC_NAME]);
    state.set_cacerts(&other);
    let app = builder.setting("NORMAN_AKS_RANCHER_CA_CHECKSUM", &checksum(&other)).start().await;
    assert_eq!(status(&app).await, 503);
    let requests = app.rancher.requests();
    assert!(
        requests.iter().all(|request| request.headers.get("authorization").is_none()),
        "no session was sent"
    );
}

#[tokio::test]
async fn published_authority_is_read_again_after_a_mismatch() {
    let (state, authority, builder) = builder(PUBLIC_NAME).await;
    state.set_cacerts("");
    let app = builder.setting("NORMAN_AKS_RANCHER_CA_CHECKSUM", &checksum(&authority)).start().await;
    assert_eq!(status(&app).await, 503);
    state.set_cacerts(&authority);
    assert_eq!(status(&app).await, 200);
}
