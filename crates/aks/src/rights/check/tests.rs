//! Checks of credentials with different roles.

use super::*;
use crate::arm::{Permission, Subscription};
use crate::rights::{Denied, PolicyEffect, Purpose, Resources, ScopeRights};

const CLIENT_ID: &str = "c0ffee00-0001-4000-8000-000000000001";
const AKS_ROLE: &str = "Azure Kubernetes Service Contributor Role";

fn role(name: &str) -> Permission {
    super::super::built_in_roles::find(name).unwrap().permission()
}

fn custom_role(actions: &[&str], not_actions: &[&str]) -> Permission {
    let strings = |list: &[&str]| list.iter().map(|action| (*action).to_owned()).collect();
    Permission { actions: strings(actions), not_actions: strings(not_actions) }
}

fn rights(group: Option<&str>, roles: &[Permission]) -> ScopeRights {
    let scope = Scope { subscription: "s".to_owned(), group: group.map(str::to_owned) };
    ScopeRights { scope, exists: true, roles: Ok(roles.to_vec()) }
}

fn input(scopes: Vec<ScopeRights>) -> RightsInput {
    let providers = ["Microsoft.ContainerService", "Microsoft.Compute", "Microsoft.OperationalInsights"];
    RightsInput {
        client_id: CLIENT_ID.to_owned(),
        subscription: SubscriptionState::Known(Subscription { state: Some("Enabled".to_owned()) }),
        scopes,
        providers: providers
            .map(|namespace| Registration { namespace, state: Ok("Registered".to_owned()) })
            .to_vec(),
        policies: Ok(Vec::new()),
    }
}

fn reason_codes(check: &CredentialCheck) -> Vec<&'static str> {
    check.reasons.iter().map(|reason| reason.code).collect()
}

fn proposed_roles(check: &CredentialCheck) -> Vec<(&'static str, Option<&str>, Option<Condition>)> {
    let assignments = check.assignments.iter();
    assignments
        .map(|assignment| (assignment.role, assignment.scope.group.as_deref(), assignment.condition))
        .collect()
}

fn unregister(input: &mut RightsInput, namespace: &str) {
    for provider in input.providers.iter_mut().filter(|provider| provider.namespace == namespace) {
        provider.state = Ok("NotRegistered".to_owned());
    }
}

#[test]
fn contributor_on_the_subscription_can_do_everything() {
    for groups in [&[][..], &["a", "b"]] {
        let contributor = [role("Contributor")];
        let mut scopes = vec![rights(None, &contributor)];
        scopes.extend(groups.iter().map(|group| rights(Some(group), &contributor)));
        let check = check(input(scopes));
        assert_eq!((check.verdict, reason_codes(&check)), (Verdict::Usable, vec![]), "{groups:?}");
        assert!(check.operations.iter().all(|operation| operation.decision == Decision::Allowed));
        assert_eq!((check.assignments.len(), check.unchecked.len()), (0, 0));
    }
}

#[test]
fn reader_can_only_list() {
    let check = check(input(vec![rights(None, &[role("Reader")])]));
    assert_eq!(check.verdict, Verdict::Unusable);
    assert_eq!(reason_codes(&check), ["createDenied", "importDenied", "changeDenied", "deleteDenied"]);
    assert_eq!(
        proposed_roles(&check),
        [
            (AKS_ROLE, None, None),
            ("Contributor", None, Some(Condition::NewResourceGroup)),
            ("Network Contributor", None, Some(Condition::OwnNetwork)),
            ("Log Analytics Contributor", None, Some(Condition::Monitoring)),
        ]
    );
    let create = &check.reasons[0];
    assert!(create.message.contains("Microsoft.ContainerService/managedClusters/write"), "{create:?}");
    let command = format!(
        "az role assignment create --assignee {CLIENT_ID} --role '{AKS_ROLE}' --scope /subscriptions/s"
    );
    assert!(create.remedy.contains(&command), "{create:?}");
}

#[test]
fn role_on_a_group_needs_rights_on_the_subscription() {
    let group = rights(Some("shop"), &[role("Contributor")]);
    let without_roles = check(input(vec![rights(None, &[]), group.clone()]));
    assert_eq!((without_roles.verdict, reason_codes(&without_roles)), (Verdict::Limited, vec!["notChecked"]));
    let with_other_role =
        check(input(vec![rights(None, &[custom_role(&["Microsoft.Storage/*"], &[])]), group]));
    assert_eq!(
        (with_other_role.verdict, reason_codes(&with_other_role)),
        (Verdict::Limited, vec!["listDenied"])
    );
    assert_eq!(proposed_roles(&with_other_role), [("Reader", None, None)]);
}

