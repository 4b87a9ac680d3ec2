//! Rules about fields that cannot be changed in an existing cluster.

use serde_json::json;

use crate::review::tests::example::{Change, Example, boxed, change, examples};
use crate::review::tests::review_input::{
    IDENTITY, ReviewInput, SUBNET, existing_cluster, in_managed_network, new_cluster,
};

fn not_in_azure(input: &mut ReviewInput) {
    input.upstream = None;
}

fn in_default_node_group(input: &mut ReviewInput) {
    input.details.node_resource_group = Some("MC_rg_shop_eastus".to_owned());
}

fn without_network_before(input: &mut ReviewInput) {
    input.set(json!({"before:virtualNetwork": null, "before:virtualNetworkResourceGroup": null, "before:subnet": null}));
}

pub(in crate::review::tests) fn fixed() -> Vec<Example> {
    examples! {
        "fixed-in-azure", update, [
            "dnsPrefix" [{"dnsPrefix": "other"}],
            "dnsServiceIp" [{"dnsServiceIp": "10.1.0.11"}],
            "networkPlugin" [{"networkPlugin": "kubenet"}],
            "nodeResourceGroup" [{"nodeResourceGroup": "other"}],
            "serviceCidr" [{"serviceCidr": "10.1.0.0/17"}],
            "virtualNetwork" [{"virtualNetwork": "other"}],
            "virtualNetworkResourceGroup" [{"virtualNetworkResourceGroup": "other"}],
            "privateCluster" [{"privateCluster": true} {"before:privateCluster": true, "privateCluster": false}],
            // Values that only Azure has are compared too.
            "podCidr" [{"podCidr": "10.9.0.0/16"}],
            "linuxAdminUsername" [{"linuxAdminUsername": "other"}],
            "subnet" [{"subnet": "other"} [(in_managed_network) {"subnet": "other"}]]
        ], [
            // Azure's value is always accepted, regardless of the stored value.
            {"stored:serviceCidr": "10.9.0.0/16"}
            [(in_default_node_group) {"before:nodeResourceGroup": null, "nodeResourceGroup": "mc_rg_shop_eastus"}]
            [(without_network_before) {"virtualNetwork": "NET", "virtualNetworkResourceGroup": "rg-net", "subnet": "nodes"}]
            {"dnsPrefix": "SHOP", "virtualNetwork": "NET", "networkPlugin": "AZURE"}
            {"dnsPrefix": "", "subnet": "", "podCidr": ""}
            {"dnsPrefix": null, "serviceCidr": null, "virtualNetwork": null, "subnet": null, "privateCluster": null}
            {"stored:dockerBridgeCidr": "172.17.0.1/16", "dockerBridgeCidr": "172.18.0.1/16"}
            // Everything may change until the cluster exists in Azure.
            [(not_in_azure) {"dnsPrefix": "other", "privateCluster": true, "authorizedIpRanges": []}]
            [(not_in_azure) (existing_cluster(new_cluster(), true)) {"dnsPrefix": "other"}]
        ];
        "fixed-in-azure-pool", update, [
            "nodePools[1].vmSize" [{"[1].vmSize": "Standard_D8s_v3"}],
            "nodePools[0].osDiskSizeGB" [{"[0].osDiskSizeGB": 128}],
            "nodePools[0].osDiskType" [{"[0].osDiskType": "Ephemeral"}],
            "nodePools[0].osType" [{"[0].osType": "Windows"}],
            "nodePools[0].maxPods" [{"[0].maxPods": 110}],
            "nodePools[0].vnetSubnetID" [{"[0].vnetSubnetID": SUBNET.replace("nodes", "x")}],
            // The cluster exists although the specification was never applied.
            "nodePools[1].vmSize" [[(not_in_azure) (existing_cluster(new_cluster(), false)) {"[1].vmSize": "Standard_D8s_v3"}]]
        ], [
            {"[1].vmSize": "standard_d4s_V3", "[1].osDiskType": "managed", "[1].osType": "linux"}
            (|input| input.spec["nodePools"][1] = json!({"name": "user", "vmSize": "", "osDiskSizeGB": 0}))
            {"[1].name": "other", "[1].vmSize": "Standard_D8s_v3"}
            [(not_in_azure) {"[1].vmSize": "Standard_D8s_v3"}]
        ];
        "fixed-zones", update, ["nodePools[1].availabilityZones" [{"[1].availabilityZones": ["1"]}]],
            [{"[1].availabilityZones": ["2", "1"]} {"[1].availabilityZones": []}];
        "fixed-identity", update, [
            "clusterName" [{"clusterName": "other"}],
            "resourceGroup" [{"resourceGroup": "other"}],
            "resourceLocation" [{"resourceLocation": "westus"}],
            "imported" [{"imported": true}]
        ], [{"clusterName": "SHOP", "resourceGroup": "", "imported": false}];
    }
}

