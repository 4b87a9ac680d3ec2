//! A resource provider and its registration in a subscription.

use super::lenient::objects;

objects! {
    /// A resource provider.
    Provider {
        /// For example `Microsoft.ContainerService`.
        namespace: Option<String>,
        /// `Registered`, `Registering`, `NotRegistered`, `Unregistering` or `Unregistered`.
        registration_state: Option<String>,
    }
}

impl Provider {
    /// Whether the subscription can use it.
    pub fn is_registered(&self) -> bool {
        self.is("Registered")
    }

    /// Whether its registration is running.
    pub fn is_registering(&self) -> bool {
        self.is("Registering")
    }

    fn is(&self, word: &str) -> bool {
        self.registration_state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_counts_as_registered() {
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
