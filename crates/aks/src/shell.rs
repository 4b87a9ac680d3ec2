//! Commands that are shown to users, quoted so that a POSIX shell reads each value as one word.

use std::borrow::Cow;

/// The command with these words, in order.
pub fn command(words: &[&str]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The word, in single quotes where a shell would read it in another way.
pub fn quoted(word: &str) -> Cow<'_, str> {
    // `=` and `~` are special only at the start of a word, but a word is quoted as a whole anyway.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@,+%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        for (word, expected) in [
            ("rancher", "rancher"),
            ("MC_rancher_one-2.eastus", "MC_rancher_one-2.eastus"),
            ("/subscriptions/s/resourceGroups/g", "/subscriptions/s/resourceGroups/g"),
            ("https://aks.example.org:8443/x", "https://aks.example.org:8443/x"),
            ("", "''"),
            ("my group", "'my group'"),
            ("gr(o)up", "'gr(o)up'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)", "'$(reboot)'"),
            ("`x`;y&z|w>v", "'`x`;y&z|w>v'"),
            ("a\nb", "'a\nb'"),
            ("~", "'~'"),
            ("a=b", "'a=b'"),
            ("größe", "'größe'"),
        ] {
            assert_eq!(quoted(word), expected, "{word:?}");
        }
        assert_eq!(command(&["az", "aks", "start", "--name", "a b"]), "az aks start --name 'a b'");
    }
}
