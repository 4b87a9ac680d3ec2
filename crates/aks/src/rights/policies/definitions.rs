//! The definitions of assigned policies and initiatives, and the selection of those that must be read.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::{Values, parse_literal, parse_parameter_reference};
use super::{PolicyEffect, Reach, effect, with_defaults};
use crate::arm::{Initiative, InitiativeMember, PolicyAssignment, PolicyDefinition, PolicyValue, Resource};

/// The start of the IDs of built-in definitions, which have no scope; in lower case.
const BUILT_IN_PREFIX: &str = "/providers/microsoft.authorization/policydefinitions/";

/// Definitions by resource ID in lower case, or the reason why they could not be read.
#[derive(Debug, Default)]
pub struct PolicyDefinitions {
    /// The initiatives.
    pub initiatives: BTreeMap<String, Result<Initiative, String>>,
    /// The policies.
    pub policies: BTreeMap<String, Result<Resource<PolicyDefinition>, String>>,
}

impl PolicyDefinitions {
    /// The IDs of the initiatives that must be read, at most `limit`.
    pub fn needed_initiatives(assignments: &[PolicyAssignment], limit: usize) -> Vec<String> {
        let ids = assignments.iter().filter(|assignment| is_evaluated(assignment)).map(definition_id);
        take_unique(ids.filter(|id| is_initiative(id)), limit)
    }

    /// The IDs of the policies that must be read, at most `limit`: first those that are assigned directly, then those
    /// of the initiatives that were read.
    pub fn needed_policies(&self, assignments: &[PolicyAssignment], limit: usize) -> Vec<String> {
        let evaluated = assignments.iter().filter(|assignment| is_evaluated(assignment));
        let direct = evaluated.clone().map(definition_id).filter(|id| !is_initiative(id));
        let members = evaluated.flat_map(|assignment| {
            let initiative =
                self.initiatives.get(&definition_id(assignment)).and_then(|read| read.as_ref().ok());
            initiative.into_iter().flat_map(|initiative| members_with_values(assignment, initiative))
        });
        let members = members.filter(|(member, values)| !is_known_harmless(member, values));
        take_unique(direct.chain(members.map(|(member, _)| member_id(member))), limit)
    }

    /// The effect of an assignment; `None` if it denies nothing that affects clusters.
    pub(super) fn effect(&self, assignment: &PolicyAssignment) -> Option<PolicyEffect> {
        let unknown = |reason: &str| Some(PolicyEffect::Unknown(reason.to_owned()));
        if !assignment.is_enforced() {
            return None;
        }
        if assignment.overrides_effect() {
            return unknown("the assignment overrides the effect of its definition");
        }
        let id = definition_id(assignment);
        if !is_initiative(&id) {
            let assigned_values = assignment.properties.iter().flat_map(|properties| &properties.parameters);
            return self.effect_of_policy(
                assignment,
                &id,
                with_defaults(assigned_values, std::iter::empty()),
            );
        }
        match self.initiatives.get(&id) {
            None => unknown(NOT_READ),
            Some(Err(reason)) => unknown(reason),
            Some(Ok(initiative)) => {
                let members = members_with_values(assignment, initiative);
                let members = members.filter(|(member, values)| !is_known_harmless(member, values));
                let effects = members.filter_map(|(member, values)| {
                    self.effect_of_policy(assignment, &member_id(member), values)
                });
                effects.reduce(PolicyEffect::merge)
            }
        }
    }

    fn effect_of_policy(
        &self,
        assignment: &PolicyAssignment,
        id: &str,
        values: Values,
    ) -> Option<PolicyEffect> {
        match self.policies.get(id) {
            None => Some(PolicyEffect::Unknown(NOT_READ.to_owned())),
            Some(Err(reason)) => Some(PolicyEffect::Unknown(reason.clone())),
            Some(Ok(definition)) => effect(&Reach::new(assignment), values, definition),
        }
    }
}

const NOT_READ: &str =
    "its definition was not read, because a check reads only a limited number of definitions";

/// The first `limit` distinct IDs.
fn take_unique(ids: impl Iterator<Item = String>, limit: usize) -> Vec<String> {
    let mut seen = BTreeSet::new();
    ids.filter(|id| seen.insert(id.clone())).take(limit).collect()
}

/// Whether the definition of an assignment determines its effect.
fn is_evaluated(assignment: &PolicyAssignment) -> bool {
    assignment.is_enforced() && !assignment.overrides_effect()
}

/// The ID of the definition of an assignment, in lower case.
fn definition_id(assignment: &PolicyAssignment) -> String {
    let properties = assignment.properties.as_ref();
    let id = properties.and_then(|properties| properties.policy_definition_id.as_deref());
    id.unwrap_or_default().to_ascii_lowercase()
}

fn is_initiative(id: &str) -> bool {
    id.contains("/policysetdefinitions/")
}

fn member_id(member: &InitiativeMember) -> String {
    member.policy_definition_id.as_deref().unwrap_or_default().to_ascii_lowercase()
}

/// The policies of an initiative, each with the values of its parameters.
fn members_with_values<'a>(
    assignment: &PolicyAssignment,
    initiative: &'a Initiative,
) -> impl Iterator<Item = (&'a InitiativeMember, Values)> + use<'a> {
    let assigned_values = assignment.properties.iter().flat_map(|properties| &properties.parameters);
    let defaults = initiative.properties.iter().flat_map(|properties| &properties.parameters);
    let initiative_values = with_defaults(assigned_values, defaults);
    let members = initiative.properties.iter().flat_map(|properties| &properties.policy_definitions);
    members.map(move |member| {
        let mut values = with_defaults(member.parameters.iter(), std::iter::empty());
        for value in values.values_mut() {
            let PolicyValue::Text(text) = value else { continue };
            if let Some(resolved) =
                parse_parameter_reference(text).and_then(|name| initiative_values.get(&name))
            {
                *value = resolved.clone();
            }
        }
        (member, values)
    })
}

/// Whether a member is a built-in policy whose effect is known and does not deny. The parameter `effect` of built-in policies
/// sets their effect; custom policies may use that name for something else.
fn is_known_harmless(member: &InitiativeMember, values: &Values) -> bool {
    let is_deny = |effect: &str| ["deny", "denyaction"].contains(&effect.to_ascii_lowercase().as_str());
    member_id(member).starts_with(BUILT_IN_PREFIX)
        && match values.get("effect") {
            Some(PolicyValue::Text(effect)) => parse_literal(effect).is_some_and(|effect| !is_deny(effect)),
            _ => false,
        }
}