pub(in crate::review::tests) fn not_managed() -> Vec<Example> {
    examples! {
        "not-managed", update, [
            "networkPolicy" [{"networkPolicy": "azure"}],
            "outboundType" [{"outboundType": "userDefinedRouting"}],
            "loadBalancerSku" [{"loadBalancerSku": "Basic"}],
            "sshPublicKey" [{"sshPublicKey": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC1"}],
            "managedIdentity" [{"managedIdentity": false}],
            "logAnalyticsWorkspaceName" [{"logAnalyticsWorkspaceName": "other"}],
            "privateDnsZone" [{"stored:privateDnsZone": "system", "privateDnsZone": "none"}],
            "userAssignedIdentity" [{"azure:userAssignedIdentity": IDENTITY, "userAssignedIdentity": format!("{IDENTITY}2")}]
        ], [
            {"networkPolicy": "Calico", "outboundType": "LOADBALANCER", "loadBalancerSku": "standard"}
            {"networkPolicy": "", "sshPublicKey": ""}
            {"stored:networkPolicy": null, "azure:networkPolicy": "none", "networkPolicy": "none"}
            {"stored:managedIdentity": null, "managedIdentity": false}
            {"stored:monitoring": false, "logAnalyticsWorkspaceName": "other"}
        ];
    }
}

pub(in crate::review::tests) fn set_too_late() -> Vec<Example> {
    examples! {
        "set-too-late", update, [
            "networkPolicy" [{"before:networkPolicy": null}],
            "linuxAdminUsername" [{"before:linuxAdminUsername": null, "before:sshPublicKey": null}],
            "sshPublicKey" [{"before:linuxAdminUsername": null, "before:sshPublicKey": null}],
            "nodeResourceGroup" [{"before:nodeResourceGroup": null}],
            "managedIdentity" [{"before:managedIdentity": null}],
            "podCidr" [{"before:podCidr": null, "podCidr": "10.244.0.0/16"}],
            "virtualNetwork" [[(without_network_before) (in_managed_network)]],
            "networkPolicy" [{"stored:networkPolicy": null, "azure:networkPolicy": "none"}
                // Also in an import.
                {"before:networkPolicy": null, "stored:imported": true, "imported": true}],
            "privateDnsZone" [{"privateDnsZone": "system"}],
            "userAssignedIdentity" [{"userAssignedIdentity": IDENTITY}],
            "nodePools[1].availabilityZones" [{"before:[1].availabilityZones": null}],
            "nodePools[0].vnetSubnetID" [{"before:[0].vnetSubnetID": null, "[0].vnetSubnetID": SUBNET}]
        ], [
            // Nothing new is set.
            {"before:networkPolicy": null, "before:nodeResourceGroup": null, "networkPolicy": "", "nodeResourceGroup": ""}
            {"before:managedIdentity": null, "managedIdentity": false}
            {"azure:networkPolicy": ""}
            {"dockerBridgeCidr": "172.17.0.1/16"}
            {"before:[1].availabilityZones": null, "[1].availabilityZones": []}
            // The cluster is not in Azure yet, or the pool is new.
            [(not_in_azure) {"stored:networkPolicy": null}]
            {"[1].name": "other"}
            // Managed fields may be set later.
            {"before:tags": null, "before:authorizedIpRanges": null, "before:monitoring": null, "before:logAnalyticsWorkspaceGroup": null,
                "before:logAnalyticsWorkspaceName": null}
        ];
    }
}

pub(in crate::review::tests) fn without_effect() -> Vec<Example> {
    examples! {
        "without-effect", update, [
            "virtualNetwork" [(in_managed_network)],
            "networkPolicy" [{"azure:networkPolicy": "none"}],
            "nodeResourceGroup" [[(in_default_node_group) {"azure:nodeResourceGroup": null}]],
            "nodePools[1].availabilityZones" [{"azure:[1].availabilityZones": []}],
            "dockerBridgeCidr" [{"dockerBridgeCidr": "172.17.0.1/16"}]
        ], [
            {"stored:dockerBridgeCidr": "172.17.0.1/16", "dockerBridgeCidr": "172.17.0.1/16"}
            {"virtualNetwork": null, "networkPolicy": null}
        ];
    }
}
