//! The resource group in a resource id, in any letter case.

/// The part after `/resourceGroups/` up to the next slash, spelled as in the ID. Azure uses `resourceGroups`,
/// `resourcegroups` and, in a few places, other mixtures.
///
/// `None` if there is no such part, if it is empty, or if nothing follows it.
pub fn of(resource_id: &str) -> Option<&str> {
    const KEYWORD: &str = "/resourcegroups/";
    // ASCII lower-casing keeps byte positions.
    let at = resource_id.to_ascii_lowercase().find(KEYWORD)?;
    let rest = resource_id.get(at + KEYWORD.len()..)?;
    // As the original's pattern `(.+?)/`: at least one character, then the first slash after it.
    let mut characters = rest.char_indices();
    characters.next()?;
    let end = characters.find(|(_, c)| *c == '/')?.0;
    rest.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(of(id), expected, "{id}");
        }
    }
}
