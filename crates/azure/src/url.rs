//! URLs of Resource Manager: builds them, and checks those in Azure's responses.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;
use url::Position;

use crate::cloud::Cloud;
use crate::error::Error;

/// The characters that are percent-encoded in a path segment. The set is that of Azure's Go libraries, whose URLs are part of
/// error messages (`docs/contract/azure-errors.md#an-error-from-resource-manager`).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// The characters that are percent-encoded in names and values of a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The number of times that a segment is decoded in search of dot segments; more than any server does.
const MAX_DECODINGS: usize = 8;

/// The URL on Resource Manager of `cloud` with these path segments and this query, all percent-encoded. [`Error::BadUrl`]
/// for an empty segment, and for one that contains, however often percent-encoded, a control character or a dot segment (`.` or
/// `..`, which would be resolved to another resource).
pub(super) fn build(cloud: Cloud, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, Error> {
    let mut url_text = cloud.arm_origin().to_owned();
    for segment in segments {
        check_segment(segment)?;
        url_text.push('/');
        url_text.extend(utf8_percent_encode(segment, SEGMENT));
    }
    for (position, (name, value)) in query.iter().enumerate() {
        url_text.push(if position == 0 { '?' } else { '&' });
        url_text.extend(utf8_percent_encode(name, QUERY));
        url_text.push('=');
        url_text.extend(utf8_percent_encode(value, QUERY));
    }
    let url = Url::parse(&url_text).map_err(|_| Error::BadUrl(url_text.clone()))?;
    // Reject a URL in which the parser resolved or rewrote anything.
    if url.as_str() == url_text { Ok(url) } else { Err(Error::BadUrl(url_text)) }
}

/// A URL from a response of Azure. [`Error::ForeignLink`] if it is not on Resource Manager of `cloud`, because the bearer token
/// is sent to it.
pub(super) fn parse_link(cloud: Cloud, link: &str) -> Result<Url, Error> {
    let foreign = |host: Option<&str>| Error::ForeignLink { host: host.unwrap_or_default().to_owned() };
    let url = Url::parse(link).map_err(|_| foreign(None))?;
    let arm_url = Url::parse(cloud.arm_origin()).map_err(|_| foreign(None))?;
    if url.origin() == arm_url.origin() && url.username().is_empty() && url.password().is_none() {
        Ok(url)
    } else {
        Err(foreign(url.host_str()))
    }
}

/// Scheme, host and path.
pub(super) fn without_query(url: &Url) -> &str {
    &url[..Position::AfterPath]
}

/// A string literal of an OData filter.
pub(super) fn odata_string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn check_segment(segment: &str) -> Result<(), Error> {
    let rejected = || Error::BadUrl(segment.to_owned());
    if segment.is_empty() {
        return Err(rejected());
    }
    let mut decoded_segment = Cow::Borrowed(segment);
    for _ in 0..MAX_DECODINGS {
        let has_dot_segment = decoded_segment.split(['/', '\\']).any(|part| matches!(part, "." | ".."));
        if has_dot_segment || decoded_segment.chars().any(char::is_control) {
            return Err(rejected());
        }
        let decoded = percent_decode_str(&decoded_segment).decode_utf8_lossy().into_owned();
        if decoded == decoded_segment {
            return Ok(());
        }
        decoded_segment = Cow::Owned(decoded);
    }
    Err(rejected())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn segments_are_encoded_as_by_azures_go_libraries() {
        let url = build(
            Cloud::Public,
            &["subscriptions", "a b/c?d#e", "ü'(,;)!*", "$&+=:@~-_."],
            &[("$filter", "location eq 'x&y'"), ("api-version", "2021-07-01")],
        )
        .unwrap();
        assert_eq!(
            url.as_str(),
            "https://management.azure.com/subscriptions/a%20b%2Fc%3Fd%23e/%C3%BC%27%28%2C%3B%29%21%2A/$&+=:@~-_.\
             ?%24filter=location%20eq%20%27x%26y%27&api-version=2021-07-01"
        );
        assert!(without_query(&url).ends_with("/$&+=:@~-_."));
    }

    #[test]
    fn dot_segments_and_control_characters_are_rejected() {
        for bad in [
            "",
            ".",
            "..",
            "%2e",
            "%2E%2e",
            ".%2e",
            "%252e%252e",
            "%25252e.",
            "a/../b",
            "..%2fb",
            "..%5cb",
            "a\\..",
            "a\nb",
            "a%0ab",
            "a%250d",
            "\u{7f}",
            "\u{85}",
            "%00",
        ] {
            assert!(
                matches!(build(Cloud::Public, &["a", bad], &[]), Err(Error::BadUrl(text)) if text == bad),
                "{bad:?}"
            );
        }
        for good in ["...", "a..b", "..a", "%", "%zz", "100%", "a/b", "%2f", "West Europe", " "] {
            assert!(build(Cloud::Public, &["a", good], &[]).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn links_must_lead_to_the_same_resource_manager() {
        for good in [
            "https://management.azure.com/subscriptions/s?$skiptoken=a b&api-version=1",
            "https://MANAGEMENT.azure.com:443/",
        ] {
            assert!(parse_link(Cloud::Public, good).is_ok(), "{good}");
        }
        for (bad, expected_host) in [
            ("http://management.azure.com/", "management.azure.com"),
            ("https://management.azure.com:8443/", "management.azure.com"),
            ("https://management.azure.com.evil.example/", "management.azure.com.evil.example"),
            ("https://management.azure.com@evil.example/", "evil.example"),
            ("https://user:word@management.azure.com/", "management.azure.com"),
            ("https://management.chinacloudapi.cn/", "management.chinacloudapi.cn"),
            ("//evil.example/", ""),
            ("/subscriptions/s", ""),
            ("", ""),
            ("file:///etc/passwd", ""),
        ] {
            let rejected = parse_link(Cloud::Public, bad);
            assert!(
                matches!(&rejected, Err(Error::ForeignLink { host }) if host == expected_host),
                "{bad}: {rejected:?}"
            );
        }
    }

    #[test]
    fn quotes_in_a_filter_are_doubled() {
        assert_eq!(odata_string("east' or '1' eq '1"), "'east'' or ''1'' eq ''1'");
    }

    proptest! {
        #[test]
        fn segment_is_unchanged_or_rejected(
            segments in prop::collection::vec(prop_oneof![
                any::<String>(), "[.%2eE5fFcC/\\\\]{0,12}", "(%(25)*2[eE]|\\.){1,3}", "[a-z%.?#&= ]{0,8}",
            ], 1..5)
        ) {
            let borrowed: Vec<&str> = segments.iter().map(String::as_str).collect();
            if let Ok(url) = build(Cloud::China, &borrowed, &[("api-version", "1")]) {
                prop_assert_eq!(url.host_str(), Some("management.chinacloudapi.cn"));
                let decoded: Vec<String> = url.path_segments().unwrap()
                    .map(|part| percent_decode_str(part).decode_utf8().unwrap().into_owned())
                    .collect();
                prop_assert_eq!(decoded, segments);
                prop_assert_eq!(url.query(), Some("api-version=1"));
                prop_assert!(url.fragment().is_none());
            }
        }

        #[test]
        fn encoded_dots_are_rejected(dots in "(%(25){0,4}2[eE]|\\.){1,2}", slashes in "[/\\\\]{0,2}") {
            let before = format!("{slashes}{dots}");
            prop_assert!(build(Cloud::Public, &[&before], &[]).is_err());
            let after = format!("{dots}{slashes}x");
            prop_assert!(slashes.is_empty() || build(Cloud::Public, &[&after], &[]).is_err());
        }

        #[test]
        fn filter_value_cannot_escape_its_quotes(text in any::<String>()) {
            let quoted = odata_string(&text);
            let inner = quoted.strip_prefix('\'').unwrap().strip_suffix('\'').unwrap();
            prop_assert!(!inner.replace("''", "").contains('\''));
            prop_assert_eq!(inner.replace("''", "'"), text);
        }
    }
}
