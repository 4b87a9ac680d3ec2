//! The built-in data, from the JSON files in `data`, which were written for this project. `templates.rs` replaces
//! placeholders such as `{subscription}`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clouds::Cloud;
use crate::seed::Account;
use crate::skus::family::Family;
use crate::versions::KubernetesVersions;

/// An invalid file of the built-in data.
#[derive(Debug, thiserror::Error)]
#[error("the built-in data {file} cannot be read")]
pub struct Error {
    file: &'static str,
    #[source]
    source: serde_json::Error,
}

/// The built-in data; no request changes it.
pub(crate) struct Catalog {
    pub(crate) regions: Vec<Region>,
    pub(crate) families: Vec<Family>,
    pub(crate) versions: Versions,
    /// The parsed `versions`: those of the public cloud, then those of the national clouds.
    kubernetes_versions: [KubernetesVersions; 2],
    /// The api-versions of each lower-case resource type, oldest first.
    pub(crate) api_versions: HashMap<String, Vec<String>>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) groups: Vec<Box<RawValue>>,
    pub(crate) networks: Vec<Box<RawValue>>,
    pub(crate) clusters: Vec<Box<RawValue>>,
}

/// The Kubernetes versions of the public cloud and of the two national clouds, as entries of `values` in Azure's response.
#[derive(Deserialize)]
pub(crate) struct Versions {
    pub(crate) public: Vec<Box<RawValue>>,
    pub(crate) national: Vec<Box<RawValue>>,
}

/// A physical or logical region.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Region {
    pub(crate) cloud: Cloud,
    pub(crate) name: String,
    pub(crate) display_name: String,
    #[serde(default)]
    pub(crate) logical: bool,
    #[serde(default)]
    pub(crate) group: String,
    #[serde(default)]
    pub(crate) geography: String,
    #[serde(default)]
    pub(crate) place: String,
    #[serde(default)]
    pub(crate) latitude: String,
    #[serde(default)]
    pub(crate) longitude: String,
    #[serde(default)]
    pub(crate) paired: Vec<String>,
    /// The number of availability zones.
    #[serde(default)]
    pub(crate) zones: u8,
    #[serde(default)]
    pub(crate) recommended: bool,
}

macro_rules! read {
    ($file:literal) => {
        serde_json::from_str(include_str!(concat!("data/", $file)))
            .map_err(|source| Error { file: $file, source })
    };
}

impl Catalog {
    pub(crate) fn load() -> Result<Self, Error> {
        let api_versions: HashMap<String, Vec<String>> = read!("api-versions.json")?;
        let versions: Versions = read!("kubernetes-versions.json")?;
        let parse_versions = |list| {
            KubernetesVersions::parse(list)
                .map_err(|source| Error { file: "kubernetes-versions.json", source })
        };
        Ok(Self {
            kubernetes_versions: [parse_versions(&versions.public)?, parse_versions(&versions.national)?],
            regions: read!("regions.json")?,
            families: read!("vm-families.json")?,
            versions,
            api_versions: api_versions
                .into_iter()
                .map(|(kind, versions)| (kind.to_ascii_lowercase(), versions))
                .collect(),
            accounts: read!("accounts.json")?,
            groups: read!("resource-groups.json")?,
            networks: read!("virtual-networks.json")?,
            clusters: read!("managed-clusters.json")?,
        })
    }

    /// The physical region with a name such as `East US` or `eastus`.
    pub(crate) fn region(&self, cloud: Cloud, name: &str) -> Option<&Region> {
        let name: String = name.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_lowercase()).collect();
        self.physical_regions(cloud).find(|region| region.name == name)
    }

    /// The Kubernetes versions of a cloud.
    pub(crate) fn kubernetes_versions(&self, cloud: Cloud) -> &KubernetesVersions {
        let [public, national] = &self.kubernetes_versions;
        if cloud == Cloud::Public { public } else { national }
    }

    /// The physical regions of a cloud.
    pub(crate) fn physical_regions(&self, cloud: Cloud) -> impl Iterator<Item = &Region> {
        self.regions.iter().filter(move |region| region.cloud == cloud && !region.logical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_data_covers_all_clouds() {
        let catalog = Catalog::load().unwrap();
        for (cloud, min_count) in [(Cloud::Public, 40), (Cloud::China, 4), (Cloud::UsGovernment, 4)] {
            assert!(catalog.physical_regions(cloud).count() >= min_count, "{cloud:?}");
        }
        assert!(catalog.region(Cloud::Public, "East US").is_some());
        assert!(catalog.region(Cloud::China, "eastus").is_none());
        assert!(catalog.region(Cloud::Public, "europe").is_none(), "a logical region hosts nothing");
    }
}
