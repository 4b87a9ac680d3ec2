//! `GET /api/v1/regions`: the regions of the subscription, each assessed for the desired cluster, as a list or as a stream of
//! lines.

use std::convert::Infallible;
use std::time::Duration;

use aks::catalog::regions::{AssessedRegion, RegionDemand};
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::Stream;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::call::CatalogCall;
use super::reason::{CatalogReason, CatalogVerdict};
use super::vm_sizes::parse_node_demand;
use crate::api::meta::RENDERERS;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::json;
use crate::api::openapi::failures::CatalogFailures;
use crate::service::Invalid;

/// The media type of a stream with one line per region, sent as soon as the region is assessed.
const NDJSON: &str = "application/x-ndjson";
/// The media type of a list of all regions.
const JSON: &str = "application/json";

/// The time after which the list is sent with the regions assessed so far; the middleware ends requests after 60 s.
const LIST_TIMEOUT: Duration = Duration::from_secs(45);
/// The time after which a stream ends.
const STREAM_TIMEOUT: Duration = Duration::from_mins(5);

/// Regions, the best first.
#[derive(Serialize, ToSchema)]
struct RegionList {
    data: Vec<CatalogRegion>,
    /// Always `null`: there is one page.
    next: Option<String>,
    /// The number of regions in the list, and in the subscription. The list is incomplete if Azure was too slow; the regions
    /// that were read are cached for the next request.
    progress: RegionProgress,
}

/// A line of the stream: a region, and the progress including it.
#[derive(Serialize, ToSchema)]
struct RegionLine {
    region: CatalogRegion,
    progress: RegionProgress,
}

/// The number of assessed regions, and of all regions.
#[derive(Clone, Copy, Serialize, ToSchema)]
struct RegionProgress {
    #[schema(example = 12)]
    done: usize,
    #[schema(example = 41)]
    total: usize,
}

/// A region, and whether the desired cluster can be created there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CatalogRegion {
    #[schema(example = "eastus")]
    name: String,
    #[schema(example = "East US")]
    display_name: String,
    /// The usable zones: those of the VM size if one is requested, else those of the region.
    #[schema(example = json!(["1", "2", "3"]))]
    zones: Vec<String>,
    /// The number of nodes of the VM size that still fit into the quotas; `null` if it is unknown.
    #[schema(example = 50)]
    nodes: Option<i64>,
    verdict: CatalogVerdict,
    /// The reasons, the worst first.
    reasons: Vec<CatalogReason>,
}

impl From<AssessedRegion> for CatalogRegion {
    fn from(region: AssessedRegion) -> Self {
        let AssessedRegion { name, display_name, zones, nodes, verdict, reasons } = region;
        let reasons = reasons.into_iter().map(CatalogReason::from).collect();
        Self { name, display_name, zones, nodes, verdict: verdict.into(), reasons }
    }
}

/// The desired cluster.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, which the handler reads")]
struct RegionQuery {
    /// The stored credential for the requests to Azure.
    #[param(example = "cattle-global-data:cc-q2w4x")]
    cloud_credential_id: String,
    /// Only these regions, separated by commas.
    #[param(example = "eastus,westeurope")]
    region: Option<String>,
    /// The desired VM size.
    #[param(example = "Standard_D2s_v5")]
    vm_size: Option<String>,
    /// The desired Kubernetes version: a patch, or a minor version alone.
    #[param(example = "1.33")]
    kubernetes_version: Option<String>,
    /// The desired number of availability zones.
    #[param(minimum = 0, maximum = 9, example = 3)]
    zones: Option<u32>,
    /// The desired number of nodes of the VM size.
    #[param(minimum = 1, maximum = 1000, default = 1)]
    count: Option<i64>,
    /// The desired mode of the pool: `System` or `User`.
    mode: Option<String>,
    /// The desired operating system of the nodes: `Linux` (the default) or `Windows`.
    os_type: Option<String>,
    /// The desired size of an ephemeral OS disk.
    #[param(rename = "ephemeralOsDiskGiB")]
    ephemeral_os_disk_gib: Option<i64>,
}

/// The parameters of the desired nodes. They require `vmSize`.
const NODE_PARAMETERS: [&str; 4] = ["count", "mode", "osType", "ephemeralOsDiskGiB"];
const OTHER_PARAMETERS: [&str; 3] = ["vmSize", "kubernetesVersion", "zones"];