#[test]
fn credential_with_one_usable_group_is_limited() {
    let reader = [role("Reader")];
    let scopes =
        vec![rights(None, &reader), rights(Some("a"), &reader), rights(Some("b"), &[role("Contributor")])];
    let check = check(input(scopes));
    assert_eq!(check.verdict, Verdict::Limited);
    assert_eq!(reason_codes(&check), ["createDenied", "changeDenied", "importDenied", "deleteDenied"]);
    assert!(check.reasons.iter().all(|reason| reason.message.contains("in the resource group a: it lacks")));
    assert_eq!(proposed_roles(&check)[0], (AKS_ROLE, Some("a"), None));
}

#[test]
fn missing_group_needs_the_right_to_create_it() {
    let missing_group = |roles: &[Permission]| ScopeRights { exists: false, ..rights(Some("new"), roles) };
    let aks_roles =
        [role("Reader"), role(AKS_ROLE), role("Network Contributor"), role("Log Analytics Contributor")];
    let in_missing_group = check(input(vec![rights(None, &aks_roles), missing_group(&aks_roles)]));
    assert_eq!(
        (in_missing_group.verdict, reason_codes(&in_missing_group)),
        (Verdict::Limited, vec!["createDenied"])
    );
    assert_eq!(proposed_roles(&in_missing_group), [("Contributor", None, None)]);
    let without_group = check(input(vec![rights(None, &aks_roles)]));
    assert_eq!(reason_codes(&without_group), ["newResourceGroupDenied"]);
    let in_existing_group = check(input(vec![rights(None, &aks_roles), rights(Some("old"), &aks_roles)]));
    assert_eq!((in_existing_group.verdict, reason_codes(&in_existing_group)), (Verdict::Usable, vec![]));
}

#[test]
fn each_case_has_its_reason_and_smallest_role() {
    let prefix = "Microsoft.ContainerService/managedClusters/";
    let (admin, user) =
        ("Azure Kubernetes Service Cluster Admin Role", "Azure Kubernetes Service Cluster User Role");
    for (not_action, expected_code, proposed_role) in [
        ("Microsoft.Compute/skus/read", "listDenied", "Reader"),
        (&*format!("{prefix}delete"), "deleteDenied", AKS_ROLE),
        (&format!("{prefix}agentPools/write"), "changeDenied", AKS_ROLE),
        (&format!("{prefix}agentPools/*"), "changeDenied", AKS_ROLE),
        ("Microsoft.Resources/subscriptions/resourceGroups/read", "createDenied", "Reader"),
        ("Microsoft.Resources/subscriptions/resourceGroups/write", "newResourceGroupDenied", "Contributor"),
        ("Microsoft.Network/virtualNetworks/subnets/join/action", "ownNetworkDenied", "Network Contributor"),
        ("Microsoft.OperationsManagement/*", "monitoringDenied", "Log Analytics Contributor"),
        ("Microsoft.OperationalInsights/workspaces/write", "monitoringDenied", "Log Analytics Contributor"),
        (&format!("{prefix}listClusterAdminCredential/action"), "localAccountsDenied", admin),
        (&format!("{prefix}listClusterUserCredential/action"), "noLocalAccountsDenied", user),
        (&format!("{prefix}commandResults/read"), "privateClusterDenied", "Reader"),
        (&format!("{prefix}runCommand/action"), "privateClusterDenied", admin),
    ] {
        let custom = custom_role(&["*"], &[not_action]);
        let denied = check(input(vec![rights(None, std::slice::from_ref(&custom))]));
        assert_eq!(
            (denied.verdict, reason_codes(&denied)),
            (Verdict::Limited, vec![expected_code]),
            "{not_action}"
        );
        assert_eq!(proposed_roles(&denied).len(), 1, "{not_action}");
        assert_eq!(denied.assignments[0].role, proposed_role, "{not_action}");
        let quoted =
            if proposed_role.contains(' ') { format!("'{proposed_role}'") } else { proposed_role.to_owned() };
        let command = format!(
            "az role assignment create --assignee {CLIENT_ID} --role {quoted} --scope /subscriptions/s"
        );
        assert!(denied.reasons[0].remedy.contains(&command), "{denied:?}");
        let assigned = check(input(vec![rights(None, &[custom, role(proposed_role)])]));
        assert_eq!((assigned.verdict, reason_codes(&assigned)), (Verdict::Usable, vec![]), "{not_action}");
    }
}

