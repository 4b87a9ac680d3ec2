//! Masks possible secrets in strings from callers, such as paths and IDs, before they are stored or logged.

use std::borrow::Cow;

/// The replacement of a masked part.
pub const COVER: &str = "****";

/// The minimum length of a run of letters and digits that is treated as a secret. The secrets of tokens have 54 characters;
/// names, and IDs of Azure and Kubernetes, have separators or are shorter.
const SHORTEST: usize = 40;

/// The text with all possible secrets masked.
pub fn mask(text: &str) -> Cow<'_, str> {
    if text.len() < SHORTEST {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut covered = false;
    for part in text.split_inclusive(|character: char| !character.is_ascii_alphanumeric()) {
        let run = part.trim_end_matches(|character: char| !character.is_ascii_alphanumeric());
        if run.len() < SHORTEST {
            kept.push_str(part);
        } else {
            covered = true;
            kept.push_str(COVER);
            kept.push_str(part.get(run.len()..).unwrap_or_default());
        }
    }
    if covered { Cow::Owned(kept) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_covered_and_names_are_not() {
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
            &"x".repeat(SHORTEST - 1),
        ] {
            assert!(matches!(mask(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert_eq!(mask(&"x".repeat(SHORTEST)), COVER);
    }
}
