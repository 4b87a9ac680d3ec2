//! Clients of a server that violates the protocol, and connecting to a server.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use remotedialer::{
    ClientRequest, ConnectError, Payload, ProtocolError, SessionConfig, SessionError, Target, TcpDialer,
    connect, connect_over,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::*;

fn connect_message(id: i64, address: &str) -> remotedialer::Message {
    let target = Target { network: "tcp".to_owned(), address: address.to_owned() };
    message(id, Payload::Connect(target))
}

fn tls_without_roots() -> Arc<ClientConfig> {
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

#[tokio::test]
async fn data_of_unknown_connections_is_answered() {
    let (_client, mut peer) = client_with(SessionConfig::client(), echo());
    peer.send(data(17, "x")).await;
    let text = Bytes::from("connection not found client/0/17");
    assert_eq!(peer.receive_payload().await, (17, Payload::Error(text)));
}

#[tokio::test]
async fn any_connection_id_is_served() {
    let (_client, mut peer) = client_with(SessionConfig::client(), echo());
    for id in [0, -5, i64::MAX] {
        peer.send(connect_message(id, "a:1")).await;
        peer.send(data(id, "early")).await;
        assert_eq!(peer.receive_payload().await, (id, Payload::Data(Bytes::from("early"))));
    }
}

#[tokio::test]
async fn malformed_messages_end_the_session() {
    let cases: [(u8, &[u8], u16); 4] = [
        (BINARY, &[0, 4, 4, 0, b'x'], 1002),
        (BINARY, &[], 1002),
        (BINARY, &[0], 1002),
        (0x81, b"text", 1003),
    ];
    for (first_byte, payload, code) in cases {
        let (client, mut peer) = client_with(SessionConfig::client(), echo());
        peer.send_frame(first_byte, payload).await;
        assert_eq!(peer.receive_close().await, code);
        assert!(matches!(client.wait_for_end().await, SessionError::Protocol(_)));
    }
}

#[tokio::test]
async fn masked_frame_of_the_server_ends_the_session() {
    let (client, mut peer) = client_with(SessionConfig::client(), echo());
    peer.send_raw(&[BINARY, 0x80, 1, 2, 3, 4]).await;
    assert_eq!(peer.receive_close().await, 1002);
    assert_eq!(client.wait_for_end().await, SessionError::Protocol(ProtocolError::MaskedFrame));
}

#[tokio::test]
async fn unknown_types_and_announcements_are_ignored() {
    let (_client, mut peer) = client_with(SessionConfig::client(), echo());
    peer.send(message(0, Payload::Unknown(99))).await;
    peer.send(message(0, Payload::AddClient(Bytes::from("c-aaaaa/1")))).await;
    assert_eq!(peer.receive_pending().await, []);
}

#[tokio::test]
async fn connections_not_listed_by_the_server_are_ended() {
    let (client, mut peer) = client_with(SessionConfig::client(), echo());
    peer.send(connect_message(2, "a:1")).await;
    peer.send(data(2, "x")).await;
    peer.receive().await;
    peer.send(message(0, Payload::SyncConnections(Vec::new()))).await;
    peer.receive_pending().await;
    assert_eq!(client.session.connections(), 0);
}

#[tokio::test]
async fn long_target_is_truncated() {
    let (target_sender, mut targets) = tokio::sync::mpsc::unbounded_channel();
    let dialer = move |target: Target| {
        target_sender.send(target.address).unwrap();
        async { Err::<DuplexStream, _>(io::Error::other("no")) }
    };
    let (_client, mut peer) = client_with(SessionConfig::client(), dialer);
    peer.send(connect_message(2, &"x".repeat(5000))).await;
    assert_eq!(targets.recv().await.unwrap().len(), 266 - "tcp/".len());
}

#[tokio::test]
async fn reused_id_replaces_the_connection() {
    let (client, mut peer) = client_with(SessionConfig::client(), echo());
    for text in ["first", "second"] {
        peer.send(connect_message(2, "a:1")).await;
        peer.send(data(2, text)).await;
        assert_eq!(peer.receive_payload().await, (2, Payload::Data(Bytes::from(text))));
    }
    assert_eq!(client.session.connections(), 1);
}

#[tokio::test]
async fn too_many_connections_are_rejected() {
    let config = SessionConfig { max_connections: 1, ..SessionConfig::client() };
    let (_client, mut peer) = client_with(config, echo());
    peer.send(connect_message(2, "a:1")).await;
    peer.send(connect_message(3, "a:1")).await;
    assert_eq!(peer.receive_payload().await, (3, Payload::Error(Bytes::from("too many connections"))));
}

#[tokio::test]
async fn tcp_dialer_reaches_only_listed_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let allowed = listener.local_addr().unwrap().to_string();
    let dialer = TcpDialer::new([allowed.clone()]);
    let (_client, mut peer) = client_with(SessionConfig::client(), dialer);
    for (network, address) in [("tcp", "127.0.0.1:1"), ("unix", allowed.as_str()), ("udp", allowed.as_str())]
    {
        let target = Target { network: network.to_owned(), address: address.to_owned() };
        peer.send(message(2, Payload::Connect(target))).await;
        let text = Bytes::from(format!("dial {network} {address}: connect not allowed"));
        assert_eq!(peer.receive_payload().await, (2, Payload::Error(text)));
        peer.send(error(2, "EOF")).await;
    }
    peer.send(connect_message(3, &allowed)).await;
    peer.send(data(3, "hello")).await;
    let (mut target, _) = listener.accept().await.unwrap();
    let mut body = [0; 5];
    target.read_exact(&mut body).await.unwrap();
    target.write_all(b"answer").await.unwrap();
    drop(target);
    assert_eq!(peer.receive_payload().await, (3, Payload::Data(Bytes::from("answer"))));
    assert_eq!(peer.receive_payload().await, (3, Payload::Error(Bytes::from("EOF"))));
}

