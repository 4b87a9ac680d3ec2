//! Compares the tables of docs/architecture.md with the workspace: dependencies of crates and modules, the modules
//! in which some third-party crates may be used, and lengths of files.
//!
//! The dependencies of crates are read from their `Cargo.toml`. Those of the server's modules are found by paths
//! (`crate::store`), except in comments and in code that is compiled only for tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::repository::{files_below, name_of, read};

/// Maximum number of lines of a file without its tests; docs/architecture.md has the exceptions.
const MAX_LINES: usize = 400;

/// The rows of the table below a heading of docs/architecture.md, without backticks.
fn table(heading: &str) -> Vec<Vec<String>> {
    let document = read("docs/architecture.md");
    let section = document.split(&format!("\n## {heading}\n")).nth(1);
    let section = section.unwrap_or_else(|| panic!("docs/architecture.md has no section {heading:?}"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| -> Vec<String> {
        row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()
    };
    let rows: Vec<_> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "the section {heading:?} of docs/architecture.md has no table");
    rows
}

fn cell_entries(cell: &str) -> BTreeSet<String> {
    cell.split(',').map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty()).collect()
}

/// The packages of the workspace: name and manifest, the server first.
fn packages() -> Vec<(String, toml::Table)> {
    let manifests = files_below("crates").into_iter().filter(|file| file.ends_with("Cargo.toml"));
    let manifests = std::iter::once("Cargo.toml".to_owned()).chain(manifests.map(|file| name_of(&file)));
    let manifests = manifests.map(|file| -> toml::Table { read(&file).parse().unwrap() });
    manifests.map(|manifest| (manifest["package"]["name"].as_str().unwrap().to_owned(), manifest)).collect()
}

fn dependency_names(manifest: &toml::Table, section: &str) -> BTreeSet<String> {
    manifest
        .get(section)
        .and_then(toml::Value::as_table)
        .into_iter()
        .flat_map(toml::Table::keys)
        .cloned()
        .collect()
}

/// The third-party dependencies of each package, and those in the workspace.
fn dependencies(section: &str) -> BTreeMap<String, [BTreeSet<String>; 2]> {
    let packages = packages();
    let ours: BTreeSet<_> = packages.iter().map(|(name, _)| name.clone()).collect();
    let split = |all: BTreeSet<String>| [&all - &ours, &all & &ours];
    packages
        .iter()
        .map(|(name, manifest)| (name.clone(), split(dependency_names(manifest, section))))
        .collect()
}

#[test]
fn crates_depend_on_each_other_as_documented() {
    let documented: BTreeMap<_, _> =
        table("Crates").into_iter().map(|row| (row[0].clone(), cell_entries(&row[1]))).collect();
    let actual: BTreeMap<_, _> =
        dependencies("dependencies").into_iter().map(|(name, [_, ours])| (name, ours)).collect();
    assert_eq!(documented, actual);
}

#[test]
fn each_dependency_is_documented_with_its_crates_and_reason() {
    for (section, heading) in
        [("dependencies", "Dependencies"), ("dev-dependencies", "Dependencies of the tests")]
    {
        let mut actual: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (package, [third_party, _]) in dependencies(section) {
            for name in third_party {
                actual.entry(name).or_default().insert(package.clone());
            }
        }
        if section == "dev-dependencies" {
            let shipped = dependencies("dependencies");
            let shipped: BTreeSet<_> =
                shipped.values().flat_map(|[third_party, _]| third_party).cloned().collect();
            actual.retain(|name, _| !shipped.contains(name));
        }
        let mut documented = BTreeMap::new();
        for row in table(heading) {
            let [name, packages, reason] = row.as_slice() else {
                panic!("{row:?} does not have three cells")
            };
            assert!(reason.len() > 10, "{name} has no reason");
            documented.insert(name.clone(), cell_entries(packages));
        }
        assert_eq!(documented, actual, "{heading}");
    }
}

/// A Rust file of the program.
struct Source {
    /// Relative to the root of the repository.
    name: String,
    /// The module of the server, such as `store`; empty in other crates.
    module: String,
    text: String,
}

