//! Redacts paths in the log and in error messages. Some paths are secrets, and others contain secrets by mistake.

use std::borrow::Cow;

use aks::mask::{MASK, mask};
use percent_encoding::percent_decode_str;

/// The prefix of paths that end with a registration token.
const IMPORT_PREFIX: &str = "/v3/import/";

/// The prefix of paths that end with the name of a token. Some clients send the whole token, `<name>:<secret>`, instead.
const TOKENS_PREFIX: &str = "/v3/tokens/";

/// Redacts registration tokens and all other tokens.
pub(super) fn redact(path: &str) -> Cow<'_, str> {
    if path.len() > IMPORT_PREFIX.len() && path.starts_with(IMPORT_PREFIX) {
        return format!("{IMPORT_PREFIX}{MASK}").into();
    }
    if let Some(token) = path.strip_prefix(TOKENS_PREFIX) {
        let name = token.split([':', '%']).next().unwrap_or_default();
        if name.len() < token.len() {
            return format!("{TOKENS_PREFIX}{}:{MASK}", mask(name)).into();
        }
    }
    // Other spellings of the import path are not routed, but may contain a registration token.
    let decoded = decode(path);
    if path != IMPORT_PREFIX && contains_import(&decoded) {
        return format!("/{MASK}").into();
    }
    redact_decoded(path, &decoded)
}

/// Redacts only what looks like a token, for paths within clusters, where `import` may be the name of an object.
pub(super) fn redact_tokens(path: &str) -> Cow<'_, str> {
    redact_decoded(path, &decode(path))
}

fn redact_decoded<'a>(path: &'a str, decoded: &str) -> Cow<'a, str> {
    match mask(decoded) {
        Cow::Borrowed(_) => path.into(),
        Cow::Owned(masked) if decoded == path => masked.into(),
        // Not the decoded path, which may contain line breaks.
        Cow::Owned(_) => format!("/{MASK}").into(),
    }
}

fn decode(path: &str) -> Cow<'_, str> {
    // Checked first, because decoding takes as long as the rest of the redaction.
    if path.contains('%') { percent_decode_str(path).decode_utf8_lossy() } else { path.into() }
}

/// Whether the path contains `import` in any letter case.
fn contains_import(path: &str) -> bool {
    let name = b"import";
    path.as_bytes().windows(name.len()).any(|part| part.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "k9zq2w4bx7k9zq2w4bx7k9zq2w4bx7k9zq2w4bx7k9zq2w4bx7k9zq";

    #[test]
    fn registration_tokens_are_redacted_in_any_spelling() {
        for path in [
            format!("/v3/import/{SECRET}_c-x7k9z.yaml"),
            format!("/v3/import/{SECRET}"),
            "/v3/import/short".to_owned(),
            format!("/v3/import/{SECRET}/c-x7k9z.yaml"),
            format!("/v3/import//{SECRET}_c-x7k9z.yaml"),
            format!("/v3/import/x{}_c-x7k9z.yaml", &SECRET[20..]),
        ] {
            assert_eq!(redact(&path), "/v3/import/****", "{path}");
        }
        for path in [
            "/V3/Import/short_c-x7k9z.yaml".to_owned(),
            "/v3/%69mport/short_c-x7k9z.yaml".to_owned(),
            "//v3//import/short".to_owned(),
            "/import/short.yaml".to_owned(),
            format!("/v3/%{:x}{}_c-x7k9z.yaml", SECRET.as_bytes()[0], &SECRET[1..]),
        ] {
            assert_eq!(redact(&path), "/****", "{path}");
        }
        assert_eq!(redact(&format!("/v3/{SECRET}_c-x7k9z.yaml")), "/v3/****_c-x7k9z.yaml");
    }

    #[test]
    fn secret_after_a_token_name_is_redacted() {
        assert_eq!(redact("/v3/tokens/token-q2w4x"), "/v3/tokens/token-q2w4x");
        for path in
            ["/v3/tokens/token-q2w4x:short", "/v3/tokens/token-q2w4x%3Ashort", "/v3/tokens/token-q2w4x:"]
        {
            assert_eq!(redact(path), "/v3/tokens/token-q2w4x:****", "{path}");
        }
        assert_eq!(redact(&format!("/v3/tokens/{SECRET}")), "/v3/tokens/****");
        assert_eq!(redact(&format!("/v3/tokens/{SECRET}:x")), "/v3/tokens/****:****");
    }

    #[test]
    fn other_paths_are_unchanged() {
        for path in [
            "/",
            "/v3/import/",
            "/v3/clusters/c-x7k9z",
            "/v3/cloudcredentials/cattle-global-data:cc-x7k9z",
            "/meta/aksVMSizesV2",
        ] {
            assert!(matches!(redact(path), Cow::Borrowed(same) if same == path), "{path}");
        }
        let in_cluster = "/k8s/clusters/c-x7k9z/api/v1/namespaces/import/pods/a%20b";
        assert_eq!(redact_tokens(in_cluster), in_cluster);
    }
}
