//! Log events as text, in the format of tracing-subscriber. Every value is escaped, so that an event is always one line.
//! Request lines have their own formatter, because the general one is slow.

use std::error::Error;
use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{Format, FormatEvent, Full, Writer};
use tracing_subscriber::fmt::time::FormatTime as _;
use tracing_subscriber::fmt::{FmtContext, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::causes;
use super::escape::Escaped;
use super::timestamp::Timestamp;

/// The target of request lines.
const REQUEST_TARGET: &str = "norman_aks::request";
/// The initial capacity for a request line; few are longer.
const REQUEST_LINE_CAPACITY: usize = 256;

const ITALIC: &str = "\u{1b}[3m";
const DIMMED: &str = "\u{1b}[2m";
const RESET: &str = "\u{1b}[0m";

/// The format of events.
pub(super) struct TextLines {
    general: Format<Full, Timestamp>,
}

impl Default for TextLines {
    fn default() -> Self {
        Self { general: Format::default().with_timer(Timestamp) }
    }
}

impl<S> FormatEvent<S, EscapedFields> for TextLines
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, EscapedFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let is_request = metadata.target() == REQUEST_TARGET && !writer.has_ansi_escapes();
        if !is_request || context.lookup_current().is_some() {
            return self.general.format_event(context, writer, event);
        }
        // The line is written with one call, because each call of the writer takes longer than formatting a short field.
        let mut line = String::with_capacity(REQUEST_LINE_CAPACITY);
        Timestamp.format_time(&mut Writer::new(&mut line))?;
        write!(line, " {:>5} {REQUEST_TARGET}: ", metadata.level().as_str())?;
        let mut fields = Fields::new(&mut line, false);
        event.record(&mut fields);
        fields.result?;
        line.push('\n');
        writer.write_str(&line)
    }
}

/// The format of the fields of events and spans: the message without its name, the others as `name=value`.
pub(super) struct EscapedFields;

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let ansi = writer.has_ansi_escapes();
        let mut visitor = Fields::new(writer, ansi);
        fields.record(&mut visitor);
        visitor.result
    }
}

/// Writes fields, and stops at the first error.
struct Fields<W> {
    writer: W,
    ansi: bool,
    is_first: bool,
    result: fmt::Result,
}

impl<W: fmt::Write> Fields<W> {
    fn new(writer: W, ansi: bool) -> Self {
        Self { writer, ansi, is_first: true, result: Ok(()) }
    }

    /// Writes a field; its name may have a suffix, such as `.sources`.
    fn write_field(&mut self, name: &str, suffix: &str, value: impl FnOnce(&mut W) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.write_name(name, suffix).and_then(|()| value(&mut self.writer));
        }
    }

    fn write_name(&mut self, name: &str, suffix: &str) -> fmt::Result {
        if !self.is_first {
            self.writer.write_char(' ')?;
        }
        self.is_first = false;
        if name == "message" {
            return Ok(());
        }
        if self.ansi {
            for part in [name, suffix].into_iter().filter(|part| !part.is_empty()) {
                write!(self.writer, "{ITALIC}{part}{RESET}")?;
            }
            return write!(self.writer, "{DIMMED}={RESET}");
        }
        self.writer.write_str(name)?;
        self.writer.write_str(suffix)?;
        self.writer.write_char('=')
    }
}

