//! Policies that deny: the effect of an assignment, and whether it concerns clusters
//! (<https://learn.microsoft.com/azure/governance/policy/concepts/definition-structure-policy-rule>).

use serde_json::Value;

use crate::arm::{PolicyAssignment, PolicyDefinition, Resource};

/// A policy that is assigned to the subscription or above it.
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
    /// It denies requests that concern clusters, or may concern them.
    Denies,
    /// It denies nothing, or only requests that have nothing to do with clusters.
    Harmless,
    /// Not known, for this reason.
    Unknown(String),
}

/// The types of resources that the creation of a cluster writes, in lower case.
const TYPES: [&str; 6] = [
    "microsoft.containerservice/managedclusters",
    "microsoft.containerservice/managedclusters/agentpools",
    "microsoft.operationalinsights/workspaces",
    "microsoft.operationsmanagement/solutions",
    "microsoft.resources/subscriptions/resourcegroups",
    "microsoft.resources/resourcegroups",
];

/// The mode of policies that only look at objects inside clusters.
const IN_CLUSTER: &str = "Microsoft.Kubernetes.Data";

impl AssignedPolicy {
    /// The assignment with the effect of its definition, or the reason why that is not known.
    pub fn new(
        assignment: &PolicyAssignment,
        definition: Result<&Resource<PolicyDefinition>, String>,
    ) -> Self {
        let text = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
        let properties = assignment.properties.as_ref();
        let name = assignment.name.clone().unwrap_or_default();
        let display_name = text(properties.and_then(|properties| properties.display_name.as_ref()));
        let effect = match definition {
            _ if !assignment.is_enforced() => PolicyEffect::Harmless,
            Ok(definition) => effect(assignment, definition),
            Err(reason) => PolicyEffect::Unknown(reason),
        };
        Self {
            display_name: display_name.unwrap_or_else(|| name.clone()),
            scope: text(properties.and_then(|properties| properties.scope.as_ref())).unwrap_or_default(),
            name,
            effect,
        }
    }
}

fn effect(assignment: &PolicyAssignment, definition: &Resource<PolicyDefinition>) -> PolicyEffect {
    let Some(properties) = definition.view.properties.as_ref() else {
        return PolicyEffect::Unknown("its definition has no properties".to_owned());
    };
    let written = properties
        .policy_rule
        .as_ref()
        .and_then(|rule| rule.then.as_ref())
        .and_then(|then| then.effect.as_deref());
    let effect = match written.map(parameter) {
        None => None,
        Some(Effect::Word(word)) => Some(word.to_owned()),
        Some(Effect::Parameter(name)) => {
            let given = assignment.parameter(name);
            given.or_else(|| properties.default_of(name)).map(str::to_owned)
        }
    };
    match effect {
        None => PolicyEffect::Unknown("its definition names no effect".to_owned()),
        Some(effect) if effect.starts_with('[') => {
            PolicyEffect::Unknown("its effect is an expression".to_owned())
        }
        Some(effect) if !effect.eq_ignore_ascii_case("deny") => PolicyEffect::Harmless,
        _ if properties.mode.as_deref().is_some_and(|mode| mode.eq_ignore_ascii_case(IN_CLUSTER)) => {
            PolicyEffect::Harmless
        }
        _ if may_concern_clusters(&definition.raw) => PolicyEffect::Denies,
        _ => PolicyEffect::Harmless,
    }
}

/// The effect as a definition has it.
enum Effect<'a> {
    Word(&'a str),
    /// The value of the parameter with this name.
    Parameter(&'a str),
}

fn parameter(effect: &str) -> Effect<'_> {
    let inner = effect.strip_prefix("[parameters('").and_then(|rest| rest.strip_suffix("')]"));
    inner.map_or(Effect::Word(effect), Effect::Parameter)
}

/// Whether the rule may apply to a resource of a cluster: it does not if it requires another type.
fn may_concern_clusters(definition: &Value) -> bool {
    let Some(condition) = definition.pointer("/properties/policyRule/if") else { return true };
    let all_of = condition.get("allOf").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut required = std::iter::once(condition).chain(all_of).filter_map(required_types);
    required.all(|types| types.iter().any(|name| TYPES.contains(&name.to_ascii_lowercase().as_str())))
}

