//! The servers that an agent trusts, and its errors about others.

use agent::Event;
use remotedialer::CloseCode;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::server::{Authority, NAME, Server, URL, cacerts_json};
use crate::support::{Agent, network, settings, variables, variables_with_checksum};

/// Asserts that the agent sent no upgrade request, which would contain the token.
fn assert_token_not_sent(server: &Server) {
    let paths = server.paths();
    assert!(paths.iter().all(|path| path == "/v3/settings/cacerts"), "{paths:?}");
}

/// The first failure of an agent whose checksum is that of `server` before `change`.
async fn failure_after(server: &Server, change: impl FnOnce(&Server)) -> Event {
    let settings = settings(&variables_with_checksum(server));
    change(server);
    let mut agent = Agent::start(settings, network(vec![(NAME, server.address)]));
    let failure = agent.wait_for_failure().await;
    assert_eq!(agent.status.reason(), Some(failure.to_string()));
    assert_token_not_sent(server);
    failure
}

#[tokio::test]
async fn wrong_checksum_is_reported_and_the_token_is_not_sent() {
    let server = Server::start().await;
    let expected = server.checksum();
    let failure = failure_after(&server, |server| server.replace_authority(&Authority::new(NAME))).await;
    let actual = Some(server.checksum());
    assert_eq!(failure, Event::ChecksumMismatch { expected, actual });
    let text = failure.to_string();
    assert!(
        text.contains(&server.checksum()) && text.contains("apply the cluster's import manifest"),
        "{text}"
    );
}

#[tokio::test]
async fn checksum_covers_the_trimmed_value_and_a_line_break() {
    let mut server = Server::start().await;
    let settings = settings(&variables_with_checksum(&server));
    server.update_state(|state| {
        let mut json: serde_json::Value = serde_json::from_str(&state.cacerts.1).unwrap();
        json["value"] = format!("\n{} \n\n", json["value"].as_str().unwrap()).into();
        state.cacerts.1 = json.to_string();
    });
    let _agent = Agent::start(settings, network(vec![(NAME, server.address)]));
    server.next_session().await;
}

#[tokio::test]
async fn missing_authorities_are_reported() {
    let server = Server::start().await;
    for body in [cacerts_json(" \n"), r#"{"type":"setting"}"#.to_owned(), r#"{"value":null}"#.to_owned()] {
        let expected = Server::start().await.checksum();
        let mut variables = variables(URL);
        variables.insert("CATTLE_CA_CHECKSUM", expected.clone());
        server.update_state(|state| state.cacerts = (200, body));
        let mut agent = Agent::start(settings(&variables), network(vec![(NAME, server.address)]));
        let failure = agent.wait_for_failure().await;
        assert_eq!(failure, Event::ChecksumMismatch { expected, actual: None });
        assert!(failure.to_string().contains("set `cacerts` there"), "{failure}");
        assert_token_not_sent(&server);
    }
}

#[tokio::test]
async fn unreadable_authorities_are_reported() {
    for (cacerts, expected) in [
        ((401, "must authenticate".to_owned()), "status 401"),
        ((302, String::new()), "status 302"),
        ((200, "<html>".to_owned()), "not the JSON of a setting"),
        ((200, " ".repeat(2 << 20)), "length limit exceeded"),
    ] {
        let server = Server::start().await;
        let failure =
            failure_after(&server, |server| server.update_state(|state| state.cacerts = cacerts)).await;
        let text = failure.to_string();
        assert!(matches!(failure, Event::AuthoritiesUnavailable { .. }), "{failure:?}");
        assert!(text.contains(expected) && text.contains("GET /v3/settings/cacerts"), "{text}");
    }
}

#[tokio::test]
async fn cacerts_without_a_certificate_is_reported() {
    let server = Server::start().await;
    server.update_state(|state| state.cacerts = (200, cacerts_json("no certificate")));
    let failure = failure_after(&server, |_| ()).await;
    assert!(failure.to_string().contains("cacerts contains no certificate"), "{failure}");
}

