//! Takes secrets out of what is said back to us. Azure's refusals are shown to people and logged as they came; a
//! gateway in between that repeats the request in its error page must not bring a secret there.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;

use super::transport::Answer;

/// What stands in the place of a secret.
const MASK: &[u8] = b"****";

/// Shorter ones are words that occur in any text; real secrets have 34 characters and more.
const SHORTEST: usize = 8;

/// The answer without the secrets, in body and headers.
pub(super) fn without(answer: Answer, secrets: &[&str]) -> Answer {
    let needles = Needles::new(secrets.iter().copied().filter(|secret| secret.len() >= SHORTEST));
    let Answer { status, mut headers, body } = answer;
    for value in headers.values_mut() {
        if let Some(masked) = needles.mask(value.as_bytes()) {
            *value = HeaderValue::from_bytes(&masked).unwrap_or(HeaderValue::from_static("****"));
        }
    }
    let body = needles.mask(&body).map_or(body, Bytes::from);
    Answer { status, headers, body }
}

/// The forms in which the secrets may be repeated.
struct Needles {
    /// The secrets and their base64: matched in any letter case, with any character escaped.
    texts: BTreeSet<String>,
    /// The bytes of the secrets: matched as hexadecimal digits.
    bytes: Vec<Vec<u8>>,
    /// The bytes that a match may begin with; most of a long text is passed over by this alone.
    beginnings: Vec<bool>,
}

impl Needles {
    fn new<'s>(secrets: impl Iterator<Item = &'s str>) -> Self {
        let mut needles = Self { texts: BTreeSet::new(), bytes: Vec::new(), beginnings: vec![false; 256] };
        for secret in secrets {
            // Letters such as ß have no upper case of one character.
            needles.texts.extend([secret.to_owned(), secret.to_uppercase(), secret.to_lowercase()]);
            needles.texts.extend(base64_forms(secret.as_bytes()));
            needles.bytes.push(secret.as_bytes().to_vec());
        }
        // Escapes, `0x` included.
        let mut beginnings = b"%\\&+0".to_vec();
        for first in needles.texts.iter().filter_map(|text| text.chars().next()).flat_map(letter_cases) {
            let mut utf8 = [0; 4];
            beginnings.extend(first.encode_utf8(&mut utf8).bytes().take(1));
        }
        for first in needles.bytes.iter().filter_map(|bytes| bytes.first()) {
            beginnings.extend(format!("{first:02x}{first:02X}").bytes().step_by(2));
        }
        for byte in beginnings {
            if let Some(may_begin) = needles.beginnings.get_mut(usize::from(byte)) {
                *may_begin = true;
            }
        }
        needles
    }

    /// The text with the mask in the place of every needle; `None` when it has none.
    fn mask(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut masked = Vec::new();
        let (mut rest, mut found) = (text, false);
        while let Some((first, others)) = rest.split_first() {
            if let Some(length) = self.matched(*first, rest) {
                found = true;
                masked.extend_from_slice(MASK);
                rest = rest.get(length..).unwrap_or_default();
            } else {
                masked.push(*first);
                rest = others;
            }
        }
        found.then_some(masked)
    }

    /// The length of the longest needle at the start of `text`.
    fn matched(&self, first: u8, text: &[u8]) -> Option<usize> {
        if self.beginnings.get(usize::from(first)) != Some(&true) {
            return None;
        }
        let texts = self.texts.iter().filter_map(|needle| spelt(text, needle));
        let bytes = self.bytes.iter().filter_map(|needle| in_hexadecimal(text, needle));
        texts.chain(bytes).max()
    }
}

/// The base64 of the secret by itself, and what is always the same of the base64 of a longer text around it, such as
/// `client:secret` of Basic authentication: it depends on where in a group of three bytes the secret begins.
fn base64_forms(secret: &[u8]) -> impl Iterator<Item = String> {
    let around = [0, 1, 2].into_iter().map(|before: usize| {
        let text = [vec![0; before].as_slice(), secret].concat();
        let encoded = STANDARD_NO_PAD.encode(&text);
        // The characters at both ends also depend on the bytes around the secret.
        let begin = (before * 4).div_ceil(3);
        let end = text.len() * 4 / 3;
        encoded.get(begin..end).unwrap_or_default().to_owned()
    });
    let forms: Vec<String> = around.chain([STANDARD_NO_PAD.encode(secret)]).collect();
    let url_safe: Vec<String> = forms.iter().map(|form| form.replace('+', "-").replace('/', "_")).collect();
    forms.into_iter().chain(url_safe)
}

