//! The targets that a server reaches through an agent.

use agent::Event;

use crate::api_server::{ApiServer, REQUESTED_ADDRESS, dial_error, echo};
use crate::server::{NAME, Server};
use crate::support::{Agent, network, settings, variables_with_checksum};

#[tokio::test]
async fn other_targets_are_denied_and_the_session_stays_open() {
    let (mut server, api_server) = (Server::start().await, ApiServer::start().await);
    let metadata_service = ApiServer::start().await;
    let hosts = vec![("10.0.0.1", api_server.address), ("169.254.169.254", metadata_service.address)];
    let mut agent = Agent::for_server(&server, hosts);
    let session = server.next_session().await;
    for (network, address) in [
        ("tcp", "169.254.169.254:80"),
        ("tcp", "10.0.0.1:6443"),
        ("udp", "10.0.0.1:443"),
        ("unix", "/var/run/docker.sock"),
    ] {
        let error = dial_error(&session, network, address).await;
        assert!(error.ends_with("connect not allowed"), "{network}/{address}: {error}");
    }
    // The connection goes to the API server, whatever the requested host.
    for address in [REQUESTED_ADDRESS, "169.254.169.254:443"] {
        let mut connection = session.dial("tcp", address).unwrap();
        assert_eq!(echo(&mut connection).await.unwrap(), "hello", "{address}");
    }
    assert_eq!((api_server.accepted_count(), metadata_service.accepted_count()), (2, 0));
    assert!(!session.is_closed() && agent.status.is_ready());

    // Many denials cause only one event.
    let denied = agent.wait_for_failure().await;
    assert!(matches!(&denied, Event::DialDenied { count: 1, .. }), "{denied:?}");
    assert!(denied.to_string().contains("tcp/169.254.169.254:80"), "{denied}");
    assert_eq!(agent.events().iter().filter(|event| event.is_failure()).count(), 1);
}

#[tokio::test]
async fn only_the_configured_api_server_address_is_allowed() {
    let (mut server, api_server) = (Server::start().await, ApiServer::start().await);
    let mut variables = variables_with_checksum(&server);
    variables.insert("NORMAN_AKS_API_SERVER", REQUESTED_ADDRESS.to_owned());
    let hosts = vec![(NAME, server.address), ("10.0.0.1", api_server.address)];
    let _agent = Agent::start(settings(&variables), network(hosts));
    let session = server.next_session().await;
    let error = dial_error(&session, "tcp", "other.azmk8s.io:443").await;
    assert!(error.ends_with("connect not allowed"), "{error}");
    let mut connection = session.dial("tcp", REQUESTED_ADDRESS).unwrap();
    assert_eq!(echo(&mut connection).await.unwrap(), "hello");
    assert_eq!(api_server.accepted_count(), 1);
}

#[tokio::test]
async fn unreachable_api_server_is_reported_and_session_stays_open() {
    let mut server = Server::start().await;
    let mut agent = Agent::for_server(&server, vec![("10.0.0.1", "127.0.0.1:1".parse().unwrap())]);
    let session = server.next_session().await;
    for _ in 0..2 {
        let error = dial_error(&session, "tcp", REQUESTED_ADDRESS).await;
        assert!(error.ends_with("connect: connection refused"), "{error}");
    }
    let failure = agent.wait_for_failure().await;
    let text = failure.to_string();
    assert!(
        text.contains("API server at 10.0.0.1:443 (1 failed attempt(s))")
            && text.contains("network policies"),
        "{text}"
    );
    assert!(!session.is_closed() && agent.status.is_ready());
}
