//! Logs of containers: the output of a built-in program, or generated lines that depend only on the container and the time.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;

use super::cluster::Cluster;
use super::clusters::KubeClusters;
use super::request::KubeRequest;
use super::resources::PODS;
use super::runtime::ContainerKey;
use super::runtime::program_log::ProgramLog;
use super::status::StatusError;
use super::value::{at, list, micro_timestamp, parse_timestamp_ms, text};

/// The interval of generated lines.
const LINE_INTERVAL_MS: i64 = 1_000;
/// The maximum number of generated lines; older ones are dropped, as log rotation does.
const MAX_LINES: i64 = 10_000;
/// The polling interval of followers.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The log of a container that runs no program.
#[derive(Clone, Debug)]
struct GeneratedLog {
    container: String,
    image: String,
    node: String,
    started_ms: i64,
}

/// The origin of a log.
#[derive(Clone, Debug)]
enum LogSource {
    Generated(GeneratedLog),
    Program(Arc<ProgramLog>),
}

/// The options of a request for a log.
#[derive(Clone, Debug, Default)]
struct LogOptions {
    timestamps: bool,
    follow: bool,
    tail_lines: Option<i64>,
    since_ms: Option<i64>,
    limit_bytes: Option<usize>,
}

/// A line after its timestamp, in nanoseconds as in Kubernetes.
fn timestamped(time_ms: i64, line: &str) -> String {
    format!("{}000Z {line}\n", micro_timestamp(time_ms).trim_end_matches('Z'))
}

impl GeneratedLog {
    /// The number of lines written until `now_ms`, including dropped ones.
    fn line_count(&self, now_ms: i64) -> i64 {
        if now_ms < self.started_ms { 0 } else { 1 + (now_ms - self.started_ms) / LINE_INTERVAL_MS }
    }

    fn line(&self, number: i64, timestamps: bool) -> String {
        let message = if number == 0 {
            format!("{} ({}) started on {}", self.container, self.image, self.node)
        } else {
            format!("{} has been running for {number} s", self.container)
        };
        if timestamps {
            return timestamped(self.started_ms + number * LINE_INTERVAL_MS, &message);
        }
        format!("{message}\n")
    }

    /// The numbers of the lines since `since_ms` that exist at `now_ms`.
    fn line_numbers_since(&self, since_ms: Option<i64>, now_ms: i64) -> Range<i64> {
        let end = self.line_count(now_ms);
        let start = (end - MAX_LINES).max(0);
        let first_since = since_ms
            .map(|since_ms| (since_ms - self.started_ms + LINE_INTERVAL_MS - 1).div_euclid(LINE_INTERVAL_MS))
            .unwrap_or_default();
        start.max(first_since).min(end)..end
    }
}

impl LogSource {
    /// The numbers of the existing lines that match the options.
    fn existing_lines(&self, options: &LogOptions, now_ms: i64) -> Range<i64> {
        let lines = match self {
            Self::Generated(log) => log.line_numbers_since(options.since_ms, now_ms),
            Self::Program(log) => log.line_numbers_since(options.since_ms),
        };
        let start = options.tail_lines.map_or(lines.start, |tail| lines.start.max(lines.end - tail));
        start..lines.end
    }

    fn line(&self, number: i64, timestamps: bool) -> String {
        match self {
            Self::Generated(log) => log.line(number, timestamps),
            Self::Program(log) => match log.line(number) {
                Some((time_ms, line)) if timestamps => timestamped(time_ms, &line),
                Some((_, line)) => format!("{line}\n"),
                // The line was dropped in the meantime.
                None => String::new(),
            },
        }
    }

    /// Whether no more lines follow.
    fn is_closed(&self) -> bool {
        matches!(self, Self::Program(log) if log.is_closed())
    }
}

