//! The TLS listener, and the certificate authority that its clients must trust.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use super::error::Error;
use super::files;
use crate::config::Tls;
use crate::service::public_address::HttpsEndpoint;

/// A bound listener that is not served yet.
pub(super) struct TlsListener {
    pub(super) listener: TcpListener,
    pub(super) config: Arc<rustls::ServerConfig>,
    /// The address and authority in kubeconfigs.
    pub(super) advertised: HttpsEndpoint,
    /// The warning if kubeconfigs do not contain the authority, with its remedy.
    pub(super) missing_authority_warning: Option<String>,
}

/// Binds the listener that the settings specify.
pub(super) fn listen(tls: &Tls) -> Result<TlsListener, Error> {
    let config = server_config(tls)?;
    let authority = authority(tls)?;
    let (listener, address) = bind(tls.listen)?;
    let advertised =
        HttpsEndpoint { host: None, port: address.port(), authority: authority.pem().to_owned() };
    let missing_authority_warning = authority.missing_authority_warning(tls);
    Ok(TlsListener { listener, config, advertised, missing_authority_warning })
}

/// The authority that clients must trust, from the certificate file. Also checks the key.
///
/// # Errors
/// If the certificate or the key is unusable.
pub fn check(tls: &Tls) -> Result<Authority, Error> {
    server_config(tls)?;
    authority(tls)
}

fn authority(tls: &Tls) -> Result<Authority, Error> {
    let chain = files::read(&tls.certificate)?.unwrap_or_default();
    Ok(Authority::from_chain(&chain, &system_subjects))
}

/// The certificate authority that clients must trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// A private authority: kubeconfigs contain this certificate (PEM).
    Private(String),
    /// An authority that the system trusts.
    System,
    /// The file contains only the server certificate.
    Unknown,
}

impl Authority {
    fn from_chain(chain: &str, system_subjects: &dyn Fn() -> Vec<Vec<u8>>) -> Self {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(chain.as_bytes()).filter_map(Result::ok).collect();
        let Some(names) = certificates.last().and_then(|last| CertificateNames::from_der(last)) else {
            return Self::Unknown;
        };
        // A chain of a public authority does not contain the root. If the chain ends with a root, or with an
        // intermediate whose issuer the system does not trust, clients need that last certificate.
        let is_root = names.issuer == names.subject;
        match certificates.len() {
            1 if !is_root => Self::Unknown,
            _ if is_root || !system_subjects().iter().any(|subject| subject == names.issuer) => {
                const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
                let last = chain.rfind(BEGIN).and_then(|start| chain.get(start..)).unwrap_or_default();
                Self::Private(format!("{}\n", last.trim_end()))
            }
            _ => Self::System,
        }
    }

    fn pem(&self) -> &str {
        match self {
            Self::Private(pem) => pem,
            Self::System | Self::Unknown => "",
        }
    }

    /// The warning if kubeconfigs do not contain the authority, with its remedy.
    pub fn missing_authority_warning(&self, tls: &Tls) -> Option<String> {
        let file = tls.certificate.display();
        (*self == Self::Unknown).then(|| {
            format!(
                "{file} contains only the server certificate, so kubeconfigs do not contain its authority; append the \
                 certificates of the authority to the file, or store them in the setting cacerts"
            )
        })
    }
}

/// The subjects of the authorities that the system trusts.
fn system_subjects() -> Vec<Vec<u8>> {
    let certificates = rustls_native_certs::load_native_certs().certs;
    certificates
        .iter()
        .filter_map(|der| CertificateNames::from_der(der).map(|names| names.subject.to_vec()))
        .collect()
}

/// A bound listener with its address.
pub(super) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let map_error = |source| Error::Listen { address, source };
    let listener = serve::bind(address).map_err(map_error)?;
    let bound = listener.local_addr().map_err(map_error)?;
    Ok((listener, bound))
}

fn server_config(tls: &Tls) -> Result<Arc<rustls::ServerConfig>, Error> {
    let read = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
        let chain = CertificateDer::pem_file_iter(&tls.certificate)?.collect::<Result<Vec<_>, _>>()?;
        Ok(serve::tls(chain, PrivateKeyDer::from_pem_file(&tls.key)?)?)
    };
    read().map_err(|source| Error::Tls { path: tls.certificate.clone(), source })
}

/// The issuer and the subject of a certificate, in DER.
struct CertificateNames<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
}

impl<'a> CertificateNames<'a> {
    fn from_der(certificate: &'a [u8]) -> Option<Self> {
        // Certificate ::= SEQUENCE { SEQUENCE { [0] version, serial, signature, issuer, validity, subject, … } … }
        let (content, _) = split_element(certificate)?;
        let (mut fields, _) = split_element(content)?;
        // The version is optional.
        if fields.first() == Some(&0xa0) {
            fields = split_element(fields)?.1;
        }
        let mut elements = [fields; 5];
        for slot in &mut elements {
            (*slot, fields) = split_element(fields)?;
        }
        let [_, _, issuer, _, subject] = elements;
        Some(Self { issuer, subject })
    }
}

/// The content of the first DER element, and what follows the element.
fn split_element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[_, length_byte], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = if let 0..0x80 = length_byte {
        (usize::from(length_byte), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(length_byte & 0x7f))?;
        let length = bytes
            .iter()
            .try_fold(0_usize, |length, byte| length.checked_mul(256)?.checked_add(usize::from(*byte)))?;
        (length, rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    #[test]
    fn authority_follows_from_the_chain() {
        let params = |name: &str, is_ca| {
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = is_ca;
            params
        };
        let (ca, no_ca) = (IsCa::Ca(BasicConstraints::Unconstrained), IsCa::NoCa);
        let new_key = || KeyPair::generate().unwrap();
        let (root_key, intermediate_key, key) = (new_key(), new_key(), new_key());
        let root = params("root", ca).self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(params("root", ca), root_key);
        let intermediate =
            params("intermediate", ca).signed_by(&intermediate_key, &root_issuer).unwrap().pem();
        let intermediate_issuer = Issuer::new(params("intermediate", ca), intermediate_key);
        let leaf = params("leaf", no_ca).signed_by(&key, &intermediate_issuer).unwrap().pem();
        let self_signed = params("self-signed", no_ca).self_signed(&key).unwrap().pem();
        let root_subject = CertificateNames::from_der(root.der()).unwrap().subject.to_vec();
        let root = root.pem();
        let private = |pem: &str| Authority::Private(format!("{}\n", pem.trim()).replace("\r\n", "\n"));
        for (chain, in_system, expected) in [
            (format!("{leaf}{intermediate}{root}"), false, private(&root)),
            (format!("{leaf}{intermediate}{root}"), true, private(&root)),
            (format!("{leaf}{intermediate}"), false, private(&intermediate)),
            (format!("{leaf}{intermediate}"), true, Authority::System),
            (self_signed.clone(), false, private(&self_signed)),
            (leaf.clone(), false, Authority::Unknown),
            ("no PEM".to_owned(), false, Authority::Unknown),
        ] {
            let system_subjects = || if in_system { vec![root_subject.clone()] } else { Vec::new() };
            assert_eq!(
                Authority::from_chain(&chain.replace("\r\n", "\n"), &system_subjects),
                expected,
                "{chain}"
            );
        }
        assert!(
            CertificateNames::from_der(&[0x30, 0x82, 0xff]).is_none()
                && CertificateNames::from_der(&[]).is_none()
        );
    }
}
