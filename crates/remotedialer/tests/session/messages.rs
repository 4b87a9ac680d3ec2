//! The server's handling of messages that a well-behaved client does not send.

use bytes::Bytes;
use remotedialer::{CloseCode, ConnectionError, Payload, ProtocolError, SessionError, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

#[tokio::test]
async fn data_of_unknown_connections_is_answered() {
    let (_server, mut peer) = server();
    for id in [3, 0, -5] {
        peer.send(data(id, "x")).await;
        let (connection, payload) = peer.receive_payload().await;
        let Payload::Error(text) = payload else { panic!("{payload:?}") };
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert_eq!(connection, id);
        assert!(text.starts_with("connection not found c-aaaaa/"), "{text}");
        assert!(text.ends_with(&format!("/{id}")), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn responses_to_unknown_connections_are_limited() {
    let (_server, mut peer) = server();
    for _ in 0..1000 {
        peer.send(data(9, "x")).await;
    }
    assert_eq!(peer.receive_pending().await.len(), 100);
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    peer.receive_pending().await;
    peer.send(data(9, "x")).await;
    assert_eq!(peer.receive_pending().await.len(), 1);
}

#[tokio::test]
async fn errors_and_pauses_of_unknown_connections_are_ignored() {
    let (_server, mut peer) = server();
    peer.send(error(3, "EOF")).await;
    peer.send(message(3, Payload::Pause)).await;
    peer.send(message(3, Payload::Resume)).await;
    assert_eq!(peer.receive_pending().await, []);
}

#[tokio::test]
async fn connect_from_the_client_closes_with_policy_code() {
    let (server, mut peer) = server();
    let target = Target { network: "tcp".to_owned(), address: "169.254.169.254:80".to_owned() };
    peer.send(message(1, Payload::Connect(target))).await;
    assert_eq!(peer.receive_close().await, 1008);
    assert_eq!(server.wait_for_end().await, SessionError::Protocol(ProtocolError::ConnectNotAllowed));
}

#[tokio::test]
async fn unknown_types_are_ignored() {
    let (_server, mut peer) = server();
    for kind in [0, 9, -1, i64::MAX] {
        peer.send(message(1, Payload::Unknown(kind))).await;
    }
    assert_eq!(peer.receive_pending().await, []);
}

#[tokio::test]
async fn announcements_are_ignored() {
    let (_server, mut peer) = server();
    peer.send(message(0, Payload::AddClient(Bytes::from("c-bbbbb/17")))).await;
    peer.send(message(0, Payload::RemoveClient(Bytes::from("c-bbbbb/17")))).await;
    assert_eq!(peer.receive_pending().await, []);
}

#[tokio::test]
async fn malformed_messages_close_with_protocol_code() {
    let cases: [(&[u8], &str); 7] = [
        (&[], "empty"),
        (&[0], "header cut after the id"),
        (&[0, 4, 2, 0xb0], "header cut in the deadline"),
        (&[0xff; 11], "varint of 11 bytes"),
        (&[0, 4, 4, 0, b'x'], "Connect without a slash"),
        (&[0, 0, 16, 1, 2, 3, 4, 5, 6, 7], "list of 7 bytes"),
        (&[0, 0, 8, b'c', b'/', b'x'], "announcement without a number"),
    ];
    for (bytes, case) in cases {
        let (server, mut peer) = server();
        peer.send_frame(BINARY, bytes).await;
        assert_eq!(peer.receive_close().await, 1002, "{case}");
        assert!(matches!(server.wait_for_end().await, SessionError::Protocol(_)), "{case}");
    }
}

#[tokio::test]
async fn text_message_closes_with_unsupported_code() {
    let (_server, mut peer) = server();
    peer.send_frame(0x81, b"hello").await;
    assert_eq!(peer.receive_close().await, 1003);
}

#[tokio::test]
async fn malformed_frames_close_with_protocol_code() {
    let (_server, peer) = server();
    let cases = [
        (vec![BINARY, 1, 0], "not masked"),
        (peer.frame(0xc2, b"x"), "RSV1"),
        (peer.frame(0x83, b"x"), "opcode 3"),
        (peer.frame(0x80, b"x"), "lone continuation"),
        (peer.frame(PING, &[0; 200]), "ping of 200 bytes"),
    ];
    for (bytes, case) in cases {
        let (_server, mut peer) = server();
        peer.send_raw(&bytes).await;
        assert_eq!(peer.receive_close().await, 1002, "{case}");
    }
}

#[tokio::test]
async fn many_fragments_with_pings_are_one_message() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    let message = encode(&data(2, vec![b'x'; 2000]));
    let fragments: Vec<_> = message.chunks(message.len().div_ceil(1000)).collect();
    for (index, fragment) in fragments.iter().enumerate() {
        let opcode = if index == 0 { 2 } else { 0 };
        let fin = if index + 1 == fragments.len() { 0x80 } else { 0 };
        peer.send_frame(fin | opcode, fragment).await;
        if index % 100 == 0 {
            peer.receive_pending().await;
        }
    }
    let mut body = vec![0; 2000];
    connection.read_exact(&mut body).await.unwrap();
    assert_eq!(body, vec![b'x'; 2000]);
}

#[tokio::test]
async fn close_frame_is_answered_with_its_code() {
    let (server, mut peer) = server();
    peer.send_frame(CLOSE, &[&1001_u16.to_be_bytes()[..], b"bye"].concat()).await;
    assert_eq!(peer.receive_close().await, 1001);
    let end = SessionError::ClosedByPeer { code: CloseCode::GOING_AWAY, reason: "bye".to_owned() };
    assert_eq!(server.wait_for_end().await, end);
}

#[tokio::test]
async fn dial_error_is_returned_without_control_characters() {
    let cases: [(&'static str, &str); 3] = [
        (
            "dial tcp 10.0.0.1:443: connect: connection refused",
            "dial tcp 10.0.0.1:443: connect: connection refused",
        ),
        ("<b>\r\nSet-Cookie: x</b>\u{7f}", "<b>  Set-Cookie: x</b> "),
        ("", ""),
    ];
    for (text, expected) in cases {
        let (server, mut peer) = server();
        let mut connection = dial(&server.session);
        peer.receive().await;
        peer.send(error(2, text)).await;
        let (bytes, result) = read_all(&mut connection).await;
        let failure = result.unwrap_err();
        assert_eq!(bytes, b"");
        assert_eq!(ConnectionError::from_io(&failure), Some(&ConnectionError::Peer(expected.to_owned())));
        // The text is sent back once.
        assert_eq!(peer.receive_payload().await, (2, Payload::Error(Bytes::from(text))));
        assert_eq!(peer.receive_pending().await, []);
    }
}

#[tokio::test]
async fn invalid_utf8_in_error_text_is_replaced() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    peer.send(message(2, Payload::Error(Bytes::from_static(b"a\xff\xfe")))).await;
    let (_, result) = read_all(&mut connection).await;
    assert_eq!(result.unwrap_err().to_string(), "a\u{fffd}\u{fffd}");
}

#[tokio::test]
async fn eof_error_is_read_as_end_of_file() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    peer.send(error(2, "EOF")).await;
    let (bytes, result) = read_all(&mut connection).await;
    result.unwrap();
    assert_eq!(bytes, b"");
    assert_eq!(connection.write_all(b"x").await.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn data_before_the_error_is_delivered_first() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    peer.send(data(2, "last words")).await;
    peer.send(error(2, "EOF")).await;
    peer.receive_pending().await;
    let (bytes, result) = read_all(&mut connection).await;
    assert_eq!(bytes, b"last words");
    result.unwrap();
}

#[tokio::test]
async fn data_after_an_error_gets_connection_not_found() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    peer.send(error(2, "first")).await;
    peer.send(data(2, "late")).await;
    peer.send(error(2, "second")).await;
    let responses = peer.receive_pending().await;
    assert_eq!(responses.len(), 2, "{responses:?}");
    assert_eq!(responses[0].payload, Payload::Error(Bytes::from("first")));
    let Payload::Error(text) = &responses[1].payload else { panic!("{responses:?}") };
    assert!(text.starts_with(b"connection not found"));
    let (bytes, result) = read_all(&mut connection).await;
    assert_eq!((bytes, result.unwrap_err().to_string()), (Vec::new(), "first".to_owned()));
}

#[tokio::test]
async fn ten_thousand_resumes_cause_fewer_responses() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    for _ in 0..10_000 {
        peer.send(message(2, Payload::Pause)).await;
        peer.send(message(2, Payload::Resume)).await;
    }
    connection.write_all(b"still here").await.unwrap();
    let mut response_count = 0;
    loop {
        match peer.receive_payload().await {
            (2, Payload::Resume) => response_count += 1,
            message => {
                assert_eq!(message, (2, Payload::Data(Bytes::from("still here"))));
                break;
            }
        }
    }
    assert!(response_count < 10_000, "not every message is answered");
}

#[tokio::test]
async fn session_end_fails_its_connections_at_once() {
    let (server, mut peer) = server();
    let mut connection = dial(&server.session);
    peer.receive().await;
    peer.send(data(2, "before")).await;
    drop(peer);
    let (bytes, result) = read_all(&mut connection).await;
    assert_eq!(bytes, b"before");
    assert_eq!(ConnectionError::from_io(&result.unwrap_err()), Some(&ConnectionError::SessionEnded));
    assert_eq!(server.session.closed().await, SessionError::Disconnected);
    assert!(server.session.dial("tcp", "10.0.0.1:443").is_err());
}
