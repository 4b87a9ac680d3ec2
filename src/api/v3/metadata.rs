//! Labels and annotations in requests and responses.

use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::norman::input::Object;
use crate::service::metadata::{Change, Metadata, MetadataChange};

/// Removes labels and annotations from converted input.
pub(super) fn take(input: &mut Object) -> MetadataChange {
    MetadataChange { labels: take_change(input, "labels"), annotations: take_change(input, "annotations") }
}

/// Removes a field from converted input. Its value is of type `T`, or `null` to clear the field.
pub(super) fn take_change<T: DeserializeOwned>(input: &mut Object, key: &str) -> Change<T> {
    match input.remove(key) {
        None => Change::Keep,
        Some(value) => serde_json::from_value(value).map_or(Change::Clear, Change::Set),
    }
}

/// Adds labels and annotations to the fields of a response.
pub(super) fn insert(fields: &mut Object, metadata: &Metadata) {
    fields.insert("annotations".to_owned(), json!(metadata.annotations));
    fields.insert("labels".to_owned(), json!(metadata.labels));
}
