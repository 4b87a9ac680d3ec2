//! The credentials of a cluster: its certificate authority, the certificate of its API, the client certificate and the
//! token of its administrator, and the key that signs the tokens of service accounts.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ED25519,
};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::user::ADMINISTRATOR;
use super::value::secret;
use crate::authority::Error;

/// The validity of client certificates.
const CLIENT_DAYS: u32 = 365 * 2;

const DAY: Duration = Duration::from_hours(24);

/// The stored state. All of it except the certificates is secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredAuthority {
    pub(crate) certificate: String,
    key: String,
    pub(crate) client_certificate: String,
    pub(crate) client_key: String,
    pub(crate) token: String,
    token_key: String,
}

/// The credentials of a cluster, parsed.
pub(crate) struct Authority {
    pub(crate) stored: StoredAuthority,
    /// The server certificate of the API.
    pub(crate) server: Arc<CertifiedKey>,
    /// Signs service accounts' tokens.
    pub(crate) signer: KeyPair,
    clients: Arc<dyn ClientCertVerifier>,
}

impl StoredAuthority {
    /// A new authority for the API at `host`.
    pub(crate) fn generate(host: &str) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let certificate = authority_params(host)?.self_signed(&key)?;
        let text = key.serialize_pem();
        let mut stored = Self {
            certificate: certificate.pem(),
            key: text,
            client_certificate: String::new(),
            client_key: String::new(),
            token: secret(),
            token_key: KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem(),
        };
        stored.renew_client(host, CLIENT_DAYS)?;
        Ok(stored)
    }

    /// Issues another client certificate. The old one stays valid until it expires.
    pub(crate) fn renew_client(&mut self, host: &str, days: u32) -> Result<(), Error> {
        let issuer = Issuer::new(authority_params(host)?, KeyPair::from_pem(&self.key)?);
        let client_key = KeyPair::generate()?;
        let mut client = CertificateParams::new(Vec::new())?;
        let (name, group) = ADMINISTRATOR;
        client.distinguished_name.push(DnType::OrganizationName, group);
        client.distinguished_name.push(DnType::CommonName, name);
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        client.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        client.use_authority_key_identifier_extension = true;
        (client.not_before, client.not_after) = validity(days);
        self.client_certificate = client.signed_by(&client_key, &issuer)?.pem();
        self.client_key = client_key.serialize_pem();
        Ok(())
    }
}

impl Authority {
    /// A stored authority. As in AKS, a client certificate is replaced after four fifths of its validity.
    pub(crate) fn restore(mut stored: StoredAuthority, host: &str) -> Result<Self, Error> {
        let authority = Self::new(stored.clone(), host)?;
        let renewal_time = UnixTime::now().as_secs() + u64::from(CLIENT_DAYS / 5) * DAY.as_secs();
        let client = parse_certificate(&stored.client_certificate)?;
        let renewal_time = UnixTime::since_unix_epoch(Duration::from_secs(renewal_time));
        if authority.clients.verify_client_cert(&client, &[], renewal_time).is_ok() {
            return Ok(authority);
        }
        stored.renew_client(host, CLIENT_DAYS)?;
        Self::new(stored, host)
    }

    /// Issues a new server certificate, which is not stored.
    pub(crate) fn new(stored: StoredAuthority, host: &str) -> Result<Self, Error> {
        let issuer = Issuer::new(authority_params(host)?, KeyPair::from_pem(&stored.key)?);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name = common_name("apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(365);
        let leaf = params.signed_by(&key, &issuer)?;
        let provider = provider();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let key = provider.key_provider.load_private_key(key.into())?;

        let mut roots = RootCertStore::empty();
        roots.add(parse_certificate(&stored.certificate)?)?;
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
        let clients = clients.map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self {
            server: Arc::new(CertifiedKey::new(vec![leaf.der().clone()], key)),
            signer: KeyPair::from_pem(&stored.token_key)?,
            clients,
            stored,
        })
    }

    /// Whether a client's certificate chain ends at this authority, which issues client certificates to the administrator
    /// only.
    pub(crate) fn is_administrator(&self, chain: &[CertificateDer<'static>]) -> bool {
        let Some((first, rest)) = chain.split_first() else { return false };
        // Certificates use the machine's clock, not that of the sandbox.
        self.clients.verify_client_cert(first, rest, UnixTime::now()).is_ok()
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn parse_certificate(pem: &str) -> Result<CertificateDer<'static>, Error> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(Error::Unreadable)
}

/// An authority that is constrained to its host.
fn authority_params(host: &str) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = common_name("ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let permitted_subtrees = vec![GeneralSubtree::DnsName(host.to_owned())];
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2054, 1, 1);
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// The validity from yesterday, on the machine's clock.
fn validity(days: u32) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let now = Clock::system().now();
    (now - DAY, now + DAY * days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_certificate_is_replaced_before_it_ends() {
        let host = "a.hcp.eastus.azmk8s.io";
        let mut stored = StoredAuthority::generate(host).unwrap();
        let restore = |stored: &StoredAuthority| Authority::restore(stored.clone(), host).unwrap();
        assert_eq!(restore(&stored).stored.client_certificate, stored.client_certificate);
        let before = vec![parse_certificate(&stored.client_certificate).unwrap()];
        stored.renew_client(host, CLIENT_DAYS / 6).unwrap();
        let again = restore(&stored);
        assert_ne!(again.stored.client_certificate, stored.client_certificate);
        assert_eq!(again.stored.certificate, stored.certificate, "the authority is unchanged");
        assert!(again.is_administrator(&before), "older certificates are valid until they expire");
    }

    #[test]
    fn foreign_client_certificates_are_rejected() {
        let host = "a.hcp.eastus.azmk8s.io";
        let (ours, theirs) =
            (StoredAuthority::generate(host).unwrap(), StoredAuthority::generate(host).unwrap());
        let chain = |stored: &StoredAuthority| vec![parse_certificate(&stored.client_certificate).unwrap()];
        let authority = Authority::new(ours.clone(), host).unwrap();
        assert!(authority.is_administrator(&chain(&ours)));
        assert!(!authority.is_administrator(&chain(&theirs)), "an authority with the same name");
        assert!(
            !authority.is_administrator(&[parse_certificate(&ours.certificate).unwrap()]),
            "the authority itself"
        );
        assert!(!authority.is_administrator(&[]));
        let again =
            Authority::new(serde_json::from_value(serde_json::to_value(&ours).unwrap()).unwrap(), host);
        assert!(again.unwrap().is_administrator(&chain(&ours)), "after a restart");
    }
}