/// The types that a condition on the field `type` allows; `None` for other conditions, and for expressions.
fn required_types(condition: &Value) -> Option<Vec<&str>> {
    let field = condition.get("field")?.as_str()?;
    if !field.eq_ignore_ascii_case("type") {
        return None;
    }
    let types = match (condition.get("equals"), condition.get("in")) {
        (Some(one), _) => vec![one.as_str()?],
        (_, Some(list)) => list.as_array()?.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    types.iter().all(|name| !name.starts_with('[')).then_some(types)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn assigned(assignment: Value, definition: Value) -> PolicyEffect {
        let assignment: PolicyAssignment = serde_json::from_value(assignment).unwrap();
        let definition = Resource::new(definition).unwrap();
        AssignedPolicy::new(&assignment, Ok(&definition)).effect
    }

    #[test]
    fn effect_is_that_of_the_assignment_then_of_the_definition() {
        let with = |mode: &str, parameters: Value| json!({"name": "a", "properties": {"enforcementMode": mode, "parameters": parameters}});
        let rule = |effect: &str| {
            json!({"properties": {
                "parameters": {"effect": {"type": "String", "defaultValue": "Deny"}, "other": {"defaultValue": 1}},
                "policyRule": {"if": {"field": "location", "notIn": ["westeurope"]}, "then": {"effect": effect}},
            }})
        };
        let unknown = |reason: &str| PolicyEffect::Unknown(reason.to_owned());
        for (assignment, definition, expected) in [
            (with("Default", json!({})), rule("deny"), PolicyEffect::Denies),
            (with("Default", json!({})), rule("Deny"), PolicyEffect::Denies),
            (json!({"name": "a"}), rule("deny"), PolicyEffect::Denies),
            (with("DoNotEnforce", json!({})), rule("deny"), PolicyEffect::Harmless),
            (with("Default", json!({})), rule("audit"), PolicyEffect::Harmless),
            (with("Default", json!({})), rule("[parameters('effect')]"), PolicyEffect::Denies),
            (
                with("Default", json!({"effect": {"value": "Audit"}})),
                rule("[parameters('effect')]"),
                PolicyEffect::Harmless,
            ),
            (
                with("Default", json!({"EFFECT": {"value": "Disabled"}})),
                rule("[parameters('effect')]"),
                PolicyEffect::Harmless,
            ),
            (
                with("Default", json!({})),
                rule("[parameters('other')]"),
                unknown("its definition names no effect"),
            ),
            (
                with("Default", json!({})),
                rule("[if(true,'deny','')]"),
                unknown("its effect is an expression"),
            ),
            (with("Default", json!({})), json!({}), unknown("its definition has no properties")),
            (
                with("Default", json!({})),
                json!({"properties": {}}),
                unknown("its definition names no effect"),
            ),
        ] {
            assert_eq!(
                assigned(assignment.clone(), definition.clone()),
                expected,
                "{assignment} {definition}"
            );
        }
    }

    #[test]
    fn policy_for_other_types_is_harmless() {
        let with_rule = |mode: &str, condition: Value| {
            let definition = json!({"properties": {
                "mode": mode, "policyRule": {"if": condition, "then": {"effect": "deny"}},
            }});
            assigned(json!({"name": "a"}), definition)
        };
        let aks = "Microsoft.ContainerService/managedClusters";
        for (condition, expected) in [
            (json!({"field": "type", "equals": aks}), PolicyEffect::Denies),
            (json!({"field": "type", "equals": "Microsoft.Storage/storageAccounts"}), PolicyEffect::Harmless),
            (
                json!({"allOf": [{"field": "type", "equals": "Microsoft.Storage/storageAccounts"}, {"field": "x", "exists": true}]}),
                PolicyEffect::Harmless,
            ),
            (
                json!({"allOf": [{"field": "type", "in": ["Microsoft.Sql/servers", aks]}]}),
                PolicyEffect::Denies,
            ),
            (json!({"field": "type", "in": ["Microsoft.Sql/servers"]}), PolicyEffect::Harmless),
            (json!({"not": {"field": "type", "in": ["Microsoft.Sql/servers"]}}), PolicyEffect::Denies),
            (json!({"field": "type", "in": "[parameters('types')]"}), PolicyEffect::Denies),
            (json!({"field": "type", "notEquals": "Microsoft.Sql/servers"}), PolicyEffect::Denies),
            (json!({"field": "tags['cost']", "exists": "false"}), PolicyEffect::Denies),
        ] {
            assert_eq!(with_rule("Indexed", condition.clone()), expected, "{condition}");
        }
        let in_cluster = with_rule("Microsoft.Kubernetes.Data", json!({"field": "type", "equals": aks}));
        assert_eq!(in_cluster, PolicyEffect::Harmless);
    }

    #[test]
    fn unreadable_definition_is_unknown() {
        let assignment: PolicyAssignment = serde_json::from_value(json!({
            "name": "a",
            "properties": {"displayName": "Allowed locations", "scope": "/subscriptions/s"},
        }))
        .unwrap();
        let policy = AssignedPolicy::new(&assignment, Err("denied".to_owned()));
        assert_eq!(
            (policy.display_name.as_str(), policy.scope.as_str()),
            ("Allowed locations", "/subscriptions/s")
        );
        assert_eq!(policy.effect, PolicyEffect::Unknown("denied".to_owned()));
    }
}
