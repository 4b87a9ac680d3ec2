//! The credentials of a cluster: its certificate authority, the certificate of its API, the client certificate and the
//! token of its administrator, and the key that signs the tokens of service accounts.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::user::ADMINISTRATOR;
use super::value::random_secret;
use crate::authority::{DAY, Error, authority_params, issue_leaf, parse_certificate, validity};

/// The validity of client certificates.
const CLIENT_VALIDITY_DAYS: u32 = 365 * 2;

/// The stored form of an [`Authority`]. Everything except the certificates is secret.
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

/// The credentials of a cluster, ready for use.
pub(crate) struct Authority {
    pub(crate) stored: StoredAuthority,
    /// The server certificate of the API.
    pub(crate) server: Arc<CertifiedKey>,
    /// Signs the tokens of service accounts.
    pub(crate) signer: KeyPair,
    client_verifier: Arc<dyn ClientCertVerifier>,
}

impl StoredAuthority {
    /// A new authority for the API at `host`.
    pub(crate) fn generate(host: &str) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let certificate = cluster_params(host)?.self_signed(&key)?;
        let key_pem = key.serialize_pem();
        let mut stored = Self {
            certificate: certificate.pem(),
            key: key_pem,
            client_certificate: String::new(),
            client_key: String::new(),
            token: random_secret(),
            token_key: KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem(),
        };
        stored.renew_client(host, CLIENT_VALIDITY_DAYS)?;
        Ok(stored)
    }

    /// Issues another client certificate. The old one stays valid until it expires.
    pub(crate) fn renew_client(&mut self, host: &str, days: u32) -> Result<(), Error> {
        let issuer = Issuer::new(cluster_params(host)?, KeyPair::from_pem(&self.key)?);
        let client_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        let (name, group) = ADMINISTRATOR;
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(days);
        self.client_certificate = params.signed_by(&client_key, &issuer)?.pem();
        self.client_key = client_key.serialize_pem();
        Ok(())
    }
}

impl Authority {
    /// Restores a stored authority. As in AKS, the client certificate is replaced before it expires: when less than a fifth of
    /// [`CLIENT_VALIDITY_DAYS`] remains.
    pub(crate) fn restore(mut stored: StoredAuthority, host: &str) -> Result<Self, Error> {
        let authority = Self::new(stored.clone(), host)?;
        let valid_until_secs =
            UnixTime::now().as_secs() + u64::from(CLIENT_VALIDITY_DAYS / 5) * DAY.as_secs();
        let client = parse_certificate(&stored.client_certificate)?;
        let valid_until = UnixTime::since_unix_epoch(Duration::from_secs(valid_until_secs));
        if authority.client_verifier.verify_client_cert(&client, &[], valid_until).is_ok() {
            return Ok(authority);
        }
        stored.renew_client(host, CLIENT_VALIDITY_DAYS)?;
        Self::new(stored, host)
    }

    /// Parses a stored authority, and issues a new server certificate, which is not stored.
    pub(crate) fn new(stored: StoredAuthority, host: &str) -> Result<Self, Error> {
        let issuer = Issuer::new(cluster_params(host)?, KeyPair::from_pem(&stored.key)?);
        let (leaf, key) = issue_leaf("apiserver", vec![host.to_owned()], &issuer)?;
        let provider = serve::crypto_provider();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let key = provider.key_provider.load_private_key(key.into())?;

        let mut roots = RootCertStore::empty();
        roots.add(parse_certificate(&stored.certificate)?)?;
        let client_verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
        let client_verifier = client_verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self {
            server: Arc::new(CertifiedKey::new(vec![leaf.der().clone()], key)),
            signer: KeyPair::from_pem(&stored.token_key)?,
            client_verifier,
            stored,
        })
    }

    /// Whether a client's certificate chain ends at this authority, which issues client certificates to the administrator
    /// only.
    pub(crate) fn is_administrator(&self, chain: &[CertificateDer<'static>]) -> bool {
        let Some((first, rest)) = chain.split_first() else { return false };
        // Certificates use the machine's clock, not that of the sandbox.
        self.client_verifier.verify_client_cert(first, rest, UnixTime::now()).is_ok()
    }
}

/// The parameters of an authority that is constrained to one host.
fn cluster_params(host: &str) -> Result<CertificateParams, Error> {
    authority_params("ca", vec![GeneralSubtree::DnsName(host.to_owned())], 2054)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_certificate_is_replaced_before_it_expires() {
        let host = "a.hcp.eastus.azmk8s.io";
        let mut stored = StoredAuthority::generate(host).unwrap();
        let restore = |stored: &StoredAuthority| Authority::restore(stored.clone(), host).unwrap();
        assert_eq!(restore(&stored).stored.client_certificate, stored.client_certificate);
        let old_chain = vec![parse_certificate(&stored.client_certificate).unwrap()];
        stored.renew_client(host, CLIENT_VALIDITY_DAYS / 6).unwrap();
        let restored = restore(&stored);
        assert_ne!(restored.stored.client_certificate, stored.client_certificate);
        assert_eq!(restored.stored.certificate, stored.certificate, "the authority is unchanged");
        assert!(restored.is_administrator(&old_chain), "older certificates are valid until they expire");
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
        let restored =
            Authority::new(serde_json::from_value(serde_json::to_value(&ours).unwrap()).unwrap(), host);
        assert!(restored.unwrap().is_administrator(&chain(&ours)), "after a restart");
    }
}