/// The requested log; with `follow`, a stream that continues with new lines.
pub(crate) fn respond(
    kube: &KubeClusters,
    cluster: &Arc<Cluster>,
    request: &KubeRequest,
    (namespace, name): (&str, &str),
) -> Result<Body, StatusError> {
    let options = LogOptions::from_request(request, kube.now().ms)?;
    let log = find_log(kube, cluster, request, (namespace, name))?;
    let now = kube.now();
    let existing_lines = log.existing_lines(&options, now.ms);
    let next_number = existing_lines.end;
    let text: String = existing_lines.map(|number| log.line(number, options.timestamps)).collect();
    // As bytes, because the limit may be inside a character.
    let mut text = Bytes::from(text);
    if let Some(limit) = options.limit_bytes {
        text.truncate(limit);
    }
    if !options.follow {
        return Ok(Body::from(text));
    }
    let follower = Follower {
        kube: kube.clone(),
        cluster: Arc::clone(cluster),
        pod: (namespace.to_owned(), name.to_owned()),
        remaining_bytes: options.limit_bytes.map(|limit| limit.saturating_sub(text.len())),
        log,
        options,
        next_number,
    };
    Ok(Body::from_stream(stream::unfold((Some(text), follower), |(first, mut follower)| async move {
        if let Some(first) = first.filter(|first| !first.is_empty()) {
            return Some((Ok::<_, io::Error>(first), (None, follower)));
        }
        let next_lines = follower.next_lines().await?;
        Some((Ok(next_lines), (None, follower)))
    })))
}

impl LogOptions {
    fn from_request(request: &KubeRequest, now_ms: i64) -> Result<Self, StatusError> {
        let number = |name: &str| request.number::<i64>(name);
        let tail = number("tailLines")?;
        if tail.is_some_and(|tail| tail < 0) {
            return Err(StatusError::new(
                422,
                "Invalid",
                "PodLogOptions \"\" is invalid: tailLines: must be greater than or equal to 0",
            ));
        }
        let since_ms = number("sinceSeconds")?.map(|seconds| now_ms - seconds * 1_000);
        let since_time_ms = request.parameter("sinceTime").and_then(parse_timestamp_ms);
        Ok(Self {
            timestamps: request.flag("timestamps"),
            follow: request.flag("follow"),
            tail_lines: tail,
            since_ms: since_ms.or(since_time_ms),
            limit_bytes: request.number("limitBytes")?,
        })
    }
}

fn find_log(
    kube: &KubeClusters,
    cluster: &Cluster,
    request: &KubeRequest,
    (namespace, name): (&str, &str),
) -> Result<LogSource, StatusError> {
    let state = cluster.state();
    let pod = state.get(&PODS, namespace, name).ok_or_else(|| StatusError::not_found(&PODS, name))?;
    let containers: Vec<&Value> =
        ["/spec/containers", "/spec/initContainers"].iter().flat_map(|pointer| list(pod, pointer)).collect();
    let names = || -> Vec<&str> { containers.iter().map(|container| text(container, "/name")).collect() };
    let annotated_default =
        at(pod, &["metadata", "annotations", "kubectl.kubernetes.io/default-container"]).as_str();
    let default_container =
        if list(pod, "/spec/containers").len() == 1 { names().first().copied() } else { annotated_default };
    let Some(container) = request.parameter("container").or(default_container) else {
        let text = format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            names().join(" ")
        );
        return Err(StatusError::bad_request(text));
    };
    let spec = containers.iter().find(|candidate| text(candidate, "/name") == container);
    let spec = spec.ok_or_else(|| {
        StatusError::bad_request(format!("container {container} is not valid for pod {name}"))
    })?;
    let previous = request.flag("previous");
    let key = ContainerKey::new(&cluster.host, pod, container);
    if let Some(log) = kube.runtime().program_log(&key, previous) {
        return Ok(LogSource::Program(log));
    }
    if previous {
        let text = format!("previous terminated container {container:?} in pod {name:?} not found");
        return Err(StatusError::bad_request(text));
    }
    generate_log(pod, spec).map(LogSource::Generated)
}

