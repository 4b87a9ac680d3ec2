//! Log events as JSON objects, one per line. tracing-subscriber's own form nests the fields of spans, so that
//! `request_id` would be somewhere else in every line.

use std::error::Error;
use std::fmt::Debug;
use std::io::Write as _;

use serde::Serialize as _;
use serde_json::{Serializer, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::escape::EscapedJson;

/// The layer that writes them.
pub(super) struct JsonLines<W> {
    writer: W,
}

impl<W> JsonLines<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer }
    }
}

/// Fields in the order of their coming; a later value of the same name replaces the earlier one.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match self.0.iter_mut().find(|(name, _)| *name == field.name()) {
            Some((_, old)) => *old = value,
            None => self.0.push((field.name(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinities.
        let number = serde_json::Number::from_f64(value).map(Value::Number);
        self.put(field, number.unwrap_or_else(|| value.to_string().into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, value.to_string().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}").into());
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
        // Failing to format the time is no reason to lose the line.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let mut fields = Fields::default();
        event.record(&mut fields);

        let mut line = Line::begin();
        line.member("timestamp", &Value::String(time));
        line.member("level", &metadata.level().as_str().into());
        line.member("target", &metadata.target().into());
        for (name, value) in &fields.0 {
            line.member_once(name, value);
        }
        // The innermost span first: what it says of a field counts.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                for (name, value) in &fields.0 {
                    line.member_once(name, value);
                }
            }
        }
        // There is nowhere left to report that the log cannot be written.
        let _ = self.writer.make_writer_for(metadata).write_all(&line.end());
    }
}

/// An object in the making.
struct Line {
    text: Vec<u8>,
    names: Vec<&'static str>,
}

impl Line {
    fn begin() -> Self {
        let mut text = Vec::with_capacity(512);
        text.push(b'{');
        Self { text, names: Vec::with_capacity(16) }
    }

    fn member(&mut self, name: &'static str, value: &Value) {
        if !self.names.is_empty() {
            self.text.push(b',');
        }
        self.names.push(name);
        // Writing to a Vec cannot fail, and Values have string keys only.
        let _ = serde_json::to_writer(&mut self.text, name);
        self.text.push(b':');
        let _ = value.serialize(&mut Serializer::with_formatter(&mut self.text, EscapedJson));
    }

    fn member_once(&mut self, name: &'static str, value: &Value) {
        if !self.names.contains(&name) {
            self.member(name, value);
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.text.extend_from_slice(b"}\n");
        self.text
    }
}
