//! `versions`: the Kubernetes versions of a region.

use clap::Args;
use serde::Deserialize;

use super::client::Query;
use super::table::{Cell, Column, Row, Table};
use super::terminal::{Color, Terminal};
use super::{HELP, ListFlags, Output, eprint_if_terminal, print_json, run as run_client};
use crate::cli::error::Error;
use crate::cli::output::print;
use crate::config;

const PATH: &str = "/api/v1/kubernetes-versions";

#[derive(Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Versions {
    /// The region, for example eastus
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Only previews; --preview=false for versions that Azure supports
    #[arg(long, value_name = "BOOLEAN", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    preview: Option<bool>,
    /// Only versions with this support plan
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = ["KubernetesOfficial", "AKSLongTermSupport"])]
    support_plan: Option<String>,
    #[command(flatten)]
    list: ListFlags,
}

#[derive(Deserialize)]
struct VersionList {
    data: Vec<Minor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Minor {
    version: String,
    is_preview: bool,
    is_default: bool,
    support_plans: Vec<String>,
    needs_long_term_support: bool,
    /// Ascending.
    patches: Vec<Patch>,
}

#[derive(Deserialize)]
struct Patch {
    version: String,
    /// Ascending.
    upgrades: Vec<String>,
}

pub(in crate::cli) fn run(command: Versions) -> Result<(), Error> {
    let config = command.list.load()?;
    let query = Query::default()
        .with("cloudCredentialId", Some(config.credential()?))
        .with("region", Some(config.region(command.region)?))
        .with("preview", command.preview)
        .with("supportPlan", command.support_plan);
    run_client(&config, async |client| {
        let json = client.list(PATH, &query).await?;
        if command.list.output == Output::Json {
            return print_json(&json);
        }
        let VersionList { data } = client.parse(&json)?;
        if data.is_empty() {
            eprint_if_terminal("no version matches");
            return Ok(());
        }
        print(&table(&data).render(Terminal::stdout(&config::environment()), false))
    })
}

/// The table of versions, with the newest first.
fn table(minors: &[Minor]) -> Table {
    let columns = vec![
        Column::text("VERSION", 0),
        Column::text("STATUS", 0),
        Column::text("NEWEST PATCH", 1),
        Column::text("SUPPORT", 4),
        Column::text("UPGRADES TO", 3).shortened_to(12),
        Column::text("OTHER PATCHES", 2).shortened_to(14),
    ];
    Table { columns, rows: minors.iter().rev().map(row).collect(), column_replaced_by_notes: "" }
}

fn row(minor: &Minor) -> Row {
    let newest = minor.patches.last();
    let other_patches: Vec<&str> =
        minor.patches.iter().rev().skip(1).map(|patch| patch.version.as_str()).collect();
    let upgrades: Vec<&str> =
        newest.into_iter().flat_map(|patch| patch.upgrades.iter().rev()).map(String::as_str).collect();
    let support: Vec<&str> = minor.support_plans.iter().map(|plan| short_plan(plan)).collect();
    let cells = vec![
        minor.version.as_str().into(),
        status(minor),
        newest.map_or("", |patch| patch.version.as_str()).into(),
        support.join(", ").into(),
        upgrades.join(" ").into(),
        other_patches.join(" ").into(),
    ];
    Row { cells, notes: Vec::new() }
}

fn status(minor: &Minor) -> Cell {
    match minor {
        Minor { is_preview: true, .. } => Cell::colored("preview", Color::Yellow),
        Minor { needs_long_term_support: true, .. } => Cell::colored("long-term support only", Color::Yellow),
        Minor { is_default: true, .. } => Cell::colored("default", Color::Green),
        _ => Cell::colored("supported", Color::Green),
    }
}

/// A short name of a support plan.
fn short_plan(plan: &str) -> &str {
    match plan {
        "KubernetesOfficial" => "community",
        "AKSLongTermSupport" => "long-term",
        other => other,
    }
}
