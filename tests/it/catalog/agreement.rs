//! Agreement of the catalog and the review in generated cases: the review rejects a VM size exactly if the catalog calls it
//! unusable.

use std::cell::Cell;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::test_catalog::{TestCatalog, sku, usage};

/// The number of cases. A unit test of the same functions compares a thousand (`crates/aks/src/review/tests/vm_sizes.rs`);
/// this test covers the data that the API passes to these functions.
const CASES: u32 = 100;

/// The rules of the review that a verdict of the catalog covers.
const RULES: [&str; 9] = [
    "size-exists",
    "size-usable",
    "size-of-nodes",
    "size-of-system-nodes",
    "size-architecture",
    "size-retired",
    "ephemeral-disk-fits",
    "zone-offered",
    "quota",
];

/// A size and quotas in Azure, and the desired node pool.
#[derive(Clone, Debug)]
struct GeneratedCase {
    sku: Value,
    usages: Vec<Value>,
    query: String,
    pool: Value,
}

fn generated_cases() -> impl Strategy<Value = GeneratedCase> {
    let capability = |name: &'static str, values: &'static [&'static str]| {
        prop::option::weighted(0.8, prop::sample::select(values))
            .prop_map(move |value| value.map(|value| (name, value)))
    };
    let cpu_and_retirement = (
        capability("vCPUs", &["2", "2", "2", "2", "4", "1", "64", "many"]),
        capability("vCPUsAvailable", &["2", "2", "2", "1", "16"]),
        capability("CpuArchitectureType", &["x64", "Arm64"]),
        capability(
            "RetirementDateUtc",
            &["05/01/2028", "05/02/2028", "05/03/2028", "05/04/2028", "soon", "11/22/2026"],
        ),
    );
    let memory_and_disks = (
        capability("MemoryGB", &["16", "16", "4", "3.5", "much"]),
        capability("EphemeralOSDiskSupported", &["True", "True", "true", "False"]),
        capability("CachedDiskBytes", &["0", "32212254720", "107374182400"]),
        capability("MaxResourceVolumeMB", &["0", "76800"]),
    );
    let capabilities = (cpu_and_retirement, memory_and_disks);
    let zones = || prop::sample::subsequence(vec!["1", "2", "3"], 0..=3);
    let restriction = prop_oneof![
        12 => Just(json!([])),
        1 => Just(json!([{"type": "Location", "reasonCode": "NotAvailableForSubscription"}])),
        3 => zones().prop_map(|zones| json!([{"type": "Zone", "restrictionInfo": {"zones": zones}}])),
    ];
    let quota = || prop::option::weighted(0.8, (0..60_i64, 40..300_i64));
    let demand = (
        prop::sample::select(vec!["System", "User"]),
        prop_oneof![3 => Just(Vec::new()), 1 => zones()],
        prop::option::weighted(0.2, prop::sample::select(vec![30_i64, 75, 101, 200])),
        1..20_i64,
    );
    (capabilities, zones(), restriction, quota(), quota(), demand).prop_map(
        |(capabilities, offered, restriction, family, regional, (mode, desired_zones, disk, count))| {
            let (cpu_and_retirement, memory_and_disks) = capabilities;
            let capabilities = [<[_; 4]>::from(cpu_and_retirement), memory_and_disks.into()].concat();
            let capabilities: Vec<_> = capabilities.into_iter().flatten().collect();
            let mut usages = Vec::new();
            usages.extend(family.map(|(used, limit)| usage("standardDSv3Family", used, limit)));
            usages.extend(regional.map(|(used, limit)| usage("cores", used, limit)));
            let mut query = format!("mode={mode}&count={count}&zones={}", desired_zones.join(","));
            if let Some(disk) = disk {
                write!(query, "&ephemeralOsDiskGiB={disk}").unwrap();
            }
            let pool = json!({"name": "pool", "mode": mode, "count": count, "vmSize": "Standard_Made", "osType": "Linux",
                "availabilityZones": desired_zones, "maxPods": 110,
                "osDiskType": if disk.is_some() { "Ephemeral" } else { "Managed" }, "osDiskSizeGB": disk.unwrap_or(128), "enableAutoScaling": false});
            GeneratedCase { sku: sku("Standard_Made", &capabilities, &offered, &restriction), usages, query, pool }
        },
    )
}

/// The rules that reject the pool, in a review of a cluster with it.
async fn rejections(catalog: &TestCatalog, case: &GeneratedCase) -> Vec<String> {
    let body = json!({"name": "made", "aksConfig": {
        "azureCredentialSecret": catalog.credential, "clusterName": "made", "resourceGroup": "rg-made", "resourceLocation": "eastus",
        "kubernetesVersion": "1.33.5", "networkPlugin": "azure", "dnsPrefix": "made", "nodePools": [case.pool],
    }});
    let response = catalog.app.post("/api/v1/aks/review").json(&body).send().await;
    let review = response.json();
    let unchecked = review["unchecked"].as_array().unwrap_or_else(|| panic!("{review}"));
    let is_covered = |entry: &&Value| RULES.contains(&entry["rule"].as_str().unwrap());
    assert!(!unchecked.iter().any(|entry| is_covered(&entry)), "{review}");
    let findings = review["findings"].as_array().unwrap().iter().filter(is_covered);
    let errors = findings.filter(|finding| finding["severity"] == "error");
    errors.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn catalog_and_review_agree() {
    let catalog = TestCatalog::start().await;
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let (usable, unusable) = (Cell::new(0), Cell::new(0));
    let outcome = runner.run(&generated_cases(), |case| {
        let is_usable: Result<bool, TestCaseError> = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                catalog.set_list("skus", std::slice::from_ref(&case.sku));
                catalog.set_list("usages", &case.usages);
                // Past the lifetime of the cached lists.
                catalog.app.clock.advance(std::time::Duration::from_hours(2));
                let call = catalog.app.get(&format!(
                    "/api/v1/vm-sizes?cloudCredentialId={}&region=eastus&{}",
                    catalog.credential, case.query
                ));
                let list = call.header("cache-control", "no-cache").send().await.json();
                let size = &list["data"][0];
                let rejections = rejections(&catalog, &case).await;
                prop_assert_eq!(
                    size["verdict"] == "unusable",
                    !rejections.is_empty(),
                    "{} {:?}",
                    size,
                    rejections
                );
                Ok(rejections.is_empty())
            })
        });
        let count = if is_usable? { &usable } else { &unusable };
        count.set(count.get() + 1);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(usable.get() > 10 && unusable.get() > 10, "{usable:?} {unusable:?}");
}
