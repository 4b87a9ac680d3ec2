//! Warnings about unknown keys, which would otherwise be ignored silently, for example if they are misspelled.

use super::input::RuleInput;
use super::rule::{FieldFindings, Rule, Scope};
use super::unknown_field::UnknownField;

pub(super) const RULES: &[Rule] =
    &[Rule::warning("unknown-field", "docs/contract/aks-config.md#unknown-keys", unknown_fields)
        .scope(Scope::Any)];

const MAX_REPORTED: usize = 20;

fn unknown_fields(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for UnknownField { parent, key, suggestion } in input.unknown_fields.iter().take(MAX_REPORTED) {
        let message = format!("{parent} has no field {key:?}, so the key has no effect");
        let remedy = match suggestion {
            Some(name) => format!("did you mean {name}?"),
            None => "remove it; /docs lists all fields".to_owned(),
        };
        findings.add_at(format!("{parent}.{key}"), message, remedy);
    }
}
