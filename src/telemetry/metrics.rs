//! The table of metrics, and their text for Prometheus. Other modules record the values with the `metrics` crate; `app`
//! serves the text.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::error::Error;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Counter,
    Gauge,
    /// A distribution, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    /// The help text: one sentence with the labels and their values.
    pub help: &'static str,
}

/// The upper bounds of the histogram buckets for requests to this server, in seconds: from a cache hit (under a millisecond)
/// to the timeout of an action (55 s).
const REQUEST_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The upper bounds of the histogram buckets for requests to Azure, in seconds: from a near region to the timeout.
const UPSTREAM_SECONDS: &[f64] = &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

macro_rules! metrics {
    ($($kind:ident($($argument:expr),*) = $help:literal;)*) => {
        /// All metrics. A test checks that the sources use no others.
        pub const ALL: &[Metric] = &[$($kind($($argument,)* $help)),*];
    };
}

metrics! {
    gauge("norman_aks_build_info") = "Always 1; `version` is that of the program.";
    counter("norman_aks_http_requests_total") = "Requests by `method`, `route` (the template) and `status`.";
    histogram("norman_aks_http_request_seconds", REQUEST_SECONDS) =
        "Time from the head of a request to the head of its response, by `method` and `route`.";
    gauge("norman_aks_http_requests_in_flight") = "Requests in flight.";
    counter("norman_aks_access_waits_total") =
        "Requests that waited for Azure to accept a new secret or role, by `outcome` (`ended`, `timed_out`, or `limited` if too many were waiting).";
    counter("norman_aks_upstream_requests_total") =
        "Requests to Azure, including retries, by `operation` and `status` (`none` without a response, `cancelled` if no caller waited for it).";
    histogram("norman_aks_upstream_seconds", UPSTREAM_SECONDS) =
        "Duration of requests to Azure, by `operation`.";
    gauge("norman_aks_azure_budget_remaining") =
        "The fewest remaining requests of any application in a subscription, by `kind`: `reads`, `writes`, `deletes` or `compute`; NaN if Azure has not sent a number for a minute.";
    counter("norman_aks_azure_deferred_requests_total") =
        "Requests that were not sent to Azure, by `reason`: `background` or `speculative` (few are left, and no caller waits for it), `exhausted` (none are left), `throttled` (Azure's Retry-After has not passed) or `share` (the rest is reserved for other callers).";
    counter("norman_aks_token_fetches_total") =
        "Tokens requested from Microsoft Entra, by `outcome`: `success`, `refused` or `unavailable`.";
    counter("norman_aks_cache_lookups_total") =
        "Lookups of cached lists, by `kind` and `outcome`: `hit`, `miss` or `stale`.";
    counter("norman_aks_cache_loads_total") =
        "Lists loaded from Azure, by `kind` and `outcome`: `success`, `timed_out`, `failed`, `refused` or `deferred` (few requests remain).";
    counter("norman_aks_stale_responses_total") =
        "Lists served after their time to live, by `kind` and `reason`: `refreshing` (a new one is being loaded), `slow` (the load takes longer than 3 s), `timed_out` (the previous load did) or `failed`.";
    counter("norman_aks_snapshots_total") =
        "Snapshots of cached lists in the data directory, by `outcome`: `written`, `failed` (not written), `restored` at the start, or `discarded`.";
    counter("norman_aks_failed_logins_total") =
        "Requests with a token that is unknown, wrong, expired or of a disabled user.";
    counter("norman_aks_rejected_requests_total") =
        "Browser requests that were rejected despite a valid session, by `reason`: `origin` (a page of another site) or `csrf` (no X-API-CSRF).";
    gauge("norman_aks_connections") =
        "Open client connections, by `state`: `unauthenticated` (without an authenticated request so far) or `admitted` (with one, or from a trusted proxy).";
    counter("norman_aks_connections_closed_total") =
        "Connections closed by the server, by `reason`: `limit` (too many without an authenticated request), `descriptors` (out of file descriptors), `handshake` or `silent` (too slow).";
    gauge("norman_aks_kubernetes_requests_in_flight") =
        "Requests being proxied to clusters, including streams.";
    gauge("norman_aks_agent_sessions") =
        "Open tunnels of agents, by `state`: `usable` (the cluster's API has responded through it) or `unproved`.";
    counter("norman_aks_agent_refusals_total") =
        "Agents that were rejected, by `reason`: `no_token`, `unknown_token`, `params`, `too_many`, `stopping` or `unavailable`.";
    gauge("norman_aks_tunnel_connections") = "Open connections through agents.";
    counter("norman_aks_tunnel_bytes_total") =
        "Bytes through the tunnels of agents, by `direction` as this server sees it: `sent` or `received`.";
    counter("norman_aks_cluster_access_renewals_total") =
        "Renewals of the access to a cluster after the cluster rejected it, by `outcome`: `renewed` or `failed`.";
    counter("norman_aks_provision_steps_total") = "Reconcile steps, by `outcome`: `done` or `failed`.";
    gauge("norman_aks_rancher_up") = "Whether the Rancher beside this server responded to the last request: 1, else 0.";
    counter("norman_aks_rancher_decisions_total") =
        "Requests alongside Rancher, by `result`: `asked`, `cached`, `forwarded`, `refused` or `unavailable`.";
    gauge("norman_aks_cluster_watches") = "Clusters whose roles and bindings this server maintains.";
    counter("norman_aks_cluster_role_corrections_total") =
        "Corrections of roles and bindings inside clusters, by `outcome`: `done` or `failed`.";
    gauge("norman_aks_cluster_revocations_pending") =
        "Users who lost rights in a cluster and may still have bindings in it.";
    counter("norman_aks_node_reads_total") =
        "Node lists read from clusters in the background, by `outcome`: `done`, `failed` or `skipped` (too many clusters are waiting).";
    bytes_gauge("norman_aks_node_cache_bytes") = "Memory of cached nodes.";
    bytes_gauge("norman_aks_cache_bytes") = "Memory of cached lists.";
    gauge("norman_aks_database_connections") =
        "Connections of the database pool, by `state`: `idle` or `busy`.";
    counter("norman_aks_disk_full_errors_total") =
        "Writes that failed because of a full disk, by `of`: `database` or `log`.";
    counter("norman_aks_log_lines_lost_total") =
        "Log lines that could not be written, by `reason`: `slow` (standard error is read too slowly), `full` (no space left) or `error`.";
    bytes_gauge("norman_aks_process_resident_bytes") = "Resident memory of the process (Linux only).";
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit: Unit::Count, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit: Unit::Count, help }
}

