//! Policies: assignments, definitions and initiatives (`Microsoft.Authorization`).

use std::collections::BTreeMap;

use super::lenient::objects;

objects! {
    /// The assignment of a policy or initiative.
    PolicyAssignment {
        /// Its resource ID.
        id: Option<String>,
        /// Its name.
        name: Option<String>,
        /// Its properties.
        properties: Option<PolicyAssignmentProperties>,
    }

    /// The properties of an assignment.
    PolicyAssignmentProperties {
        /// The display name.
        display_name: Option<String>,
        /// The resource ID of the definition, or of an initiative (`policySetDefinitions`).
        policy_definition_id: Option<String>,
        /// `Default`, or `DoNotEnforce`.
        enforcement_mode: Option<String>,
        /// The values of parameters.
        parameters: BTreeMap<String, ParameterValue>,
        /// The resource ID of the scope.
        scope: Option<String>,
    }

    /// The value of a parameter, if it is a string.
    ParameterValue {
        /// The string.
        value: Option<String>,
    }

    /// The definition of a policy.
    PolicyDefinition {
        /// Its properties.
        properties: Option<PolicyDefinitionProperties>,
    }

    /// The properties of a definition.
    PolicyDefinitionProperties {
        /// For example `Indexed`, `All`, or `Microsoft.Kubernetes.Data`.
        mode: Option<String>,
        /// The parameters.
        parameters: BTreeMap<String, ParameterDefinition>,
        /// The rule.
        policy_rule: Option<PolicyRule>,
    }

    /// The definition of a parameter.
    ParameterDefinition {
        /// Its default, if that is a string.
        default_value: Option<String>,
    }

    /// The rule of a policy, without its condition.
    PolicyRule {
        /// The result if the condition holds.
        then: Option<PolicyThen>,
    }

    /// The result of a rule.
    PolicyThen {
        /// For example `deny`, or `[parameters('effect')]`.
        effect: Option<String>,
    }
}

impl PolicyAssignment {
    /// Whether the effect is enforced; otherwise it is only evaluated.
    pub fn is_enforced(&self) -> bool {
        let mode = self.properties.as_ref().and_then(|properties| properties.enforcement_mode.as_deref());
        !mode.is_some_and(|mode| mode.eq_ignore_ascii_case("DoNotEnforce"))
    }

    /// The value of a parameter, whose name is case-insensitive.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let parameters = &self.properties.as_ref()?.parameters;
        find(parameters, name)?.value.as_deref()
    }
}

impl PolicyDefinitionProperties {
    /// The default of a parameter, whose name is case-insensitive.
    pub fn default_of(&self, name: &str) -> Option<&str> {
        find(&self.parameters, name)?.default_value.as_deref()
    }
}

fn find<'a, T>(parameters: &'a BTreeMap<String, T>, name: &str) -> Option<&'a T> {
    parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
