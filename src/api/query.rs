//! Parses the query of a request as Go does: names are case-sensitive, the first value of a repeated name is used, and a
//! malformed pair is dropped (`docs/contract/meta-actions.md#requests`).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A raw query string.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RawQuery<'a>(&'a str);

impl<'a> RawQuery<'a> {
    pub(crate) fn from_uri(uri: &'a http::Uri) -> Self {
        Self(uri.query().unwrap_or_default())
    }

    /// The first value of each name, or an empty string, in one pass over the query.
    pub(crate) fn first<const N: usize>(self, names: [&str; N]) -> [Cow<'a, str>; N] {
        let mut values = [const { None }; N];
        for (raw_name, raw_value) in self.raw_pairs() {
            let Some(pair_name) = decode(raw_name) else { continue };
            for (name, value) in names.iter().zip(&mut values) {
                if value.is_none() && pair_name == *name {
                    *value = decode(raw_value);
                }
            }
        }
        values.map(Option::unwrap_or_default)
    }

    /// All well-formed pairs, in order.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.raw_pairs().filter_map(|(name, value)| Some((decode(name)?, decode(value)?)))
    }

    fn raw_pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut rest = Some(self.0);
        let pairs = std::iter::from_fn(move || {
            let (pair, after) = split(rest?, b'&');
            rest = after;
            Some(pair)
        });
        pairs.filter(|pair| !pair.is_empty() && !pair.bytes().any(|b| b == b';')).map(|pair| {
            let (name, value) = split(pair, b'=');
            (name, value.unwrap_or_default())
        })
    }
}

/// Splits a string at the first `separator`. For short strings, comparing bytes is faster than the standard library's search.
fn split(text: &str, separator: u8) -> (&str, Option<&str>) {
    text.bytes()
        .position(|b| b == separator)
        .and_then(|index| Some((text.get(..index)?, text.get(index + 1..))))
        .unwrap_or((text, None))
}

/// Whether a string contains neither percent-escapes nor `+`.
fn has_no_escapes(text: &str) -> bool {
    !text.bytes().any(|b| matches!(b, b'%' | b'+'))
}

/// The decoded string; `None` if an escape is invalid. Invalid UTF-8 becomes U+FFFD.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if has_no_escapes(text) {
        return Some(Cow::Borrowed(text));
    }
    let mut rest = text;
    while let Some(index) = rest.find('%') {
        let escape = rest.get(index + 1..index + 3)?;
        if !escape.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        rest = rest.get(index + 3..)?;
    }
    Some(Cow::Owned(percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_parsed_as_in_go() {
        for (query, name, expected) in [
            ("a=1&a=2", "a", "1"),
            ("A=1", "a", ""),
            ("a=%zz&a=2", "a", "2"),
            ("a=%2", "a", ""),
            ("a=x+y%20z", "a", "x y z"),
            ("a;b=1&a=3", "a", "3"),
            ("a", "a", ""),
            ("a=b=c", "a", "b=c"),
            ("%61=1", "a", "1"),
            ("a=%ff", "a", "\u{fffd}"),
            ("", "a", ""),
        ] {
            assert_eq!(RawQuery(query).first(["other", name, name]), ["", expected, expected], "{query}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(query: String) {
            let _ = RawQuery(&query).pairs().count();
        }
    }
}
