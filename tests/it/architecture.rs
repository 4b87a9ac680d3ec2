//! Holds the sources to the plan of docs/architecture.md: which room may use which, where a crate may be used, how
//! files begin and how long they are. The tables are read from that file, so plan and code cannot part.
//!
//! Sources are cut into words (comments and texts in quotes dropped), and what is compiled for tests only is left
//! out. Names that a macro of somebody else makes up are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// No file of `src` is longer without its tests, unless the plan says why.
const LONGEST_FILE: usize = 400;

/// The word in the plan for every room.
const EVERYWHERE: &str = "everywhere";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words of Rust source: names, and everything else character by character, `::` as one.
fn words(source: &str) -> Vec<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = text(rest) {
            words.push("\"\"".to_owned());
            length
        } else if is_name(first) {
            let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            words.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            words.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

/// The length of the block comment that `rest` begins with; they nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of the text or character in quotes that `rest` begins with, with its prefix (`r#`, `b`, `c`).
fn text(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let behind = rest.strip_prefix(prefix).unwrap_or("x");
        let quote = if prefix.ends_with('r') { behind.trim_start_matches('#') } else { behind };
        quote.starts_with('"')
    });
    if let Some(prefix) = prefix {
        let behind = &rest[prefix.len()..];
        if prefix.ends_with('r') {
            let hashes = behind.len() - behind.trim_start_matches('#').len();
            let end = format!("\"{}", "#".repeat(hashes));
            let body = &behind[hashes + 1..];
            let length = body.find(&end).map_or(body.len(), |at| at + end.len());
            return Some(prefix.len() + hashes + 1 + length);
        }
        return Some(prefix.len() + quoted(behind, '"'));
    }
    // 'a' and '\n' are characters, 'a without an end is a lifetime.
    let behind = rest.strip_prefix('\'')?;
    let mut characters = behind.chars();
    let first = characters.next()?;
    (first == '\\' || characters.next() == Some('\'')).then(|| quoted(rest, '\''))
}

/// The length of `rest`, which begins with `quote`, up to the same quote without a backslash before it.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// The words without the items that `#[cfg(test)]` stands before.
fn without_tests(words: &[String]) -> Vec<String> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if words[at..].len() >= TEST.len() && words[at..].iter().zip(TEST).all(|(word, test)| word == test) {
            at = end_of_item(words, at + TEST.len());
        } else {
            kept.push(words[at].clone());
            at += 1;
        }
    }
    kept
}

/// Where the item that begins at `at` ends: behind its block or its semicolon.
fn end_of_item(words: &[String], mut at: usize) -> usize {
    let mut open = Vec::new();
    while let Some(word) = words.get(at) {
        at += 1;
        match word.as_str() {
            "{" | "(" | "[" => open.push(word.as_str()),
            "}" | ")" | "]" => {
                let block = open.pop() == Some("{");
                // A `use` may go on with a semicolon behind its braces.
                if open.is_empty() && block && words.get(at).is_none_or(|next| next != ";") {
                    return at;
                }
            }
            ";" if open.is_empty() => return at,
            _ => {}
        }
    }
    at
}

/// The paths below `top::` in the words, without the `top`; those in braces one by one, to two names.
fn paths_below(top: &str, words: &[String]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for at in 0..words.len() {
        if words[at] == top && words.get(at + 1).is_some_and(|word| word == "::") {
            paths.extend(branches(words, at + 2, 2));
        }
    }
    paths
}

/// The paths that begin at `at`, at most `depth` names long.
fn branches(words: &[String], at: usize, depth: usize) -> Vec<String> {
    let Some(first) = words.get(at) else { return Vec::new() };
    if first == "{" {
        let (mut found, mut level, mut at, mut fresh) = (Vec::new(), 1, at + 1, true);
        while let Some(word) = words.get(at).filter(|_| level > 0) {
            if fresh && level == 1 && word != "}" {
                found.extend(branches(words, at, depth));
            }
            fresh = word == "," || word == "{";
            level += i32::from(word == "{") - i32::from(word == "}");
            at += 1;
        }
        return found;
    }
    if depth > 1 && words.get(at + 1).is_some_and(|word| word == "::") {
        let below = branches(words, at + 2, depth - 1);
        return below.into_iter().map(|rest| format!("{first}::{rest}")).collect();
    }
    vec![first.clone()]
}

/// The longest chain of `super::super::…`.
fn longest_super(words: &[String]) -> usize {
    let (mut longest, mut now) = (0, 0);
    for word in words {
        match word.as_str() {
            "super" => now += 1,
            "::" => {}
            _ => now = 0,
        }
        longest = longest.max(now);
    }
    longest
}

