//! Policies that deny: the effect of an assignment, and the resources of clusters that it concerns
//! (<https://learn.microsoft.com/azure/governance/policy/concepts/definition-structure-policy-rule>). Exemptions are not known
//! here.

mod condition;
mod definitions;
mod resources;

use serde_json::Value;

use self::condition::{Values, holds, literal, parameter};
pub use self::definitions::PolicyDefinitions;
use self::resources::{Place, ResourceType, TYPES};
use crate::arm::{
    ParameterDefinition, ParameterValue, PolicyAssignment, PolicyDefinition, PolicyValue, Resource,
};

/// A policy or initiative that is assigned to a resource group, to the subscription or above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPolicy {
    /// The name of the assignment.
    pub name: String,
    /// The name that people see; the name if there is none.
    pub display_name: String,
    /// The resource ID of the scope of the assignment.
    pub scope: String,
    /// Its effect.
    pub effect: PolicyEffect,
}

/// The effect of an assigned policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyEffect {
    /// It denies requests for clusters, or may deny them.
    Denies(Denied),
    /// Not known, for this reason.
    Unknown(String),
}

/// The requests that a policy denies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// Resources that it never allows to create or change, although every cluster needs them; in words.
    pub essentials: Vec<&'static str>,
    /// The resources that it may not allow to create or change.
    pub writes: Option<Resources>,
    /// The resources that it may not allow to delete.
    pub deletes: Option<Resources>,
}

/// Resources that clusters consist of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resources {
    /// All of them.
    All,
    /// These, in words.
    Some(Vec<&'static str>),
}

/// The mode of policies that only look at objects inside clusters.
const IN_CLUSTER: &str = "Microsoft.Kubernetes.Data";

impl AssignedPolicy {
    /// The assignment with the effect of its definitions; `None` if it denies nothing that concerns clusters.
    pub fn new(assignment: &PolicyAssignment, definitions: &PolicyDefinitions) -> Option<Self> {
        let text = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
        let properties = assignment.properties.as_ref();
        let name = assignment.name.clone().unwrap_or_default();
        let display_name = text(properties.and_then(|properties| properties.display_name.as_ref()));
        Some(Self {
            effect: definitions.effect(assignment)?,
            display_name: display_name.unwrap_or_else(|| name.clone()),
            scope: text(properties.and_then(|properties| properties.scope.as_ref())).unwrap_or_default(),
            name,
        })
    }
}

/// Where and to what an assignment applies.
struct Reach {
    /// Whether it applies to a resource group only, so not to the node resource group of a cluster.
    is_of_group: bool,
    /// Whether it leaves out some resources or scopes.
    is_restricted: bool,
}

impl Reach {
    fn new(assignment: &PolicyAssignment) -> Self {
        let properties = assignment.properties.as_ref();
        let scope = properties.and_then(|properties| properties.scope.as_deref()).unwrap_or_default();
        Self {
            is_of_group: scope.to_ascii_lowercase().contains("/resourcegroups/"),
            is_restricted: properties.is_some_and(|properties| {
                !properties.not_scopes.is_empty() || !properties.resource_selectors.is_empty()
            }),
        }
    }

    fn includes(&self, kind: &ResourceType) -> bool {
        !self.is_of_group || kind.place == Place::ClusterGroup
    }
}

/// The values of parameters with the defaults of the others.
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

