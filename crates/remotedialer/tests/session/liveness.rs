//! Detection of dead peers, timeouts and orderly shutdown.

use std::time::Duration;

use bytes::Bytes;
use remotedialer::{CloseCode, ConnectionError, Payload, SessionConfig, SessionError, denied};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::support::*;

fn connection_error(result: std::io::Result<()>) -> ConnectionError {
    ConnectionError::from_io(&result.unwrap_err()).unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn silent_peer_times_out() {
    let started = Instant::now();
    let (server, _peer) = server();
    assert_eq!(server.wait_for_end().await, SessionError::PeerTimeout);
    assert_eq!(started.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn data_without_pings_keeps_the_session_alive() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        peer.send(data(2, "x")).await;
        connection.read_u8().await.unwrap();
    }
    assert!(!server.session.is_closed());
}

#[tokio::test(start_paused = true)]
async fn server_pings_every_ten_seconds() {
    let (_server, mut peer) = server();
    let started = Instant::now();
    for round in 1..6 {
        let frame = peer.receive_frame().await.unwrap();
        assert_eq!((frame.first_byte, frame.payload), (PING, Vec::new()));
        assert_eq!(started.elapsed().as_secs(), round * 10);
        peer.send_frame(PONG, b"").await;
    }
}

#[tokio::test(start_paused = true)]
async fn client_pings_every_five_seconds_and_lists_its_connections() {
    let (_client, mut peer) = client_with(SessionConfig::client(), echo());
    for id in [9, 7] {
        let target = remotedialer::Target { network: "tcp".to_owned(), address: "a:1".to_owned() };
        peer.send(message(id, Payload::Connect(target))).await;
    }
    let mut pings = 0;
    let list = loop {
        let frame = peer.receive_frame().await.unwrap();
        if frame.first_byte == BINARY {
            break remotedialer::Message::decode(&frame.payload).unwrap();
        }
        pings += 1;
        peer.send_frame(PONG, b"").await;
    };
    assert_eq!((list.connection, list.payload), (0, Payload::SyncConnections(vec![7, 9])));
    assert!((11..=12).contains(&pings), "{pings}");
}

#[tokio::test]
async fn ping_is_answered_with_its_payload() {
    let (_server, mut peer) = server();
    peer.send_frame(PING, b"payload").await;
    let frame = peer.receive_frame().await.unwrap();
    assert_eq!((frame.first_byte, frame.payload), (PONG, b"payload".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn unanswered_dial_times_out_after_the_first_write() {
    let config = SessionConfig { response_timeout: Some(Duration::from_secs(10)), ..SessionConfig::server() };
    let (server, mut peer) = server_with(config);
    let mut connection = dial(&server.session);
    connection.write_all(b"client hello").await.unwrap();
    let received = tokio::spawn(async move {
        // The peer is alive but does not respond on the connection.
        let mut messages = Vec::new();
        for _ in 0..3 {
            messages.push(peer.receive_payload().await);
        }
        messages
    });
    let started = Instant::now();
    let (_, result) = read_all(&mut connection).await;
    assert_eq!(connection_error(result), ConnectionError::ResponseTimeout);
    assert_eq!(started.elapsed().as_secs(), 10);
    let text = Bytes::from("no response from the target");
    assert_eq!(received.await.unwrap()[2], (2, Payload::Error(text)));
}

#[tokio::test(start_paused = true)]
async fn endless_pause_times_out() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.send(message(2, Payload::Pause)).await;
    peer.receive_pending().await;
    connection.write_all(b"client hello").await.unwrap();
    tokio::spawn(async move { while peer.receive_payload().await.0 == 2 {} });
    let started = Instant::now();
    let (_, result) = read_all(&mut connection).await;
    assert_eq!(connection_error(result), ConnectionError::Stalled);
    assert!((300..=302).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn answered_connection_may_be_quiet_for_an_hour() {
    let config = SessionConfig { response_timeout: Some(Duration::from_secs(10)), ..SessionConfig::server() };
    let (server, mut peer) = server_with(config);
    let mut connection = dial(&server.session);
    connection.write_all(b"watch").await.unwrap();
    peer.send(data(2, "!")).await;
    connection.read_u8().await.unwrap();
    let peer = tokio::spawn(async move {
        loop {
            let frame = peer.receive_frame().await.unwrap();
            match frame.first_byte {
                PING => peer.send_frame(PONG, b"").await,
                BINARY => {}
                _ => return,
            }
        }
    });
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(!server.session.is_closed());
    assert_eq!(server.session.connections(), 1);
    peer.abort();
}

#[tokio::test(start_paused = true)]
async fn sync_does_not_end_a_connection_that_may_be_newer() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    peer.send(message(0, Payload::SyncConnections(Vec::new()))).await;
    peer.receive_pending().await;
    assert_eq!(server.session.connections(), 1, "its Connect may have crossed the list");

    tokio::time::sleep(Duration::from_secs(11)).await;
    peer.send(message(0, Payload::SyncConnections(Vec::new()))).await;
    let (_, result) = read_all(&mut connection).await;
    assert_eq!(connection_error(result), ConnectionError::Forgotten);
    // The peer is not notified, because it no longer has the connection.
    assert_eq!(peer.receive_pending().await, []);
}

#[tokio::test]
async fn sync_ends_answered_connections_that_are_missing() {
    let (server, mut peer) = server();
    let mut missing = dial(&server.session);
    let _listed = dial(&server.session);
    let _also_listed = dial(&server.session);
    peer.send(data(2, "x")).await;
    // The list may be in any order.
    peer.send(message(0, Payload::SyncConnections(vec![4, 3]))).await;
    let (bytes, result) = read_all(&mut missing).await;
    assert_eq!((bytes, connection_error(result)), (b"x".to_vec(), ConnectionError::Forgotten));
    assert_eq!(server.session.connections(), 2);
}

#[tokio::test]
async fn close_ends_connections_and_sends_a_close_frame() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    server.session.close(CloseCode::GOING_AWAY, "restart");
    assert_eq!(peer.receive_payload().await, (2, Payload::Error(Bytes::from("tunnel disconnect"))));
    assert_eq!(peer.receive_close().await, 1001);
    let (_, result) = read_all(&mut connection).await;
    assert_eq!(connection_error(result), ConnectionError::SessionEnded);
    let end = SessionError::ClosedLocally { code: CloseCode::GOING_AWAY, reason: "restart".to_owned() };
    assert_eq!(server.session.closed().await, end);
    assert_eq!(server.wait_for_end().await, end);
}

#[tokio::test(start_paused = true)]
async fn close_waits_two_seconds_for_a_silent_peer() {
    let (server, _peer) = server();
    server.session.close(CloseCode::GOING_AWAY, "restart");
    let started = Instant::now();
    assert!(matches!(server.wait_for_end().await, SessionError::ClosedLocally { .. }));
    assert_eq!(started.elapsed().as_secs(), 2);
}

#[tokio::test]
async fn dropped_driver_ends_the_session() {
    let (server, _peer) = server();
    let mut connection = dial(&server.session);
    server.driver.abort();
    assert_eq!(server.session.closed().await, SessionError::DriverDropped);
    let (_, result) = read_all(&mut connection).await;
    assert_eq!(connection_error(result), ConnectionError::SessionEnded);
}

#[tokio::test(start_paused = true)]
async fn client_dial_times_out() {
    let dialer = |_: remotedialer::Target| std::future::pending::<std::io::Result<DuplexStream>>();
    let (server, _client) = pair(SessionConfig::server(), SessionConfig::client(), dialer);
    let mut connection = dial(&server.session);
    let started = Instant::now();
    let (_, result) = read_all(&mut connection).await;
    assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn denied_target_fails_the_dial_only() {
    let dialer = |_: remotedialer::Target| async { Err::<DuplexStream, _>(denied()) };
    let (server, client) = pair(SessionConfig::server(), SessionConfig::client(), dialer);
    for _ in 0..3 {
        let mut connection = dial(&server.session);
        let (_, result) = read_all(&mut connection).await;
        let failure = result.unwrap_err();
        assert_eq!(failure.kind(), std::io::ErrorKind::PermissionDenied);
        assert_eq!(failure.to_string(), "dial tcp 10.0.0.1:443: connect not allowed");
    }
    assert!(!client.session.is_closed());
}