#[test]
fn credential_without_any_kubeconfig_is_unusable() {
    let without_kubeconfig =
        custom_role(&["*"], &["Microsoft.ContainerService/managedClusters/listCluster*"]);
    let denied = check(input(vec![rights(None, std::slice::from_ref(&without_kubeconfig))]));
    assert_eq!(
        (denied.verdict, reason_codes(&denied)),
        (Verdict::Unusable, vec!["createDenied", "importDenied"])
    );
    assert_eq!(denied.assignments[0].role, "Azure Kubernetes Service Cluster Admin Role");
    let proposed = denied.assignments.iter().map(|assignment| role(assignment.role));
    let all_roles: Vec<Permission> = std::iter::once(without_kubeconfig).chain(proposed).collect();
    let assigned = check(input(vec![rights(None, &all_roles)]));
    assert_eq!((assigned.verdict, reason_codes(&assigned)), (Verdict::Usable, vec![]));
}

#[test]
fn right_to_register_is_needed_only_for_missing_providers() {
    let no_register = custom_role(&["*"], &["*/register/action"]);
    let registered = check(input(vec![rights(None, std::slice::from_ref(&no_register))]));
    assert_eq!((registered.verdict, reason_codes(&registered)), (Verdict::Usable, vec![]));
    for (namespace, role, expected) in [
        ("Microsoft.ContainerService", role("Contributor"), Verdict::Usable),
        ("Microsoft.ContainerService", no_register.clone(), Verdict::Unusable),
        ("Microsoft.OperationalInsights", role("Contributor"), Verdict::Usable),
        ("Microsoft.OperationalInsights", no_register.clone(), Verdict::Limited),
        // The server does not register Microsoft.Compute.
        ("Microsoft.Compute", role("Contributor"), Verdict::Limited),
    ] {
        let mut input = input(vec![rights(None, &[role])]);
        unregister(&mut input, namespace);
        let check = check(input);
        assert_eq!(check.verdict, expected, "{namespace}");
        let is_reported = expected != Verdict::Usable;
        assert_eq!(reason_codes(&check), if is_reported { vec!["providerUnregistered"] } else { vec![] });
        let command = format!("(az provider register --namespace {namespace} --subscription s)");
        assert!(!is_reported || check.reasons[0].remedy.contains(&command), "{check:?}");
        assert_eq!(check.assignments, []);
    }
}

#[test]
fn smallest_assignments_are_proposed_without_any_role() {
    let denied = |group: Option<&str>| ScopeRights { roles: Err("denied".to_owned()), ..rights(group, &[]) };
    let mut unknown = input(vec![denied(None), denied(Some("shop"))]);
    unknown.policies = Err("denied".to_owned());
    let limited = check(unknown.clone());
    assert_eq!(limited.verdict, Verdict::Limited);
    assert!(reason_codes(&limited).iter().all(|code| *code == "notChecked") && limited.reasons.len() == 2);
    unknown.subscription = SubscriptionState::Denied;
    let without_role = check(unknown);
    assert_eq!((without_role.verdict, reason_codes(&without_role)), (Verdict::Unusable, vec!["noRole"]));
    let unconditional: Vec<_> =
        proposed_roles(&without_role).into_iter().filter(|(_, _, condition)| condition.is_none()).collect();
    assert_eq!(unconditional, [("Reader", None, None), (AKS_ROLE, Some("shop"), None)]);
    assert!(
        without_role.reasons[0].remedy.contains("--role Reader --scope /subscriptions/s)"),
        "{without_role:?}"
    );
}

#[test]
fn read_only_state_and_unread_parts_are_reasons() {
    let contributor = || input(vec![rights(None, &[role("Contributor")])]);
    let mut disabled = contributor();
    disabled.subscription = SubscriptionState::Known(Subscription { state: Some("Disabled".to_owned()) });
    let mut provider = contributor();
    provider.providers[0].state = Err("timeout".to_owned());
    let mut subscription = contributor();
    subscription.subscription = SubscriptionState::Unknown("timeout".to_owned());
    for (input, verdict, code) in [
        (disabled, Verdict::Unusable, "subscriptionReadOnly"),
        (provider, Verdict::Limited, "notChecked"),
        (subscription, Verdict::Limited, "notChecked"),
    ] {
        let check = check(input);
        assert_eq!((check.verdict, reason_codes(&check)), (verdict, vec![code]));
    }
}

