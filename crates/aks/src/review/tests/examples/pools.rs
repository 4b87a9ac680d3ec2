//! Rules about node pools, VM sizes, zones and quotas.

use serde_json::{Value, json};

use crate::review::Read;
use crate::review::tests::example::{Change, Example, boxed, change, examples};
use crate::review::tests::review_input::{ReviewInput, offer, pool, size, sizes as offered, used_cores};
use crate::testing::from_json;

pub(in crate::review::tests) fn pools() -> Vec<Example> {
    let pool_list = |pools: usize, count: i64| -> Vec<Value> {
        (0..pools).map(|n| pool(json!({"name": format!("p{n}"), "count": count}))).collect()
    };
    let with_pools = |pools: usize, count: i64| {
        let pools = pool_list(pools, count);
        move |input: &mut ReviewInput| input.set(json!({"nodePools": pools}))
    };
    examples! {
        "pool-mode", create, ["nodePools[1].mode" [{"[1].mode": "Gateway"}]], [{"[1].mode": "user"}];
        "pool-mode", update, [], [{"azure:[1].mode": "Gateway", "[1].mode": "Gateway"}];
        "pool-count", create, [
            "nodePools[0].count" [{"[0].count": 0} {"[0].count": 1001}],
            "nodePools[1].count" [{"[1].count": -1, "[1].enableAutoScaling": false, "[1].minCount": null}]
        ], [{"[1].count": 0, "[1].enableAutoScaling": false, "[1].minCount": null}];
        "pool-scaling", create, [
            "nodePools[1].minCount" [{"[1].minCount": null}],
            "nodePools[1].maxCount" [{"[1].maxCount": null} {"[1].maxCount": 1001} {"[1].minCount": 0, "[1].maxCount": 0}
                {"[1].minCount": 1, "[1].maxCount": -1}],
            "nodePools[1].minCount" [{"[1].minCount": 4}],
            "nodePools[0].minCount" [{"[0].enableAutoScaling": true, "[0].minCount": 0, "[0].maxCount": 3}],
            "nodePools[0].maxCount" [{"[0].enableAutoScaling": true, "[0].minCount": 1, "[0].maxCount": 0}],
            "nodePools[1].count" [{"[1].count": 4}]
        ], [{"[1].minCount": 0} {"[1].enableAutoScaling": false, "[1].minCount": null, "[1].maxCount": null}];
        "pool-scaling", update, [], [{"[1].count": 9}];
        "pool-scaling-off", create, ["nodePools[1].minCount" [{"[1].enableAutoScaling": false}]],
            [{"[1].enableAutoScaling": false, "[1].maxCount": null}];
        "pool-scaling-off", update, [], [{"[1].enableAutoScaling": false, "[1].minCount": null, "[1].maxCount": null}];
        "pool-limits", create, ["nodePools" [(with_pools(101, 2)) (with_pools(6, 1000))]], [(with_pools(5, 1000))];
        "pods-of-a-node", create, ["nodePools[1].maxPods" [{"[1].maxPods": 9} {"[1].maxPods": 251}]], [{"[1].maxPods": 10} {"[1].maxPods": 250}];
        "pods-of-system-pools", create, ["nodePools[0].maxPods" [{"[0].maxPods": 14}]], [{"[0].maxPods": 15} {"[1].maxPods": 10}];
        "pool-surge", create, ["nodePools[1].maxSurge" [{"[1].maxSurge": "some"} {"[1].maxSurge": "0%"} {"[1].maxSurge": "101%"}]],
            [{"[1].maxSurge": "33%"} {"[1].maxSurge": ""}];
        "disk-size", create, ["nodePools[1].osDiskSizeGB" [{"[1].osDiskSizeGB": 29} {"[1].osDiskSizeGB": 2049}]],
            [{"[1].osDiskSizeGB": 0} {"[1].osDiskSizeGB": 30}];
        "disk-type", create, ["nodePools[1].osDiskType" [{"[1].osDiskType": "Floppy"}]], [{"[1].osDiskType": "managed"}];
    }
}

