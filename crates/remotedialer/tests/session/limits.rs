//! Limits on memory: messages, buffers, queues and connections.

use bytes::Bytes;
use remotedialer::{ConnectionError, DialError, Payload, SessionConfig, SessionError, Stats};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn message_over_the_limit_ends_session_at_its_header() {
    for connection in [2, 99] {
        let (server, mut peer) = server();
        let _connection = dial(&server.session);
        let frame = peer.frame(BINARY, &encode(&data(connection, vec![0; MIB])));
        peer.send_raw(&frame[..20]).await;
        assert_eq!(peer.receive_close().await, 1009);
    }
}

#[tokio::test]
async fn frame_of_2_to_the_62_bytes_ends_session_at_its_header() {
    let (server, mut peer) = server();
    let mut header = vec![BINARY, 0xff];
    header.extend((1_u64 << 62).to_be_bytes());
    header.extend([0; 4]);
    peer.send_raw(&header).await;
    assert_eq!(peer.receive_close().await, 1009);
    assert!(matches!(server.wait_for_end().await, SessionError::Protocol(_)));
}

#[tokio::test]
async fn oversized_error_message_ends_session_at_its_header() {
    let (server, mut peer) = server();
    let _connection = dial(&server.session);
    let payload = encode(&message(2, Payload::Error(Bytes::from(vec![b'x'; 64 * MIB]))));
    let frame = peer.frame(BINARY, &payload);
    peer.send_raw(&frame[..64]).await;
    assert_eq!(peer.receive_close().await, 1009);
}

#[tokio::test]
async fn endless_fragments_end_session_at_the_limit() {
    let (server, mut peer) = server();
    let first = encode(&message(99, Payload::Error(Bytes::from(vec![b'x'; 30_000]))));
    peer.send_frame(0x02, &first).await;
    let mut sent = first.len();
    while sent <= MIB {
        let frame = peer.frame(0x00, &vec![b'x'; 30_000]);
        if peer.stream.write_all(&frame).await.is_err() {
            break;
        }
        sent += 30_000;
    }
    assert_eq!(peer.receive_close().await, 1009);
    assert_eq!(server.session.buffered(), 0);
}

#[tokio::test]
async fn sender_that_ignores_pause_fails_its_connection_only() {
    let (server, mut peer) = server();
    let mut slow = dial(&server.session);
    let mut healthy = dial(&server.session);
    peer.receive_pending().await;
    let mut max_buffered = 0;
    let mut messages = Vec::new();
    for _ in 0..128 * MIB / 32_768 {
        peer.send(data(2, vec![1; 32_768])).await;
        messages.extend(peer.receive_pending().await);
        max_buffered = max_buffered.max(server.session.buffered());
        if messages.iter().any(|message| matches!(&message.payload, Payload::Error(_))) {
            break;
        }
    }
    assert!(max_buffered <= SessionConfig::server().max_connection_buffer, "{max_buffered}");
    let received: Vec<_> = messages.iter().map(|message| (message.connection, &message.payload)).collect();
    let text = Bytes::from("receive buffer limit exceeded");
    assert_eq!(received, [(2, &Payload::Pause), (2, &Payload::Error(text))]);
    assert_eq!(server.session.buffered(), 0, "the buffer is freed immediately");
    let (_, result) = read_all(&mut slow).await;
    assert_eq!(ConnectionError::from_io(&result.unwrap_err()), Some(&ConnectionError::BufferLimit));

    peer.send(data(3, "fine")).await;
    let mut body = [0; 4];
    healthy.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"fine");
}

