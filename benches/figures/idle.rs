//! `norman-aks serve` as it is built, on a new data folder, against the real Azure, which it need not reach for this.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::client::{call, request};
use crate::process::{NORMAN_AKS, Process};
use crate::table::{Promise, Table, median};

const STARTS: usize = 5;
/// After the start, before its memory is read.
const REST: Duration = Duration::from_secs(2);

pub(crate) async fn measure(table: &mut Table, folder: &Path) -> Outcome<()> {
    table.section("norman-aks serve at rest, on a new data folder");
    let (mut memory, mut times) = (Vec::new(), Vec::new());
    for number in 0..STARTS {
        let data = folder.join(format!("idle-{number}"));
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &data.display().to_string()];
        let started = Instant::now();
        let mut process =
            Process::start(Path::new(NORMAN_AKS), &arguments, &folder.join(format!("idle-{number}.log")))?;
        let address: SocketAddr = process.word_after("listens on http://")?.parse()?;
        while call(address, &request("GET", "/readyz", None, "")).await?.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(REST).await;
        memory.extend(process.resident_mb());
    }
    if !memory.is_empty() {
        table.line("memory (RSS), median of 5 starts", "MB", Promise::AtMost(25.0), median(memory));
    }
    table.line("from the start to ready, median of 5 starts", "ms", Promise::None, median(times));
    Ok(())
}
