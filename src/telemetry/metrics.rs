//! The metrics of this process: the table of what there is, and their text for Prometheus. Counting happens
//! where things happen, through the `metrics` crate; serving the text does not happen here.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::Error;

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size, with these upper bounds.
    Histogram(&'static [f64]),
}

/// A metric that some part of the program keeps.
#[derive(Debug)]
pub struct Metric {
    /// Its full name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What its numbers count.
    pub unit: Unit,
    /// One sentence for people, with the labels and their values.
    pub help: &'static str,
}

/// From a warm answer (under a millisecond) to the time limit of an action (55 s).
const REQUEST_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// From a near region to the longest that Azure may take.
const UPSTREAM_SECONDS: &[f64] = &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Every metric of ours. A test compares it with the names in the sources.
pub const ALL: &[Metric] = &[
    metric("norman_aks_build_info", Kind::Gauge, Unit::Count, "Always 1; `version` is the program's."),
    metric(
        "norman_aks_http_requests_total",
        Kind::Counter,
        Unit::Count,
        "Answered requests by `method`, `route` (the template) and `status`.",
    ),
    metric(
        "norman_aks_http_request_seconds",
        Kind::Histogram(REQUEST_SECONDS),
        Unit::Seconds,
        "Time from a request's head to the head of its answer, by `method` and `route`.",
    ),
    metric(
        "norman_aks_http_requests_in_flight",
        Kind::Gauge,
        Unit::Count,
        "Requests that are worked on now.",
    ),
    metric(
        "norman_aks_access_waits_total",
        Kind::Counter,
        Unit::Count,
        "Requests for clusters that waited for Azure to know a secret or role, by `outcome` (`ended`, `timed_out`, or `limited` when too many waited already).",
    ),
    metric(
        "norman_aks_upstream_requests_total",
        Kind::Counter,
        Unit::Count,
        "Requests to Azure, retries included, by `operation` and `status` (`none` when no answer came, `cancelled` when nobody waited for it).",
    ),
    metric(
        "norman_aks_upstream_seconds",
        Kind::Histogram(UPSTREAM_SECONDS),
        Unit::Seconds,
        "Time of a request to Azure, by `operation`.",
    ),
    metric(
        "norman_aks_token_fetches_total",
        Kind::Counter,
        Unit::Count,
        "Tokens asked of Microsoft Entra, by `outcome`: `success`, `refused` or `unavailable`.",
    ),
    metric(
        "norman_aks_cache_lookups_total",
        Kind::Counter,
        Unit::Count,
        "Listings looked up, by `kind` and `outcome`: `hit`, `miss` or `stale`.",
    ),
    metric(
        "norman_aks_cache_loads_total",
        Kind::Counter,
        Unit::Count,
        "Listings loaded from Azure, by `kind` and `outcome`: `success`, `timed_out`, `failed` or `refused`.",
    ),
    metric(
        "norman_aks_stale_responses_total",
        Kind::Counter,
        Unit::Count,
        "Listings served past their time to live, by `kind` and `reason`: `refreshing` (a new one is being loaded), `slow` (the load takes longer than 3 s), `timed_out` (the previous load did) or `failed`.",
    ),
    metric(
        "norman_aks_failed_logins_total",
        Kind::Counter,
        Unit::Count,
        "Requests with a token that is unknown, wrong, expired or of a disabled user.",
    ),
    metric(
        "norman_aks_rejected_requests_total",
        Kind::Counter,
        Unit::Count,
        "Requests of browsers that were rejected although their session is valid, by `reason`: `origin` (a page of another site) or `csrf` (no X-API-CSRF).",
    ),
    metric(
        "norman_aks_connections",
        Kind::Gauge,
        Unit::Count,
        "Open connections of clients, by `state`: `unauthenticated` (never carried an authenticated request) or `admitted` (did, or come from a trusted proxy).",
    ),
    metric(
        "norman_aks_connections_closed_total",
        Kind::Counter,
        Unit::Count,
        "Connections that the server closed, by `reason`: `limit` (too many without an authenticated request), `descriptors` (no files left), `handshake` or `silent` (too slow).",
    ),
    metric(
        "norman_aks_kubernetes_requests_in_flight",
        Kind::Gauge,
        Unit::Count,
        "Requests that are being passed on into clusters, streams included.",
    ),
    metric(
        "norman_aks_cluster_access_renewals_total",
        Kind::Counter,
        Unit::Count,
        "Access to clusters that was fetched again because a cluster rejected it, by `outcome`: `renewed` or `failed`.",
    ),
    metric(
        "norman_aks_provision_steps_total",
        Kind::Counter,
        Unit::Count,
        "Steps towards what clusters are to be, by `outcome`: `done` or `failed`.",
    ),
    metric(
        "norman_aks_cluster_watches",
        Kind::Gauge,
        Unit::Count,
        "Clusters whose roles and bindings this server keeps.",
    ),
    metric(
        "norman_aks_cluster_role_corrections_total",
        Kind::Counter,
        Unit::Count,
        "Corrections of roles and bindings inside clusters, by `outcome`: `done` or `failed`.",
    ),
    metric(
        "norman_aks_cluster_revocations_pending",
        Kind::Gauge,
        Unit::Count,
        "Users who lost rights in a cluster and may still be named in bindings inside it.",
    ),
    metric(
        "norman_aks_node_reads_total",
        Kind::Counter,
        Unit::Count,
        "Lists of nodes read from clusters in the background, by `outcome`: `done`, `failed` or `skipped` (too many clusters are waiting).",
    ),
    metric("norman_aks_node_cache_bytes", Kind::Gauge, Unit::Bytes, "Memory that cached nodes take."),
    metric("norman_aks_cache_bytes", Kind::Gauge, Unit::Bytes, "Memory that cached listings take."),
    metric(
        "norman_aks_database_connections",
        Kind::Gauge,
        Unit::Count,
        "Connections of the database pool, by `state`: `idle` or `busy`.",
    ),
    metric(
        "norman_aks_disk_full_errors_total",
        Kind::Counter,
        Unit::Count,
        "Writes that failed because a disk is full, by `of`: `database` or `log`.",
    ),
    metric(
        "norman_aks_log_lines_lost_total",
        Kind::Counter,
        Unit::Count,
        "Log lines that could not be written, by `reason`: `slow` (standard error is read too slowly), `full` (no space left) or `error`.",
    ),
    metric(
        "norman_aks_process_resident_bytes",
        Kind::Gauge,
        Unit::Bytes,
        "Memory of the process that is in RAM (Linux only).",
    ),
];