#[tokio::test]
async fn certificate_of_another_authority_is_not_trusted() {
    let server = Server::start().await;
    let other = Authority::new(NAME);
    let failure = failure_after(&server, |server| server.update_state(|state| state.tls = other.tls)).await;
    assert!(matches!(failure, Event::NotTrusted { .. }), "{failure:?}");
    let text = failure.to_string();
    assert!(text.starts_with("the certificate of server.test:443 is not trusted: "), "{text}");
    assert!(text.contains("set `cacerts` on the server to the authority"), "{text}");
}

#[tokio::test]
async fn certificate_for_another_name_is_not_trusted() {
    let server = Server::with_authority(&Authority::new("other.test")).await;
    let failure = failure_after(&server, |_| ()).await;
    assert!(matches!(failure, Event::NotTrusted { .. }), "{failure:?}");
    let text = failure.to_string();
    assert!(text.contains("other.test") && text.contains("use a name of the certificate"), "{text}");
}

#[tokio::test]
async fn published_self_signed_certificate_is_trusted() {
    let mut server = Server::with_authority(&Authority::self_signed(NAME)).await;
    let mut agent = Agent::for_server(&server, Vec::new());
    server.next_session().await;
    agent.wait_until_connected().await;
}

#[tokio::test]
async fn another_self_signed_certificate_is_not_trusted() {
    let server = Server::with_authority(&Authority::self_signed(NAME)).await;
    let other = Authority::self_signed(NAME);
    let failure = failure_after(&server, |server| server.update_state(|state| state.tls = other.tls)).await;
    let text = failure.to_string();
    assert!(text.contains("not one of the server's cacerts") && text.contains("set `cacerts`"), "{text}");
}

#[tokio::test]
async fn authorities_are_read_again_after_an_untrusted_certificate() {
    let authority = Authority::new(NAME);
    let mut server = Server::with_authority(&authority).await;
    server.update_state(|state| state.tls = Authority::new(NAME).tls);
    let mut agent = Agent::for_server(&server, Vec::new());
    assert!(matches!(agent.wait_for_failure().await, Event::NotTrusted { .. }));
    server.update_state(|state| state.tls = authority.tls);
    server.next_session().await;
    agent.wait_until_connected().await;
    let reads = server.paths().iter().filter(|path| *path == "/v3/settings/cacerts").count();
    assert!(reads >= 2, "{:?}", server.paths());
}

#[tokio::test]
async fn replaced_authority_is_reported_as_checksum_mismatch() {
    let mut server = Server::start().await;
    let mut agent = Agent::for_server(&server, Vec::new());
    let session = server.next_session().await;
    server.replace_authority(&Authority::new(NAME));
    session.close(CloseCode::GOING_AWAY, "restart");
    agent.wait_for(|event| matches!(event, Event::NotTrusted { .. }).then_some(())).await;
    agent.wait_for(|event| matches!(event, Event::ChecksumMismatch { .. }).then_some(())).await;
    let connects = server.paths().iter().filter(|path| path.starts_with("/v3/connect")).count();
    assert_eq!(connects, 1, "{:?}", server.paths());
}

#[tokio::test]
async fn without_a_checksum_private_authorities_are_not_trusted() {
    let server = Server::start().await;
    let mut agent = Agent::start(settings(&variables(URL)), network(vec![(NAME, server.address)]));
    let failure = agent.wait_for_failure().await;
    assert!(matches!(failure, Event::NotTrusted { .. }), "{failure:?}");
    assert!(failure.to_string().contains("SSL_CERT_FILE"), "{failure}");
    assert_eq!(server.paths(), [""; 0]);
}

#[tokio::test]
async fn port_without_tls_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let server = Server::start().await;
    let mut agent = Agent::start(settings(&variables_with_checksum(&server)), network(vec![(NAME, address)]));
    let failure = agent.wait_for_failure().await;
    assert!(matches!(failure, Event::TlsFailed { .. }), "{failure:?}");
    assert!(failure.to_string().contains("check that it is the port for HTTPS"), "{failure}");
}
