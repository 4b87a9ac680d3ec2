//! Listening with TLS, and which authority clients have to trust for it.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use super::{Error, files};
use crate::config::Tls;
use crate::service::kubeconfigs::OverTls;

/// A listener that waits to be served.
pub(super) struct Ready {
    pub(super) listener: TcpListener,
    pub(super) config: Arc<rustls::ServerConfig>,
    /// What kubeconfigs say about it.
    pub(super) told: OverTls,
    /// What to do so that they name the authority, where they do not.
    pub(super) remedy: Option<String>,
}

/// The listener of the settings, if they have one.
pub(super) fn own(tls: &Tls) -> Result<Ready, Error> {
    let config = certificate(tls)?;
    let authority = authority(tls)?;
    let (listener, address) = bind(tls.listen)?;
    let told = OverTls { host: None, port: address.port(), authority: authority.pem().to_owned() };
    let remedy = authority.remedy(tls);
    Ok(Ready { listener, config, told, remedy })
}

/// What clients have to trust, by the certificate file of the settings.
///
/// # Errors
/// When certificate and key cannot be used.
pub fn check(tls: &Tls) -> Result<Authority, Error> {
    certificate(tls)?;
    authority(tls)
}

fn authority(tls: &Tls) -> Result<Authority, Error> {
    let text = files::read(&tls.certificate)?.unwrap_or_default();
    Ok(Authority::of_chain(&text, &system_subjects))
}

/// What clients have to trust to believe in a chain of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// These certificates (PEM): kubeconfigs have them.
    Own(String),
    /// One of those that every system has.
    System,
    /// One that the chain does not have: it is only the server's own certificate.
    Missing,
}

impl Authority {
    fn of_chain(chain: &str, system: &dyn Fn() -> Vec<Vec<u8>>) -> Self {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(chain.as_bytes()).filter_map(Result::ok).collect();
        let Some(names) = certificates.last().and_then(|last| Names::of(last)) else { return Self::Missing };
        // A chain of a public authority ends below it. A root at the end, or an intermediate that leads to no authority of
        // the system, is what clients miss.
        let is_own = names.issuer == names.subject;
        match certificates.len() {
            1 if !is_own => Self::Missing,
            _ if is_own || !system().iter().any(|subject| subject == names.issuer) => {
                const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
                let last = chain.rfind(BEGIN).and_then(|at| chain.get(at..)).unwrap_or_default();
                Self::Own(format!("{}\n", last.trim_end()))
            }
            _ => Self::System,
        }
    }

    fn pem(&self) -> &str {
        match self {
            Self::Own(pem) => pem,
            Self::System | Self::Missing => "",
        }
    }

    /// What to do where kubeconfigs cannot name the authority by themselves.
    pub fn remedy(&self, tls: &Tls) -> Option<String> {
        let file = tls.certificate.display();
        (*self == Self::Missing).then(|| {
            format!(
                "{file} has only the server's own certificate, so that kubeconfigs do not name the authority to trust: append the \
                 certificates of its authority to the file, or put them into the setting cacerts"
            )
        })
    }
}

/// The names of the authorities that the system trusts.
fn system_subjects() -> Vec<Vec<u8>> {
    let certificates = rustls_native_certs::load_native_certs().certs;
    certificates.iter().filter_map(|found| Names::of(found).map(|names| names.subject.to_vec())).collect()
}

pub(super) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = serve::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn certificate(tls: &Tls) -> Result<Arc<rustls::ServerConfig>, Error> {
    let read = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
        let chain = CertificateDer::pem_file_iter(&tls.certificate)?.collect::<Result<Vec<_>, _>>()?;
        Ok(serve::tls(chain, PrivateKeyDer::from_pem_file(&tls.key)?)?)
    };
    read().map_err(|source| Error::Tls { path: tls.certificate.clone(), source })
}

/// Who issued a certificate, and to whom, as the DER of the names.
struct Names<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
}

impl<'a> Names<'a> {
    fn of(certificate: &'a [u8]) -> Option<Self> {
        // Certificate ::= SEQUENCE { SEQUENCE { [0] version, serial, signature, issuer, validity, subject, … } … }
        let (inner, _) = element(certificate)?;
        let (mut rest, _) = element(inner)?;
        if rest.first() == Some(&0xa0) {
            rest = element(rest)?.1;
        }
        let mut elements = [rest; 5];
        for slot in &mut elements {
            (*slot, rest) = element(rest)?;
        }
        let [_, _, issuer, _, subject] = elements;
        Some(Self { issuer, subject })
    }
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    #[test]
    fn authority_follows_from_the_chain() {
        let named = |name: &str| {
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let authority = |name: &str| {
            let mut params = named(name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let new = || KeyPair::generate().unwrap();
        let (root_key, middle_key, key) = (new(), new(), new());
        let root = authority("root").self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(authority("root"), root_key);
        let middle_pem = authority("middle").signed_by(&middle_key, &root_issuer).unwrap().pem();
        let leaf_pem =
            named("leaf").signed_by(&key, &Issuer::new(authority("middle"), middle_key)).unwrap().pem();
        let alone = named("alone").self_signed(&key).unwrap().pem();
        let subject = Names::of(root.der()).unwrap().subject.to_vec();
        let root_pem = root.pem();
        for (chain, in_system, expected) in [
            (format!("{leaf_pem}{middle_pem}{root_pem}"), false, Some(&root_pem)),
            (format!("{leaf_pem}{middle_pem}{root_pem}"), true, Some(&root_pem)),
            (format!("{leaf_pem}{middle_pem}"), false, Some(&middle_pem)),
            (alone.clone(), false, Some(&alone)),
            (format!("{leaf_pem}{middle_pem}"), true, None),
        ] {
            let system = || if in_system { vec![subject.clone()] } else { Vec::new() };
            let expected =
                expected.map_or(Authority::System, |pem| Authority::Own(format!("{}\n", pem.trim())));
            match (Authority::of_chain(&chain, &system), expected) {
                (Authority::Own(found), Authority::Own(expected)) => {
                    assert_eq!(found.trim(), expected.trim());
                }
                (found, expected) => assert_eq!(found, expected),
            }
        }
        for chain in [leaf_pem.as_str(), "no PEM"] {
            assert_eq!(Authority::of_chain(chain, &Vec::new), Authority::Missing, "{chain}");
        }
        assert!(Names::of(&[0x30, 0x82, 0xff]).is_none() && Names::of(&[]).is_none());
    }
}
