//! Cleans input that people paste or read from files: whitespace around values, braces around GUIDs, byte order marks.

use std::borrow::Cow;

/// Trims whitespace, line breaks and invisible characters, such as non-breaking or zero-width spaces and byte order marks.
pub fn trim(text: &str) -> &str {
    let is_invisible =
        |c: char| c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}');
    text.trim_matches(is_invisible)
}

/// Trims an ID, and removes the braces that .NET and the Windows registry put around a GUID.
pub fn trim_id(text: &str) -> &str {
    let text = trim(text);
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).map(trim);
    inner.filter(|inner| is_guid(inner)).unwrap_or(text)
}

fn is_guid(text: &str) -> bool {
    let groups = text.split('-').map(|group| (group.len(), group.bytes().all(|b| b.is_ascii_hexdigit())));
    groups.eq([(8, true), (4, true), (4, true), (4, true), (12, true)])
}

/// The error for a body in UTF-16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is UTF-16; send it as UTF-8 (in PowerShell: Set-Content -Encoding utf8)")]
pub struct Utf16Body;

/// Removes the byte order mark of UTF-8 from a body.
///
/// # Errors
/// [`Utf16Body`] for a body with the byte order mark of UTF-16, or with the NUL bytes of ASCII characters in UTF-16.
pub fn strip_bom(body: &[u8]) -> Result<&[u8], Utf16Body> {
    let is_utf16 =
        matches!(body, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=0x7f, ..] | [1..=0x7f, 0, ..]);
    if is_utf16 {
        return Err(Utf16Body);
    }
    Ok(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
}

/// Like [`trim_id`], but does not copy an ID that is already trimmed.
pub fn trim_owned_id(text: String) -> String {
    match trim_id(&text) {
        trimmed if trimmed.len() == text.len() => text,
        trimmed => trimmed.to_owned(),
    }
}

/// Like [`trim`], but does not copy a string that is already trimmed.
pub fn trim_cow(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(trim(text)),
        Cow::Owned(text) if trim(&text).len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(trim(&text).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

    #[test]
    fn whitespace_and_invisible_characters_are_trimmed() {
        for around in [" ", "\n", "\r\n", "\t", "\u{a0}", "\u{200b}", "\u{feff}", "\u{2003} \n", "\u{2028}"] {
            assert_eq!(trim(&format!("{around}a b~{around}")), "a b~", "{around:?}");
            assert_eq!(trim_id(&format!("{around}{GUID}{around}")), GUID, "{around:?}");
        }
        assert_eq!(trim("\n"), "");
    }

    #[test]
    fn braces_are_removed_only_from_guids() {
        for (text, expected) in [
            (&*format!("{{{GUID}}}"), GUID),
            (&format!(" {{ {} }} ", GUID.to_uppercase()), &*GUID.to_uppercase()),
            (GUID, GUID),
            ("contoso.onmicrosoft.com", "contoso.onmicrosoft.com"),
            ("{contoso}", "{contoso}"),
            (&format!("{{{GUID}"), &format!("{{{GUID}")),
            ("{}", "{}"),
        ] {
            assert_eq!(trim_id(text), expected, "{text}");
        }
        assert_eq!(trim_owned_id(format!("{{{GUID}}}\n")), GUID);
    }

    #[test]
    fn utf16_is_recognized_by_the_first_bytes() {
        let encode_utf16 = |body: &str, big_endian: bool| -> Vec<u8> {
            body.encode_utf16()
                .flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect()
        };
        assert_eq!(strip_bom(b"\xef\xbb\xbf{}"), Ok(&b"{}"[..]));
        for body in [&b"{}"[..], b"", b"{", b"\xef", "\u{e4}".as_bytes(), b"\xff", b"\0\0"] {
            assert_eq!(strip_bom(body), Ok(body), "{body:?}");
        }
        for body in ["\u{feff}{}", "{}", "\r\n{}", "\u{feff}"] {
            for big_endian in [false, true] {
                assert_eq!(strip_bom(&encode_utf16(body, big_endian)), Err(Utf16Body), "{body:?}");
            }
        }
        // A client that drops the NUL bytes keeps the byte order mark.
        assert_eq!(strip_bom(b"\xff\xfe{\"a\":1}"), Err(Utf16Body));
    }
}
