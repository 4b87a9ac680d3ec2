//! Masks possible secrets in strings from callers, such as paths and IDs, before they are stored or logged.

use std::borrow::Cow;

/// The replacement of a masked part.
pub const MASK: &str = "****";

/// The minimum length of a run of letters and digits that is treated as a secret. The secrets of tokens have 54 characters;
/// names, and IDs of Azure and Kubernetes, have separators or are shorter.
const MIN_SECRET_LEN: usize = 40;

/// Replaces all possible secrets in `text` with [`MASK`].
pub fn mask(text: &str) -> Cow<'_, str> {
    if text.len() < MIN_SECRET_LEN {
        return Cow::Borrowed(text);
    }
    let mut masked = String::new();
    let mut has_secret = false;
    for part in text.split_inclusive(|character: char| !character.is_ascii_alphanumeric()) {
        let run = part.trim_end_matches(|character: char| !character.is_ascii_alphanumeric());
        if run.len() < MIN_SECRET_LEN {
            masked.push_str(part);
        } else {
            has_secret = true;
            masked.push_str(MASK);
            masked.push_str(part.get(run.len()..).unwrap_or_default());
        }
    }
    if has_secret { Cow::Owned(masked) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_masked_and_names_are_not() {
        let secret = "x7k9zq2w4b".repeat(5);
        for (text, expected) in [
            (secret.clone(), "****".to_owned()),
            (format!("/v3/import/{secret}_c-x7k9z.yaml"), "/v3/import/****_c-x7k9z.yaml".to_owned()),
            (format!("ü{secret}ß{secret}"), "ü****ß****".to_owned()),
            (format!("token-q2w4x:{secret} not found"), "token-q2w4x:**** not found".to_owned()),
        ] {
            assert_eq!(mask(&text), expected);
        }
        for text in [
            "",
            "c-x7k9z:default-token",
            "cattle-global-data:cc-x7k9z",
            &"name-".repeat(50),
            "/k8s/clusters/c-x7k9z/api/v1/namespaces/kube-system/pods/aks-agentpool-12345678-vmss000000",
            "9d1f3c52-0d2b-4e6a-8c1e-000000000001",
            &"x".repeat(MIN_SECRET_LEN - 1),
        ] {
            assert!(matches!(mask(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert_eq!(mask(&"x".repeat(MIN_SECRET_LEN)), MASK);
    }
}
