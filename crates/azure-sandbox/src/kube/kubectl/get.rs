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
            [only] if !only.contains('/') => {
                vec![(find_resource(only).ok_or_else(|| unknown_type(only))?, String::new())]
            }
            words => named_objects(words)?,
        };
        let (mut failed, mut rows, mut found) = (false, Vec::new(), Vec::new());
        for (resource, name) in targets {
            let headers = if ["", "wide"].contains(&output) { TABLE_HEADERS } else { JSON_HEADERS };
            match self.client.send(
                Method::GET,
                &object_url(resource, namespace, &name),
                headers,
                &Value::Null,
            ) {
                Ok(table) if headers == TABLE_HEADERS => add_rows(&mut rows, &table, output == "wide"),
                Ok(object) => found.extend(objects(resource, object)),
                Err(error) if error.code == 404 && args.ignore_not_found => {}
                Err(error) => {
                    failed = true;
                    self.print(&error.render(""));
                }
            }
        }
        match output {
            "name" => {
                for (resource, object) in &found {
                    self.print(&format!(
                        "{}/{}",
                        resource.qualified_singular(),
                        text(object, "/metadata/name")
                    ));
                }
            }
            "json" => {
                let mut objects: Vec<Value> = found.into_iter().map(|(_, object)| object).collect();
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
        if failed { Err(Failure::Printed) } else { Ok(()) }
    }

    fn print_rows(&mut self, rows: &[Vec<String>]) {
        let columns = rows.first().map(Vec::len).unwrap_or_default();
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or_default() + 3
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            self.print(cells.collect::<String>().trim_end());
        }
    }
}

/// The objects of a response, which is a single object or a list.
fn objects(resource: &'static Resource, object: Value) -> Vec<(&'static Resource, Value)> {
    if object.get("items").is_none() {
        return vec![(resource, object)];
    }
    let with_type = |item: &Value| {
        let mut item = item.clone();
        crate::kube::value::set(&mut item, &["apiVersion"], resource.api_version());
        crate::kube::value::set(&mut item, &["kind"], resource.kind);
        (resource, item)
    };
    list(&object, "/items").iter().map(with_type).collect()
}

/// Adds the rows of a table; the first table also adds a header.
fn add_rows(rows: &mut Vec<Vec<String>>, table: &Value, wide: bool) {
    let columns: Vec<bool> = list(table, "/columnDefinitions")
        .iter()
        .map(|column| wide || number(column, "/priority").unwrap_or_default() == 0)
        .collect();
    if rows.is_empty() {
        let names =
            list(table, "/columnDefinitions").iter().map(|column| text(column, "/name").to_uppercase());
        rows.push(names.zip(&columns).filter(|(_, is_shown)| **is_shown).map(|(name, _)| name).collect());
    }
    for row in list(table, "/rows") {
        let cells = list(row, "/cells").iter().map(|cell| match cell {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        rows.push(cells.zip(&columns).filter(|(_, is_shown)| **is_shown).map(|(cell, _)| cell).collect());
    }
}
