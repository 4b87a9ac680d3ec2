//! Client secret credentials.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::cloud::Cloud;
use crate::error::Error;

/// A service principal, a subscription and their cloud. `Debug` omits the secret.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The cloud.
    pub cloud: Cloud,
    /// The ID or a domain name of the tenant.
    pub tenant_id: String,
    /// The subscription. Tokens do not depend on it.
    pub subscription_id: String,
    /// The ID of the application.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: SecretString,
    /// Identifies cloud, tenant, client and secret.
    pub fingerprint: Fingerprint,
}

impl Credential {
    /// Checks the values without a request, in the order of Azure's Go libraries (`docs/contract/azure.md#tokens`).
    pub(super) fn check(&self) -> Result<(), Error> {
        if !is_valid_tenant(&self.tenant_id) {
            return Err(Error::InvalidTenant);
        }
        if self.client_secret.expose_secret().is_empty() {
            return Err(Error::EmptySecret);
        }
        if self.client_id.is_empty() {
            return Err(Error::EmptyClient);
        }
        if self.subscription_id.is_empty() {
            return Err(Error::EmptySubscription);
        }
        Ok(())
    }
}

/// ASCII letters, digits, dots and hyphens, but not only dots: `.` and `..` would be resolved in the URL of the token endpoint.
fn is_valid_tenant(tenant_id: &str) -> bool {
    tenant_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && tenant_id.bytes().any(|byte| byte != b'.')
}

/// A keyed hash of cloud, tenant, client and secret. Credentials with equal fingerprints share tokens, so different secrets
/// must have different fingerprints.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, fourth, ..] = self.0;
        write!(f, "Fingerprint({first:02x}{second:02x}{third:02x}{fourth:02x}…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential() -> Credential {
        Credential {
            cloud: Cloud::Public,
            tenant_id: "contoso.example".to_owned(),
            subscription_id: "s".to_owned(),
            client_id: "c".to_owned(),
            client_secret: SecretString::from("canary"),
            fingerprint: Fingerprint([0xab; 32]),
        }
    }

    #[test]
    fn missing_values_are_checked_in_azures_order() {
        let mut bad = credential();
        assert!(bad.check().is_ok());
        bad.subscription_id.clear();
        assert!(matches!(bad.check(), Err(Error::EmptySubscription)));
        bad.client_id.clear();
        assert!(matches!(bad.check(), Err(Error::EmptyClient)));
        bad.client_secret = SecretString::from("");
        assert!(matches!(bad.check(), Err(Error::EmptySecret)));
        bad.tenant_id.clear();
        assert!(matches!(bad.check(), Err(Error::InvalidTenant)));
    }

    #[test]
    fn tenant_has_letters_digits_dots_and_hyphens() {
        for good in ["72f988bf-86f1-41af-91ab-2d7cd011db47", "contoso.onmicrosoft.com", "A-1.z", "-"] {
            assert!(is_valid_tenant(good), "{good}");
        }
        for bad in ["", ".", "..", "...", "a/b", "a b", "ä", "a%2fb", "a_b", "a\n"] {
            assert!(!is_valid_tenant(bad), "{bad:?}");
        }
    }

    #[test]
    fn debug_omits_secret_and_shortens_fingerprint() {
        let text = format!("{:?}", credential());
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("Fingerprint(abababab…)"), "{text}");
    }
}
