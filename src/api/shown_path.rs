//! Paths as they are shown: in the log, and in answers that repeat them. Some addresses are secrets, and secrets get into
//! addresses by mistake.

use std::borrow::Cow;

use aks::mask::{COVER, mask};
use percent_encoding::percent_decode_str;

/// Behind this, everything is a registration token.
const IMPORT: &str = "/v3/import/";

/// Behind this comes the name of a token, and behind a colon, where somebody took all of it for its name, its secret.
const TOKENS: &str = "/v3/tokens/";

/// The path without the secrets that may be in it.
pub(super) fn shown(path: &str) -> Cow<'_, str> {
    if path.len() > IMPORT.len() && path.starts_with(IMPORT) {
        return format!("{IMPORT}{COVER}").into();
    }
    if let Some(token) = path.strip_prefix(TOKENS) {
        let name = token.split([':', '%']).next().unwrap_or_default();
        if name.len() < token.len() {
            return format!("{TOKENS}{}:{COVER}", mask(name)).into();
        }
    }
    // Another spelling of the same, which leads nowhere. Clusters have addresses of their own, and names in them.
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    if path != IMPORT && !path.starts_with("/k8s/") && decoded.to_ascii_lowercase().contains("import") {
        return format!("/{COVER}").into();
    }
    match mask(&decoded) {
        Cow::Borrowed(_) => path.into(),
        Cow::Owned(masked) if decoded == path => masked.into(),
        // Decoded it could be anything, also line breaks.
        Cow::Owned(_) => format!("/{COVER}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "k9zq2w4bx7k9zq2w4bx7k9zq2w4bx7k9zq2w4bx7k9zq2w4bx7k9zq";

    #[test]
    fn a_registration_token_is_covered_however_it_is_spelled() {
        for path in [
            format!("/v3/import/{SECRET}_c-x7k9z.yaml"),
            format!("/v3/import/{SECRET}"),
            "/v3/import/short".to_owned(),
            format!("/v3/import/{SECRET}/c-x7k9z.yaml"),
            format!("/v3/import//{SECRET}_c-x7k9z.yaml"),
            format!("/v3/import/x{}_c-x7k9z.yaml", &SECRET[20..]),
        ] {
            assert_eq!(shown(&path), "/v3/import/****", "{path}");
        }
        for path in [
            "/V3/Import/short_c-x7k9z.yaml".to_owned(),
            "/v3/%69mport/short_c-x7k9z.yaml".to_owned(),
            "//v3//import/short".to_owned(),
            "/import/short.yaml".to_owned(),
            format!("/v3/%{:x}{}_c-x7k9z.yaml", SECRET.as_bytes()[0], &SECRET[1..]),
        ] {
            assert_eq!(shown(&path), "/****", "{path}");
        }
        assert_eq!(shown(&format!("/v3/{SECRET}_c-x7k9z.yaml")), "/v3/****_c-x7k9z.yaml");
    }

    #[test]
    fn a_whole_token_in_the_place_of_its_name_is_covered() {
        assert_eq!(shown("/v3/tokens/token-q2w4x"), "/v3/tokens/token-q2w4x");
        for path in
            ["/v3/tokens/token-q2w4x:short", "/v3/tokens/token-q2w4x%3Ashort", "/v3/tokens/token-q2w4x:"]
        {
            assert_eq!(shown(path), "/v3/tokens/token-q2w4x:****", "{path}");
        }
        assert_eq!(shown(&format!("/v3/tokens/{SECRET}")), "/v3/tokens/****");
        assert_eq!(shown(&format!("/v3/tokens/{SECRET}:x")), "/v3/tokens/****:****");
    }

    #[test]
    fn other_paths_stay_as_they_are() {
        for path in [
            "/",
            "/v3/import/",
            "/v3/clusters/c-x7k9z",
            "/v3/cloudcredentials/cattle-global-data:cc-x7k9z",
            "/k8s/clusters/c-x7k9z/api/v1/namespaces/import/pods/a%20b",
            "/meta/aksVMSizesV2",
        ] {
            assert!(matches!(shown(path), Cow::Borrowed(same) if same == path), "{path}");
        }
    }
}
