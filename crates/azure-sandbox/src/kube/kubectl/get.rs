//! `kubectl get`, as a table, names or JSON.

use http::Method;
use serde_json::{Value, json};

use super::apply::{named_objects, unknown_type};
use super::args::Args;
use super::client::{JSON, JSON_HEADERS};
use super::manifest::{find_resource, object_url};
use super::{Failure, Session};
use crate::kube::resources::Resource;
use crate::kube::value::{list, number, text};

/// The number of spaces between columns, as in kubectl.
const COLUMN_GAP: usize = 3;
const TABLE_HEADERS: (&str, &str) = (JSON, "application/json;as=Table;v=v1;g=meta.k8s.io");

impl Session<'_> {
    pub(super) fn get(&mut self, args: &Args) -> Result<(), Failure> {
        let namespace = args.namespace();
        let output = args.output.as_deref().unwrap_or_default();
        if !["", "wide", "name", "json"].contains(&output) {
            let text = "allowed formats are: json,name,wide";
            return Err(Failure::error(format!(
                "unable to match a printer suitable for the output format {output:?}, {text}"
            )));
        }
        let targets = match args.positional.as_slice() {
            [type_name] if !type_name.contains('/') => {
                vec![(find_resource(type_name).ok_or_else(|| unknown_type(type_name))?, String::new())]
            }
            names => named_objects(names)?,
        };
        let (mut has_failed, mut rows, mut found_objects) = (false, Vec::new(), Vec::new());
        for (resource, name) in targets {
            let headers = if ["", "wide"].contains(&output) { TABLE_HEADERS } else { JSON_HEADERS };
            match self.client.send(
                Method::GET,
                &object_url(resource, namespace, &name),
                headers,
                &Value::Null,
            ) {
                Ok(table) if headers == TABLE_HEADERS => add_rows(&mut rows, &table, output == "wide"),
                Ok(response) => found_objects.extend(typed_objects(resource, response)),
                Err(error) if error.code == 404 && args.ignore_not_found => {}
                Err(error) => {
                    has_failed = true;
                    self.print(&error.render(""));
                }
            }
        }
        match output {
            "name" => {
                for (resource, object) in &found_objects {
                    self.print(&format!(
                        "{}/{}",
                        resource.qualified_singular(),
                        text(object, "/metadata/name")
                    ));
                }
            }
            "json" => {
                let mut objects: Vec<Value> = found_objects.into_iter().map(|(_, object)| object).collect();
                let result = match (objects.len(), args.positional.len()) {
                    (1, _) => objects.remove(0),
                    _ => {
                        json!({"apiVersion": "v1", "items": objects, "kind": "List", "metadata": {"resourceVersion": ""}})
                    }
                };
                self.print(&format!("{result:#}"));
            }
            _ => self.print_rows(&rows),
        }
        if has_failed { Err(Failure::Printed) } else { Ok(()) }
    }

    fn print_rows(&mut self, rows: &[Vec<String>]) {
        let columns = rows.first().map(Vec::len).unwrap_or_default();
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or_default()
                + COLUMN_GAP
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            self.print(cells.collect::<String>().trim_end());
        }
    }
}

/// The objects of a response, which is a single object or a list, each with its type.
fn typed_objects(resource: &'static Resource, response: Value) -> Vec<(&'static Resource, Value)> {
    if response.get("items").is_none() {
        return vec![(resource, response)];
    }
    let with_type = |item: &Value| {
        let mut item = item.clone();
        crate::kube::value::set(&mut item, &["apiVersion"], resource.api_version());
        crate::kube::value::set(&mut item, &["kind"], resource.kind);
        (resource, item)
    };
    list(&response, "/items").iter().map(with_type).collect()
}

/// Adds the rows of a table; the first table also adds a header.
fn add_rows(rows: &mut Vec<Vec<String>>, table: &Value, is_wide: bool) {
    let columns_shown: Vec<bool> = list(table, "/columnDefinitions")
        .iter()
        .map(|column| is_wide || number(column, "/priority").unwrap_or_default() == 0)
        .collect();
    if rows.is_empty() {
        let names =
            list(table, "/columnDefinitions").iter().map(|column| text(column, "/name").to_uppercase());
        rows.push(
            names.zip(&columns_shown).filter(|(_, is_shown)| **is_shown).map(|(name, _)| name).collect(),
        );
    }
    for row in list(table, "/rows") {
        let cells = list(row, "/cells").iter().map(|cell| match cell {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        });
        rows.push(
            cells.zip(&columns_shown).filter(|(_, is_shown)| **is_shown).map(|(cell, _)| cell).collect(),
        );
    }
}
