//! Redacts secrets in responses. Azure's errors are shown and logged as received, and a gateway that echoes the request in its
//! error page must not reveal a secret.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;

use crate::response::Response;

/// The replacement of a secret.
const MASK: &[u8] = b"****";

/// Shorter strings could be ordinary words; real secrets have at least 34 characters.
const MIN_SECRET_LEN: usize = 8;

/// Replaces the secrets in the body and the headers.
pub(super) fn redact(response: Response, secrets: &[&str]) -> Response {
    let needles = Needles::new(secrets.iter().copied().filter(|secret| secret.len() >= MIN_SECRET_LEN));
    let Response { status, mut headers, body } = response;
    for value in headers.values_mut() {
        if let Some(masked) = needles.mask(value.as_bytes()) {
            *value = HeaderValue::from_bytes(&masked).unwrap_or(HeaderValue::from_static("****"));
        }
    }
    let body = needles.mask(&body).map_or(body, Bytes::from);
    Response { status, headers, body }
}

/// The spellings of the secrets.
struct Needles {
    /// The secrets and their base64, matched in any letter case and with any escaping.
    texts: BTreeSet<String>,
    /// The bytes of the secrets, matched as hexadecimal digits.
    bytes: Vec<Vec<u8>>,
    /// For each byte value, whether a match may start with it; most bytes of a long body are skipped quickly.
    can_start_match: Vec<bool>,
}

impl Needles {
    fn new<'s>(secrets: impl Iterator<Item = &'s str>) -> Self {
        let mut needles =
            Self { texts: BTreeSet::new(), bytes: Vec::new(), can_start_match: vec![false; 256] };
        for secret in secrets {
            // Letters such as ß have no single upper-case character.
            needles.texts.extend([secret.to_owned(), secret.to_uppercase(), secret.to_lowercase()]);
            needles.texts.extend(base64_forms(secret.as_bytes()));
            needles.bytes.push(secret.as_bytes().to_vec());
        }
        // The first bytes of escapes, including `0x`.
        let mut first_bytes = b"%\\&+0".to_vec();
        for first in needles.texts.iter().filter_map(|text| text.chars().next()).flat_map(letter_cases) {
            let mut utf8 = [0; 4];
            first_bytes.extend(first.encode_utf8(&mut utf8).bytes().take(1));
        }
        for first in needles.bytes.iter().filter_map(|bytes| bytes.first()) {
            first_bytes.extend(format!("{first:02x}{first:02X}").bytes().step_by(2));
        }
        for byte in first_bytes {
            if let Some(can_start) = needles.can_start_match.get_mut(usize::from(byte)) {
                *can_start = true;
            }
        }
        needles
    }

    /// Masks all needles in `text`; `None` if it contains none.
    fn mask(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut masked = Vec::new();
        let (mut rest, mut has_match) = (text, false);
        while let Some((first, after_first)) = rest.split_first() {
            if let Some(length) = self.match_len(*first, rest) {
                has_match = true;
                masked.extend_from_slice(MASK);
                rest = rest.get(length..).unwrap_or_default();
            } else {
                masked.push(*first);
                rest = after_first;
            }
        }
        has_match.then_some(masked)
    }

    /// The length of the longest needle at the start of `text`, whose first byte is `first`.
    fn match_len(&self, first: u8, text: &[u8]) -> Option<usize> {
        if self.can_start_match.get(usize::from(first)) != Some(&true) {
            return None;
        }
        let texts = self.texts.iter().filter_map(|needle| match_escaped(text, needle));
        let bytes = self.bytes.iter().filter_map(|needle| match_hexadecimal(text, needle));
        texts.chain(bytes).max()
    }
}

/// The base64 of the secret, and the invariant part of the base64 of a longer text that contains it, such as `client:secret` in
/// Basic authentication. That part depends on the secret's position modulo three.
fn base64_forms(secret: &[u8]) -> impl Iterator<Item = String> {
    let embedded = [0, 1, 2].into_iter().map(|offset: usize| {
        let embedding = [vec![0; offset].as_slice(), secret].concat();
        let encoded = STANDARD_NO_PAD.encode(&embedding);
        // The first and last characters also depend on the bytes around the secret.
        let start = (offset * 4).div_ceil(3);
        let end = embedding.len() * 4 / 3;
        encoded.get(start..end).unwrap_or_default().to_owned()
    });
    let forms: Vec<String> = embedded.chain([STANDARD_NO_PAD.encode(secret)]).collect();
    let url_safe: Vec<String> = forms.iter().map(|form| form.replace('+', "-").replace('/', "_")).collect();
    forms.into_iter().chain(url_safe)
}

/// The character as it is, in lower case and in upper case.
fn letter_cases(character: char) -> impl Iterator<Item = char> {
    std::iter::once(character).chain(character.to_lowercase()).chain(character.to_uppercase())
}

