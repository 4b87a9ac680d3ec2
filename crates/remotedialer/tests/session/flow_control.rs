//! Pause and Resume in both directions.

use std::time::Duration;

use bytes::Bytes;
use remotedialer::{Payload, SessionConfig, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::support::*;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn slow_reader_pauses_and_resumes_the_peer() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    let mut sent = 0;
    let paused_at = loop {
        peer.send(data(2, vec![5; 32_768])).await;
        sent += 32_768;
        if let Some(message) = peer.receive_pending().await.pop() {
            assert_eq!(message.payload, Payload::Pause);
            break sent;
        }
    };
    assert_eq!(paused_at, MIB + 32_768);

    // Data in transit when Pause was sent is buffered, without a second Pause.
    for _ in 0..100 {
        peer.send(data(2, vec![5; 32_768])).await;
        sent += 32_768;
    }
    assert_eq!(peer.receive_pending().await, []);
    assert_eq!(server.session.buffered(), sent);

    let mut body = vec![0; sent - 256 * 1024];
    connection.read_exact(&mut body).await.unwrap();
    assert_eq!(peer.receive_pending().await, [], "exactly the threshold is left");
    let mut byte = [0];
    connection.read_exact(&mut byte).await.unwrap();
    let messages = peer.receive_pending().await;
    assert_eq!(messages.iter().map(|message| &message.payload).collect::<Vec<_>>(), [&Payload::Resume]);
    assert!(body.iter().all(|byte| *byte == 5));
}

#[tokio::test]
async fn paused_connection_sends_nothing_until_resume() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    peer.send(message(2, Payload::Pause)).await;
    peer.send(message(2, Payload::Pause)).await;
    peer.receive_pending().await;
    let body: Vec<u8> = (0..MIB).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let expected = body.clone();
    let writer = tokio::spawn(async move {
        connection.write_all(&body).await.unwrap();
        connection
    });
    // The writer fills its send buffer and then waits.
    tokio::task::yield_now().await;
    assert_eq!(peer.receive_pending().await, []);
    assert!(!writer.is_finished());

    peer.send(message(2, Payload::Resume)).await;
    assert_eq!(peer.receive_payload().await, (2, Payload::Resume), "the original requires a response");
    let mut received = Vec::new();
    while received.len() < expected.len() {
        let Payload::Data(bytes) = peer.receive().await.payload else { panic!("only data") };
        assert!(bytes.len() <= 32 * 1024, "longer messages can block the original agent");
        received.extend(bytes);
    }
    assert_eq!(received, expected);
    writer.await.unwrap();
}

#[tokio::test]
async fn resume_is_answered_with_the_state_of_this_side() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    // This side sends Pause; the original's own Resume would clear it there.
    while peer.receive_pending().await.is_empty() {
        peer.send(message(2, Payload::Data(Bytes::from(vec![1; 32 * 1024])))).await;
    }
    for _ in 0..2 {
        peer.send(message(2, Payload::Resume)).await;
        assert_eq!(peer.receive_payload().await, (2, Payload::Pause));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut buffer = vec![0; MIB];
    connection.read_exact(&mut buffer).await.unwrap();
    assert_eq!(peer.receive_payload().await, (2, Payload::Resume));
    peer.send(message(2, Payload::Resume)).await;
    assert_eq!(peer.receive_pending().await, [], "neither side pauses the other");
}

#[tokio::test(start_paused = true)]
async fn pause_that_crossed_a_resume_is_ignored_for_a_while() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    while peer.receive_pending().await.is_empty() {
        peer.send(message(2, Payload::Data(Bytes::from(vec![1; 32 * 1024])))).await;
    }
    let mut buffer = vec![0; MIB];
    connection.read_exact(&mut buffer).await.unwrap();
    assert_eq!(peer.receive_payload().await, (2, Payload::Resume));
    peer.send(message(2, Payload::Pause)).await;
    assert_eq!(peer.receive_pending().await, []);
    let writer = tokio::spawn(async move {
        connection.write_all(&vec![2; 8 * MIB]).await.unwrap();
        connection
    });
    // The original has forgotten this Pause and will not send Resume. At most 4 MiB are sent despite it.
    let mut received = 0;
    let mut receive_data = async |peer: &mut Peer, len: usize| {
        while received < len {
            let (_, Payload::Data(bytes)) = peer.receive_payload().await else { panic!("only data") };
            received += bytes.len();
        }
    };
    receive_data(&mut peer, 4 * MIB).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let unexpected_count = peer.receive_pending().await.len();
    assert!(unexpected_count <= 1 && !writer.is_finished(), "{unexpected_count}");
    peer.send(message(2, Payload::Resume)).await;
    assert_eq!(peer.receive_payload().await, (2, Payload::Resume));
    writer.abort();
}

