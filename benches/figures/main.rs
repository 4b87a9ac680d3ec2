//! The figures that this project promises, measured on the machine at hand: `cargo bench`.
//!
//! `cargo bench -- [upstream] [cold] [warm] [proxied] [idle] [flood] [--no-fail]` measures only what is named. Exit codes:
//! 0 all promises are kept (or `--no-fail`), 1 one is not, 2 something could not be measured.
//!
//! Up to four processes take part: this one sends requests and reads the clocks, a child of it is the server, the built-in
//! Azure runs in a third and the Kubernetes API of a cluster in a fourth, so that each figure is one process's own.

mod client;
mod cold;
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

use self::table::Table;

/// What went wrong; the text is for people.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The first argument of the child that is the server.
const SERVER: &str = "the-server-itself";

/// The first argument of the child that is the Kubernetes API of a cluster.
const KUBERNETES: &str = "the-kubernetes-api";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == SERVER) {
        return told(server::run(&arguments));
    }
    if arguments.first().is_some_and(|first| first == KUBERNETES) {
        return told(kubernetes::run(&arguments));
    }
    // `cargo test --all-targets` starts this program too, without that word.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("the figures are measured by: cargo bench");
        return ExitCode::SUCCESS;
    }
    let no_fail = arguments.iter().any(|argument| argument == "--no-fail");
    let chosen: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Err(error) => told(Err(error.into())),
        Ok(runtime) => match runtime.block_on(measure(&chosen)) {
            Err(error) => told(Err(error)),
            Ok(table) if table.is_kept() || no_fail => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
        },
    }
}

fn told(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the figures cannot be measured: {error}");
            ExitCode::from(2)
        }
    }
}

async fn measure(chosen: &[&str]) -> Outcome<Table> {
    const ALL: [&str; 6] = ["upstream", "cold", "warm", "proxied", "idle", "flood"];
    if let Some(unknown) = chosen.iter().find(|word| !ALL.contains(word)) {
        return Err(
            format!("there is nothing called {unknown} to measure; there is: {}", ALL.join(", ")).into()
        );
    }
    let wanted = |word: &str| chosen.is_empty() || chosen.contains(&word);
    let folder = tempfile::tempdir()?;
    let mut table = Table::begin();
    if wanted("idle") {
        idle::measure(&mut table, folder.path()).await?;
    }
    if wanted("flood") {
        flood::measure(&mut table, folder.path()).await?;
    }
    if ["upstream", "cold", "warm", "proxied"].into_iter().any(wanted) {
        let sandbox = sandbox::Sandbox::start(folder.path()).await?;
        if wanted("upstream") {
            let server = server::Server::start(&sandbox, None, folder.path())?;
            upstream::measure(&mut table, &sandbox, &server).await?;
        }
        if wanted("cold") {
            let server = server::Server::start(&sandbox, None, folder.path())?;
            cold::measure(&mut table, &sandbox, &server).await?;
        }
        if wanted("warm") {
            let server = server::Server::start(&sandbox, None, folder.path())?;
            warm::measure(&mut table, &server).await?;
        }
        if wanted("proxied") {
            let kubernetes = kubernetes::Kubernetes::start(folder.path())?;
            let server = server::Server::start(&sandbox, Some(&kubernetes), folder.path())?;
            proxied::measure(&mut table, &server).await?;
        }
    }
    table.end();
    Ok(table)
}
