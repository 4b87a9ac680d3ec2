//! The regions of a subscription, with verdicts for a requested cluster.

use super::vm_sizes::{self, Demand, not_in_region_reason};
use super::{Reason, Verdict, verdict};
use crate::arm::{KubernetesVersion, Location, Usage, VmSku};
use crate::regions;
use crate::review::sources::{SUPPORTED_DOC, ZONES_DOC, learn};
use crate::versions::{self, is_official};

const PROVIDERS_GET_DOC: &str = learn!("Providers, Get", "rest/api/resources/providers/get");
const REGIONS_DOC: &str = learn!("List Azure regions", "rest/api/resources/subscriptions/list-locations");

/// The requested cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionDemand {
    /// The VM size of the nodes, and the other requirements for them.
    pub vm_size: Option<(String, Demand)>,
    /// The Kubernetes version: a patch, or a minor version alone.
    pub version: Option<String>,
    /// The number of availability zones.
    pub zones: usize,
}

/// The known facts about a region; an error is the reason why a part is unknown.
#[derive(Clone, Copy, Debug)]
pub struct RegionFacts<'a> {
    /// The region.
    pub location: &'a Location,
    /// The normalized names of the regions that have AKS.
    pub aks_regions: Result<&'a [String], &'a str>,
    /// Its VM sizes; used only if a size is requested.
    pub sizes: Result<&'a [VmSku], &'a str>,
    /// Its quotas; used only if a size is requested.
    pub usages: Result<&'a [Usage], &'a str>,
    /// Its Kubernetes versions; used only if a version is requested.
    pub versions: Result<&'a [KubernetesVersion], &'a str>,
}

/// A region with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssessedRegion {
    /// For example `eastus`.
    pub name: String,
    /// For example `East US`.
    pub display_name: String,
    /// The zones in which the requested size is usable; without a size, those of the region. Ascending.
    pub zones: Vec<String>,
    /// The number of nodes of the requested size that still fit into the quotas.
    pub nodes: Option<i64>,
    /// Whether the cluster can be created there.
    pub verdict: Verdict,
    /// The reasons, the worst first.
    pub reasons: Vec<Reason>,
}

/// Whether a location has a name and can have clusters, by the rule of the review.
pub fn can_have_clusters(location: &Location) -> bool {
    location.name.is_some() && location.is_physical()
}

/// Assesses a region.
pub fn assess(facts: &RegionFacts<'_>, demand: &RegionDemand, now_ms: i64) -> AssessedRegion {
    let Location { name, display_name, availability_zone_mappings, .. } = facts.location;
    let name = name.clone().unwrap_or_default();
    let zones = availability_zone_mappings.iter().filter_map(|zone| zone.logical_zone.clone());
    let mut region = AssessedRegion {
        display_name: display_name.clone().unwrap_or_else(|| name.clone()),
        zones: zones.collect(),
        nodes: None,
        verdict: Verdict::Usable,
        reasons: Vec::new(),
        name,
    };
    region.reasons.extend(aks_reason(facts.aks_regions, &region.name));
    if let Some((size, node_demand)) = &demand.vm_size {
        region.assess_size(facts, size, node_demand, demand.zones, now_ms);
    }
    if let Some(version) = &demand.version {
        region.reasons.extend(version_reason(facts.versions, version, &region.name));
    }
    region.zones.sort_unstable();
    if region.zones.len() < demand.zones {
        region.reasons.push(too_few_zones_reason(demand.zones, &region));
    }
    region.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.verdict));
    region.verdict = verdict(&region.reasons);
    region
}

impl AssessedRegion {
    fn assess_size(
        &mut self,
        facts: &RegionFacts<'_>,
        name: &str,
        node_demand: &Demand,
        requested_zones: usize,
        now_ms: i64,
    ) {
        let sizes = match facts.sizes {
            Ok(sizes) => sizes,
            Err(cause) => {
                self.reasons.push(unknown_part_reason(
                    "sizesUnknown",
                    &format!("the VM sizes of {} cannot be read", self.name),
                    cause,
                ));
                return;
            }
        };
        let Some(size) = sizes.iter().find(|size| size.is_named(name)) else {
            self.zones.clear();
            self.reasons.push(not_in_region_reason(name, &self.name));
            return;
        };
        let assessed = vm_sizes::assess(size, facts.usages, node_demand, &self.name, now_ms);
        self.zones = size.usable_zones().cloned().collect();
        self.nodes = assessed.quota.nodes;
        // A restricted zone does not matter if enough other zones are usable.
        let has_enough_zones = requested_zones > 0 && self.zones.len() >= requested_zones;
        let is_relevant = |reason: &Reason| !(has_enough_zones && reason.code == "zonesRestricted");
        self.reasons.extend(assessed.reasons.into_iter().filter(is_relevant));
    }
}

