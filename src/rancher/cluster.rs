//! A cluster object of Rancher's Kubernetes API, with the fields that `aksUpgrades` uses.

use aks::versions;
use serde::Deserialize;

/// The version, region and name of an AKS cluster.
#[derive(Debug, Default, Deserialize)]
pub struct Cluster {
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
struct Spec {
    #[serde(rename = "aksConfig")]
    aks_config: Option<AksConfig>,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(rename = "aksStatus")]
    aks_status: Option<AksStatus>,
    version: Option<Version>,
}

#[derive(Debug, Default, Deserialize)]
struct AksStatus {
    #[serde(rename = "upstreamSpec")]
    upstream_spec: Option<AksConfig>,
}

#[derive(Debug, Default, Deserialize)]
struct Version {
    #[serde(rename = "gitVersion")]
    git_version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AksConfig {
    kubernetes_version: Option<String>,
    resource_location: Option<String>,
    resource_group: Option<String>,
    cluster_name: Option<String>,
}

impl Cluster {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The configuration in the specification, and the one that Azure reported.
    fn configs(&self) -> [Option<&AksConfig>; 2] {
        let upstream = self.status.aks_status.as_ref().and_then(|status| status.upstream_spec.as_ref());
        [self.spec.aks_config.as_ref(), upstream]
    }

    fn first_non_empty(&self, field: impl Fn(&AksConfig) -> &Option<String>) -> Option<String> {
        let values = self.configs().into_iter().flatten().filter_map(|config| field(config).clone());
        values.into_iter().find(|value| !value.is_empty())
    }

    /// The version in the specification, otherwise the one that Azure reported.
    pub fn stated_version(&self) -> Option<String> {
        self.first_non_empty(|config| &config.kubernetes_version)
    }

    /// The version that the control plane runs.
    pub fn running_version(&self) -> Option<String> {
        let git_version = self.status.version.as_ref().and_then(|version| version.git_version.as_deref());
        let [stated, upstream] = self.configs();
        let configured = [upstream, stated].map(|config| config?.kubernetes_version.as_deref());
        versions::running(None, git_version, configured)
    }

    /// The region that Azure reported, otherwise the one in the specification.
    pub fn region(&self) -> Option<String> {
        let [_, upstream] = self.configs();
        upstream.and_then(|upstream| upstream.resource_location.clone()).or_else(|| self.stated_region())
    }

    /// The region in the specification.
    pub fn stated_region(&self) -> Option<String> {
        let [stated, _] = self.configs();
        stated?.resource_location.clone()
    }

    pub fn resource_group(&self) -> Option<String> {
        self.first_non_empty(|config| &config.resource_group)
    }

    /// The name in AKS.
    pub fn name(&self) -> Option<String> {
        self.first_non_empty(|config| &config.cluster_name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn specification_takes_precedence_except_for_the_region() {
        let upstream = json!({"kubernetesVersion": "1.32.1", "resourceLocation": "westeurope"});
        let cluster = |config: serde_json::Value| {
            let object = json!({
                "spec": {"aksConfig": config},
                "status": {"aksStatus": {"upstreamSpec": upstream}, "version": {"gitVersion": "v1.32.1"}},
            });
            Cluster::parse(object.to_string().as_bytes()).unwrap()
        };
        let managed =
            cluster(json!({"kubernetesVersion": "1.33.0", "resourceLocation": "eastus", "clusterName": "a"}));
        assert_eq!(managed.stated_version().as_deref(), Some("1.33.0"));
        assert_eq!(managed.running_version().as_deref(), Some("1.32.1"));
        assert_eq!(
            (managed.stated_region().as_deref(), managed.name().as_deref()),
            (Some("eastus"), Some("a"))
        );
        assert_eq!(managed.region().as_deref(), Some("westeurope"), "Azure's region takes precedence");
        let imported = cluster(json!({"kubernetesVersion": null}));
        assert_eq!(imported.stated_version().as_deref(), Some("1.32.1"));
        assert_eq!(imported.region().as_deref(), Some("westeurope"));
        assert_eq!(Cluster::parse(b"{}").unwrap().stated_version(), None);
    }
}
