//! The child processes: a plain TCP proxy, the tunnel's server and its client.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use remotedialer::{ClientRequest, Session, SessionConfig, TcpDialer, connect, join, tune_socket, upgrade};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::Outcome;

/// The open sessions of all clients.
type Sessions = Arc<Mutex<Vec<Session>>>;

/// Runs a proxy that copies between its callers and `target`.
pub(crate) async fn run_proxy(target: &str, buffer_len: usize) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (mut caller, _) = listener.accept().await?;
        caller.set_nodelay(true)?;
        let target = target.to_owned();
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(target).await?;
            stream.set_nodelay(true)?;
            tokio::io::copy_bidirectional_with_sizes(&mut caller, &mut stream, buffer_len, buffer_len).await
        });
    }
}

/// Runs a tunnel server that copies between its callers and `target`, through the sessions of its clients in turn.
pub(crate) async fn run_server(target: &str) -> Outcome<()> {
    let sessions = Sessions::default();
    let callers = TcpListener::bind("127.0.0.1:0").await?;
    let clients = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}\n{}", callers.local_addr()?, clients.local_addr()?);
    tokio::spawn(accept_clients(clients, Arc::clone(&sessions)));
    for caller_index in 0_usize.. {
        let (caller, _) = callers.accept().await?;
        caller.set_nodelay(true)?;
        // A client may be notified of its upgrade before the session is in the list.
        let session = loop {
            let session = {
                let open = sessions.lock().unwrap_or_else(PoisonError::into_inner);
                open.get(caller_index % open.len().max(1)).cloned()
            };
            if let Some(session) = session {
                break session;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        tokio::spawn(join(session.dial("tcp", target)?, caller));
    }
    Ok(())
}

async fn accept_clients(listener: TcpListener, sessions: Sessions) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tune_socket(&stream)?;
        let sessions = Arc::clone(&sessions);
        let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            let response = upgrade::response(request.method(), request.headers());
            let upgraded = hyper::upgrade::on(&mut request);
            let sessions = Arc::clone(&sessions);
            tokio::spawn(async move {
                let Ok(stream) = upgraded.await else { return };
                let (session, driver) = Session::server(TokioIo::new(stream), SessionConfig::server());
                sessions.lock().unwrap_or_else(PoisonError::into_inner).push(session.clone());
                driver.await;
                let mut open = sessions.lock().unwrap_or_else(PoisonError::into_inner);
                open.retain(|other| !other.is_same(&session));
            });
            async move { response.map(|response| response.map(|()| Empty::<Bytes>::new())) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection.with_upgrades());
    }
}

/// Runs a tunnel client that opens sessions to `server` and dials `target` for it.
pub(crate) async fn run_client(server: &str, target: &str, session_count: usize) -> Outcome<()> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let tls = builder.with_safe_default_protocol_versions()?.with_root_certificates(RootCertStore::empty());
    let tls = Arc::new(tls.with_no_client_auth());
    let request = ClientRequest::new(&format!("ws://{server}/v3/connect"))?;
    let mut drivers = tokio::task::JoinSet::new();
    for _ in 0..session_count {
        let dialer = TcpDialer::new([target]);
        let (_, driver) = connect(&request, Arc::clone(&tls), SessionConfig::client(), dialer).await?;
        drivers.spawn(driver);
    }
    println!("connected");
    while drivers.join_next().await.is_some() {}
    Ok(())
}