/// The character in its own, in lower and in upper case.
fn letter_cases(character: char) -> impl Iterator<Item = char> {
    std::iter::once(character).chain(character.to_lowercase()).chain(character.to_uppercase())
}

/// The bytes at the start of `text` that spell `needle`: in any letter case, with any of its characters escaped for
/// JSON, a form, an address or HTML. A text that ends in the middle of it counts: long answers are cut.
fn spelt(text: &[u8], needle: &str) -> Option<usize> {
    // A secret may look like an escape itself.
    matched_by(text, needle, plain).or_else(|| matched_by(text, needle, escaped))
}

/// The same, where `read` gives the length of a character at the start of a text.
fn matched_by(text: &[u8], needle: &str, read: fn(&[u8], char) -> Option<usize>) -> Option<usize> {
    let mut rest = text;
    for (number, character) in needle.chars().enumerate() {
        if rest.is_empty() {
            return (number >= SHORTEST).then_some(text.len());
        }
        let length = letter_cases(character).find_map(|character| read(rest, character))?;
        rest = rest.get(length..)?;
    }
    Some(text.len() - rest.len())
}

/// The bytes at the start of `text` that are the hexadecimal digits of `needle`, with or without something between
/// (`38:51`, `38 51`, `0x38,0x51`, `\x38\x51`).
fn in_hexadecimal(text: &[u8], needle: &[u8]) -> Option<usize> {
    let without_any = |rest: &'_ [u8], prefixes: &[&[u8]]| {
        prefixes.iter().find(|prefix| rest.starts_with(prefix)).map_or(0, |prefix| prefix.len())
    };
    let mut rest = text;
    for (number, byte) in needle.iter().enumerate() {
        if number > 0 {
            rest = rest.get(without_any(rest, &[b", ", b" ", b":", b"-", b","])..)?;
        }
        rest = rest.get(without_any(rest, &[b"0x", b"0X", b"\\x"])..)?;
        let Some(digits) = rest.get(..2) else { return (number >= SHORTEST).then_some(text.len()) };
        if hexadecimal(digits)? != u32::from(*byte) {
            return None;
        }
        rest = rest.get(2..)?;
    }
    Some(text.len() - rest.len())
}

/// The length of one character at the start of `text`, as it is.
fn plain(text: &[u8], character: char) -> Option<usize> {
    let mut utf8 = [0; 4];
    let plain = character.encode_utf8(&mut utf8).as_bytes();
    text.starts_with(plain).then_some(plain.len())
}

/// The length of one character at the start of `text`, however it is escaped.
fn escaped(text: &[u8], character: char) -> Option<usize> {
    let mut utf8 = [0; 4];
    let plain = character.encode_utf8(&mut utf8).as_bytes();
    match text.first()? {
        b'%' => percent(text, plain),
        b'\\' => backslash(text, character),
        b'&' => html(text, character),
        b'+' if character == ' ' => Some(1),
        _ => None,
    }
    .or_else(|| self::plain(text, character))
}

fn percent(text: &[u8], plain: &[u8]) -> Option<usize> {
    let mut rest = text;
    for byte in plain {
        // Gateways encode what is encoded already: `%2538`.
        let length = [b"%2525".as_slice(), b"%25", b"%"].into_iter().find_map(|prefix| {
            let digits = rest.strip_prefix(prefix)?.get(..2)?;
            (hexadecimal(digits)? == u32::from(*byte)).then_some(prefix.len() + 2)
        })?;
        rest = rest.get(length..)?;
    }
    Some(text.len() - rest.len())
}

fn backslash(text: &[u8], character: char) -> Option<usize> {
    match text.get(1)? {
        b'u' => json(text, character),
        b'x' => {
            let digits = text.get(2..4)?;
            (character.is_ascii() && hexadecimal(digits)? == u32::from(character)).then_some(4)
        }
        _ => None,
    }
    .or_else(|| (text.get(1).map(|byte| char::from(*byte)) == Some(character)).then_some(2))
}

fn json(text: &[u8], character: char) -> Option<usize> {
    let mut utf16 = [0; 2];
    let units = character.encode_utf16(&mut utf16);
    for (place, unit) in units.iter().enumerate() {
        let digits = text.get(6 * place..)?.strip_prefix(b"\\u")?.get(..4)?;
        if hexadecimal(digits)? != u32::from(*unit) {
            return None;
        }
    }
    Some(6 * units.len())
}

