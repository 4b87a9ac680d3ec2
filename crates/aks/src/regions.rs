//! Names of Azure's regions in their different spellings.

/// Normalizes the name of a region: `East US`, `EastUS`, `east-us` and the portal's `(US) East US` become `eastus`.
pub fn normalize(region: &str) -> String {
    let trimmed = region.trim();
    let geography_and_name = trimmed.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let name = geography_and_name.map_or(trimmed, |(_geography, name)| name);
    name.chars()
        .filter(|c| !c.is_whitespace() && *c != '-' && *c != '_')
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether a normalized name can be that of a region: 1 to 64 ASCII letters and digits.
pub fn is_valid_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_region_are_normalized() {
        for spelling in
            ["eastus", "EastUS", "East US", " east us ", "EAST-US", "east_us", "(US) East US", "East\u{a0}US"]
        {
            assert_eq!(normalize(spelling), "eastus", "{spelling}");
        }
    }

    #[test]
    fn names_with_other_characters_are_invalid() {
        assert!(is_valid_name("eastus2euap"));
        for invalid in ["", "east'us", "east/us", "östlich", &"x".repeat(65)] {
            assert!(!is_valid_name(invalid), "{invalid}");
        }
    }
}
