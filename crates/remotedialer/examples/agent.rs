//! A tunnel client that dials a fixed list of addresses for its server, and reconnects.
//!
//! ```text
//! cargo run --example agent -- <ws://… or wss://…/v3/connect> <token> <host:port> [<host:port> …]
//! ```
//!
//! `SSL_CERT_FILE` names a PEM file with the certificates that servers are verified against.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use remotedialer::{ClientRequest, SessionConfig, TcpDialer, connect, upgrade};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Parameters that Rancher's servers require: base64 of
/// `{"cluster":{"address":"10.0.0.1:443","token":"unused","caCert":"dW51c2Vk"}}`.
const PARAMS: &str =
    "eyJjbHVzdGVyIjp7ImFkZHJlc3MiOiIxMC4wLjAuMTo0NDMiLCJ0b2tlbiI6InVudXNlZCIsImNhQ2VydCI6ImRXNTFjMlZrIn19";

/// The maximum delay before a reconnect, without the random factor.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, token, targets @ ..] = arguments.as_slice() else {
        return Err("usage: agent <url> <token> <host:port> …".into());
    };
    let mut headers = HeaderMap::new();
    let mut token = HeaderValue::from_str(token)?;
    token.set_sensitive(true);
    headers.insert(upgrade::TOKEN_HEADER, token);
    headers.insert(upgrade::PARAMS_HEADER, HeaderValue::from_static(PARAMS));
    let request = ClientRequest::new(url)?.with_headers(headers);
    let tls = Arc::new(tls_config()?);
    let mut backoff = Duration::from_secs(1);
    loop {
        let dialer = TcpDialer::new(targets.iter().cloned());
        match connect(&request, Arc::clone(&tls), SessionConfig::client(), dialer).await {
            Ok((_, driver)) => {
                println!("connected");
                backoff = Duration::from_secs(1);
                println!("session ended: {}", driver.await);
            }
            Err(error) => println!("cannot connect: {}", with_causes(&error)),
        }
        // The clients of a restarted server must not all connect within one second.
        tokio::time::sleep(backoff.mul_f64(0.5 + rand::random::<f64>())).await;
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

/// The message of an error and those of its causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn tls_config() -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = std::env::var_os("SSL_CERT_FILE") {
        for certificate in CertificateDer::pem_file_iter(file)? {
            roots.add(certificate?)?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}
