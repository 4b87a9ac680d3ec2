//! Log events as JSON objects, one per line. The JSON format of tracing-subscriber is not used, because it nests the fields of
//! spans: `request_id` would not always be at the top level.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Debug;
use std::io::Write as _;

use serde::Serializer as _;
use serde_json::{Serializer, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime as _;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::causes;
use super::escape::EscapedJson;
use super::timestamp::Timestamp;

/// The layer that writes JSON lines.
pub(super) struct JsonLines<W> {
    writer: W,
}

impl<W> JsonLines<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer }
    }
}

/// Fields in the order in which they are recorded; a later value replaces an earlier one of the same name.
#[derive(Default)]
struct Fields(Vec<(Cow<'static, str>, Value)>);

impl Fields {
    fn set(&mut self, name: impl Into<Cow<'static, str>>, value: Value) {
        let name = name.into();
        match self.0.iter_mut().find(|(existing, _)| *existing == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Adds fields whose names do not occur yet.
    fn add_missing(&mut self, others: impl IntoIterator<Item = (Cow<'static, str>, Value)>) {
        for (name, value) in others {
            if !self.0.iter().any(|(existing, _)| *existing == name) {
                self.0.push((name, value));
            }
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has neither infinities nor NaN.
        let number = serde_json::Number::from_f64(value).map(Value::Number);
        self.set(field.name(), number.unwrap_or_else(|| value.to_string().into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.set(field.name(), value.to_string().into());
        let causes = causes(value);
        if !causes.is_empty() {
            self.set(format!("{}.sources", field.name()), causes.into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field.name(), format!("{value:?}").into());
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut time = String::with_capacity(32);
        // The line is written even if the time cannot be formatted.
        let _ = Timestamp.format_time(&mut Writer::new(&mut time));
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = metadata.level().as_str();
        let mut members = Fields(vec![
            ("timestamp".into(), time.into()),
            ("level".into(), level.into()),
            ("target".into(), metadata.target().into()),
        ]);
        members.add_missing(fields.0);
        // Starts with the innermost span, whose values override those of the others.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                members.add_missing(fields.0.iter().cloned());
            }
        }
        let mut line = Vec::with_capacity(512);
        // Writing to a Vec cannot fail, and all keys are strings.
        let _ = Serializer::with_formatter(&mut line, EscapedJson).collect_map(members.0);
        line.push(b'\n');
        // An error of writing the log cannot be logged.
        let _ = self.writer.make_writer_for(metadata).write_all(&line);
    }
}
