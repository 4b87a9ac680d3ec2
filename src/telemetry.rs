//! Log lines and metrics: how they are written, not what is written.
//!
//! Lines go to standard error through a writer that never holds up a request ([`writer`]); in JSON each is
//! one object whose top level has the fields of the event and of the spans around it, so that `request_id`
//! is always found at the same place.

mod escape;
mod json;
pub mod metrics;
mod text;
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};

use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

pub use self::writer::Guard;

/// What is written when `RUST_LOG` says nothing, and what its directives are added to: libraries that log
/// every statement or frame stay quiet until they are named.
const BASE_FILTER: &str = "info,azure_core=warn,azure_identity=warn,h2=warn,hyper=warn,hyper_util=warn,\
    reqwest=warn,rustls=warn,sqlx=warn,tower=warn,tower_http=warn,typespec_client_core=warn";

/// The server, as directives name it, and the crates that it consists of.
const SERVER: &str = "norman_aks";
const CRATES: [&str; 6] = ["aks", "azure", "azure_sandbox", "clock", "cluster_access", "serve"];

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text {
        /// Whether colours are wanted.
        ansi: bool,
    },
    /// One JSON object per line.
    Json,
}

/// Logs that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `RUST_LOG` cannot be parsed.
    #[error("RUST_LOG is not a list of directives such as `info` or `norman_aks=debug,sqlx=info`")]
    Filter(#[source] ParseError),
    /// Somebody else has set up logs or metrics in this process.
    #[error("the {0} of this process are set up already")]
    AlreadySet(&'static str),
    /// The table of metrics has a histogram without bounds.
    #[error("the metrics cannot be set up")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
    /// The thread that writes cannot be started.
    #[error("the log writer cannot be started")]
    Thread(#[source] std::io::Error),
}

/// Sets up the log of this process, which takes in panics as well. What has been logged is written when the guard is
/// dropped at the latest.
pub fn init(format: Format, directives: Option<&str>) -> Result<Guard, Error> {
    let (writer, guard) = writer::start(std::io::stderr()).map_err(Error::Thread)?;
    subscriber(format, directives, writer)?.try_init().map_err(|_| Error::AlreadySet("log"))?;
    panic::set_hook(Box::new(log_panic));
    Ok(guard)
}

/// A panic as a log line, so that it has the fields of the request that it happened in.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("a value that is no text");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(location, panic = message, %backtrace, "panicked");
    } else {
        tracing::error!(location, panic = message, "panicked");
    }
}

fn subscriber<W>(
    format: Format,
    directives: Option<&str>,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let directives = directives.map(for_all_crates).unwrap_or_default();
    let filter = EnvFilter::builder().parse(format!("{BASE_FILTER},{directives}"));
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Text { ansi } => Box::new(
            tracing_subscriber::fmt::layer()
                .with_ansi(ansi)
                .fmt_fields(text::EscapedFields)
                .event_format(text::TextLines::default())
                .with_writer(writer),
        ),
        Format::Json => Box::new(json::JsonLines::new(writer)),
    };
    Ok(tracing_subscriber::registry().with(lines.with_filter(filter.map_err(Error::Filter)?)))
}

/// The directives with each one for the whole server, such as `norman_aks=debug`, repeated for the crates that it
/// consists of.
fn for_all_crates(directives: &str) -> String {
    let mut all = directives.to_owned();
    for directive in directives.split(',').map(str::trim) {
        if let Some(level) = directive.strip_prefix(SERVER).filter(|level| level.starts_with('=')) {
            // Before the others, so that a directive for one crate still counts.
            for name in CRATES {
                all.insert_str(0, &format!("{name}{level},"));
            }
        }
    }
    all
}

