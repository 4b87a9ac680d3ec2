//! What is known about a cluster, as it is kept beside its specification (contract, section 13).

use serde::{Deserialize, Serialize};

use super::spec::AksConfig;

/// The known facts; each may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterStatus {
    /// What Azure says the cluster is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_spec: Option<AksConfig>,
    /// Whether only an agent can reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_requires_tunnel: Option<bool>,
    /// Whether it checks rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rbac_enabled: Option<bool>,
}

impl ClusterStatus {
    /// Reads it back from the text that [`ClusterStatus::to_text`] made.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// As JSON, for keeping.
    pub fn to_text(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// What a cluster is doing, in the words that clients wait for (terraform contract, section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Until it is active for the first time.
    Provisioning,
    /// From the answer to a DELETE on.
    Removing,
}

impl State {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Removing => "removing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_comes_back_as_it_was() {
        let upstream_spec =
            Some(AksConfig { kubernetes_version: Some("1.31.8".to_owned()), ..Default::default() });
        let status = ClusterStatus { upstream_spec, rbac_enabled: Some(true), ..ClusterStatus::default() };
        assert_eq!(ClusterStatus::from_text(&status.to_text()).unwrap(), status);
        assert_eq!(ClusterStatus::default().to_text(), "{}");
    }
}
