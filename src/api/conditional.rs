//! Conditional requests and content negotiation for lists: `If-None-Match` and `Accept-Encoding` select 304 or one of the
//! representations that the service has prepared. Nothing is compressed or hashed here.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, Method, StatusCode};

use crate::service::listings::{Coding, Encoded, Freshness, Representation};

/// Response header: whether a list came from the cache.
const X_NORMAN_AKS_CACHE: HeaderName = HeaderName::from_static("x-norman-aks-cache");

/// The content codings of responses, in order of preference.
const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Gzip, Coding::Identity];
/// `q=1`, in thousandths.
const MAX_QUALITY: u16 = 1000;

/// The conditions and accepted content codings of a request.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// `None` without `Accept-Encoding`: the client then gets uncompressed JSON.
    accepted: Option<AcceptEncoding>,
    /// The values of `If-None-Match`.
    none_match: Vec<HeaderValue>,
}

impl Conditions {
    /// The conditions of a request. `If-None-Match` is used only for GET and HEAD. For other methods, a match would require a 412
    /// (RFC 9110, section 13.1.2), but a POST to a listing changes nothing: its body only contains a credential.
    pub(super) fn new(method: &Method, headers: &HeaderMap) -> Self {
        let accepted = headers
            .contains_key(ACCEPT_ENCODING)
            .then(|| AcceptEncoding::parse(headers.get_all(ACCEPT_ENCODING).iter().filter_map(to_str)));
        let none_match = match *method {
            Method::GET | Method::HEAD => headers.get_all(IF_NONE_MATCH).iter().cloned().collect(),
            _ => Vec::new(),
        };
        Self { accepted, none_match }
    }

    /// The response with a JSON list, or 304 without a body. Both have `headers`, the entity tag and the caching headers.
    pub(super) fn respond<const N: usize>(
        &self,
        list: &Encoded,
        headers: [(HeaderName, HeaderValue); N],
    ) -> Response {
        let (coding, Representation { body, etag }) = self.select(list);
        let is_modified = !self.none_match.iter().filter_map(to_str).any(|tags| matches_etag(tags, etag));
        let length = body.len();
        let body = if is_modified { Body::from(body.clone()) } else { Body::empty() };
        let mut response = Response::new(body);
        let response_headers = response.headers_mut();
        // Growing the map in steps takes longer than filling it. There are at most eleven headers, including the middleware's
        // but not those of CORS; the smallest map for eleven has room for twelve.
        response_headers.reserve(12);
        if is_modified {
            response_headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if coding != Coding::Identity {
                response_headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            }
        }
        response_headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        response_headers.insert(VARY, HeaderValue::from_static("Authorization, Cookie, Accept-Encoding"));
        if let Ok(etag) = HeaderValue::from_maybe_shared(etag.clone()) {
            response_headers.insert(ETAG, etag);
        }
        for (name, value) in headers {
            response_headers.insert(name, value);
        }
        if !is_modified {
            // The length of the body in a 200; otherwise a length of 0 would be added (RFC 9110, section 8.6).
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        response
    }

    /// The response with a list from the cache of listings.
    pub(super) fn respond_cached(&self, list: &Encoded, freshness: Freshness, age: Duration) -> Response {
        let freshness = HeaderValue::from_static(freshness.name());
        self.respond(list, [(AGE, HeaderValue::from(age.as_secs())), (X_NORMAN_AKS_CACHE, freshness)])
    }

    /// The available representation that the client prefers. A client that accepts none of them gets uncompressed JSON, which
    /// RFC 9110 (section 12.5.3) allows.
    fn select<'a>(&self, list: &'a Encoded) -> (Coding, &'a Representation) {
        let Some(accepted) = &self.accepted else { return (Coding::Identity, list.identity()) };
        let (mut best_quality, mut best) = (0, (Coding::Identity, list.identity()));
        for coding in CODINGS {
            let quality = accepted.quality(coding);
            if let Some(representation) = list.get(coding)
                && quality > best_quality
            {
                (best_quality, best) = (quality, (coding, representation));
            }
        }
        best
    }
}

