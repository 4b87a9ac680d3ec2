//! Names of Azure's regions, however they are written.

/// The normalised name of a region: `eastus` for `East US`, `EastUS`, `east-us` and `(US) East US`, as the portal shows it.
pub fn normalised(region: &str) -> String {
    let trimmed = region.trim();
    let name =
        trimmed.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(trimmed, |(_, name)| name);
    name.chars()
        .filter(|c| !c.is_whitespace() && *c != '-' && *c != '_')
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether a region's name could be one: letters and digits only, once normalised.
pub fn is_plausible(normalised: &str) -> bool {
    !normalised.is_empty() && normalised.len() <= 64 && normalised.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_region_is_the_same_region() {
        for spelling in
            ["eastus", "EastUS", "East US", " east us ", "EAST-US", "east_us", "(US) East US", "East\u{a0}US"]
        {
            assert_eq!(normalised(spelling), "eastus", "{spelling}");
        }
        assert!(is_plausible("eastus2euap"));
        for bad in ["", "east'us", "east/us", "östlich", &"x".repeat(65)] {
            assert!(!is_plausible(bad), "{bad}");
        }
    }
}
