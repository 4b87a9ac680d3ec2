//! The number of requests to Azure, counted by the sandbox.

use crate::error::Result;
use crate::sandbox::Sandbox;
use crate::server::{LARGE, SMALL, Server};
use crate::table::{Table, Target};

const CALLERS: usize = 100;

pub(crate) async fn measure(table: &mut Table, sandbox: &Sandbox, server: &Server) -> Result<()> {
    table.section("Requests to Azure (tenant given, one page)");
    sandbox.accept_secret("first").await?;
    sandbox.accept_secret("concurrent").await?;
    sandbox.take_request_counts().await?;
    for (name, action, expected) in [
        ("a cold call (token, list)", LARGE, 2.0),
        ("the next call of that credential (list)", SMALL, 1.0),
        ("a call within the time to live", LARGE, 0.0),
    ] {
        server.call_concurrently(action, ["first"], |response| response.status == 200).await?;
        let (tokens, lists) = sandbox.take_request_counts().await?;
        table.target(name, "", Target::Exactly(expected), tokens + lists);
    }
    for (name, secret, is_valid) in [
        ("100 equal cold calls at once", "concurrent", true),
        ("100 calls with a bad secret at once", "unknown", false),
    ] {
        let secrets = std::iter::repeat_n(secret, CALLERS);
        server.call_concurrently(LARGE, secrets, |response| (response.status == 200) == is_valid).await?;
        let (tokens, lists) = sandbox.take_request_counts().await?;
        table.target(&format!("{name}: token requests"), "", Target::Exactly(1.0), tokens);
        let expected = if is_valid { 1.0 } else { 0.0 };
        table.target(&format!("{name}: list requests"), "", Target::Exactly(expected), lists);
    }
    Ok(())
}
