//! Policies that deny: the effect of an assignment, and the resources of clusters that it affects
//! (<https://learn.microsoft.com/azure/governance/policy/concepts/definition-structure-policy-rule>). Exemptions are not read.

mod condition;
mod definitions;
mod resources;

use serde_json::Value;

use self::condition::{Values, holds, parse_literal, parse_parameter_reference};
pub use self::definitions::PolicyDefinitions;
use self::resources::{CreationScope, ResourceType, TYPES};
use crate::arm::{
    ParameterDefinition, ParameterValue, PolicyAssignment, PolicyDefinition, PolicyValue, Resource,
};

/// A policy or initiative that is assigned to a resource group, to the subscription or above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPolicy {
    /// The name of the assignment.
    pub name: String,
    /// The display name, else the name.
    pub display_name: String,
    /// The resource ID of the scope of the assignment.
    pub scope: String,
    /// The effect of the policy.
    pub effect: PolicyEffect,
}

/// The effect of an assigned policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyEffect {
    /// The policy denies requests for clusters, or may deny them.
    Denies(Denied),
    /// Unknown, for this reason.
    Unknown(String),
}

/// The requests that a policy denies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// Descriptions of resources that every cluster needs and whose creation and change the policy always denies.
    pub essentials: Vec<&'static str>,
    /// The resources whose creation or change the policy may deny.
    pub writes: Option<Resources>,
    /// The resources whose deletion the policy may deny.
    pub deletes: Option<Resources>,
}

/// Resources that clusters consist of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resources {
    /// All of them.
    All,
    /// Descriptions of some of them.
    Some(Vec<&'static str>),
}

/// The mode of policies for objects inside clusters.
const KUBERNETES_DATA_MODE: &str = "Microsoft.Kubernetes.Data";

impl AssignedPolicy {
    /// The assignment with the effect of its definitions; `None` if it denies nothing that affects clusters.
    pub fn new(assignment: &PolicyAssignment, definitions: &PolicyDefinitions) -> Option<Self> {
        let non_empty = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
        let properties = assignment.properties.as_ref();
        let name = assignment.name.clone().unwrap_or_default();
        let display_name = non_empty(properties.and_then(|properties| properties.display_name.as_ref()));
        Some(Self {
            effect: definitions.effect(assignment)?,
            display_name: display_name.unwrap_or_else(|| name.clone()),
            scope: non_empty(properties.and_then(|properties| properties.scope.as_ref())).unwrap_or_default(),
            name,
        })
    }
}

/// The scopes and resources to which an assignment applies.
struct Reach {
    /// Whether the scope is a resource group, so that the assignment does not apply to the node resource group of a cluster.
    is_group_scope: bool,
    /// Whether the assignment excludes some resources or scopes.
    is_restricted: bool,
}

impl Reach {
    fn new(assignment: &PolicyAssignment) -> Self {
        let properties = assignment.properties.as_ref();
        let scope = properties.and_then(|properties| properties.scope.as_deref()).unwrap_or_default();
        Self {
            is_group_scope: scope.to_ascii_lowercase().contains("/resourcegroups/"),
            is_restricted: properties.is_some_and(|properties| {
                !properties.not_scopes.is_empty() || !properties.resource_selectors.is_empty()
            }),
        }
    }

    fn includes(&self, resource_type: &ResourceType) -> bool {
        !self.is_group_scope || resource_type.scope == CreationScope::ClusterGroup
    }
}

/// The values of parameters, with defaults for parameters without a value.
fn with_defaults<'a>(
    values: impl Iterator<Item = (&'a String, &'a ParameterValue)>,
    defaults: impl Iterator<Item = (&'a String, &'a ParameterDefinition)>,
) -> Values {
    let entry =
        |name: &String, value: &Option<PolicyValue>| Some((name.to_ascii_lowercase(), value.clone()?));
    let defaults = defaults.filter_map(|(name, definition)| entry(name, &definition.default_value));
    let values = values.filter_map(|(name, parameter)| entry(name, &parameter.value));
    defaults.chain(values).collect()
}

