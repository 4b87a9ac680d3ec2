//! The connections of one session do not block each other.

use bytes::Bytes;
use remotedialer::{Payload, SessionConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

#[tokio::test]
async fn unread_connection_does_not_block_others() {
    let (server, _client) = pair(SessionConfig::server(), SessionConfig::client(), echo());
    let mut stuck = dial(&server.session);
    let writer = tokio::spawn(async move {
        // Writes far more than all buffers can hold, and never reads the echo.
        let _ = stuck.write_all(&vec![0; 64 << 20]).await;
        stuck
    });
    while server.session.stats().pauses_sent == 0 {
        tokio::task::yield_now().await;
    }
    for round in 0..100_u32 {
        let mut connection = dial(&server.session);
        connection.write_all(&round.to_be_bytes()).await.unwrap();
        assert_eq!(connection.read_u32().await.unwrap(), round);
    }
    assert!(!writer.is_finished());
    writer.abort();
}

#[tokio::test]
async fn connections_take_turns() {
    let (server, mut peer) = server();
    let mut first = dial(&server.session);
    let mut second = dial(&server.session);
    peer.receive_pending().await;
    peer.send(message(2, Payload::Pause)).await;
    peer.send(message(3, Payload::Pause)).await;
    peer.receive_pending().await;
    first.write_all(&vec![1; 100_000]).await.unwrap();
    second.write_all(&vec![2; 100_000]).await.unwrap();
    peer.send(message(2, Payload::Resume)).await;
    peer.send(message(3, Payload::Resume)).await;
    let mut order = Vec::new();
    while order.len() < 8 {
        order.push(peer.receive().await.connection);
    }
    let switches = order.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(switches >= 5, "{order:?}");
}

#[tokio::test]
async fn pong_overtakes_waiting_data() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    let writer = tokio::spawn(async move {
        let _ = connection.write_all(&vec![0; 16 << 20]).await;
        connection
    });
    while server.session.stats().bytes_sent == 0 {
        tokio::task::yield_now().await;
    }
    peer.send_frame(PING, b"now").await;
    let mut bytes_before = 0;
    loop {
        let frame = peer.receive_frame().await.unwrap();
        if frame.first_byte == PONG {
            break;
        }
        bytes_before += frame.payload.len();
    }
    // The pipe and the frames collected for it.
    assert!(bytes_before <= (64 + 128 + 64 + 33) * 1024, "{bytes_before} bytes came before the pong");
    writer.abort();
}

#[tokio::test]
async fn connect_is_sent_before_the_first_data() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    connection.write_all(b"early").await.unwrap();
    assert!(matches!(peer.receive_payload().await, (2, Payload::Connect(_))));
    assert_eq!(peer.receive_payload().await, (2, Payload::Data(Bytes::from("early"))));
}

#[tokio::test]
async fn small_writes_share_a_message() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    for _ in 0..100 {
        connection.write_all(b"0123456789").await.unwrap();
    }
    peer.receive().await;
    let (_, payload) = peer.receive_payload().await;
    assert_eq!(payload, Payload::Data(Bytes::from(b"0123456789".repeat(100))));
}

#[tokio::test]
async fn shutdown_keeps_the_other_direction_open() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    connection.write_all(b"request").await.unwrap();
    connection.shutdown().await.unwrap();
    peer.receive().await;
    peer.receive().await;
    assert_eq!(peer.receive_pending().await, [], "Error would truncate the response");
    assert!(connection.write_all(b"more").await.is_err());
    peer.send(data(2, "response")).await;
    peer.send(error(2, "EOF")).await;
    let (bytes, result) = read_all(&mut connection).await;
    result.unwrap();
    assert_eq!(bytes, b"response");
}