/// Whether the log cannot be written because its disk is full.
pub fn log_is_full() -> bool {
    writer::is_full()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, directives: Option<&str>, act: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = subscriber(format, directives, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn directive_for_the_server_covers_its_crates() {
        let logged = |directives| {
            written(Format::Json, Some(directives), || {
                tracing::debug!(target: "azure::token", "in azure");
                tracing::debug!(target: "serve", "in serve");
            })
        };
        let text = logged("norman_aks=debug");
        assert!(text.contains("in azure") && text.contains("in serve"), "{text}");
        let text = logged("norman_aks=debug,azure=warn");
        assert!(!text.contains("in azure") && text.contains("in serve"), "{text}");
        assert_eq!(logged("info,norman_aks::api=debug"), "");
    }

    #[test]
    fn json_lines_carry_the_fields_of_event_and_spans_at_the_top_level() {
        let text = written(Format::Json, None, || {
            let request = tracing::info_span!("request", request_id = "abc", status = tracing::field::Empty);
            let _in_request = request.enter();
            request.record("status", 200);
            let _inner = tracing::info_span!("load", kind = %"skus").entered();
            let error = io::Error::other("broken\n\"pipe\"");
            tracing::warn!(
                duration_ms = 1.5, bytes = 7_u64, delta = -3, big = u128::MAX, ok = true,
                kind = "inner wins", nan = f64::NAN, error = &error as &dyn std::error::Error,
                debug = ?Some(1), "it \"works\"\u{1}"
            );
            tracing::info!(target: "norman_aks::other", "second");
        });
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        let mut line = lines[0].clone();
        let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(timestamp.as_str().unwrap().ends_with('Z'), "{timestamp}");
        assert_eq!(
            line,
            serde_json::json!({
                "level": "WARN", "target": "norman_aks::telemetry::tests", "message": "it \"works\"\u{1}",
                "duration_ms": 1.5, "bytes": 7, "delta": -3, "big": u128::MAX.to_string(), "ok": true,
                "kind": "inner wins", "nan": "NaN", "error": "broken\n\"pipe\"", "debug": "Some(1)",
                "request_id": "abc", "status": 200,
            })
        );
        assert_eq!(lines[1]["target"], "norman_aks::other");
        assert_eq!(lines[1]["kind"], "skus");
        for line in text.lines() {
            for key in ["kind", "request_id", "status", "level"] {
                assert_eq!(line.matches(&format!("\"{key}\":")).count(), 1, "{line}");
            }
        }
    }

    #[test]
    fn libraries_stay_quiet_until_they_are_named() {
        let act = || {
            tracing::debug!(target: "norman_aks::x", "ours-debug");
            tracing::info!(target: "sqlx::query", "sqlx-info");
            tracing::warn!(target: "sqlx::query", "sqlx-warn");
        };
        for (directives, expected) in [
            (None, ["sqlx-warn"].as_slice()),
            (Some("debug"), &["ours-debug", "sqlx-warn"]),
            (Some("error,sqlx=info"), &["sqlx-info", "sqlx-warn"]),
        ] {
            let text = written(Format::Text { ansi: false }, directives, act);
            let seen: Vec<_> = text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
            assert_eq!(seen, expected, "{directives:?}");
        }
    }

    #[test]
    fn a_panic_is_a_line_with_the_fields_of_its_request() {
        let text = written(Format::Json, None, || {
            let _request = tracing::info_span!("request", request_id = "abc").entered();
            let previous = panic::take_hook();
            panic::set_hook(Box::new(log_panic));
            let outcome = panic::catch_unwind(|| panic!("out of {}", "luck"));
            panic::set_hook(previous);
            assert!(outcome.is_err());
        });
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(line["panic"], "out of luck");
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["request_id"], "abc");
        assert!(line["location"].as_str().unwrap().starts_with("src/telemetry.rs:"), "{line}");
    }

    #[test]
    fn a_filter_that_cannot_be_parsed_is_an_error() {
        let error = subscriber(Format::Json, Some("norman_aks=loud"), io::sink).err().unwrap();
        assert!(matches!(error, Error::Filter(_)), "{error}");
    }
}
