//! The catalog: Azure's regions, VM sizes and Kubernetes versions, each with a verdict on whether it can be used, the reasons
//! and the remedies. Verdicts come from the functions that the review of a cluster uses.

pub mod kubernetes_versions;
pub mod regions;
pub mod vm_sizes;

/// Whether something can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It can be used.
    Usable,
    /// It can be used with restrictions, or its restrictions are unknown.
    Limited,
    /// Azure, Rancher or this server rejects it.
    Unusable,
}

/// A reason for a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable, in camel case.
    pub code: &'static str,
    /// One sentence without a full stop.
    pub message: String,
    /// The remedy.
    pub remedy: String,
    /// Source of the rule: a heading of `docs/contract`, or a document of Azure with its URL.
    pub source: &'static str,
    /// The resulting verdict.
    pub verdict: Verdict,
}

/// The verdict that follows from all reasons: the worst.
pub fn verdict(reasons: &[Reason]) -> Verdict {
    reasons.iter().map(|reason| reason.verdict).max().unwrap_or(Verdict::Usable)
}
