//! Holds the README and the documents beside it to the program: the table of settings, the actions, the accounts of
//! the sandbox, metrics, commands and links. `UPDATE_README=1` writes the table of settings anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use norman_aks::config::settings_table_markdown;
use norman_aks::telemetry::metrics;
use serde_json::Value;

use crate::support::app::TestApp;

const BEGIN: &str = "<!-- The table is made by: UPDATE_README=1 cargo test --test it readme:: -->\n";
const END: &str = "<!-- end of the table -->";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Pieces between an odd mark and the next one.
fn between<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    text.split(mark).skip(1).step_by(2).collect()
}

/// The lines of all blocks of that language.
fn code<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let blocks = between(text, "```").into_iter().filter_map(|block| block.strip_prefix(language));
    blocks.flat_map(str::lines).collect()
}

#[test]
fn the_table_of_settings_is_the_programs() {
    let readme = read("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the mark before the table");
    let (table, after) = rest.split_once(END).expect("the README has the mark behind the table");
    let wanted = settings_table_markdown();
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path("README.md"), format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(table, wanted, "run UPDATE_README=1 cargo test --test it readme::");
}

#[tokio::test]
async fn the_first_screen_shows_what_the_sandbox_answers() {
    let app = TestApp::start().await;
    let id = app.stored_credential(&app.admin).await;
    let answer =
        app.get(&format!("/meta/aksVersions?cloudCredentialId={id}&region=eastus")).send().await.text();
    let first_screen: String = read("README.md").lines().take(40).collect::<Vec<_>>().join("\n");
    assert!(first_screen.contains(&answer), "{answer}");
}

#[test]
fn every_action_has_its_row_and_no_other_has() {
    let document: serde_json::Value = serde_json::from_str(&norman_aks::api::openapi_json()).unwrap();
    let paths = document["paths"].as_object().unwrap().keys();
    let served: BTreeSet<_> =
        paths.filter_map(|path| path.strip_prefix("/meta/")).map(str::to_owned).collect();
    let readme = read("README.md");
    let rows: BTreeSet<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `aks")?.split_once('`'))
        .map(|(name, _)| format!("aks{name}"))
        .collect();
    assert_eq!(rows, served);
    assert_eq!(rows.len(), 9);
}

#[tokio::test]
async fn every_account_of_the_sandbox_is_told() {
    let app = TestApp::start().await;
    let readme = read("README.md");
    for account in app.control.accounts() {
        let account = serde_json::to_value(account).unwrap();
        let row =
            format!("| `{}` | {} |", account["name"].as_str().unwrap(), account["note"].as_str().unwrap());
        assert!(readme.contains(&row), "{row}");
    }
}

/// The value of a small jq expression: `.key`, or `(.key + .key)[0]` of lists of which some may be missing.
fn jq(expression: &str, value: &Value) -> Value {
    let Some(lists) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(")[0]")) else {
        return value[expression.strip_prefix('.').unwrap_or_else(|| panic!("{expression}"))].clone();
    };
    let lists = lists.split(" + ").map(|list| jq(list, value));
    let mut items = lists.flat_map(|list| list.as_array().cloned().unwrap_or_default());
    items.next().unwrap_or_default()
}

#[tokio::test]
async fn the_recipe_for_one_account_of_the_sandbox_does_for_all() {
    let app = TestApp::start().await;
    let readme = read("README.md");
    let (_, recipe) = readme.split_once("select(.name == \"no-role\") | {").expect("the recipe");
    let (recipe, _) = recipe.split_once('}').unwrap();
    for account in app.control.accounts() {
        let account = serde_json::to_value(account).unwrap();
        let parts = recipe.split(", ").map(|part| match part.split_once(": ") {
            Some((key, expression)) => (key.to_owned(), jq(expression, &account)),
            None => (part.to_owned(), account[part].clone()),
        });
        let body = Value::Object(parts.collect());
        let answer = app.post("/meta/aksLocations").json(&body).send().await;
        let name = account["name"].as_str().unwrap();
        let note = account["note"].as_str().unwrap();
        // What the action itself meets; the others are refused later, or not at all.
        let expected = match name {
            "expired-secret" => Some("AADSTS7000222"),
            "disabled-app" => Some("AADSTS7000112"),
            "no-role" => Some("AuthorizationFailed"),
            _ => None,
        };
        match expected {
            Some(code) => {
                assert!(note.contains(code), "{name}: {note}");
                assert_eq!(answer.json()["code"], code, "{name}: {}", answer.text());
                assert!(!answer.json()["hint"].as_str().unwrap().is_empty(), "{name}: {}", answer.text());
            }
            None if name.starts_with("throttled") => {
                assert_eq!(answer.status, 429, "{name}: {}", answer.text());
            }
            None => assert_eq!(answer.status, 200, "{name}: {}", answer.text()),
        }
    }
}

