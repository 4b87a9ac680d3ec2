//! Container image references: `registry.example.com:5000/team/agent:v1@sha256:…`. Checks only their syntax, not whether the
//! image exists.

/// The maximum length of a reference, in bytes.
const MAX_LEN: usize = 512;

/// The reason why an image reference is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImage {
    /// The reference is empty.
    #[error("the reference is empty")]
    Empty,
    /// The reference is too long.
    #[error("the reference has more than {MAX_LEN} bytes")]
    TooLong,
    /// The registry before the first slash is invalid.
    #[error("the registry must be a host name with an optional :port")]
    Registry,
    /// The path between the registry and the tag is invalid.
    #[error("the path must be lower-case letters and digits, with . _ - only between them")]
    Path,
    /// The tag after the colon is invalid.
    #[error("the tag must be at most 128 letters, digits, _ . or -")]
    Tag,
    /// The digest after the at sign is invalid.
    #[error("the digest must be sha256: followed by 64 hexadecimal digits")]
    Digest,
}

/// Checks an image reference.
///
/// # Errors
/// The invalid part.
pub fn check(reference: &str) -> Result<(), InvalidImage> {
    if reference.is_empty() {
        return Err(InvalidImage::Empty);
    }
    if reference.len() > MAX_LEN {
        return Err(InvalidImage::TooLong);
    }
    let (name, digest) = split_optional(reference, '@');
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err(InvalidImage::Digest);
    }
    let (registry, path_and_tag) = split_registry(name);
    if registry.is_some_and(|registry| !is_registry(registry)) {
        return Err(InvalidImage::Registry);
    }
    let (path, tag) = split_optional(path_and_tag, ':');
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(InvalidImage::Tag);
    }
    if path.split('/').all(is_path_component) { Ok(()) } else { Err(InvalidImage::Path) }
}

/// Splits at the first `separator`; the second part is `None` without one.
fn split_optional(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// The registry of an image; `None` if the reference has none.
pub fn registry(image: &str) -> Option<&str> {
    split_registry(image).0
}

/// Splits off the registry. The first part is a registry if it looks like a host: it contains a dot or a port, or is `localhost`.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, name),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = split_optional(text, ':');
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(is_label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_path_component(text: &str) -> bool {
    let is_alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().next().is_some_and(is_alphanumeric)
        && text.bytes().last().is_some_and(is_alphanumeric)
        && text.bytes().all(|b| is_alphanumeric(b) || matches!(b, b'.' | b'_' | b'-'))
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_references_are_accepted() {
        let digest = format!("a@sha256:{}", "0f".repeat(32));
        for (text, expected) in [
            ("norman-aks", Ok(())),
            ("norman-aks:0.1.0", Ok(())),
            ("rancher/rancher-agent:v2.12.1", Ok(())),
            ("localhost/a", Ok(())),
            ("registry.example.com:5000/a/b_c/d--e:T.1_x", Ok(())),
            (&digest, Ok(())),
            ("", Err(InvalidImage::Empty)),
            (&"a".repeat(513), Err(InvalidImage::TooLong)),
            ("a@sha256:12", Err(InvalidImage::Digest)),
            ("a@", Err(InvalidImage::Digest)),
            ("regis_try.example.com/a", Err(InvalidImage::Registry)),
            ("example.com:99999/a", Err(InvalidImage::Registry)),
            ("a:", Err(InvalidImage::Tag)),
            ("a:-x", Err(InvalidImage::Tag)),
            ("a:b:c", Err(InvalidImage::Tag)),
            ("a:b c", Err(InvalidImage::Tag)),
            ("A/b", Err(InvalidImage::Path)),
            ("a//b", Err(InvalidImage::Path)),
            ("/a", Err(InvalidImage::Path)),
            ("a/", Err(InvalidImage::Path)),
            ("a\nb", Err(InvalidImage::Path)),
            ("$(id)", Err(InvalidImage::Path)),
            ("-a", Err(InvalidImage::Path)),
        ] {
            assert_eq!(check(text), expected, "{text:?}");
        }
    }
}
