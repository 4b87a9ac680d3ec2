//! Examples of every rule, by subject.

mod azure;
mod changes;
mod networks;
mod pools;
mod specification;
mod versions;

use serde_json::json;

use super::example::{Behavior, Change, Example, behavior_table, boxed, change};
use super::review_input::{
    IDENTITY, ReviewInput, SUBNET, in_managed_network, large_network, long_term_support, overlay, subnet,
};

pub(super) fn all_examples() -> Vec<Example> {
    let subjects = [
        specification::required(),
        specification::combinations(),
        specification::names(),
        specification::metadata(),
        specification::security(),
        specification::advice(),
        networks::ranges(),
        networks::networks(),
        networks::addresses(),
        versions::versions(),
        pools::pools(),
        pools::sizes(),
        azure::access(),
        azure::existing(),
        changes::fixed(),
        changes::not_managed(),
        changes::set_too_late(),
        changes::without_effect(),
    ];
    subjects.into_iter().flatten().collect()
}

/// Rules about networks, versions, Windows pools and regions for which Azure's behavior was verified.
pub(super) fn behaviors() -> Vec<Behavior> {
    behavior_table! {
        "service-range-size", create,
            "serviceCidr 10.0.0.0/13" {"serviceCidr": "10.0.0.0/13"},
            "serviceCidr 10.64.0.0/12" {"serviceCidr": "10.64.0.0/12", "dnsServiceIp": "10.64.0.10"};
        "ranges-reserved", create,
            "serviceCidr 172.29.0.0/16" {"serviceCidr": "172.29.0.0/16", "dnsServiceIp": "172.29.0.10"},
            "serviceCidr 172.30.0.0/16" {"serviceCidr": "172.30.0.0/16", "dnsServiceIp": "172.30.0.10"};
        "dns-address", create,
            "dnsServiceIp 10.1.0.2 in 10.1.0.0/16" {"dnsServiceIp": "10.1.0.2"},
            "dnsServiceIp 10.1.0.1, the first address" {"dnsServiceIp": "10.1.0.1"};
        "network-apart", create,
            "services 10.0.0.0/16 and nodes 10.240.0.0/16 in the network 10.0.0.0/8"
                [{"serviceCidr": null, "dnsServiceIp": null} (large_network(json!([])))],
            "services 10.240.8.0/24 in the subnet 10.240.0.0/16"
                [{"serviceCidr": "10.240.8.0/24", "dnsServiceIp": "10.240.8.10"} (large_network(json!([])))];
        "subnet-fits", update,
            "an overlay that grows to 20 nodes in a /26"
                [(overlay) {"[1].maxCount": 20} (subnet(json!({"addressPrefixes": ["10.40.0.0/26"]})))],
            "an overlay that grows to 90 nodes in a /26"
                [(overlay) {"[1].maxCount": 90} (subnet(json!({"addressPrefixes": ["10.40.0.0/26"]})))];
        "subnet-delegated", create,
            "a subnet without a delegation" {},
            "a subnet that is delegated to Microsoft.Web/serverFarms"
                (subnet(json!({"delegations": [{"properties": {"serviceName": "Microsoft.Web/serverFarms"}}]})));
        "subnet-way-out", create,
            "userDefinedRouting in a subnet with a route table"
                [{"outboundType": "userDefinedRouting"} (subnet(json!({"routeTable": {"id": "/tables/rt"}})))],
            "userDefinedRouting in a subnet without a route table" {"outboundType": "userDefinedRouting"};
        "subnet-route-table", create,
            "kubenet with a user-assigned identity in a subnet with a route table"
                [{"networkPlugin": "kubenet", "managedIdentity": true, "userAssignedIdentity": IDENTITY} (subnet(json!({"routeTable": {"id": "/tables/rt"}})))],
            "kubenet with a system-assigned identity in such a subnet"
                [{"networkPlugin": "kubenet"} (subnet(json!({"routeTable": {"id": "/tables/rt"}})))];
        "subnets-mixed", update,
            "a new pool without a subnet, which gets that of the others" {"[1].name": "new"},
            "a pool with a subnet beside pools in Azure's own network" [(in_managed_network) {"[1].name": "new", "[1].vnetSubnetID": SUBNET}];
        "subnets-one-network", update,
            "pools in two subnets of one network" {"[1].name": "new", "[1].vnetSubnetID": SUBNET.replace("nodes", "more")},
            "pools in two networks" {"[1].name": "new", "[1].vnetSubnetID": SUBNET.replace("/net/", "/other/")};
        "linux-pools", update,
            "a Windows pool that is in Azure, scaled" {"azure:[1].osType": "Windows", "[1].osType": "Windows", "[1].maxCount": 4},
            "a new Windows pool in a cluster that was created without a Windows profile" {"[1].name": "win", "[1].osType": "Windows"};
        "network-isolation", update,
            "network policies with cilium" [(overlay) (|input| input.isolation = true)],
            "network policies where no engine enforces them" [(overlay) {"azure:networkPolicy": "none"} (|input| input.isolation = true)];
        "region-exists", create,
            "eastus" {},
            "middleearth" {"resourceLocation": "middleearth"};
        "version-one-minor", update,
            "1.30.100 to 1.32.7 with long-term support" [(long_term_support) {"kubernetesVersion": "1.32.7"}],
            "1.32.7 to 1.34.1" {"kubernetesVersion": "1.34.1"};
        "version-not-lowered", update,
            "1.32 where 1.32.7 runs: nothing changes" {"kubernetesVersion": "1.32"},
            "1.32.6 where 1.32.7 runs" {"kubernetesVersion": "1.32.6"};
        "pool-version-offered", update,
            "a pool of 1.30.101 in a cluster with long-term support"
                [(long_term_support) {"[1].name": "older", "[1].orchestratorVersion": "1.30.101"}],
            "a pool of 1.30.101 in a cluster of 1.32.7 without long-term support" {"[1].name": "older", "[1].orchestratorVersion": "1.30.101"};
    }
}