/// The effect of a definition with these values of its parameters; `None` if it denies nothing that concerns clusters.
fn effect(reach: &Reach, values: Values, definition: &Resource<PolicyDefinition>) -> Option<PolicyEffect> {
    let unknown = |reason: &str| Some(PolicyEffect::Unknown(reason.to_owned()));
    let Some(properties) = definition.view.properties.as_ref() else {
        return unknown("its definition has no properties");
    };
    let mode = properties.mode.as_deref().unwrap_or_default();
    if mode.eq_ignore_ascii_case(IN_CLUSTER) {
        return None;
    }
    let mut all = with_defaults(std::iter::empty(), properties.parameters.iter());
    all.extend(values);
    let concerned = Concerned::new(reach, mode, definition.raw.pointer("/properties/policyRule/if"), &all);
    if concerned.types.is_empty() {
        return None;
    }
    let written = properties.policy_rule.as_ref().and_then(|rule| rule.then.as_ref()?.effect.as_deref());
    let found = match written.map(|text| (text, parameter(text))) {
        Some((_, Some(name))) => match all.get(&name) {
            Some(PolicyValue::Text(text)) => Some(text.as_str()),
            _ => None,
        },
        Some((text, None)) => Some(text),
        None => None,
    };
    match found.map(|text| literal(text).map(str::to_ascii_lowercase)) {
        None => unknown("its definition names no effect"),
        Some(None) => unknown("its effect is an expression"),
        Some(Some(effect)) => match effect.as_str() {
            "deny" => Some(PolicyEffect::Denies(concerned.denied_writes(reach))),
            "denyaction" => concerned.denied_deletes().map(PolicyEffect::Denies),
            _ => None,
        },
    }
}

/// The types of resources that a rule may concern.
struct Concerned {
    /// Each with whether the rule applies to all resources of the type.
    types: Vec<(&'static ResourceType, bool)>,
    /// Whether there is no other type that a policy of this mode and scope could concern.
    is_all: bool,
}

impl Concerned {
    fn new(reach: &Reach, mode: &str, condition: Option<&Value>, values: &Values) -> Self {
        let is_indexed = mode.eq_ignore_ascii_case("Indexed");
        let possible = TYPES.iter().filter(|kind| reach.includes(kind) && (kind.is_indexed || !is_indexed));
        let possible: Vec<&ResourceType> = possible.collect();
        let concerned = possible.iter().filter_map(|kind| {
            let held = condition.and_then(|condition| holds(condition, kind.name, values));
            (held != Some(false)).then_some((*kind, held == Some(true)))
        });
        let types: Vec<_> = concerned.collect();
        Self { is_all: types.len() == possible.len(), types }
    }

    fn denied_writes(&self, reach: &Reach) -> Denied {
        let is_certain = !reach.is_restricted && !reach.is_of_group;
        let essentials =
            self.types.iter().filter(|(kind, always)| is_certain && *always && kind.is_essential);
        Denied {
            essentials: essentials.map(|(kind, _)| kind.description).collect(),
            writes: Some(self.resources(|_| true)),
            deletes: None,
        }
    }

    /// `denyAction` denies only deleting (<https://learn.microsoft.com/azure/governance/policy/concepts/effect-deny-action>).
    fn denied_deletes(&self) -> Option<Denied> {
        let is_deleted = |kind: &ResourceType| kind.is_deleted;
        self.types
            .iter()
            .any(|(kind, _)| is_deleted(kind))
            .then(|| Denied { deletes: Some(self.resources(is_deleted)), ..Denied::default() })
    }

    fn resources(&self, is_meant: impl Fn(&ResourceType) -> bool) -> Resources {
        if self.is_all {
            return Resources::All;
        }
        let mut words = Vec::new();
        for (kind, _) in self.types.iter().filter(|(kind, _)| is_meant(kind)) {
            add(&mut words, kind.description);
        }
        Resources::Some(words)
    }
}

fn add(words: &mut Vec<&'static str>, word: &'static str) {
    if !words.contains(&word) {
        words.push(word);
    }
}

impl PolicyEffect {
    /// The effect of two policies together. What one denies is known, whatever the other one does.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Denies(denied), Self::Denies(other)) => Self::Denies(denied.and(other)),
            (denies @ Self::Denies(_), Self::Unknown(_)) | (Self::Unknown(_), denies @ Self::Denies(_)) => {
                denies
            }
            (unknown @ Self::Unknown(_), Self::Unknown(_)) => unknown,
        }
    }
}

impl Denied {
    fn and(mut self, other: Self) -> Self {
        for word in other.essentials {
            add(&mut self.essentials, word);
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
            (Some(Self::Some(mut words)), Some(Self::Some(others))) => {
                for word in others {
                    add(&mut words, word);
                }
                Some(Self::Some(words))
            }
            (Some(Self::All), _) | (_, Some(Self::All)) => Some(Self::All),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests;
