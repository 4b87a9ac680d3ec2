//! Log lines and metrics.
//!
//! Lines are written to standard error by a writer that never blocks a request ([`writer`]). In JSON, each line is one
//! object with the fields of the event and of its spans at the top level, so that `request_id` is always in the same
//! place.

mod error;
mod escape;
mod json;
pub mod metrics;
mod text;
mod timestamp;
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::iter;
use std::panic::{self, PanicHookInfo};

use tracing::Subscriber;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

pub use self::error::Error;
pub use self::writer::{Guard, is_disk_full};

/// The default filter, to which the directives of `RUST_LOG` are appended. Libraries that log every statement or frame
/// log only warnings, unless a directive specifies another level.
const BASE_FILTER: &str = "info,azure_core=warn,azure_identity=warn,h2=warn,hyper=warn,hyper_util=warn,\
    reqwest=warn,rustls=warn,sqlx=warn,tower=warn,tower_http=warn,typespec_client_core=warn";

/// The server's crate, whose directives also apply to [`CRATES`].
const SERVER: &str = "norman_aks";
const CRATES: [&str; 7] =
    ["aks", "azure", "azure_sandbox", "clock", "cluster_access", "remotedialer", "serve"];

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text { ansi: bool },
    Json,
}

/// Sets up the log of this process, including panics. Dropping the guard flushes the log.
pub fn init(format: Format, directives: Option<&str>) -> Result<Guard, Error> {
    let (writer, guard) = writer::start(std::io::stderr()).map_err(Error::Thread)?;
    subscriber(format, directives, writer)?.try_init().map_err(|_| Error::AlreadySet("log"))?;
    panic::set_hook(Box::new(log_panic));
    Ok(guard)
}

/// Logs a panic. The line also has the fields of the current spans, such as `request_id`.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("non-string panic payload");
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
    let directives = directives.map(expand_to_all_crates).unwrap_or_default();
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

/// The messages of the causes of an error, the direct one first.
fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string).collect()
}

/// Copies each directive for the whole server, such as `norman_aks=debug`, for the other crates of the server.
fn expand_to_all_crates(directives: &str) -> String {
    let mut expanded = directives.to_owned();
    for directive in directives.split(',').map(str::trim) {
        if let Some(level) =
            directive.strip_prefix(SERVER).filter(|level| level.is_empty() || level.starts_with('='))
        {
            // The copies come first, so that a directive for one crate overrides them.
            for name in CRATES {
                expanded.insert_str(0, &format!("{name}{level},"));
            }
        }
    }
    expanded
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;

    /// The lines that `log_events` logs.
    fn capture(format: Format, directives: Option<&str>, log_events: impl FnOnce()) -> String {
        let log: &Mutex<Vec<u8>> = Box::leak(Box::default());
        let subscriber = subscriber(format, directives, || log.make_writer()).unwrap();
        tracing::subscriber::with_default(subscriber, log_events);
        String::from_utf8(log.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn directive_for_the_server_covers_its_crates() {
        let logged = |directives| {
            capture(Format::Json, Some(directives), || {
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
    fn json_lines_have_fields_of_event_and_spans_at_the_top_level() {
        let text = capture(Format::Json, None, || {
            let request = tracing::info_span!("request", request_id = "abc", status = tracing::field::Empty);
            let _in_request = request.enter();
            request.record("status", 200);
            let _inner = tracing::info_span!("load", kind = %"skus").entered();
            let error = Error::Thread(io::Error::other("broken\n\"pipe\""));
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
                "kind": "inner wins", "nan": "NaN", "error": "cannot start the log writer",
                "error.sources": ["broken\n\"pipe\""], "debug": "Some(1)",
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
    fn libraries_log_only_warnings_by_default() {
        let log_events = || {
            tracing::debug!(target: "norman_aks::x", "ours-debug");
            tracing::info!(target: "sqlx::query", "sqlx-info");
            tracing::warn!(target: "sqlx::query", "sqlx-warn");
        };
        for (directives, expected) in [
            (None, ["sqlx-warn"].as_slice()),
            (Some("debug"), &["ours-debug", "sqlx-warn"]),
            (Some("error,sqlx=info"), &["sqlx-info", "sqlx-warn"]),
        ] {
            let text = capture(Format::Text { ansi: false }, directives, log_events);
            let logged: Vec<_> = text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
            assert_eq!(logged, expected, "{directives:?}");
        }
    }

    #[test]
    fn panic_is_logged_with_the_fields_of_its_request() {
        let text = capture(Format::Json, None, || {
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
    fn invalid_filter_is_an_error() {
        let error = subscriber(Format::Json, Some("norman_aks=loud"), io::sink).err().unwrap();
        assert!(matches!(error, Error::Filter(_)), "{error}");
    }
}
