//! A warm answer beside a route that does nothing but return the same bytes: same process, same accept loop, same
//! client. The rounds are short and alternate, forwards and backwards, and what counts is the median of the shares that
//! each round saw: so both meet the same moods of the machine.

use std::rc::Rc;
use std::time::Duration;

use norman_aks::sandbox::Sandbox;

use crate::Outcome;
use crate::client::{Load, request};
use crate::sandbox::credential;
use crate::server::{LARGE, SMALL, Server};
use crate::table::{Promise, Table, median};

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 31;
const ROUND: Duration = Duration::from_millis(200);
const SHARE: Promise = Promise::AtLeast(60.0);

pub(crate) async fn measure(table: &mut Table, server: &Server) -> Outcome<()> {
    table.section(
        "Warm answers, with token, audit (SQLite), log (a file) and metrics, beside a bare axum route in the same process (32 connections)",
    );
    for (action, length, path) in
        [(SMALL, server.ready.small, "/small"), (LARGE, server.ready.large, "/large")]
    {
        let token = Some(server.ready.token.as_str());
        let secret = Sandbox::seed().client_secret;
        let load = |address, request| Rc::new(Load { address, request, body_length: length });
        let bare = load(server.ready.bare, request("GET", path, None, ""));
        let stored = load(server.ready.api, request("GET", &server.stored(action), token, ""));
        let inline = request("POST", &format!("/meta/{action}"), token, &credential(secret));
        let inline = load(server.ready.api, inline);
        let [bare, stored, inline] = rounds(server, [bare, stored, inline]).await?;
        let kilobytes = length.div_ceil(1024);
        let share = |it: &Rounds| {
            let shares = it.a_second.iter().zip(&bare.a_second).map(|(it, bare)| 100.0 * it / bare);
            median(shares.collect())
        };
        let named = |way: &str| format!("{action} ({kilobytes} kB), {way}");
        table.line(&named("stored credential: share of the bare route"), "%", SHARE, share(&stored));
        table.line(&named("credential in the body: share of the bare route"), "%", SHARE, share(&inline));
        for (way, it) in
            [("bare route", &bare), ("stored credential", &stored), ("credential in the body", &inline)]
        {
            let a_second = median(it.a_second.clone()).round();
            table.line(&named(&format!("{way}: answers a second")), "", Promise::None, a_second);
            if let Some(cpu) = it.cpu_us() {
                table.line(&named(&format!("{way}: CPU time of the server")), "µs", Promise::None, cpu);
            }
        }
    }
    if let Some(resident) = server.process.resident_mb() {
        table.line("memory of the server after all that", "MB", Promise::None, resident);
    }
    Ok(())
}

/// All rounds of one kind.
#[derive(Default)]
struct Rounds {
    /// The answers a second of each.
    a_second: Vec<f64>,
    answers: f64,
    /// CPU time of the server, where it can be seen.
    cpu_ms: Option<f64>,
}

impl Rounds {
    /// CPU time of the server for one answer.
    fn cpu_us(&self) -> Option<f64> {
        Some(self.cpu_ms? * 1000.0 / self.answers)
    }
}

async fn rounds<const N: usize>(server: &Server, loads: [Rc<Load>; N]) -> Outcome<[Rounds; N]> {
    let mut all: [Rounds; N] = std::array::from_fn(|_| Rounds::default());
    for number in 0..ROUNDS {
        let mut pairs: Vec<_> = loads.iter().zip(&mut all).collect();
        if number % 2 == 1 {
            pairs.reverse();
        }
        for (load, rounds) in pairs {
            let before = server.process.cpu_ms();
            let a_second = load.round(CONNECTIONS, ROUND).await?;
            if let Some((before, after)) = before.zip(server.process.cpu_ms()) {
                *rounds.cpu_ms.get_or_insert_default() += after - before;
            }
            rounds.answers += a_second * ROUND.as_secs_f64();
            rounds.a_second.push(a_second);
        }
    }
    Ok(all)
}
