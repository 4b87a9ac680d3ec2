//! Rules about the specification alone: required fields, combinations, names, metadata, security, advice.

use serde_json::{Map, Value, json};

use crate::review::UnknownField;
use crate::review::tests::example::{Change, Example, boxed, change, examples};
use crate::review::tests::review_input::{DAY_MS, IDENTITY, ReviewInput, pool, size};

pub(in crate::review::tests) fn required() -> Vec<Example> {
    examples! {
        "network-isolation", create, ["networkPolicy" [[{"networkPolicy": "none"} (isolated)]]],
            [(isolated) [{"networkPolicy": "cilium"} (isolated)] [{"networkPolicy": null} (isolated)]];
        "region-given", create, ["resourceLocation" [{"resourceLocation": null}]], [];
        "fields-given", create, [
            "resourceGroup" [{"resourceGroup": ""}],
            "clusterName" [{"clusterName": null}],
            "azureCredentialSecret" [{"azureCredentialSecret": null}]
        ], [[{"azureCredentialSecret": null} (|input| input.facts.credential_sent_along = true)]];
        "fields-given", update, ["azureCredentialSecret" [{"azureCredentialSecret": null} {"azureCredentialSecret": ""}]], [];
        "fields-given", import, ["azureCredentialSecret" [{"azureCredentialSecret": null}], "resourceGroup" [{"resourceGroup": ""}]], [];
        "version-given", create, ["kubernetesVersion" [{"kubernetesVersion": null} {"kubernetesVersion": ""}]], [];
        "version-given", update, [], [{"kubernetesVersion": null}];
        "dns-prefix-given", create, ["dnsPrefix" [{"dnsPrefix": ""}]], [];
        "pools-given", create, ["nodePools" [{"nodePools": []}]], [];
        "pool-name-given", create, ["nodePools[1].name" [{"[1].name": ""}]], [];
        "pool-names-unique", create, ["nodePools[1].name" [{"[1].name": "system"}]], [];
        "pool-fields-given", create, [
            "nodePools[0].count" [{"[0].count": null}],
            "nodePools[1].maxPods" [{"[1].maxPods": null}],
            "nodePools[1].vmSize" [{"[1].vmSize": ""}],
            "nodePools[1].osDiskSizeGB" [{"[1].osDiskSizeGB": null}],
            "nodePools[1].osDiskType" [{"[1].osDiskType": null}],
            "nodePools[1].mode" [{"[1].mode": null}],
            "nodePools[1].osType" [{"[1].osType": null}]
        ], [];
        "pool-fields-given", update, [], [(|input| input.spec["nodePools"][1] = json!({"name": "user", "count": 3}))];
        "linux-pools", create, ["nodePools[1].osType" [{"[1].osType": "Windows"} {"[1].osType": "windows"} {"[1].osType": "Plan9"}]],
            [{"[1].osType": "linux"}];
        "linux-pools", update, ["nodePools[1].osType" [{"azure:[1].osType": "Windows", "[1].name": "new", "[1].osType": "Windows"}]],
            [{"azure:[1].osType": "Windows", "[1].osType": "Windows", "[1].maxCount": 4}];
        "system-pool", create, ["nodePools" [{"[0].mode": "User"} {"nodePools": null}]], [{"[0].mode": "system"}];
        "unknown-field", create, [
            "nodePools[0].cuont" [(misspelled("aksConfig.nodePools[0]", "cuont"))],
            "colour" [(misspelled("aksConfig", "colour"))]
        ], [];
    }
}

fn isolated(input: &mut ReviewInput) {
    input.isolation = true;
}

fn misspelled(parent: &'static str, key: &'static str) -> impl Fn(&mut ReviewInput) {
    move |input| input.unknown_fields = vec![UnknownField::new(parent, key, ["count", "vmSize"].into_iter())]
}