fn html(text: &[u8], character: char) -> Option<usize> {
    /// The longest is `&#x10ffff;`.
    const LONGEST: usize = 10;
    let end = text.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(text.get(1..end)?).ok()?;
    let meant = match name {
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
    (meant == Some(character)).then_some(end + 1)
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use http::HeaderMap;
    use http::header::{HeaderName, SERVER};
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "8Q~a+b/c\"d\\e&f <g>%41=ü🦀'";

    fn body(text: &str, secrets: &[&str]) -> String {
        let answer =
            Answer { status: 400, headers: HeaderMap::new(), body: Bytes::copy_from_slice(text.as_bytes()) };
        String::from_utf8_lossy(&without(answer, secrets).body).into_owned()
    }

    fn hexadecimal_of(prefix: &str, between: &str) -> String {
        SECRET.bytes().map(|byte| format!("{prefix}{byte:02x}")).collect::<Vec<_>>().join(between)
    }

    fn in_utf16(text: &str) -> String {
        text.encode_utf16().fold(String::new(), |all, unit| all + &format!("\\u{unit:04X}"))
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let percent =
            percent_encoding::utf8_percent_encode(SECRET, percent_encoding::NON_ALPHANUMERIC).to_string();
        let percent_twice = percent.replace('%', "%25");
        let form: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
        for spelling in [
            SECRET.to_owned(),
            serde_json::to_string(SECRET).unwrap().trim_matches('"').to_owned(),
            serde_json::to_string(SECRET).unwrap().trim_matches('"').replace('/', "\\/"),
            in_utf16(SECRET),
            in_utf16(SECRET).to_lowercase().replace("\\u0038\\u0051", "8Q"),
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
            in_utf16(&SECRET.to_uppercase()),
            hexadecimal_of("", ""),
            hexadecimal_of("", "").to_uppercase(),
            hexadecimal_of("", ":"),
            hexadecimal_of("0x", ", "),
            hexadecimal_of("\\x", ""),
        ] {
            let said = body(&format!("a {spelling}, b {spelling}"), &["", "short", SECRET]);
            assert_eq!(said, "a ****, b ****", "{spelling}");
        }
    }

    #[test]
    fn base64_of_longer_texts_shows_no_secret() {
        for before in ["", "a", "ab", "client-id:", "00000000-0000-0000-0000-000000000000:"] {
            for after in ["", "!", "!!", "\n"] {
                for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    let encoded = engine.encode(format!("{before}{SECRET}{after}"));
                    let said = body(&format!("Basic {encoded} was sent"), &[SECRET]);
                    let left = said.replace("Basic ", "").replace(" was sent", "");
                    let (front, back) = left.split_once("****").unwrap_or_else(|| panic!("{said}"));
                    assert_eq!(front.len(), (before.len() * 4).div_ceil(3), "{said}");
                    assert!(back.len() <= 2 + after.len() * 4 / 3, "{said}");
                }
            }
        }
    }

    #[test]
    fn nothing_else_changes() {
        for text in
            ["", "client secret", "8Q~a+b/c\"d\\e&f <g>%42=ü🦀'", "%", "\\", "&", "\\u", "%4", "&#;", "8Q~a"]
        {
            assert_eq!(body(text, &[SECRET, "secret"]), text);
        }
        // One that begins inside a failed attempt at another place.
        assert_eq!(body("abcabcabcabd!", &["abcabcabd"]), "abc****!");
    }

    #[test]
    fn a_secret_that_is_cut_off_at_the_end_is_found_too() {
        assert_eq!(body("x 8Q~a+b/c\"d", &[SECRET]), "x ****");
        assert_eq!(body("x 8Q~a", &[SECRET]), "x 8Q~a");
        let digits = hexadecimal_of("", "");
        assert_eq!(body(&format!("x {}", &digits[..19]), &[SECRET]), "x ****");
        assert_eq!(body(&format!("x {}", &digits[..14]), &[SECRET]), format!("x {}", &digits[..14]));
    }

    #[test]
    fn headers_are_searched_as_well() {
        let echo = HeaderName::from_static("x-ms-error-code");
        let headers = HeaderMap::from_iter([
            (echo.clone(), HeaderValue::from_static("for canary-canary")),
            (SERVER, HeaderValue::from_static("nginx")),
        ]);
        let answer = without(Answer { status: 400, headers, body: Bytes::new() }, &["canary-canary"]);
        assert_eq!(answer.headers[echo], "for ****");
        assert_eq!(answer.headers[SERVER], "nginx");
    }

    proptest! {
        #[test]
        fn any_text_around_a_secret_stays(before in "[^8]*", secret in "8[ -~]{8,40}", after in "[^8]*") {
            let said = body(&format!("{before}{secret}{after}"), &[&secret]);
            prop_assert!(!said.contains(&secret));
            prop_assert!(said.starts_with(&before) || before.contains(['%', '\\', '&']));
        }
    }
}
