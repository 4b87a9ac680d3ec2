//! A resource provider and its registration in a subscription.

use super::lenient::lenient_structs;
use crate::regions;

lenient_structs! {
    /// A resource provider.
    Provider {
        /// For example `Microsoft.ContainerService`.
        namespace: Option<String>,
        /// `Registered`, `Registering`, `NotRegistered`, `Unregistering` or `Unregistered`.
        registration_state: Option<String>,
        /// Its resource types.
        resource_types: Vec<ResourceType>,
    }

    /// A resource type of a provider.
    ResourceType {
        /// For example `managedClusters`.
        resource_type: Option<String>,
        /// The display names of its regions, for example `East US`.
        locations: Vec<String>,
    }
}

impl Provider {
    /// Whether the subscription can use it.
    pub fn is_registered(&self) -> bool {
        self.has_state("Registered")
    }

    /// Whether its registration is running.
    pub fn is_registering(&self) -> bool {
        self.has_state("Registering")
    }

    /// The normalized names of the regions that have a resource type; none if the type is not listed.
    pub fn regions_of(&self, resource_type: &str) -> Vec<String> {
        let is_requested = |entry: &&ResourceType| {
            entry.resource_type.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(resource_type))
        };
        let locations = self.resource_types.iter().filter(is_requested).flat_map(|entry| &entry.locations);
        locations.map(|location| regions::normalize(location)).collect()
    }

    fn has_state(&self, expected: &str) -> bool {
        self.registration_state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_those_of_the_resource_type() {
        let json = r#"{"resourceTypes":[{"resourceType":"locations","locations":[]}, null,
            {"resourceType":"ManagedClusters","locations":["East US","West Europe"]}]}"#;
        let provider: Provider = serde_json::from_str(json).unwrap();
        assert_eq!(provider.regions_of("managedClusters"), ["eastus", "westeurope"]);
        assert_eq!(provider.regions_of("fleets"), [""; 0]);
    }

    #[test]
    fn only_the_state_registered_is_registered() {
        for (json, expected) in [
            (r#"{"registrationState":"Registered"}"#, true),
            (r#"{"registrationState":"registered"}"#, true),
            (r#"{"registrationState":"Registering"}"#, false),
            (r#"{"registrationState":"NotRegistered"}"#, false),
            (r#"{"registrationState":"Unregistered"}"#, false),
            ("{}", false),
        ] {
            let provider: Provider = serde_json::from_str(json).unwrap();
            assert_eq!(provider.is_registered(), expected, "{json}");
            assert_eq!(provider.is_registering(), json.contains("Registering"), "{json}");
        }
    }
}
