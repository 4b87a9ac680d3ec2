//! The VM sizes of a region, with verdicts for requested nodes.

use super::{Reason, Verdict, verdict};
use crate::arm::{Usage, VmSku};
use crate::vm_size::{self, Obstacle, QUOTAS_DOC, Quota, REGIONAL_QUOTA, Requirements};

/// The requested nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// The mode of the pool; `None` for either.
    pub mode: Option<Mode>,
    /// Whether the nodes run Windows.
    pub is_windows: bool,
    /// The required zones of the nodes.
    pub zones: Vec<String>,
    /// The size of the ephemeral OS disk in GiB; `None` for a managed disk.
    pub ephemeral_disk_gib: Option<i64>,
    /// The number of nodes.
    pub nodes: i64,
}

/// The mode of a node pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For the add-ons of AKS; every cluster needs such a pool.
    System,
    /// For workloads.
    User,
}

/// A VM size with its verdict.
#[derive(Clone, Debug)]
pub struct AssessedSize<'a> {
    /// The size.
    pub size: &'a VmSku,
    /// The quotas of the subscription, as far as they are known.
    pub quota: SizeQuota<'a>,
    /// Whether it can be used.
    pub verdict: Verdict,
    /// The reasons, the worst first.
    pub reasons: Vec<Reason>,
}

/// The quotas that limit a VM size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeQuota<'a> {
    /// The quota of its family.
    pub family: Option<Quota<'a>>,
    /// The quota of all vCPUs of the region.
    pub regional: Option<Quota<'a>>,
    /// The number of nodes of this size that still fit into both; `None` if a quota or the number of vCPUs is unknown.
    pub nodes: Option<i64>,
}

impl<'a> SizeQuota<'a> {
    fn find(size: &VmSku, usages: &'a [Usage]) -> Self {
        let family = size.family.as_deref().and_then(|family| Quota::find(usages, family));
        let regional = Quota::find(usages, REGIONAL_QUOTA);
        let vcpus = size.capabilities.quota_vcpus.filter(|vcpus| *vcpus > 0);
        let vcpus_left = family.zip(regional).map(|(family, regional)| family.left().min(regional.left()));
        let nodes = vcpus_left.zip(vcpus).and_then(|(left, vcpus)| left.checked_div(vcpus));
        Self { family, regional, nodes }
    }
}

/// Assesses a size. `usages` are the quotas of the region, or the reason why they are unknown.
pub fn assess<'a>(
    size: &'a VmSku,
    usages: Result<&'a [Usage], &str>,
    demand: &Demand,
    region: &str,
    now_ms: i64,
) -> AssessedSize<'a> {
    let name = size.name.as_deref().unwrap_or_default();
    let required = Requirements {
        zones: &demand.zones,
        // Without a mode, the size is assessed for `System`, with a milder verdict.
        is_system: demand.mode != Some(Mode::User),
        is_windows: demand.is_windows,
        ephemeral_disk: demand.ephemeral_disk_gib.is_some(),
        disk_gib: demand.ephemeral_disk_gib,
        now_ms,
    };
    let quota = SizeQuota::find(size, usages.unwrap_or_default());
    let mut obstacles = vm_size::obstacles(size, &required);
    if demand.is_windows {
        obstacles.push(Obstacle::Windows);
    }
    if demand.mode == Some(Mode::System) {
        obstacles.extend(vm_size::weakness(size).map(Obstacle::WeakForSystemPool));
    }
    let needed_vcpus = size.capabilities.quota_vcpus.unwrap_or_default().saturating_mul(demand.nodes);
    let quotas = [quota.family, quota.regional].into_iter().flatten();
    obstacles.extend(quotas.filter_map(|quota| quota.shortage(needed_vcpus)).map(Obstacle::Quota));
    let mut reasons: Vec<Reason> = obstacles
        .iter()
        .map(|obstacle| to_reason(obstacle, name, region, obstacle_verdict(obstacle, demand)))
        .collect();
    if demand.zones.is_empty()
        && let Some(restriction) = vm_size::zone_obstacle(size, &size.zones)
    {
        reasons.push(to_reason(&restriction, name, region, Verdict::Limited));
    }
    if quota.nodes.is_none() {
        reasons.push(unknown_quota_reason(name, region, usages.err()));
    }
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.verdict));
    AssessedSize { size, quota, verdict: verdict(&reasons), reasons }
}