#[tokio::test]
async fn refused_dial_has_the_error_text_of_go() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (_client, mut peer) = client_with(SessionConfig::client(), TcpDialer::new([address.clone()]));
    peer.send(connect_message(2, &address)).await;
    let text = Bytes::from(format!("dial tcp {address}: connect: connection refused"));
    assert_eq!(peer.receive_payload().await, (2, Payload::Error(text)));
}

/// Reads the head of a request.
async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn request() -> ClientRequest {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-tunnel-token", HeaderValue::from_static("secret"));
    ClientRequest::new("ws://server.example/v3/connect").unwrap().with_headers(headers)
}

#[tokio::test]
async fn frame_sent_with_the_response_is_processed() {
    let (near, mut far) = duplex(64 * 1024);
    let server = tokio::spawn(async move {
        let head = read_head(&mut far).await;
        assert!(head.starts_with("GET /v3/connect HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("x-api-tunnel-token: secret\r\n"), "{head}");
        assert!(head.to_lowercase().contains("host: server.example\r\n"), "{head}");
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = remotedialer::upgrade::accept_key(key.as_bytes());
        let mut response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes();
        let payload = encode(&connect_message(2, "a:1"));
        response.extend([BINARY, u8::try_from(payload.len()).unwrap()]);
        response.extend(payload);
        far.write_all(&response).await.unwrap();
        far
    });
    let (session, driver) =
        connect_over(near, &request(), tls_without_roots(), SessionConfig::client(), echo()).await.unwrap();
    tokio::spawn(driver);
    let _far = server.await.unwrap();
    while session.stats().opened == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn rejection_has_status_and_body() {
    let (near, mut far) = duplex(64 * 1024);
    tokio::spawn(async move {
        read_head(&mut far).await;
        let response = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 17\r\n\r\ncluster not found";
        far.write_all(response).await.unwrap();
        far
    });
    let result = connect_over(near, &request(), tls_without_roots(), SessionConfig::client(), echo()).await;
    let Err(ConnectError::Rejected { status, body }) = result else { panic!("{result:?}") };
    assert_eq!((status, body.as_str()), (StatusCode::BAD_REQUEST, "cluster not found"));
}

#[tokio::test(start_paused = true)]
async fn silent_server_times_out() {
    let (near, _far) = duplex(64 * 1024);
    let result = connect_over(near, &request(), tls_without_roots(), SessionConfig::client(), echo()).await;
    assert!(matches!(result, Err(ConnectError::Timeout)));
}

#[tokio::test]
async fn endless_response_head_is_rejected() {
    let (near, mut far) = duplex(64 * 1024);
    tokio::spawn(async move {
        read_head(&mut far).await;
        far.write_all(b"HTTP/1.1 101 Switching Protocols\r\n").await.unwrap();
        while far.write_all(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await.is_ok() {}
    });
    let result = connect_over(near, &request(), tls_without_roots(), SessionConfig::client(), echo()).await;
    assert!(matches!(result, Err(ConnectError::Handshake(_))), "{result:?}");
}

#[tokio::test]
async fn invalid_urls_are_rejected() {
    for url in ["http://a/", "ws:///path", "a:1", "", "wss://"] {
        assert!(matches!(ClientRequest::new(url), Err(ConnectError::InvalidUrl(_))), "{url}");
    }
    let request = ClientRequest::new("wss://[::1]:8443/v3/connect").unwrap();
    assert_eq!((request.host(), request.port()), ("::1", 8443));
    assert_eq!(ClientRequest::new("wss://a/b").unwrap().port(), 443);
}

#[tokio::test]
async fn error_names_the_unreachable_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let request = ClientRequest::new(&format!("ws://{address}/v3/connect")).unwrap();
    let result = connect(&request, tls_without_roots(), SessionConfig::client(), echo()).await;
    assert_eq!(result.unwrap_err().to_string(), format!("cannot connect to {address}"));
}
