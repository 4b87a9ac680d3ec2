//! Benchmarks of the targets in docs/operations.md: `cargo bench`.
//!
//! `cargo bench -- [upstream] [cold] [warm] [catalog] [proxied] [beside] [idle] [flood] [--no-fail]` runs only the
//! named ones. Exit codes: 0 if all targets are met (or with `--no-fail`), 1 if a target is missed, 2 if a benchmark
//! failed.
//!
//! There are up to four processes, so that each figure concerns one process: this one sends requests and measures, its
//! children are the server, the sandbox, and the Kubernetes API of a cluster.

mod beside;
mod catalog;
mod client;
mod cold;
mod error;
mod flood;
mod idle;
mod kubernetes;
mod process;
mod proxied;
mod rounds;
mod sandbox;
mod server;
mod table;
mod upstream;
mod warm;

use std::process::ExitCode;

use self::error::Result;
use self::kubernetes::Kubernetes;
use self::sandbox::Sandbox;
use self::server::Server;
use self::table::Table;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(server::ARGUMENT) => return exit_code(server::run(&arguments)),
        Some(kubernetes::ARGUMENT) => return exit_code(kubernetes::run()),
        _ => {}
    }
    // `cargo test --all-targets` starts this program without `--bench`.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("run the benchmarks with: cargo bench");
        return ExitCode::SUCCESS;
    }
    let no_fail = arguments.iter().any(|argument| argument == "--no-fail");
    let names: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('-')).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit_code(Err(error.into())),
    };
    match runtime.block_on(measure(&names)) {
        Err(error) => exit_code(Err(error)),
        Ok(table) if table.all_met() || no_fail => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
    }
}

fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benchmark failed: {error}");
            ExitCode::from(2)
        }
    }
}

async fn measure(names: &[&str]) -> Result<Table> {
    const ALL: [&str; 8] = ["upstream", "cold", "warm", "catalog", "proxied", "beside", "idle", "flood"];
    if let Some(unknown) = names.iter().find(|name| !ALL.contains(name)) {
        return Err(format!("unknown benchmark {unknown}; use {}", ALL.join(", ")).into());
    }
    let is_selected = |name: &str| names.is_empty() || names.contains(&name);
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let mut table = Table::begin();
    if is_selected("idle") {
        idle::measure(&mut table, directory).await?;
    }
    if is_selected("flood") {
        flood::measure(&mut table, directory).await?;
    }
    if ["upstream", "cold", "warm", "catalog", "proxied", "beside"].into_iter().any(is_selected) {
        let sandbox = Sandbox::start(directory)?;
        let start_server = |kubernetes: Option<&Kubernetes>| Server::start(&sandbox, kubernetes, directory);
        if is_selected("upstream") {
            upstream::measure(&mut table, &sandbox, &start_server(None)?).await?;
        }
        if is_selected("cold") {
            cold::measure(&mut table, &sandbox, &start_server(None)?).await?;
        }
        if is_selected("warm") {
            warm::measure(&mut table, &start_server(None)?).await?;
        }
        if is_selected("catalog") {
            catalog::measure(&mut table, &start_server(None)?).await?;
        }
        if is_selected("beside") {
            beside::measure(&mut table, &sandbox, &start_server(None)?, directory).await?;
        }
        if is_selected("proxied") {
            let kubernetes = Kubernetes::start(directory)?;
            proxied::measure(&mut table, &start_server(Some(&kubernetes))?).await?;
        }
    }
    table.end();
    Ok(table)
}
