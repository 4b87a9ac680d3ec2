//! Parsers of single values. The error of a parser completes the sentence "it must be …".

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

/// Format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// A value, or a description of the valid values.
pub(super) type Parsed<T> = Result<T, &'static str>;

/// An IP address and a port; `localhost` means 127.0.0.1.
pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    let resolved = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    resolved
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| "an IP address and a port, for example 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080")
}

/// An [`address`] or `off`.
pub(super) fn address_or_off(text: &str) -> Parsed<Option<SocketAddr>> {
    if text == "off" { Ok(None) } else { address(text).map(Some) }
}

/// A host name or IP address, with a port.
pub(super) fn host_and_port(text: &str) -> Parsed<String> {
    const EXPECTED: &str = "a host and a port, for example 10.0.0.7:8445";
    let authority: http::uri::Authority = text.parse().map_err(|_| EXPECTED)?;
    let is_bare = authority.as_str() == text && !text.contains('@') && !authority.host().is_empty();
    if is_bare && authority.port_u16().is_some_and(|port| port > 0) {
        Ok(text.to_owned())
    } else {
        Err(EXPECTED)
    }
}

/// A loopback address or `off`.
pub(super) fn loopback_or_off(text: &str) -> Parsed<Option<SocketAddr>> {
    const EXPECTED: &str =
        "a loopback address and a port, for example 127.0.0.1:8444, as it has no authentication";
    match address_or_off(text) {
        Ok(Some(address)) if !address.ip().is_loopback() => Err(EXPECTED),
        other => other.map_err(|_| EXPECTED),
    }
}

/// An integer within `range`; `expected` describes the range.
pub(super) fn number(text: &str, range: RangeInclusive<u32>, expected: &'static str) -> Parsed<u32> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or(expected)
}

/// A number of days; 0 means forever.
pub(super) fn days(text: &str) -> Parsed<Option<Duration>> {
    let days = number(text, 0..=36_500, "a number of days from 0 (forever) to 36500")?;
    Ok((days > 0).then(|| Duration::from_hours(u64::from(days) * 24)))
}

/// An integer number of seconds within `range`.
pub(super) fn seconds(text: &str, range: RangeInclusive<u32>, expected: &'static str) -> Parsed<Duration> {
    number(text, range, expected).map(|seconds| Duration::from_secs(u64::from(seconds)))
}

/// A size in bytes, or with one of the units KiB, MiB and GiB.
pub(super) fn bytes(text: &str) -> Parsed<u64> {
    const EXPECTED: &str = "a number of bytes, or one with KiB, MiB or GiB, for example 1048576 or 1MiB";
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(EXPECTED),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or(EXPECTED)
}

/// A size as in [`bytes()`], from 1 KiB to 1 GiB, because a request body must fit in memory.
pub(super) fn body_bytes(text: &str) -> Parsed<usize> {
    let bytes = bytes(text)?;
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| (1 << 10..=1 << 30).contains(bytes))
        .ok_or("a size from 1KiB to 1GiB, for example 1MiB")
}

/// Looks up the value of the keyword `text`.
fn keyword<T: Clone>(text: &str, keywords: &[(&str, T)], expected: &'static str) -> Parsed<T> {
    let entry = keywords.iter().find(|(keyword, _)| *keyword == text);
    entry.map(|(_, value)| value.clone()).ok_or(expected)
}

pub(super) fn switch(text: &str) -> Parsed<bool> {
    keyword(text, &[("true", true), ("1", true), ("false", false), ("0", false)], "true or false")
}

pub(super) fn cluster_review(text: &str) -> Parsed<String> {
    keyword(text, &["enforce", "advise"].map(|word| (word, word.to_owned())), "enforce or advise")
}

/// Whether each use has a separate audit record.
pub(super) fn audit_uses(text: &str) -> Parsed<bool> {
    keyword(text, &[("count", false), ("each", true)], "count or each")
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    keyword(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)], "text or json")
}

/// The URL at which clients reach a server, without a trailing slash.
pub(super) fn server_url(text: &str) -> Parsed<String> {
    let url = web_url(text)
        .ok_or("an http or https URL without user, query or fragment, for example https://aks.example.org")?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The URL of a Rancher: scheme, host and port.
pub(super) fn rancher_url(text: &str) -> Parsed<Url> {
    web_url(text)
        .filter(|url| url.path() == "/")
        .ok_or("an http or https URL without a path, for example https://rancher.cattle-system.svc")
}

/// A host name without a port.
pub(super) fn host_name(text: &str) -> Parsed<String> {
    match url::Host::parse(text) {
        Ok(url::Host::Domain(name)) => Ok(name),
        _ => Err("a host name, for example rancher.example.org"),
    }
}

/// A SHA-256 in hexadecimal.
pub(super) fn sha256(text: &str) -> Parsed<String> {
    let is_hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex { Ok(text.to_ascii_lowercase()) } else { Err("a SHA-256 of 64 hexadecimal digits") }
}

/// Origins of web pages.
pub(super) fn origins(text: &str) -> Parsed<Vec<String>> {
    parse_list(text, |entry| {
        web_url(entry).filter(|url| url.path() == "/").map(|url| url.origin().ascii_serialization())
    })
    .ok_or("origins separated by commas, for example https://rancher.example.org; `*` would allow every page")
}

/// Networks; a single address is a network with one address.
pub(super) fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    let network = |entry: &str| {
        entry.parse::<IpNet>().ok().or_else(|| Some(IpNet::from(entry.parse::<IpAddr>().ok()?)))
    };
    parse_list(text, |entry| network(entry).map(|network| network.trunc()))
        .ok_or("addresses or networks separated by commas, for example 10.0.0.0/8,192.0.2.7")
}

