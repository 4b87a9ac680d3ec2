//! Both ends together: large transfers, TLS and HTTP inside, TLS outside.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use remotedialer::{ClientRequest, ConnectionError, SessionConfig, Stats, Target, connect_over};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::*;

const MIB: usize = 1024 * 1024;

/// TLS configurations of a client and a server that trust each other as `localhost`.
fn tls_configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    (Arc::new(client), Arc::new(server))
}

#[tokio::test]
async fn large_echo_arrives_intact() {
    let totals = Arc::new(Stats::default());
    let config = SessionConfig { totals: Some(Arc::clone(&totals)), ..SessionConfig::server() };
    let (server, _client) = pair(config, SessionConfig::client(), echo());
    let connection = dial(&server.session);
    let (mut read, mut write) = tokio::io::split(connection);
    let body: Vec<u8> = (0..32 * MIB).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
    let expected = body.clone();
    let writer = tokio::spawn(async move { write.write_all(&body).await.map(|()| write) });
    let mut received = vec![0; expected.len()];
    read.read_exact(&mut received).await.unwrap();
    assert!(received == expected);
    drop((writer.await.unwrap().unwrap(), read));
    let totals = totals.snapshot();
    assert_eq!((totals.bytes_sent, totals.bytes_received), (32 << 20, 32 << 20));
    assert_eq!(server.session.buffered(), 0);
}

#[tokio::test]
async fn hundred_connections_transfer_at_once() {
    let (server, _client) = pair(SessionConfig::server(), SessionConfig::client(), echo());
    let mut tasks = Vec::new();
    for index in 0..100_u8 {
        let connection = dial(&server.session);
        tasks.push(tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(connection);
            let writer =
                tokio::spawn(async move { write.write_all(&vec![index; MIB]).await.map(|()| write) });
            let mut body = vec![0; MIB];
            read.read_exact(&mut body).await.unwrap();
            assert!(body.iter().all(|byte| *byte == index));
            writer.await.unwrap().unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn tls_and_http_run_inside_the_tunnel() {
    let (client_tls, server_tls) = tls_configs();
    let dialer = move |_: Target| {
        let acceptor = TlsAcceptor::from(Arc::clone(&server_tls));
        async move {
            let (near, far) = duplex(16 * 1024);
            tokio::spawn(async move {
                let stream = acceptor.accept(far).await.unwrap();
                let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    Ok::<_, hyper::Error>(http::Response::new(Full::new(body)))
                });
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            });
            std::io::Result::Ok(near)
        }
    };
    let (server, _client) = pair(SessionConfig::server(), SessionConfig::client(), dialer);
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(client_tls).connect(name, dial(&server.session)).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for len in [0, 1, 100_000, 3 * MIB] {
        let request =
            http::Request::post("/").header("host", "localhost").body(Full::new(Bytes::from(vec![9; len])));
        let response = sender.send_request(request.unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, vec![9; len]);
    }
}

#[tokio::test]
async fn client_connects_over_tls_to_an_upgraded_stream() {
    let (client_tls, server_tls) = tls_configs();
    let (near, far) = duplex(16 * 1024);
    let (session_sender, mut accepted_sessions) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let stream = TlsAcceptor::from(server_tls).accept(far).await.unwrap();
        let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            let response = remotedialer::upgrade::response(request.method(), request.headers()).unwrap();
            let upgrade = hyper::upgrade::on(&mut request);
            let session_sender = session_sender.clone();
            tokio::spawn(async move {
                let stream = TokioIo::new(upgrade.await.unwrap());
                let (session, driver) = remotedialer::Session::server(stream, SessionConfig::server());
                tokio::spawn(driver);
                session_sender.send(session).unwrap();
            });
            async move { Ok::<_, hyper::Error>(response.map(|()| Full::new(Bytes::new()))) }
        });
        let builder = hyper::server::conn::http1::Builder::new();
        builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await
    });
    let request = ClientRequest::new("wss://localhost/v3/connect").unwrap();
    let (client, driver) =
        connect_over(near, &request, client_tls, SessionConfig::client(), echo()).await.unwrap();
    let driver = tokio::spawn(driver);
    let session = accepted_sessions.recv().await.unwrap();
    let mut connection = dial(&session);
    connection.write_all(b"through TLS").await.unwrap();
    let mut body = [0; 11];
    connection.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"through TLS");
    drop(connection);
    session.close(remotedialer::CloseCode::GOING_AWAY, "done");
    assert!(matches!(driver.await.unwrap(), remotedialer::SessionError::ClosedByPeer { .. }));
    assert!(client.is_closed());
}

#[tokio::test]
async fn closing_client_ends_connections_with_tunnel_disconnect() {
    let (server, client) = pair(SessionConfig::server(), SessionConfig::client(), echo());
    let mut connection = dial(&server.session);
    connection.write_all(b"x").await.unwrap();
    connection.read_u8().await.unwrap();
    client.session.close(remotedialer::CloseCode::NORMAL, "");
    let (_, result) = read_all(&mut connection).await;
    // Either the client's Error message or the end of the session comes first.
    assert_eq!(result.unwrap_err().to_string(), ConnectionError::SessionEnded.to_string());
}

#[tokio::test]
async fn join_delivers_the_response_after_the_caller_stopped_sending() {
    let (server, mut peer) = server();
    let (mut caller, stream) = duplex(1024);
    let joined = tokio::spawn(remotedialer::join(dial(&server.session), stream));
    caller.write_all(b"request").await.unwrap();
    caller.shutdown().await.unwrap();
    peer.receive().await;
    peer.receive().await;
    assert_eq!(peer.receive_pending().await, [], "Error would truncate the response");
    peer.send(data(2, "response")).await;
    peer.send(error(2, "EOF")).await;
    let mut response = String::new();
    caller.read_to_string(&mut response).await.unwrap();
    assert_eq!(response, "response");
    joined.await.unwrap().unwrap();
}

#[tokio::test]
async fn join_returns_the_error_of_the_dial() {
    let (server, mut peer) = server();
    let (_caller, stream) = duplex(1024);
    let joined = tokio::spawn(remotedialer::join(dial(&server.session), stream));
    peer.receive().await;
    peer.send(error(2, "dial tcp: lookup x: no such host")).await;
    let failure = joined.await.unwrap().unwrap_err();
    assert_eq!(failure.kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn tuned_socket_has_no_delay() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    remotedialer::tune_socket(&stream).unwrap();
    assert!(stream.nodelay().unwrap());
}