impl<W: fmt::Write> Visit for Fields<W> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write_field(field.name(), "", |writer| write!(writer, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return self.record_debug(field, &format_args!("{value}"));
        }
        self.write_field(field.name(), "", |writer| {
            // `Debug` would write the same, but is slower.
            if value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\') {
                writer.write_char('"')?;
                writer.write_str(value)?;
                writer.write_char('"')
            } else {
                write!(Escaped(writer), "{value:?}")
            }
        });
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
        let causes = causes(value);
        if !causes.is_empty() {
            self.write_field(field.name(), ".sources", |writer| {
                write!(Escaped(writer), "[{}]", causes.join(", "))
            });
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write_field(field.name(), "", |writer| write!(Escaped(writer), "{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::subscriber::with_default;
    use tracing_subscriber::fmt::MakeWriter as _;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Failure {
        text: &'static str,
        source: Option<Box<Failure>>,
    }

    fn failure(texts: &[&'static str]) -> Failure {
        let (text, causes) = texts.split_first().unwrap();
        let source = (!causes.is_empty()).then(|| Box::new(failure(causes)));
        Failure { text, source }
    }

    fn log_sample_events() {
        for path in ["/meta/aksVersions", "/a\"b\\c\n\u{1b}[31m\u{e9}", ""] {
            tracing::info!(
                target: "norman_aks::request",
                request_id = %"0198-a", method = %"GET", path, status = 200, duration_us = 12_u64, "responded"
            );
        }
        tracing::warn!(target: "norman_aks::request", ok = true, "{}", "made \u{e9}");
        tracing::info!(target: "norman_aks::other", path = "/", "elsewhere");
        let error = failure(&["a", "b", "c"]);
        tracing::error!(error = &error as &dyn Error, shown = %error, debug = ?Some("x\n"), "failed");
        let span = tracing::info_span!("load", kind = "skus", late = tracing::field::Empty);
        let _in_span = span.enter();
        span.record("late", 1.5);
        tracing::info!(target: "norman_aks::request", path = "/", "in a span");
    }

    /// The lines that `log_events` writes in our format, or in that of tracing-subscriber.
    fn capture(is_ours: bool, ansi: bool, log_events: impl FnOnce()) -> String {
        let lines: &Mutex<Vec<u8>> = Box::leak(Box::default());
        let builder = tracing_subscriber::fmt().with_ansi(ansi).with_writer(|| lines.make_writer());
        if is_ours {
            let builder = builder.fmt_fields(EscapedFields).event_format(TextLines::default());
            with_default(builder.finish(), log_events);
        } else {
            with_default(builder.finish(), log_events);
        }
        String::from_utf8(lines.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_equal_those_of_tracing_subscriber() {
        for ansi in [false, true] {
            let [ours, theirs] = [true, false].map(|is_ours| {
                let text = capture(is_ours, ansi, log_sample_events);
                text.lines().map(|line| line.split_once('Z').unwrap().1.to_owned()).collect::<Vec<_>>()
            });
            assert_eq!(ours.len(), 7);
            assert_eq!(ours, theirs, "ansi: {ansi}");
        }
    }

    #[test]
    fn values_cannot_forge_lines_or_control_terminals() {
        const FORGED: &str =
            "x\n2026-01-01T00:00:00Z  INFO norman_aks: forged\r\u{1b}[2K\u{9b}31m\u{85}\u{2028}\u{202e}";
        for ansi in [false, true] {
            let text = capture(true, ansi, || {
                let error = failure(&[FORGED, FORGED, FORGED]);
                let span =
                    tracing::info_span!("load", name = FORGED, shown = %FORGED, late = tracing::field::Empty);
                let in_span = span.enter();
                span.record("late", tracing::field::display(FORGED));
                tracing::error!(error = &error as &dyn Error, text = FORGED, shown = %FORGED, debug = ?FORGED, "{FORGED}");
                drop(in_span);
                tracing::info!(target: "norman_aks::request", path = FORGED, method = %FORGED, "{}", FORGED);
                tracing::info!(message = FORGED);
            });
            assert_eq!(text.lines().count(), 3, "{text}");
            let plain =
                if ansi { text.replace("\u{1b}[", "").replace('\n', "") } else { text.replace('\n', "") };
            let unescaped = plain.chars().filter(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}'));
            assert_eq!(unescaped.count(), 0, "{text:?}");
            assert!(!ansi || !text.contains("\u{1b}[2K"), "{text:?}");
        }
    }
}
