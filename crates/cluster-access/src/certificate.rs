//! The expiry of a client certificate.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, RootCertStore};

/// The expiry of the first certificate of a chain, in milliseconds since 1970. Both arguments are PEM.
///
/// rustls has no function that reads it. A verification at a time in the far future fails, and the error contains the expiry.
pub(super) fn expires_ms(chain: &[u8], ca: &[u8]) -> Option<i64> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().ok()?;
    let (certificate, intermediates) = chain.split_first()?;
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(ca) {
        roots.add(root.ok()?).ok()?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().ok()?;
    let end_of_time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::MAX));
    match verifier.verify_client_cert(certificate, intermediates, end_of_time) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            i64::try_from(not_after.as_secs()).ok()?.checked_mul(1_000)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    #[test]
    fn expiry_is_read_for_any_issuer() {
        let authority = || {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let certificate = params.self_signed(&key).unwrap().pem();
            (certificate, Issuer::new(params, key))
        };
        let ((own_ca, issuer), (other_ca, _)) = (authority(), authority());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let client = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem();
        for ca in [own_ca, other_ca] {
            assert_eq!(expires_ms(client.as_bytes(), ca.as_bytes()), Some(1_927_843_200_000));
            assert_eq!(expires_ms(b"no PEM", ca.as_bytes()), None);
        }
        assert_eq!(expires_ms(client.as_bytes(), b""), None);
    }
}
