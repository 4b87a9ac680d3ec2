//! The effects of assignments with different definitions.

use serde_json::json;

use super::*;
use crate::arm::Initiative;
use crate::testing::from_json;

const ID: &str = "/subscriptions/s/providers/microsoft.authorization/policydefinitions/";
const BUILT_IN: &str = "/providers/microsoft.authorization/policydefinitions/";
const INITIATIVE: &str = "/subscriptions/s/providers/microsoft.authorization/policysetdefinitions/set";
const AKS: &str = "Microsoft.ContainerService/managedClusters";
const VMSS: &str = "Microsoft.Compute/virtualMachineScaleSets";

/// The definitions, each with its ID.
fn definitions(list: &[(&str, &Value)]) -> PolicyDefinitions {
    let policies = list
        .iter()
        .map(|(id, definition)| ((*id).to_owned(), Ok(Resource::new((*definition).clone()).unwrap())));
    PolicyDefinitions { policies: policies.collect(), ..PolicyDefinitions::default() }
}

/// The effect of an assignment with these properties of a definition.
fn assigned(properties: Value, definition: &Value) -> Option<PolicyEffect> {
    let mut assignment = json!({"name": "a", "properties": {"policyDefinitionId": format!("{ID}A")}});
    for (key, value) in properties.as_object().unwrap() {
        assignment["properties"][key] = value.clone();
    }
    let policy =
        AssignedPolicy::new(&from_json(assignment), &definitions(&[(&format!("{ID}a"), definition)]));
    policy.map(|policy| policy.effect)
}

fn rule(mode: &str, condition: &Value, effect: &str) -> Value {
    json!({"properties": {"mode": mode, "policyRule": {"if": condition, "then": {"effect": effect}}}})
}

fn denies_everything() -> PolicyEffect {
    PolicyEffect::Denies(Denied { writes: Some(Resources::All), ..Denied::default() })
}

fn unknown_effect(reason: &str) -> PolicyEffect {
    PolicyEffect::Unknown(reason.to_owned())
}

/// The denials of a policy with this condition.
fn denied(mode: &str, condition: Value, effect: &str) -> Option<Denied> {
    match assigned(json!({}), &rule(mode, &condition, effect)) {
        Some(PolicyEffect::Denies(denied)) => Some(denied),
        None => None,
        other => panic!("{condition}: {other:?}"),
    }
}

fn describe(resources: Option<&Resources>) -> String {
    match resources {
        None => "none".to_owned(),
        Some(Resources::All) => "all".to_owned(),
        Some(Resources::Some(descriptions)) => descriptions.join("; "),
    }
}

#[test]
fn effect_is_from_the_assignment_else_from_the_definition() {
    let rule = |effect: &str| {
        json!({"properties": {
            "parameters": {"effect": {"type": "String", "defaultValue": "Deny"}, "other": {"defaultValue": 1}},
            "policyRule": {"if": {"field": "location", "notIn": ["westeurope"]}, "then": {"effect": effect}},
        }})
    };
    let by_parameter = "[parameters('effect')]";
    for (properties, definition, expected) in [
        (json!({}), rule("deny"), Some(denies_everything())),
        (json!({}), rule("Deny"), Some(denies_everything())),
        (json!({"enforcementMode": "Default"}), rule("deny"), Some(denies_everything())),
        (json!({"enforcementMode": "DoNotEnforce"}), rule("deny"), None),
        (json!({}), rule("audit"), None),
        (json!({}), rule(by_parameter), Some(denies_everything())),
        (json!({"parameters": {"effect": {"value": "Audit"}}}), rule(by_parameter), None),
        (json!({"parameters": {"EFFECT": {"value": "Disabled"}}}), rule(by_parameter), None),
        (
            json!({}),
            rule("[parameters('other')]"),
            Some(unknown_effect("its definition specifies no effect")),
        ),
        (json!({}), rule("[if(true,'deny','')]"), Some(unknown_effect("its effect is an expression"))),
        (json!({}), json!({}), Some(unknown_effect("its definition has no properties"))),
        (json!({}), json!({"properties": {}}), Some(unknown_effect("its definition specifies no effect"))),
    ] {
        assert_eq!(assigned(properties.clone(), &definition), expected, "{properties} {definition}");
    }
}

