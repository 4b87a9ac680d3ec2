//! Connecting through HTTP proxies.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use agent::Event;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::server::{Authority, NAME, Server, URL};
use crate::support::{Agent, network, settings, variables_with_checksum};

/// A proxy that responds to every CONNECT with a fixed status, and forwards to `target` if the status is a success.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr, status: &'static str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let recorded = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, recorded) = (tls.clone(), Arc::clone(&recorded));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, target, status, &recorded).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, target, status, &recorded).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, heads }
    }

    /// The heads of the received requests.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve<S>(mut stream: S, target: SocketAddr, status: &str, heads: &Mutex<Vec<String>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.unwrap()));
    }
    heads.lock().unwrap().push(head);
    let is_success = status.starts_with('2');
    let length = if is_success { "" } else { "Content-Length: 0\r\n" };
    stream.write_all(format!("HTTP/1.1 {status}\r\n{length}\r\n").as_bytes()).await.unwrap();
    if is_success {
        let mut target = TcpStream::connect(target).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut target).await;
    }
}

/// An agent of `server` that reaches only the proxy.
fn agent_behind(server: &Server, proxy: SocketAddr, changes: &[(&'static str, &str)]) -> Agent {
    let mut variables = variables_with_checksum(server);
    variables.insert("HTTPS_PROXY", "http://user:canary@proxy.test:3128".to_owned());
    variables.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Agent::start(settings(&variables), network(vec![("proxy.test", proxy)]))
}

#[tokio::test]
async fn cacerts_and_upgrade_requests_use_the_proxy() {
    let mut server = Server::start().await;
    let proxy = Proxy::start(server.address, "200 Connection established", None).await;
    let agent = agent_behind(&server, proxy.address, &[]);
    server.next_session().await;
    let heads = proxy.heads();
    assert_eq!(heads.len(), 2, "{heads:?}");
    for head in heads {
        assert!(head.starts_with("CONNECT server.test:443 HTTP/1.1\r\n"), "{head}");
        let head = head.to_lowercase();
        assert!(head.contains("\r\nhost: server.test:443\r\n"), "{head}");
        // The base64 of `user:canary`, in lower case.
        assert!(head.contains("\r\nproxy-authorization: basic dxnlcjpjyw5hcnk=\r\n"), "{head}");
    }
    let proxy = Some("http://proxy.test:3128".to_owned());
    assert_eq!(agent.events()[0], Event::Connecting { server: URL.to_owned(), proxy });
}

#[tokio::test]
async fn exempt_server_is_reached_directly() {
    let mut server = Server::start().await;
    let proxy = Proxy::start(server.address, "200 OK", None).await;
    let mut variables = variables_with_checksum(&server);
    variables.insert("HTTPS_PROXY", "http://proxy.test:3128".to_owned());
    variables.insert("NO_PROXY", "10.0.0.0/8,.test".to_owned());
    let hosts = vec![("proxy.test", proxy.address), (NAME, server.address)];
    let _agent = Agent::start(settings(&variables), network(hosts));
    server.next_session().await;
    assert_eq!(proxy.heads(), [""; 0]);
}

#[tokio::test]
async fn failing_proxy_is_reported_with_remedy() {
    let server = Server::start().await;
    for (status, remedy) in [
        ("407 Proxy Authentication Required", "add the user and password to HTTPS_PROXY"),
        ("403 Forbidden", "allow CONNECT to the server"),
        ("502 Bad Gateway", "check that the proxy can reach the server"),
    ] {
        let proxy = Proxy::start(server.address, status, None).await;
        let mut agent = agent_behind(&server, proxy.address, &[]);
        let failure = agent.wait_for_failure().await;
        assert!(matches!(failure, Event::ProxyFailed { status: Some(_), .. }), "{failure:?}");
        let text = failure.to_string();
        assert!(
            text.starts_with("cannot connect to the server through the proxy http://proxy.test:3128: "),
            "{text}"
        );
        assert!(text.contains(status) && text.contains(remedy), "{text}");
        assert_eq!(agent.status.reason(), Some(text));
    }
    assert_eq!(server.paths(), [""; 0]);
}

#[tokio::test]
async fn unreachable_proxy_is_reported() {
    let server = Server::start().await;
    let mut agent = agent_behind(&server, "127.0.0.1:1".parse().unwrap(), &[]);
    let failure = agent.wait_for_failure().await;
    assert!(matches!(failure, Event::ProxyFailed { status: None, .. }), "{failure:?}");
    let text = failure.to_string();
    assert!(text.contains("cannot connect to proxy.test:3128") && text.contains("HTTPS_PROXY"), "{text}");
}

#[tokio::test]
async fn https_proxy_with_an_unknown_authority_gets_no_credential() {
    let server = Server::start().await;
    let tls = TlsAcceptor::from(Authority::new("proxy.test").tls);
    let proxy = Proxy::start(server.address, "200 OK", Some(tls)).await;
    let changes = [("HTTPS_PROXY", "https://user:canary@proxy.test:3129")];
    let mut agent = agent_behind(&server, proxy.address, &changes);
    let failure = agent.wait_for_failure().await;
    assert!(matches!(failure, Event::NotTrusted { .. }), "{failure:?}");
    let text = failure.to_string();
    assert!(text.contains("proxy.test:3129") && text.contains("the authority of the proxy"), "{text}");
    assert_eq!(proxy.heads(), [""; 0]);
}
