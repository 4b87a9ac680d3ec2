//! Many connections without a token, of every kind, while a well-behaved client always gets a response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivatePkcs8KeyDer;
use serve::{ConnectionLimits, Connections};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::app::TestApp;
use crate::support::listener::Listener;
use crate::support::program::{Server, command};

/// The limit on connections that have not carried an authenticated request.
const UNAUTHENTICATED_LIMIT: usize = 12;
/// The number of connections of a flood, a multiple of the limit.
const FLOOD_SIZE: usize = 60;
/// A timeout that is not reached even if other tests keep the machine busy.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The IP addresses of the flood and of the well-behaved client; all of 127.0.0.0/8 is this machine.
const FLOOD_IP: [u8; 4] = [127, 0, 0, 1];
const CLIENT_IP: [u8; 4] = [127, 0, 0, 2];

/// A client's HTTP/2 preface and settings, and `GET /livez` on stream 1.
const HTTP2_LIVEZ: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x0d\x01\x05\x00\x00\x00\x01\x82\x86\x04\x06/livez\x01\x01x";
const HTTP1_LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

/// Serves the app on a port, with small limits and long timeouts.
fn serve(app: &TestApp, trusted: &[&str], tls: Option<Arc<rustls::ServerConfig>>) -> Listener {
    let limits = ConnectionLimits {
        total: 4 * UNAUTHENTICATED_LIMIT,
        unauthenticated: Some(UNAUTHENTICATED_LIMIT),
        trusted: trusted.iter().map(|network| network.parse().unwrap()).collect(),
    };
    let options = serve::Options {
        connections: Connections::new(limits),
        header_timeout: TIMEOUT,
        handshake_timeout: TIMEOUT,
        ..serve::Options::default()
    };
    let listener = serve::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    Listener::serve_on(listener, app.router(), tls, options)
}

async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// Opens a connection, sends bytes, and waits for the start of a response if one is expected.
async fn open(from: [u8; 4], to: SocketAddr, sent: &[u8], expects_response: bool) -> TcpStream {
    let mut stream = connect(from, to).await;
    stream.write_all(sent).await.unwrap();
    if expects_response {
        let mut start = [0; 9];
        tokio::time::timeout(TIMEOUT, stream.read_exact(&mut start)).await.unwrap().unwrap();
    }
    stream
}

/// Sends an HTTP/1.1 request on an open connection; returns the head of the response.
async fn send_request(stream: &mut TcpStream, token: &str) -> std::io::Result<String> {
    let request = format!("GET /v3/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    while !response.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut response).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    // The body is received with the next request and is not checked.
    Ok(String::from_utf8_lossy(&response).into_owned())
}

/// Opens a connection and sends one request with a token, which must succeed.
async fn assert_served(from: [u8; 4], to: SocketAddr, token: &str) {
    let mut stream = connect(from, to).await;
    let response =
        tokio::time::timeout(TIMEOUT, send_request(&mut stream, token)).await.expect("a response").unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
}

/// Waits until the server has closed the connection.
async fn assert_closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // A reset is accepted too.
    let _ = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut rest)).await.expect("still open");
}

