//! Compares the catalog's verdicts on VM sizes with the review: a size is unusable for nodes if and only if the review of a
//! cluster with these nodes has an error about the size.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::review_input::{DAY_MS, ReviewInput, offer, pool, sizes};
use crate::catalog::Verdict;
use crate::catalog::vm_sizes::{Demand, Mode, assess};
use crate::review::Read;
use crate::testing::from_json;

/// The rules of the review for which the catalog has reasons.
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

/// A VM size in Azure, and a demand for nodes of this size.
#[derive(Clone, Debug)]
struct SizeCase {
    size: Value,
    usages: Value,
    demand: Demand,
}

impl SizeCase {
    /// The verdict of the catalog, and the rules that reject a cluster with the nodes.
    fn verdicts(&self) -> (Verdict, Vec<String>) {
        let Demand { mode, zones, ephemeral_disk_gib, nodes, .. } = &self.demand;
        let mut input = ReviewInput::create();
        sizes(json!([self.size]))(&mut input);
        input.azure.usages = Read::Known(from_json(self.usages.clone()));
        let mode = if *mode == Some(Mode::System) { "System" } else { "User" };
        let disk_type = if ephemeral_disk_gib.is_some() { "Ephemeral" } else { "Managed" };
        input.spec["nodePools"] = json!([pool(json!({
            "mode": mode, "count": nodes, "availabilityZones": zones, "osDiskType": disk_type,
            "osDiskSizeGB": ephemeral_disk_gib.unwrap_or(128),
        }))]);
        let review = input.review();
        let is_unchecked = review.unchecked.iter().any(|entry| RULES.contains(&entry.rule.as_str()));
        assert!(!is_unchecked, "{review:?}");
        let errors = review.errors().filter(|finding| RULES.contains(&finding.rule.as_str()));
        let errors = errors.map(|finding| finding.rule.clone()).collect();
        let size = &input.azure.sizes.known().unwrap()[0];
        let usages = input.azure.usages.known().unwrap();
        (assess(size, Ok(usages), &self.demand, "eastus", input.facts.now_ms).verdict, errors)
    }
}

fn size_cases() -> impl Strategy<Value = SizeCase> {
    let capability = |name: &'static str, values: &'static [&'static str]| {
        prop::option::weighted(0.8, prop::sample::select(values))
            .prop_map(move |value| value.map(|value| json!({"name": name, "value": value})))
    };
    let capabilities = (
        capability("vCPUs", &["2", "2", "2", "2", "4", "1", "64", "many"]),
        capability("vCPUsAvailable", &["2", "2", "2", "1", "16"]),
        capability("CpuArchitectureType", &["x64", "Arm64"]),
        // The time of the reviews is 1972-09-27.
        capability(
            "RetirementDateUtc",
            &["09/26/1972", "09/27/1972", "09/28/1972", "09/30/1972", "05/01/1974", "soon"],
        ),
        capability("MemoryGB", &["16", "16", "4", "3.5", "much"]),
        capability("EphemeralOSDiskSupported", &["True", "True", "true", "False"]),
        capability("CachedDiskBytes", &["0", "32212254720", "107374182400"]),
        capability("MaxResourceVolumeMB", &["0", "76800"]),
    );
    let zones = || prop::sample::subsequence(vec!["1", "2", "3"], 0..=3);
    let restrictions = prop_oneof![
        12 => Just(json!([])),
        1 => Just(json!([{"type": "Location", "reasonCode": "NotAvailableForSubscription"}])),
        3 => zones().prop_map(|zones| json!([{"type": "Zone", "restrictionInfo": {"zones": zones}}])),
    ];
    let quota = |name: &'static str| {
        prop::option::weighted(0.8, (0..60_i64, 40..300_i64)).prop_map(move |quota| {
            quota.map(|(used, limit)| json!({"name": {"value": name}, "currentValue": used, "limit": limit}))
        })
    };
    let demand = (
        prop::sample::select(vec![Mode::System, Mode::User]),
        prop_oneof![3 => Just(Vec::new()), 1 => zones()],
        prop::option::weighted(0.2, prop::sample::select(vec![30_i64, 75, 101, 200])),
        1..20_i64,
    )
        .prop_map(|(mode, zones, ephemeral_disk_gib, nodes)| Demand {
            mode: Some(mode),
            is_windows: false,
            zones: zones.into_iter().map(str::to_owned).collect(),
            ephemeral_disk_gib,
            nodes,
        });
    (capabilities, zones(), restrictions, quota("standardDSv3Family"), quota("cores"), demand).prop_map(
        |(capabilities, offered_zones, restrictions, family, regional, demand)| {
            let (vcpus, available, architecture, retirement, memory, ephemeral, cache, disk) = capabilities;
            let capabilities = [vcpus, available, architecture, retirement, memory, ephemeral, cache, disk];
            let capabilities: Vec<Value> = capabilities.into_iter().flatten().collect();
            let size = offer(json!({"capabilities": capabilities, "restrictions": restrictions,
                "locationInfo": [{"zones": offered_zones}]}));
            let usages: Vec<Value> = [family, regional].into_iter().flatten().collect();
            SizeCase { size, usages: usages.into(), demand }
        },
    )
}

#[test]
fn review_agrees_with_the_verdict_on_a_size() {
    assert_eq!(ReviewInput::create().facts.now_ms, 1_000 * DAY_MS, "1972-09-27");
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(1_000) });
    let (usable, unusable) = (Cell::new(0), Cell::new(0));
    let outcome = runner.run(&size_cases(), |case| {
        let (verdict, errors) = case.verdicts();
        prop_assert_eq!(verdict == Verdict::Unusable, !errors.is_empty(), "{:?} {:?}", verdict, errors);
        let count = if errors.is_empty() { &usable } else { &unusable };
        count.set(count.get() + 1);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(usable.get() > 100 && unusable.get() > 100, "{usable:?} {unusable:?}");
}
