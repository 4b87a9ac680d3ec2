//! Benchmarks of the tunnel: CPU of the server for each GiB against a plain TCP copy in the same run, memory of transfers,
//! memory and CPU of idle sessions, and small requests.
//!
//! ```text
//! cargo bench -p remotedialer -- [--gib N] [--no-fail]
//! ```
//!
//! Exit codes: 0 all limits are met (or `--no-fail`), 1 a limit is exceeded or a benchmark failed.
//!
//! Four processes take part, so that each figure belongs to one of them: this process is the TCP target and the caller,
//! its children are a plain TCP proxy, the tunnel's server and its client. Needs Linux.

mod limits;
mod process;
mod roles;
mod traffic;

use std::time::Duration;

use limits::Measurements;
use process::Child;
use traffic::Target;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The limit of the memory of a transfer.
const MAX_PEAK_MB: f64 = 16.0;

const IDLE_SESSIONS: u64 = 1000;

/// The time for which idle sessions are measured.
const IDLE_TIME: Duration = Duration::from_secs(20);

/// The number of small requests, through the proxy and through the tunnel.
const REQUEST_COUNT: u32 = 20_000;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["proxy", target, buffer_len] => roles::run_proxy(target, buffer_len.parse()?).await,
        ["server", target] => roles::run_server(target).await,
        ["client", server, target, sessions] => roles::run_client(server, target, sessions.parse()?).await,
        options => run(options).await,
    }
}

async fn run(options: &[&str]) -> Outcome<()> {
    // `cargo test --all-targets` starts this program without `--bench`.
    if !options.contains(&"--bench") {
        println!("run the benchmarks with: cargo bench -p remotedialer");
        return Ok(());
    }
    let mut gib = 1;
    let mut options = options.iter();
    let mut fail_on_exceeded_limit = true;
    while let Some(option) = options.next() {
        match *option {
            "--bench" => {}
            "--no-fail" => fail_on_exceeded_limit = false,
            "--gib" => gib = options.next().ok_or("--gib needs a number")?.parse()?,
            _ => return Err("usage: cargo bench -p remotedialer -- [--gib N] [--no-fail]".into()),
        }
    }
    let measurements = measure(gib).await?;
    if fail_on_exceeded_limit && measurements.has_exceeded_limit() {
        Err("a limit is exceeded".into())
    } else {
        Ok(())
    }
}

async fn measure(gib: u64) -> Outcome<Measurements> {
    let mut measurements = Measurements::default();
    let target = Target::start(gib << 30).await?;
    println!("{gib} GiB in each direction");
    println!("{:<34}{:>12}{:>12}{:>10}{:>14}", "", "CPU s/GiB", "wall s/GiB", "ratio", "peak MB");
    // The CPU of a download and an upload with the larger buffer, to which those of the tunnel are compared.
    let mut plain_cpu = [0.0; 2];
    for buffer_len in ["8192", "65536"] {
        let proxy = Child::start(&["proxy", &target.address, buffer_len])?;
        for (is_upload, reference) in [false, true].into_iter().zip(&mut plain_cpu) {
            let figures = measure_transfer(&proxy, &proxy.address, is_upload, gib).await?;
            *reference = figures.cpu_per_gib;
            print_transfer(
                &format!("plain copy, {buffer_len} bytes, {}", direction(is_upload)),
                &figures,
                figures.cpu_per_gib,
            );
        }
    }
    let server = Child::start(&["server", &target.address])?;
    let tunnel_address = server.read_line()?;
    let client = Child::start(&["client", &tunnel_address, &target.address, "1"])?;
    for (is_upload, reference) in [false, true].into_iter().zip(plain_cpu) {
        let cpu_before = client.cpu_seconds()?;
        let figures = measure_transfer(&server, &server.address, is_upload, gib).await?;
        let client_cpu = (client.cpu_seconds()? - cpu_before) / traffic::to_f64(gib);
        let name = format!("tunnel, server, {}", direction(is_upload));
        print_transfer(&name, &figures, reference);
        measurements.require_at_most(
            &format!("{name}: CPU relative to a plain copy"),
            figures.cpu_per_gib / reference,
            2.0,
            "times",
        );
        measurements.require_at_most(
            &format!("{name}: peak memory above the idle baseline"),
            figures.peak_mb,
            MAX_PEAK_MB,
            "MB",
        );
        println!(
            "{:<34}{client_cpu:>12.2}{:>22.2}",
            "tunnel, client (the same transfer)",
            client_cpu / reference
        );
    }
    measure_stopped_reader(&server, &mut measurements).await?;
    measure_requests(&target, &server).await?;
    drop(client);
    measure_idle_sessions(&target, &mut measurements).await?;
    measurements.print();
    Ok(measurements)
}

