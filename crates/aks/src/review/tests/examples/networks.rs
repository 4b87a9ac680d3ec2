//! Rules about address ranges, networks and subnets.

use serde_json::json;

use crate::review::tests::example::{Change, Example, boxed, change, examples};
use crate::review::tests::review_input::{
    IDENTITY, ReviewInput, SUBNET, in_managed_network, in_network, large_network, network, overlay,
    pod_subnet, reference, subnet,
};
use crate::review::{Read, ReadNetwork};

fn no_network(input: &mut ReviewInput) {
    input.set(json!({"virtualNetwork": null, "virtualNetworkResourceGroup": null, "subnet": null}));
}

pub(in crate::review::tests) fn ranges() -> Vec<Example> {
    examples! {
        "range-form", create, [
            "serviceCidr" [{"serviceCidr": "10.1.0.0"} {"serviceCidr": "fd00:1::/108"}],
            "podCidr" [{"podCidr": "10.1.0.0/33"}],
            "dnsServiceIp" [{"dnsServiceIp": "fd00:1::a"}]
        ], [{"serviceCidr": null, "dnsServiceIp": null}];
        "service-range-size", create, ["serviceCidr" [{"serviceCidr": "10.64.0.0/12"}]], [{"serviceCidr": "10.64.0.0/13"}];
        "ranges-reserved", create, [
            "serviceCidr" [{"serviceCidr": "172.30.0.0/16"} {"serviceCidr": "172.24.0.0/13"}],
            "podCidr" [{"podCidr": "192.0.0.0/16"}]
        ], [{"serviceCidr": "172.29.0.0/16"}];
        "ranges-apart", create, [
            "serviceCidr" [{"podCidr": "10.0.0.0/8"} {"serviceCidr": "10.244.0.0/20", "networkPlugin": "kubenet"}],
            "podCidr" [{"podCidr": "10.0.0.0/17", "serviceCidr": null}]
        ], [{"podCidr": "10.2.0.0/16"}];
        "dns-address", create, ["dnsServiceIp" [
            {"dnsServiceIp": "10.2.0.10"} {"dnsServiceIp": "10.1.0.0"} {"dnsServiceIp": "10.1.0.1"} {"dnsServiceIp": null}
        ]], [{"dnsServiceIp": "10.1.0.2"} {"dnsServiceIp": null, "serviceCidr": null}];
        "managed-network-apart", create,
            ["serviceCidr" [[{"serviceCidr": "10.230.0.0/16", "dnsServiceIp": "10.230.0.10"} (no_network)]]], [(no_network)];
    }
}

