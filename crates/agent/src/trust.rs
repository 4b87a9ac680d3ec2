//! The TLS configurations of the agent, and its errors about untrusted servers.

mod pinned;

use std::error::Error;
use std::io;
use std::sync::Arc;

use remotedialer::ClientStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};
use tokio_rustls::TlsConnector;

use self::pinned::{PublishedAuthorities, is_ca_used_as_end_entity};
use crate::event::{Event, shorten};
use crate::settings::Endpoint;

/// A configuration that trusts the certificate authorities of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
pub(crate) fn system_tls_config() -> Result<Arc<ClientConfig>, String> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems have certificates that rustls cannot parse; the others are used.
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        let reason = loaded.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!("the system has no certificate authorities{reason}"));
    }
    Ok(Arc::new(config_builder()?.with_root_certificates(roots).with_no_client_auth()))
}

/// A configuration that trusts only the certificates in `pem` and those that they signed.
pub(crate) fn pinned_tls_config(pem: &str) -> Result<Arc<ClientConfig>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = certificates.map_err(|error| format!("cacerts is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("cacerts contains no certificate".to_owned());
    }
    config_with_verifier(Trust::Published(PublishedAuthorities::new(certificates, crypto_provider())?))
}

/// A configuration that accepts every certificate. Only for reading `cacerts`, which the checksum verifies.
pub(crate) fn unverified_tls_config() -> Result<Arc<ClientConfig>, String> {
    config_with_verifier(Trust::All)
}

fn config_with_verifier(trust: Trust) -> Result<Arc<ClientConfig>, String> {
    let verifier = Verifier { trust, algorithms: crypto_provider().signature_verification_algorithms };
    let builder = config_builder()?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn config_builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    let builder =
        ClientConfig::builder_with_provider(crypto_provider()).with_safe_default_protocol_versions();
    builder.map_err(|error| error.to_string())
}

fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The accepted certificates of servers.
#[derive(Debug)]
enum Trust {
    All,
    Published(PublishedAuthorities),
}

/// Verifies the certificate of a server as `trust` requires, and always that the server has the private key.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.trust {
            Trust::All => Ok(ServerCertVerified::assertion()),
            Trust::Published(published) => {
                published.verify(end_entity, intermediates, server_name, ocsp_response, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Performs the TLS handshake with `endpoint` over `stream`.
pub(crate) async fn start_tls(
    stream: ClientStream,
    endpoint: &Endpoint,
    config: Arc<ClientConfig>,
) -> Result<ClientStream, Event> {
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|error| Event::TlsFailed { address: endpoint.to_string(), reason: error.to_string() })?;
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(tls_event(endpoint, &error, false)),
    }
}

/// The event for a failed TLS handshake. `is_pinned` is whether only the server's own authorities were trusted.
pub(crate) fn tls_event(endpoint: &Endpoint, error: &io::Error, is_pinned: bool) -> Event {
    let address = endpoint.to_string();
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(error)) => Event::NotTrusted {
            address,
            reason: untrusted_reason(error, is_pinned),
            remedy: untrusted_remedy(error, is_pinned),
        },
        _ => Event::TlsFailed { address, reason: error.to_string() },
    }
}

fn untrusted_reason(error: &CertificateError, is_pinned: bool) -> String {
    match error {
        CertificateError::UnknownIssuer => "it was issued by an unknown authority".to_owned(),
        error if is_ca_used_as_end_entity(error) && is_pinned => {
            "it is self-signed, and is not one of the server's cacerts".to_owned()
        }
        error if is_ca_used_as_end_entity(error) => "it is a certificate authority".to_owned(),
        // The text may contain all names in the certificate.
        error => shorten(&error.to_string()),
    }
}

fn untrusted_remedy(error: &CertificateError, is_pinned: bool) -> &'static str {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => "renew the certificate, or correct the clock of this node",
        E::NotValidYet | E::NotValidYetContext { .. } => "correct the clock of this node or of the server",
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "use a name of the certificate in `server-url` of the server, and apply the cluster's import manifest again"
        }
        _ if is_pinned => {
            "only the certificate authorities that the server publishes are trusted; set `cacerts` on the server to the \
             authority of its certificate and apply the cluster's import manifest again, and exclude the server from \
             TLS-inspecting proxies"
        }
        _ if is_ca_used_as_end_entity(error) => {
            "set `cacerts` on the server to this certificate and apply the cluster's import manifest again, or create a \
             certificate for the server with the constraint CA:FALSE"
        }
        _ => {
            "set `cacerts` on the server to the authority of its certificate and apply the cluster's import manifest again; \
             or, for a TLS-inspecting proxy, mount its authority and set SSL_CERT_FILE"
        }
    }
}

/// The message of an error and those of its causes.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        // Some libraries repeat the message of their cause.
        if !text.ends_with(&message) {
            text = format!("{text}: {message}");
        }
        source = cause.source();
    }
    text
}
