//! Objects as rows of a table, with the columns that `kubectl get` prints.

mod cells;

use super::value::Keyed as _;
use serde_json::{Value, json};

use super::resources::{self, Resource};
use super::value::Now;

/// What a row contains of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    Nothing,
    Metadata,
    Object,
}

/// Only what all objects have.
pub(crate) fn metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A column: its name, its type, and whether only `-o wide` shows it.
type Column = (&'static str, &'static str, bool);

const NAME: Column = ("Name", "string", false);
const AGE: Column = ("Age", "string", false);

/// A short text.
const fn col(name: &'static str) -> Column {
    (name, "string", false)
}

const fn number(name: &'static str) -> Column {
    (name, "integer", false)
}

const fn wide(name: &'static str) -> Column {
    (name, "string", true)
}

/// The columns of a table, and the cells of an object in it.
type Shape = (&'static [Column], fn(&Value, &Now) -> Vec<Value>);

/// The columns of a type, and what a row has in them.
fn columns(resource: &Resource) -> Shape {
    let is = |other: &Resource| resource.is(other);
    if is(&resources::PODS) {
        const COLUMNS: [Column; 9] = [
            NAME,
            col("Ready"),
            col("Status"),
            col("Restarts"),
            AGE,
            wide("IP"),
            wide("Node"),
            wide("Nominated Node"),
            wide("Readiness Gates"),
        ];
        (&COLUMNS, cells::pod)
    } else if is(&resources::NODES) {
        const COLUMNS: [Column; 10] = [
            NAME,
            col("Status"),
            col("Roles"),
            AGE,
            col("Version"),
            wide("Internal-IP"),
            wide("External-IP"),
            wide("OS-Image"),
            wide("Kernel-Version"),
            wide("Container-Runtime"),
        ];
        (&COLUMNS, cells::node)
    } else if is(&resources::NAMESPACES) {
        (const { &[NAME, col("Status"), AGE] }, cells::namespace)
    } else if is(&resources::DEPLOYMENTS) {
        const COLUMNS: [Column; 8] = [
            NAME,
            col("Ready"),
            number("Up-to-date"),
            number("Available"),
            AGE,
            wide("Containers"),
            wide("Images"),
            wide("Selector"),
        ];
        (&COLUMNS, cells::deployment)
    } else {
        smaller(resource)
    }
}

/// The same for types with few columns.
fn smaller(resource: &Resource) -> Shape {
    let is = |other: &Resource| resource.is(other);
    if is(&resources::EVENTS) {
        const COLUMNS: [Column; 9] = [
            col("Last RecordedRequest"),
            col("Type"),
            col("Reason"),
            col("Object"),
            wide("Source"),
            col("Message"),
            wide("First RecordedRequest"),
            wide("Count"),
            wide("Name"),
        ];
        (&COLUMNS, cells::event)
    } else if is(&resources::SECRETS) {
        (const { &[NAME, col("Type"), number("Data"), AGE] }, cells::secret)
    } else if is(&resources::CONFIG_MAPS) {
        (const { &[NAME, number("Data"), AGE] }, cells::config_map)
    } else if is(&resources::SERVICE_ACCOUNTS) {
        (const { &[NAME, number("Secrets"), AGE] }, cells::service_account)
    } else if is(&resources::ROLE_BINDINGS) || is(&resources::CLUSTER_ROLE_BINDINGS) {
        (
            const { &[NAME, col("Role"), AGE, wide("Users"), wide("Groups"), wide("ServiceAccounts")] },
            cells::binding,
        )
    } else if is(&resources::ROLES) || is(&resources::CLUSTER_ROLES) {
        (const { &[NAME, ("Created At", "date", false)] }, cells::role)
    } else {
        (const { &[NAME, AGE] }, cells::plain)
    }
}

/// A `Table`. `about` is its metadata; without `named`, its columns are known from an earlier one.
pub(crate) fn table<'a>(
    resource: &Resource,
    objects: impl Iterator<Item = &'a Value>,
    include: Include,
    now: &Now,
    named: bool,
    about: &Value,
) -> Value {
    let (columns, cells) = columns(resource);
    let rows: Vec<_> = objects
        .map(|object| {
            let mut row = json!({"cells": cells(object, now)});
            match include {
                Include::Nothing => {}
                Include::Metadata => *row.slot("object") = metadata(object),
                Include::Object => *row.slot("object") = object.clone(),
            }
            row
        })
        .collect();
    let column = |(name, kind, wide): &Column| {
        let format = if *name == "Name" { "name" } else { "" };
        json!({"name": name, "type": kind, "format": format, "description": "", "priority": i32::from(*wide)})
    };
    let columns: Vec<_> = if named { columns.iter().map(column).collect() } else { Vec::new() };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": about, "columnDefinitions": columns, "rows": rows})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_cell_for_every_column() {
        let now = Now { ms: 0, text: String::new() };
        for resource in resources::ALL {
            let (columns, cells) = columns(resource);
            let object = json!({"metadata": {"name": "x"}, "spec": {}, "status": {}});
            assert_eq!(cells(&object, &now).len(), columns.len(), "{}", resource.kind);
        }
    }
}
