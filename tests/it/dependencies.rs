//! Holds the dependencies to the rules of `deny.toml`: licences, unwanted crates, where they come from.
//!
//! cargo-deny would do the same, but building it takes longer than all other checks together.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const RULES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml"));

/// A package that really is built, tests and build scripts included.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    license: String,
    /// Empty for crates.io, else an address or a path.
    from: String,
}

fn packages() -> BTreeSet<Package> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--locked", "--edges", "normal,build,dev", "--prefix", "none", "--no-dedupe"]);
    command.args(["--format", "{p}|{l}"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(package).collect()
}

/// `name v1.2.3 (proc-macro) (https://…)|MIT`
fn package(line: &str) -> Package {
    let (package, license) = line.rsplit_once('|').unwrap();
    let mut words = package.split(' ');
    let name = words.next().unwrap().to_owned();
    let version = words.next().unwrap().trim_start_matches('v').to_owned();
    let from = words.find(|word| *word != "(proc-macro)").unwrap_or_default();
    let from = from.trim_matches(['(', ')']).to_owned();
    Package { name, version, license: license.to_owned(), from }
}

fn rules() -> toml::Table {
    RULES.parse().unwrap()
}

fn texts(table: &toml::Value) -> BTreeSet<String> {
    table.as_array().unwrap().iter().map(|entry| entry.as_str().unwrap().to_owned()).collect()
}

/// Whether an SPDX expression (also in the old form with `/`) can be met with allowed licences only.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any(&mut rest, allowed);
    assert!(rest.is_empty(), "cannot read the licence expression {expression:?}");
    met
}

fn any(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = all(words, allowed);
    while words.first() == Some(&"OR") {
        *words = &words[1..];
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, allowed);
    while words.first() == Some(&"AND") {
        *words = &words[1..];
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    *words = rest;
    if *first == "(" {
        let met = any(words, allowed);
        assert_eq!(words.first(), Some(&")"));
        *words = &words[1..];
        return met;
    }
    let mut license = (*first).to_owned();
    if words.first() == Some(&"WITH") {
        license = format!("{license} WITH {}", words[1]);
        *words = &words[2..];
    }
    allowed.contains(&license)
}

#[test]
fn every_licence_is_allowed() {
    let allowed = texts(&rules()["licenses"]["allow"]);
    let refused: Vec<_> = packages()
        .into_iter()
        .filter(|package| !is_met(&package.license, &allowed))
        .map(|package| format!("{} {}: {}", package.name, package.version, package.license))
        .collect();
    assert_eq!(refused, [""; 0]);
}

#[test]
fn no_unwanted_crate_is_built() {
    let rules = rules();
    let unwanted: BTreeSet<_> = rules["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["crate"].as_str().unwrap().to_owned())
        .collect();
    assert!(!unwanted.is_empty());
    let found: Vec<_> = packages().into_iter().filter(|package| unwanted.contains(&package.name)).collect();
    assert_eq!(found, []);
}

#[test]
fn everything_comes_from_crates_io() {
    let rules = rules();
    assert_eq!(rules["sources"]["unknown-git"].as_str(), Some("deny"));
    let foreign: Vec<_> = packages()
        .into_iter()
        .filter(|package| !package.from.is_empty() && !package.from.starts_with(env!("CARGO_MANIFEST_DIR")))
        .collect();
    assert_eq!(foreign, []);
}

/// Not a rule, but worth seeing: `cargo test --test it dependencies:: -- --nocapture`.
#[test]
fn versions_of_the_same_crate_are_reported() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Package { name, version, .. } in packages() {
        versions.entry(name).or_default().push(version);
    }
    assert!(versions.contains_key("tokio"), "the list of packages is empty or wrong");
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        println!("more than once: {name} {}", versions.join(", "));
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned));
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("ISC AND MIT", true),
        ("ISC AND GPL-3.0 OR MIT", true),
        ("ISC AND (GPL-3.0 OR MIT)", true),
        ("GPL-3.0 AND (ISC OR MIT)", false),
        ("Apache-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}
