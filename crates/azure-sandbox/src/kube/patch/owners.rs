//! `managedFields`: who wrote which field last.

use super::super::value::Keyed as _;
use serde_json::{Value, json};

use super::fields::Fields;
use crate::kube::value::{list, set, text};

/// Somebody who writes, and when.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    pub(crate) api_version: String,
    /// `status` or `scale`; empty for the object itself.
    pub(crate) subresource: String,
    pub(crate) time: String,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    /// Written by server-side apply; else in another way.
    pub(crate) applied: bool,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) fields: Fields,
}

impl Entry {
    pub(crate) fn new(writer: &Writer, applied: bool, fields: Fields) -> Self {
        let Writer { manager, api_version, subresource, time } = writer.clone();
        Self { manager, applied, api_version, subresource, time, fields }
    }

    pub(crate) fn is(&self, writer: &Writer, applied: bool) -> bool {
        self.manager == writer.manager && self.applied == applied && self.subresource == writer.subresource
    }

    /// As refusals name it.
    pub(crate) fn described(&self) -> String {
        let mut described = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            described = format!("{described} with subresource {:?}", self.subresource);
        }
        if !self.applied {
            described = format!("{described} using {}", self.api_version);
            if !self.time.is_empty() {
                described = format!("{described} at {}", self.time);
            }
        }
        described
    }
}

pub(crate) fn read(object: &Value) -> Vec<Entry> {
    let entry = |entry: &Value| Entry {
        manager: text(entry, "/manager").to_owned(),
        applied: text(entry, "/operation") == "Apply",
        api_version: text(entry, "/apiVersion").to_owned(),
        subresource: text(entry, "/subresource").to_owned(),
        time: text(entry, "/time").to_owned(),
        fields: Fields::read(&entry["fieldsV1"]),
    };
    list(object, "/metadata/managedFields").iter().map(entry).collect()
}

pub(crate) fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    // Appliers first, then by age, as Kubernetes has them.
    entries.sort_by(|a, b| (!a.applied, &a.time, &a.manager).cmp(&(!b.applied, &b.time, &b.manager)));
    let write = |entry: Entry| {
        let mut written = json!({
            "manager": entry.manager,
            "operation": if entry.applied { "Apply" } else { "Update" },
            "apiVersion": entry.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": entry.fields.write(),
        });
        if !entry.subresource.is_empty() {
            *written.slot("subresource") = entry.subresource.into();
        }
        written
    };
    let all: Vec<_> = entries.into_iter().map(write).collect();
    set(object, &["metadata", "managedFields"], all);
}

/// Enters into `new` who has which field after `writer` made it out of `old` in another way than by apply.
///
/// What `new` says itself about it counts as the state before, so that clients can hand fields over; a list with one
/// empty entry forgets everybody.
pub(crate) fn written(old: Option<&Value>, new: &mut Value, writer: &Writer) {
    let given = list(new, "/metadata/managedFields");
    let reset = given == [json!({})];
    let mut entries = if given.is_empty() { old.map(read).unwrap_or_default() } else { read(new) };
    if reset {
        entries.clear();
    }
    let changed = Fields::changed(old, new);
    let there = Fields::of(new);
    let mut own = Fields::default();
    let mut time = writer.time.clone();
    entries.retain_mut(|entry| {
        if entry.is(writer, false) {
            if changed.is_empty() {
                time.clone_from(&entry.time);
            }
            own = std::mem::take(&mut entry.fields);
            return false;
        }
        entry.fields = entry.fields.without(&changed).shared(&there);
        true
    });
    let own = own.with(&changed).shared(&there);
    let writer = Writer { time, ..writer.clone() };
    entries.push(Entry::new(&writer, false, own));
    write(new, entries);
}
