//! `sizes`: the VM sizes of a region, with quotas and verdicts.

use clap::Args;
use serde::Deserialize;

use super::client::Query;
use super::table::{Cell, Column, Row, Table};
use super::terminal::Terminal;
use super::{
    HELP, ListFlags, Output, Reason, Verdict, eprint_if_terminal, format_number, format_zones, print_json,
    run as run_client, summarize_reasons, summarize_verdicts,
};
use crate::cli::error::Error;
use crate::cli::output::print;
use crate::config;

const PATH: &str = "/api/v1/vm-sizes";

#[derive(Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Sizes {
    /// Only sizes whose name or family contains this text, for example D4s
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// The region, for example eastus
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Print all reasons with their remedies below each size
    #[arg(long)]
    reasons: bool,
    #[command(flatten)]
    requirements: Requirements,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    list: ListFlags,
}

/// The desired nodes, on which the verdicts depend.
#[derive(Args)]
#[command(next_help_heading = "Desired nodes")]
struct Requirements {
    /// Number of nodes, for the quota [default: 1]
    #[arg(long, value_name = "NUMBER")]
    count: Option<u32>,
    /// Availability zones, for example 1,2,3
    #[arg(long, value_name = "LIST")]
    zones: Option<String>,
    /// Mode of the node pool
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = ["System", "User"])]
    mode: Option<String>,
    /// Operating system of the nodes [default: Linux]
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = ["Linux", "Windows"])]
    os_type: Option<String>,
    /// Size of an ephemeral OS disk in GiB
    #[arg(long, value_name = "GIB")]
    ephemeral_os_disk_gib: Option<u32>,
}

/// The sizes to list.
#[derive(Args)]
#[command(next_help_heading = "Filters")]
struct Filter {
    /// Only sizes with at least this many vCPUs
    #[arg(long, value_name = "NUMBER")]
    min_vcpus: Option<u32>,
    /// Only sizes with at most this many vCPUs
    #[arg(long, value_name = "NUMBER")]
    max_vcpus: Option<u32>,
    /// Only sizes with at least this much memory, in GiB
    #[arg(long, value_name = "GIB")]
    min_memory_gib: Option<u32>,
    /// Only sizes with processors of this kind
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = ["x64", "Arm64"])]
    arch: Option<String>,
    /// Only sizes with GPUs; --gpu=false for those without
    #[arg(long, value_name = "BOOLEAN", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    gpu: Option<bool>,
    /// Only sizes of this family, for example standardDSv5Family
    #[arg(long, value_name = "NAME")]
    family: Option<String>,
    /// Only these verdicts: usable, limited, unusable
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = ["usable", "limited", "unusable"], hide_possible_values = true)]
    verdict: Vec<String>,
    /// Order: name, vcpus, memoryGiB, nodes or verdict; with - before it, descending [default: name]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true, value_parser = SORT_KEYS, hide_possible_values = true)]
    sort: Option<String>,
    /// Only the first sizes
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=5_000))]
    limit: Option<u32>,
}

const SORT_KEYS: [&str; 10] =
    ["name", "vcpus", "memoryGiB", "nodes", "verdict", "-name", "-vcpus", "-memoryGiB", "-nodes", "-verdict"];

