//! The program `azure-sandbox`, which runs the simulated Azure until a signal.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use azure_sandbox::{Options, Sandbox};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Simulated Microsoft Entra, Azure Resource Manager and Kubernetes APIs
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// TLS address of Azure; port 0 for any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Address of the control API (faults, recorded requests); must be loopback [default: off]
    #[arg(long, value_name = "ADDRESS")]
    control_listen: Option<SocketAddr>,
    /// Directory of the certificate authority and the state
    #[arg(long, value_name = "DIRECTORY", default_value = "azure-sandbox-data")]
    data_dir: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(next) = cause {
                text = format!("{text}: {next}");
                cause = next.source();
            }
            let _ = writeln!(io::stderr(), "azure-sandbox: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { listen, control_listen, data_dir } = arguments;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    std::fs::create_dir_all(&data_dir)?;
    let state_dir = Some(data_dir.clone());
    let sandbox = Sandbox::start(Options { listen, control_listen, state_dir, ..Options::default() }).await?;
    // Ignore a closed stdout.
    let _ = writeln!(io::stdout().lock(), "{}", sandbox.instructions(&data_dir));
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    sandbox.stop().await;
    Ok(())
}
