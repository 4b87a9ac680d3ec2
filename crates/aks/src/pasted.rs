//! Values that people paste: what copying adds around them, and text files that editors and shells write in other
//! encodings.

use std::borrow::Cow;

/// The text without surrounding whitespace, line ends and invisible characters, such as non-breaking or zero-width spaces and
/// byte order marks.
pub fn trimmed(text: &str) -> &str {
    let added = |c: char| c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}');
    text.trim_matches(added)
}

/// An id as Azure writes it: trimmed, and without the braces that .NET and the registry put around a GUID.
pub fn id(text: &str) -> &str {
    let text = trimmed(text);
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).map(trimmed);
    inner.filter(|inner| is_guid(inner)).unwrap_or(text)
}

fn is_guid(text: &str) -> bool {
    let groups = text.split('-').map(|group| (group.len(), group.bytes().all(|b| b.is_ascii_hexdigit())));
    groups.eq([(8, true), (4, true), (4, true), (4, true), (12, true)])
}

/// A body that is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is UTF-16; send it as UTF-8 (in PowerShell: Set-Content -Encoding utf8)")]
pub struct Utf16;

/// A UTF-8 body without a leading byte order mark.
///
/// # Errors
/// [`Utf16`] for a body with the byte order mark of UTF-16, or with the NUL bytes of ASCII characters in UTF-16.
pub fn utf8(body: &[u8]) -> Result<&[u8], Utf16> {
    let starts_wide =
        matches!(body, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=0x7f, ..] | [1..=0x7f, 0, ..]);
    if starts_wide {
        return Err(Utf16);
    }
    Ok(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
}

/// `id` of a text that may be kept as it is.
pub fn owned_id(text: String) -> String {
    match id(&text) {
        inner if inner.len() == text.len() => text,
        inner => inner.to_owned(),
    }
}

/// `trimmed` of a text from a query.
pub fn trimmed_cow(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(trimmed(text)),
        Cow::Owned(text) if trimmed(&text).len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(trimmed(&text).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

    #[test]
    fn what_copying_adds_around_a_value_is_taken_off() {
        for around in [" ", "\n", "\r\n", "\t", "\u{a0}", "\u{200b}", "\u{feff}", "\u{2003} \n", "\u{2028}"] {
            assert_eq!(trimmed(&format!("{around}a b~{around}")), "a b~", "{around:?}");
            assert_eq!(id(&format!("{around}{GUID}{around}")), GUID, "{around:?}");
        }
        assert_eq!(trimmed("\n"), "");
    }

    #[test]
    fn braces_go_from_guids_alone() {
        for (text, expected) in [
            (&*format!("{{{GUID}}}"), GUID),
            (&format!(" {{ {} }} ", GUID.to_uppercase()), &*GUID.to_uppercase()),
            (GUID, GUID),
            ("contoso.onmicrosoft.com", "contoso.onmicrosoft.com"),
            ("{contoso}", "{contoso}"),
            (&format!("{{{GUID}"), &format!("{{{GUID}")),
            ("{}", "{}"),
        ] {
            assert_eq!(id(text), expected, "{text}");
        }
        assert_eq!(owned_id(format!("{{{GUID}}}\n")), GUID);
    }

    #[test]
    fn the_encoding_of_a_body_is_told_by_its_first_bytes() {
        let wide = |body: &str, big: bool| -> Vec<u8> {
            body.encode_utf16()
                .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect()
        };
        assert_eq!(utf8(b"\xef\xbb\xbf{}"), Ok(&b"{}"[..]));
        for body in [&b"{}"[..], b"", b"{", b"\xef", "\u{e4}".as_bytes(), b"\xff", b"\0\0"] {
            assert_eq!(utf8(body), Ok(body), "{body:?}");
        }
        for body in ["\u{feff}{}", "{}", "\r\n{}", "\u{feff}"] {
            for big in [false, true] {
                assert_eq!(utf8(&wide(body, big)), Err(Utf16), "{body:?}");
            }
        }
        // A client that drops NUL bytes leaves the mark.
        assert_eq!(utf8(b"\xff\xfe{\"a\":1}"), Err(Utf16));
    }
}
