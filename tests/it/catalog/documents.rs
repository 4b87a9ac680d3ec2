//! The catalog section of docs/api.md: its curl lines work in the sandbox, and its tables have all parameters and codes.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use super::test_catalog::TestCatalog;
use crate::support::repository::{files_below, name_of, read};

/// The text from the heading of the catalog to the end of the section about credentials.
fn section() -> String {
    let page = read("docs/api.md");
    let (_, section) = page.split_once("\n## Catalog\n").expect("the heading of the catalog");
    section.split_once("\n## Into clusters\n").expect("the next heading").0.to_owned()
}

/// The path of a curl line, and whether it has a body.
fn parse_curl_line(line: &str) -> Option<(&str, bool)> {
    let url = line.strip_prefix("$ curl ")?.split_once("$API")?.1;
    Some((url.split(['"', ' ']).next()?, line.contains(" -d @azure.json")))
}

#[tokio::test]
async fn curl_lines_of_the_catalog_work() {
    let catalog = TestCatalog::start().await;
    // The sizes of all regions take long to generate.
    let zones = ["1", "2", "3"].map(|zone| json!({"logicalZone": zone}));
    let locations = ["eastus", "westus", "westeurope"].map(|name| {
        json!({"name": name, "displayName": name, "metadata": {"regionType": "Physical"},
            "availabilityZoneMappings": zones})
    });
    catalog.set_list("locations", &locations);
    let section = section();
    let lines = section.lines().filter_map(parse_curl_line);
    // Lines with the ID of a cluster need a cluster, which this test does not have.
    let lines: Vec<_> = lines.filter(|(path, _)| !path.contains("$ID")).collect();
    assert!(lines.len() >= 9, "{lines:?}");
    for (path, has_body) in lines {
        let path = path.replace("$CREDENTIAL", &catalog.credential);
        assert!(!path.contains(['$', '<', '…']), "{path}");
        let response = if has_body {
            catalog.app.post(&path).json(&catalog.app.credential(&json!({}))).send().await
        } else {
            catalog.app.get(&path).send().await
        };
        assert_eq!(response.status, StatusCode::OK, "{path}: {}", response.text());
        let has_verdicts =
            response.text().contains("\"verdict\":") || response.text().contains("\"isPreview\":");
        assert!(has_verdicts, "{path}: {}", response.text());
    }
}

/// The names in the first cells of all tables of a text.
fn first_cell_names(text: &str) -> BTreeSet<String> {
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let names =
        cells.flat_map(|(cell, _)| cell.split('`').filter(|part| !part.trim_matches([',', ' ']).is_empty()));
    names.map(str::to_owned).collect()
}

#[test]
fn tables_of_the_catalog_have_every_parameter() {
    let document: Value = serde_json::from_str(&norman_aks::openapi_json()).unwrap();
    let section = section();
    for (path, heading) in [
        ("/api/v1/vm-sizes", "### VM sizes"),
        ("/api/v1/regions", "### Regions"),
        ("/api/v1/kubernetes-versions", "## Kubernetes versions and upgrades"),
        ("/api/v1/credentials/{id}/check", "## What a credential can do"),
    ] {
        let subsection = section.split(heading).nth(1).unwrap_or_else(|| panic!("{heading}"));
        let subsection = subsection.split("\n#").next().unwrap();
        for parameter in document["paths"][path]["get"]["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let is_named = subsection.contains(&format!("`{name}`"));
            assert!(parameter["in"] == "path" || is_named, "{path}: {name}");
        }
    }
}

/// The codes in a source: `code: "…"`, the strings in functions that return codes, and a table of codes.
fn codes(source: &str) -> BTreeSet<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let quoted = |text: &str| text.split('"').nth(1).map(str::to_owned);
    let fields = source.lines().filter(|line| line.trim_start().starts_with("code: \"")).filter_map(quoted);
    let functions =
        ["fn code(", "fn purpose_code("].into_iter().flat_map(|start| source.split(start).skip(1));
    let bodies =
        functions.flat_map(|body| body.lines().take_while(|line| !line.starts_with("    }") && *line != "}"));
    let arms = bodies.filter(|line| line.contains("=> \"")).filter_map(quoted);
    let table = source.split("const CONDITION_CODES").skip(1).flat_map(str::lines);
    let rows = table.take_while(|line| *line != "];").filter_map(quoted);
    fields.chain(arms).chain(rows).collect()
}

#[test]
fn table_of_reason_codes_is_complete() {
    let section = section();
    let tables = section.split("| Code | Meaning | Remedy |\n").skip(1);
    let documented: BTreeSet<String> =
        tables.filter_map(|table| table.split("\n\n").next()).flat_map(first_cell_names).collect();
    let files = files_below("crates/aks/src").into_iter().chain(files_below("src/service/catalog"));
    let files = files.map(|file| name_of(&file)).filter(|name| {
        name.contains("/catalog/") || name.contains("/rights/") || name.ends_with("/vm_size.rs")
    });
    let mut actual: BTreeSet<String> = files.flat_map(|name| codes(&read(&name))).collect();
    // These codes are in tuples of code, message and verdict.
    actual.extend(["versionNotOffered", "versionNeedsLongTermSupport", "versionPreview"].map(str::to_owned));
    actual.extend(["aksUnknown", "sizesUnknown", "versionsUnknown"].map(str::to_owned));
    assert!(actual.len() > 30, "{actual:?}");
    assert_eq!(documented, actual);
}
