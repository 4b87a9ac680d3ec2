//! Access to one cluster: its endpoint, its certificate authority, and the identity of this server there.

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::certificate;

/// Access to a cluster.
#[derive(Clone, Debug)]
pub struct Access {
    /// The ID of the cluster, by which the sessions of its agents are found.
    pub cluster_id: String,
    /// `https://<host>[:port]`, from Azure.
    pub endpoint: Url,
    /// The cluster's certificate authorities, PEM.
    pub ca: Vec<u8>,
    /// The identity of this server in the cluster.
    pub identity: Identity,
}

impl Access {
    /// Whether both have the same cluster, endpoint, certificate authorities and identity.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.cluster_id == other.cluster_id
            && self.endpoint == other.endpoint
            && self.ca == other.ca
            && self.identity.is_same_as(&other.identity)
    }

    /// The expiry of the client certificate, in milliseconds since 1970; `None` for a token, and for a certificate that
    /// cannot be parsed.
    pub fn certificate_expires_ms(&self) -> Option<i64> {
        match &self.identity {
            Identity::Certificate { certificate, .. } => certificate::expires_ms(certificate, &self.ca),
            Identity::Token(_) | Identity::Anonymous => None,
        }
    }
}

/// An identity in a cluster.
#[derive(Clone, Debug)]
pub enum Identity {
    /// No identity: requests are anonymous.
    Anonymous,
    /// A bearer token.
    Token(SecretString),
    /// A client certificate.
    Certificate {
        /// The chain, PEM.
        certificate: Vec<u8>,
        /// The key, PEM.
        key: SecretString,
    },
}

impl Identity {
    fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::Token(token), Self::Token(other)) => token.expose_secret() == other.expose_secret(),
            (
                Self::Certificate { certificate, key },
                Self::Certificate { certificate: other, key: other_key },
            ) => certificate == other && key.expose_secret() == other_key.expose_secret(),
            _ => false,
        }
    }
}
