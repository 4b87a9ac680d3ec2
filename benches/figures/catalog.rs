//! Cached pages of the catalog, compared with a route of the same process that only returns the same bytes, and responses to
//! clients that already have the list.

use std::rc::Rc;

use crate::client::{Connection, Load, Response, call, request, request_with_headers};
use crate::error::Result;
use crate::rounds::run_rounds;
use crate::server::{LARGE, PAGES, Server};
use crate::table::{Table, Target, median};

pub(crate) async fn measure(table: &mut Table, server: &Server) -> Result<()> {
    table.section(
        "Cached pages of the catalog, compared with a bare axum route in the same process (32 connections)",
    );
    let token = Some(server.ready.token.as_str());
    for ((name, query), length) in PAGES.into_iter().zip(server.ready.pages) {
        let load = |address, request| Rc::new(Load { address, request, body_length: length });
        let bare = load(server.ready.bare, request("GET", &format!("/page-{name}"), None, ""));
        let path = server.page_path(query);
        let page = load(server.ready.api, request("GET", &path, token, ""));
        let [bare, page] = run_rounds(server, [bare, page]).await?;
        let label = |what: &str| format!("{name} page ({} kB), {what}", length.div_ceil(1024));
        table.target(&label("share of the bare route"), "%", Target::AtLeast(60.0), page.percent_of(&bare));
        for (what, rounds) in [("bare route", &bare), ("catalog", &page)] {
            table.info(
                &label(&format!("{what}: responses per second")),
                "",
                median(rounds.per_second.clone()).round(),
            );
            if let Some(cpu) = rounds.cpu_us_per_response() {
                table.info(&label(&format!("{what}: CPU time of the server")), "µs", cpu);
            }
        }
    }
    measure_conditional_and_compressed(table, server).await
}

/// Measures requests for a list that the client already has, and for compressed lists.
async fn measure_conditional_and_compressed(table: &mut Table, server: &Server) -> Result<()> {
    let token = Some(server.ready.token.as_str());
    let path = server.path_with_stored_credential(LARGE);
    let whole = call(server.ready.api, &request("GET", &path, token, "")).await?;
    let etag = whole.header("etag").ok_or("the list has no entity tag")?;
    let mut connection = Connection::open(server.ready.api).await?;
    let mut status_and_length = async |headers: &str| -> Result<(u16, f64)> {
        let Response { status, body, .. } =
            connection.call(&request_with_headers("GET", &path, token, headers, "")).await?;
        #[expect(clippy::cast_precision_loss, reason = "a body has far fewer than 2^53 bytes")]
        Ok((status, body.len() as f64))
    };
    let (status, bytes) = status_and_length(&format!("If-None-Match: {etag}\r\n")).await?;
    table.target(
        &format!("{LARGE}, client has the list: status"),
        "",
        Target::Exactly(304.0),
        f64::from(status),
    );
    table.target(&format!("{LARGE}, client has the list: body"), "B", Target::Exactly(0.0), bytes);
    for coding in ["gzip", "zstd"] {
        let (_, bytes) = status_and_length(&format!("Accept-Encoding: {coding}\r\n")).await?;
        #[expect(clippy::cast_precision_loss, reason = "a body has far fewer than 2^53 bytes")]
        let share = 100.0 * bytes / server.ready.large as f64;
        table.target(
            &format!("{LARGE}, {coding}: share of the plain bytes"),
            "%",
            Target::AtMost(20.0),
            share,
        );
    }
    Ok(())
}
