//! `GET /api/v1/regions`: the regions of the subscription with what they lack for a wanted cluster, as one list or line by line.

use std::convert::Infallible;
use std::time::Duration;

use aks::catalog::regions::{AssessedRegion, RegionDemand};
use axum::body::Body;
use axum::extract::FromRef;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::Stream;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::call::{CatalogCall, CatalogCaller};
use super::parameters::Parameters;
use super::vm_sizes::demand as node_demand;
use super::{CatalogReason, CatalogVerdict};
use crate::api::documented::{DocumentedRouter, routes};
use crate::api::meta::{MetaState, RENDERERS};
use crate::api::methods::reject_others_of;
use crate::api::norman::error::Error;
use crate::api::norman::json;
use crate::api::openapi::failures::CatalogFailures;
use crate::service::Invalid;

/// One region per line, as soon as it is known.
const LINES: &str = "application/x-ndjson";
/// All regions.
const LIST: &str = "application/json";

/// The time after which a whole list is sent with what is known: the middleware ends requests after 60 s.
const WHOLE_LIMIT: Duration = Duration::from_secs(45);
/// The time after which lines end.
const LINES_LIMIT: Duration = Duration::from_mins(5);

/// Regions, the best first.
#[derive(Serialize, ToSchema)]
struct RegionList {
    data: Vec<CatalogRegion>,
    /// Always `null`: there is one page.
    next: Option<String>,
    /// How many regions are in the list, of how many that the subscription has. Fewer if Azure was too slow; what was read is kept
    /// for the next request.
    progress: RegionProgress,
}

/// A line of the stream: a region, and how many are known with it.
#[derive(Serialize, ToSchema)]
struct RegionLine {
    region: CatalogRegion,
    progress: RegionProgress,
}

/// How many regions are known.
#[derive(Clone, Copy, Serialize, ToSchema)]
struct RegionProgress {
    #[schema(example = 12)]
    done: usize,
    #[schema(example = 41)]
    total: usize,
}

/// A region, and whether the wanted cluster can be had there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CatalogRegion {
    #[schema(example = "eastus")]
    name: String,
    #[schema(example = "East US")]
    display_name: String,
    /// The zones that can be used: by the VM size if one is wanted, else those of the region.
    #[schema(example = json!(["1", "2", "3"]))]
    zones: Vec<String>,
    /// How many nodes of the VM size still fit into the quotas; `null` if it is unknown.
    #[schema(example = 50)]
    nodes: Option<i64>,
    verdict: CatalogVerdict,
    /// The worst first.
    reasons: Vec<CatalogReason>,
}

impl From<AssessedRegion> for CatalogRegion {
    fn from(region: AssessedRegion) -> Self {
        let AssessedRegion { name, display_name, zones, nodes, verdict, reasons } = region;
        let reasons = reasons.into_iter().map(CatalogReason::from).collect();
        Self { name, display_name, zones, nodes, verdict: verdict.into(), reasons }
    }
}

/// The wanted cluster.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, which the handler reads")]
struct RegionQuery {
    /// The stored credential to ask with.
    #[param(example = "cattle-global-data:cc-q2w4x")]
    cloud_credential_id: String,
    /// Only this region, or these, separated by commas.
    #[param(example = "eastus,westeurope")]
    region: Option<String>,
    /// The wanted VM size.
    #[param(example = "Standard_D2s_v5")]
    vm_size: Option<String>,
    /// The wanted Kubernetes version: a patch, or a minor version alone.
    #[param(example = "1.33")]
    kubernetes_version: Option<String>,
    /// The wanted number of availability zones.
    #[param(minimum = 0, maximum = 9, example = 3)]
    zones: Option<u32>,
    /// The wanted number of nodes of the VM size.
    #[param(minimum = 1, maximum = 1000, default = 1)]
    count: Option<i64>,
    /// The wanted mode of the pool: `System` or `User`.
    mode: Option<String>,
    /// The wanted operating system of the nodes: `Linux` (the default) or `Windows`.
    os_type: Option<String>,
    /// The wanted size of an ephemeral OS disk.
    #[param(rename = "ephemeralOsDiskGiB")]
    ephemeral_os_disk_gib: Option<i64>,
}

/// The parameters about the nodes, which need a VM size.
const OF_NODES: [&str; 4] = ["count", "mode", "osType", "ephemeralOsDiskGiB"];
const OTHERS: [&str; 3] = ["vmSize", "kubernetesVersion", "zones"];

