//! Unknown keys, and suggestions of the intended field.

use crate::mask::mask;

/// Names with a higher Jaro-Winkler similarity are suggested.
const MIN_SIMILARITY: f64 = 0.8;

/// An unknown key in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// The path of the object that contains the key, for example `aksConfig.nodePools[1]`.
    pub(super) parent: String,
    pub(super) key: String,
    pub(super) suggestion: Option<String>,
}

impl UnknownField {
    /// An unknown key of an object with the fields `fields`. A key that may be a misplaced secret is masked.
    pub fn new<'a>(parent: &str, key: &str, fields: impl Iterator<Item = &'a str>) -> Self {
        let lower = key.to_lowercase();
        let candidates = fields.map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name));
        let nearest = candidates
            .filter(|(similarity, _)| *similarity > MIN_SIMILARITY)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        Self {
            parent: parent.to_owned(),
            key: mask(key).chars().filter(|c| !c.is_control()).collect(),
            suggestion: nearest.map(|(_, name)| name.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_field_is_suggested() {
        for (key, expected) in [
            ("cuont", Some("count")),
            ("vmsize", Some("vmSize")),
            ("vm_size", Some("vmSize")),
            ("osDiskSizeGb", Some("osDiskSizeGB")),
            ("colour", None),
            ("", None),
        ] {
            let fields = ["count", "vmSize", "maxPods", "osDiskSizeGB"].into_iter();
            let field = UnknownField::new("aksConfig", key, fields);
            assert_eq!(field.suggestion.as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn possible_secret_is_masked() {
        let secret = "x7k9zq2w4b".repeat(5);
        let field = UnknownField::new("aksConfig", &format!("a\n{secret}"), [].into_iter());
        assert_eq!(field.key, "a****");
    }
}
