//! The catalog: what can be used, why not, and what to do about it. Verdicts come from the functions that the review of a
//! cluster uses.

pub mod kubernetes_versions;
pub mod regions;
pub mod vm_sizes;

/// Whether something can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It can be used.
    Usable,
    /// It can be used, but something about it is restricted or unknown.
    Limited,
    /// Azure, Rancher or this server rejects it.
    Unusable,
}

/// A reason of a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable, in camel case.
    pub code: &'static str,
    /// One sentence without a full stop.
    pub message: String,
    /// How to fix it.
    pub remedy: String,
    /// Source of the rule: a heading of `docs/contract`, or a document of Azure with its URL.
    pub source: &'static str,
    /// The verdict that it leads to.
    pub verdict: Verdict,
}

/// The verdict of all reasons together.
pub fn verdict(reasons: &[Reason]) -> Verdict {
    reasons.iter().map(|reason| reason.verdict).max().unwrap_or(Verdict::Usable)
}