fn assigned(name: &str, effect: PolicyEffect) -> AssignedPolicy {
    let (display_name, scope) = (format!("The {name}"), "/subscriptions/s".to_owned());
    AssignedPolicy { name: name.to_owned(), display_name, scope, effect }
}

fn check_with_policies(policies: Vec<AssignedPolicy>) -> CredentialCheck {
    check(RightsInput { policies: Ok(policies), ..input(vec![rights(None, &[role("Contributor")])]) })
}

#[test]
fn each_effect_of_a_policy_has_its_reason() {
    let disks = || Some(Resources::Some(vec!["disks"]));
    for (denied, verdict, expected, phrase) in [
        (Denied { writes: disks(), ..Denied::default() }, Verdict::Limited, vec!["policyDenies"], "disks"),
        (
            Denied { writes: Some(Resources::All), ..Denied::default() },
            Verdict::Limited,
            vec!["policyDenies"],
            "clusters may be among them",
        ),
        (
            Denied { essentials: vec!["scale sets"], writes: disks(), deletes: None },
            Verdict::Unusable,
            vec!["policyDenies"],
            "what every cluster needs: scale sets",
        ),
        (
            Denied { deletes: disks(), ..Denied::default() },
            Verdict::Limited,
            vec!["policyDeniesDelete"],
            "may deny deleting disks",
        ),
        (
            Denied { writes: disks(), deletes: Some(Resources::All), ..Denied::default() },
            Verdict::Limited,
            vec!["policyDenies", "policyDeniesDelete"],
            "disks",
        ),
    ] {
        let check = check_with_policies(vec![assigned("it's", PolicyEffect::Denies(denied))]);
        assert_eq!((check.verdict, reason_codes(&check)), (verdict, expected));
        assert!(check.reasons[0].message.contains(phrase), "{check:?}");
        assert!(check.reasons[0].remedy.contains(r"--name 'it'\''s'"), "{check:?}");
    }
}

#[test]
fn unknown_policies_share_one_reason() {
    let unknown = |name: &str| assigned(name, PolicyEffect::Unknown("denied".to_owned()));
    let single = check_with_policies(vec![unknown("a")]);
    assert_eq!((single.verdict, reason_codes(&single)), (Verdict::Limited, vec!["policyUnknown"]));
    let many = check_with_policies(["a", "b", "c", "d", "e"].map(unknown).to_vec());
    assert_eq!((many.verdict, reason_codes(&many)), (Verdict::Limited, vec!["policyUnknown"]));
    let message = &many.reasons[0].message;
    assert!(message.ends_with("The a (denied), The b (denied), The c (denied) and 2 more"), "{message}");
    assert_eq!(many.policies.len(), 5);
}

#[test]
fn names_in_commands_are_quoted_for_a_shell() {
    let group = rights(Some("it's my (group)"), &[role("Reader")]);
    let check = check(input(vec![rights(None, &[role("Reader")]), group]));
    let scope = r"--scope '/subscriptions/s/resourceGroups/it'\''s my (group)'";
    assert!(check.assignments[0].command.ends_with(scope), "{:?}", check.assignments[0]);
}

#[test]
fn proposed_assignments_make_the_credential_usable() {
    let variants = [
        vec![rights(None, &[role("Reader")])],
        vec![
            rights(None, &[custom_role(&["Microsoft.Storage/*"], &[])]),
            rights(Some("a"), &[role("Reader")]),
        ],
        vec![
            rights(None, &[custom_role(&["*"], &["*/write", "*/action"])]),
            rights(Some("a"), &[role(AKS_ROLE)]),
        ],
    ];
    for scopes in variants {
        let first = check(input(scopes.clone()));
        let assigned = scopes.into_iter().map(|mut rights| {
            let added = first
                .assignments
                .iter()
                .filter(|assignment| assignment.scope.group.is_none() || assignment.scope == rights.scope);
            rights.roles.as_mut().unwrap().extend(added.map(|assignment| role(assignment.role)));
            rights
        });
        let second = check(input(assigned.collect()));
        assert_eq!((second.verdict, reason_codes(&second)), (Verdict::Usable, vec![]));
        assert!(first.operations.iter().any(|operation| operation.purposes.contains(&Purpose::Create)));
    }
}
