//! Examples of rules, and the tables of docs/review.md that are generated from them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::json;

use super::examples::{all_examples, behaviors};
use super::review_input::ReviewInput;
use crate::review::{Severity, changes, rules};

pub(super) type Change = Box<dyn Fn(&mut ReviewInput)>;

/// A rule with changes of an input that break the rule, each with the field of the expected finding, and similar changes that
/// comply with it. The unchanged input also complies.
pub(super) struct Example {
    pub(super) rule: &'static str,
    pub(super) start: fn() -> ReviewInput,
    pub(super) breaks: Vec<(&'static str, Change)>,
    pub(super) complies: Vec<Change>,
}

/// Boxes a change.
pub(super) fn boxed(change: impl Fn(&mut ReviewInput) + 'static) -> Change {
    Box::new(change)
}

/// A change: keys to set ([`ReviewInput::set`]), a function in parentheses, or several of both in brackets.
macro_rules! change {
    ({ $($json:tt)* }) => { boxed(|input| input.set(serde_json::json!({ $($json)* }))) };
    (( $function:expr )) => { boxed($function) };
    ([ $($part:tt)+ ]) => {{
        let parts: Vec<Change> = vec![$(change!($part)),+];
        boxed(move |input| parts.iter().for_each(|part| part(input)))
    }};
}
pub(super) use change;

/// Examples: a rule, an input, the changes that break the rule by field, and the changes that comply with it.
macro_rules! examples {
    ($($rule:literal, $start:ident, [$($field:literal [$($break:tt)+]),*], [$($comply:tt)*];)+) => {
        vec![$(Example {
            rule: $rule,
            start: ReviewInput::$start,
            breaks: vec![$($(($field, change!($break))),+),*],
            complies: vec![$(change!($comply)),*],
        }),+]
    };
}
pub(super) use examples;

/// A change that a rule accepts and one that it rejects, each with a description: a row of the second table of docs/review.md.
pub(super) struct Behavior {
    pub(super) rule: &'static str,
    pub(super) start: fn() -> ReviewInput,
    pub(super) accepts: (&'static str, Change),
    pub(super) rejects: (&'static str, Change),
}

macro_rules! behavior_table {
    ($($rule:literal, $start:ident, $accepts:literal $accepted:tt, $rejects:literal $rejected:tt;)+) => {
        vec![$(Behavior {
            rule: $rule,
            start: ReviewInput::$start,
            accepts: ($accepts, change!($accepted)),
            rejects: ($rejects, change!($rejected)),
        }),+]
    };
}
pub(super) use behavior_table;

#[test]
fn examples_break_or_comply_with_their_rules() {
    for example in all_examples() {
        let rule = rules().find(|rule| rule.name == example.rule).expect(example.rule);
        let name = rule.name;
        assert_eq!((example.start)().fields(name), [""; 0], "{name}: unchanged");
        for (index, (field, change)) in example.breaks.iter().enumerate() {
            let review = (example.start)().with(change).review();
            let findings: Vec<_> = review.findings.iter().filter(|finding| finding.rule == name).collect();
            let field = format!("aksConfig.{field}");
            let is_named = findings.iter().any(|finding| finding.field == field);
            assert!(is_named, "{name} {index} should name {field}: {review:#?}");
            for finding in findings {
                assert_eq!(finding.rests_on_azure, rule.rests_on_azure, "{name}");
                // Each finding of these rules has the source of its key.
                let has_own_sources = changes::RULES.iter().any(|rule| rule.name == name);
                assert!(finding.source == rule.source || has_own_sources, "{name}");
            }
        }
        for (index, change) in example.complies.iter().enumerate() {
            let input = (example.start)().with(change);
            assert_eq!(input.fields(name), [""; 0], "{name}: change {index} should comply");
        }
    }
}

#[test]
fn every_rule_has_an_example_that_breaks_it() {
    let examples = all_examples();
    let broken: BTreeSet<_> =
        examples.iter().filter(|example| !example.breaks.is_empty()).map(|example| example.rule).collect();
    let all: BTreeSet<_> = rules().map(|rule| rule.name).collect();
    let differing: Vec<_> = broken.symmetric_difference(&all).collect();
    assert!(
        differing.is_empty(),
        "rules without an example that breaks them, or without a rule: {differing:?}"
    );
    assert_eq!(rules().count(), all.len(), "names are unique");
}

/// Whether a source is a heading of the contract, which `tests/it/readme.rs` resolves, or a title with its URL.
fn is_public_source(source: &str) -> bool {
    if let Some(reference) = source.strip_prefix("docs/contract/") {
        let is_name = |name: &str| !name.is_empty() && !name.contains([' ', '/', '.', '#']);
        return reference.split_once(".md#").is_some_and(|(page, heading)| is_name(page) && is_name(heading));
    }
    let url = source.rsplit(' ').next().unwrap_or_default();
    ["https://learn.microsoft.com/", "https://github.com/Azure/AKS/issues/"]
        .iter()
        .any(|site| url.len() > site.len() && url.starts_with(site))
}

#[test]
fn rules_and_findings_are_well_formed() {
    for rule in rules() {
        assert!(rule.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", rule.name);
        assert!(is_public_source(rule.source), "{}: {}", rule.name, rule.source);
        assert!(!rule.source.contains("  "), "{}", rule.source);
        assert_eq!(rule.severity == Severity::Advice, rule.name.starts_with("advice-"), "{}", rule.name);
    }
    for example in all_examples() {
        for (_, change) in example.breaks {
            for finding in (example.start)().with(change).review().findings {
                assert!(finding.field.starts_with("aksConfig."), "{finding:?}");
                assert!(is_public_source(&finding.source), "{finding:?}");
                for prose in [&finding.message, &finding.remedy] {
                    assert!(!prose.is_empty() && !prose.ends_with(['.', ' ', ',']), "{prose}");
                    assert!(!prose.contains("  ") && !prose.contains('\n'), "{prose}");
                }
            }
        }
    }
}

#[test]
fn rules_agree_with_azures_behavior() {
    for Behavior { rule, start, accepts, rejects } in behaviors() {
        let source = rules().find(|other| other.name == rule).expect(rule).source;
        assert!(source.contains("https://"), "{rule}: {source}");
        assert_eq!(start().with(accepts.1).fields(rule), [""; 0], "{rule}: {}", accepts.0);
        let review = start().with(rejects.1).review();
        let is_error = review.errors().any(|finding| finding.rule == rule);
        assert!(is_error, "{rule}: {} {review:#?}", rejects.0);
    }
}

/// The tables of docs/review.md: every rule with the sentence of its first example, and Azure's behavior.
fn generate_tables() -> String {
    let examples = all_examples();
    let mut tables =
        "| Rule | Severity | Needs Azure | Example of a finding | Source |\n|---|---|---|---|---|\n"
            .to_owned();
    for rule in rules() {
        let has_example = |example: &&Example| example.rule == rule.name && !example.breaks.is_empty();
        let example = examples.iter().find(has_example);
        let example = example.unwrap_or_else(|| panic!("no example breaks the rule {}", rule.name));
        let review = (example.start)().with(&example.breaks[0].1).review();
        let finding = review.findings.into_iter().find(|finding| finding.rule == rule.name).unwrap();
        let (name, severity) = (rule.name, json!(rule.severity));
        let (severity, sentence) = (severity.as_str().unwrap(), finding.sentence());
        let needs = if rule.rests_on_azure { "yes" } else { "no" };
        writeln!(tables, "| `{name}` | {severity} | {needs} | {sentence} | {} |", rule.source).unwrap();
    }
    tables += "\n## Azure's behavior\n\nThese rules accept and reject what Azure accepts and rejects:\n\n\
        | Rule | Accepted | Rejected |\n|---|---|---|\n";
    for Behavior { rule, accepts, rejects, .. } in behaviors() {
        writeln!(tables, "| `{rule}` | {} | {} |", accepts.0, rejects.0).unwrap();
    }
    tables
}

/// `UPDATE_REVIEW=1 cargo test -p aks review` generates the tables.
#[test]
fn document_lists_every_rule() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/review.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (prose, current_tables) = document.split_at(document.find("| Rule |").unwrap());
    let generated_tables = generate_tables();
    #[expect(clippy::disallowed_methods, reason = "a switch for developers, not part of the program")]
    if std::env::var("UPDATE_REVIEW").is_ok() {
        std::fs::write(path, format!("{prose}{generated_tables}")).unwrap();
        return;
    }
    assert!(
        current_tables == generated_tables,
        "docs/review.md is stale: UPDATE_REVIEW=1 cargo test -p aks review"
    );
}
