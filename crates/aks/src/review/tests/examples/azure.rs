//! Rules about the credential, existing objects and imports.

use serde_json::json;

use crate::review::tests::example::{Change, Example, boxed, change, examples};
use crate::review::tests::review_input::{
    ReviewInput, denied, existing_cluster, existing_in_region, imported, permissions, roles, subscription,
};
use crate::review::{DenialKind, ExistingCluster, Permissions, ProviderState, Read};

pub(in crate::review::tests) fn access() -> Vec<Example> {
    use DenialKind::{Credential, Role, Subscription};
    let with_permissions = |actions: &'static [&str]| {
        move |input: &mut ReviewInput| input.azure.permissions = Read::Known(permissions(actions))
    };
    let no_group = |input: &mut ReviewInput| {
        let permissions = permissions(&["Microsoft.ContainerService/*"]);
        input.azure.permissions = Read::Known(Permissions { group_exists: false, ..permissions });
    };
    // An application without any role may not read its roles, so an empty list proves nothing.
    let no_role = |input: &mut ReviewInput| {
        input.azure.permissions = Read::Known(Permissions { roles: Vec::new(), ..permissions(&[]) });
    };
    let unregistered = |actions: Option<&'static [&str]>| {
        move |input: &mut ReviewInput| {
            let subscription_roles = actions.map(roles);
            input.azure.provider = Read::Known(ProviderState { registered: false, subscription_roles });
        }
    };
    examples! {
        "credential-refused", create, ["azureCredentialSecret" [
            (denied(Credential, "AADSTS7000222: The provided client secret keys are expired", "create a new secret", false))
        ]], [];
        "credential-refused", update, ["azureCredentialSecret" [(denied(Credential, "x", "y", true))]], [];
        "subscription-usable", create, ["azureCredentialSecret" [
            (subscription(Some("Disabled"))) (subscription(Some("warned"))) (denied(Subscription, "SubscriptionNotFound", "check it", true))
        ]], [(subscription(Some("PastDue"))) (subscription(None))];
        "subscription-usable", import, ["azureCredentialSecret" [(subscription(Some("Disabled")))]], [];
        "role-assigned", create, ["azureCredentialSecret" [
            (with_permissions(&["*/read"])) (no_group) (denied(Role, "AuthorizationFailed", "give it a role", true))
        ]], [(with_permissions(&["Microsoft.ContainerService/*"])) (no_role)];
        "provider-registered", create, ["azureCredentialSecret" [(unregistered(Some(&["*/read"])))]],
            [(unregistered(Some(&["*"]))) (unregistered(None))];
    }
}

pub(in crate::review::tests) fn existing() -> Vec<Example> {
    let no_local_accounts = |input: &mut ReviewInput| {
        let cluster = ExistingCluster { local_accounts_disabled: true, ..ExistingCluster::default() };
        input.azure.cluster = Read::Known(Some(cluster));
    };
    let with_user_range =
        |input: &mut ReviewInput| input.user_entries.ranges = ["203.0.113.0/24".to_owned()].into();
    examples! {
        "cluster-new", create, ["clusterName" [(existing_cluster(json!({}), false))]], [];
        "node-resource-group-new", create, ["nodeResourceGroup" [(|input| input.azure.node_group = Read::Known(true))]], [];
        "import-exists", import, ["clusterName" [(|input| input.azure.cluster = Read::Known(None))]], [];
        "import-local-accounts", import, ["clusterName" [(no_local_accounts)]], [];
        "region-matches", import, ["resourceLocation" [(existing_in_region("westeurope"))]], [(existing_in_region("East US"))];
        "region-matches", update, ["resourceLocation" [{"azure:resourceLocation": "westeurope"}]], [{"azure:resourceLocation": "EAST-US"}];
        "region-matches", create, [], [(existing_in_region("westeurope"))];
        "entries-stay", update, [
            "authorizedIpRanges" [[(imported) {"authorizedIpRanges": []}]],
            "tags" [[(imported) {"tags": {"other": "b"}}]],
            "nodePools[1].nodeLabels" [[(imported) {"[1].nodeLabels": {}}]],
            "nodePools[0].nodeTaints" [[(imported) {"[0].nodeTaints": []}]]
        ], [
            {"authorizedIpRanges": []}
            (imported)
            [(imported) (with_user_range) {"authorizedIpRanges": []}]
            [(imported) {"authorizedIpRanges": null, "tags": null}]
        ];
    }
}
