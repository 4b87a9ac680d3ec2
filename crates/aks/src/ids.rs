//! IDs in Rancher's formats: `cattle-global-data:cc-xxxxx`, `c-xxxxx`, `u-xxxxx`, `token-xxxxx`.

/// The namespace of every cloud credential.
pub const CREDENTIAL_NAMESPACE: &str = "cattle-global-data";

/// The letters and digits of generated names: no vowels, no look-alikes
/// (`docs/contract/credentials.md#the-type-cloudcredential`).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name like those of Rancher's objects: `prefix` and five characters from `random`.
pub fn generate_name(prefix: &str, random: [u8; 5]) -> String {
    encode(prefix, &random)
}

/// The secret part of a token, as in Rancher: 54 characters of the same alphabet, which have over 250 bits of entropy.
pub fn token_secret(random: [u8; 54]) -> String {
    encode("", &random)
}

fn encode(prefix: &str, random: &[u8]) -> String {
    let mut encoded = String::with_capacity(prefix.len() + random.len());
    encoded.push_str(prefix);
    // 256 is not a multiple of 27: the first 13 characters are slightly more frequent, with 10 of 256 values instead of 9.
    // This does not matter for a name, and costs a secret less than half a bit in total.
    encoded.extend(
        random.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 27))).map(|c| char::from(*c)),
    );
    encoded
}

/// Splits `namespace:name` at the first colon; `None` if there is no colon or a part is empty.
pub fn split_namespaced(id: &str) -> Option<(&str, &str)> {
    id.split_once(':').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
}

/// Whether `text` is a DNS label, as names of Kubernetes objects must be: at most 63 lower-case letters, digits, and
/// hyphens between them.
pub fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_labels_follow_the_rules_of_kubernetes() {
        for (text, expected) in [
            ("a", true),
            ("crtb-x7k9z", true),
            (&*"a".repeat(63), true),
            (&*"a".repeat(64), false),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a.b", false),
            ("a:b", false),
        ] {
            assert_eq!(is_dns_label(text), expected, "{text}");
        }
    }

    #[test]
    fn generated_names_use_only_ranchers_alphabet() {
        let name = generate_name("cc-", [0, 26, 27, 128, 255]);
        assert_eq!(name, "cc-b9b2q");
    }

    #[test]
    fn a_token_secret_has_54_characters() {
        let secret = token_secret([26; 54]);
        assert_eq!(secret, "9".repeat(54));
    }

    #[test]
    fn an_id_splits_at_the_first_colon_and_needs_both_halves() {
        for (id, expected) in [
            ("a:b", Some(("a", "b"))),
            ("a:b:c", Some(("a", "b:c"))),
            ("ab", None),
            (":b", None),
            ("a:", None),
            ("", None),
        ] {
            assert_eq!(split_namespaced(id), expected, "{id}");
        }
    }
}