impl Source {
    /// The text without comments and tests.
    fn code(&self) -> String {
        let lines = self.without_tests().lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The text without tests.
    fn without_tests(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }
}

/// All files of the server and of the crates, except files of tests.
fn sources() -> Vec<Source> {
    let files = ["src", "crates"].into_iter().flat_map(files_below);
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    let files: Vec<_> =
        files.filter(|file| file.iter().any(|part| part == "src")).map(|file| name_of(&file)).collect();
    assert!(files.len() > 300, "only {} files were found", files.len());
    let is_test = |name: &str| name.ends_with("/tests.rs") || name.split('/').any(|part| part == "tests");
    let source = |name: String| {
        let module = name.strip_prefix("src/").unwrap_or_default();
        let module = module.split(['/', '.']).next().unwrap_or_default().to_owned();
        Source { text: read(&name), module, name }
    };
    files.into_iter().filter(|name| !is_test(name)).map(source).collect()
}

/// The names after each `prefix` in the code, including those of groups in braces.
fn names_after(prefix: &str, code: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    for (start, _) in code.match_indices(prefix) {
        if code[..start].ends_with(is_name) {
            continue;
        }
        let rest = &code[start + prefix.len()..];
        let group = rest.strip_prefix('{').and_then(|group| group.split('}').next());
        let parts = group.map_or_else(|| vec![rest], |group| group.split(',').collect());
        let name =
            |part: &str| part.trim_start().split(|c| !is_name(c)).next().unwrap_or_default().to_owned();
        found.extend(parts.into_iter().map(name));
    }
    found
}

#[test]
fn modules_use_only_documented_modules() {
    let documented: BTreeMap<_, _> = table("Modules of the server")
        .into_iter()
        .map(|row| (row[0].clone(), cell_entries(&row[1])))
        .collect();
    let mut actual: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| !["", "lib", "main"].contains(&source.module.as_str())) {
        let used = actual.entry(source.module.clone()).or_default();
        used.extend(names_after("crate::", &source.code()).into_iter().filter(|name| *name != source.module));
    }
    for (module, used) in &mut actual {
        if documented.get(module).is_some_and(|allowed| allowed.contains("everything")) {
            *used = BTreeSet::from(["everything".to_owned()]);
        }
    }
    assert_eq!(documented, actual, "left: docs/architecture.md, right: the sources");
}

#[test]
fn restricted_crates_are_used_in_documented_modules() {
    for row in table("Used in one module") {
        let prefix = row[0].trim_end_matches("::").to_owned() + "::";
        let mut modules = BTreeSet::new();
        for source in sources() {
            let module = if source.module.is_empty() { &source.name } else { &source.module };
            if !names_after(&prefix, &source.code()).is_empty() {
                modules.insert(module.clone());
            }
        }
        let modules: BTreeSet<_> =
            modules.into_iter().filter(|module| !module.starts_with("crates/")).collect();
        assert_eq!(modules, cell_entries(&row[1]), "{prefix}");
    }
}

/// `Core` also has the database, the clients and the keys, but handlers use services only.
#[test]
fn handlers_use_services_only() {
    for source in sources().iter().filter(|source| source.module == "api") {
        for field in ["state.store", "state.secrets", "state.azure", "state.cluster_access"] {
            assert!(!source.code().contains(field), "{} uses {field}", source.name);
        }
    }
}

#[test]
fn every_file_begins_with_a_module_comment() {
    let sources = sources();
    let without: Vec<_> = sources.iter().filter(|source| !source.text.starts_with("//! ")).collect();
    assert_eq!(without.iter().map(|source| &source.name).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn long_files_are_documented() {
    let sources = sources();
    let long = sources.iter().filter(|source| source.without_tests().lines().count() > MAX_LINES);
    let long: BTreeSet<_> = long.map(|source| source.name.clone()).collect();
    let documented = table("Long files").into_iter().map(|row| row[0].clone()).filter(|name| name != "none");
    assert_eq!(long, documented.collect(), "files of more than {MAX_LINES} lines");
}

#[test]
fn names_are_found_in_single_and_grouped_paths() {
    let code =
        "use crate::store::Row; use crate::{api, vault::Key}; fn f() { my_crate::no(); crate::cli::run() }";
    assert_eq!(names_after("crate::", code), ["api", "cli", "store", "vault"].map(str::to_owned).into());
}