pub(super) fn database_url(text: &str) -> Parsed<()> {
    let schemes = ["sqlite:", "postgres://", "postgresql://"];
    if schemes.iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme)) {
        Ok(())
    } else {
        Err("sqlite:<path> or postgres://<user>:<password>@<host>/<database>")
    }
}

pub(super) fn bootstrap_token(text: &str) -> Parsed<()> {
    let is_valid =
        text.strip_prefix("token-").and_then(|rest| rest.split_once(':')).is_some_and(|(name, secret)| {
            let is_name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            !name.is_empty()
                && name.chars().all(is_name_char)
                && !secret.is_empty()
                && secret.chars().all(|c| c.is_ascii_graphic())
        });
    if is_valid {
        Ok(())
    } else {
        Err(
            "token-<name>:<secret>: a name of letters, digits, hyphens, dots and underscores, and a secret without spaces",
        )
    }
}

fn web_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.contains('*'))
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// Parses comma-separated entries; `None` if one is invalid. Surrounding whitespace and empty entries are ignored.
fn parse_list<T>(text: &str, parse_entry: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(parse_entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_requires_ip_and_port() {
        for (text, expected) in [
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("localhost:8080", Some("127.0.0.1:8080")),
            ("[::1]:80", Some("[::1]:80")),
            (":8080", None),
            ("8080", None),
            ("example.org:80", None),
            ("127.0.0.1", None),
            ("127.0.0.1:65536", None),
            ("", None),
        ] {
            assert_eq!(address(text).ok().map(|address| address.to_string()).as_deref(), expected, "{text}");
        }
        assert_eq!(address_or_off("off"), Ok(None));
        assert!(loopback_or_off("127.0.0.2:1").is_ok());
        assert!(loopback_or_off("0.0.0.0:1").is_err());
        assert!(loopback_or_off("[::]:1").is_err());
    }

    #[test]
    fn sizes_accept_binary_units_and_reject_overflow() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1048576", Some(1 << 20)),
            ("1MiB", Some(1 << 20)),
            ("2 KiB", Some(2 << 10)),
            ("3GiB", Some(3 << 30)),
            ("5B", Some(5)),
            ("1MB", None),
            ("-1", None),
            ("1.5MiB", None),
            ("MiB", None),
            ("99999999999GiB", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
        assert!(body_bytes("1023").is_err());
        assert_eq!(body_bytes("1KiB"), Ok(1024));
        assert!(body_bytes("2GiB").is_err());
    }

    #[test]
    fn networks_are_truncated_and_invalid_ones_rejected() {
        let parse =
            |text| networks(text).map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(parse("10.1.2.3/8, 192.0.2.7,,::1").unwrap(), ["10.0.0.0/8", "192.0.2.7/32", "::1/128"]);
        assert_eq!(parse("").unwrap(), [""; 0]);
        assert!(parse("10.0.0.0/33").is_err());
        assert!(parse("10.0.0.0/8,proxy.local").is_err());
    }

    #[test]
    fn origins_are_normalized_and_wildcards_rejected() {
        assert_eq!(
            origins("https://Rancher.Example.org:443/, http://localhost:8005").unwrap(),
            ["https://rancher.example.org", "http://localhost:8005"]
        );
        let invalid = "* https://* https://a/b https://u@a https://*.a https://a?b ftp://a null a.b";
        for text in invalid.split(' ') {
            assert!(origins(text).is_err(), "{text}");
        }
    }

    #[test]
    fn server_url_has_no_trailing_slash_user_or_query() {
        assert_eq!(server_url("https://Aks.Example.org/").unwrap(), "https://aks.example.org");
        assert_eq!(server_url("http://h:8080/a/b/").unwrap(), "http://h:8080/a/b");
        for text in "aks.example.org ftp://h https://u:p@h https://h/?q https://h/#f https://".split(' ') {
            assert!(server_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn database_urls_and_bootstrap_tokens_are_validated() {
        type Parser = fn(&str) -> Parsed<()>;
        let cases: [(Parser, &[&str], &[&str]); 2] = [
            (
                database_url,
                &["sqlite:a.db", "sqlite:///a.db", "postgres://h/d", "postgresql://h/d"],
                &["mysql://h/d", "a.db", "sqlite:"],
            ),
            (
                bootstrap_token,
                &["token-abc:s3cret", "token-a.b-1:x", "token-A:x:y"],
                &["token-:x", "token-a:", "token-a", "abc:x", "token-a b:x", "token-a:x y"],
            ),
        ];
        for (parse, valid, invalid) in cases {
            for (texts, expected) in [(valid, true), (invalid, false)] {
                for text in texts {
                    assert_eq!(parse(text).is_ok(), expected, "{text}");
                }
            }
        }
    }

    #[test]
    fn zero_days_mean_forever() {
        assert_eq!(days("0"), Ok(None));
        assert_eq!(days("2"), Ok(Some(Duration::from_hours(48))));
        assert!(days("-1").is_err());
        assert!(days("36501").is_err());
    }
}
