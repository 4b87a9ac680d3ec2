//! Names of resource groups: their rules, and the name in a resource ID.

/// The maximum length of a name in characters
/// (<https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>).
pub const MAX_NAME_LEN: usize = 90;

/// The characters of names, in words.
pub const ALLOWED_CHARACTERS: &str =
    "letters, digits, hyphens, underscores, dots and parentheses, not ending with a dot";

/// Whether a name consists of [`ALLOWED_CHARACTERS`].
pub fn has_allowed_characters(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '(' | ')'))
        && !name.ends_with('.')
}

/// Whether Azure allows this name for a resource group.
pub fn is_valid_name(name: &str) -> bool {
    (1..=MAX_NAME_LEN).contains(&name.chars().count()) && has_allowed_characters(name)
}

/// The part after `/resourceGroups/` up to the next slash, spelled as in the ID. Azure uses `resourceGroups`,
/// `resourcegroups` and, in a few places, other mixtures.
///
/// `None` if there is no such part, or no slash after it.
pub fn from_id(resource_id: &str) -> Option<&str> {
    const KEYWORD: &str = "/resourcegroups/";
    // ASCII lower-casing keeps byte positions.
    let start = resource_id.to_ascii_lowercase().find(KEYWORD)?;
    let rest = resource_id.get(start + KEYWORD.len()..)?;
    // Like Rancher's pattern `(.+?)/`: at least one character, up to the first slash after it.
    let mut characters = rest.char_indices();
    characters.next()?;
    let end = characters.find(|(_, c)| *c == '/')?.0;
    rest.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_follows_the_rules_of_azure() {
        let longest = "x".repeat(MAX_NAME_LEN);
        for (name, is_valid) in [
            ("rancher", true),
            ("Rancher-(eu)_1.2", true),
            ("größe", true),
            (&*longest, true),
            (&*format!("{longest}x"), false),
            ("", false),
            (".", false),
            ("..", false),
            ("shop.", false),
            ("a/b", false),
            ("a b", false),
            ("a?b", false),
            ("it's", false),
        ] {
            assert_eq!(is_valid_name(name), is_valid, "{name:?}");
        }
    }

    #[test]
    fn the_resource_group_is_found_in_any_letter_case() {
        for (id, expected) in [
            ("/subscriptions/s/resourceGroups/rg-a/providers/x", Some("rg-a")),
            ("/subscriptions/s/resourcegroups/RG_b/providers/x", Some("RG_b")),
            ("/subscriptions/s/RESOURCEGROUPS/c/x", Some("c")),
            ("/subscriptions/s/resourceGroups/rg-a", None),
            ("/subscriptions/s/providers/x", None),
            ("/subscriptions/ß/resourceGroups/ü/x", Some("ü")),
            ("", None),
        ] {
            assert_eq!(from_id(id), expected, "{id}");
        }
    }
}
