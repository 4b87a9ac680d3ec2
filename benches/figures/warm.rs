//! A warm answer beside a route that does nothing but return the same bytes: same process, same accept loop, same
//! client.

use std::rc::Rc;

use azure_sandbox::Sandbox;

use crate::Outcome;
use crate::client::{Load, request};
use crate::rounds::{Rounds, rounds};
use crate::sandbox::credential;
use crate::server::{LARGE, SMALL, Server};
use crate::table::{Promise, Table, median};

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
        let share = |rounds: &Rounds| rounds.share_of(&bare);
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
