//! Requests that are passed on into a cluster, beside a route of the same process that does nothing but pass them on.

use std::rc::Rc;

use crate::Outcome;
use crate::client::{Load, request};
use crate::kubernetes::{CLUSTER, LARGE, SMALL};
use crate::rounds::rounds;
use crate::server::Server;
use crate::table::{Promise, Table, median};

const SMALL_CPU_MS: Promise = Promise::AtMost(0.4);
/// What a MB costs depends on the machine: most of it is TLS and the kernel's TCP.
const LARGE_TIMES_BARE: Promise = Promise::AtMost(1.3);

pub(crate) async fn measure(table: &mut Table, server: &Server) -> Outcome<()> {
    table.section(
        "Requests into a cluster, with token, role, log (a file) and metrics, over TLS to a Kubernetes API in another process, beside a bare proxy (32 connections)",
    );
    let token = server.ready.member.as_deref();
    for (what, (path, length)) in [("GET of 1 kB", SMALL), ("GET of 4 MB", LARGE)] {
        let load = |address, request| Rc::new(Load { address, request, body_length: length });
        let bare = load(server.ready.bare, request("GET", path, None, ""));
        let inside = format!("/k8s/clusters/{CLUSTER}{path}");
        let proxied = load(server.ready.api, request("GET", &inside, token, ""));
        let [bare, proxied] = rounds(server, [bare, proxied]).await?;
        let (unit, scale, promise, times_bare) = match length {
            ..1_000_000 => ("ms", 1.0, SMALL_CPU_MS, Promise::None),
            #[expect(clippy::cast_precision_loss, reason = "a few million")]
            length => ("ms/MB", length as f64 / 1e6, Promise::None, LARGE_TIMES_BARE),
        };
        let cpu = |us: Option<f64>| us.map(|us| us / 1000.0 / scale);
        if let Some((bare, proxied)) = cpu(bare.cpu_us()).zip(cpu(proxied.cpu_us())) {
            table.line(&format!("{what}: CPU time of the server"), unit, promise, proxied);
            table.line(&format!("{what}, bare proxy: CPU time of the server"), unit, Promise::None, bare);
            table.line(
                &format!("{what}: CPU time as a multiple of the bare proxy's"),
                "",
                times_bare,
                proxied / bare,
            );
        }
        table.line(
            &format!("{what}: share of the bare proxy's answers a second"),
            "%",
            Promise::None,
            proxied.share_of(&bare),
        );
        table.line(&format!("{what}: answers a second"), "", Promise::None, median(proxied.a_second).round());
    }
    Ok(())
}