/// The generated log of a container; an error if the container has not started.
fn generate_log(pod: &Value, container: &Value) -> Result<GeneratedLog, StatusError> {
    let name = text(container, "/name");
    let statuses = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let mut statuses = statuses.iter().flat_map(|pointer| list(pod, pointer));
    let status = statuses.find(|status| text(status, "/name") == name);
    let started = status.and_then(|status| {
        parse_timestamp_ms(text(status, "/state/running/startedAt"))
            .or_else(|| parse_timestamp_ms(text(status, "/state/terminated/startedAt")))
    });
    let started_ms = started.ok_or_else(|| {
        let reason =
            status.map(|status| text(status, "/state/waiting/reason")).filter(|reason| !reason.is_empty());
        let reason = reason.unwrap_or("ContainerCreating");
        let pod = text(pod, "/metadata/name");
        StatusError::bad_request(format!("container {name:?} in pod {pod:?} is waiting to start: {reason}"))
    })?;
    Ok(GeneratedLog {
        container: name.to_owned(),
        image: text(container, "/image").to_owned(),
        node: text(pod, "/spec/nodeName").to_owned(),
        started_ms,
    })
}

/// A request that follows a log.
struct Follower {
    kube: KubeClusters,
    cluster: Arc<Cluster>,
    pod: (String, String),
    log: LogSource,
    options: LogOptions,
    /// The number of the next line to send.
    next_number: i64,
    /// The number of bytes that may still be sent.
    remaining_bytes: Option<usize>,
}

impl Follower {
    /// The next lines; `None` at the end.
    async fn next_lines(&mut self) -> Option<Bytes> {
        let (stop, stream_end) = (self.kube.stop().clone(), self.cluster.stream_end());
        while self.remaining_bytes != Some(0) {
            let (namespace, name) = &self.pod;
            self.cluster.state().get(&PODS, namespace, name)?;
            // Checked before the lines are read, so that the last ones are not missed.
            let is_closed = self.log.is_closed();
            let end = self.log.existing_lines(&LogOptions::default(), self.kube.now().ms).end;
            if end > self.next_number {
                let lines =
                    (self.next_number..end).map(|number| self.log.line(number, self.options.timestamps));
                let mut text = Bytes::from(lines.collect::<String>());
                self.next_number = end;
                if let Some(remaining_bytes) = &mut self.remaining_bytes {
                    text.truncate(*remaining_bytes);
                    *remaining_bytes -= text.len();
                }
                return Some(text);
            }
            if is_closed {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = stop.cancelled() => return None,
                () = stream_end.cancelled() => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated_log() -> GeneratedLog {
        let owned = |text: &str| text.to_owned();
        GeneratedLog {
            container: owned("web"),
            image: owned("nginx:1"),
            node: owned("n"),
            started_ms: 10_000,
        }
    }

    #[test]
    fn log_has_a_line_per_second_and_drops_old_ones() {
        let existing_lines = |options: LogOptions, now_ms| {
            LogSource::Generated(generated_log()).existing_lines(&options, now_ms)
        };
        assert_eq!(existing_lines(LogOptions::default(), 9_999), 0..0);
        assert_eq!(existing_lines(LogOptions::default(), 12_500), 0..3);
        assert_eq!(existing_lines(LogOptions { tail_lines: Some(1), ..LogOptions::default() }, 12_500), 2..3);
        assert_eq!(
            existing_lines(LogOptions { since_ms: Some(11_500), ..LogOptions::default() }, 12_500),
            2..3
        );
        assert_eq!(
            existing_lines(LogOptions { since_ms: Some(99_000), ..LogOptions::default() }, 12_500),
            3..3
        );
        assert_eq!(existing_lines(LogOptions::default(), 100_010_000), 90_001..100_001);
    }

    #[test]
    fn timestamps_are_added_on_request() {
        assert_eq!(generated_log().line(0, false), "web (nginx:1) started on n\n");
        assert_eq!(
            generated_log().line(1, true),
            "1970-01-01T00:00:11.000000000Z web has been running for 1 s\n"
        );
    }
}
