//! Requests proxied to a cluster, compared with a route of the same process that only forwards them.

use std::rc::Rc;

use crate::client::{Load, request};
use crate::error::Result;
use crate::kubernetes::{CLUSTER, LARGE, SMALL};
use crate::rounds::run_rounds;
use crate::server::Server;
use crate::table::{Table, Target, median};

const SMALL_CPU_MS: Target = Target::AtMost(0.4);
/// The cost per MB depends on the machine: most of it is TLS and the kernel's TCP.
const LARGE_CPU_RATIO: Target = Target::AtMost(1.3);

pub(crate) async fn measure(table: &mut Table, server: &Server) -> Result<()> {
    table.section(
        "Requests into a cluster, with token, role, log (a file) and metrics, over TLS to a Kubernetes API in another process, compared with a bare proxy (32 connections)",
    );
    let token = server.ready.member.as_deref();
    for (name, (path, length)) in [("GET of 1 kB", SMALL), ("GET of 4 MB", LARGE)] {
        let load = |address, request| Rc::new(Load { address, request, body_length: length });
        let bare = load(server.ready.bare, request("GET", path, None, ""));
        let proxied_path = format!("/k8s/clusters/{CLUSTER}{path}");
        let proxied = load(server.ready.api, request("GET", &proxied_path, token, ""));
        let [bare, proxied] = run_rounds(server, [bare, proxied]).await?;
        let is_small = length < 1_000_000;
        #[expect(clippy::cast_precision_loss, reason = "a few million")]
        let (unit, megabytes) = if is_small { ("ms", 1.0) } else { ("ms/MB", length as f64 / 1e6) };
        let cpu_ms = |us: Option<f64>| us.map(|us| us / 1000.0 / megabytes);
        if let Some((bare, proxied)) =
            cpu_ms(bare.cpu_us_per_response()).zip(cpu_ms(proxied.cpu_us_per_response()))
        {
            let cpu_label = format!("{name}: CPU time of the server");
            let ratio_label = format!("{name}: CPU time as a multiple of the bare proxy's");
            table.info(&format!("{name}, bare proxy: CPU time of the server"), unit, bare);
            if is_small {
                table.target(&cpu_label, unit, SMALL_CPU_MS, proxied);
                table.info(&ratio_label, "", proxied / bare);
            } else {
                table.info(&cpu_label, unit, proxied);
                table.target(&ratio_label, "", LARGE_CPU_RATIO, proxied / bare);
            }
        }
        table.info(
            &format!("{name}: share of the bare proxy's responses per second"),
            "%",
            proxied.percent_of(&bare),
        );
        table.info(&format!("{name}: responses per second"), "", median(proxied.per_second).round());
    }
    Ok(())
}