#[test]
fn every_metric_is_told_and_no_other() {
    let readme = read("README.md");
    let known: BTreeSet<_> = metrics::ALL.iter().map(|metric| metric.name).collect();
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let told: BTreeSet<_> = between(&readme, "`")
        .into_iter()
        .flat_map(|code| code.split(word))
        .filter(|name| name.starts_with("norman_aks_"))
        .collect();
    assert_eq!(told, known);
}

#[test]
fn alert_rules_are_documented_and_use_known_metrics() {
    let (rules, page) = (read("deploy/prometheus-rules.yaml"), read("docs/operations.md"));
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let series = |metric: &metrics::Metric| match metric.kind {
        metrics::Kind::Histogram(_) => format!("{}_bucket", metric.name),
        metrics::Kind::Counter | metrics::Kind::Gauge => metric.name.to_owned(),
    };
    let known: BTreeSet<_> = metrics::ALL.iter().map(series).collect();
    let used = rules.split(word).filter(|name| name.starts_with("norman_aks_"));
    let unknown: Vec<_> = used.filter(|name| !known.contains(*name)).collect();
    assert_eq!(unknown, Vec::<&str>::new());
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `NormanAks")?.split_once('`'));
    let documented: Vec<_> = rows.map(|(name, _)| format!("NormanAks{name}")).collect();
    assert_eq!(alerts, documented);
    assert!(alerts.len() >= 10, "{alerts:?}");
}

/// Lines such as `norman-aks key rotate --data-dir x`, each as its words.
fn commands(text: &str) -> Vec<Vec<String>> {
    let lines = code(text, "console").into_iter().filter_map(|line| line.strip_prefix("$ "));
    let commands = lines.filter_map(|line| {
        let line = line.split_once("cargo run --release -- ").or_else(|| line.split_once("norman-aks "))?.1;
        let own = line.split(['|', '#', '>', ';', '&', ')']).next().unwrap_or_default();
        Some(own.split_whitespace().map(str::to_owned).collect())
    });
    commands
        .filter(|words: &Vec<String>| words.first().is_some_and(|word| word.starts_with(char::is_lowercase)))
        .collect()
}

#[test]
fn every_command_and_flag_exists() {
    let help = |words: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_norman-aks")).args(words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let mut seen = 0;
    for name in ["README.md", "docs/security.md", "deploy/kubernetes/README.md"] {
        for command in commands(&read(name)) {
            let (first, rest) = command.split_first().unwrap();
            let second =
                rest.first().filter(|_| matches!(first.as_str(), "token" | "key" | "audit" | "user"));
            let words: Vec<_> = [Some(first), second].into_iter().flatten().map(String::as_str).collect();
            let text = help(&words);
            for flag in rest.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap();
                assert!(text.contains(flag), "{name}: {command:?}: there is no {flag}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} commands were found");
}

/// A heading as the anchor of a link.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

/// Whether the document exists and, unless `heading` is empty, has that heading.
fn resolves(document: &Path, heading: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(document) else {
        return heading.is_empty() && document.exists();
    };
    let mut headings = text.lines().filter(|line| line.starts_with('#'));
    heading.is_empty() || headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading)
}

/// The files below a directory of the repository.
fn files_below(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path(directory)).unwrap_or_else(|error| panic!("{directory}: {error}"));
    let entries = entries.map(|entry| entry.unwrap().path());
    entries
        .flat_map(|entry| if entry.is_dir() { files_below(entry.to_str().unwrap()) } else { vec![entry] })
        .collect()
}

/// The path of a file within the repository.
fn name_of(file: &Path) -> String {
    file.strip_prefix(path("")).unwrap().to_str().unwrap().to_owned()
}

