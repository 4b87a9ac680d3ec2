//! Alongside Rancher: requests to Rancher and Azure, cached responses compared with a bare route, and memory at rest.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as Segments, State};
use axum::response::IntoResponse;
use axum::routing::get;
use azure_sandbox::Seed;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::try_join_all;
use http::header::HeaderName;
use norman_aks::app::{BesideRancher, Connectors};
use norman_aks::config::{Config, Flags};

use crate::client::{Load, call, request};
use crate::error::Result;
use crate::process::Process;
use crate::rounds::run_rounds;
use crate::sandbox::Sandbox;
use crate::server::{LARGE, SMALL, Server, listing_path};
use crate::table::{Table, Target, median};

const CALLERS: usize = 100;
const STARTS: usize = 5;
/// The time between startup and reading the memory.
const SETTLE_TIME: Duration = Duration::from_secs(2);
const SMALL_CPU_RATIO: Target = Target::AtMost(1.5);

/// A Rancher in which every caller may use every credential. The name of a credential is its client secret.
/// `/request-count` returns the number of requests since it was last called.
pub(crate) fn rancher() -> Router {
    let request_count = Arc::<AtomicU32>::default();
    Router::new()
        .route("/v1/secrets/{namespace}/{name}", get(get_secret))
        .route(
            "/request-count",
            get(async |State(request_count): State<Arc<AtomicU32>>| {
                request_count.swap(0, Ordering::Relaxed).to_string()
            }),
        )
        .with_state(request_count)
}

async fn get_secret(
    State(request_count): State<Arc<AtomicU32>>,
    Segments((_, name)): Segments<(String, String)>,
) -> impl IntoResponse {
    request_count.fetch_add(1, Ordering::Relaxed);
    let Seed { tenant_id, subscription_id, client_id, .. } = azure_sandbox::Sandbox::seed();
    let fields = [
        ("tenantId", tenant_id),
        ("subscriptionId", subscription_id),
        ("clientId", client_id),
        ("clientSecret", &name),
    ];
    let data: BTreeMap<String, String> = fields
        .into_iter()
        .map(|(field, value)| (format!("azurecredentialConfig-{field}"), BASE64_STANDARD.encode(value)))
        .collect();
    let body = serde_json::json!({"metadata": {"name": name, "resourceVersion": "1"}, "data": data});
    ([(HeaderName::from_static("x-api-cattle-auth"), "true")], axum::Json(body))
}

/// The routes of a server alongside the Rancher at this address.
pub(crate) fn router(rancher: SocketAddr, azure_options: azure::Options) -> Result<Router> {
    let url = format!("http://{rancher}");
    let settings = BTreeMap::from([("NORMAN_AKS_RANCHER_URL".to_owned(), url)]);
    let (config, _) = Config::load(&Flags::new(), &settings, &|path: &Path| std::fs::read_to_string(path))?;
    let settings = config.rancher.as_ref().ok_or("no rancher-url")?;
    let connectors = Connectors { azure: azure_options, ..Connectors::default() };
    Ok(BesideRancher::build(&config, settings, connectors)?.router())
}

pub(crate) async fn measure(
    table: &mut Table,
    sandbox: &Sandbox,
    server: &Server,
    directory: &Path,
) -> Result<()> {
    count_requests(table, sandbox, server).await?;
    measure_warm(table, server).await?;
    measure_idle(table, directory).await
}

/// Counts requests to Rancher and to Azure.
async fn count_requests(table: &mut Table, sandbox: &Sandbox, server: &Server) -> Result<()> {
    table.section("Alongside Rancher: requests to Rancher, tokens and lists of Azure");
    sandbox.accept_secret("beside").await?;
    sandbox.take_request_counts().await?;
    for (name, token, callers, expected) in [
        ("100 equal cold calls at once", "token-a:x", CALLERS, [1.0, 1.0, 1.0]),
        ("a call with a cached decision", "token-a:x", 1, [0.0, 0.0, 0.0]),
        ("a call of another caller", "token-b:x", 1, [1.0, 0.0, 0.0]),
    ] {
        let listing = request("GET", &listing_path(LARGE, "cattle-global-data:beside"), Some(token), "");
        let responses = try_join_all((0..callers).map(|_| call(server.ready.beside, &listing))).await?;
        if let Some(failed) = responses.iter().find(|response| response.status != 200) {
            return Err(format!("status {}: {}", failed.status, failed.text()).into());
        }
        let rancher_requests =
            call(server.ready.rancher, &request("GET", "/request-count", None, "")).await?;
        let (tokens, lists) = sandbox.take_request_counts().await?;
        let measured = [rancher_requests.text().parse()?, tokens, lists];
        for ((what, expected), measured) in ["Rancher", "tokens", "lists"].iter().zip(expected).zip(measured)
        {
            table.target(&format!("{name}: {what}"), "", Target::Exactly(expected), measured);
        }
    }
    Ok(())
}

async fn measure_warm(table: &mut Table, server: &Server) -> Result<()> {
    table.section(
        "Alongside Rancher: cached responses, with audit, log (a file) and metrics, compared with a bare axum route (32 connections)",
    );
    for (action, length, path, target) in [
        (SMALL, server.ready.small, "/small", Some(SMALL_CPU_RATIO)),
        (LARGE, server.ready.large, "/large", None),
    ] {
        let load = |address, request| Rc::new(Load { address, request, body_length: length });
        let bare = load(server.ready.bare, request("GET", path, None, ""));
        let own_path = listing_path(action, "cattle-global-data:beside");
        let own = load(server.ready.beside, request("GET", &own_path, Some("token-a:x"), ""));
        let [bare, own] = run_rounds(server, [bare, own]).await?;
        if let Some((bare, own)) = bare.cpu_us_per_response().zip(own.cpu_us_per_response()) {
            let ratio_label = format!("{action}: CPU time as a multiple of the bare route's");
            match target {
                Some(target) => table.target(&ratio_label, "", target, own / bare),
                None => table.info(&ratio_label, "", own / bare),
            }
            table.info(&format!("{action}, bare route: CPU time of the server"), "µs", bare);
            table.info(&format!("{action}, alongside Rancher: CPU time of the server"), "µs", own);
        }
        table.info(
            &format!("{action}: share of the bare route's responses per second"),
            "%",
            own.percent_of(&bare),
        );
    }
    Ok(())
}

async fn measure_idle(table: &mut Table, directory: &Path) -> Result<()> {
    table.section("norman-aks serve --rancher-url at rest");
    let mut memory = Vec::new();
    for number in 0..STARTS {
        let flags = ["--listen=127.0.0.1:0", "--rancher-url=http://127.0.0.1:9"];
        let mut process = Process::start_norman_aks("serve", directory, &format!("beside-{number}"), &flags)?;
        process.word_after("listens on http://")?;
        tokio::time::sleep(SETTLE_TIME).await;
        memory.extend(process.resident_mb());
    }
    if !memory.is_empty() {
        table.target("memory (RSS), median of 5 starts", "MB", Target::AtMost(15.0), median(memory));
    }
    Ok(())
}
