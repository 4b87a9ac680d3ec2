//! Azure's three clouds and their URLs. Other clouds are not supported.

/// A cloud of Azure (`docs/contract/azure.md#clouds`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cloud {
    /// The public cloud.
    #[default]
    Public,
    /// Operated by 21Vianet.
    China,
    /// For government agencies of the United States.
    UsGovernment,
}

impl Cloud {
    /// All clouds.
    pub const ALL: [Self; 3] = [Self::Public, Self::China, Self::UsGovernment];

    /// The cloud with an environment name. The comparison is exact; all other names, including the empty one and the closed
    /// `AzureGermanCloud`, mean the public cloud.
    pub fn from_environment(name: &str) -> Self {
        match name {
            "AzureChinaCloud" => Self::China,
            "AzureUSGovernmentCloud" => Self::UsGovernment,
            _ => Self::Public,
        }
    }

    /// The environment name, for example `AzurePublicCloud`.
    pub fn environment(self) -> &'static str {
        match self {
            Self::Public => "AzurePublicCloud",
            Self::China => "AzureChinaCloud",
            Self::UsGovernment => "AzureUSGovernmentCloud",
        }
    }

    /// Scheme and host of Azure Resource Manager, without a trailing slash.
    pub fn arm_origin(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com",
            Self::China => "https://management.chinacloudapi.cn",
            Self::UsGovernment => "https://management.usgovcloudapi.net",
        }
    }

    /// The audience of tokens; ends with a slash.
    pub fn audience(self) -> &'static str {
        match self {
            Self::Public => "https://management.core.windows.net/",
            Self::China => "https://management.core.chinacloudapi.cn/",
            Self::UsGovernment => "https://management.core.usgovcloudapi.net/",
        }
    }

    /// The URL of the login service; ends with a slash.
    pub fn login_authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com/",
            Self::China => "https://login.chinacloudapi.cn/",
            Self::UsGovernment => "https://login.microsoftonline.us/",
        }
    }

    /// The host of [`Cloud::arm_origin`].
    pub fn arm_host(self) -> &'static str {
        self.arm_origin().trim_start_matches("https://")
    }

    /// The host of [`Cloud::login_authority`].
    pub fn login_host(self) -> &'static str {
        self.login_authority().trim_start_matches("https://").trim_end_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_names_mean_another_cloud() {
        for (name, cloud) in [
            ("AzurePublicCloud", Cloud::Public),
            ("AzureChinaCloud", Cloud::China),
            ("AzureUSGovernmentCloud", Cloud::UsGovernment),
            ("azurechinacloud", Cloud::Public),
            ("AzureGermanCloud", Cloud::Public),
            ("", Cloud::Public),
        ] {
            assert_eq!(Cloud::from_environment(name), cloud, "{name}");
        }
    }

    #[test]
    fn each_cloud_has_its_own_name_and_urls() {
        for cloud in Cloud::ALL {
            assert_eq!(Cloud::from_environment(cloud.environment()), cloud);
            assert_eq!(format!("https://{}", cloud.arm_host()), cloud.arm_origin());
            assert_eq!(format!("https://{}/", cloud.login_host()), cloud.login_authority());
            assert!(cloud.audience().ends_with('/'));
            for other in Cloud::ALL.into_iter().filter(|other| *other != cloud) {
                assert_ne!(cloud.arm_host(), other.arm_host());
                assert_ne!(cloud.login_host(), other.login_host());
                assert_ne!(cloud.audience(), other.audience());
            }
        }
    }
}
