//! Keys that no field has: misspelt ones would vanish without a word.

use super::case::Case;
use super::rule::{Fault, Rule, Scope};
use crate::mask::mask;

pub(super) const RULES: &[Rule] =
    &[Rule::error("unknown-field", "docs/contract/aks-config.md#unknown-keys", unknown)
        .about(Scope::Any)
        .warning()];

/// So many are told; a body of nothing else is no specification.
const MOST: usize = 20;

/// How alike two names must be, at least, for one to be offered for the other.
const LIKE: f64 = 0.8;

/// A key that was sent and that no field has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// Where it stands, for example `aksConfig.nodePools[1]`.
    place: String,
    key: String,
    near: Option<String>,
}

impl UnknownField {
    /// A key at a place where only the `known` ones count. What may be a secret in a wrong place is not kept.
    pub fn new<'a>(place: &str, key: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let lower = key.to_lowercase();
        let alike = known.map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name));
        let near = alike.filter(|(likeness, _)| *likeness > LIKE).max_by(|(a, _), (b, _)| a.total_cmp(b));
        Self {
            place: place.to_owned(),
            key: mask(key).chars().filter(|it| !it.is_control()).collect(),
            near: near.map(|(_, name)| name.to_owned()),
        }
    }
}

fn unknown(case: &Case<'_>) -> Vec<Fault> {
    let told = case.unknown.iter().take(MOST);
    told.map(|UnknownField { place, key, near }| {
        let remedy = match near {
            Some(near) => format!("did you mean {near}?"),
            None => "leave it out; /docs lists the fields that there are".to_owned(),
        };
        Fault::new(
            format!("{place}.{key}"),
            format!("{place} has no field {key:?}, so it has no effect"),
            remedy,
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_when_it_is_near() {
        let near = |key: &str| {
            UnknownField::new("aksConfig", key, ["count", "vmSize", "maxPods", "osDiskSizeGB"].into_iter())
                .near
        };
        for (key, expected) in [
            ("cuont", Some("count")),
            ("vmsize", Some("vmSize")),
            ("vm_size", Some("vmSize")),
            ("osDiskSizeGb", Some("osDiskSizeGB")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(near(key).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_kept() {
        let secret = "x7k9zq2w4b".repeat(5);
        let field = UnknownField::new("aksConfig", &format!("a\n{secret}"), [].into_iter());
        assert_eq!(field.key, "a****");
    }
}