pub(super) fn router<S>() -> DocumentedRouter<S>
where
    S: Clone + Send + Sync + 'static,
    MetaState: FromRef<S>,
{
    DocumentedRouter::new().route(reject_others_of::<CatalogCaller, _>(routes!(list_regions)))
}

/// The regions of the subscription, each with what it lacks for the wanted cluster, the best first.
///
/// With `Accept: application/x-ndjson`, and without `application/json` in it, one line for each region as soon as it is known. Azure is asked for at most four lists at
/// once for one caller.
#[utoipa::path(
    get,
    path = "/api/v1/regions",
    operation_id = "listRegions",
    tag = "Catalog",
    params(RegionQuery),
    responses(
        (status = 200, description = "All regions, or lines", content(
            (RegionList = "application/json"),
            (RegionLine = "application/x-ndjson"),
        )),
        CatalogFailures,
    ),
)]
async fn list_regions(call: CatalogCall, headers: HeaderMap) -> Result<Response, Error> {
    call.reject_unknown(&[&OF_NODES[..], &OTHERS].concat())?;
    let demand = demand(&call.parameters)?;
    let only: Vec<String> = call.parameters.list("region").map(aks::regions::normalised).collect();
    let search = call.region_search(demand, RENDERERS);
    let regions = search.regions(&only).await;
    call.record(&regions).await;
    let regions = regions?;
    let names = regions.iter().filter_map(|region| region.name.as_deref()).map(aks::regions::normalised);
    let names: Vec<String> = names.collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        let message = format!("the subscription has no region {unknown}; aksLocations lists its regions");
        return Err(Invalid::field("InvalidOption", "region", message).into());
    }
    let total = regions.len();
    if accepts_lines(&headers) {
        let assessed = search.assess(regions, Instant::now() + LINES_LIMIT);
        return Ok(respond_with_lines(assessed, total));
    }
    let assessed = search.assess(regions, call.started() + WHOLE_LIMIT);
    let list = list(assessed, total).await;
    Ok(call.respond_uncached(json::to_bytes_line(&list)))
}

/// The wanted cluster.
fn demand(parameters: &Parameters) -> Result<RegionDemand, Invalid> {
    let zones = parameters.number("zones", 0..=9)?.and_then(|zones| usize::try_from(zones).ok());
    let nodes = node_demand(parameters, false)?;
    let vm_size = parameters.text("vmSize").map(|size| (size.to_owned(), nodes));
    if vm_size.is_none()
        && let Some(name) = OF_NODES.into_iter().find(|name| parameters.text(name).is_some())
    {
        let message = format!("{name} is about the nodes of a VM size; name it in vmSize");
        return Err(Invalid::field("InvalidOption", name, message));
    }
    let version = parameters.text("kubernetesVersion").map(str::to_owned);
    Ok(RegionDemand { vm_size, version, zones: zones.unwrap_or_default() })
}

/// Whether the client wants lines. Generated clients name all types of the document, and get the list.
fn accepts_lines(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let kinds: Vec<&str> = values.flat_map(|accept| accept.split(',')).filter_map(accepted_kind).collect();
    let accepts = |wanted: &str| kinds.iter().any(|kind| kind.eq_ignore_ascii_case(wanted));
    accepts(LINES) && !accepts(LIST)
}

/// The type in an element of `Accept`, unless it is refused.
fn accepted_kind(element: &str) -> Option<&str> {
    let (kind, parameters) = element.split_once(';').unwrap_or((element, ""));
    let is_refused =
        parameters.split(';').any(|it| matches!(it.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
    (!is_refused).then(|| kind.trim())
}

async fn list(assessed: impl Stream<Item = AssessedRegion> + Send, total: usize) -> RegionList {
    let mut regions: Vec<AssessedRegion> = assessed.collect().await;
    regions.sort_by(|a, b| a.verdict.cmp(&b.verdict).then_with(|| a.name.cmp(&b.name)));
    let progress = RegionProgress { done: regions.len(), total };
    let data = regions.into_iter().map(CatalogRegion::from).collect();
    RegionList { data, next: None, progress }
}

fn respond_with_lines(
    assessed: impl Stream<Item = AssessedRegion> + Send + 'static,
    total: usize,
) -> Response {
    let lines = assessed.enumerate().map(move |(index, region)| {
        let progress = RegionProgress { done: index + 1, total };
        Ok::<Bytes, Infallible>(json::to_bytes_line(&RegionLine { region: region.into(), progress }))
    });
    let mut response = Body::from_stream(lines).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(LINES));
    // Turns off buffering in nginx and similar proxies.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Accept, Authorization, Cookie"));
    response
}