fn direction(is_upload: bool) -> &'static str {
    if is_upload { "upload" } else { "download" }
}

/// Figures of one transfer.
struct Transfer {
    /// CPU seconds for each GiB.
    cpu_per_gib: f64,
    /// Seconds for each GiB.
    wall_per_gib: f64,
    /// Peak of resident memory above the idle baseline, in MB.
    peak_mb: f64,
}

async fn measure_transfer(child: &Child, address: &str, is_upload: bool, gib: u64) -> Outcome<Transfer> {
    let baseline = child.reset_peak()?;
    let cpu_before = child.cpu_seconds()?;
    let started = std::time::Instant::now();
    if is_upload {
        traffic::upload(address, gib << 30).await?;
    } else {
        traffic::download(address).await?;
    }
    let size = traffic::to_f64(gib);
    let wall_per_gib = started.elapsed().as_secs_f64() / size;
    let cpu_per_gib = (child.cpu_seconds()? - cpu_before) / size;
    Ok(Transfer { cpu_per_gib, wall_per_gib, peak_mb: child.peak_mb()? - baseline })
}

fn print_transfer(name: &str, figures: &Transfer, reference: f64) {
    let ratio = figures.cpu_per_gib / reference;
    println!(
        "{name:<34}{:>12.2}{:>12.2}{ratio:>10.2}{:>14.1}",
        figures.cpu_per_gib, figures.wall_per_gib, figures.peak_mb
    );
}

/// Reads a little, waits until the memory of the server no longer grows, and reads the rest.
async fn measure_stopped_reader(server: &Child, measurements: &mut Measurements) -> Outcome<()> {
    let baseline = server.reset_peak()?;
    let mut download = traffic::Download::start(&server.address).await?;
    download.read(1 << 20).await?;
    let mut peak = server.peak_mb()?;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let current = server.peak_mb()?;
        if current <= peak {
            break;
        }
        peak = current;
    }
    measurements.require_at_most(
        "reader that stops: memory above the idle baseline",
        peak - baseline,
        MAX_PEAK_MB,
        "MB",
    );
    download.finish().await?;
    measurements.require_at_most(
        "reader that continues: peak above the idle baseline",
        server.peak_mb()? - baseline,
        MAX_PEAK_MB,
        "MB",
    );
    Ok(())
}

async fn measure_requests(target: &Target, server: &Child) -> Outcome<()> {
    let proxy = Child::start(&["proxy", &target.address, "8192"])?;
    for (name, child) in [("plain copy", &proxy), ("tunnel", server)] {
        let cpu_before = child.cpu_seconds()?;
        let rate = traffic::send_requests(&child.address, REQUEST_COUNT, 32).await?;
        let cpu = (child.cpu_seconds()? - cpu_before) / f64::from(REQUEST_COUNT) * 1e3;
        let latency = traffic::median_latency(&child.address, 2000).await?;
        println!(
            "connect + 100-byte round trip, {name}: {rate:.0}/s with 32 at a time, {cpu:.3} ms CPU each, median {latency:.2} ms one at a time"
        );
    }
    Ok(())
}

async fn measure_idle_sessions(target: &Target, measurements: &mut Measurements) -> Outcome<()> {
    let server = Child::start(&["server", &target.address])?;
    let tunnel_address = server.read_line()?;
    let warm_up_client = Child::start(&["client", &tunnel_address, &target.address, "1"])?;
    traffic::send_requests(&server.address, 100, 1).await?;
    drop(warm_up_client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let baseline = server.resident_mb()?;
    let _client = Child::start(&["client", &tunnel_address, &target.address, &IDLE_SESSIONS.to_string()])?;
    let idle = server.resident_mb()?;
    traffic::send_requests(&server.address, 5000, 32).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after_requests = server.resident_mb()?;
    let cpu_before = server.cpu_seconds()?;
    tokio::time::sleep(IDLE_TIME).await;
    let cpu = (server.cpu_seconds()? - cpu_before) / IDLE_TIME.as_secs_f64() / traffic::to_f64(IDLE_SESSIONS);
    let kb_per_session = |memory_mb: f64| (memory_mb - baseline) * 1024.0 / traffic::to_f64(IDLE_SESSIONS);
    measurements.require_at_most(
        "memory per idle session (1,000 sessions)",
        kb_per_session(idle),
        40.0,
        "kB",
    );
    measurements.require_at_most(
        "memory per session after 5 requests on each",
        kb_per_session(after_requests),
        40.0,
        "kB",
    );
    println!("CPU of an idle session: {:.3} ms a minute", cpu * 60e3);
    Ok(())
}
