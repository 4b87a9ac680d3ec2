//! Sessions by key.

use std::time::Duration;

use remotedialer::{CloseCode, DialError, SessionConfig, SessionError, SessionRegistry};

use crate::support::*;

#[tokio::test]
async fn dial_uses_sessions_of_the_key_only() {
    let registry = SessionRegistry::new(8);
    let (first, mut peer) = server();
    let registration = registry.reserve("c-aaaaa").unwrap();
    registration.attach(first.session.clone());
    assert_eq!(registry.dial(&"c-bbbbb", "tcp", "a:1").unwrap_err(), DialError::NoSession);
    assert!(!registry.contains(&"c-bbbbb"));
    let _connection = registry.dial(&"c-aaaaa", "tcp", "a:1").unwrap();
    assert_eq!(peer.receive().await.connection, 2);
    drop(registration);
    assert_eq!(registry.dial(&"c-aaaaa", "tcp", "a:1").unwrap_err(), DialError::NoSession);
}

#[tokio::test(start_paused = true)]
async fn frozen_session_is_avoided() {
    let registry = SessionRegistry::new(8);
    let (frozen, _frozen_peer) = server();
    let (healthy, mut healthy_peer) = server();
    let registrations = [registry.reserve(1).unwrap(), registry.reserve(1).unwrap()];
    registrations[0].attach(frozen.session.clone());
    registrations[1].attach(healthy.session.clone());
    tokio::time::advance(Duration::from_secs(5)).await;
    healthy_peer.ping().await;
    let sessions = registry.sessions(&1);
    assert!(sessions[0].is_same(&healthy.session));
    let _connection = registry.dial(&1, "tcp", "a:1").unwrap();
    assert_eq!((frozen.session.connections(), healthy.session.connections()), (0, 1));
}

#[tokio::test]
async fn ended_session_is_skipped() {
    let registry = SessionRegistry::new(8);
    let (leaving, leaving_peer) = server();
    let (staying, _staying_peer) = server();
    let registrations = [registry.reserve(1).unwrap(), registry.reserve(1).unwrap()];
    registrations[0].attach(leaving.session.clone());
    registrations[1].attach(staying.session.clone());
    let mut lost = leaving.session.dial("tcp", "a:1").unwrap();
    drop(leaving_peer);
    assert_eq!(read_all(&mut lost).await.1.unwrap_err().to_string(), "tunnel disconnect");
    let _connection = registry.dial(&1, "tcp", "a:1").unwrap();
    assert_eq!(staying.session.connections(), 1);
}

#[tokio::test]
async fn sessions_of_a_key_are_limited() {
    let registry = SessionRegistry::new(2);
    let first = registry.reserve(1).unwrap();
    let _second = registry.reserve(1).unwrap();
    assert_eq!(registry.reserve(1).unwrap_err().limit, 2);
    let _other_key = registry.reserve(2).unwrap();
    drop(first);
    let _third = registry.reserve(1).unwrap();
}

#[tokio::test]
async fn removed_key_ends_its_sessions() {
    let registry = SessionRegistry::new(8);
    let (server, mut peer) = server();
    let registration = registry.reserve(1).unwrap();
    registration.attach(server.session.clone());
    assert_eq!(registry.close(&1, CloseCode::POLICY, "token removed"), 1);
    assert!(!registry.contains(&1));
    assert_eq!(peer.receive_close().await, 1008);
}

#[tokio::test]
async fn shutdown_closes_all_sessions() {
    let registry = SessionRegistry::new(8);
    let mut peers = Vec::new();
    let mut registrations = Vec::new();
    for key in 0..10 {
        let (server, mut peer) = server_with(SessionConfig::server());
        let registration = registry.reserve(key).unwrap();
        registration.attach(server.session.clone());
        registrations.push(registration);
        peers.push(tokio::spawn(async move {
            assert_eq!(peer.receive_close().await, 1001);
            assert!(matches!(server.end().await, SessionError::ClosedLocally { .. }));
        }));
    }
    registry.shutdown().await;
    for peer in peers {
        peer.await.unwrap();
    }
}
