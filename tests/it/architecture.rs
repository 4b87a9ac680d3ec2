//! Compares the tables of docs/architecture.md with the workspace: which crate and which module of the server may use
//! which, where a third-party crate may be used, how files begin and how long they are.
//!
//! The crates are read from their `Cargo.toml`, which the compiler enforces. Modules of the server are found by their
//! paths (`crate::store`), without comments and without what is compiled for tests only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The most lines of a file without its tests, unless docs/architecture.md says why.
const LONGEST_FILE: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the table below that heading of docs/architecture.md, without the marks of code.
fn table(heading: &str) -> Vec<Vec<String>> {
    let document = read(&root().join("docs/architecture.md"));
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

fn list(cell: &str) -> BTreeSet<String> {
    cell.split(',').map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty()).collect()
}

/// The packages of the workspace: name and manifest, the server first.
fn packages() -> Vec<(String, toml::Table)> {
    let crates = std::fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = crates.collect();
    folders.sort();
    folders.insert(0, root().to_owned());
    let manifests = folders
        .into_iter()
        .map(|folder| -> toml::Table { read(&folder.join("Cargo.toml")).parse().unwrap() });
    manifests.map(|manifest| (manifest["package"]["name"].as_str().unwrap().to_owned(), manifest)).collect()
}

fn names(manifest: &toml::Table, section: &str) -> BTreeSet<String> {
    manifest
        .get(section)
        .and_then(toml::Value::as_table)
        .into_iter()
        .flat_map(toml::Table::keys)
        .cloned()
        .collect()
}

/// The dependencies of each package that come from elsewhere, and those that are ours.
fn dependencies(section: &str) -> BTreeMap<String, [BTreeSet<String>; 2]> {
    let packages = packages();
    let ours: BTreeSet<_> = packages.iter().map(|(name, _)| name.clone()).collect();
    let split = |all: BTreeSet<String>| [&all - &ours, &all & &ours];
    packages.iter().map(|(name, manifest)| (name.clone(), split(names(manifest, section)))).collect()
}

#[test]
fn crates_depend_on_each_other_as_documented() {
    let documented: BTreeMap<_, _> =
        table("Crates").into_iter().map(|row| (row[0].clone(), list(&row[1]))).collect();
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
        for (package, [foreign, _]) in dependencies(section) {
            for name in foreign {
                actual.entry(name).or_default().insert(package.clone());
            }
        }
        if section == "dev-dependencies" {
            let shipped = dependencies("dependencies");
            let shipped: BTreeSet<_> = shipped.values().flat_map(|[foreign, _]| foreign).cloned().collect();
            actual.retain(|name, _| !shipped.contains(name));
        }
        let mut documented = BTreeMap::new();
        for row in table(heading) {
            let [name, packages, reason] = row.as_slice() else { panic!("{row:?} has not three cells") };
            assert!(reason.len() > 10, "{name} has no reason");
            documented.insert(name.clone(), list(packages));
        }
        assert_eq!(documented, actual, "{heading}");
    }
}

/// A Rust file, as far as it is compiled for the program.
struct Source {
    /// Relative to the root of the repository.
    name: String,
    /// The module of the server, such as `store`; empty in other crates.
    module: String,
    text: String,
}

impl Source {
    /// Without comments and without the tests at the end.
    fn code(&self) -> String {
        let lines = self.shipped().lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn shipped(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every file of the server and of the crates, without files of tests.
fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    rust_files(&root().join("src"), &mut paths);
    for krate in std::fs::read_dir(root().join("crates")).unwrap() {
        rust_files(&krate.unwrap().path().join("src"), &mut paths);
    }
    paths.sort();
    assert!(paths.len() > 300, "only {} files were found", paths.len());
    let is_of_tests = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name == "tests.rs") || path.iter().any(|part| part == "tests")
    };
    let source = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let module = name.strip_prefix("src/").unwrap_or_default();
        let module = module.split(['/', '.']).next().unwrap_or_default().to_owned();
        Source { text: read(&path), module, name }
    };
    paths.into_iter().filter(|path| !is_of_tests(path)).map(source).collect()
}

