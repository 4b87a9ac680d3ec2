//! Provisioning as pure decisions: Azure's response as a specification ([`upstream`]), request bodies ([`manifest`]),
//! differences ([`difference`]), the next step ([`plan`]) and the deployment of the agent ([`agent`]). The server sends the
//! requests to Azure.

pub mod agent;
pub mod difference;
pub mod imported;
pub mod manifest;
pub(crate) mod message;
pub mod plan;
pub(crate) mod plan_input;
pub mod preview;
pub mod refresh;
pub mod upstream;
pub mod usable;
pub mod workspace;

/// The tag that marks clusters of this server: `<instance>/<cluster id>`. Hidden from users.
pub const OWNER_TAG: &str = "norman-aks-owner";
