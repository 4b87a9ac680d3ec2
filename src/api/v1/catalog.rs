//! The catalog: what can be used in Azure, why not, and what to do about it, one file for each resource. `call` reads the
//! credential and the query, `page` builds the lists.

mod call;
mod credential_check;
mod kubernetes_versions;
mod page;
mod regions;
mod vm_sizes;

use aks::catalog::{Reason, Verdict};
use axum::extract::FromRef;
use serde::Serialize;
use utoipa::ToSchema;

use self::call::CatalogCaller;
use crate::api::documented::{DocumentedRouter, routes};
use crate::api::meta::MetaState;
use crate::api::methods::reject_others_of;
use crate::api::norman;
use crate::api::surface::{CrossSite, Surface};

/// The rules for the catalog, whose GETs use stored secrets.
pub(in crate::api) static SURFACE: Surface = Surface { cross_site: CrossSite::RejectAll, ..norman::RULES };

/// The routes of the catalog that need no database, with full paths.
pub(in crate::api) fn router<S>() -> DocumentedRouter<S>
where
    S: Clone + Send + Sync + 'static,
    MetaState: FromRef<S>,
{
    let routes = [
        routes!(credential_check::check_stored_credential),
        routes!(credential_check::check_credential),
        routes!(kubernetes_versions::list_kubernetes_versions),
        routes!(regions::list_regions),
        routes!(vm_sizes::list_vm_sizes),
    ];
    let routes = routes.into_iter().map(reject_others_of::<CatalogCaller, _>);
    routes.fold(DocumentedRouter::new(), DocumentedRouter::route)
}

/// Whether something can be used. `usable`: it can. `limited`: it can, but something about it is restricted or unknown.
/// `unusable`: Azure, Rancher or this server rejects it.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum CatalogVerdict {
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
struct CatalogReason {
    /// Stable, for programs.
    #[schema(example = "zonesRestricted")]
    code: &'static str,
    verdict: CatalogVerdict,
    /// One sentence, for people.
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
