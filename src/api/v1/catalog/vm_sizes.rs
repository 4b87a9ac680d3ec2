//! `GET /api/v1/vm-sizes`: the VM sizes of a region, with quotas and verdicts.

use std::cmp::Reverse;

use aks::arm::{MAX_EPHEMERAL_GIB, VmSku};
use aks::catalog::Verdict;
use aks::catalog::vm_sizes::{AssessedSize, Demand, Mode};
use aks::vm_size::Quota;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::call::CatalogCall;
use super::page::Page;
use super::reason::{CatalogReason, CatalogVerdict};
use crate::api::meta::RENDERERS;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::json;
use crate::api::openapi::failures::CatalogFailures;
use crate::service::Invalid;
use crate::service::catalog::vm_sizes::RegionSizes;

const PATH: &str = "/api/v1/vm-sizes";

/// The maximum number of nodes in a pool.
const MAX_NODES: i64 = 1_000;

/// The minimum size of an OS disk.
const MIN_OS_DISK_GIB: i64 = 30;

/// A page of VM sizes.
#[derive(Serialize, ToSchema)]
struct VmSizeList<'a> {
    data: Vec<CatalogVmSize<'a>>,
    /// The URL of the next page; `null` on the last page.
    next: Option<String>,
}

/// A VM size, and whether nodes of it can be created.
#[expect(clippy::struct_excessive_bools, reason = "each is a property of the size")]
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CatalogVmSize<'a> {
    #[schema(example = "Standard_D2s_v5")]
    name: &'a str,
    /// The VM family, which is the name of its quota.
    #[schema(example = "standardDSv5Family")]
    family: Option<&'a str>,
    /// The usable vCPUs.
    #[schema(example = 2)]
    vcpus: Option<i64>,
    #[serde(rename = "memoryGiB")]
    #[schema(example = 8.0)]
    memory_gib: Option<f64>,
    /// `x64` or `Arm64`; `null` if Azure does not return it.
    #[schema(example = "x64")]
    architecture: Option<&'a str>,
    gpus: i64,
    /// The maximum number of data disks.
    #[schema(example = 4)]
    data_disks: i64,
    /// The size of the temporary disk; 0 without one.
    #[serde(rename = "temporaryDiskGiB")]
    #[schema(example = 0)]
    temporary_disk_gib: i64,
    /// The maximum size of an ephemeral OS disk; `null` if it supports none.
    #[serde(rename = "ephemeralOsDiskGiB")]
    ephemeral_os_disk_gib: Option<i64>,
    /// The zones in which this subscription can use it, ascending.
    #[schema(example = json!(["1", "2", "3"]))]
    zones: Vec<&'a str>,
    accelerated_networking: bool,
    premium_storage: bool,
    encryption_at_host: bool,
    spot: bool,
    /// The technology of confidential computing, for example `SNP`; `null` without it.
    confidential: Option<&'a str>,
    /// The date of its retirement, if Azure has announced one.
    #[schema(format = Date)]
    retirement: Option<String>,
    quota: VmSizeQuota<'a>,
    verdict: CatalogVerdict,
    /// The reasons, the worst first.
    reasons: Vec<CatalogReason>,
}

/// The quotas that limit a VM size; `null` for unknown ones.
#[derive(Serialize, ToSchema)]
struct VmSizeQuota<'a> {
    /// The quota of its family.
    family: Option<CatalogQuota<'a>>,
    /// The quota of all vCPUs in the region.
    regional: Option<CatalogQuota<'a>>,
    /// The number of nodes of this size that still fit into both.
    #[schema(example = 50)]
    nodes: Option<i64>,
}

/// A quota of the subscription in the region, in vCPUs.
#[derive(Serialize, ToSchema)]
struct CatalogQuota<'a> {
    #[schema(example = "Standard DSv5 Family vCPUs")]
    name: &'a str,
    #[schema(example = 100)]
    limit: i64,
    #[schema(example = 0)]
    used: i64,
    #[schema(example = 100)]
    left: i64,
}

