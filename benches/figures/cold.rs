//! What a cold call of the largest list costs the server: nothing is remembered, so a token is fetched, about a thousand
//! sizes are read and the answer is written.

use futures_util::future::try_join_all;

use crate::Outcome;
use crate::client::{call, request};
use crate::process::Process;
use crate::sandbox::{Sandbox, credential};
use crate::server::{LARGE, Server};
use crate::table::{Promise, Table, median};

/// One after the other. CPU time is counted in hundredths of a second, so there have to be some.
const CALLS: u32 = 100;
/// All at once.
const CALLERS: u32 = 32;

const CPU_MS: Promise = Promise::AtMost(15.0);
const EXTRA_MB: Promise = Promise::AtMost(10.0);

pub(crate) async fn measure(table: &mut Table, sandbox: &Sandbox, server: &Server) -> Outcome<()> {
    table.section("aksVMSizesV2, cold: token and a list of about 1,000 sizes in 1.5 MB from Azure");
    // The very first calls also open connections and grow the heap; they count as memory, not as CPU time.
    let mut extra = Vec::new();
    for number in 0..8 {
        let before = server.process.forget_peak().and_then(|()| server.process.resident_mb());
        ask(sandbox, server, &[format!("early-{number}")]).await?;
        extra.push(server.process.peak_mb().zip(before).map(|(peak, before)| peak - before));
    }
    let secrets: Vec<String> = (0..CALLS).map(|number| format!("single-{number}")).collect();
    let mut took = 0.0;
    for secret in &secrets {
        let secret = std::slice::from_ref(secret);
        accept(sandbox, secret).await?;
        let before =
            (server.process.forget_peak().and_then(|()| server.process.resident_mb()), cpu(&server.process));
        ask_accepted(server, secret).await?;
        took += cpu(&server.process) - before.1;
        extra.push(server.process.peak_mb().zip(before.0).map(|(peak, before)| peak - before));
    }
    let many: Vec<String> = (0..CALLERS).map(|number| format!("many-{number}")).collect();
    accept(sandbox, &many).await?;
    let before = server.process.forget_peak().and_then(|()| server.process.resident_mb());
    ask_accepted(server, &many).await?;
    let at_once = server.process.peak_mb().zip(before).map(|(peak, before)| peak - before);

    if server.process.cpu_ms().is_some() {
        table.line("CPU time of the server for a call", "ms", CPU_MS, took / f64::from(CALLS));
    }
    let extra: Vec<f64> = extra.into_iter().flatten().collect();
    if let Some(most) = extra.iter().copied().reduce(f64::max) {
        table.line("extra peak memory for a call, the most seen", "MB", EXTRA_MB, most);
        table.line("extra peak memory for a call, median", "MB", Promise::None, median(extra));
    }
    if let Some(together) = at_once {
        let each = together / f64::from(CALLERS);
        table.line("extra peak memory for each of 32 different calls at once", "MB", EXTRA_MB, each);
    }
    Ok(())
}

fn cpu(process: &Process) -> f64 {
    process.cpu_ms().unwrap_or_default()
}

async fn accept(sandbox: &Sandbox, secrets: &[String]) -> Outcome<()> {
    for secret in secrets {
        sandbox.accept(secret).await?;
    }
    Ok(())
}

async fn ask(sandbox: &Sandbox, server: &Server, secrets: &[String]) -> Outcome<()> {
    accept(sandbox, secrets).await?;
    ask_accepted(server, secrets).await
}

/// One call with each secret, all at once.
async fn ask_accepted(server: &Server, secrets: &[String]) -> Outcome<()> {
    let requests: Vec<_> = secrets
        .iter()
        .map(|secret| {
            request("POST", &format!("/meta/{LARGE}"), Some(&server.ready.token), &credential(secret))
        })
        .collect();
    let answers = try_join_all(requests.iter().map(|request| call(server.ready.api, request))).await?;
    match answers.iter().find(|answer| answer.status != 200 || answer.body.len() != server.ready.large) {
        Some(answer) => Err(format!("status {}: {}", answer.status, answer.text()).into()),
        None => Ok(()),
    }
}
