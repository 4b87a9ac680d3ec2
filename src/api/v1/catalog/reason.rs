//! Verdicts of the catalog and their reasons.

use aks::catalog::{Reason, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

/// Whether something can be used. `usable`: it can. `limited`: it can, but something about it is restricted or unknown.
/// `unusable`: Azure, Rancher or this server rejects it.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum CatalogVerdict {
    Usable,
    Limited,
    Unusable,
}

impl From<Verdict> for CatalogVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Usable => Self::Usable,
            Verdict::Limited => Self::Limited,
            Verdict::Unusable => Self::Unusable,
        }
    }
}

/// A reason for a verdict.
#[derive(Serialize, ToSchema)]
pub(super) struct CatalogReason {
    /// Stable, for programs.
    #[schema(example = "zonesRestricted")]
    code: &'static str,
    verdict: CatalogVerdict,
    /// One sentence, for users.
    #[schema(example = "Standard_D2s_v5 is not available to this subscription in zone 3 of eastus")]
    message: String,
    /// How to fix it.
    #[schema(example = "use 1, 2, or another size")]
    remedy: String,
    /// The document that states the rule.
    #[schema(
        example = "Azure: List resource SKUs, https://learn.microsoft.com/rest/api/compute/resource-skus/list"
    )]
    source: &'static str,
}

impl From<Reason> for CatalogReason {
    fn from(reason: Reason) -> Self {
        let Reason { code, message, remedy, source, verdict } = reason;
        Self { code, verdict: verdict.into(), message, remedy, source }
    }
}