/// The effect of a definition with these values of its parameters; `None` if it denies nothing that affects clusters.
fn effect(reach: &Reach, values: Values, definition: &Resource<PolicyDefinition>) -> Option<PolicyEffect> {
    let unknown = |reason: &str| Some(PolicyEffect::Unknown(reason.to_owned()));
    let Some(properties) = definition.view.properties.as_ref() else {
        return unknown("its definition has no properties");
    };
    let mode = properties.mode.as_deref().unwrap_or_default();
    if mode.eq_ignore_ascii_case(KUBERNETES_DATA_MODE) {
        return None;
    }
    let mut all_values = with_defaults(std::iter::empty(), properties.parameters.iter());
    all_values.extend(values);
    let affected =
        AffectedTypes::new(reach, mode, definition.raw.pointer("/properties/policyRule/if"), &all_values);
    if affected.types.is_empty() {
        return None;
    }
    let effect = properties.policy_rule.as_ref().and_then(|rule| rule.then.as_ref()?.effect.as_deref());
    let effect = match effect.map(|text| (text, parse_parameter_reference(text))) {
        Some((_, Some(name))) => match all_values.get(&name) {
            Some(PolicyValue::Text(text)) => Some(text.as_str()),
            _ => None,
        },
        Some((text, None)) => Some(text),
        None => None,
    };
    match effect.map(|text| parse_literal(text).map(str::to_ascii_lowercase)) {
        None => unknown("its definition specifies no effect"),
        Some(None) => unknown("its effect is an expression"),
        Some(Some(effect)) => match effect.as_str() {
            "deny" => Some(PolicyEffect::Denies(affected.denied_writes(reach))),
            "denyaction" => affected.denied_deletes().map(PolicyEffect::Denies),
            _ => None,
        },
    }
}

/// The types of resources that a rule may affect.
struct AffectedTypes {
    /// Each type, and whether the rule certainly applies to all resources of the type.
    types: Vec<(&'static ResourceType, bool)>,
    /// Whether `types` contains all types that a policy of this mode and scope can affect.
    is_all: bool,
}

impl AffectedTypes {
    fn new(reach: &Reach, mode: &str, condition: Option<&Value>, values: &Values) -> Self {
        let is_indexed = mode.eq_ignore_ascii_case("Indexed");
        let possible = TYPES.iter().filter(|resource_type| {
            reach.includes(resource_type) && (resource_type.is_indexed || !is_indexed)
        });
        let possible: Vec<&ResourceType> = possible.collect();
        let affected_types = possible.iter().filter_map(|resource_type| {
            let is_met = condition.and_then(|condition| holds(condition, resource_type.name, values));
            (is_met != Some(false)).then_some((*resource_type, is_met == Some(true)))
        });
        let types: Vec<_> = affected_types.collect();
        Self { is_all: types.len() == possible.len(), types }
    }

    fn denied_writes(&self, reach: &Reach) -> Denied {
        let is_certain = !reach.is_restricted && !reach.is_group_scope;
        let essentials = self.types.iter().filter(|(resource_type, is_always_met)| {
            is_certain && *is_always_met && resource_type.is_essential
        });
        Denied {
            essentials: essentials.map(|(resource_type, _)| resource_type.description).collect(),
            writes: Some(self.resources(|_| true)),
            deletes: None,
        }
    }

    /// `denyAction` denies only deleting (<https://learn.microsoft.com/azure/governance/policy/concepts/effect-deny-action>).
    fn denied_deletes(&self) -> Option<Denied> {
        let is_deleted = |resource_type: &ResourceType| resource_type.is_deleted;
        self.types
            .iter()
            .any(|(resource_type, _)| is_deleted(resource_type))
            .then(|| Denied { deletes: Some(self.resources(is_deleted)), ..Denied::default() })
    }

    fn resources(&self, is_selected: impl Fn(&ResourceType) -> bool) -> Resources {
        if self.is_all {
            return Resources::All;
        }
        let mut descriptions = Vec::new();
        for (resource_type, _) in self.types.iter().filter(|(resource_type, _)| is_selected(resource_type)) {
            push_unique(&mut descriptions, resource_type.description);
        }
        Resources::Some(descriptions)
    }
}

fn push_unique(list: &mut Vec<&'static str>, item: &'static str) {
    if !list.contains(&item) {
        list.push(item);
    }
}

impl PolicyEffect {
    /// The effect of two policies together. A denial is known even if the effect of the other policy is not.
    fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Denies(denied), Self::Denies(other)) => Self::Denies(denied.merge(other)),
            (denies @ Self::Denies(_), Self::Unknown(_)) | (Self::Unknown(_), denies @ Self::Denies(_)) => {
                denies
            }
            (unknown @ Self::Unknown(_), Self::Unknown(_)) => unknown,
        }
    }
}

impl Denied {
    fn merge(mut self, other: Self) -> Self {
        for description in other.essentials {
            push_unique(&mut self.essentials, description);
        }
        Self {
            essentials: self.essentials,
            writes: Resources::union(self.writes, other.writes),
            deletes: Resources::union(self.deletes, other.deletes),
        }
    }
}

impl Resources {
    fn union(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(Self::Some(mut descriptions)), Some(Self::Some(others))) => {
                for description in others {
                    push_unique(&mut descriptions, description);
                }
                Some(Self::Some(descriptions))
            }
            (Some(Self::All), _) | (_, Some(Self::All)) => Some(Self::All),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests;