#[test]
fn override_of_the_effect_is_unknown() {
    let definition = rule("All", &json!({"field": "location", "exists": true}), "audit");
    for (properties, is_unknown) in [
        (json!({"overrides": [{"kind": "policyEffect", "value": "deny"}]}), true),
        (json!({"overrides": [{"kind": "PolicyEffect", "value": "disabled", "selectors": []}]}), true),
        (json!({"overrides": [{"kind": "definitionVersion", "value": "1.*"}]}), false),
        (json!({"overrides": []}), false),
        (json!({"overrides": [{"kind": "policyEffect"}], "enforcementMode": "DoNotEnforce"}), false),
    ] {
        let expected = if is_unknown {
            Some(unknown_effect("the assignment overrides the effect of its definition"))
        } else {
            None
        };
        assert_eq!(assigned(properties.clone(), &definition), expected, "{properties}");
    }
}

#[test]
fn policy_for_other_types_does_not_affect_clusters() {
    let sql = json!({"field": "type", "equals": "Microsoft.Sql/servers"});
    for condition in [
        sql.clone(),
        json!({"allOf": [sql, {"field": "x", "exists": true}]}),
        json!({"allOf": [{"field": "x", "exists": true}, {"anyOf": [sql]}]}),
        json!({"field": "type", "in": ["Microsoft.Sql/servers"]}),
        json!({"field": "type", "like": "Microsoft.Sql/*"}),
    ] {
        assert_eq!(denied("All", condition.clone(), "deny"), None, "{condition}");
        assert_eq!(denied("All", condition.clone(), "denyAction"), None, "{condition}");
    }
    let aks = json!({"field": "type", "equals": AKS});
    assert_eq!(denied("Microsoft.Kubernetes.Data", aks, "deny"), None);
}

#[test]
fn affected_types_are_described() {
    let aks = json!({"allOf": [{"field": "type", "equals": AKS}, {"field": "x", "exists": true}]});
    for (condition, expected) in [
        (aks, "clusters"),
        (json!({"not": {"field": "type", "in": ["Microsoft.Sql/servers"]}}), "all"),
        (json!({"field": "type", "in": "[parameters('types')]"}), "all"),
        (json!({"field": "type", "notEquals": "Microsoft.Sql/servers"}), "all"),
        (json!({"field": "tags['cost']", "exists": "false"}), "all"),
    ] {
        let denied = denied("All", condition.clone(), "deny").unwrap();
        assert_eq!(describe(denied.writes.as_ref()), expected, "{condition}");
    }
}

#[test]
fn resources_of_the_node_resource_group_are_affected() {
    for (name, expected) in [
        ("Microsoft.Compute/virtualMachineScaleSets", "virtual machine scale sets"),
        ("Microsoft.Compute/disks", "disks"),
        ("Microsoft.Network/loadBalancers", "load balancers"),
        ("Microsoft.Network/publicIPAddresses", "public IP addresses"),
        ("Microsoft.Network/natGateways", "NAT gateways"),
        ("Microsoft.Network/networkInterfaces", "private endpoints"),
        ("Microsoft.Network/networkSecurityGroups", "network security groups"),
        ("Microsoft.Network/routeTables", "route tables"),
        ("Microsoft.Network/virtualNetworks", "virtual networks"),
        ("Microsoft.Network/privateEndpoints", "private endpoints"),
        ("Microsoft.Network/privateDnsZones", "private endpoints"),
        ("Microsoft.ManagedIdentity/userAssignedIdentities", "user-assigned identities"),
        ("Microsoft.Resources/subscriptions/resourceGroups", "resource groups"),
    ] {
        let condition = json!({"allOf": [{"field": "type", "equals": name}, {"field": "x", "exists": true}]});
        let denied = denied("All", condition.clone(), "deny").unwrap_or_default();
        assert!(describe(denied.writes.as_ref()).starts_with(expected), "{name}: {denied:?}");
        assert_eq!(denied.essentials, Vec::<&str>::new(), "{name}");
        // An assignment to the resource group of a cluster does not apply to the node resource group.
        let effect_on_group = assigned(
            json!({"scope": "/subscriptions/s/resourceGroups/shop"}),
            &rule("All", &condition, "deny"),
        );
        assert_eq!(effect_on_group, None, "{name}");
    }
}