impl<'a> From<Quota<'a>> for CatalogQuota<'a> {
    fn from(quota: Quota<'a>) -> Self {
        Self { name: quota.name, limit: quota.limit, used: quota.used, left: quota.left() }
    }
}

impl<'a> From<AssessedSize<'a>> for CatalogVmSize<'a> {
    fn from(assessed: AssessedSize<'a>) -> Self {
        let AssessedSize { size, quota, verdict, reasons } = assessed;
        let capabilities = &size.capabilities;
        let mut zones: Vec<&str> = size.usable_zones().map(String::as_str).collect();
        zones.sort_unstable();
        Self {
            name: size_name(size),
            family: size.family.as_deref(),
            vcpus: capabilities.vcpus,
            memory_gib: capabilities.memory_gib(),
            architecture: capabilities.architecture.as_deref(),
            gpus: capabilities.gpus,
            data_disks: capabilities.data_disks,
            temporary_disk_gib: capabilities.temporary_disk_gib,
            ephemeral_os_disk_gib: capabilities.ephemeral_disk.then_some(capabilities.ephemeral_gib),
            zones,
            accelerated_networking: capabilities.accelerated_networking,
            premium_storage: capabilities.premium_storage,
            encryption_at_host: capabilities.encryption_at_host,
            spot: capabilities.spot,
            confidential: capabilities.confidential.as_deref(),
            retirement: capabilities.retirement.map(|date| date.to_string()),
            quota: VmSizeQuota {
                family: quota.family.map(CatalogQuota::from),
                regional: quota.regional.map(CatalogQuota::from),
                nodes: quota.nodes,
            },
            verdict: verdict.into(),
            reasons: reasons.into_iter().map(CatalogReason::from).collect(),
        }
    }
}

/// The sizes to list, and the desired nodes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, which the handler reads")]
struct VmSizeQuery {
    /// The stored credential for the requests to Azure.
    #[param(example = "cattle-global-data:cc-q2w4x")]
    cloud_credential_id: String,
    /// The region.
    #[param(example = "eastus")]
    region: String,
    /// The desired mode of the pool: `System` or `User`. Without it, a size that is only too small for a system pool is `limited`.
    mode: Option<String>,
    /// The desired operating system of the nodes: `Linux` (the default) or `Windows`.
    os_type: Option<String>,
    /// The desired zones, separated by commas.
    #[param(example = "1,2,3")]
    zones: Option<String>,
    /// The desired size of an ephemeral OS disk.
    #[param(rename = "ephemeralOsDiskGiB")]
    ephemeral_os_disk_gib: Option<i64>,
    /// The desired number of nodes.
    #[param(minimum = 1, maximum = 1000, default = 1)]
    count: Option<i64>,
    /// Only sizes with at least this many vCPUs.
    min_vcpus: Option<i64>,
    /// Only sizes with at most this many vCPUs.
    max_vcpus: Option<i64>,
    /// Only sizes with at least this much memory.
    #[param(rename = "minMemoryGiB")]
    min_memory_gib: Option<i64>,
    /// Only sizes with processors of this kind: `x64` or `Arm64`.
    arch: Option<String>,
    /// Only sizes with GPUs, or only those without.
    gpu: Option<bool>,
    /// Only sizes of this family.
    #[param(example = "standardDSv5Family")]
    family: Option<String>,
    /// Only sizes whose name or family contains this text, in any letter case.
    #[param(example = "d2s")]
    q: Option<String>,
    /// Only these verdicts, separated by commas.
    #[param(example = "usable,limited")]
    verdict: Option<String>,
    /// The order: `name` (the default), `vcpus`, `memoryGiB`, `nodes` or `verdict`; with `-` before it, descending. Ties are in
    /// the order of names.
    #[param(example = "-nodes")]
    sort: Option<String>,
    /// The number of entries on a page.
    #[param(minimum = 1, maximum = 5000, default = 5000)]
    limit: Option<u32>,
    /// The start of the page; use the value in `next`.
    marker: Option<String>,
}