/// Which of `crates` the words name: in a path of their own, or after `use`.
fn crates_in<'a>(words: &[String], crates: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        let Some(name) = crates.get(word.as_str()) else { continue };
        let before = at.checked_sub(1).map_or("", |at| words[at].as_str());
        let behind = words.get(at + 1).map_or("", String::as_str);
        if before != "::" && before != "." && (behind == "::" || before == "use") {
            found.insert(*name);
        }
    }
    found
}

/// A file of `src`, as far as it is compiled for the program.
struct Source {
    path: PathBuf,
    /// `src/azure/url.rs` and `src/azure.rs` are in `azure`.
    room: String,
    /// How many names the path of its module has.
    depth: usize,
    text: String,
    words: Vec<String>,
}

/// Every Rust file of `src`, those of tests too.
fn rust_files() -> Vec<PathBuf> {
    let mut paths = Vec::new();
    files(&root().join("src"), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.sort();
    assert!(paths.len() > 100, "only {} files were found", paths.len());
    paths
}

/// All that is compiled for the program.
fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(cut_sources);
    &SOURCES
}

fn cut_sources() -> Vec<Source> {
    let src = root().join("src");
    rust_files()
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name != "tests.rs"))
        .map(|path| {
            let text = read(&path);
            let module = path.strip_prefix(&src).unwrap().with_extension("");
            let names: Vec<_> = module.iter().filter_map(|name| name.to_str()).collect();
            let depth = names.len();
            let words = without_tests(&words(&text));
            Source { room: names[0].to_owned(), depth, words, text, path }
        })
        .collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

impl Source {
    fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }

    /// Lines up to the tests at its end.
    fn lines(&self) -> usize {
        let code = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        code.lines().count()
    }
}

/// The rows of the table that stands below that heading of the plan: cells without the marks of code.
fn table(heading: &str) -> Vec<Vec<String>> {
    let plan = read(&root().join("docs/architecture.md"));
    let section = plan.split(&format!("\n## {heading}\n")).nth(1);
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

/// What each room may use of ours, by the plan.
fn rooms() -> BTreeMap<String, BTreeSet<String>> {
    table("Who may use whom").into_iter().map(|row| (row[0].clone(), list(&row[1]))).collect()
}

#[test]
fn the_plan_names_every_room_and_no_other() {
    let planned: BTreeSet<_> = rooms().into_keys().collect();
    let built: BTreeSet<_> = sources().iter().map(|source| source.room.clone()).collect();
    let doors = ["lib", "main"].map(str::to_owned);
    assert_eq!(planned, built.into_iter().filter(|room| !doors.contains(room)).collect());
}

#[test]
fn rooms_use_only_the_rooms_that_the_plan_lets_them_use() {
    let rooms = rooms();
    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut strays = Vec::new();
    for source in sources() {
        let Some(allowed) = rooms.get(&source.room) else { continue };
        if longest_super(&source.words) >= source.depth {
            strays.push(format!("{}: leaves its room by super::", source.name()));
        }
        for path in paths_below("crate", &source.words) {
            let room = path.split("::").next().unwrap().to_owned();
            if room == source.room {
                continue;
            }
            match [&path, &room].into_iter().find(|name| allowed.contains(*name)) {
                Some(name) => drop(used.entry(source.room.as_str()).or_default().insert(name.clone())),
                None if allowed.contains("everything") => {}
                None => strays.push(format!("{}: crate::{path}", source.name())),
            }
        }
    }
    assert_eq!(strays, [""; 0], "the plan does not allow this");
    for (room, allowed) in &rooms {
        let used = used.remove(room.as_str()).unwrap_or_default();
        let idle: Vec<_> =
            allowed.iter().filter(|name| *name != "everything" && !used.contains(*name)).collect();
        assert_eq!(idle, [""; 0], "the plan lets {room} use what it does not use");
    }
}

/// The names of a section of Cargo.toml.
fn dependencies(section: &str) -> BTreeSet<String> {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().unwrap();
    manifest[section].as_table().unwrap().keys().cloned().collect()
}

#[test]
fn every_dependency_has_its_reason_and_stays_in_its_rooms() {
    let rows = table("Dependencies");
    let planned: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    let wanted: Vec<_> = dependencies("dependencies").into_iter().collect();
    assert_eq!(planned, wanted, "one row per dependency of Cargo.toml, in its order");
    let names: BTreeMap<_, _> = wanted.iter().map(|name| (name.replace('-', "_"), name)).collect();
    let crates: BTreeSet<_> = names.keys().map(String::as_str).collect();

    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        for name in crates_in(&source.words, &crates) {
            used.entry(names[name]).or_default().insert(source.room.clone());
        }
    }
    for row in &rows {
        let [name, rooms, reason] = row.as_slice() else { panic!("{row:?} has not three cells") };
        assert!(reason.len() > 10, "{name} has no reason");
        let used = used.remove(name.as_str()).unwrap_or_default();
        assert!(!used.is_empty(), "{name} is used nowhere: take it out of Cargo.toml");
        if rooms != EVERYWHERE {
            assert_eq!(
                used,
                list(rooms),
                "the rooms that use {name} (left: by the sources, right: by the plan)"
            );
        }
    }
}

