//! Takes secrets out of what is said back to us. Azure's refusals are shown to people and logged as they came; a
//! gateway in between that repeats the request in its error page must not bring a secret there.

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
    let mut needles = Vec::new();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
        needles.push((*secret).to_owned());
        needles.push(STANDARD_NO_PAD.encode(secret));
    }
    let Answer { status, mut headers, body } = answer;
    for value in headers.values_mut() {
        if let Some(scrubbed) = scrubbed(value.as_bytes(), &needles) {
            *value = HeaderValue::from_bytes(&scrubbed).unwrap_or(HeaderValue::from_static("****"));
        }
    }
    let body = scrubbed(&body, &needles).map_or(body, Bytes::from);
    Answer { status, headers, body }
}

/// The text with the mask in the place of every needle; `None` when it has none.
fn scrubbed(text: &[u8], needles: &[String]) -> Option<Vec<u8>> {
    let mut scrubbed = Vec::new();
    let (mut rest, mut found) = (text, false);
    while let Some((first, others)) = rest.split_first() {
        if let Some(length) = needles.iter().filter_map(|needle| spelt(rest, needle)).max() {
            found = true;
            scrubbed.extend_from_slice(MASK);
            rest = rest.get(length..).unwrap_or_default();
        } else {
            scrubbed.push(*first);
            rest = others;
        }
    }
    found.then_some(scrubbed)
}

/// The bytes at the start of `text` that spell `needle`: as it is, or with any of its characters escaped for JSON, a
/// form, an address or HTML. A text that ends in the middle of it counts: long answers are cut.
fn spelt(text: &[u8], needle: &str) -> Option<usize> {
    if text.starts_with(needle.as_bytes()) {
        return Some(needle.len());
    }
    let mut rest = text;
    for (number, character) in needle.chars().enumerate() {
        if rest.is_empty() {
            return (number >= SHORTEST).then_some(text.len());
        }
        rest = rest.get(escaped(rest, character)?..)?;
    }
    Some(text.len() - rest.len())
}

/// The length of one character at the start of `text`, however it is escaped.
fn escaped(text: &[u8], character: char) -> Option<usize> {
    let mut utf8 = [0; 4];
    let plain = character.encode_utf8(&mut utf8).as_bytes();
    match text.first()? {
        b'%' => percent(text, plain),
        b'\\' => json(text, character),
        b'&' => html(text, character),
        b'+' if character == ' ' => Some(1),
        _ => None,
    }
    .or_else(|| text.starts_with(plain).then_some(plain.len()))
}

fn percent(text: &[u8], plain: &[u8]) -> Option<usize> {
    for (place, byte) in plain.iter().enumerate() {
        let digits = text.get(3 * place..)?.strip_prefix(b"%")?.get(..2)?;
        if hexadecimal(digits)? != u32::from(*byte) {
            return None;
        }
    }
    Some(3 * plain.len())
}

fn json(text: &[u8], character: char) -> Option<usize> {
    if text.get(1) != Some(&b'u') {
        return (text.get(1..)?.first().map(|byte| char::from(*byte)) == Some(character)).then_some(2);
    }
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

    fn in_utf16(text: &str) -> String {
        text.encode_utf16().fold(String::new(), |all, unit| all + &format!("\\u{unit:04X}"))
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let percent =
            percent_encoding::utf8_percent_encode(SECRET, percent_encoding::NON_ALPHANUMERIC).to_string();
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
        ] {
            let said = body(&format!("a {spelling}, b {spelling}"), &["", "short", SECRET]);
            assert_eq!(said, "a ****, b ****", "{spelling}");
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
