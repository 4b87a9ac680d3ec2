//! Impersonation by headers, as in Kubernetes and Rancher. This server rejects it: ignoring the headers would execute a request
//! with more rights than its sender intended.

use http::HeaderMap;

/// The message on every surface.
pub(super) const MESSAGE: &str = "impersonation is not supported: omit the Impersonate-* headers (kubectl: --as, --as-group, --as-uid), \
     or use a token of that user";

/// Whether the request has an `Impersonate-*` header, even an empty one. Header names are in lower case here, and a proxy may
/// have replaced the dash with an underscore.
pub(super) fn is_requested(headers: &HeaderMap) -> bool {
    let starts_with_separator = |rest: &str| rest.starts_with(['-', '_']);
    headers.keys().any(|name| name.as_str().strip_prefix("impersonate").is_some_and(starts_with_separator))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn impersonation_headers_are_recognized() {
        for (name, expected) in [
            ("Impersonate-User", true),
            ("IMPERSONATE-GROUP", true),
            ("impersonate-uid", true),
            ("Impersonate-Extra-Scopes", true),
            ("Impersonate-Extra-acme.com%2Fproject", true),
            ("Impersonate-Anything-Else", true),
            ("Impersonate_User", true),
            ("impersonate", false),
            ("impersonated-user", false),
            ("x-impersonate-user", false),
        ] {
            let name: HeaderName = name.parse().unwrap();
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static(""))]);
            assert_eq!(is_requested(&headers), expected, "{name}");
        }
    }
}
