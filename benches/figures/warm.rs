//! A warm answer beside a route that does nothing but return the same bytes: same process, same accept loop, same
//! client. The rounds alternate, so that both meet the same moods of the machine.

use std::rc::Rc;
use std::time::Duration;

use norman_aks::sandbox::Sandbox;

use crate::Outcome;
use crate::client::{Load, request};
use crate::sandbox::credential;
use crate::server::{LARGE, SMALL, Server};
use crate::table::{Promise, Table, median};

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(700);
const SHARE: Promise = Promise::AtLeast(60.0);

pub(crate) async fn measure(table: &mut Table, server: &Server) -> Outcome<()> {
    table.section(
        "Warm answers, with token, audit, log and metrics, beside a bare axum route in the same process (32 connections)",
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
        let share = |it: &Round| 100.0 * it.a_second / bare.a_second;
        let named = |way: &str| format!("{action} ({kilobytes} kB), {way}");
        table.line(&named("stored credential: share of the bare route"), "%", SHARE, share(&stored));
        table.line(&named("credential in the body: share of the bare route"), "%", SHARE, share(&inline));
        for (way, it) in
            [("bare route", &bare), ("stored credential", &stored), ("credential in the body", &inline)]
        {
            table.line(&named(&format!("{way}: answers a second")), "", Promise::None, it.a_second.round());
            if let Some(cpu) = it.cpu_us {
                table.line(&named(&format!("{way}: CPU time of the server")), "µs", Promise::None, cpu);
            }
        }
    }
    if let Some(resident) = server.process.resident_mb() {
        table.line("memory of the server after all that", "MB", Promise::None, resident);
    }
    Ok(())
}

/// The medians of some rounds of one kind.
struct Round {
    a_second: f64,
    cpu_us: Option<f64>,
}

async fn rounds<const N: usize>(server: &Server, loads: [Rc<Load>; N]) -> Outcome<[Round; N]> {
    let mut speeds = [const { Vec::new() }; N];
    let mut costs = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for ((load, speeds), costs) in loads.iter().zip(&mut speeds).zip(&mut costs) {
            let before = server.process.cpu_ms();
            let speed = load.round(CONNECTIONS, ROUND).await?;
            speeds.push(speed);
            if let Some((before, after)) = before.zip(server.process.cpu_ms()) {
                costs.push((after - before) * 1000.0 / (speed * ROUND.as_secs_f64()));
            }
        }
    }
    let mut costs = costs.into_iter();
    Ok(speeds.map(|speeds| Round {
        a_second: median(speeds),
        cpu_us: costs.next().filter(|costs| !costs.is_empty()).map(median),
    }))
}
