//! A tunnel server that forwards a local port to one address in the client's network.
//!
//! ```text
//! cargo run --example server -- <listen for clients> <token> <listen for callers> <host:port to dial>
//! ```
//!
//! Clients are the example `agent`, Rancher's agent, or any other client of the protocol. Put TLS in front of it.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use remotedialer::{Session, SessionConfig, join, tune_socket, upgrade};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The session of the client that connected last.
type LatestSession = watch::Sender<Option<Session>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [client_address, token, caller_address, target] = arguments.as_slice() else {
        return Err(
            "usage: server <listen for clients> <token> <listen for callers> <host:port to dial>".into()
        );
    };
    let latest = LatestSession::default();
    tokio::spawn(accept_clients(TcpListener::bind(client_address).await?, token.clone(), latest.clone()));
    let callers = TcpListener::bind(caller_address).await?;
    loop {
        let (caller, address) = callers.accept().await?;
        caller.set_nodelay(true)?;
        let session = latest.borrow().clone();
        match session.map(|session| session.dial("tcp", target)) {
            Some(Ok(connection)) => {
                tokio::spawn(async move {
                    if let Err(error) = join(connection, caller).await {
                        eprintln!("connection of {address} failed: {error}");
                    }
                });
            }
            Some(Err(error)) => eprintln!("cannot dial for {address}: {error}"),
            None => eprintln!("cannot dial for {address}: no client is connected"),
        }
    }
}

async fn accept_clients(listener: TcpListener, token: String, latest: LatestSession) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tune_socket(&stream)?;
        let (token, latest) = (token.clone(), latest.clone());
        let service = service_fn(move |request| {
            let response = accept(request, &token, &latest);
            async move { Ok::<_, Infallible>(response.map(Full::new)) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection.with_upgrades());
    }
}

/// Authenticates a client and starts its session after the upgrade.
fn accept(mut request: Request<Incoming>, token: &str, latest: &LatestSession) -> Response<Bytes> {
    // A server with several tokens looks them up by a hash, in constant time.
    let is_authenticated = request.headers().get(upgrade::TOKEN_HEADER).is_some_and(|value| value == token);
    if !is_authenticated {
        return error_response(StatusCode::UNAUTHORIZED, "failed authentication");
    }
    let response = match upgrade::response(request.method(), request.headers()) {
        Ok(response) => response,
        Err(error) => return error_response(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let (upgraded, latest) = (hyper::upgrade::on(&mut request), latest.clone());
    tokio::spawn(async move {
        let Ok(stream) = upgraded.await else { return };
        let (session, driver) = Session::server(TokioIo::new(stream), SessionConfig::server());
        latest.send_replace(Some(session));
        println!("client connected");
        println!("client left: {}", driver.await);
    });
    response.map(|()| Bytes::new())
}

fn error_response(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(text.as_bytes()));
    *response.status_mut() = status;
    response
}