pub(in crate::review::tests) fn networks() -> Vec<Example> {
    let missing_network = |input: &mut ReviewInput| {
        input.azure.networks = Read::Known(vec![ReadNetwork { reference: reference("net"), network: None }]);
    };
    let with_route_table = || subnet(json!({"routeTable": {"id": "/tables/rt"}}));
    let mut network_elsewhere = network();
    network_elsewhere["location"] = json!("westus");
    let mut network_with_reserved_range = network();
    network_with_reserved_range["properties"]["addressSpace"]["addressPrefixes"] =
        json!(["10.40.0.0/16", "172.16.0.0/12"]);
    examples! {
        "network-exists", create, [
            "virtualNetwork" [(missing_network)],
            "subnet" [{"subnet": "other"}],
            "nodePools[1].vnetSubnetID" [
                {"[1].vnetSubnetID": SUBNET.replace("nodes", "x")} {"[1].vnetSubnetID": SUBNET.replace("SUB", "sub").replace("/net/", "/other/")}
            ]
        ], [{"subnet": "NODES"}];
        "network-region", create, ["subnet" [(in_network(network_elsewhere))]], [];
        "network-reserved", create, ["subnet" [(in_network(network_with_reserved_range))]], [];
        "network-apart", create, [
            "serviceCidr" [{"serviceCidr": "10.40.2.0/24", "dnsServiceIp": "10.40.2.10"}],
            "podCidr" [{"podCidr": "10.40.0.0/17", "networkPlugin": "kubenet"}],
            // Azure's default range is checked too, against all subnets of the network.
            "serviceCidr" [[
                {"serviceCidr": null, "dnsServiceIp": null}
                (large_network(json!([{"name": "other", "properties": {"addressPrefix": "10.0.8.0/24"}}])))
            ]]
        ], [
            {"podCidr": "10.244.0.0/16", "networkPlugin": "kubenet"}
            {"serviceCidr": "10.40.8.0/24", "dnsServiceIp": "10.40.8.10"}
            [{"serviceCidr": null, "dnsServiceIp": null} (large_network(json!([])))]
        ];
        "network-space-apart", create, ["serviceCidr" [
            {"serviceCidr": "10.40.8.0/24", "dnsServiceIp": "10.40.8.10"}
            [{"serviceCidr": null, "dnsServiceIp": null} (large_network(json!([])))]
        ]], [{"serviceCidr": "10.40.2.0/24", "dnsServiceIp": "10.40.2.10"}];
        "subnet-route-table", create, ["userAssignedIdentity" [
            [{"networkPlugin": "kubenet"} (with_route_table())]
            [{"networkPlugin": "kubenet", "managedIdentity": false, "userAssignedIdentity": IDENTITY} (with_route_table())]
        ]], [
            {"networkPlugin": "kubenet"}
            (with_route_table())
            [{"networkPlugin": "kubenet", "managedIdentity": true, "userAssignedIdentity": IDENTITY} (with_route_table())]
        ];
        "subnets-mixed", create, ["nodePools[1].vnetSubnetID" [[(no_network) {"[1].vnetSubnetID": SUBNET}]]],
            [{"[1].vnetSubnetID": SUBNET} [(no_network) {"[0].vnetSubnetID": SUBNET, "[1].vnetSubnetID": SUBNET}]];
        "subnets-mixed", update, ["nodePools[1].vnetSubnetID" [[(in_managed_network) {"[1].name": "new", "[1].vnetSubnetID": SUBNET}]]],
            [{"[1].name": "new"} [(in_managed_network) {"[1].name": "new"}]];
        "subnets-one-network", create, ["nodePools[1].vnetSubnetID" [{"[1].vnetSubnetID": SUBNET.replace("/net/", "/other/")}]],
            [{"[1].vnetSubnetID": SUBNET.replace("nodes", "more")}];
        "subnets-one-network", update,
            ["nodePools[1].vnetSubnetID" [{"[1].name": "new", "[1].vnetSubnetID": SUBNET.replace("/net/", "/other/")}]],
            [{"[1].name": "new", "[1].vnetSubnetID": SUBNET.replace("nodes", "more")}];
        "subnet-delegated", create,
            ["subnet" [(subnet(json!({"delegations": [{"properties": {"serviceName": "Microsoft.Web/serverFarms"}}]})))]], [];
        "subnet-way-out", create, ["outboundType" [{"outboundType": "userDefinedRouting"} {"outboundType": "userAssignedNATGateway"}]], [
            [{"outboundType": "userDefinedRouting"} (with_route_table())]
            [{"outboundType": "userAssignedNATGateway"} (subnet(json!({"natGateway": {"id": "/x"}})))]
        ];
    }
}

pub(in crate::review::tests) fn addresses() -> Vec<Example> {
    let in_range = |range: &str| subnet(json!({"addressPrefixes": [range]}));
    let in_use = |count: usize| subnet(json!({"ipConfigurations": vec![json!({}); count]}));
    examples! {
        // A node needs 1 + 60 addresses. With surge, the pools have 2 + 1 and 3 + 1 nodes: 427 of the 1024 - 5 addresses.
        "subnet-fits", create, ["subnet" [
            (in_use(593))
            (in_range("10.40.0.0/24"))
            {"[1].maxCount": 14}
            {"[1].maxSurge": "370%", "[1].maxCount": 10}
            [{"networkPlugin": "kubenet"} (in_range("10.40.0.0/29"))]
        ]], [(in_use(592)) {"[1].maxCount": 12} [{"networkPlugin": "kubenet"} (in_range("10.40.0.0/28"))]];
        // The used addresses include those of the cluster.
        "subnet-fits", update, ["nodePools[0].vnetSubnetID" [[{"[1].maxCount": 14} (in_use(244))]]],
            [[{"[1].maxCount": 12} (in_use(427))] [{"[1].maxCount": 2} (in_range("10.40.0.0/26"))]];
        // In an overlay, and with a subnet for pods, only nodes use addresses of the subnet.
        "subnet-fits", update, ["nodePools[0].vnetSubnetID" [[(overlay) {"[1].maxCount": 90} (in_range("10.40.0.0/26"))]]], [
            [(overlay) {"[1].maxCount": 20} (in_range("10.40.0.0/26"))]
            [(pod_subnet) {"[1].maxCount": 20} (in_range("10.40.0.0/26"))]
            [(pod_subnet) {"[1].name": "new", "[1].maxCount": 20} (in_range("10.40.0.0/26"))]
        ];
        "pod-range-fits", update, ["podCidr" [[(overlay) {"azure:podCidr": "10.244.0.0/22", "[1].maxCount": 4}]]],
            [[(overlay) {"[1].maxCount": 4}]];
        "pod-range-fits", create, ["podCidr" [{"networkPlugin": "kubenet", "podCidr": "10.244.0.0/22"}]],
            [{"networkPlugin": "kubenet", "podCidr": "10.244.0.0/21"}];
    }
}