#[derive(Deserialize)]
struct SizeList {
    data: Vec<Size>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Size {
    name: String,
    family: Option<String>,
    vcpus: Option<i64>,
    #[serde(rename = "memoryGiB")]
    memory_gib: Option<f64>,
    architecture: Option<String>,
    gpus: i64,
    #[serde(rename = "ephemeralOsDiskGiB")]
    ephemeral_os_disk_gib: Option<i64>,
    zones: Vec<String>,
    quota: Quotas,
    verdict: Verdict,
    reasons: Vec<Reason>,
}

#[derive(Deserialize)]
struct Quotas {
    family: Option<Quota>,
    /// The number of nodes that the quota still allows.
    nodes: Option<i64>,
}

#[derive(Deserialize)]
struct Quota {
    limit: i64,
    used: i64,
}

pub(in crate::cli) fn run(command: Sizes) -> Result<(), Error> {
    let config = command.list.load()?;
    let query = command.query(config.credential()?, &config.region(command.region.clone())?);
    run_client(&config, async |client| {
        let json = client.list(PATH, &query).await?;
        if command.list.output == Output::Json {
            return print_json(&json);
        }
        let SizeList { data } = client.parse(&json)?;
        if data.is_empty() {
            eprint_if_terminal("no size matches");
            return Ok(());
        }
        print(&table(&data).render(Terminal::stdout(&config::environment()), command.reasons))?;
        eprint_if_terminal(&summarize_verdicts("size", data.iter().map(|size| size.verdict)));
        Ok(())
    })
}

impl Sizes {
    fn query(&self, credential: &str, region: &str) -> Query {
        let Self { text, requirements, filter, .. } = self;
        let verdicts = Some(filter.verdict.join(",")).filter(|verdicts| !verdicts.is_empty());
        Query::default()
            .with("cloudCredentialId", Some(credential))
            .with("region", Some(region))
            .with("q", text.as_ref())
            .with("count", requirements.count)
            .with("zones", requirements.zones.as_ref())
            .with("mode", requirements.mode.as_ref())
            .with("osType", requirements.os_type.as_ref())
            .with("ephemeralOsDiskGiB", requirements.ephemeral_os_disk_gib)
            .with("minVcpus", filter.min_vcpus)
            .with("maxVcpus", filter.max_vcpus)
            .with("minMemoryGiB", filter.min_memory_gib)
            .with("arch", filter.arch.as_ref())
            .with("gpu", filter.gpu)
            .with("family", filter.family.as_ref())
            .with("verdict", verdicts)
            .with("sort", filter.sort.as_ref())
            .with("limit", filter.limit)
    }
}

/// NAME and VERDICT are never dropped; VCPUS, GIB, NODES and REASON are dropped last.
fn table(sizes: &[Size]) -> Table {
    let columns = vec![
        Column::text("NAME", 0),
        Column::number("VCPUS", 1),
        Column::number("GIB", 2),
        Column::text("ARCH", 7),
        Column::number("GPUS", 6),
        Column::number("OS DISK", 9),
        Column::text("ZONES", 5),
        Column::number("QUOTA", 8),
        Column::number("NODES", 3),
        Column::text("VERDICT", 0),
        Column::text("REASON", 4).shortened_to(24),
        Column::text("FAMILY", 10),
    ];
    Table { columns, rows: sizes.iter().map(row).collect(), column_replaced_by_notes: "REASON" }
}

fn row(size: &Size) -> Row {
    let quota = size.quota.family.as_ref().map(|quota| format!("{}/{}", quota.used, quota.limit));
    let positive_or_empty = |number: i64| if number > 0 { number.to_string() } else { String::new() };
    let cells = vec![
        size.name.as_str().into(),
        format_number(size.vcpus).into(),
        size.memory_gib.map_or_else(|| "?".to_owned(), format_gib).into(),
        size.architecture.as_deref().unwrap_or_default().into(),
        positive_or_empty(size.gpus).into(),
        positive_or_empty(size.ephemeral_os_disk_gib.unwrap_or_default()).into(),
        format_zones(&size.zones).into(),
        quota.unwrap_or_default().into(),
        format_number(size.quota.nodes).into(),
        Cell::colored(size.verdict.as_str(), size.verdict.color()),
        summarize_reasons(&size.name, &size.reasons).into(),
        size.family.as_deref().unwrap_or_default().into(),
    ];
    Row { cells, notes: size.reasons.iter().map(Reason::note).collect() }
}

/// Formats an amount of memory with at most one decimal place, because Azure has values such as 27.9999 GiB.
fn format_gib(memory: f64) -> String {
    let text = format!("{memory:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}
