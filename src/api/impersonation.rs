//! Impersonation: Kubernetes and Rancher let a caller act as another user by headers. Here a request runs as its caller or
//! not at all: ignoring the headers would run it with more rights than its sender meant it to have.

use http::HeaderMap;

/// For people, on every surface.
pub(super) const MESSAGE: &str = "impersonation is not supported: leave out the Impersonate-* headers (of kubectl: --as, --as-group, --as-uid), \
     or use a token of that user";

/// Whether any `Impersonate-*` header is there, also one without a value. Names of headers are lower case here, and a proxy
/// on the way may have taken the underscore for the dash.
pub(super) fn is_requested(headers: &HeaderMap) -> bool {
    let follows = |rest: &str| rest.starts_with(['-', '_']);
    headers.keys().any(|name| name.as_str().strip_prefix("impersonate").is_some_and(follows))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn every_header_of_impersonation_is_found() {
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
