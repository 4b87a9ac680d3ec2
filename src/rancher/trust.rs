//! The certificates that Rancher may present.

use std::fmt::Write as _;

use reqwest::{Certificate, ClientBuilder};
use serde::Deserialize;

use super::error::{BuildError, Error};
use crate::vault;

/// The trusted certificate authorities.
#[derive(Clone, Debug, Default)]
pub enum TlsTrust {
    /// Those of the system.
    #[default]
    System,
    /// Those of a file, in PEM.
    Pem(String),
    /// Those that Rancher publishes as its setting `cacerts`, if they have this SHA-256 in hexadecimal.
    Checksum(String),
}

impl TlsTrust {
    /// Adds the authorities of the file. Those that Rancher publishes are added at the first request.
    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, BuildError> {
        let Self::Pem(pem) = self else { return Ok(builder) };
        let roots = Certificate::from_pem_bundle(pem.as_bytes()).map_err(BuildError::Certificate)?;
        if roots.is_empty() { Err(BuildError::NoCertificate) } else { Ok(builder.tls_certs_only(roots)) }
    }
}

/// A setting of Rancher. Other fields are ignored.
#[derive(Deserialize)]
struct Setting {
    value: Option<String>,
}

/// The authorities in the setting `cacerts`, if they have the checksum.
pub(super) fn parse_pinned_roots(setting: &[u8], checksum: &str) -> Result<Vec<Certificate>, Error> {
    let setting: Setting = serde_json::from_slice(setting)
        .map_err(|error| Error::Certificates(format!("cacerts is not the JSON of a setting: {error}")))?;
    let value = setting.value.unwrap_or_default();
    // Rancher hashes the value with one line break at its end. Its agent hashes the output of jq, which always adds one.
    let pem = format!("{}\n", value.trim());
    let hashes = [pem.as_str(), &value, &format!("{value}\n")].map(|text| hex(&vault::token_hash(text)));
    if !hashes.iter().any(|hash| hash == checksum) {
        let [actual, ..] = hashes;
        return Err(Error::Checksum { actual });
    }
    Certificate::from_pem_bundle(pem.as_bytes()).map_err(|error| Error::Certificates(error.to_string()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
