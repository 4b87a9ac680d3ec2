//! Whether a complete cluster can be used: it exists, it is the created or imported one, and it is running.

use super::message;
use super::situation::{Situation, is_ours, is_stopped};

/// The reason why a complete cluster cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It no longer exists in Azure, or another one has its name.
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

/// The reason why a complete cluster cannot be used; `None` if it can.
pub fn unusable(situation: &Situation<'_>) -> Option<Unusable> {
    let Situation { spec, observed, .. } = *situation;
    match &observed.cluster {
        None => Some(Unusable::Gone(message::missing(spec))),
        Some(cluster) if !spec.is_import() && !is_ours(situation, cluster) => {
            Some(Unusable::Gone(message::foreign(spec)))
        }
        Some(_) if observed.upstream.is_none() => Some(Unusable::Unreadable(message::unreadable(spec))),
        Some(cluster) if is_stopped(cluster) => Some(Unusable::Stopped(message::stopped(spec))),
        Some(_) => None,
    }
}