#[test]
fn denial_of_essentials_is_certain_only_if_unconditional() {
    let is_type = |name: &str| json!({"field": "type", "equals": name});
    for (properties, condition, is_certain) in [
        (json!({}), is_type(VMSS), true),
        (json!({}), is_type(AKS), true),
        (json!({}), json!({"allOf": [is_type(VMSS), {"value": "[field('type')]", "exists": true}]}), true),
        (json!({}), json!({"allOf": [is_type(VMSS), {"field": "location", "equals": "eastus"}]}), false),
        (json!({}), is_type("Microsoft.Network/publicIPAddresses"), false),
        (json!({"notScopes": ["/subscriptions/s/resourceGroups/shop"]}), is_type(VMSS), false),
        (json!({"resourceSelectors": [{"name": "eastus"}]}), is_type(VMSS), false),
        (json!({"scope": "/subscriptions/s/resourceGroups/shop"}), is_type(AKS), false),
    ] {
        let effect = assigned(properties.clone(), &rule("Indexed", &condition, "deny"));
        let Some(PolicyEffect::Denies(denied)) = effect else {
            panic!("{properties} {condition}: {effect:?}")
        };
        assert_eq!(!denied.essentials.is_empty(), is_certain, "{properties} {condition}");
    }
}

#[test]
fn lists_of_types_are_read_from_parameters() {
    // The built-in policies "Not allowed resource types" and "Allowed resource types".
    let types = json!({"field": "type", "in": "[parameters('types')]"});
    let allowed = rule("Indexed", &json!({"not": types}), "deny");
    let not_allowed = rule("All", &types, "deny");
    let with_types = |types: &[&str]| json!({"parameters": {"types": {"value": types}}});
    let essentials = |effect: Option<PolicyEffect>| match effect {
        Some(PolicyEffect::Denies(denied)) => Some(denied.essentials.len()),
        _ => None,
    };
    assert_eq!(essentials(assigned(with_types(&["Microsoft.Sql/servers"]), &not_allowed)), None);
    assert_eq!(essentials(assigned(with_types(&["Microsoft.Sql/servers", VMSS]), &not_allowed)), Some(1));
    assert_eq!(essentials(assigned(with_types(&[AKS]), &allowed)), Some(1));
    let all: Vec<&str> = TYPES.iter().map(|resource_type| resource_type.name).collect();
    assert_eq!(assigned(with_types(&all), &allowed), None);
    // The mode Indexed does not evaluate types without tags.
    let indexed: Vec<&str> = TYPES
        .iter()
        .filter(|resource_type| resource_type.is_indexed)
        .map(|resource_type| resource_type.name)
        .collect();
    assert_eq!(assigned(with_types(&indexed), &allowed), None);
}

#[test]
fn deny_action_denies_deleting() {
    for (condition, expected) in [
        (json!({"field": "type", "equals": AKS}), "clusters"),
        (json!({"field": "type", "in": [AKS, "Microsoft.Sql/servers"]}), "clusters"),
        (json!({"field": "type", "equals": VMSS}), "virtual machine scale sets (node pools)"),
        (json!({"field": "tags['keep']", "exists": "true"}), "all"),
        // Not deleted by this server, and not with a cluster.
        (json!({"field": "type", "equals": "Microsoft.OperationalInsights/workspaces"}), "none"),
    ] {
        let denied = denied("Indexed", condition.clone(), "denyAction").unwrap_or_default();
        assert_eq!(describe(denied.deletes.as_ref()), expected, "{condition}");
        assert_eq!((denied.writes, denied.essentials), (None, vec![]), "{condition}");
    }
}

fn initiative(members: &Value) -> Initiative {
    from_json(json!({"properties": {
        "parameters": {"mode": {"type": "String", "defaultValue": "Audit"}},
        "policyDefinitions": members,
    }}))
}

fn initiative_assignment(properties: Value) -> PolicyAssignment {
    let mut assignment = json!({"name": "s", "properties": {"policyDefinitionId": INITIATIVE}});
    for (key, value) in properties.as_object().unwrap() {
        assignment["properties"][key] = value.clone();
    }
    from_json(assignment)
}

