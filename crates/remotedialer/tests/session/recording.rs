//! The recorded session between the original server and client (`fixtures/tunnel.json`).

use bytes::Bytes;
use remotedialer::{Message, Payload};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::support::*;

fn recording() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tunnel.json");
    let text = std::fs::read_to_string(path).expect("tests/fixtures/tunnel.json is part of the crate");
    serde_json::from_str(&text).unwrap()
}

fn events(chapter: &str) -> Vec<Value> {
    let recording = recording();
    let chapters = recording["chapters"].as_array().unwrap();
    let chapter = chapters.iter().find(|c| c["name"] == chapter).expect("the chapter is recorded");
    chapter["events"].as_array().unwrap().clone()
}

fn payload(event: &Value) -> Vec<u8> {
    let hex = event["hex"].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|index| u8::from_str_radix(&hex[index..index + 2], 16).unwrap()).collect()
}

fn is_from_client(event: &Value) -> bool {
    event["direction"] == "client>server"
}

#[test]
fn every_complete_message_encodes_to_the_same_bytes() {
    let recording = recording();
    let mut kinds = std::collections::BTreeMap::new();
    let chapters = recording["chapters"].as_array().unwrap();
    for event in chapters.iter().flat_map(|chapter| chapter["events"].as_array().unwrap()) {
        let bytes = payload(event);
        if event["frame"] != "binary" || bytes.is_empty() {
            continue;
        }
        let message = Message::decode(&bytes).unwrap();
        assert_eq!(Some(message.id), event["id"].as_i64());
        // The recorder omits the connection of messages about the session.
        assert_eq!(message.connection, event["conn"].as_i64().unwrap_or(0));
        let kind = event["type"].as_str().unwrap().to_owned();
        // Long error texts are truncated by design, long data by the recorder.
        let is_truncated =
            matches!(&message.payload, Payload::Error(text) if text.len() == remotedialer::MAX_ERROR_LEN);
        if event["length"] == bytes.len() && !is_truncated {
            assert_eq!(encode(&message), bytes, "{event}");
            *kinds.entry(kind).or_insert(0) += 1;
        }
    }
    let kinds: Vec<_> = kinds.keys().map(String::as_str).collect();
    let all = ["AddClient", "Connect", "Data", "Error", "Pause", "RemoveClient", "Resume", "SyncConnections"];
    assert_eq!(kinds, all);
}

#[test]
fn recorded_accept_keys_are_computed() {
    let mut checked = 0;
    let recording = recording();
    for chapter in recording["chapters"].as_array().unwrap() {
        let heads: Vec<_> =
            chapter["events"].as_array().unwrap().iter().filter(|e| e["frame"] == "http").collect();
        let header = |text: &str, name: &str| {
            text.lines()
                .find_map(|line| Some(line.split_once(": ")?).filter(|(n, _)| *n == name))
                .map(|(_, v)| v.to_owned())
        };
        for pair in heads.chunks(2) {
            let key = header(pair[0]["meaning"].as_str().unwrap(), "Sec-WebSocket-Key").unwrap();
            let accept = header(pair[1]["meaning"].as_str().unwrap(), "Sec-WebSocket-Accept").unwrap();
            assert_eq!(remotedialer::upgrade::accept_key(key.as_bytes()), accept);
            checked += 1;
        }
    }
    assert_eq!(checked, 3);
}

/// Replays the recorded client of a chapter, and compares the messages of the session with those of the original server.
async fn replay(chapter: &str, first_connection_id: i64) {
    let (server, mut peer) = server();
    // The connection IDs of the chapter continue those of earlier chapters.
    let skipped: Vec<_> = (2..first_connection_id).map(|_| dial(&server.session)).collect();
    drop(skipped);
    for _ in 2..first_connection_id {
        peer.receive().await;
        peer.receive().await;
    }
    let mut connections: std::collections::HashMap<i64, remotedialer::Connection> =
        std::collections::HashMap::new();
    for event in events(chapter).iter().filter(|event| event["frame"] == "binary") {
        let expected = Message::decode(&payload(event)).unwrap();
        if is_from_client(event) {
            peer.send(expected).await;
            peer.stream.flush().await.unwrap();
            continue;
        }
        match &expected.payload {
            Payload::Connect(target) => {
                let connection = server.session.dial(&target.network, &target.address).unwrap();
                assert_eq!(connection.id(), expected.connection);
                connections.insert(connection.id(), connection);
            }
            Payload::Data(bytes) => {
                connections.get_mut(&expected.connection).unwrap().write_all(bytes).await.unwrap();
            }
            // In this chapter, the recorded server closes the connection itself.
            Payload::Error(text) if text == "EOF" && chapter == "server-closes" => {
                connections.remove(&expected.connection);
            }
            _ => {}
        }
        let sent = peer.receive().await;
        assert_eq!((sent.connection, sent.payload), (expected.connection, expected.payload), "{event}");
    }
    peer.receive_pending().await;
    assert!(!server.session.is_closed());
}

#[tokio::test]
async fn refused_dial_replays() {
    replay("refused", 3).await;
}

#[tokio::test]
async fn unknown_host_replays() {
    replay("no-such-host", 4).await;
}

#[tokio::test]
async fn close_by_the_server_replays() {
    replay("server-closes", 6).await;
}

#[tokio::test]
async fn http_exchange_replays() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    for event in events("http").iter().filter(|event| is_from_client(event)) {
        peer.send_frame(BINARY, &payload(event)).await;
    }
    let (bytes, result) = read_all(&mut connection).await;
    result.unwrap();
    assert_eq!(bytes, b"HTTP/1.1 200 OK\r\n", "the recording keeps the first 32 bytes of the message");
    assert_eq!(peer.receive_pending().await.len(), 1, "one response to the two errors");
}

#[tokio::test]
async fn leaving_agent_replays() {
    let (server, mut peer) = server();
    let skipped: Vec<_> = (2..9).map(|_| dial(&server.session)).collect();
    let mut connection = dial(&server.session);
    assert_eq!(connection.id(), 9);
    peer.receive_pending().await;
    for event in events("agent-leaves").iter().take(1) {
        peer.send_frame(BINARY, &payload(event)).await;
    }
    let (_, result) = read_all(&mut connection).await;
    assert_eq!(result.unwrap_err().to_string(), "tunnel disconnect");
    let response = Payload::Error(Bytes::from("tunnel disconnect"));
    assert_eq!(peer.receive_payload().await, (9, response));
    drop(skipped);
}

#[tokio::test]
async fn client_half_of_a_peer_session_replays() {
    let (server, mut peer) = server();
    for event in events("peers").iter().filter(|e| e["frame"] == "binary" && is_from_client(e)) {
        peer.send_frame(BINARY, &payload(event)).await;
    }
    peer.receive_pending().await;
    assert!(!server.session.is_closed());
}
