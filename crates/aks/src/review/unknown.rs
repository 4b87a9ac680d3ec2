//! Warnings about unknown keys, which would otherwise be ignored silently, for example if they are misspelled.

use super::case::Case;
use super::rule::{Faults, Rule, Scope};
use super::unknown_field::UnknownField;

pub(super) const RULES: &[Rule] =
    &[Rule::warning("unknown-field", "docs/contract/aks-config.md#unknown-keys", unknown_fields)
        .scope(Scope::Any)];

const MAX_REPORTED: usize = 20;

fn unknown_fields(case: &Case<'_>, faults: &mut Faults) {
    for UnknownField { parent, key, suggestion } in case.unknown_fields.iter().take(MAX_REPORTED) {
        let message = format!("{parent} has no field {key:?}, so the key has no effect");
        let remedy = match suggestion {
            Some(name) => format!("did you mean {name}?"),
            None => "remove it; /docs lists all fields".to_owned(),
        };
        faults.add_at(format!("{parent}.{key}"), message, remedy);
    }
}