#[tokio::test]
async fn full_session_fails_connection_with_the_largest_buffer() {
    let config = SessionConfig { max_session_buffer: 3 * MIB, ..SessionConfig::server() };
    let (server, mut peer) = server_with(config);
    let connections: Vec<_> = (0..20).map(|_| dial(&server.session)).collect();
    peer.receive_pending().await;
    for _ in 0..70 {
        peer.send(data(2, vec![0; 32_768])).await;
    }
    let mut failed = Vec::new();
    for id in 3..21 {
        for _ in 0..5 {
            peer.send(data(id, vec![0; 32_768])).await;
        }
        let messages = peer.receive_pending().await;
        failed
            .extend(messages.iter().filter(|m| matches!(m.payload, Payload::Error(_))).map(|m| m.connection));
    }
    assert_eq!(failed, [2]);
    assert!(server.session.buffered() <= 3 * MIB);
    drop(connections);
    assert_eq!(server.session.buffered(), 0);
}

#[tokio::test]
async fn one_byte_messages_are_buffered_and_delivered() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    for _ in 0..5000 {
        peer.send(data(2, "x")).await;
    }
    peer.receive_pending().await;
    assert_eq!(server.session.buffered(), 5000);
    let mut body = vec![0; 5000];
    connection.read_exact(&mut body).await.unwrap();
    assert_eq!(body, vec![b'x'; 5000]);
    assert_eq!(server.session.buffered(), 0);
}

#[tokio::test(start_paused = true)]
async fn peer_that_does_not_read_responses_is_disconnected() {
    let (server, mut peer) = server();
    // The session keeps reading, so it accepts all of these frames although the peer reads no pongs and responses.
    for _ in 0..20_000 {
        peer.send_frame(PING, &[7; 100]).await;
        peer.send(data(99, "x")).await;
    }
    let flood = tokio::spawn(async move {
        loop {
            let frame = peer.frame(PING, &[7; 100]);
            if peer.stream.write_all(&frame).await.is_err() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
    assert_eq!(server.wait_for_end().await, SessionError::WriteTimeout);
    flood.await.unwrap();
}

#[tokio::test]
async fn invalid_dial_targets_are_rejected() {
    let (server, _peer) = server();
    let too_long = format!("{}:443", "x".repeat(259));
    let cases = [("", "a:1"), ("a/b", "a:1"), ("tcp", ""), ("tcp", &too_long)];
    for (network, address) in cases {
        let result = server.session.dial(network, address);
        assert!(matches!(result, Err(DialError::InvalidTarget(_))), "{network} {address}");
    }
    let longest = format!("{}:443", "x".repeat(258));
    assert!(server.session.dial("tcp", &longest).is_ok());
}

#[tokio::test]
async fn connections_of_a_session_are_limited() {
    let config = SessionConfig { max_connections: 2, ..SessionConfig::server() };
    let (server, mut peer) = server_with(config);
    let first = dial(&server.session);
    let _second = dial(&server.session);
    let result = server.session.dial("tcp", "10.0.0.1:443");
    assert_eq!(result.unwrap_err(), DialError::TooManyConnections(2));
    drop(first);
    peer.receive().await;
    while peer.receive_payload().await != (2, Payload::Error(Bytes::from("EOF"))) {}
    assert!(server.session.dial("tcp", "10.0.0.1:443").is_ok());
}

#[tokio::test]
async fn dials_fail_while_the_peer_does_not_read() {
    let config = SessionConfig { max_connections: 100_000, ..SessionConfig::server() };
    let (server, _peer) = server_with(config);
    let mut connections = Vec::new();
    let failure = loop {
        match server.session.dial("tcp", "10.0.0.1:443") {
            Ok(connection) => connections.push(connection),
            Err(error) => break error,
        }
    };
    assert_eq!(failure, DialError::Congested);
}

#[tokio::test]
async fn short_sessions_leave_no_open_connection() {
    let totals = Arc::new(Stats::default());
    for _ in 0..5000 {
        let config = SessionConfig { totals: Some(Arc::clone(&totals)), ..SessionConfig::server() };
        let (server, peer) = server_with(config);
        let connection = dial(&server.session);
        drop(peer);
        assert_eq!(server.wait_for_end().await, SessionError::Disconnected);
        drop(connection);
    }
    let totals = totals.snapshot();
    assert_eq!((totals.sessions_started, totals.sessions_ended), (5000, 5000));
    assert_eq!((totals.opened, totals.open()), (5000, 0));
}