const fn bytes_gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit: Unit::Bytes, help }
}

const fn histogram(name: &'static str, buckets: &'static [f64], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram(buckets), unit: Unit::Seconds, help }
}

/// The recorder of this process, which is only installed if the metrics are served. Before [`Metrics::install`], recording has
/// no effect and no cost.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the global recorder, once per process. [`Metrics::run_upkeep`] must be called every few seconds afterwards.
    pub fn install() -> Result<Self, Error> {
        let recorder = builder().map_err(Error::Metrics)?.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| Error::AlreadySet("metrics"))?;
        describe();
        Ok(Self(handle))
    }

    /// All metrics in the text format of Prometheus (`text/plain; version=0.0.4`).
    pub fn render(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            #[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^53")]
            metrics::gauge!("norman_aks_process_resident_bytes").set(bytes as f64);
        }
        self.0.render()
    }

    /// Aggregates the newest samples of histograms, which occupy memory until then.
    pub fn run_upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    ALL.iter().try_fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
        Kind::Histogram(bounds) => {
            builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)
        }
        Kind::Counter | Kind::Gauge => Ok(builder),
    })
}

/// Counters of rare events, with a label and its values. They are exported with the value zero from the start, so that an alert
/// recognizes the first increase.
const COUNTERS_FROM_ZERO: [(&str, &str, &[&str]); 5] = [
    (
        "norman_aks_azure_deferred_requests_total",
        "reason",
        &["background", "exhausted", "share", "speculative", "throttled"],
    ),
    ("norman_aks_connections_closed_total", "reason", &["descriptors", "handshake", "limit", "silent"]),
    ("norman_aks_disk_full_errors_total", "of", &["database", "log"]),
    ("norman_aks_log_lines_lost_total", "reason", &["error", "full", "slow"]),
    ("norman_aks_rejected_requests_total", "reason", &["csrf", "origin"]),
];

fn describe() {
    for &Metric { name, kind, unit, help } in ALL {
        match kind {
            Kind::Counter => describe_counter!(name, unit, help),
            Kind::Gauge => describe_gauge!(name, unit, help),
            Kind::Histogram(_) => describe_histogram!(name, unit, help),
        }
    }
    for (name, label, values) in COUNTERS_FROM_ZERO {
        for value in values {
            metrics::counter!(name, label => *value).increment(0);
        }
    }
    metrics::gauge!("norman_aks_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// The resident memory of this process, from `/proc/self/status`; `None` if that file does not exist.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use metrics::with_local_recorder;

    use super::*;

    #[test]
    fn text_has_descriptions_labels_and_buckets() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, || {
            describe();
            metrics::counter!("norman_aks_http_requests_total", "route" => "/meta/aksVersions", "status" => "200")
                .increment(2);
            metrics::histogram!("norman_aks_http_request_seconds", "route" => "/ping").record(0.002);
            let text = Metrics(handle).render();
            for expected in [
                "# HELP norman_aks_http_requests_total Requests by `method`, `route`",
                "# TYPE norman_aks_http_requests_total counter",
                "norman_aks_http_requests_total{route=\"/meta/aksVersions\",status=\"200\"} 2",
                "# TYPE norman_aks_http_request_seconds histogram",
                "norman_aks_http_request_seconds_bucket{route=\"/ping\",le=\"0.001\"} 0",
                "norman_aks_http_request_seconds_bucket{route=\"/ping\",le=\"0.0025\"} 1",
                "norman_aks_build_info{version=\"0.1.0\"} 1",
            ] {
                assert!(text.contains(expected), "{expected}\n{text}");
            }
            if Path::new("/proc/self/status").exists() {
                let line =
                    text.lines().find(|line| line.starts_with("norman_aks_process_resident_bytes ")).unwrap();
                let bytes: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
                assert!(bytes > 1e6, "{line}");
            }
        });
    }

    #[test]
    fn every_metric_in_the_sources_is_in_the_table() {
        let mut used = BTreeSet::new();
        for directory in ["src", "crates"] {
            collect_names(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut used);
        }
        let in_table: BTreeSet<String> = ALL.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(used.difference(&in_table).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    /// Collects literals such as `"norman_aks_cache_bytes"` in the Rust files of a directory.
    fn collect_names(directory: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect_names(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for (start, _) in text.match_indices("\"norman_aks_") {
                    let name: String = text[start + 1..].chars().take_while(|c| *c != '"').collect();
                    if name != "norman_aks_" && name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                        names.insert(name);
                    }
                }
            }
        }
    }
}
