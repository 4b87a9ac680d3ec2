//! `GET /api/v1/kubernetes-versions`: the Kubernetes versions of a region, with patches, support plans and upgrades.

use aks::arm::KubernetesVersion;
use aks::catalog::kubernetes_versions::{MinorVersion, PatchVersion, minor_versions};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::call::CatalogCall;
use super::page::Page;
use crate::api::meta::RENDERERS;
use crate::api::norman::error::Error;
use crate::api::norman::json;
use crate::api::openapi::failures::CatalogFailures;
use crate::service::Invalid;

const PATH: &str = "/api/v1/kubernetes-versions";

/// A page of minor versions.
#[derive(Serialize, ToSchema)]
struct KubernetesVersionList {
    /// The versions, ascending.
    data: Vec<CatalogKubernetesVersion>,
    /// The URL of the next page; `null` on the last page.
    next: Option<String>,
}

/// A minor version of Kubernetes in a region.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CatalogKubernetesVersion {
    /// The minor version.
    #[schema(example = "1.33")]
    version: String,
    /// Whether it is a preview, which Azure does not support.
    is_preview: bool,
    /// Whether new clusters get it by default. Not every region has a default.
    is_default: bool,
    /// `KubernetesOfficial`, `AKSLongTermSupport` or both.
    #[schema(example = json!(["AKSLongTermSupport", "KubernetesOfficial"]))]
    support_plans: Vec<String>,
    /// Whether only clusters with long-term support can use it.
    needs_long_term_support: bool,
    /// The patches, ascending.
    patches: Vec<CatalogPatchVersion>,
}

/// A patch version.
#[derive(Serialize, ToSchema)]
struct CatalogPatchVersion {
    /// The full version.
    #[schema(example = "1.33.5")]
    version: String,
    /// The versions to which Azure upgrades a cluster in one step, ascending. For some of them it needs long-term support.
    #[schema(example = json!(["1.33.6", "1.34.1"]))]
    upgrades: Vec<String>,
}

/// The query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "documents the parameters, which `Query` reads")]
struct KubernetesVersionQuery {
    /// The stored credential.
    #[param(example = "cattle-global-data:cc-x7k9z")]
    cloud_credential_id: String,
    /// The region.
    #[param(example = "eastus")]
    region: String,
    /// Only previews, or only other versions.
    preview: Option<bool>,
    /// Only versions with this support plan: `KubernetesOfficial` or `AKSLongTermSupport`.
    #[param(example = "KubernetesOfficial")]
    support_plan: Option<String>,
    /// The number of entries on a page.
    #[param(minimum = 1, maximum = 5000, default = 5000)]
    limit: Option<u32>,
    /// The start of the page; use the value in `next`.
    marker: Option<String>,
}

const PARAMETERS: [&str; 4] = ["preview", "supportPlan", "limit", "marker"];

/// The Kubernetes versions of a region, with patches, support plans and possible upgrades.
///
/// Unlike aksVersions, the list includes previews and versions that have only long-term support, and marks them. The upgrade
/// plan of a cluster is at `/api/v1/clusters/{id}/upgrade-plan`.
#[utoipa::path(
    get,
    path = "/api/v1/kubernetes-versions",
    operation_id = "listKubernetesVersions",
    tag = "Catalog",
    params(KubernetesVersionQuery),
    responses((status = 200, description = "One page of the versions", body = KubernetesVersionList), CatalogFailures),
)]
pub(super) async fn list_kubernetes_versions(call: CatalogCall) -> Result<Response, Error> {
    call.reject_unknown(&PARAMETERS)?;
    let region = call.region()?;
    let preview = call.parameters.boolean("preview")?;
    let options = ["KubernetesOfficial", "AKSLongTermSupport"].map(|plan| (plan, plan));
    let support_plan = call.parameters.one_of("supportPlan", &options)?;
    let versions =
        call.listings().non_empty_versions(call.listing_request(), region, RENDERERS.versions).await;
    call.record_use(&versions).await;
    let versions = versions?;
    let build = || render_page(&call, &versions, preview, support_plan);
    call.respond(Some(&[versions.source()]), versions.freshness(), versions.age(), build).await
}

/// The body of a page.
fn render_page(
    call: &CatalogCall,
    versions: &[KubernetesVersion],
    preview: Option<bool>,
    support_plan: Option<&str>,
) -> Result<Bytes, Invalid> {
    let mut minors = minor_versions(versions);
    minors.retain(|minor| {
        preview.is_none_or(|preview| preview == minor.is_preview)
            && support_plan.is_none_or(|plan| minor.support_plans.iter().any(|supported| supported == plan))
    });
    let page = Page::select(minors, call, PATH, |minor: &MinorVersion| &minor.version)?;
    let data = page.data.into_iter().map(CatalogKubernetesVersion::from).collect();
    Ok(json::to_bytes_line(&KubernetesVersionList { data, next: page.next }))
}

impl From<MinorVersion> for CatalogKubernetesVersion {
    fn from(minor: MinorVersion) -> Self {
        let MinorVersion { version, is_preview, is_default, support_plans, needs_long_term_support, patches } =
            minor;
        Self {
            version,
            is_preview,
            is_default,
            support_plans,
            needs_long_term_support,
            patches: patches.into_iter().map(CatalogPatchVersion::from).collect(),
        }
    }
}

impl From<PatchVersion> for CatalogPatchVersion {
    fn from(patch: PatchVersion) -> Self {
        Self { version: patch.version, upgrades: patch.upgrades }
    }
}
