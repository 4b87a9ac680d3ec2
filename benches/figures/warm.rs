//! Cached responses, compared with a route of the same process that only returns the same bytes.

use std::rc::Rc;

use azure_sandbox::Sandbox;

use crate::client::{Load, call, request};
use crate::error::Result;
use crate::rounds::run_rounds;
use crate::sandbox::inline_credential_body;
use crate::server::{LARGE, SMALL, Server};
use crate::table::{Table, Target, median};

/// The minimum share of the bare route's responses per second, in percent, and the maximum ratio to its CPU time.
const SMALL_TARGETS: [Target; 2] = [Target::AtLeast(75.0), Target::AtMost(1.5)];
const LARGE_TARGETS: [Target; 2] = [Target::AtLeast(90.0), Target::AtMost(1.2)];

pub(crate) async fn measure(table: &mut Table, server: &Server) -> Result<()> {
    table.section(
        "Cached responses, with token, audit (SQLite), log (a file) and metrics, compared with a bare axum route in the same process (32 connections)",
    );
    for (action, length, path, [share, cpu]) in [
        (SMALL, server.ready.small, "/small", SMALL_TARGETS),
        (LARGE, server.ready.large, "/large", LARGE_TARGETS),
    ] {
        let token = Some(server.ready.token.as_str());
        let load = |address, request| Rc::new(Load { address, request, body_length: length });
        let bare = load(server.ready.bare, request("GET", path, None, ""));
        let stored =
            load(server.ready.api, request("GET", &server.path_with_stored_credential(action), token, ""));
        let body = inline_credential_body(Sandbox::seed().client_secret);
        let inline = load(server.ready.api, request("POST", &format!("/meta/{action}"), token, &body));
        let [bare, stored, inline] = run_rounds(server, [bare, stored, inline]).await?;
        let label = |name: &str| format!("{action} ({} kB), {name}", length.div_ceil(1024));
        for (name, rounds) in [("stored credential", &stored), ("credential in the body", &inline)] {
            table.target(
                &label(&format!("{name}: share of the bare route")),
                "%",
                share,
                rounds.percent_of(&bare),
            );
            if let (Some(own), Some(bare)) = (rounds.cpu_us_per_response(), bare.cpu_us_per_response()) {
                table.target(
                    &label(&format!("{name}: CPU time, that of the bare route = 1")),
                    "",
                    cpu,
                    own / bare,
                );
            }
        }
        for (name, rounds) in
            [("bare route", &bare), ("stored credential", &stored), ("credential in the body", &inline)]
        {
            let per_second = median(rounds.per_second.clone()).round();
            table.info(&label(&format!("{name}: responses per second")), "", per_second);
            if let Some(cpu) = rounds.cpu_us_per_response() {
                table.info(&label(&format!("{name}: CPU time of the server")), "µs", cpu);
            }
        }
    }
    // The cost of every request: middleware, log line and metrics, without token, credential, list and audit.
    let livez = request("GET", "/livez", None, "");
    let length = call(server.ready.api, &livez).await?.body.len();
    let [livez] = run_rounds(
        server,
        [Rc::new(Load { address: server.ready.api, request: livez, body_length: length })],
    )
    .await?;
    if let Some(cpu) = livez.cpu_us_per_response() {
        table.info("health check, for comparison: CPU time of the server", "µs", cpu);
    }
    if let Some(resident) = server.process.resident_mb() {
        table.info("memory of the server afterwards", "MB", resident);
    }
    Ok(())
}
