//! Commands that are shown to users, quoted so that a POSIX shell reads each value as one word.

use std::borrow::Cow;

/// Joins words to a command, each quoted if necessary.
pub fn command(words: &[&str]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// Puts `word` in single quotes if it contains characters that are special in a shell.
pub fn quote(word: &str) -> Cow<'_, str> {
    // `~` and (in zsh) `=` are special only at the start of a word, but quoting them everywhere is simpler.
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
    fn only_words_with_special_characters_are_quoted() {
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
            assert_eq!(quote(word), expected, "{word:?}");
        }
        assert_eq!(command(&["az", "aks", "start", "--name", "a b"]), "az aks start --name 'a b'");
    }
}