/// The regions of the subscription, each with what it lacks for the desired cluster, the best first.
///
/// If `Accept` contains `application/x-ndjson` and not `application/json`, the response is a stream with one line for each region
/// as soon as it is assessed. At most four lists are requested from Azure at once for one caller.
#[utoipa::path(
    get,
    path = "/api/v1/regions",
    operation_id = "listRegions",
    tag = "Catalog",
    params(RegionQuery),
    responses(
        (status = 200, description = "All regions, or a stream of lines", content(
            (RegionList = "application/json"),
            (RegionLine = "application/x-ndjson"),
        )),
        CatalogFailures,
    ),
)]
pub(super) async fn list_regions(call: CatalogCall, headers: HeaderMap) -> Result<Response, Error> {
    call.reject_unknown(&[&NODE_PARAMETERS[..], &OTHER_PARAMETERS].concat())?;
    let demand = parse_demand(&call.parameters)?;
    let requested: Vec<String> = call.parameters.list("region").map(aks::regions::normalize).collect();
    let search = call.region_search(demand, RENDERERS);
    let regions = search.regions(&requested).await;
    call.record_use(&regions).await;
    let regions = regions?;
    let names = regions.iter().filter_map(|region| region.name.as_deref()).map(aks::regions::normalize);
    let names: Vec<String> = names.collect();
    if let Some(unknown) = requested.iter().find(|name| !names.contains(name)) {
        let message = format!("the subscription has no region {unknown}; aksLocations lists its regions");
        return Err(Invalid::field("InvalidOption", "region", message).into());
    }
    let total = regions.len();
    if accepts_lines(&headers) {
        let assessed = search.assess(regions, Instant::now() + STREAM_TIMEOUT);
        return Ok(stream_lines(assessed, total));
    }
    let assessed = search.assess(regions, call.arrived_at + LIST_TIMEOUT);
    let list = collect_list(assessed, total).await;
    Ok(call.respond_uncached(json::to_bytes_line(&list)))
}

/// Parses the desired cluster.
fn parse_demand(parameters: &Query) -> Result<RegionDemand, Invalid> {
    let zones = parameters.number("zones", 0..=9)?.and_then(|zones| usize::try_from(zones).ok());
    let nodes = parse_node_demand(parameters, false)?;
    let vm_size = parameters.trimmed("vmSize").map(|size| (size.to_owned(), nodes));
    if vm_size.is_none()
        && let Some(name) = NODE_PARAMETERS.into_iter().find(|name| parameters.trimmed(name).is_some())
    {
        let message = format!("{name} applies to the nodes of a VM size; set vmSize too");
        return Err(Invalid::field("InvalidOption", name, message));
    }
    let version = parameters.trimmed("kubernetesVersion").map(str::to_owned);
    Ok(RegionDemand { vm_size, version, zones: zones.unwrap_or_default() })
}

/// Whether the client wants a stream of lines. Generated clients accept all types in the API document, so they get the list.
fn accepts_lines(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let types: Vec<&str> = values.flat_map(|accept| accept.split(',')).filter_map(accepted_type).collect();
    let accepts = |media_type: &str| types.iter().any(|accepted| accepted.eq_ignore_ascii_case(media_type));
    accepts(NDJSON) && !accepts(JSON)
}

/// The media type in an element of `Accept`, unless its quality is 0.
fn accepted_type(element: &str) -> Option<&str> {
    let (media_type, parameters) = element.split_once(';').unwrap_or((element, ""));
    let mut parameters = parameters.split(';').map(str::trim);
    let is_excluded = parameters.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
    (!is_excluded).then(|| media_type.trim())
}

async fn collect_list(assessed: impl Stream<Item = AssessedRegion> + Send, total: usize) -> RegionList {
    let mut regions: Vec<AssessedRegion> = assessed.collect().await;
    regions.sort_by(|a, b| a.verdict.cmp(&b.verdict).then_with(|| a.name.cmp(&b.name)));
    let progress = RegionProgress { done: regions.len(), total };
    let data = regions.into_iter().map(CatalogRegion::from).collect();
    RegionList { data, next: None, progress }
}

fn stream_lines(assessed: impl Stream<Item = AssessedRegion> + Send + 'static, total: usize) -> Response {
    let lines = assessed.enumerate().map(move |(index, region)| {
        let progress = RegionProgress { done: index + 1, total };
        Ok::<Bytes, Infallible>(json::to_bytes_line(&RegionLine { region: region.into(), progress }))
    });
    let mut response = Body::from_stream(lines).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    // Turns off buffering in nginx and similar proxies.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Accept, Authorization, Cookie"));
    response
}
