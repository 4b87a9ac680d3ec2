//! The Kubernetes versions of a cloud, and their upgrade paths.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The maximum number of minor versions between control plane and nodes.
const MAX_MINOR_SKEW: u32 = 3;

/// All versions of a cloud.
#[derive(Debug, Default)]
pub(crate) struct KubernetesVersions(Vec<Minor>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Minor {
    version: String,
    #[serde(default)]
    is_default: bool,
    #[serde(default)]
    is_preview: bool,
    capabilities: Capabilities,
    patch_versions: HashMap<String, Patch>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Capabilities {
    support_plan: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Patch {
    upgrades: Vec<String>,
}

/// Parses a version into major, minor and patch, which defaults to 0.
pub(crate) fn parse_version(version: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = version.splitn(3, '.').map(str::parse::<u32>);
    let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((major, minor, numbers.next().map_or(Some(0), Result::ok)?))
}

/// Whether a cluster of the version `cluster` supports nodes of the version `pool`.
pub(crate) fn is_compatible(pool: &str, cluster: &str) -> bool {
    let (Some(pool), Some(cluster)) = (parse_version(pool), parse_version(cluster)) else { return false };
    let ((pool_major, pool_minor, _), (major, minor, _)) = (pool, cluster);
    pool <= cluster && pool_major == major && minor - pool_minor <= MAX_MINOR_SKEW
}

impl KubernetesVersions {
    pub(crate) fn parse(minors: &[Box<RawValue>]) -> Result<Self, serde_json::Error> {
        minors.iter().map(|minor| serde_json::from_str(minor.get())).collect::<Result<_, _>>().map(Self)
    }

    fn minor(&self, patch: &str) -> Option<&Minor> {
        self.0.iter().find(|minor| minor.patch_versions.contains_key(patch))
    }

    /// The full version for `requested`: for a minor version its newest patch, for an empty string that of the default minor
    /// version. `None` if the version does not exist.
    pub(crate) fn resolve(&self, requested: &str) -> Option<&str> {
        if let Some((patch, _)) =
            self.0.iter().find_map(|minor| minor.patch_versions.get_key_value(requested))
        {
            return Some(patch);
        }
        let minor = self
            .0
            .iter()
            .find(|minor| if requested.is_empty() { minor.is_default } else { minor.version == requested })?;
        minor.patch_versions.keys().max_by_key(|patch| parse_version(patch)).map(String::as_str)
    }

    /// Like [`Self::resolve`], but the newest patch of a minor version is at most the version `max`.
    pub(crate) fn resolve_within(&self, requested: &str, max: &str) -> Option<&str> {
        let minor = self.0.iter().find(|minor| minor.version == requested);
        let Some(minor) = minor else { return self.resolve(requested) };
        let candidates =
            minor.patch_versions.keys().filter(|patch| parse_version(patch) <= parse_version(max));
        candidates.max_by_key(|patch| parse_version(patch)).map(String::as_str)
    }

    /// The upgrades from a version, in Azure's order; empty if it is no longer offered.
    pub(crate) fn upgrades(&self, from: &str) -> &[String] {
        self.minor(from)
            .and_then(|minor| minor.patch_versions.get(from))
            .map(|patch| patch.upgrades.as_slice())
            .unwrap_or_default()
    }

    /// The upgrades from a version that the support plan of a cluster permits.
    pub(crate) fn upgrades_for(&self, from: &str, has_long_term_support: bool) -> Vec<&String> {
        let is_allowed = |version: &&String| has_long_term_support || !self.is_long_term_only(version);
        self.upgrades(from).iter().filter(is_allowed).collect()
    }

    pub(crate) fn is_preview(&self, patch: &str) -> bool {
        self.minor(patch).is_some_and(|minor| minor.is_preview)
    }

    /// Whether the version requires long-term support.
    pub(crate) fn is_long_term_only(&self, patch: &str) -> bool {
        self.minor(patch).is_some_and(|minor| {
            let plans = &minor.capabilities.support_plan;
            plans.iter().all(|plan| plan == "AKSLongTermSupport")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clouds::Cloud;
    use crate::data::Catalog;

    #[test]
    fn short_versions_resolve_to_the_newest_patch() {
        let catalog = Catalog::load().unwrap();
        let versions = catalog.kubernetes_versions(Cloud::Public);
        for (requested, expected) in [
            ("1.32.7", Some("1.32.7")),
            ("1.32", Some("1.32.10")),
            ("", Some("1.33.6")),
            ("1.32.99", None),
            ("1.9", None),
            ("nonsense", None),
        ] {
            assert_eq!(versions.resolve(requested), expected, "{requested}");
        }
        assert_eq!(versions.resolve_within("1.32", "1.32.7"), Some("1.32.7"));
        assert_eq!(versions.resolve_within("1.32", "1.33.1"), Some("1.32.10"));
        assert!(versions.upgrades("1.32.7").contains(&"1.33.3".to_owned()));
        assert!(versions.upgrades("1.5.0").is_empty());
        assert!(versions.is_preview("1.35.0") && !versions.is_preview("1.33.0"));
        assert!(!versions.is_long_term_only("1.32.7"));
    }

    #[test]
    fn node_versions_respect_the_version_skew() {
        for (pool, cluster, expected) in [
            ("1.32.7", "1.32.7", true),
            ("1.32.7", "1.33.0", true),
            ("1.30.0", "1.33.3", true),
            ("1.29.9", "1.33.3", false),
            ("1.33.0", "1.32.9", false),
            ("1.32.8", "1.32.7", false),
            ("x", "1.32.7", false),
        ] {
            assert_eq!(is_compatible(pool, cluster), expected, "{pool} in {cluster}");
        }
    }
}