/// The names behind each `prefix` in the code; the names of a group in braces each.
fn names_behind(prefix: &str, code: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(is_name) {
            continue;
        }
        let behind = &code[at + prefix.len()..];
        let group = behind.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or(behind);
        let parts = if group.len() == behind.len() { vec![behind] } else { group.split(',').collect() };
        let name =
            |part: &str| part.trim_start().split(|c| !is_name(c)).next().unwrap_or_default().to_owned();
        found.extend(parts.into_iter().map(name));
    }
    found
}

#[test]
fn modules_of_the_server_use_only_what_is_documented() {
    let documented: BTreeMap<_, _> =
        table("Modules of the server").into_iter().map(|row| (row[0].clone(), list(&row[1]))).collect();
    let mut actual: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| !["", "lib", "main"].contains(&source.module.as_str())) {
        let used = actual.entry(source.module.clone()).or_default();
        used.extend(
            names_behind("crate::", &source.code()).into_iter().filter(|name| *name != source.module),
        );
    }
    for (module, used) in &mut actual {
        if documented.get(module).is_some_and(|allowed| allowed.contains("everything")) {
            *used = BTreeSet::from(["everything".to_owned()]);
        }
    }
    assert_eq!(documented, actual, "left: docs/architecture.md, right: the sources");
}

#[test]
fn some_crates_are_used_in_one_module_only() {
    for row in table("Used in one module") {
        let prefix = row[0].trim_end_matches("::").to_owned() + "::";
        let mut users = BTreeSet::new();
        for source in sources() {
            let user = if source.module.is_empty() { &source.name } else { &source.module };
            if !names_behind(&prefix, &source.code()).is_empty() {
                users.insert(user.clone());
            }
        }
        let users: BTreeSet<_> = users.into_iter().filter(|user| !user.starts_with("crates/")).collect();
        assert_eq!(users, list(&row[1]), "{prefix}");
    }
}

#[test]
fn every_file_says_first_what_is_in_it() {
    let sources = sources();
    let silent: Vec<_> = sources.iter().filter(|source| !source.text.starts_with("//! ")).collect();
    assert_eq!(silent.iter().map(|source| &source.name).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn long_files_are_excused() {
    let sources = sources();
    let long = sources.iter().filter(|source| source.shipped().lines().count() > LONGEST_FILE);
    let long: BTreeSet<_> = long.map(|source| source.name.clone()).collect();
    let excused = table("Long files").into_iter().map(|row| row[0].clone()).filter(|name| name != "none");
    assert_eq!(long, excused.collect(), "files of more than {LONGEST_FILE} lines");
}

/// The columns of each table that a migration creates, by table.
fn columns(sql: &str) -> BTreeMap<String, Vec<String>> {
    let code: Vec<_> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let mut tables = BTreeMap::new();
    for statement in code.join("\n").to_lowercase().split("create table ").skip(1) {
        let (name, body) = statement.split_once('(').unwrap();
        // SQLite changes some tables by building a new one.
        if name.trim().ends_with("_new") {
            continue;
        }
        let body = body.split("\n)").next().unwrap();
        let lines = body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("check"));
        let names = lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
        tables.insert(name.trim().to_owned(), names);
    }
    tables
}

#[test]
fn both_databases_have_the_same_migrations_tables_and_columns() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root().join("migrations").join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let sqlite = names("sqlite");
    assert_eq!(sqlite, names("postgres"));
    assert!(!sqlite.is_empty());
    for name in sqlite {
        let [sqlite, postgres] = ["sqlite", "postgres"]
            .map(|folder| columns(&read(&root().join("migrations").join(folder).join(&name))));
        assert_eq!(sqlite, postgres, "{name}");
    }
}

#[test]
fn names_are_found_in_single_and_grouped_paths() {
    let code =
        "use crate::store::Row; use crate::{api, vault::Key}; fn f() { my_crate::no(); crate::cli::run() }";
    assert_eq!(names_behind("crate::", code), ["api", "cli", "store", "vault"].map(str::to_owned).into());
}