#[test]
fn initiative_denies_what_its_members_deny() {
    let location = rule("Indexed", &json!({"field": "location", "exists": "true"}), "[parameters('effect')]");
    let disks = rule("All", &json!({"field": "type", "equals": "Microsoft.Compute/disks"}), "deny");
    let deny_delete = rule("All", &json!({"field": "type", "equals": AKS}), "denyAction");
    let (location_id, disks_id, deny_delete_id) =
        (format!("{ID}location"), format!("{ID}disks"), format!("{ID}deny_delete"));
    let member = |id: &str, effect: &str| json!({"policyDefinitionId": id, "parameters": {"effect": {"value": effect}}});
    let by_mode = member(&location_id, "[parameters('mode')]");
    let effect = |assignment: Value, members: Value| {
        let mut definitions =
            definitions(&[(&location_id, &location), (&disks_id, &disks), (&deny_delete_id, &deny_delete)]);
        definitions.initiatives.insert(INITIATIVE.to_owned(), Ok(initiative(&members)));
        AssignedPolicy::new(&initiative_assignment(assignment), &definitions).map(|policy| policy.effect)
    };
    assert_eq!(effect(json!({}), json!([])), None);
    assert_eq!(effect(json!({}), json!([by_mode])), None);
    assert_eq!(
        effect(json!({"parameters": {"mode": {"value": "Deny"}}}), json!([by_mode])),
        Some(denies_everything())
    );
    assert_eq!(
        effect(json!({}), json!([member(&location_id, "Deny"), {"policyDefinitionId": disks_id}])),
        Some(denies_everything())
    );
    // A custom policy may use the parameter `effect` for something else.
    let Some(PolicyEffect::Denies(denied)) = effect(
        json!({}),
        json!([by_mode, member(&disks_id, "Audit"), {"policyDefinitionId": deny_delete_id}]),
    ) else {
        panic!("the initiative should deny");
    };
    assert_eq!(describe(denied.writes.as_ref()), "disks (clusters with persistent volumes)");
    assert_eq!(describe(denied.deletes.as_ref()), "clusters");
    let missing = json!([{"policyDefinitionId": format!("{ID}missing")}]);
    assert!(matches!(effect(json!({}), missing.clone()), Some(PolicyEffect::Unknown(_))));
    assert_eq!(effect(json!({"enforcementMode": "DoNotEnforce"}), missing), None);
    assert!(matches!(
        effect(
            json!({}),
            json!([{"policyDefinitionId": format!("{ID}missing")}, {"policyDefinitionId": disks_id}])
        ),
        Some(PolicyEffect::Denies(_))
    ));
}

#[test]
fn only_needed_definitions_are_read() {
    let direct = |id: &str, mode: &str| {
        from_json(json!({"properties": {"policyDefinitionId": id, "enforcementMode": mode}}))
    };
    let built_in = |name: &str, effect: &str| json!({"policyDefinitionId": format!("{BUILT_IN}{name}"), "parameters": {"effect": {"value": effect}}});
    let assignments: [PolicyAssignment; 5] = [
        initiative_assignment(json!({})),
        direct(&format!("{ID}B"), "Default"),
        direct(&format!("{ID}b"), "Default"),
        direct(&format!("{ID}c"), "DoNotEnforce"),
        initiative_assignment(json!({"overrides": [{"kind": "policyEffect"}]})),
    ];
    assert_eq!(PolicyDefinitions::needed_initiatives(&assignments, 5), [INITIATIVE]);
    assert_eq!(PolicyDefinitions::needed_initiatives(&assignments, 0), [""; 0]);
    let mut definitions = PolicyDefinitions::default();
    assert_eq!(definitions.needed_policies(&assignments, 5), [format!("{ID}b")]);
    let members = json!([
        built_in("audit", "AuditIfNotExists"),
        built_in("mode", "[parameters('mode')]"),
        built_in("deny", "Deny"),
        built_in("open", "[parameters('none')]"),
        {"policyDefinitionId": format!("{ID}custom"), "parameters": {"effect": {"value": "Audit"}}},
    ]);
    definitions.initiatives.insert(INITIATIVE.to_owned(), Ok(initiative(&members)));
    let all = [format!("{ID}b"), format!("{BUILT_IN}deny"), format!("{BUILT_IN}open"), format!("{ID}custom")];
    assert_eq!(definitions.needed_policies(&assignments, 5), all);
    assert_eq!(definitions.needed_policies(&assignments, 2), all[..2]);
}

#[test]
fn unreadable_definition_is_unknown() {
    let assignment: PolicyAssignment = from_json(json!({"name": "a", "properties": {
        "displayName": "Allowed locations", "scope": "/subscriptions/s", "policyDefinitionId": format!("{ID}A"),
    }}));
    let mut definitions = PolicyDefinitions::default();
    let policy = AssignedPolicy::new(&assignment, &definitions).unwrap();
    assert_eq!(
        policy.effect,
        unknown_effect(
            "its definition was not read, because a check reads only a limited number of definitions"
        )
    );
    definitions.policies.insert(format!("{ID}a"), Err("denied".to_owned()));
    let policy = AssignedPolicy::new(&assignment, &definitions).unwrap();
    assert_eq!(
        (policy.display_name.as_str(), policy.scope.as_str()),
        ("Allowed locations", "/subscriptions/s")
    );
    assert_eq!(policy.effect, unknown_effect("denied"));
}