/// The qualities in `Accept-Encoding`, in thousandths; `None` for a coding that is not listed.
#[derive(Debug, Default)]
struct AcceptEncoding {
    zstd: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    wildcard: Option<u16>,
}

impl AcceptEncoding {
    fn parse<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut accepted = Self::default();
        for element in values.flat_map(|value| value.split(',')) {
            let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
            let coding_quality = match name.trim() {
                name if name.eq_ignore_ascii_case("zstd") => &mut accepted.zstd,
                name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                    &mut accepted.gzip
                }
                name if name.eq_ignore_ascii_case("identity") => &mut accepted.identity,
                "*" => &mut accepted.wildcard,
                _ => continue,
            };
            *coding_quality = Some(parse_quality(parameters));
        }
        accepted
    }

    /// The quality of a coding, else that of `*`; 0 if neither is listed, or if it is not acceptable.
    fn quality(&self, coding: Coding) -> u16 {
        let listed = match coding {
            Coding::Zstd => self.zstd,
            Coding::Gzip => self.gzip,
            Coding::Identity => self.identity,
        };
        listed.or(self.wildcard).unwrap_or(0)
    }
}

/// The parameter `q` in thousandths, with at most three decimals. An invalid value makes the coding unacceptable.
fn parse_quality(parameters: &str) -> u16 {
    if parameters.trim().is_empty() {
        return MAX_QUALITY;
    }
    let value =
        parameters.trim().strip_prefix(['q', 'Q']).and_then(|rest| rest.trim_start().strip_prefix('='));
    let Some((whole, decimals)) =
        value.map(|value| value.trim().split_once('.').unwrap_or((value.trim(), "")))
    else {
        return 0;
    };
    let is_number = decimals.len() <= 3 && decimals.bytes().all(|digit| digit.is_ascii_digit());
    match whole {
        "1" if is_number && decimals.bytes().all(|digit| digit == b'0') => MAX_QUALITY,
        "0" if is_number => format!("{decimals:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

/// Whether `tags`, a value of `If-None-Match`, is `*` or contains `etag` by weak comparison.
fn matches_etag(tags: &str, etag: &[u8]) -> bool {
    // Our tags contain no comma, so the parts of a foreign tag with commas cannot match.
    let mut listed_tags = tags.split(',').map(str::trim);
    tags.trim() == "*" || listed_tags.any(|tag| tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag)
}

fn to_str(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qualities(value: &str) -> [u16; 3] {
        let accepted = AcceptEncoding::parse([value].into_iter());
        CODINGS.map(|coding| accepted.quality(coding))
    }

    #[test]
    fn accept_encoding_is_parsed_as_in_rfc_9110() {
        for (value, [zstd, gzip, identity]) in [
            ("", [0, 0, 0]),
            ("gzip", [0, 1000, 0]),
            ("x-gzip, br", [0, 1000, 0]),
            ("GZip ; Q=0.5 ,zstd;q=1.000", [1000, 500, 0]),
            ("*", [1000, 1000, 1000]),
            ("*;q=0.1, gzip;q=0", [100, 0, 100]),
            ("identity;q=0, *;q=0.25", [250, 250, 0]),
            ("gzip;q=0.001, identity;q=0.01", [0, 1, 10]),
            ("gzip;q=2, zstd;q=0.1234", [0, 0, 0]),
            ("gzip;q=-1, zstd;q=", [0, 0, 0]),
            ("gzip;level=9, zstd;q=1.5", [0, 0, 0]),
            ("gzip;q=1.0;x=y,,;,=", [0, 0, 0]),
        ] {
            assert_eq!(qualities(value), [zstd, gzip, identity], "{value:?}");
        }
    }

    #[test]
    fn entity_tags_are_compared_weakly() {
        for tags in ["\"a\"", "W/\"a\"", "\"b\" , \"a\"", "*", "\"x,y\", W/\"a\""] {
            assert!(matches_etag(tags, b"\"a\""), "{tags}");
        }
        for tags in ["", "a", "\"A\"", "w/\"a\"", "\"a", "\"b\", \"c\"", "\"a-gzip\"", "\"b,*,c\""] {
            assert!(!matches_etag(tags, b"\"a\""), "{tags}");
        }
    }
}
