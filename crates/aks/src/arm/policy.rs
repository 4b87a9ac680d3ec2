//! Policies: assignments, definitions and initiatives (`Microsoft.Authorization`).

use std::collections::BTreeMap;

use serde::de::SeqAccess;

use super::lenient::{FromJson, lenient_structs};

lenient_structs! {
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
        /// The excluded scopes.
        not_scopes: Vec<String>,
        /// Replacements of properties of the definition.
        overrides: Vec<PolicyOverride>,
        /// Restrictions to some resources.
        resource_selectors: Vec<ResourceSelector>,
    }

    /// A replacement of a property of the definition.
    PolicyOverride {
        /// For example `policyEffect`.
        kind: Option<String>,
    }

    /// A restriction to some resources, by region or type.
    ResourceSelector {
        /// Its name.
        name: Option<String>,
    }

    /// The value of a parameter.
    ParameterValue {
        /// The value, if it is a string or an array.
        value: Option<PolicyValue>,
    }

    /// An initiative (`policySetDefinitions`).
    Initiative {
        /// Its properties.
        properties: Option<InitiativeProperties>,
    }

    /// The properties of an initiative.
    InitiativeProperties {
        /// The parameters.
        parameters: BTreeMap<String, ParameterDefinition>,
        /// The policies.
        policy_definitions: Vec<InitiativeMember>,
    }

    /// A policy of an initiative.
    InitiativeMember {
        /// The resource ID of the definition.
        policy_definition_id: Option<String>,
        /// The values of its parameters, which may refer to parameters of the initiative.
        parameters: BTreeMap<String, ParameterValue>,
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
        /// Its default, if that is a string or an array.
        default_value: Option<PolicyValue>,
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

/// A string, or the strings of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyValue {
    /// A string.
    Text(String),
    /// An array.
    List(Vec<String>),
}

impl<'de> FromJson<'de> for PolicyValue {
    fn from_str(text: &str) -> Option<Self> {
        Some(Self::Text(text.to_owned()))
    }

    fn from_array<A: SeqAccess<'de>>(array: A) -> Result<Option<Self>, A::Error> {
        Ok(Vec::from_array(array)?.map(Self::List))
    }
}

impl PolicyAssignment {
    /// Whether the effect is enforced; otherwise it is only evaluated.
    pub fn is_enforced(&self) -> bool {
        let mode = self.properties.as_ref().and_then(|properties| properties.enforcement_mode.as_deref());
        !mode.is_some_and(|mode| mode.eq_ignore_ascii_case("DoNotEnforce"))
    }

    /// Whether it replaces the effect of its definition
    /// (<https://learn.microsoft.com/azure/governance/policy/concepts/assignment-structure#overrides>).
    pub fn overrides_effect(&self) -> bool {
        let overrides = self.properties.iter().flat_map(|properties| &properties.overrides);
        overrides
            .filter_map(|replacement| replacement.kind.as_deref())
            .any(|kind| kind.eq_ignore_ascii_case("policyEffect"))
    }
}