const PARAMETERS: [&str; 16] = [
    "mode",
    "osType",
    "zones",
    "ephemeralOsDiskGiB",
    "count",
    "minVcpus",
    "maxVcpus",
    "minMemoryGiB",
    "arch",
    "gpu",
    "family",
    "q",
    "verdict",
    "sort",
    "limit",
    "marker",
];

/// The VM sizes of a region, with the remaining quota and a verdict for the desired nodes.
///
/// The desired nodes (`mode`, `osType`, `zones`, `ephemeralOsDiskGiB`, `count`) determine the verdicts; the other parameters select
/// entries. A `usable` size passes the review of a cluster, an `unusable` one does not; a `limited` one passes with the mode
/// `User`, and its reasons say what else to consider.
#[utoipa::path(
    get,
    path = "/api/v1/vm-sizes",
    operation_id = "listVmSizes",
    tag = "Catalog",
    params(VmSizeQuery),
    responses((status = 200, description = "One page of the sizes", body = VmSizeList<'static>), CatalogFailures),
)]
pub(super) async fn list_vm_sizes(call: CatalogCall) -> Result<Response, Error> {
    call.reject_unknown(&PARAMETERS)?;
    let (region, demand) = (call.region()?, parse_node_demand(&call.parameters, true)?);
    let (filter, order) = (Filter::parse(&call.parameters)?, parse_order(&call.parameters)?);
    let sizes = RegionSizes::load(call.listings(), call.listing_request(), region, RENDERERS).await;
    call.record_use(&sizes).await;
    let sizes = sizes?;
    let sources = sizes.sources();
    let sources = sources.as_ref().map(<[_; 2]>::as_slice);
    let build = || render_page(&call, &sizes, &demand, &filter, order);
    call.respond(sources, sizes.freshness(), sizes.age(), build).await
}

