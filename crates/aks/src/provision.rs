//! Provisioning, as far as it can be decided without asking anybody: what Azure's answer means for a cluster
//! ([`upstream`]), what is sent to Azure ([`manifest`]), what differs between the two ([`difference`]) and what is to be
//! done next ([`plan`]). Who asks Azure and acts is not here.

pub mod difference;
pub mod imported;
pub mod manifest;
pub mod plan;
pub mod preview;
pub mod refresh;
pub mod upstream;
pub mod usable;
pub mod workspace;

/// The tag by which a cluster in Azure is known as made here: `<instance>/<cluster id>`. Never shown to users.
pub const OWNER_TAG: &str = "norman-aks-owner";