/// The number of bytes at the start of `text` that spell `needle`, in any letter case, with any character escaped for JSON, a
/// form, a URL or HTML. A text that ends within the needle matches, because long bodies are truncated.
fn match_escaped(text: &[u8], needle: &str) -> Option<usize> {
    // The secret itself may look like an escape sequence.
    match_chars(text, needle, plain_len).or_else(|| match_chars(text, needle, escaped_len))
}

/// Matches with `char_len`, which returns the length of a character at the start of a text.
fn match_chars(text: &[u8], needle: &str, char_len: fn(&[u8], char) -> Option<usize>) -> Option<usize> {
    let mut rest = text;
    for (number, character) in needle.chars().enumerate() {
        if rest.is_empty() {
            return (number >= MIN_SECRET_LEN).then_some(text.len());
        }
        let length = letter_cases(character).find_map(|character| char_len(rest, character))?;
        rest = rest.get(length..)?;
    }
    Some(text.len() - rest.len())
}

/// The number of bytes at the start of `text` that are the hexadecimal digits of `needle`, with or without separators
/// (`38:51`, `38 51`, `0x38,0x51`, `\x38\x51`).
fn match_hexadecimal(text: &[u8], needle: &[u8]) -> Option<usize> {
    let prefix_len = |rest: &'_ [u8], prefixes: &[&[u8]]| {
        prefixes.iter().find(|prefix| rest.starts_with(prefix)).map_or(0, |prefix| prefix.len())
    };
    let mut rest = text;
    for (number, byte) in needle.iter().enumerate() {
        if number > 0 {
            rest = rest.get(prefix_len(rest, &[b", ", b" ", b":", b"-", b","])..)?;
        }
        rest = rest.get(prefix_len(rest, &[b"0x", b"0X", b"\\x"])..)?;
        let Some(digits) = rest.get(..2) else { return (number >= MIN_SECRET_LEN).then_some(text.len()) };
        if parse_hexadecimal(digits)? != u32::from(*byte) {
            return None;
        }
        rest = rest.get(2..)?;
    }
    Some(text.len() - rest.len())
}

/// The length of an unescaped character at the start of `text`.
fn plain_len(text: &[u8], character: char) -> Option<usize> {
    let mut utf8 = [0; 4];
    let plain = character.encode_utf8(&mut utf8).as_bytes();
    text.starts_with(plain).then_some(plain.len())
}

/// The length of a character at the start of `text`, with any escaping.
fn escaped_len(text: &[u8], character: char) -> Option<usize> {
    let mut utf8 = [0; 4];
    let plain = character.encode_utf8(&mut utf8).as_bytes();
    match text.first()? {
        b'%' => percent_escape_len(text, plain),
        b'\\' => backslash_escape_len(text, character),
        b'&' => html_escape_len(text, character),
        b'+' if character == ' ' => Some(1),
        _ => None,
    }
    .or_else(|| plain_len(text, character))
}

fn percent_escape_len(text: &[u8], plain: &[u8]) -> Option<usize> {
    let mut rest = text;
    for byte in plain {
        // Gateways may encode twice: `%2538`.
        let length = [b"%2525".as_slice(), b"%25", b"%"].into_iter().find_map(|prefix| {
            let digits = rest.strip_prefix(prefix)?.get(..2)?;
            (parse_hexadecimal(digits)? == u32::from(*byte)).then_some(prefix.len() + 2)
        })?;
        rest = rest.get(length..)?;
    }
    Some(text.len() - rest.len())
}

fn backslash_escape_len(text: &[u8], character: char) -> Option<usize> {
    match text.get(1)? {
        b'u' => json_escape_len(text, character),
        b'x' => {
            let digits = text.get(2..4)?;
            (character.is_ascii() && parse_hexadecimal(digits)? == u32::from(character)).then_some(4)
        }
        _ => None,
    }
    .or_else(|| (text.get(1).map(|byte| char::from(*byte)) == Some(character)).then_some(2))
}

fn json_escape_len(text: &[u8], character: char) -> Option<usize> {
    /// The length of `\u0000`.
    const ESCAPE_LEN: usize = 6;
    let mut utf16 = [0; 2];
    let units = character.encode_utf16(&mut utf16);
    for (index, unit) in units.iter().enumerate() {
        let digits = text.get(ESCAPE_LEN * index..)?.strip_prefix(b"\\u")?.get(..4)?;
        if parse_hexadecimal(digits)? != u32::from(*unit) {
            return None;
        }
    }
    Some(ESCAPE_LEN * units.len())
}

fn html_escape_len(text: &[u8], character: char) -> Option<usize> {
    /// The length of `&#x10ffff;`.
    const MAX_LEN: usize = 10;
    let end = text.iter().take(MAX_LEN).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(text.get(1..end)?).ok()?;
    let unescaped = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let number = match digits.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => digits.parse(),
            };
            number.ok().and_then(char::from_u32)
        }
    };
    (unescaped == Some(character)).then_some(end + 1)
}

