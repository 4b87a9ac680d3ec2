//! Listening with TLS: our own certificate, or with the built-in Azure one of its authority; and what clients have to
//! trust for it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use super::{Error, files};
use crate::config::{Config, Tls};
use crate::listen;
use crate::sandbox::Sandbox;
use crate::service::kubeconfigs::OverTls;

/// A listener that waits to be served.
pub(super) struct Ready {
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) config: Arc<rustls::ServerConfig>,
    /// What kubeconfigs say about it.
    pub(super) told: OverTls,
}

impl Ready {
    /// Where clients find it.
    pub(super) fn url(&self) -> String {
        let host = self.told.host.clone();
        host.map_or_else(
            || format!("https://{}", self.address),
            |host| format!("https://{host}:{}", self.told.port),
        )
    }
}

/// The listener of the settings, if they have one.
pub(super) fn own(tls: &Tls) -> Result<Ready, Error> {
    let config = certificate(tls)?;
    let text = files::read(&tls.certificate)?.unwrap_or_default();
    let (listener, address) = bind(tls.listen)?;
    let told = OverTls { host: None, port: address.port(), authority: own_authority(&text) };
    Ok(Ready { listener, address, config, told })
}

/// The listener beside the built-in Azure: on `before`, where it listened at its last start, if that is still free.
pub(super) fn of_sandbox(
    config: &Config,
    sandbox: &Sandbox,
    before: Option<u16>,
) -> Result<Option<Ready>, Error> {
    let Some(mut wanted) = config.sandbox.as_ref().and_then(|sandbox| sandbox.tls_listen) else {
        return Ok(None);
    };
    if !wanted.ip().is_loopback() && !wanted.ip().is_unspecified() {
        // The certificate is good for this machine's own names only.
        wanted.set_ip(if wanted.is_ipv4() { [127, 0, 0, 1].into() } else { IpAddr::V6(1.into()) });
    }
    let again = before.filter(|_| wanted.port() == 0).map(|port| SocketAddr::new(wanted.ip(), port));
    let taken_again = match again {
        Some(again) => bind(again).ok(),
        None => None,
    };
    let (listener, address) = match taken_again {
        Some(bound) => bound,
        None => bind(wanted)?,
    };
    let told = OverTls {
        host: Some(if address.is_ipv4() { "127.0.0.1" } else { "[::1]" }.to_owned()),
        port: address.port(),
        authority: sandbox.authority_pem().to_owned(),
    };
    Ok(Some(Ready { listener, address, config: sandbox.loopback_tls()?, told }))
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = listen::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn certificate(tls: &Tls) -> Result<Arc<rustls::ServerConfig>, Error> {
    let read = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
        let chain = CertificateDer::pem_file_iter(&tls.certificate)?.collect::<Result<Vec<_>, _>>()?;
        Ok(listen::tls(chain, PrivateKeyDer::from_pem_file(&tls.key)?)?)
    };
    read().map_err(|source| Error::Tls { path: tls.certificate.clone(), source })
}

/// The last certificate of a chain when it vouches for itself: an authority of one's own, or a certificate that was made
/// without one. Public authorities do not stand in chains, and clients have them.
fn own_authority(chain: &str) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let certificates = CertificateDer::pem_slice_iter(chain.as_bytes()).filter_map(Result::ok);
    let vouches = certificates.last().is_some_and(|last| vouches_for_itself(&last));
    let last = chain.rfind(BEGIN).and_then(|at| chain.get(at..));
    last.filter(|_| vouches).map(|last| format!("{}\n", last.trim_end())).unwrap_or_default()
}

/// Whether issuer and subject of a certificate are the same.
fn vouches_for_itself(certificate: &[u8]) -> bool {
    // Certificate ::= SEQUENCE { SEQUENCE { [0] version, serial, signature, issuer, validity, subject, … } … }
    let fields = || -> Option<bool> {
        let (inner, _) = element(certificate)?;
        let (mut rest, _) = element(inner)?;
        if rest.first() == Some(&0xa0) {
            rest = element(rest)?.1;
        }
        let mut elements = Vec::new();
        for _ in 0..5 {
            let (content, after) = element(rest)?;
            elements.push(content);
            rest = after;
        }
        Some(elements.get(2)? == elements.get(4)?)
    };
    fields().unwrap_or(false)
}

/// The content of the first element of DER, and what comes after it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[_, short], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = if let 0..0x80 = short {
        (usize::from(short), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
        let length = bytes
            .iter()
            .try_fold(0_usize, |length, byte| length.checked_mul(256)?.checked_add(usize::from(*byte)))?;
        (length, rest)
    };
    rest.split_at_checked(length)
}

/// The port in an address of the form `https://host:port`.
pub(super) fn port_of(url: &str) -> Option<u16> {
    url.rsplit_once(':')?.1.trim_end_matches('/').parse().ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    #[test]
    fn an_authority_of_ones_own_is_found_at_the_end_of_a_chain() {
        let named = |name: &str| {
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut root = named("root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let leaf_pem = named("leaf").signed_by(&key, &Issuer::new(root, root_key)).unwrap().pem();
        let alone = named("alone").self_signed(&key).unwrap().pem();
        let same = |found: String, expected: &str| assert_eq!(found.trim(), expected.trim());
        same(own_authority(&format!("{leaf_pem}{root_pem}")), &root_pem);
        same(own_authority(&alone), &alone);
        same(own_authority(&leaf_pem), "");
        same(own_authority("no PEM"), "");
        assert!(!vouches_for_itself(&[0x30, 0x82, 0xff]) && !vouches_for_itself(&[]));
    }

    #[test]
    fn a_port_is_found_at_the_end_of_an_address() {
        for (url, port) in [
            ("https://127.0.0.1:8443", Some(8443)),
            ("https://[::1]:5/", Some(5)),
            ("https://a", None),
            ("", None),
        ] {
            assert_eq!(port_of(url), port, "{url}");
        }
    }
}