pub(in crate::review::tests) fn combinations() -> Vec<Example> {
    let basic_load_balancer = |zones: Value| json!({"loadBalancerSku": "basic", "nodePools": [pool(json!({"mode": "System", "availabilityZones": zones}))], "authorizedIpRanges": []});
    let no_network = |input: &mut ReviewInput| {
        input.set(json!({"virtualNetwork": null, "virtualNetworkResourceGroup": null, "subnet": null}));
    };
    examples! {
        "network-plugin", create, ["networkPlugin" [{"networkPlugin": "none"} {"networkPlugin": "Azure"}]], [{"networkPlugin": ""}];
        "network-policy", create, ["networkPolicy" [{"networkPolicy": "cilium"}]], [{"networkPolicy": ""}];
        "network-policy", update, [], [{"azure:networkPolicy": "none", "stored:networkPolicy": "", "networkPolicy": null}];
        "azure-policy-plugin", create, ["networkPolicy" [{"networkPolicy": "azure", "networkPlugin": "kubenet"}]], [{"networkPolicy": "azure"}];
        "outbound-type", create, ["outboundType" [{"outboundType": "pigeon"}]], [{"outboundType": "LoadBalancer"} {"outboundType": ""}];
        "routing-plugin", create, ["outboundType" [{"outboundType": "UserDefinedRouting", "networkPlugin": "kubenet"}]],
            [{"outboundType": "UserDefinedRouting"}];
        "routing-subnet", create, ["subnet" [[{"outboundType": "userDefinedRouting"} (no_network)]]], [{"outboundType": "userDefinedRouting"}];
        "own-network-complete", create, [
            "subnet" [{"subnet": null}],
            "virtualNetwork" [{"virtualNetwork": null} {"virtualNetwork": null, "subnet": null}]
        ], [(no_network)];
        "nat-gateway-network", create, [
            "outboundType" [{"outboundType": "managedNATGateway"} [{"outboundType": "userAssignedNATGateway"} (no_network)]]
        ], [{"outboundType": "userAssignedNATGateway"} [{"outboundType": "managedNATGateway"} (no_network)]];
        "load-balancer-sku", create, ["loadBalancerSku" [{"loadBalancerSku": "Gold"}]],
            [{"loadBalancerSku": "STANDARD"} {"loadBalancerSku": "basic"}];
        "load-balancer-standard", create, ["loadBalancerSku" [
            [(move |input| input.set(basic_load_balancer(json!([])))) {"privateCluster": true}]
            (move |input| input.set(basic_load_balancer(json!(["1", "2"]))))
        ]], [(move |input| input.set(basic_load_balancer(json!([]))))];
        "load-balancer-basic-retired", create, ["loadBalancerSku" [{"loadBalancerSku": "Basic"}]], [];
        "pod-range-plugin", create, ["podCidr" [{"podCidr": "10.244.0.0/16"}]], [{"podCidr": "10.244.0.0/16", "networkPlugin": "kubenet"}];
    }
}