/// Every text of the repository that people write, with its path.
fn texts() -> Vec<(String, String)> {
    let directories = ["src", "tests", "benches", "docs", "openapi", "deploy", "migrations"];
    let files = directories.into_iter().flat_map(files_below);
    let files = files.chain(["README.md", "CHANGELOG.md"].map(path));
    files.filter_map(|file| Some((name_of(&file), std::fs::read_to_string(&file).ok()?))).collect()
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut seen = 0;
    let names = [
        "README.md",
        "CHANGELOG.md",
        "docs/architecture.md",
        "docs/compatibility.md",
        "docs/security.md",
        "docs/operations.md",
        "deploy/kubernetes/README.md",
    ];
    let contract = files_below("docs/contract").into_iter().map(|page| name_of(&page));
    for name in names.map(str::to_owned).into_iter().chain(contract) {
        let text = read(&name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { path(&name) } else { path(&name).parent().unwrap().join(file) };
            assert!(resolves(&file, heading), "{name}: {link}");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} links were found");
}

#[test]
fn contract_index_lists_every_page() {
    let index = read("docs/contract/README.md");
    for page in files_below("docs/contract") {
        let page = page.file_name().unwrap().to_str().unwrap();
        assert!(page == "README.md" || index.contains(&format!("| [{page}]({page}) | ")), "{page}");
    }
}

#[test]
fn references_to_the_contract_resolve() {
    const PAGES: &str = "docs/contract/";
    let part_of_reference = |c: char| c.is_ascii_alphanumeric() || "-_.#".contains(c);
    let mut seen = 0;
    for (name, text) in texts() {
        for rest in text.split(PAGES).skip(1) {
            let reference = rest.split(|c: char| !part_of_reference(c)).next().unwrap_or_default();
            let reference = reference.trim_end_matches('.');
            // The directory itself.
            if reference.is_empty() {
                continue;
            }
            let (page, heading) = reference.split_once('#').unwrap_or((reference, ""));
            assert!(resolves(&path(PAGES).join(page), heading), "{name}: {PAGES}{reference}");
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} references were found");
}

#[test]
fn no_text_cites_a_section_by_number() {
    let cited = ["contract,", "section"].join(" ");
    for (name, text) in texts() {
        let words = text.split_whitespace().filter(|word| !matches!(*word, "//" | "///" | "//!"));
        let text = words.collect::<Vec<_>>().join(" ").to_lowercase();
        assert!(!text.contains(&cited), "{name} cites a section of a document that readers do not have");
    }
}

/// The rows of the tables of compatibility.md: id, subject, three columns of text, and the test.
fn differences() -> Vec<[String; 6]> {
    let page = read("docs/compatibility.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Id |"));
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    rows.map(|row| match cells(row).as_slice() {
        [_, cells @ .., _] => cells.to_vec().try_into().unwrap_or_else(|_| panic!("six cells: {row}")),
        _ => panic!("{row}"),
    })
    .collect()
}

#[test]
fn compatibility_ids_are_unique() {
    let mut seen = BTreeSet::new();
    for [id, ..] in differences() {
        let name = id.strip_prefix('`').and_then(|id| id.strip_suffix('`')).unwrap_or_default();
        let is_kebab_case = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(is_kebab_case, "{id}");
        assert!(seen.insert(id.clone()), "{id} is given twice");
    }
    assert!(seen.len() > 150, "only {} rows were found", seen.len());
}

#[test]
fn compatibility_rows_state_their_reasons() {
    for [id, .., why, _] in differences() {
        assert!(!why.is_empty() && why != "the same", "{id} has no reason");
    }
}

#[test]
fn compatibility_tests_exist() {
    let module = |file: &str| {
        let path =
            file.strip_prefix("tests/it/").or_else(|| file.strip_prefix("src/"))?.strip_suffix(".rs")?;
        let path = path.strip_suffix("/mod").or_else(|| path.strip_suffix("/tests")).unwrap_or(path);
        Some(path.replace('/', "::"))
    };
    let sources = texts().into_iter().filter_map(|(file, text)| Some((module(&file)?, text)));
    let sources: Vec<_> = sources.collect();
    let mut seen = 0;
    for [id, .., test] in differences().into_iter().filter(|[.., test]| !test.is_empty()) {
        let (file, function) = test.trim_matches('`').rsplit_once("::").unwrap_or_default();
        let declared = format!("fn {function}(");
        let exists = sources.iter().any(|(module, text)| module == file && text.contains(&declared));
        assert!(exists, "{id}: there is no test {test}");
        seen += 1;
    }
    assert!(seen > 150, "only {seen} rows name a test");
}
