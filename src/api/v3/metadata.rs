//! Labels and annotations in requests and responses.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::norman::input::Object;
use crate::service::metadata::{Change, Metadata, MetadataChange};

/// Removes labels and annotations from converted input.
pub(super) fn take(input: &mut Object) -> MetadataChange {
    MetadataChange { labels: take_change(input, "labels"), annotations: take_change(input, "annotations") }
}

fn take_change(input: &mut Object, key: &str) -> Change<BTreeMap<String, String>> {
    match input.remove(key) {
        None => Change::Keep,
        Some(value @ Value::Object(_)) => serde_json::from_value(value).map_or(Change::Clear, Change::Set),
        Some(_) => Change::Clear,
    }
}

/// Adds labels and annotations to the fields of a response.
pub(super) fn insert(fields: &mut Object, metadata: &Metadata) {
    fields.insert("annotations".to_owned(), json!(metadata.annotations));
    fields.insert("labels".to_owned(), json!(metadata.labels));
}