fn parse_hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;
    use crate::response::response;

    const SECRET: &str = "8Q~a+b/c\"d\\e&f <g>%41=ü🦀'";

    fn redacted_body(text: &str, secrets: &[&str]) -> String {
        String::from_utf8_lossy(&redact(response(400, &[], text), secrets).body).into_owned()
    }

    fn hexadecimal_of(prefix: &str, between: &str) -> String {
        SECRET.bytes().map(|byte| format!("{prefix}{byte:02x}")).collect::<Vec<_>>().join(between)
    }

    fn escape_utf16(text: &str) -> String {
        text.encode_utf16().fold(String::new(), |all, unit| all + &format!("\\u{unit:04X}"))
    }

    #[test]
    fn secret_is_redacted_in_any_spelling() {
        let percent =
            percent_encoding::utf8_percent_encode(SECRET, percent_encoding::NON_ALPHANUMERIC).to_string();
        let percent_twice = percent.replace('%', "%25");
        let form: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
        for spelling in [
            SECRET.to_owned(),
            serde_json::to_string(SECRET).unwrap().trim_matches('"').to_owned(),
            serde_json::to_string(SECRET).unwrap().trim_matches('"').replace('/', "\\/"),
            escape_utf16(SECRET),
            escape_utf16(SECRET).to_lowercase().replace("\\u0038\\u0051", "8Q"),
            percent.to_lowercase().replacen("8q", "8Q", 1),
            percent,
            form,
            SECRET
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&#62;")
                .replace('\'', "&#x27;")
                .replace('"', "&quot;"),
            STANDARD_NO_PAD.encode(SECRET),
            URL_SAFE_NO_PAD.encode(SECRET),
            SECRET.to_uppercase(),
            SECRET.to_lowercase(),
            percent_twice,
            escape_utf16(&SECRET.to_uppercase()),
            hexadecimal_of("", ""),
            hexadecimal_of("", "").to_uppercase(),
            hexadecimal_of("", ":"),
            hexadecimal_of("0x", ", "),
            hexadecimal_of("\\x", ""),
        ] {
            let redacted = redacted_body(&format!("a {spelling}, b {spelling}"), &["", "short", SECRET]);
            assert_eq!(redacted, "a ****, b ****", "{spelling}");
        }
    }

    #[test]
    fn base64_of_longer_texts_is_redacted() {
        for before in ["", "a", "ab", "client-id:", "00000000-0000-0000-0000-000000000000:"] {
            for after in ["", "!", "!!", "\n"] {
                for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    let encoded = engine.encode(format!("{before}{SECRET}{after}"));
                    let redacted = redacted_body(&format!("Basic {encoded} was sent"), &[SECRET]);
                    let left = redacted.replace("Basic ", "").replace(" was sent", "");
                    let (front, back) = left.split_once("****").unwrap_or_else(|| panic!("{redacted}"));
                    assert_eq!(front.len(), (before.len() * 4).div_ceil(3), "{redacted}");
                    assert!(back.len() <= 2 + after.len() * 4 / 3, "{redacted}");
                }
            }
        }
    }

    #[test]
    fn other_text_is_unchanged() {
        for text in
            ["", "client secret", "8Q~a+b/c\"d\\e&f <g>%42=ü🦀'", "%", "\\", "&", "\\u", "%4", "&#;", "8Q~a"]
        {
            assert_eq!(redacted_body(text, &[SECRET, "secret"]), text);
        }
        // A match that starts within a failed attempt.
        assert_eq!(redacted_body("abcabcabcabd!", &["abcabcabd"]), "abc****!");
    }

    #[test]
    fn truncated_secret_is_redacted() {
        assert_eq!(redacted_body("x 8Q~a+b/c\"d", &[SECRET]), "x ****");
        assert_eq!(redacted_body("x 8Q~a", &[SECRET]), "x 8Q~a");
        let digits = hexadecimal_of("", "");
        assert_eq!(redacted_body(&format!("x {}", &digits[..19]), &[SECRET]), "x ****");
        assert_eq!(redacted_body(&format!("x {}", &digits[..14]), &[SECRET]), format!("x {}", &digits[..14]));
    }

    #[test]
    fn headers_are_redacted() {
        let headers = [("x-ms-error-code", "for canary-canary"), ("server", "nginx")];
        let redacted = redact(response(400, &headers, ""), &["canary-canary"]);
        assert_eq!(redacted.header("x-ms-error-code"), Some("for ****"));
        assert_eq!(redacted.header("server"), Some("nginx"));
    }

    proptest! {
        #[test]
        fn text_before_a_secret_is_kept(before in "[^8]*", secret in "8[ -~]{8,40}", after in "[^8]*") {
            let redacted = redacted_body(&format!("{before}{secret}{after}"), &[&secret]);
            prop_assert!(!redacted.contains(&secret));
            prop_assert!(redacted.starts_with(&before) || before.contains(['%', '\\', '&']));
        }
    }
}
