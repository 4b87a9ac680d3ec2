//! Connecting, being rejected, and connecting again.

use std::net::SocketAddr;

use agent::Event;
use base64::Engine as _;
use remotedialer::CloseCode;

use crate::api_server::{ApiServer, REQUESTED_ADDRESS, echo};
use crate::server::{NAME, Server, URL};
use crate::support::{Agent, TOKEN, network, settings, variables_with_checksum};

#[tokio::test]
async fn server_reaches_the_api_server_through_the_agent() {
    let (mut server, api_server) = (Server::start().await, ApiServer::start().await);
    let mut agent = Agent::for_server(&server, vec![("10.0.0.1", api_server.address)]);
    let session = server.next_session().await;
    agent.wait_until_connected().await;
    let mut connection = session.dial("tcp", REQUESTED_ADDRESS).unwrap();
    assert_eq!(echo(&mut connection).await.unwrap(), "hello");
    assert!(agent.status.is_ready() && agent.status.reason().is_none());
    let expected = [
        Event::Connecting { server: URL.to_owned(), proxy: None },
        Event::Connected { server: URL.to_owned() },
    ];
    assert_eq!(agent.events(), expected);
}

#[tokio::test]
async fn request_has_token_and_parameters() {
    let mut server = Server::start().await;
    let _agent = Agent::for_server(&server, Vec::new());
    server.next_session().await;
    assert_eq!(server.paths(), ["/v3/settings/cacerts", "/v3/connect/register"]);
    let state = server.state.lock().unwrap();
    let (_, cacerts_headers) = &state.requests[0];
    assert!(!format!("{cacerts_headers:?}").contains("canary"), "{cacerts_headers:?}");
    let (_, upgrade_headers) = &state.requests[1];
    assert_eq!(upgrade_headers["x-api-tunnel-token"], TOKEN);
    assert_eq!(upgrade_headers["host"], NAME);
    let params = base64::prelude::BASE64_STANDARD.decode(&upgrade_headers["x-api-tunnel-params"]).unwrap();
    let params: serde_json::Value = serde_json::from_slice(&params).unwrap();
    assert_eq!(params["cluster"]["address"], "10.0.0.1:443");
    for key in ["caCert", "token"] {
        assert!(!params["cluster"][key].as_str().unwrap().is_empty(), "{key}");
    }
}

#[tokio::test]
async fn agent_connects_again_after_the_session_is_closed() {
    let mut server = Server::start().await;
    let mut agent = Agent::for_server(&server, Vec::new());
    server.next_session().await.close(CloseCode::GOING_AWAY, "restart");
    let second_session = server.next_session().await;
    assert!(!second_session.is_closed());
    // The authorities are read once, and only the first session registers.
    assert_eq!(server.paths(), ["/v3/settings/cacerts", "/v3/connect/register", "/v3/connect"]);
    let reason = agent.wait_for(|event| match event {
        Event::Disconnected { reason } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason.await, "closed by the peer: 1001 \"restart\"");
}

#[tokio::test]
async fn rejection_is_reported_with_text_and_remedy() {
    for (status, body, remedy) in [
        (401, "failed authentication", "apply the cluster's import manifest again"),
        (400, "cluster not found", "apply the cluster's import manifest again"),
        (404, "<html>nothing here</html>", "check CATTLE_SERVER"),
        (200, "welcome", "check CATTLE_SERVER"),
        (302, "", "agents do not follow redirects"),
        (503, "later", "see its log"),
    ] {
        let server = Server::start().await;
        server.update_state(|state| state.rejection = Some((status, body.to_owned())));
        let mut agent = Agent::for_server(&server, Vec::new());
        let failure = agent.wait_for_failure().await;
        assert_eq!(failure, Event::Rejected { status, text: body.to_owned() });
        let text = failure.to_string();
        assert!(text.contains(&status.to_string()) && text.contains(body) && text.contains(remedy), "{text}");
        assert!(!agent.status.is_ready());
        assert_eq!(agent.status.reason(), Some(text));
    }
}

#[tokio::test]
async fn rejected_agent_tries_again_and_registers() {
    let mut server = Server::start().await;
    server.update_state(|state| state.rejection = Some((400, "cluster not found".to_owned())));
    let mut agent = Agent::for_server(&server, Vec::new());
    agent.wait_for_failure().await;
    server.update_state(|state| state.rejection = None);
    server.next_session().await;
    agent.wait_until_connected().await;
    let paths = server.paths();
    assert_eq!(paths.last().unwrap(), "/v3/connect/register", "{paths:?}");
    assert!(agent.status.is_ready());
}

#[tokio::test]
async fn unreachable_server_is_named_with_the_reason() {
    let server = Server::start().await;
    let closed_port: SocketAddr = "127.0.0.1:1".parse().unwrap();
    for (hosts, reason) in [(vec![(NAME, closed_port)], "refused"), (Vec::new(), "server.test is unknown")] {
        let mut agent = Agent::start(settings(&variables_with_checksum(&server)), network(hosts));
        let failure = agent.wait_for_failure().await;
        assert!(matches!(failure, Event::Unreachable { .. }), "{failure:?}");
        let text = failure.to_string();
        assert!(text.starts_with("cannot connect to server.test:443: ") && text.contains(reason), "{text}");
    }
}

#[tokio::test]
async fn failure_after_a_session_becomes_the_status_reason() {
    let mut server = Server::start().await;
    let mut agent = Agent::for_server(&server, Vec::new());
    let session = server.next_session().await;
    agent.wait_until_connected().await;
    server.update_state(|state| state.rejection = Some((400, "cluster not found".to_owned())));
    session.close(CloseCode::POLICY, "token was replaced");
    agent.wait_for(|event| matches!(event, Event::Rejected { .. }).then_some(())).await;
    assert!(agent.status.reason().unwrap().contains("cluster not found"));
}
