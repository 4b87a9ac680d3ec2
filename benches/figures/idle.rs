//! The built `norman-aks serve` without requests, with a new data directory.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::{call, request};
use crate::error::Result;
use crate::process::Process;
use crate::table::{Table, Target, median};

const STARTS: usize = 5;
/// The time between startup and reading the memory.
const SETTLE_TIME: Duration = Duration::from_secs(2);

pub(crate) async fn measure(table: &mut Table, directory: &Path) -> Result<()> {
    table.section("norman-aks serve at rest, on a new data directory");
    let (mut memory, mut times) = (Vec::new(), Vec::new());
    for number in 0..STARTS {
        let started = Instant::now();
        let (process, address) = Process::serve(directory, &format!("idle-{number}"))?;
        while call(address, &request("GET", "/readyz", None, "")).await?.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(SETTLE_TIME).await;
        memory.extend(process.resident_mb());
    }
    if !memory.is_empty() {
        table.target("memory (RSS), median of 5 starts", "MB", Target::AtMost(28.0), median(memory));
    }
    table.info("from start to ready, median of 5 starts", "ms", median(times));
    Ok(())
}
