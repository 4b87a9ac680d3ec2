//! Names of Azure's regions, however they are written.

/// `East US`, `EastUS` and `east-us` all mean `eastus`: what Azure itself ignores when it compares regions.
pub fn normalised(region: &str) -> String {
    region
        .chars()
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
        for spelling in ["eastus", "EastUS", "East US", " east us ", "EAST-US", "east_us"] {
            assert_eq!(normalised(spelling), "eastus", "{spelling}");
        }
        assert!(is_plausible("eastus2euap"));
        for bad in ["", "east'us", "east/us", "östlich", &"x".repeat(65)] {
            assert!(!is_plausible(bad), "{bad}");
        }
    }
}