pub(in crate::review::tests) fn sizes() -> Vec<Example> {
    let restricted = |restriction: Value| size(json!({"restrictions": [restriction]}));
    let capability =
        |name: &str, value: &str| size(json!({"capabilities": [{"name": name, "value": value}]}));
    let family_quota = |input: &mut ReviewInput| {
        let usages = json!([{"name": {"value": "standarddsv3family"}, "currentValue": 0, "limit": 15}]);
        input.azure.usages = Read::Known(from_json(usages));
    };
    examples! {
        "zone-form", create, ["nodePools[1].availabilityZones" [{"[1].availabilityZones": ["eastus-1"]} {"[1].availabilityZones": ["1", "1"]}]],
            [{"[1].availabilityZones": []}];
        "size-exists", create, ["nodePools[1].vmSize" [{"[1].vmSize": "Standard_D4s_v9"}]], [{"[1].vmSize": "STANDARD_d4S_v3"}];
        // The size is no longer offered, but the pool exists.
        "size-exists", update, [], [[(offered(json!([]))) {"[1].maxCount": 4}]];
        "size-usable", create,
            ["nodePools[0].vmSize" [(restricted(json!({"type": "Location", "reasonCode": "NotAvailableForSubscription"})))]],
            [(restricted(json!({"type": "Zone", "restrictionInfo": {"zones": ["3"]}})))];
        "size-of-nodes", create, [
            "nodePools[0].vmSize" [(capability("vCPUs", "1"))],
            "nodePools[1].vmSize" [[{"[1].vmSize": "Basic_A4"} (offered(json!([offer(json!({})), offer(json!({"name": "Basic_A4"}))])))]]
        ], [(capability("vCPUs", "2"))];
        "size-of-system-nodes", create, ["nodePools[0].vmSize" [(capability("MemoryGB", "3.5"))]], [(capability("MemoryGB", "4"))];
        "ephemeral-disk-fits", create, [
            "nodePools[1].osDiskSizeGB" [{"[1].osDiskType": "Ephemeral", "[1].osDiskSizeGB": 101}],
            "nodePools[1].osDiskType" [[{"[1].osDiskType": "ephemeral"} (size(json!({"capabilities": []})))]]
        ], [{"[1].osDiskType": "Ephemeral", "[1].osDiskSizeGB": 100}];
        "zone-offered", create, [
            "nodePools[1].availabilityZones" [{"[1].availabilityZones": ["4"]}],
            "nodePools[0].availabilityZones" [(restricted(json!({"type": "Zone", "restrictionInfo": {"zones": ["1"]}})))]
        ], [{"[1].availabilityZones": ["3", "2", "1"]}];
        "size-architecture", create, ["nodePools[1].vmSize" [[{"[1].osType": "Windows"} (capability("CpuArchitectureType", "Arm64"))]]],
            [(capability("CpuArchitectureType", "Arm64"))];
        "size-retired", create, ["nodePools[0].vmSize" [(capability("RetirementDateUtc", "09/26/1972"))]],
            [(capability("RetirementDateUtc", "09/28/1972"))];
        "size-retires", create, ["nodePools[0].vmSize" [(capability("RetirementDateUtc", "09/28/1972"))]],
            [(capability("RetirementDateUtc", "09/26/1972"))];
        "quota", create, ["nodePools" [(used_cores(85)) (family_quota)]], [(used_cores(84))];
        "quota", update, ["nodePools" [[{"[0].count": 5} (used_cores(93))]]], [[{"[0].count": 3} (used_cores(96))] [{"[1].maxCount": 5} (used_cores(100))]];
        "quota-of-upgrade", update, ["nodePools[0].orchestratorVersion" [
            [{"before:[0].orchestratorVersion": "1.32.6"} (used_cores(97))]
        ]], [[{"before:[0].orchestratorVersion": "1.32.6"} (used_cores(96))] (used_cores(100))];
        "quota-of-autoscaling", create, ["nodePools" [(used_cores(81))]], [(used_cores(80))];
        "quota-of-autoscaling", update, ["nodePools" [[{"[1].maxCount": 5} (used_cores(93))]]], [[{"[1].maxCount": 4} (used_cores(96))]];
    }
}
