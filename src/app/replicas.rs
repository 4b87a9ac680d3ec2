//! Connections between the servers of one installation, which use each other's agent sessions. Only the servers have the
//! encryption keys: each derives the same TLS key and the same token from the active key. The accepting server authenticates
//! with the TLS key, the connecting one with the token.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cluster_access::{BoxFuture, Relay, RelayStream};
use http::header::{AUTHORIZATION, CONNECTION, HOST, UPGRADE};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, PublicKeyData as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::Error;
use crate::api::RELAY_PROTOCOL;
use crate::service::secrets::Secrets;
use crate::vault::ReplicaKey;

/// The name in the certificates. Clients verify only the key of a server.
const SERVER_NAME: &str = "norman-aks.internal";
/// The time limit for connecting to another server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The TLS configuration of the internal listener.
pub(super) fn server_tls(secrets: &Secrets) -> Result<Arc<rustls::ServerConfig>, Error> {
    let provider = serve::crypto_provider();
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| Error::InternalTls)?;
    let certificates = ActiveCertificate { secrets: secrets.clone(), provider, cached: Mutex::default() };
    // An unusable key is an error at the start instead of at the first connection.
    certificates.current().ok_or(Error::InternalTls)?;
    Ok(Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(certificates))))
}

/// Presents a certificate with the TLS key that is derived from the active encryption key, which can be replaced while the
/// server runs.
struct ActiveCertificate {
    secrets: Secrets,
    provider: Arc<CryptoProvider>,
    /// The last certificate, with the key for which it was issued.
    cached: Mutex<Option<(ReplicaKey, Arc<CertifiedKey>)>>,
}

impl fmt::Debug for ActiveCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActiveCertificate")
    }
}

impl ActiveCertificate {
    fn current(&self) -> Option<Arc<CertifiedKey>> {
        let key = self.secrets.replica_keys().into_iter().next()?;
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, certificate)) = cached.as_ref().filter(|(cached, _)| cached.seed() == key.seed()) {
            return Some(Arc::clone(certificate));
        }
        let certificate = Arc::new(self.issue(&key).ok()?);
        *cached = Some((key, Arc::clone(&certificate)));
        Some(certificate)
    }

    fn issue(&self, key: &ReplicaKey) -> Result<CertifiedKey, Error> {
        let pair = key_pair(key.seed())?;
        let mut params =
            CertificateParams::new(vec![SERVER_NAME.to_owned()]).map_err(|_| Error::InternalTls)?;
        params.not_after = rcgen::date_time_ymd(4096, 1, 1);
        let certificate = params.self_signed(&pair).map_err(|_| Error::InternalTls)?;
        let key = PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
        CertifiedKey::from_der(vec![certificate.der().clone()], key, &self.provider)
            .map_err(|_| Error::InternalTls)
    }
}

impl ResolvesServerCert for ActiveCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

fn key_pair(seed: &[u8; 32]) -> Result<KeyPair, Error> {
    let document = crate::vault::ed25519_pkcs8(seed).map_err(|_| Error::InternalTls)?;
    let der = PrivatePkcs8KeyDer::from(document.as_slice());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).map_err(|_| Error::InternalTls)
}

/// Connects to clusters through the agent sessions of other servers.
pub(super) struct ReplicaRelay {
    secrets: Secrets,
}

impl ReplicaRelay {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self { secrets }
    }
}

impl Relay for ReplicaRelay {
    fn connect(&self, address: &str, cluster_id: &str) -> BoxFuture<Box<dyn RelayStream>, io::Error> {
        let (secrets, address, cluster_id) =
            (self.secrets.clone(), address.to_owned(), cluster_id.to_owned());
        Box::pin(async move {
            let connecting = connect(&secrets, &address, &cluster_id);
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
            connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| {
                io::Error::other(format!(
                    "cannot connect to the server at {address}, which has the cluster's agent: {error}"
                ))
            })
        })
    }
}

async fn connect(secrets: &Secrets, address: &str, cluster_id: &str) -> io::Result<Box<dyn RelayStream>> {
    let keys = secrets.replica_keys();
    let token =
        keys.first().map(ReplicaKey::token).ok_or_else(|| io::Error::other("there is no encryption key"))?;
    let accepted_keys =
        keys.iter().map(|key| key_pair(key.seed()).map(|pair| pair.subject_public_key_info()));
    let accepted_keys = accepted_keys.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
    let provider = serve::crypto_provider();
    let verifier = ReplicaKeyVerifier::new(accepted_keys, &provider);
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    remotedialer::tune_socket(&stream)?;
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection.with_upgrades());
    let request = Request::get(format!("/internal/clusters/{cluster_id}/connect"))
        .header(HOST, SERVER_NAME)
        .header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, RELAY_PROTOCOL)
        .body(Empty::<Bytes>::new());
    let response = sender.send_request(request.map_err(io::Error::other)?).await.map_err(io::Error::other)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(io::Error::other(format!("it responded with status {}", response.status())));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(io::Error::other)?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

/// Accepts servers whose certificate has one of the public keys.
#[derive(Debug)]
struct ReplicaKeyVerifier {
    /// In DER, as `SubjectPublicKeyInfo`.
    accepted_keys: Vec<Vec<u8>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ReplicaKeyVerifier {
    fn new(accepted_keys: Vec<Vec<u8>>, provider: &CryptoProvider) -> Self {
        Self { accepted_keys, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for ReplicaKeyVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Copying the certificate of another server is not enough: the handshake signature, which is verified below, requires
        // its private key.
        let parsed = rustls::server::ParsedCertificate::try_from(certificate)?;
        let public_key = parsed.subject_public_key_info();
        if self.accepted_keys.iter().any(|accepted| *accepted == *public_key) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