#[test]
fn dependencies_of_the_tests_have_their_reasons_too() {
    let planned: BTreeSet<_> =
        table("Dependencies of the tests").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(planned, dependencies("dev-dependencies"));
}

#[test]
fn only_the_settings_read_the_environment() {
    let mut readers = BTreeSet::new();
    for source in sources() {
        if paths_below("std", &source.words).iter().any(|path| path.split("::").next() == Some("env")) {
            readers.insert(source.room.as_str());
        }
    }
    assert_eq!(readers, BTreeSet::from(["config"]));
}

#[test]
fn every_file_says_first_what_is_in_it() {
    let silent: Vec<_> = rust_files().into_iter().filter(|path| !read(path).starts_with("//! ")).collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn long_files_are_those_that_the_plan_excuses() {
    let long = sources().iter().filter(|source| source.lines() > LONGEST_FILE).map(Source::name);
    let excused = table("Long files").into_iter().map(|row| row[0].clone()).filter(|name| name != "none");
    assert_eq!(long.collect::<BTreeSet<_>>(), excused.collect(), "files of more than {LONGEST_FILE} lines");
}

#[test]
fn nothing_is_left_to_be_done() {
    let mut found = Vec::new();
    for source in sources() {
        for pair in source.words.windows(2) {
            if matches!(pair[0].as_str(), "todo" | "unimplemented") && pair[1] == "!" {
                found.push(format!("{}: {}!", source.name(), pair[0]));
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

/// The columns of each table that the migrations of a database make, by table.
fn columns(sql: &str) -> BTreeMap<String, Vec<String>> {
    let code: Vec<_> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let mut tables = BTreeMap::new();
    for statement in code.join("\n").to_lowercase().split("create table ").skip(1) {
        let (name, body) = statement.split_once('(').unwrap();
        // A table that SQLite has to build anew has another name meanwhile.
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
fn words_leave_out_comments_and_texts_and_keep_lifetimes() {
    let source = "use a::b; // crate::no\n/* crate::no /* nested */ no */ fn f<'a>(x: &'a str) -> char { \
                  let y = \"crate::\\\"no\"; let z = r#\"a \"crate::no\"#; b'\\''; '\"' }";
    assert_eq!(
        words(source).join(" "),
        "use a :: b ; fn f < ' a > ( x : & ' a str ) - > char { let y = \"\" ; let z = \"\" ; b \"\" ; \"\" }"
    );
}

#[test]
fn what_is_for_tests_only_does_not_count() {
    let source = "use a::b; #[cfg(test)] use crate::{x, y}; #[cfg(test)] #[path = \"t\"] mod tests; \
                  #[cfg(test)] mod more { fn f() { crate::z() } } fn g() {} #[cfg(test)] mod t { mod u {} }";
    assert_eq!(without_tests(&words(source)).join(" "), "use a :: b ; fn g ( ) { }");
}

#[test]
fn paths_of_ours_are_found_in_every_form() {
    let source = "use crate::azure::{self, Cloud}; use crate::{store, domain::arm::Sku, vault::{A, b::C}}; \
                  fn f() { crate::clock::now(); $crate::listen::x }";
    let found: Vec<_> = paths_below("crate", &words(source)).into_iter().collect();
    assert_eq!(
        found,
        [
            "azure::Cloud",
            "azure::self",
            "clock::now",
            "domain::arm",
            "listen::x",
            "store",
            "vault::A",
            "vault::b"
        ]
    );
}

#[test]
fn crates_are_told_from_modules_and_fields_of_the_same_name() {
    let crates = BTreeSet::from(["http", "url", "time", "bytes"]);
    let source =
        "use http::Uri; use super::url::arm; let x = self.time::<T>(); crate::time::now(); bytes + 1";
    assert_eq!(crates_in(&words(source), &crates), BTreeSet::from(["http"]));
}
