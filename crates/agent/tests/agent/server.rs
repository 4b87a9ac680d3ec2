//! A server for agents with TLS, like Rancher: `/v3/settings/cacerts`, `/v3/connect` and `/v3/connect/register`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use remotedialer::{Session, SessionConfig, upgrade};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::support::within_limit;

/// The name in the server's certificate.
pub(crate) const NAME: &str = "server.test";
pub(crate) const URL: &str = "https://server.test";

/// A certificate authority with a certificate for a server.
pub(crate) struct Authority {
    pub(crate) pem: String,
    pub(crate) tls: Arc<ServerConfig>,
}

impl Authority {
    /// An authority with a certificate for `name`.
    pub(crate) fn new(name: &str) -> Self {
        let (root_key, key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
        let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        root.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        let pem = root.self_signed(&root_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(root, root_key);
        let leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        Self { pem, tls: server_config(leaf.der().to_vec(), &key) }
    }

    /// A certificate that is its own authority, as created by `openssl req -x509`.
    pub(crate) fn self_signed(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), tls: server_config(certificate.der().to_vec(), &key) }
    }
}

fn server_config(certificate: Vec<u8>, key: &rcgen::KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate.into()], key.into()).unwrap())
}

/// The behavior of the server, and the received requests.
pub(crate) struct State {
    /// The status and JSON of `/v3/settings/cacerts`.
    pub(crate) cacerts: (u16, String),
    /// The response to upgrade requests, instead of a session.
    pub(crate) rejection: Option<(u16, String)>,
    /// The TLS configuration with the certificate.
    pub(crate) tls: Arc<ServerConfig>,
    /// All requests: path and headers.
    pub(crate) requests: Vec<(String, HeaderMap)>,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
    sessions: mpsc::UnboundedReceiver<Session>,
}

impl Server {
    /// A server that publishes its authority and accepts every agent.
    pub(crate) async fn start() -> Self {
        Self::with_authority(&Authority::new(NAME)).await
    }

    pub(crate) async fn with_authority(authority: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            cacerts: (200, cacerts_json(&authority.pem)),
            rejection: None,
            tls: Arc::clone(&authority.tls),
            requests: Vec::new(),
        }));
        let (sender, sessions) = mpsc::unbounded_channel();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared), sender.clone()));
            }
        });
        Self { address, state, sessions }
    }

    pub(crate) fn update_state(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Replaces authority and certificate.
    pub(crate) fn replace_authority(&self, authority: &Authority) {
        self.update_state(|state| {
            state.cacerts = (200, cacerts_json(&authority.pem));
            state.tls = Arc::clone(&authority.tls);
        });
    }

    /// The checksum in an import manifest of this server: SHA-256 of the value of `cacerts` and a line break.
    pub(crate) fn checksum(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.state.lock().unwrap().cacerts.1).unwrap();
        let value = format!("{}\n", json["value"].as_str().unwrap().trim());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.as_bytes());
        let bytes = digest.as_ref().iter();
        bytes
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|digit| char::from_digit(digit.into(), 16).unwrap())
            .collect()
    }

    /// The paths of the received requests.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.iter().map(|(path, _)| path.clone()).collect()
    }

    /// The next session of an agent.
    pub(crate) async fn next_session(&mut self) -> Session {
        within_limit(self.sessions.recv()).await.unwrap()
    }
}

/// The setting `cacerts` as Rancher returns it.
pub(crate) fn cacerts_json(value: &str) -> String {
    serde_json::json!({ "type": "setting", "id": "cacerts", "value": value, "source": "default" }).to_string()
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>, sessions: mpsc::UnboundedSender<Session>) {
    let tls = Arc::clone(&state.lock().unwrap().tls);
    // An agent that does not trust the certificate ends the handshake.
    let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else { return };
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(request, &mut state.lock().unwrap(), &sessions);
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.with_upgrades().await;
}

fn respond(
    mut request: Request<Incoming>,
    state: &mut State,
    sessions: &mpsc::UnboundedSender<Session>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    state.requests.push((path.clone(), request.headers().clone()));
    let text_response = |(status, body): (u16, String)| {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    };
    match path.as_str() {
        "/v3/settings/cacerts" => text_response(state.cacerts.clone()),
        "/v3/connect" | "/v3/connect/register" => {
            if let Some(rejection) = &state.rejection {
                return text_response(rejection.clone());
            }
            let response = upgrade::response(request.method(), request.headers()).unwrap();
            let upgraded = hyper::upgrade::on(&mut request);
            let sessions = sessions.clone();
            tokio::spawn(async move {
                let stream = TokioIo::new(upgraded.await.unwrap());
                let (session, driver) = Session::server(stream, SessionConfig::server());
                let _ = sessions.send(session);
                driver.await;
            });
            response.map(|()| Full::default())
        }
        _ => text_response((404, "not found".to_owned())),
    }
}