/// The reason against a region without AKS.
fn aks_reason(aks_regions: Result<&[String], &str>, region: &str) -> Option<Reason> {
    let aks_regions = match aks_regions {
        Ok(aks_regions) => aks_regions,
        Err(cause) => {
            return Some(unknown_part_reason(
                "aksUnknown",
                &format!("whether AKS is offered in {region} cannot be determined"),
                cause,
            ));
        }
    };
    (!aks_regions.contains(&regions::normalize(region))).then(|| Reason {
        code: "aksNotInRegion",
        message: format!("Azure does not offer AKS to this subscription in {region}"),
        remedy: "use another region".to_owned(),
        source: PROVIDERS_GET_DOC,
        verdict: Verdict::Unusable,
    })
}

/// The reason against a version for a new cluster.
fn version_reason(
    offered: Result<&[KubernetesVersion], &str>,
    version: &str,
    region: &str,
) -> Option<Reason> {
    let offered = match offered {
        Ok(offered) => offered,
        Err(cause) => {
            return Some(unknown_part_reason(
                "versionsUnknown",
                &format!("the Kubernetes versions of {region} cannot be read"),
                cause,
            ));
        }
    };
    let (code, message, verdict) = match versions::find(offered, version) {
        None => (
            "versionNotOffered",
            format!("Kubernetes {version} is not offered in {region}"),
            Verdict::Unusable,
        ),
        Some(minor) if !is_official(minor) => (
            "versionNeedsLongTermSupport",
            format!(
                "Kubernetes {version} is offered in {region} only with long-term support, which this server cannot enable"
            ),
            Verdict::Unusable,
        ),
        Some(minor) if minor.is_preview == Some(true) => (
            "versionPreview",
            format!("Kubernetes {version} is a preview in {region}, without support by Azure"),
            Verdict::Limited,
        ),
        Some(_) => return None,
    };
    let remedy = "use a version that aksVersions lists for the region".to_owned();
    Some(Reason { code, message, remedy, source: SUPPORTED_DOC, verdict })
}

fn too_few_zones_reason(requested: usize, region: &AssessedRegion) -> Reason {
    let (name, usable) = (&region.name, region.zones.len());
    Reason {
        code: "tooFewZones",
        message: format!("{requested} zones are requested, but only {usable} can be used in {name}"),
        remedy: "use fewer zones, or another region or size".to_owned(),
        source: ZONES_DOC,
        verdict: Verdict::Unusable,
    }
}