/// The body of a page.
fn render_page(
    call: &CatalogCall,
    sizes: &RegionSizes,
    demand: &Demand,
    filter: &Filter,
    order: Order,
) -> Result<Bytes, Invalid> {
    let mut assessed = sizes.assess(demand, |size| filter.matches(size));
    assessed.retain(|size| filter.verdicts.is_empty() || filter.verdicts.contains(&size.verdict));
    sort(&mut assessed, order);
    let page = Page::select(assessed, call, PATH, |assessed: &AssessedSize<'_>| size_name(assessed.size))?;
    let data = page.data.into_iter().map(CatalogVmSize::from).collect();
    Ok(json::to_bytes_line(&VmSizeList { data, next: page.next }))
}

fn size_name(size: &VmSku) -> &str {
    size.name.as_deref().unwrap_or_default()
}

/// Parses the desired nodes. If `with_zones`, `zones` is a list of zones; for regions, it is a number, which is not read here.
pub(super) fn parse_node_demand(parameters: &Query, with_zones: bool) -> Result<Demand, Invalid> {
    Ok(Demand {
        mode: parameters.one_of("mode", &[("System", Mode::System), ("User", Mode::User)])?,
        is_windows: parameters.one_of("osType", &[("Linux", false), ("Windows", true)])?.unwrap_or_default(),
        zones: if with_zones { parameters.zones("zones")? } else { Vec::new() },
        ephemeral_disk_gib: parameters.number("ephemeralOsDiskGiB", MIN_OS_DISK_GIB..=MAX_EPHEMERAL_GIB)?,
        nodes: parameters.number("count", 1..=MAX_NODES)?.unwrap_or(1),
    })
}

/// The sizes to list.
struct Filter {
    min_vcpus: Option<i64>,
    max_vcpus: Option<i64>,
    min_memory_gib: Option<i64>,
    architecture: Option<&'static str>,
    has_gpu: Option<bool>,
    /// In lower case.
    family: Option<String>,
    /// A part of the name or family, in lower case.
    search: Option<String>,
    verdicts: Vec<Verdict>,
}

impl Filter {
    fn parse(parameters: &Query) -> Result<Self, Invalid> {
        let lowercase = |name: &str| parameters.trimmed(name).map(str::to_lowercase);
        Ok(Self {
            min_vcpus: parameters.number("minVcpus", 0..=10_000)?,
            max_vcpus: parameters.number("maxVcpus", 0..=10_000)?,
            min_memory_gib: parameters.number("minMemoryGiB", 0..=1_000_000)?,
            architecture: parameters.one_of("arch", &[("x64", "x64"), ("Arm64", "Arm64")])?,
            has_gpu: parameters.boolean("gpu")?,
            family: lowercase("family"),
            search: lowercase("q"),
            verdicts: parse_verdicts(parameters)?,
        })
    }

    fn matches(&self, size: &VmSku) -> bool {
        let capabilities = &size.capabilities;
        let family = size.family.as_deref().unwrap_or_default().to_lowercase();
        let vcpus = capabilities.vcpus.unwrap_or_default();
        let memory = capabilities.memory_mib.unwrap_or_default();
        // Azure returns the architecture only where it can be other than x64.
        let architecture = capabilities.architecture.as_deref().unwrap_or("x64");
        self.min_vcpus.is_none_or(|min| vcpus >= min)
            && self.max_vcpus.is_none_or(|max| vcpus <= max)
            && self.min_memory_gib.is_none_or(|min| memory >= min.saturating_mul(1_024))
            && self.architecture.is_none_or(|wanted| wanted.eq_ignore_ascii_case(architecture))
            && self.has_gpu.is_none_or(|wanted| wanted == (capabilities.gpus > 0))
            && self.family.as_ref().is_none_or(|wanted| *wanted == family)
            && self.search.as_ref().is_none_or(|search| {
                family.contains(search.as_str()) || size_name(size).to_lowercase().contains(search.as_str())
            })
    }
}

fn parse_verdicts(parameters: &Query) -> Result<Vec<Verdict>, Invalid> {
    let parse = |word: &str| match word.to_ascii_lowercase().as_str() {
        "usable" => Ok(Verdict::Usable),
        "limited" => Ok(Verdict::Limited),
        "unusable" => Ok(Verdict::Unusable),
        _ => {
            let message =
                "verdict must be usable, limited or unusable, or several of them, separated by commas";
            Err(Invalid::field("InvalidOption", "verdict", message))
        }
    };
    parameters.list("verdict").map(parse).collect()
}

/// A sort order.
#[derive(Clone, Copy)]
struct Order {
    /// The sort key; `None` for the name.
    key: Option<fn(&AssessedSize<'_>) -> i64>,
    is_descending: bool,
}

fn parse_order(parameters: &Query) -> Result<Order, Invalid> {
    let text = parameters.trimmed("sort").unwrap_or("name");
    let (field, is_descending) = text.strip_prefix('-').map_or((text, false), |field| (field, true));
    let key: Option<fn(&AssessedSize<'_>) -> i64> = match field {
        "name" => None,
        "vcpus" => Some(|assessed| assessed.size.capabilities.vcpus.unwrap_or_default()),
        "memoryGiB" => Some(|assessed| assessed.size.capabilities.memory_mib.unwrap_or_default()),
        "nodes" => Some(|assessed| assessed.quota.nodes.unwrap_or_default()),
        "verdict" => Some(|assessed| assessed.verdict as i64),
        _ => {
            let message = "sort must be name, vcpus, memoryGiB, nodes or verdict, with - before it for descending order";
            return Err(Invalid::field("InvalidOption", "sort", message));
        }
    };
    Ok(Order { key, is_descending })
}

fn sort(sizes: &mut [AssessedSize<'_>], Order { key, is_descending }: Order) {
    sizes.sort_by(|a, b| size_name(a.size).cmp(size_name(b.size)));
    match (key, is_descending) {
        (None, false) => {}
        (None, true) => sizes.reverse(),
        (Some(key), false) => sizes.sort_by_key(key),
        (Some(key), true) => sizes.sort_by_key(|size| Reverse(key(size))),
    }
}
