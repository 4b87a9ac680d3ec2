//! The settings of a server alongside Rancher.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::error::{ConfigError, Origin};
use super::layers::Layers;
use super::settings::{self as s, Setting};
use super::{parse, read_with_default};

/// Settings that are rejected alongside Rancher, because they only concern a server with a database.
const STORAGE_SETTINGS: [&Setting; 10] = [
    &s::DATABASE_URL,
    &s::DATABASE_POOL,
    &s::DATABASE_WAIT_SECONDS,
    &s::NO_MIGRATE,
    &s::ENCRYPTION_KEY_FILE,
    &s::BOOTSTRAP_TOKEN,
    &s::AUDIT_DAYS,
    &s::INTERNAL_LISTEN,
    &s::INTERNAL_ADDRESS,
    &s::CLUSTER_REVIEW,
];

/// The Rancher that the server runs beside.
#[derive(Clone, Debug)]
pub struct Rancher {
    pub url: Url,
    /// Rancher's public host name, if it differs from the host of `url`.
    pub host: Option<String>,
    pub ca_file: Option<PathBuf>,
    /// The SHA-256 of the certificate authorities that Rancher publishes.
    pub ca_checksum: Option<String>,
    /// The time for which Rancher's decision that a caller may use a credential is cached.
    pub decision_ttl: Duration,
    /// The host name under which the catalog is served; `None` if it is not served.
    pub catalog_host: Option<String>,
}

impl Rancher {
    /// Reads the settings; `None` without `rancher-url`, which the other settings require.
    pub(super) fn read(layers: &Layers) -> Result<Option<Self>, ConfigError> {
        let url = layers.read(&s::RANCHER_URL, parse::rancher_url)?;
        let host = layers.read(&s::RANCHER_HOST, parse::host_name)?;
        let ca_file = layers.get(&s::RANCHER_CA_FILE).map(|value| PathBuf::from(&value.text));
        let ca_checksum = layers.read(&s::RANCHER_CA_CHECKSUM, parse::sha256)?;
        let decision_ttl = read_with_default(layers, &s::RANCHER_DECISION_SECONDS, |text| {
            parse::seconds(text, 0..=60, "a number of seconds from 0 to 60")
        })?;
        let catalog_host = layers.read(&s::CATALOG_HOST, parse::host_name)?;
        let Some(url) = url else {
            let dependent_settings = [
                &s::RANCHER_HOST,
                &s::RANCHER_CA_FILE,
                &s::RANCHER_CA_CHECKSUM,
                &s::RANCHER_DECISION_SECONDS,
                &s::CATALOG_HOST,
            ];
            return match dependent_settings.into_iter().find_map(|setting| configured(layers, setting)) {
                Some((setting, origin)) => {
                    Err(ConfigError::Incomplete { setting, origin, missing: &s::RANCHER_URL })
                }
                None => Ok(None),
            };
        };
        for setting in STORAGE_SETTINGS {
            if let Some((_, origin)) = configured(layers, setting) {
                return Err(ConfigError::NotBesideRancher { setting: setting.name, origin });
            }
        }
        if let (Some(file), Some(checksum)) =
            (layers.get(&s::RANCHER_CA_FILE), layers.get(&s::RANCHER_CA_CHECKSUM))
        {
            return Err(ConfigError::Exclusive {
                setting: s::RANCHER_CA_FILE.name,
                other: s::RANCHER_CA_CHECKSUM.name,
                origins: Box::new((file.origin.clone(), checksum.origin.clone())),
            });
        }
        if let Some(catalog) = &catalog_host
            && (Some(catalog) == host.as_ref() || Some(catalog.as_str()) == url.host_str())
            && let Some((_, origin)) = configured(layers, &s::CATALOG_HOST)
        {
            return Err(ConfigError::RancherHost { setting: s::CATALOG_HOST.name, origin });
        }
        Ok(Some(Self { url, host, ca_file, ca_checksum, decision_ttl, catalog_host }))
    }
}

/// The name and origin of a setting whose value is not the default.
fn configured(layers: &Layers, setting: &'static Setting) -> Option<(&'static str, Origin)> {
    let value = layers.get(setting).filter(|value| value.origin != Origin::Default)?;
    Some((setting.name, value.origin.clone()))
}
