//! How often Azure is asked, counted by Azure's stand-in.

use futures_util::future::try_join_all;

use crate::Outcome;
use crate::client::{call, request};
use crate::sandbox::{Sandbox, credential};
use crate::server::{LARGE, SMALL, Server};
use crate::table::{Promise, Table};

const CALLERS: usize = 100;

pub(crate) async fn measure(table: &mut Table, sandbox: &Sandbox, server: &Server) -> Outcome<()> {
    table.section("Requests to Azure (tenant given, one page)");
    sandbox.accept("first").await?;
    sandbox.accept("together").await?;
    sandbox.requests().await?;
    for (what, action, wanted) in [
        ("a cold call (token, list)", LARGE, 2.0),
        ("the next call of that credential (list)", SMALL, 1.0),
        ("a call within the time to live", LARGE, 0.0),
    ] {
        ask(server, action, "first", 1, true).await?;
        let (tokens, lists) = sandbox.requests().await?;
        table.line(what, "", Promise::Exactly(wanted), tokens + lists);
    }
    ask(server, LARGE, "together", CALLERS, true).await?;
    let (tokens, lists) = sandbox.requests().await?;
    table.line("100 equal cold calls at once: token requests", "", Promise::Exactly(1.0), tokens);
    table.line("100 equal cold calls at once: list requests", "", Promise::Exactly(1.0), lists);
    ask(server, LARGE, "nobody-knows-it", CALLERS, false).await?;
    let (tokens, lists) = sandbox.requests().await?;
    table.line("100 calls with a bad secret at once: token requests", "", Promise::Exactly(1.0), tokens);
    table.line("100 calls with a bad secret at once: list requests", "", Promise::Exactly(0.0), lists);
    Ok(())
}

/// The same question from several callers at once.
async fn ask(server: &Server, action: &str, secret: &str, callers: usize, good: bool) -> Outcome<()> {
    let request = request("POST", &format!("/meta/{action}"), Some(&server.ready.token), &credential(secret));
    let answers = try_join_all((0..callers).map(|_| call(server.ready.api, &request))).await?;
    match answers.iter().find(|answer| (answer.status == 200) != good) {
        Some(answer) => Err(format!("status {}: {}", answer.status, answer.text()).into()),
        None => Ok(()),
    }
}
