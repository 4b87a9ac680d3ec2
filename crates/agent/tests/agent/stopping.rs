//! Stopping an agent.

use std::time::Duration;

use agent::Event;
use remotedialer::{CloseCode, SessionError};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::api_server::{ApiServer, REQUESTED_ADDRESS, dial_error, echo};
use crate::server::{NAME, Server};
use crate::support::{Agent, TIMEOUT, network, settings, variables_with_checksum, within_limit};

fn closed_by_stopping_agent() -> SessionError {
    SessionError::ClosedByPeer { code: CloseCode::GOING_AWAY, reason: "the agent is stopping".to_owned() }
}

#[tokio::test]
async fn running_connection_finishes_and_new_ones_are_denied() {
    let (mut server, api_server) = (Server::start().await, ApiServer::start().await);
    let hosts = vec![(NAME, server.address), ("10.0.0.1", api_server.address)];
    let settings = settings(&variables_with_checksum(&server)).with_drain(TIMEOUT, TIMEOUT);
    let mut agent = Agent::start(settings, network(hosts));
    let session = server.next_session().await;
    let mut running = session.dial("tcp", REQUESTED_ADDRESS).unwrap();
    assert_eq!(echo(&mut running).await.unwrap(), "hello");

    agent.stop.cancel();
    agent.wait_for(|event| (*event == Event::Draining { connections: 1 }).then_some(())).await;
    assert!(agent.status.reason().unwrap().starts_with("stopping"));
    let error = dial_error(&session, "tcp", REQUESTED_ADDRESS).await;
    assert!(error.ends_with("the agent is stopping"), "{error}");
    assert_eq!(echo(&mut running).await.unwrap(), "hello");
    drop(running);
    assert_eq!(within_limit(session.closed()).await, closed_by_stopping_agent());
    let events = agent.wait_until_stopped().await;
    assert_eq!(events.last(), Some(&Event::Stopped));
    assert!(!events.iter().any(|event| matches!(event, Event::Disconnected { .. })), "{events:?}");
    assert_eq!(api_server.accepted_count(), 1);
}

#[tokio::test]
async fn running_connections_are_closed_after_the_drain_timeout() {
    let (mut server, api_server) = (Server::start().await, ApiServer::start().await);
    let hosts = vec![(NAME, server.address), ("10.0.0.1", api_server.address)];
    let settings =
        settings(&variables_with_checksum(&server)).with_drain(Duration::from_millis(200), TIMEOUT);
    let agent = Agent::start(settings, network(hosts));
    let session = server.next_session().await;
    let mut running = session.dial("tcp", REQUESTED_ADDRESS).unwrap();
    assert_eq!(echo(&mut running).await.unwrap(), "hello");
    agent.stop.cancel();
    assert!(within_limit(running.read_u8()).await.is_err());
    assert_eq!(within_limit(session.closed()).await, closed_by_stopping_agent());
    agent.wait_until_stopped().await;
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_stop() {
    let (mut server, api_server) = (Server::start().await, ApiServer::start().await);
    let hosts = vec![(NAME, server.address), ("10.0.0.1", api_server.address)];
    let settings =
        settings(&variables_with_checksum(&server)).with_drain(TIMEOUT * 100, Duration::from_millis(100));
    let agent = Agent::start(settings, network(hosts));
    let session = server.next_session().await;
    let mut pooled = session.dial("tcp", REQUESTED_ADDRESS).unwrap();
    assert_eq!(echo(&mut pooled).await.unwrap(), "hello");
    agent.stop.cancel();
    assert_eq!(within_limit(session.closed()).await, closed_by_stopping_agent());
    assert!(agent.wait_until_stopped().await.contains(&Event::Draining { connections: 1 }));
}

#[tokio::test]
async fn session_without_connections_is_closed_at_once() {
    let mut server = Server::start().await;
    let mut agent = Agent::for_server(&server, Vec::new());
    let session = server.next_session().await;
    agent.wait_until_connected().await;
    let started = Instant::now();
    agent.stop.cancel();
    assert_eq!(within_limit(session.closed()).await, closed_by_stopping_agent());
    agent.wait_until_stopped().await;
    assert!(started.elapsed() < Duration::from_secs(5), "the drain timeout is 10 s");
}

#[tokio::test]
async fn stop_interrupts_an_attempt_and_the_delay_before_the_next() {
    // Accepts connections and never responds.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start().await;
    let hosts = vec![(NAME, silent.local_addr().unwrap())];
    let agent = Agent::start(settings(&variables_with_checksum(&server)), network(hosts));
    let (_open_connection, _) = within_limit(silent.accept()).await.unwrap();
    let started = Instant::now();
    agent.stop.cancel();
    agent.wait_until_stopped().await;

    let mut agent = Agent::start(settings(&variables_with_checksum(&server)), network(Vec::new()));
    agent.wait_for_failure().await;
    agent.stop.cancel();
    agent.wait_until_stopped().await;
    assert!(started.elapsed() < Duration::from_secs(5));
}
