//! `regions`: ranks the regions of the subscription for a desired cluster. Shows the progress of the requests to Azure.

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;
use serde::Deserialize;

use super::client::Query;
use super::table::{Cell, Column, Row, Table};
use super::terminal::Terminal;
use super::{
    HELP, ListFlags, Output, Reason, Verdict, eprint_if_terminal, format_zones, print_json,
    run as run_client, summarize_reasons, summarize_verdicts,
};
use crate::cli::error::Error;
use crate::cli::output::{eprint_message, print};
use crate::config;

const PATH: &str = "/api/v1/regions";

#[derive(Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Regions {
    /// Only these regions, separated by commas
    #[arg(long, value_name = "LIST")]
    region: Option<String>,
    /// Print all reasons with their remedies below each region
    #[arg(long)]
    reasons: bool,
    /// The desired Kubernetes version, for example 1.33 or 1.33.5
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,
    /// The desired number of availability zones
    #[arg(long, value_name = "NUMBER")]
    zones: Option<u8>,
    /// The desired VM size, for example Standard_D2s_v5
    #[arg(long, value_name = "NAME")]
    vm_size: Option<String>,
    /// The desired number of nodes of the VM size [default: 1]
    #[arg(long, value_name = "NUMBER", requires = "vm_size")]
    count: Option<u32>,
    /// The desired mode of the node pool
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = ["System", "User"], requires = "vm_size")]
    mode: Option<String>,
    /// The desired operating system of the nodes [default: Linux]
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = ["Linux", "Windows"], requires = "vm_size")]
    os_type: Option<String>,
    /// The desired size of an ephemeral OS disk in GiB
    #[arg(long, value_name = "GIB", requires = "vm_size")]
    ephemeral_os_disk_gib: Option<u32>,
    #[command(flatten)]
    list: ListFlags,
}

#[derive(Deserialize)]
struct Line {
    region: Region,
    progress: Progress,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    name: String,
    display_name: String,
    zones: Vec<String>,
    nodes: Option<i64>,
    verdict: Verdict,
    reasons: Vec<Reason>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Progress {
    done: usize,
    total: usize,
}

pub(in crate::cli) fn run(command: Regions) -> Result<(), Error> {
    let config = command.list.load()?;
    let query = command.query(config.credential()?);
    run_client(&config, async |client| {
        if command.list.output == Output::Json {
            return print_json(&client.get(PATH, &query).await?);
        }
        let mut regions: Vec<Region> = Vec::new();
        let mut last_progress = Progress::default();
        let progress_line = ProgressLine::new();
        let read = client.stream_lines(PATH, &query, |Line { region, progress }| {
            progress_line.show(progress);
            last_progress = progress;
            regions.push(region);
        });
        let outcome = read.await;
        progress_line.clear();
        outcome?;
        // Sorted as in the server's JSON list.
        regions.sort_by(|a, b| a.verdict.cmp(&b.verdict).then_with(|| a.name.cmp(&b.name)));
        print(&table(&regions).render(Terminal::stdout(&config::environment()), command.reasons))?;
        eprint_if_terminal(&summarize_verdicts("region", regions.iter().map(|region| region.verdict)));
        if last_progress.done < last_progress.total {
            eprint_message(&format!(
                "received only {} of {} regions, because Azure was too slow; try again (the regions read so far are cached)",
                last_progress.done, last_progress.total
            ));
        }
        Ok(())
    })
}

impl Regions {
    fn query(&self, credential: &str) -> Query {
        Query::default()
            .with("cloudCredentialId", Some(credential))
            .with("region", self.region.as_ref())
            .with("vmSize", self.vm_size.as_ref())
            .with("kubernetesVersion", self.kubernetes_version.as_ref())
            .with("zones", self.zones)
            .with("count", self.count)
            .with("mode", self.mode.as_ref())
            .with("osType", self.os_type.as_ref())
            .with("ephemeralOsDiskGiB", self.ephemeral_os_disk_gib)
    }
}

/// A line with the progress, which is overwritten with each change. Written only if standard error is a terminal.
struct ProgressLine {
    is_terminal: bool,
}

impl ProgressLine {
    fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal() }
    }

    // Write errors are ignored, because the result is written to standard output.
    fn show(&self, progress: Progress) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r{} of {} regions", progress.done, progress.total);
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

fn table(regions: &[Region]) -> Table {
    let columns = vec![
        Column::text("REGION", 0),
        Column::text("NAME", 5),
        Column::text("ZONES", 2),
        Column::number("NODES", 1),
        Column::text("VERDICT", 0),
        Column::text("REASON", 3).shortened_to(24),
    ];
    Table { columns, rows: regions.iter().map(row).collect(), column_replaced_by_notes: "REASON" }
}

fn row(region: &Region) -> Row {
    let cells = vec![
        region.name.as_str().into(),
        region.display_name.as_str().into(),
        format_zones(&region.zones).into(),
        region.nodes.map_or_else(String::new, |nodes| nodes.to_string()).into(),
        Cell::colored(region.verdict.as_str(), region.verdict.color()),
        summarize_reasons(&region.name, &region.reasons).into(),
    ];
    Row { cells, notes: region.reasons.iter().map(Reason::note).collect() }
}