pub(in crate::review::tests) fn names() -> Vec<Example> {
    examples! {
        "cluster-name", create, ["clusterName" [{"clusterName": "-shop"} {"clusterName": "a b"} {"clusterName": "x".repeat(64)}]],
            [{"clusterName": "x".repeat(63)} {"clusterName": "A_b-1"}];
        "resource-group-name", create, [
            "resourceGroup" [{"resourceGroup": "ends."} {"resourceGroup": "a/b"}],
            "virtualNetworkResourceGroup" [{"virtualNetworkResourceGroup": "x".repeat(91)}],
            "logAnalyticsWorkspaceGroup" [{"logAnalyticsWorkspaceGroup": "?"}]
        ], [{"resourceGroup": "Grüße_(1).x"}];
        "node-resource-group-name", create, ["nodeResourceGroup" [{"nodeResourceGroup": "x".repeat(81)}]], [{"nodeResourceGroup": "x".repeat(80)}];
        "node-resource-group-own", create, ["nodeResourceGroup" [{"nodeResourceGroup": "RG"}]], [];
        "dns-prefix", create, ["dnsPrefix" [{"dnsPrefix": "a_b"} {"dnsPrefix": "a-"} {"dnsPrefix": "x".repeat(55)}]], [{"dnsPrefix": "x".repeat(54)}];
        "pool-name", create, ["nodePools[1].name" [{"[1].name": "User"} {"[1].name": "1user"} {"[1].name": "a-b"} {"[1].name": "abcdefghijklm"}]],
            [{"[1].name": "abcdefghijk1"}];
        "network-name", create, ["virtualNetwork" [{"virtualNetwork": "n"}], "subnet" [{"subnet": "-nodes"}]], [{"subnet": "n.o_"}];
        "subnet-id", create, ["nodePools[1].vnetSubnetID" [{"[1].vnetSubnetID": "nodes"}]],
            [{"[1].vnetSubnetID": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/x"}];
        "workspace-name", create, ["logAnalyticsWorkspaceName" [{"logAnalyticsWorkspaceName": "abc"} {"logAnalyticsWorkspaceName": "a_bc"}]], [];
        "region-name", create, ["resourceLocation" [{"resourceLocation": "east/us"}]], [{"resourceLocation": "East US"}];
        "region-exists", create, ["resourceLocation" [{"resourceLocation": "middleearth"} {"resourceLocation": "europe"}]],
            [{"resourceLocation": "East US"}];
    }
}

pub(in crate::review::tests) fn metadata() -> Vec<Example> {
    fn tags(count: usize) -> Map<String, Value> {
        (0..count).map(|n| (format!("t{n}"), json!(""))).collect()
    }
    examples! {
        "tags", create, ["tags" [
            {"tags": {"a/b": ""}} {"tags": {"a": "x".repeat(257)}} {"tags": {"Azure-x": ""}} {"tags": {"a": "", "A": ""}}
        ]], [{"tags": {"cost center": "x".repeat(256)}}];
        "tag-count", create, ["tags" [{"tags": tags(50)}]], [{"tags": tags(49)}];
        "node-labels", create, ["nodePools[1].nodeLabels" [
            {"[1].nodeLabels": {"a b": ""}} {"[1].nodeLabels": {"a": "x/y"}} {"[1].nodeLabels": {"UPPER.example/a": ""}}
        ]], [];
        "node-labels-reserved", create, ["nodePools[1].nodeLabels" [{"[1].nodeLabels": {"kubernetes.azure.com/mode": "user"}}]], [];
        "node-taints", create, ["nodePools[1].nodeTaints" [
            {"[1].nodeTaints": ["dedicated:NoSchedule"]} {"[1].nodeTaints": ["a=b"]} {"[1].nodeTaints": ["a=b:Never"]}
            {"[1].nodeTaints": ["=b:NoSchedule"]}
        ]], [{"[1].nodeTaints": ["a.b/c=d:PreferNoSchedule", "e=:NoExecute"]}];
        "node-taints-empty", create, ["nodePools[1].nodeTaints" [{"[1].nodeTaints": ["a=:NoSchedule"]}]],
            [{"[1].nodeTaints": ["a=b:NoSchedule", "a=b:Never"]}];
    }
}

const DNS_ZONE_ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/sub.privatelink.eastus.azmk8s.io";

pub(in crate::review::tests) fn security() -> Vec<Example> {
    fn zone(region: &str, suffix: &str) -> Value {
        json!({"resourceLocation": region, "privateDnsZone": DNS_ZONE_ID.replace("eastus", region).replace("azmk8s.io", suffix)})
    }
    let (us_suffix, china_suffix) = ("cx.aks.containerservice.azure.us", "cx.prod.service.azk8s.cn");
    examples! {
        "authorized-ranges", create, ["authorizedIpRanges" [{"authorizedIpRanges": ["example.com"]} {"authorizedIpRanges": ["2001:db8::/32"]}]],
            [{"authorizedIpRanges": ["203.0.113.7", "0.0.0.0/32"]}];
        "authorized-ranges-count", create, ["authorizedIpRanges" [
            {"authorizedIpRanges": (0..201).map(|n| format!("203.0.113.{n}/32")).collect::<Vec<_>>()}
        ]], [];
        "authorized-ranges-public", create, ["authorizedIpRanges" [{"authorizedIpRanges": ["10.0.0.0/8"]}]], [];
        "authorized-ranges-private-cluster", create, ["authorizedIpRanges" [{"privateCluster": true}]],
            [{"privateCluster": true, "authorizedIpRanges": []}];
        "private-dns-zone", create, ["privateDnsZone" [
            {"privateDnsZone": "mine"}
            {"privateDnsZone": DNS_ZONE_ID.replace("eastus", "westus")}
            {"privateDnsZone": DNS_ZONE_ID.replace("sub.", "sub")}
            // Each cloud has its own zone names.
            (|input| input.set(zone("usgovvirginia", "azmk8s.io")))
            (move |input| input.set(zone("eastus", us_suffix)))
        ]], [
            {"privateDnsZone": "System"}
            {"privateDnsZone": DNS_ZONE_ID.to_uppercase()}
            (move |input| input.set(zone("usgovvirginia", us_suffix)))
            (move |input| input.set(zone("chinanorth3", china_suffix)))
            {"privateDnsZone": DNS_ZONE_ID.replace("sub.privatelink", "private")}
        ];
        "private-dns-zone-identity", create, ["privateDnsZone" [{"privateCluster": true, "privateDnsZone": DNS_ZONE_ID}]], [
            {"privateCluster": true, "privateDnsZone": DNS_ZONE_ID, "managedIdentity": true, "userAssignedIdentity": IDENTITY}
            {"privateCluster": true, "privateDnsZone": "none"}
        ];
        "private-dns-zone-unused", create, ["privateDnsZone" [{"privateDnsZone": "system"}]], [{"privateDnsZone": "system", "privateCluster": true}];
        "identity-id", create, ["userAssignedIdentity" [{"userAssignedIdentity": "me"}]], [{"userAssignedIdentity": IDENTITY.to_uppercase()}];
        "identity-unused", create, ["userAssignedIdentity" [{"userAssignedIdentity": IDENTITY, "managedIdentity": false}]],
            [{"userAssignedIdentity": IDENTITY}];
        "admin-name", create, ["linuxAdminUsername" [{"linuxAdminUsername": "1a"}]], [];
        "ssh-key", create, ["sshPublicKey" [
            {"sshPublicKey": "AAAAB3NzaC1yc2EAAAADAQABAAABgQC0"}
            {"sshPublicKey": "ssh-ed25519 AAAAB3NzaC1yc2EAAAADAQABAAABgQC0"}
            {"sshPublicKey": "-----BEGIN PUBLIC KEY-----"}
            {"sshPublicKey": "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY="}
        ]], [{"sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\n"}];
        "ssh-key-unused", create, ["sshPublicKey" [{"linuxAdminUsername": null}]], [{"sshPublicKey": null}];
        "http-routing-retired", create, ["httpApplicationRouting" [{"httpApplicationRouting": true}]], [{"httpApplicationRouting": false}];
    }
}

pub(in crate::review::tests) fn advice() -> Vec<Example> {
    examples! {
        "advice-azure-cni", create, ["networkPlugin" [{"networkPlugin": "kubenet"}]], [];
        "advice-api-access", create, ["authorizedIpRanges" [{"authorizedIpRanges": []}]], [{"authorizedIpRanges": [], "privateCluster": true}];
        "advice-separate-pools", create, ["nodePools" [{"[1].mode": "System"}]], [];
        "advice-autoscaling", create, ["nodePools" [{"[1].enableAutoScaling": false}]], [];
        "advice-zones", create, ["nodePools[1].availabilityZones" [{"[1].availabilityZones": []}]],
            [[{"[1].availabilityZones": []} (size(json!({"locationInfo": [{"zones": []}]})))]];
        "advice-managed-identity", create, ["managedIdentity" [{"managedIdentity": null}]], [];
        "advice-monitoring", create, ["monitoring" [{"monitoring": false}]], [];
        "advice-size", create, ["nodePools[0].vmSize" [
            (size(json!({"capabilities": [{"name": "vCPUs", "value": "2"}]}))) (size(json!({"family": "standardBSFamily"})))
        ]], [];
        "advice-spot", create, ["nodePools[1].vmSize" [{"[1].minCount": 0}]], [[{"[1].minCount": 0} (size(json!({"capabilities": []})))]];
        // The reviews run on day 1,000. Secrets are old after 180 days, SSH keys after 365.
        "advice-secret-age", create, ["azureCredentialSecret" [(|input| input.facts.credential_changed_ms = Some(819 * DAY_MS))]],
            [(|input| input.facts.credential_changed_ms = Some(820 * DAY_MS)) (|input| input.facts.credential_changed_ms = None)];
        "advice-ssh-key-age", update, ["sshPublicKey" [(|input| input.facts.cluster_created_ms = Some(634 * DAY_MS))]],
            [(|input| input.facts.cluster_created_ms = Some(635 * DAY_MS))];
    }
}
