//! Checks whether a cluster that was active can be used: it exists, it was not replaced by another one, and it is running.

use super::message;
use super::plan_input::{PlanInput, is_ours, is_stopped};

/// The reason why a cluster that was active cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It no longer exists in Azure, or another cluster has its name.
    Gone(String),
    /// It is stopped in Azure.
    Stopped(String),
    /// Azure's response is incomplete.
    Unreadable(String),
}

impl Unusable {
    /// The message.
    pub fn message(&self) -> &str {
        match self {
            Self::Gone(message) | Self::Stopped(message) | Self::Unreadable(message) => message,
        }
    }
}

/// The reason why a cluster that was active cannot be used; `None` if it can.
pub fn unusable(input: &PlanInput<'_>) -> Option<Unusable> {
    let PlanInput { spec, observed, .. } = *input;
    match &observed.cluster {
        None => Some(Unusable::Gone(message::missing_cluster(spec))),
        Some(cluster) if !spec.is_import() && !is_ours(input, cluster) => {
            Some(Unusable::Gone(message::foreign_cluster(spec)))
        }
        Some(_) if observed.upstream.is_none() => {
            Some(Unusable::Unreadable(message::incomplete_cluster(spec)))
        }
        Some(cluster) if is_stopped(cluster) => Some(Unusable::Stopped(message::stopped(spec))),
        Some(_) => None,
    }
}
