//! Compares the program with the committed list of names that users rely on: metrics, log keys, error codes, words of
//! the audit log and of events, settings, annotations, and stored values. Renaming one breaks users' alerts or scripts.
//! Paths, types and operations of the API are compared with `openapi/openapi.json` instead.

use std::collections::BTreeSet;
use std::path::Path;

/// The production code of all packages, without comments and tests.
fn production_code() -> String {
    let mut code = String::new();
    for directory in ["src", "crates"] {
        append_code(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut code);
    }
    code
}

fn append_code(path: &Path, code: &mut String) {
    let is_test_code = path.file_name().is_some_and(|name| name == "tests" || name == "tests.rs");
    if path.is_dir() && !is_test_code {
        for entry in std::fs::read_dir(path).unwrap() {
            append_code(&entry.unwrap().path(), code);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test_code {
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.extend(lines.flat_map(|line| [line, "\n"]));
    }
}

/// The keys of fields in the calls of log macros: `key = value`, `key`, `%key` and `?key`.
fn log_keys(code: &str) -> BTreeSet<String> {
    let calls = code.split("tracing::").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once("!(")?;
        let is_macro_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        is_macro_name.then(|| rest.split(");").next().unwrap_or_default())
    });
    let fields = calls.flat_map(|call| call.split(','));
    let keys = fields.map(|field| field.split(" = ").next().unwrap_or_default().trim());
    keys.map(|key| key.trim_start_matches(['%', '?']).to_owned()).collect()
}

#[test]
fn stable_names_exist() {
    let code = production_code();
    let keys = log_keys(&code);
    let (mut section, mut count, mut missing) = ("", 0, Vec::new());
    for line in include_str!("../fixtures/stable-names.txt").lines() {
        if let Some(heading) = line.strip_prefix('[') {
            section = heading.trim_end_matches(']');
        } else if !line.is_empty() && !line.starts_with('#') {
            let is_key = section == "log keys";
            let exists = if is_key { keys.contains(line) } else { code.contains(&format!("\"{line}\"")) };
            count += 1;
            if !exists {
                missing.push(format!("{section}: {line}"));
            }
        }
    }
    assert!(count > 250, "only {count} names were read");
    assert_eq!(missing, [""; 0], "names that users rely on are missing");
}
