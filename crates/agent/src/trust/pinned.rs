//! Verification with the certificates that the server publishes.

use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier as _};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

/// Trusts certificates signed by the published authorities, and the published certificates themselves.
///
/// A self-signed server certificate, as created by `openssl req -x509`, is marked as an authority. Rancher's agents accept
/// authorities as server certificates, but webpki rejects them.
#[derive(Debug)]
pub(super) struct PublishedAuthorities {
    certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl PublishedAuthorities {
    pub(super) fn new(
        certificates: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            let outcome = roots.add(certificate.clone());
            outcome.map_err(|error| format!("cacerts has an invalid certificate: {error}"))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { certificates, verifier: verifier.map_err(|error| error.to_string())? })
    }

    pub(super) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let outcome =
            self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match outcome {
            // webpki has already checked the validity period, but not the name.
            Err(Error::InvalidCertificate(error))
                if is_ca_used_as_end_entity(&error) && self.certificates.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }
}

/// Whether a certificate was rejected only because it is marked as an authority.
pub(super) fn is_ca_used_as_end_entity(error: &CertificateError) -> bool {
    // rustls has no variant for this error.
    matches!(error, CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NAME: &str = "server.test";

    /// A certificate for [`NAME`] that is its own authority.
    fn self_signed() -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    /// The error of the verification; empty if the certificate is trusted.
    fn verification_error(
        published: &CertificateDer<'static>,
        presented: &CertificateDer<'_>,
        name: &str,
        year: u64,
    ) -> String {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = PublishedAuthorities::new(vec![published.clone()], provider).unwrap();
        // 30 days make up for the leap days that years of 365 days omit.
        let now = UnixTime::since_unix_epoch(Duration::from_hours((year - 1970) * 365 * 24 + 24 * 30));
        let name = ServerName::try_from(name).unwrap();
        verifier
            .verify(presented, &[], &name, &[], now)
            .map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn published_self_signed_certificate_must_match_name_and_period() {
        let (published, other) = (self_signed(), self_signed());
        assert_eq!(verification_error(&published, &published, NAME, 2025), "");
        let error = verification_error(&published, &published, "other.test", 2025);
        assert!(error.contains("not valid for name \"other.test\""), "{error}");
        let error = verification_error(&published, &published, NAME, 2031);
        assert!(error.contains("expired"), "{error}");
        let error = verification_error(&published, &published, NAME, 2019);
        assert!(error.contains("not valid yet"), "{error}");
        let error = verification_error(&published, &other, NAME, 2025);
        assert!(error.contains("CaUsedAsEndEntity"), "{error}");
    }
}