const fn metric(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind, unit, help }
}

/// The recorder of this process. Without [`Metrics::install`] nothing is counted and counting costs nothing,
/// so install it only when somebody can read the numbers.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts counting; can be done once in a process.
    ///
    /// [`Metrics::run_upkeep`] must be called every few seconds from then on.
    pub fn install() -> Result<Self, Error> {
        let recorder = builder().map_err(Error::Metrics)?.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| Error::AlreadySet("metrics"))?;
        describe();
        Ok(Self(handle))
    }

    /// All numbers in the text format of Prometheus (`text/plain; version=0.0.4`).
    pub fn render(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            #[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^53")]
            gauge!("norman_aks_process_resident_bytes").set(bytes as f64);
        }
        self.0.render()
    }

    /// Sorts the newest samples of histograms into their bounds. Until then they pile up in memory.
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

/// Counters of what seldom happens, with a label and its values: they begin at zero, so that an alert sees the first
/// increase.
const FROM_ZERO: [(&str, &str, &[&str]); 4] = [
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
    for (name, label, values) in FROM_ZERO {
        for value in values {
            counter!(name, label => *value).increment(0);
        }
    }
    gauge!("norman_aks_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// `VmRSS` of `/proc/self/status` in bytes; `None` where there is no such file.
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

    use metrics::{histogram, with_local_recorder};

    use super::*;

    #[test]
    fn the_text_has_descriptions_labels_and_our_bounds() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, || {
            describe();
            counter!("norman_aks_http_requests_total", "route" => "/meta/aksVersions", "status" => "200")
                .increment(2);
            histogram!("norman_aks_http_request_seconds", "route" => "/ping").record(0.002);
            let text = Metrics(handle).render();
            for expected in [
                "# HELP norman_aks_http_requests_total Answered requests by `method`",
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
    fn every_metric_named_in_the_sources_is_in_the_table() {
        let mut named = BTreeSet::new();
        for folder in ["src", "crates"] {
            collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut named);
        }
        let known: BTreeSet<String> = ALL.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(named.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    /// Literals such as `"norman_aks_cache_bytes"` in the Rust files below `folder`.
    fn collect(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for (at, _) in text.match_indices("\"norman_aks_") {
                    let name: String = text[at + 1..].chars().take_while(|c| *c != '"').collect();
                    if name != "norman_aks_" && name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                        names.insert(name);
                    }
                }
            }
        }
    }
}