fn unknown_part_reason(code: &'static str, problem: &str, cause: &str) -> Reason {
    Reason {
        code,
        message: format!("{problem}: {cause}"),
        remedy: "try again, or look it up in the Azure portal".to_owned(),
        source: REGIONS_DOC,
        verdict: Verdict::Limited,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::arm::Lenient;
    use crate::testing::from_json;

    fn summary(
        demand: &RegionDemand,
        change: impl FnOnce(&mut RegionFacts<'_>),
    ) -> (Verdict, String, Option<i64>) {
        let location: Location = from_json(json!({"name": "eastus", "displayName": "East US",
            "availabilityZoneMappings": [{"logicalZone": "2"}, {"logicalZone": "1"}, {"logicalZone": "3"}]}));
        let sizes: Lenient<Vec<VmSku>> =
            from_json(json!([{"resourceType": "virtualMachines", "name": "Standard_D4s_v3",
            "family": "fam", "locationInfo": [{"zones": ["1", "2", "3"]}],
            "capabilities": [{"name": "vCPUs", "value": "4"}, {"name": "MemoryGB", "value": "16"}],
            "restrictions": [{"type": "Zone", "restrictionInfo": {"zones": ["3"]}}]}]));
        let usages: Vec<Usage> =
            from_json(json!([{"name": {"value": "cores"}, "currentValue": 0, "limit": 100},
            {"name": {"value": "fam"}, "currentValue": 0, "limit": 10}]));
        let versions: Vec<KubernetesVersion> = from_json(json!([
            {"version": "1.34", "isPreview": true, "capabilities": {"supportPlan": ["KubernetesOfficial"]}, "patchVersions": {"1.34.1": {}}},
            {"version": "1.33", "capabilities": {"supportPlan": ["KubernetesOfficial"]}, "patchVersions": {"1.33.3": {}}},
            {"version": "1.30", "capabilities": {"supportPlan": ["AKSLongTermSupport"]}, "patchVersions": {"1.30.101": {}}}]));
        let sizes = sizes.0.unwrap();
        let aks_regions = ["eastus".to_owned()];
        let mut facts = RegionFacts {
            location: &location,
            aks_regions: Ok(&aks_regions),
            sizes: Ok(&sizes),
            usages: Ok(&usages),
            versions: Ok(&versions),
        };
        change(&mut facts);
        let region = assess(&facts, demand, 0);
        let codes: Vec<_> = region.reasons.iter().map(|reason| reason.code).collect();
        (region.verdict, codes.join(" "), region.nodes)
    }

    #[test]
    fn region_is_assessed_against_the_demand() {
        use Verdict::{Limited, Unusable, Usable};
        let size = |name: &str, nodes| Some((name.to_owned(), Demand { nodes, ..Demand::default() }));
        let demand = |vm_size, version: Option<&str>, zones| RegionDemand {
            vm_size,
            version: version.map(str::to_owned),
            zones,
        };
        for (demand, verdict, codes, nodes) in [
            (demand(None, None, 0), Usable, "", None),
            (demand(None, None, 3), Usable, "", None),
            (demand(None, None, 4), Unusable, "tooFewZones", None),
            (demand(size("standard_d4s_v3", 1), None, 0), Limited, "zonesRestricted", Some(2)),
            (demand(size("standard_d4s_v3", 1), None, 2), Usable, "", Some(2)),
            (demand(size("standard_d4s_v3", 1), None, 3), Unusable, "tooFewZones zonesRestricted", Some(2)),
            (demand(size("standard_d4s_v3", 3), None, 2), Unusable, "quotaShort", Some(2)),
            (demand(size("Standard_None", 1), None, 0), Unusable, "notInRegion", None),
            (
                demand(size("Standard_None", 1), Some("1.29"), 0),
                Unusable,
                "notInRegion versionNotOffered",
                None,
            ),
            (demand(None, Some("1.33"), 0), Usable, "", None),
            (demand(None, Some("1.33.3"), 0), Usable, "", None),
            (demand(None, Some("1.33.9"), 0), Unusable, "versionNotOffered", None),
            (demand(None, Some("1.34.1"), 0), Limited, "versionPreview", None),
            (demand(None, Some("1.30"), 0), Unusable, "versionNeedsLongTermSupport", None),
        ] {
            assert_eq!(summary(&demand, |_| ()), (verdict, codes.to_owned(), nodes), "{demand:?}");
        }
    }

    #[test]
    fn unknown_parts_limit_the_verdict() {
        let nodes = Demand { nodes: 1, ..Demand::default() };
        let demand = RegionDemand {
            vm_size: Some(("Standard_D4s_v3".to_owned(), nodes)),
            version: Some("1.33".to_owned()),
            zones: 2,
        };
        let assessed = summary(&demand, |facts| {
            facts.sizes = Err("no answer");
            facts.versions = Err("no answer");
        });
        assert_eq!(assessed, (Verdict::Limited, "sizesUnknown versionsUnknown".to_owned(), None));
        let assessed = summary(&RegionDemand::default(), |facts| facts.aks_regions = Err("no answer"));
        assert_eq!(assessed, (Verdict::Limited, "aksUnknown".to_owned(), None));
        let assessed = summary(&demand, |facts| facts.usages = Err("403"));
        assert_eq!(assessed, (Verdict::Limited, "quotaUnknown".to_owned(), None));
    }

    #[test]
    fn region_without_aks_is_unusable() {
        let assessed = summary(&RegionDemand::default(), |facts| facts.aks_regions = Ok(&[]));
        assert_eq!(assessed, (Verdict::Unusable, "aksNotInRegion".to_owned(), None));
    }

    #[test]
    fn logical_and_unnamed_regions_are_excluded() {
        let can_have_clusters = |value: Value| super::can_have_clusters(&from_json(value));
        assert!(can_have_clusters(json!({"name": "eastus", "metadata": {"regionType": "Physical"}})));
        assert!(can_have_clusters(json!({"name": "eastus"})));
        assert!(!can_have_clusters(json!({"name": "europe", "metadata": {"regionType": "Logical"}})));
        assert!(!can_have_clusters(json!({"displayName": "East US"})));
    }
}