#[tokio::test]
async fn dropped_connection_sends_its_data_after_resume() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    peer.send(message(2, Payload::Pause)).await;
    peer.receive_pending().await;
    connection.write_all(b"last words").await.unwrap();
    drop(connection);
    assert_eq!(peer.receive_pending().await, []);
    peer.send(message(2, Payload::Resume)).await;
    assert_eq!(peer.receive_payload().await, (2, Payload::Resume));
    assert_eq!(peer.receive_payload().await, (2, Payload::Data(Bytes::from("last words"))));
    assert_eq!(peer.receive_payload().await, (2, Payload::Error(Bytes::from("EOF"))));
    assert_eq!(server.session.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_connection_ends_even_without_resume() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    peer.send(message(2, Payload::Pause)).await;
    peer.receive_pending().await;
    connection.write_all(b"never sent").await.unwrap();
    drop(connection);
    let (id, payload) = peer.receive_payload().await;
    assert!(matches!((id, payload), (2, Payload::Error(_))));
    assert_eq!(server.session.connections(), 0);
}

#[tokio::test]
async fn pause_stops_one_direction_only() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.send(message(2, Payload::Pause)).await;
    peer.send(data(2, "still comes")).await;
    let mut body = [0; 11];
    connection.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"still comes");
}

#[tokio::test]
async fn client_pauses_the_server_when_its_target_is_slow() {
    let (near, mut target) = duplex(1024);
    let stream = std::sync::Mutex::new(Some(near));
    let dialer = move |_: Target| {
        let stream = stream.lock().unwrap().take();
        async move { stream.ok_or_else(|| std::io::Error::other("one dial only")) }
    };
    let (server, client) = pair(SessionConfig::server(), SessionConfig::client(), dialer);
    let mut connection = dial(&server.session);
    let body: Vec<u8> = (0..8 * MIB).map(|i| u8::try_from(i % 253).unwrap()).collect();
    let expected = body.clone();
    let writer = tokio::spawn(async move {
        connection.write_all(&body).await.unwrap();
        connection
    });
    while server.session.stats().pauses_received == 0 {
        tokio::task::yield_now().await;
    }
    assert!(client.session.buffered() < 4 * MIB, "{}", client.session.buffered());
    let mut received = vec![0; expected.len()];
    target.read_exact(&mut received).await.unwrap();
    assert_eq!(received, expected);
    writer.await.unwrap();
}

#[tokio::test]
async fn slow_reader_receives_every_byte() {
    // The transfer is long enough that chunks are reused, and that the reader yields while it holds a chunk.
    let (server, _client) = pair(SessionConfig::server(), SessionConfig::client(), echo());
    let (mut read, mut write) = tokio::io::split(dial(&server.session));
    let writer = tokio::spawn(async move {
        let block: Vec<u8> = (0..65_521_u32).map(|i| i.to_be_bytes()[3]).collect();
        for _ in 0..200 {
            write.write_all(&block).await.unwrap();
        }
        write
    });
    let mut expected = (0..65_521_u32).map(|i| i.to_be_bytes()[3]).cycle();
    let mut remaining = 200 * 65_521;
    let mut buffer = vec![0; 1777];
    while remaining > 0 {
        let len = read.read(&mut buffer).await.unwrap();
        assert!(buffer[..len].iter().all(|byte| Some(*byte) == expected.next()));
        remaining -= len;
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}