/// Whether the connection is open: reading returns neither its end nor an error.
fn is_open(stream: &TcpStream) -> bool {
    let mut bytes = [0; 4_096];
    loop {
        match stream.try_read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

#[tokio::test]
async fn flood_does_not_block_other_clients() {
    let app = TestApp::start().await;
    for (sent, expects_response) in [
        (HTTP2_LIVEZ, true),
        (HTTP1_LIVEZ, true),
        (&HTTP2_LIVEZ[..24], true),
        (b"PRI * HTTP/2.0\r\n", false),
        (b"GET /v3 HTTP/1.1\r\nX-Half: a", false),
        (b"", false),
    ] {
        let listener = serve(&app, &[], None);
        let mut authenticated = connect(CLIENT_IP, listener.address).await;
        send_request(&mut authenticated, &app.admin).await.unwrap();
        // From the same IP address as the flood, but with a token.
        let mut authenticated_flooder = connect(FLOOD_IP, listener.address).await;
        send_request(&mut authenticated_flooder, &app.admin).await.unwrap();
        let prober = open(CLIENT_IP, listener.address, HTTP1_LIVEZ, true).await;
        let mut flood = Vec::new();
        for number in 0..FLOOD_SIZE {
            flood.push(open(FLOOD_IP, listener.address, sent, expects_response).await);
            if number % 10 == 0 {
                assert_served(CLIENT_IP, listener.address, &app.admin).await;
                assert_served(FLOOD_IP, listener.address, &app.admin).await;
            }
        }
        assert_closed(flood.remove(0)).await;
        assert!(is_open(flood.last().unwrap()), "the newest connection remains open");
        assert!(is_open(&prober), "a connection without a token, from an address with few connections");
        for stream in [&mut authenticated, &mut authenticated_flooder] {
            send_request(stream, &app.admin).await.unwrap();
        }
    }
}

#[tokio::test]
async fn unfinished_tls_handshakes_do_not_block_others() {
    let app = TestApp::start().await;
    let certificate = rcgen::generate_simple_self_signed(["norman.test".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der());
    let tls = serve::tls(vec![certificate.cert.der().clone()], key.into()).unwrap();
    let listener = serve(&app, &[], Some(tls));
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_der(certificate.cert.der()).unwrap()])
        .resolve("norman.test", listener.address)
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let url = format!("https://norman.test:{}/v3/tokens", listener.address.port());
    let mut flood = Vec::new();
    for number in 0..FLOOD_SIZE {
        // The first bytes of a TLS record, or none.
        let sent: &[u8] = if number % 2 == 0 { b"" } else { b"\x16\x03\x01\x02\x00\x01" };
        flood.push(open(FLOOD_IP, listener.address, sent, false).await);
        if number % 10 == 0 {
            let response = client.get(&url).bearer_auth(&app.admin).send().await.unwrap();
            assert_eq!(response.status(), 200);
        }
    }
    assert_closed(flood.remove(0)).await;
}

#[tokio::test]
async fn connections_of_a_trusted_proxy_are_not_limited() {
    let app = TestApp::start().await;
    let listener = serve(&app, &["127.0.0.1/32"], None);
    let mut proxied = Vec::new();
    for _ in 0..2 * UNAUTHENTICATED_LIMIT {
        proxied.push(open(FLOOD_IP, listener.address, HTTP1_LIVEZ, true).await);
    }
    // Connections from another IP address are limited: the one that exceeds the limit closes the oldest one.
    let mut others = Vec::new();
    for _ in 0..=UNAUTHENTICATED_LIMIT {
        others.push(open(CLIENT_IP, listener.address, HTTP1_LIVEZ, true).await);
    }
    assert_closed(others.remove(0)).await;
    for stream in &mut proxied {
        send_request(stream, &app.admin).await.unwrap();
    }
}

#[tokio::test]
async fn idle_http2_connection_without_a_token_is_closed() {
    let app = TestApp::start().await;
    let options = |unauthenticated| serve::Options {
        connections: Connections::new(ConnectionLimits { unauthenticated, ..ConnectionLimits::default() }),
        header_timeout: Duration::from_millis(300),
        ..serve::Options::default()
    };
    let listener = Listener::serve(app.router(), None, options(Some(UNAUTHENTICATED_LIMIT))).await;
    assert_closed(open(FLOOD_IP, listener.address, HTTP2_LIVEZ, true).await).await;
}

/// Asserts that a server serves the well-behaved client during a flood of connections that are idle after one request.
async fn assert_served_in_flood(server: &mut Server, token: &str) {
    let address: SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let health = server.listener_address("health checks");
    let mut flood = Vec::new();
    for number in 0..300 {
        flood.push(open(FLOOD_IP, address, HTTP2_LIVEZ, false).await);
        if number % 20 == 0 {
            assert_served(CLIENT_IP, address, token).await;
            let alive = reqwest::get(format!("http://{health}/livez")).await.unwrap();
            assert_eq!(alive.status(), 200);
        }
    }
    let other_path = reqwest::get(format!("http://{health}/v3")).await.unwrap();
    assert_eq!(other_path.status(), 404, "only health checks");
}

const SERVE: [&str; 5] =
    ["serve", "--listen=127.0.0.1:0", "--data-dir=data", "--health-listen=127.0.0.1:0", "--log-format=json"];

fn admin_token(directory: &tempfile::TempDir) -> String {
    std::fs::read_to_string(directory.path().join("data/admin-token")).unwrap().trim().to_owned()
}

#[tokio::test]
async fn server_with_few_descriptors_serves_clients_in_a_flood() {
    let directory = tempfile::tempdir().unwrap();
    let program = command(directory.path(), &[]).get_program().to_owned();
    let mut shell = std::process::Command::new("/bin/sh");
    // Fewer file descriptors than the flood has connections, as soft and as hard limit.
    shell.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""]).arg(program).args(SERVE);
    shell.env_clear().current_dir(directory.path()).stdin(std::process::Stdio::null());
    let mut server = Server::spawn(&mut shell);
    assert_served_in_flood(&mut server, &admin_token(&directory)).await;
    let log = server.stop();
    assert!(log.contains("connection limit lowered"), "{log}");
    assert!(!log.contains("cannot accept connections"), "{log}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn server_out_of_descriptors_closes_idle_connections() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    /// Fewer file descriptors than the flood has connections.
    const SPARE_DESCRIPTORS: u64 = 24;

    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &SERVE);
    let token = admin_token(&directory);
    let address: SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    // The first request opens files that stay open.
    assert_served(CLIENT_IP, address, &token).await;
    let in_use = std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count() as u64;
    let max = Some(in_use + SPARE_DESCRIPTORS);
    let limit = Rlimit { current: max, maximum: max };
    let process = Pid::from_raw(server.id().parse().unwrap());
    prlimit(process, Resource::Nofile, limit).unwrap();
    assert_served_in_flood(&mut server, &token).await;
    let log = server.stop();
    assert!(log.contains("cannot accept connections"), "{log}");
}
