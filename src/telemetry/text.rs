//! Log events as text without colours. The form is tracing-subscriber's; only the line that every request leaves is
//! written here, because there its general way costs more than all the rest of the line's way into the log.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{DefaultFields, Format, FormatEvent, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::stamp;

/// The target of the lines of requests. Their fields are texts and numbers, never errors.
const REQUEST: &str = "norman_aks::request";

/// The form of a line.
#[derive(Default)]
pub(super) struct TextLines {
    general: Format,
}

impl<S> FormatEvent<S, DefaultFields> for TextLines
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    DefaultFields: for<'w> FormatFields<'w>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, DefaultFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        if metadata.target() != REQUEST || context.lookup_current().is_some() {
            return self.general.format_event(context, writer, event);
        }
        stamp::write_now(&mut writer)?;
        write!(writer, " {:>5} {REQUEST}: ", metadata.level().as_str())?;
        let mut fields = Fields { writer: writer.by_ref(), begun: false, outcome: Ok(()) };
        event.record(&mut fields);
        fields.outcome?;
        writer.write_char('\n')
    }
}

struct Fields<'w> {
    writer: Writer<'w>,
    begun: bool,
    outcome: fmt::Result,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.outcome.is_ok() {
            self.outcome = self.begin(field.name()).and_then(|()| value(&mut self.writer));
        }
    }

    fn begin(&mut self, name: &str) -> fmt::Result {
        if self.begun {
            self.writer.write_char(' ')?;
        }
        self.begun = true;
        if name != "message" {
            self.writer.write_str(name)?;
            self.writer.write_char('=')?;
        }
        Ok(())
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |writer| {
            // What `Debug` would write as it is; its own look at every character takes long.
            if value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\') {
                writer.write_char('"')?;
                writer.write_str(value)?;
                writer.write_char('"')
            } else {
                write!(writer, "{value:?}")
            }
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, |writer| write!(writer, "{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<String>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Kept {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn log() {
        for path in ["/meta/aksVersions", "/a\"b\\c\n\u{1b}[31m\u{e9}", ""] {
            tracing::info!(
                target: "norman_aks::request",
                request_id = %"0198-a", method = %"GET", path, status = 200, duration_us = 12_u64, "answered"
            );
        }
        tracing::warn!(target: "norman_aks::request", ok = true, "{}", "made \u{e9}");
        tracing::info!(target: "norman_aks::other", path = "/", "elsewhere");
        let _in_span = tracing::info_span!("load", kind = "skus").entered();
        tracing::info!(target: "norman_aks::request", path = "/", "in a span");
    }

    #[test]
    fn lines_look_as_tracing_subscriber_writes_them() {
        let (ours, theirs) = (Kept::default(), Kept::default());
        let layer = tracing_subscriber::fmt().with_ansi(false);
        with_default(layer.event_format(TextLines::default()).with_writer(ours.clone()).finish(), log);
        with_default(tracing_subscriber::fmt().with_ansi(false).with_writer(theirs.clone()).finish(), log);
        let without_times = |kept: &Kept| {
            let text = kept.0.lock().unwrap().clone();
            text.lines().map(|line| line.split_once('Z').unwrap().1.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(without_times(&ours).len(), 6);
        assert_eq!(without_times(&ours), without_times(&theirs));
    }
}
