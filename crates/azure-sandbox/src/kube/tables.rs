//! Objects as rows of a table, with the columns of `kubectl get`.

mod columns;

use serde_json::{Value, json};

use super::resources::Resource;
use super::value::{FieldAccess as _, Now};
use columns::{Column, columns};

/// The part of its object that a row contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    Nothing,
    Metadata,
    Object,
}

/// The metadata of an object, as a `PartialObjectMetadata`.
pub(crate) fn partial_metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A `Table` with the metadata `meta`. A watch sends the column definitions only once.
pub(crate) fn table<'a>(
    resource: &Resource,
    objects: impl Iterator<Item = &'a Value>,
    include: Include,
    now: &Now,
    with_columns: bool,
    meta: &Value,
) -> Value {
    let columns = columns(resource);
    let rows: Vec<_> = objects
        .map(|object| {
            let cells: Vec<_> = columns.iter().map(|column| (column.cell)(object, now)).collect();
            let mut row = json!({ "cells": cells });
            match include {
                Include::Nothing => {}
                Include::Metadata => {
                    *row.field_mut("object") = partial_metadata(object);
                }
                Include::Object => *row.field_mut("object") = object.clone(),
            }
            row
        })
        .collect();
    let definition = |column: &Column| {
        let format = if column.name == "Name" { "name" } else { "" };
        json!({"name": column.name, "type": column.cell_type, "format": format, "description": "",
            "priority": i32::from(column.wide)})
    };
    let definitions: Vec<_> = columns.iter().filter(|_| with_columns).map(definition).collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": definitions,
        "rows": rows})
}