/// The reason for a size that the region does not have.
pub fn not_in_region_reason(name: &str, region: &str) -> Reason {
    to_reason(&Obstacle::NotInRegion, name, region, Verdict::Unusable)
}

fn obstacle_verdict(obstacle: &Obstacle, demand: &Demand) -> Verdict {
    let is_mode_unknown = demand.mode.is_none() && matches!(obstacle, Obstacle::TooSmallForSystemPool(_));
    if is_mode_unknown || !obstacle.blocks() { Verdict::Limited } else { Verdict::Unusable }
}

fn to_reason(obstacle: &Obstacle, name: &str, region: &str, verdict: Verdict) -> Reason {
    Reason {
        code: obstacle.code(),
        message: obstacle.message(name, region),
        remedy: obstacle.remedy(),
        source: obstacle.source(),
        verdict,
    }
}

/// The reason if the quotas could not be read because of `cause`, or Azure does not list the quota of the size.
fn unknown_quota_reason(name: &str, region: &str, cause: Option<&str>) -> Reason {
    let (cause, remedy) = match cause {
        Some(cause) => (
            cause,
            "let the application read quotas (Microsoft.Compute/locations/usages/read, for example with the role Reader), or \
             look at the quotas of the region in the Azure portal",
        ),
        None => {
            ("Azure lists no quota for this size", "look at the quotas of the region in the Azure portal")
        }
    };
    Reason {
        code: "quotaUnknown",
        message: format!("the quota for {name} in {region} is unknown: {cause}"),
        remedy: remedy.to_owned(),
        source: QUOTAS_DOC,
        verdict: Verdict::Limited,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::arm::Lenient;

    fn size(extra: &[(&str, &str)], restrictions: Value) -> VmSku {
        let mut capabilities = vec![
            json!({"name": "vCPUs", "value": "4"}),
            json!({"name": "MemoryGB", "value": "16"}),
            json!({"name": "EphemeralOSDiskSupported", "value": "True"}),
            json!({"name": "CachedDiskBytes", "value": "107374182400"}),
        ];
        capabilities.extend(extra.iter().map(|(name, value)| json!({"name": name, "value": value})));
        let list = json!([{"resourceType": "virtualMachines", "name": "Standard_D4s_v3", "family": "standardDSv3Family",
            "locationInfo": [{"zones": ["3", "1", "2"]}], "capabilities": capabilities, "restrictions": restrictions}]);
        let list: Lenient<Vec<VmSku>> = serde_json::from_value(list).unwrap();
        list.0.unwrap().remove(0)
    }

    fn usages(family: i64, regional: i64) -> Vec<Usage> {
        let entry =
            |name: &str, left: i64| json!({"name": {"value": name}, "currentValue": 10, "limit": 10 + left});
        serde_json::from_value(json!([entry("cores", regional), entry("StandardDSv3family", family)]))
            .unwrap()
    }

    fn demand() -> Demand {
        Demand { nodes: 1, ..Demand::default() }
    }

    fn summary(size: &VmSku, usages: Result<&[Usage], &str>, demand: &Demand) -> (Verdict, String) {
        let assessed = assess(size, usages, demand, "eastus", 0);
        let codes: Vec<&str> = assessed.reasons.iter().map(|reason| reason.code).collect();
        (assessed.verdict, codes.join(" "))
    }

    #[test]
    fn verdicts_follow_from_the_demand() {
        use Verdict::{Limited, Unusable, Usable};
        let none = json!([]);
        let zone = json!([{"type": "Zone", "restrictionInfo": {"zones": ["3"]}}]);
        let location = json!([{"type": "Location"}]);
        let zones = |zones: &[&str]| Demand {
            zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
            ..demand()
        };
        let mode = |mode: Mode| Demand { mode: Some(mode), ..demand() };
        let disk = |gib: i64| Demand { ephemeral_disk_gib: Some(gib), ..demand() };
        let windows = Demand { is_windows: true, ..demand() };
        let small: &[_] = &[("MemoryGB", "2")];
        let arm: &[_] = &[("CpuArchitectureType", "Arm64")];
        for (extra, restrictions, demand, verdict, codes) in [
            (&[][..], &none, demand(), Usable, ""),
            (&[], &location, demand(), Unusable, "notOfferedToSubscription"),
            (&[], &zone, demand(), Limited, "zonesRestricted"),
            (&[], &zone, zones(&["1", "2"]), Usable, ""),
            (&[], &zone, zones(&["2", "3"]), Unusable, "zonesRestricted"),
            (&[], &none, zones(&["4"]), Unusable, "zonesRestricted"),
            (&[("vCPUs", "1")], &none, demand(), Unusable, "notSupportedByAks"),
            (small, &none, demand(), Limited, "tooSmallForSystemPool"),
            (&[("vCPUs", "2")], &none, mode(Mode::System), Limited, "notRecommendedForSystemPool"),
            (&[("vCPUs", "2")], &none, demand(), Usable, ""),
            // Quotas count the vCPUs that a constrained size cannot use.
            (&[("vCPUsAvailable", "2")], &none, Demand { nodes: 6, ..demand() }, Unusable, "quotaShort"),
            (small, &none, mode(Mode::User), Usable, ""),
            (small, &none, mode(Mode::System), Unusable, "tooSmallForSystemPool"),
            (&[], &none, disk(100), Usable, ""),
            (&[], &none, disk(101), Unusable, "ephemeralDiskTooLarge"),
            (&[("EphemeralOSDiskSupported", "False")], &none, disk(30), Unusable, "noEphemeralDisk"),
            (arm, &none, demand(), Usable, ""),
            (arm, &none, windows.clone(), Unusable, "architectureMismatch windowsNotSupported"),
            (&[], &none, windows, Unusable, "windowsNotSupported"),
            (&[("RetirementDateUtc", "01/02/1970")], &none, demand(), Limited, "retirementAnnounced"),
            (&[("RetirementDateUtc", "01/01/1970")], &none, demand(), Unusable, "retired"),
            (&[], &none, Demand { nodes: 6, ..demand() }, Unusable, "quotaShort"),
            (&[], &none, Demand { nodes: 26, ..demand() }, Unusable, "quotaShort quotaShort"),
            (&[], &none, Demand { nodes: 5, ..demand() }, Usable, ""),
        ] {
            let (size, usages) = (size(extra, restrictions.clone()), usages(20, 100));
            let assessed = summary(&size, Ok(&usages), &demand);
            assert_eq!(assessed, (verdict, codes.to_owned()), "{extra:?} {restrictions} {demand:?}");
            for reason in assess(&size, Ok(&usages), &demand, "eastus", 0).reasons {
                let texts = [&*reason.message, &*reason.remedy, reason.source];
                assert!(texts.iter().all(|text| text.len() > 10), "{reason:?}");
            }
        }
    }

    #[test]
    fn unknown_quotas_limit_the_verdict() {
        let size = size(&[], json!([]));
        assert_eq!(summary(&size, Err("403"), &demand()), (Verdict::Limited, "quotaUnknown".to_owned()));
        assert_eq!(summary(&size, Ok(&[]), &demand()), (Verdict::Limited, "quotaUnknown".to_owned()));
        let reason = assess(&size, Err("no answer"), &demand(), "eastus", 0).reasons.remove(0);
        assert_eq!(reason.message, "the quota for Standard_D4s_v3 in eastus is unknown: no answer");
    }

    #[test]
    fn nodes_are_limited_by_the_smaller_quota() {
        let nodes = |family, regional| {
            let (size, usages) = (size(&[], json!([])), usages(family, regional));
            assess(&size, Ok(&usages), &demand(), "eastus", 0).quota.nodes
        };
        assert_eq!(nodes(20, 100), Some(5));
        assert_eq!(nodes(200, 7), Some(1));
        assert_eq!(nodes(-5, 7), Some(0));
    }
}
