//! The cost of an uncached call of the largest list: the server requests a token, reads about a thousand sizes and renders
//! the response.

use crate::error::Result;
use crate::sandbox::Sandbox;
use crate::server::{LARGE, Server};
use crate::table::{Table, Target, median};

/// The number of sequential calls. CPU time has a resolution of 10 ms, so there must be many.
const CALLS: u32 = 100;
/// The number of concurrent calls.
const CALLERS: u32 = 32;
/// The number of calls before CPU time is measured. They also open connections and enlarge the heap.
const WARM_UP_CALLS: u32 = 8;

const CPU_MS: Target = Target::AtMost(15.0);
const EXTRA_MB: Target = Target::AtMost(10.0);

pub(crate) async fn measure(table: &mut Table, sandbox: &Sandbox, server: &Server) -> Result<()> {
    table.section("aksVMSizesV2, cold: token and a list of about 1,000 sizes in 1.5 MB from Azure");
    let cpu_ms = || server.process.cpu_ms().unwrap_or_default();
    let mut extra_mb = Vec::new();
    let mut total_cpu_ms = 0.0;
    for number in 0..WARM_UP_CALLS + CALLS {
        let secret = format!("single-{number}");
        sandbox.accept_secret(&secret).await?;
        let before = cpu_ms();
        extra_mb.extend(extra_peak_mb(server, &[secret]).await?);
        if number >= WARM_UP_CALLS {
            total_cpu_ms += cpu_ms() - before;
        }
    }
    let secrets: Vec<String> = (0..CALLERS).map(|number| format!("many-{number}")).collect();
    for secret in &secrets {
        sandbox.accept_secret(secret).await?;
    }
    let concurrent_mb = extra_peak_mb(server, &secrets).await?;

    if server.process.cpu_ms().is_some() {
        table.target("CPU time of the server for a call", "ms", CPU_MS, total_cpu_ms / f64::from(CALLS));
    }
    if let Some(max) = extra_mb.iter().copied().reduce(f64::max) {
        table.target("extra peak memory for a call, maximum", "MB", EXTRA_MB, max);
        table.info("extra peak memory for a call, median", "MB", median(extra_mb));
    }
    if let Some(concurrent_mb) = concurrent_mb {
        let each = concurrent_mb / f64::from(CALLERS);
        table.target("extra peak memory for each of 32 different concurrent calls", "MB", EXTRA_MB, each);
    }
    Ok(())
}

/// The difference between the peak memory during concurrent calls, one for each secret, and the memory before.
async fn extra_peak_mb(server: &Server, secrets: &[String]) -> Result<Option<f64>> {
    let before = server.process.reset_peak().and_then(|()| server.process.resident_mb());
    let secrets = secrets.iter().map(String::as_str);
    server
        .call_concurrently(LARGE, secrets, |response| {
            response.status == 200 && response.body.len() == server.ready.large
        })
        .await?;
    Ok(server.process.peak_mb().zip(before).map(|(peak, before)| peak - before))
}
