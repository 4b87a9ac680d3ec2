//! The certificate authority of the sandbox. Name constraints limit it to the host names of the sandbox and to loopback.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
    PublicKeyData as _,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;

use crate::clouds::HOSTS;
use crate::files;

const NAME: &str = "norman-aks sandbox authority";
const LOCALHOST: &str = "localhost";
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// A stored certificate authority.
#[derive(Clone, Debug)]
pub(crate) struct StoredAuthority {
    /// The certificate that clients trust, in PEM.
    pub(crate) certificate: String,
    /// The private key, in PEM (PKCS #8). Its owner can impersonate Azure to every client that trusts the certificate.
    pub(crate) key: SecretString,
}

/// Errors of the certificate authority.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot create the sandbox's certificates")]
    Certificate(#[from] rcgen::Error),
    #[error("the stored authority's certificate cannot be read")]
    Unreadable(#[source] rustls::pki_types::pem::Error),
    #[error("the stored authority's certificate and key do not belong together")]
    Mismatch,
    #[error("cannot read or write {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot use the sandbox's certificate")]
    Tls(#[from] rustls::Error),
}

const CERTIFICATE_FILE: &str = "sandbox-ca.pem";
const KEY_FILE: &str = "sandbox-ca.key";

impl StoredAuthority {
    /// The path of the certificate, which clients have to trust.
    pub(crate) fn certificate_file(directory: &Path) -> PathBuf {
        directory.join(CERTIFICATE_FILE)
    }

    /// Reads the authority in `directory`, if there is one.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, Error> {
        let read = |name: &str| {
            let path = directory.join(name);
            let content = files::read(&path).map_err(|source| Error::File { path, source })?;
            Ok::<_, Error>(content.map(|content| String::from_utf8_lossy(&content).into_owned()))
        };
        let stored = (read(CERTIFICATE_FILE)?, read(KEY_FILE)?);
        let (Some(certificate), Some(key)) = stored else { return Ok(None) };
        Ok(Some(Self { certificate, key: key.into() }))
    }

    /// Stores the authority in `directory`.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), Error> {
        for (name, content) in [(KEY_FILE, self.key.expose_secret()), (CERTIFICATE_FILE, &self.certificate)] {
            let path = directory.join(name);
            files::replace(&path, content.as_bytes()).map_err(|source| Error::File { path, source })?;
        }
        Ok(())
    }

    pub(crate) fn generate() -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let certificate = sandbox_params()?.self_signed(&key)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem().into() })
    }

    /// Reissues the certificate with the same key and name if it is from an older version, which did not permit `localhost`.
    pub(crate) fn renew(self) -> Result<Self, Error> {
        let certificate = parse_certificate(&self.certificate)?;
        if certificate.windows(LOCALHOST.len()).any(|window| window == LOCALHOST.as_bytes()) {
            return Ok(self);
        }
        let key = KeyPair::from_pem(self.key.expose_secret())?;
        Ok(Self { certificate: sandbox_params()?.self_signed(&key)?.pem(), key: self.key })
    }

    /// TLS for the host names of the sandbox.
    pub(crate) fn server_tls(&self) -> Result<Arc<rustls::ServerConfig>, Error> {
        self.server_config(HOSTS.map(str::to_owned).to_vec())
    }

    /// TLS for loopback.
    pub(crate) fn loopback_tls(&self) -> Result<Arc<rustls::ServerConfig>, Error> {
        let addresses = LOOPBACK.iter().map(ToString::to_string);
        self.server_config(addresses.chain([LOCALHOST.to_owned()]).collect())
    }

    fn server_config(&self, names: Vec<String>) -> Result<Arc<rustls::ServerConfig>, Error> {
        let key = KeyPair::from_pem(self.key.expose_secret())?;
        let certificate = parse_certificate(&self.certificate)?;
        let public_key = key.subject_public_key_info();
        if !certificate.windows(public_key.len()).any(|window| window == public_key) {
            return Err(Error::Mismatch);
        }
        let (leaf, leaf_key) = issue_leaf("norman-aks sandbox", names, &Issuer::new(sandbox_params()?, key))?;
        let leaf_key = PrivatePkcs8KeyDer::from(leaf_key.serialize_der());
        Ok(serve::tls(vec![leaf.der().clone()], leaf_key.into())?)
    }
}

/// The parameters of the sandbox's own authority.
fn sandbox_params() -> Result<CertificateParams, Error> {
    let names = HOSTS.into_iter().chain([LOCALHOST]).map(|host| GeneralSubtree::DnsName(host.to_owned()));
    let addresses = LOOPBACK.into_iter().map(|address| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, bits))
    });
    authority_params(NAME, names.chain(addresses).collect(), 2074)
}

/// The parameters of an authority that is constrained to some names and addresses, and expires at the start of `expiry_year`.
pub(crate) fn authority_params(
    name: &str,
    permitted_subtrees: Vec<GeneralSubtree>,
    expiry_year: i32,
) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = distinguished_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(expiry_year, 1, 1);
    Ok(params)
}

/// Issues the certificate of a server for these host names and addresses.
pub(crate) fn issue_leaf(
    name: &str,
    hosts: Vec<String>,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(Certificate, KeyPair), Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = distinguished_name(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = validity(365);
    Ok((params.signed_by(&key, issuer)?, key))
}

/// A validity period from yesterday until `days` from now, by the machine's clock: clients do not use the sandbox's clock.
pub(crate) fn validity(days: u32) -> (OffsetDateTime, OffsetDateTime) {
    let now = Clock::system().now();
    (now - DAY, now + DAY * days)
}

pub(crate) fn parse_certificate(pem: &str) -> Result<CertificateDer<'static>, Error> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(Error::Unreadable)
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_authority_requires_its_own_key() {
        let stored = StoredAuthority::generate().unwrap();
        assert!(stored.server_tls().is_ok());
        let other = StoredAuthority::generate().unwrap();
        let mixed = StoredAuthority { certificate: stored.certificate.clone(), key: other.key };
        assert!(matches!(mixed.server_tls(), Err(Error::Mismatch)));
        let broken = StoredAuthority { certificate: "no PEM".to_owned(), key: stored.key.clone() };
        assert!(matches!(broken.server_tls(), Err(Error::Unreadable(_))));
        assert!(!format!("{stored:?}").contains("PRIVATE KEY"));
    }

    #[test]
    fn outdated_authority_is_renewed_with_the_same_key() {
        let stored = StoredAuthority::generate().unwrap();
        assert_eq!(stored.clone().renew().unwrap().certificate, stored.certificate);
        let key = KeyPair::from_pem(stored.key.expose_secret()).unwrap();
        let mut older = sandbox_params().unwrap();
        older.name_constraints = None;
        let older = StoredAuthority { certificate: older.self_signed(&key).unwrap().pem(), key: stored.key };
        let renewed = older.clone().renew().unwrap();
        assert_ne!(renewed.certificate, older.certificate);
        assert!(renewed.loopback_tls().is_ok(), "the key still matches");
    }
}
