//! The three clouds and their host names. The sandbox does not share this table with the code that it tests.

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

impl Cloud {
    pub(crate) fn management_host(self) -> &'static str {
        match self {
            Self::Public => "management.azure.com",
            Self::China => "management.chinacloudapi.cn",
            Self::UsGovernment => "management.usgovcloudapi.net",
        }
    }

    pub(crate) fn login_host(self) -> &'static str {
        match self {
            Self::Public => "login.microsoftonline.com",
            Self::China => "login.chinacloudapi.cn",
            Self::UsGovernment => "login.microsoftonline.us",
        }
    }

    /// The suffix of cluster host names, after the region.
    pub(crate) fn cluster_suffix(self) -> &'static str {
        match self {
            Self::Public => "azmk8s.io",
            Self::China => "cx.prod.service.azk8s.cn",
            Self::UsGovernment => "cx.aks.containerservice.azure.us",
        }
    }

    /// The login host that Resource Manager names in `WWW-Authenticate`.
    pub(crate) fn challenge_host(self) -> &'static str {
        match self {
            Self::Public => "login.windows.net",
            other => other.login_host(),
        }
    }

    /// The host in the issuer of tokens.
    pub(crate) fn issuer_host(self) -> &'static str {
        match self {
            Self::China => "sts.chinacloudapi.cn",
            Self::Public | Self::UsGovernment => "sts.windows.net",
        }
    }

    /// The audiences of Resource Manager, without the trailing slash.
    pub(crate) fn audiences(self) -> [&'static str; 2] {
        match self {
            Self::Public => ["https://management.core.windows.net", "https://management.azure.com"],
            Self::China => {
                ["https://management.core.chinacloudapi.cn", "https://management.chinacloudapi.cn"]
            }
            Self::UsGovernment => {
                ["https://management.core.usgovcloudapi.net", "https://management.usgovcloudapi.net"]
            }
        }
    }

    /// The Microsoft Graph of the cloud.
    pub(crate) fn graph_host(self) -> &'static str {
        match self {
            Self::Public => "graph.microsoft.com",
            Self::China => "microsoftgraph.chinacloudapi.cn",
            Self::UsGovernment => "graph.microsoft.us",
        }
    }

    /// `cloud_instance_name` of the OpenID configuration.
    pub(crate) fn instance_name(self) -> &'static str {
        match self {
            Self::Public => "microsoftonline.com",
            Self::China => "partner.microsoftonline.cn",
            Self::UsGovernment => "microsoftonline.us",
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
            assert_eq!(resolve(cloud.management_host()), Some((cloud, Service::Management)));
            assert_eq!(resolve(cloud.login_host()), Some((cloud, Service::Login)));
            assert_eq!(resolve(cloud.challenge_host()), Some((cloud, Service::Login)));
        }
        assert_eq!(resolve("MANAGEMENT.azure.com"), Some((Cloud::Public, Service::Management)));
        assert_eq!(resolve("example.com"), None);
    }
}
