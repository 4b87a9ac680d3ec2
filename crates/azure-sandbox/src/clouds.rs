//! The three clouds and their host names. This table is deliberately separate from the table of the code under test.

use serde::{Deserialize, Serialize};

/// A cloud, with its own login service, directories and resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cloud {
    /// The worldwide public cloud.
    #[serde(rename = "AzurePublicCloud")]
    Public,
    /// Operated by 21Vianet.
    #[serde(rename = "AzureChinaCloud")]
    China,
    /// Operated for the US government.
    #[serde(rename = "AzureUSGovernmentCloud")]
    UsGovernment,
}

/// A service of a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Azure Resource Manager.
    Management,
    /// Microsoft Entra.
    Login,
}

/// The host names of the sandbox.
pub(crate) const HOSTS: [&str; 8] = [
    "management.azure.com",
    "login.microsoftonline.com",
    "login.windows.net",
    "management.chinacloudapi.cn",
    "login.chinacloudapi.cn",
    "login.partner.microsoftonline.cn",
    "management.usgovcloudapi.net",
    "login.microsoftonline.us",
];

/// The cloud and service of a host name.
pub(crate) fn resolve(host: &str) -> Option<(Cloud, Service)> {
    Some(match host.to_ascii_lowercase().as_str() {
        "management.azure.com" => (Cloud::Public, Service::Management),
        "login.microsoftonline.com" | "login.windows.net" => (Cloud::Public, Service::Login),
        "management.chinacloudapi.cn" => (Cloud::China, Service::Management),
        "login.chinacloudapi.cn" | "login.partner.microsoftonline.cn" => (Cloud::China, Service::Login),
        "management.usgovcloudapi.net" => (Cloud::UsGovernment, Service::Management),
        "login.microsoftonline.us" => (Cloud::UsGovernment, Service::Login),
        _ => return None,
    })
}

/// The names of a cloud.
pub(crate) struct Names {
    /// The host of Resource Manager.
    pub(crate) management: &'static str,
    /// The host of Microsoft Entra.
    pub(crate) login: &'static str,
    /// The login host that Resource Manager names in `WWW-Authenticate`.
    pub(crate) challenge: &'static str,
    /// The host in the issuer of tokens.
    pub(crate) issuer: &'static str,
    /// The audiences of Resource Manager, without the trailing slash.
    pub(crate) audiences: [&'static str; 2],
    /// The host of Microsoft Graph.
    pub(crate) graph: &'static str,
    /// `cloud_instance_name` of the OpenID configuration.
    pub(crate) instance: &'static str,
    /// The suffix of cluster host names, after the region.
    pub(crate) cluster_suffix: &'static str,
}

const PUBLIC: Names = Names {
    management: "management.azure.com",
    login: "login.microsoftonline.com",
    challenge: "login.windows.net",
    issuer: "sts.windows.net",
    audiences: ["https://management.core.windows.net", "https://management.azure.com"],
    graph: "graph.microsoft.com",
    instance: "microsoftonline.com",
    cluster_suffix: "azmk8s.io",
};

const CHINA: Names = Names {
    management: "management.chinacloudapi.cn",
    login: "login.chinacloudapi.cn",
    challenge: "login.chinacloudapi.cn",
    issuer: "sts.chinacloudapi.cn",
    audiences: ["https://management.core.chinacloudapi.cn", "https://management.chinacloudapi.cn"],
    graph: "microsoftgraph.chinacloudapi.cn",
    instance: "partner.microsoftonline.cn",
    cluster_suffix: "cx.prod.service.azk8s.cn",
};

const US_GOVERNMENT: Names = Names {
    management: "management.usgovcloudapi.net",
    login: "login.microsoftonline.us",
    challenge: "login.microsoftonline.us",
    issuer: "sts.windows.net",
    audiences: ["https://management.core.usgovcloudapi.net", "https://management.usgovcloudapi.net"],
    graph: "graph.microsoft.us",
    instance: "microsoftonline.us",
    cluster_suffix: "cx.aks.containerservice.azure.us",
};

impl Cloud {
    pub(crate) fn names(self) -> &'static Names {
        match self {
            Self::Public => &PUBLIC,
            Self::China => &CHINA,
            Self::UsGovernment => &US_GOVERNMENT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_resolves_to_its_cloud() {
        for host in HOSTS {
            assert!(resolve(host).is_some(), "{host}");
        }
        for cloud in [Cloud::Public, Cloud::China, Cloud::UsGovernment] {
            assert_eq!(resolve(cloud.names().management), Some((cloud, Service::Management)));
            assert_eq!(resolve(cloud.names().login), Some((cloud, Service::Login)));
            assert_eq!(resolve(cloud.names().challenge), Some((cloud, Service::Login)));
        }
        assert_eq!(resolve("MANAGEMENT.azure.com"), Some((Cloud::Public, Service::Management)));
        assert_eq!(resolve("example.com"), None);
    }
}
