//! VM sizes: about a thousand in every region, generated from the families. Availability, zones and restrictions are derived
//! from the name of the region, so that they never change.

pub(crate) mod family;
mod offer;
mod wire;

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;

use family::{Family, Size};
pub(crate) use offer::SizeOffer;
use wire::{Capability, LocationInfo, Restriction, RestrictionInfo, Sku, VmSize, ZoneDetails};

use crate::data::Region;

/// The OS disk of every size, in MiB.
const OS_DISK_MIB: u32 = 1_047_552;
/// Sizes in examples and forms: available in every zone, without restrictions.
const COMMON_SIZES: [&str; 5] = ["D2s_v3", "D2as_v5", "D4s_v5", "D8s_v5", "DS2_v2"];
/// A hash that results in every zone and no restriction.
const UNRESTRICTED_HASH: u64 = 40;

/// The VM sizes of a region, as JSON.
pub(crate) struct Listing {
    /// The entries of `skus`, joined by commas.
    pub(crate) skus: Bytes,
    /// The ranges of the entries in `skus`.
    pub(crate) ranges: Vec<Range<usize>>,
    /// The entries of `vmSizes`, joined by commas.
    pub(crate) vm_sizes: Bytes,
    /// By lower-case name.
    pub(crate) offers: BTreeMap<String, SizeOffer>,
}

/// Generates the sizes of a region.
pub(crate) fn listing(families: &[Family], region: &Region) -> Listing {
    let mut skus = JsonEntries::default();
    let mut vm_sizes = JsonEntries::default();
    let mut offers = BTreeMap::new();
    for sku in other_skus(region) {
        skus.push(&sku);
    }
    for family in families {
        // The main region of each cloud has every size.
        if !is_main_region(region) && hash(&[&region.name, &family.title]) % 100 >= family.reach {
            continue;
        }
        for size in family.sizes() {
            let tier = if family.is("basic") { "Basic" } else { "Standard" };
            let full_name =
                if family.is("basic") { size.name.clone() } else { format!("Standard_{}", size.name) };
            let sku = sku(family, &size, tier, &full_name, region);
            offers.insert(full_name.to_ascii_lowercase(), size_offer(&sku, size.cores));
            skus.push(&sku);
            vm_sizes.push(&VmSize {
                name: &full_name,
                number_of_cores: size.cores,
                os_disk: OS_DISK_MIB,
                temp_disk: family.temp * u64::from(size.cores),
                memory: mebibytes(size.memory),
                max_data_disk_count: max_data_disks(size.cores),
            });
        }
    }
    Listing { skus: skus.text.into(), ranges: skus.ranges, vm_sizes: vm_sizes.text.into(), offers }
}

/// The availability of a size for AKS.
fn size_offer(sku: &Sku<'_>, cores: u32) -> SizeOffer {
    let restricted_by = |kind: &str| sku.restrictions.iter().find(|restriction| restriction.r#type == kind);
    let closed_zones =
        restricted_by("Zone").map(|restriction| restriction.info.zones.as_slice()).unwrap_or_default();
    let zones = sku.location_info.iter().flat_map(|info| &info.zones);
    SizeOffer {
        family: sku.family.to_owned(),
        cores,
        zones: zones.filter(|zone| !closed_zones.contains(zone)).cloned().collect(),
        restricted: restricted_by("Location").is_some(),
    }
}

#[derive(Default)]
struct JsonEntries {
    text: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl JsonEntries {
    fn push(&mut self, entry: &impl Serialize) {
        if !self.text.is_empty() {
            self.text.push(b',');
        }
        let start = self.text.len();
        // Serializing plain structs to memory cannot fail.
        if serde_json::to_writer(&mut self.text, entry).is_ok() {
            self.ranges.push(start..self.text.len());
        }
    }
}

fn is_main_region(region: &Region) -> bool {
    ["eastus", "chinanorth3", "usgovvirginia"].contains(&&*region.name)
}

fn sku<'a>(family: &'a Family, size: &'a Size, tier: &'a str, name: &'a str, region: &'a Region) -> Sku<'a> {
    let is_common = COMMON_SIZES.contains(&&*size.name);
    let size_hash = if is_common { UNRESTRICTED_HASH } else { hash(&[&region.name, name]) };
    let zones = zones(region, family, size_hash);
    let zone_details = if family.is("premium") && zones.len() == 3 && size_hash.is_multiple_of(3) {
        let capabilities = vec![Capability { name: "UltraSSDAvailable", value: "True".to_owned() }];
        vec![ZoneDetails { name: shuffled_zones(region.zones, size_hash / 7), capabilities }]
    } else {
        Vec::new()
    };
    Sku {
        resource_type: "virtualMachines",
        name,
        tier,
        size: size.name.strip_prefix("Basic_").unwrap_or(&size.name),
        family: &family.title,
        locations: [&region.name],
        restrictions: restrictions(region, family, &zones, size_hash),
        location_info: [LocationInfo { location: &region.name, zones, zone_details }],
        capabilities: capabilities(family, size),
    }
}

/// The zones of a size, unordered as in Azure.
fn zones(region: &Region, family: &Family, size_hash: u64) -> Vec<String> {
    if region.zones == 0 || family.is("old") {
        return Vec::new();
    }
    let mut zones = shuffled_zones(region.zones, size_hash);
    // Up to a third of the sizes is missing in some zones or in all.
    match size_hash % 12 {
        0 => zones.truncate(1),
        1 | 2 => zones.truncate(2),
        3 if family.reach < 60 => zones.clear(),
        _ => {}
    }
    zones
}

/// The numbers 1 to `count` in an order derived from `seed`.
fn shuffled_zones(count: u8, mut seed: u64) -> Vec<String> {
    let mut remaining: Vec<u8> = (1..=count).collect();
    let mut zones = Vec::with_capacity(remaining.len());
    while !remaining.is_empty() {
        let len = remaining.len() as u64;
        zones.push(remaining.remove(usize::try_from(seed % len).unwrap_or(0)).to_string());
        seed /= len;
    }
    zones
}

fn restrictions<'a>(
    region: &'a Region,
    family: &Family,
    zones: &[String],
    size_hash: u64,
) -> Vec<Restriction<'a>> {
    let restriction = |r#type, zones| Restriction {
        r#type,
        values: [&region.name],
        info: RestrictionInfo { locations: [&region.name], zones },
        reason_code: "NotAvailableForSubscription",
    };
    let is_scarce = family.reach < 50 || family.is("old");
    let mut restrictions = Vec::new();
    let is_region_restricted = size_hash % 100 < if is_scarce { 35 } else { 3 };
    if is_region_restricted {
        restrictions.push(restriction("Location", Vec::new()));
    }
    if !zones.is_empty() && (is_region_restricted || size_hash.is_multiple_of(9)) {
        let mut closed_zones = zones.to_vec();
        closed_zones.sort();
        if !is_region_restricted {
            closed_zones.truncate(1);
        }
        restrictions.push(restriction("Zone", closed_zones));
    }
    restrictions
}

fn capabilities(family: &Family, size: &Size) -> Vec<Capability> {
    let mut all = Capabilities(Vec::with_capacity(32));
    all.machine(family, size);
    all.disks(family, size);
    all.number("MaxNetworkInterfaces", u64::from(size.cores.clamp(2, 8)));
    all.flag("AcceleratedNetworkingEnabled", family.is("accelerated") && size.cores > 1);
    all.flag("RdmaEnabled", family.is("rdma"));
    all.0
}

struct Capabilities(Vec<Capability>);

impl Capabilities {
    fn text(&mut self, name: &'static str, value: &str) {
        self.0.push(Capability { name, value: value.to_owned() });
    }

    fn number(&mut self, name: &'static str, value: u64) {
        self.0.push(Capability { name, value: value.to_string() });
    }

    fn flag(&mut self, name: &'static str, on: bool) {
        self.text(name, if on { "True" } else { "False" });
    }

    fn machine(&mut self, family: &Family, size: &Size) {
        let (is_premium, is_arm, is_burstable) = (family.is("premium"), family.is("arm"), family.is("burst"));
        self.number("vCPUs", u64::from(size.cores));
        self.number("vCPUsAvailable", u64::from(size.active_cores));
        let is_single_threaded = is_arm || is_burstable || family.is("rdma") || size.cores == 1;
        self.number("vCPUsPerCore", if is_single_threaded { 1 } else { 2 });
        if !family.is("nvme") {
            self.text("ACUs", if family.is("old") { "100" } else { "195" });
        }
        if let Some(gpus) = size.gpus {
            self.number("GPUs", u64::from(gpus));
        }
        self.text("MemoryGB", &size.memory.to_string());
        if let Some(date) = &family.retires {
            self.text("RetirementDateUtc", date);
        }
        self.flag("MemoryPreservingMaintenanceSupported", size.gpus.is_none() && !family.is("rdma"));
        self.text("CpuArchitectureType", if is_arm { "Arm64" } else { "x64" });
        self.text("HyperVGenerations", generations(family));
        if family.is("confidential") {
            self.text("ConfidentialComputingType", "SNP");
        }
        self.text("VMDeploymentTypes", if is_premium { "IaaS" } else { "IaaS,PaaS" });
        self.flag("LowPriorityCapable", !is_burstable && !family.is("old"));
        self.flag("CapacityReservationSupported", is_premium && !is_burstable);
        self.flag("EncryptionAtHostSupported", is_premium);
    }

    fn disks(&mut self, family: &Family, size: &Size) {
        let cores = u64::from(size.cores);
        let (temp_mib, is_premium) = (family.temp * cores, family.is("premium"));
        self.number("MaxResourceVolumeMB", temp_mib);
        self.number("OSVhdSizeMB", u64::from(OS_DISK_MIB));
        self.number("MaxDataDiskCount", u64::from(max_data_disks(size.cores)));
        self.flag("PremiumIO", is_premium);
        self.flag("EphemeralOSDiskSupported", is_premium && temp_mib > 0);
        if is_premium && temp_mib > 0 {
            self.text("SupportedEphemeralOSDiskPlacements", "ResourceDisk,CacheDisk");
        }
        if family.is("nvme") {
            self.text("DiskControllerTypes", if family.is("arm") { "SCSI, NVMe" } else { "NVMe" });
        }
        if temp_mib > 0 {
            self.number("CombinedTempDiskAndCachedIOPS", cores * 4_750);
            self.number("CombinedTempDiskAndCachedReadBytesPerSecond", cores * 33_554_432);
            self.number("CombinedTempDiskAndCachedWriteBytesPerSecond", cores * 33_554_432);
        }
        if is_premium {
            self.number("CachedDiskBytes", cores * 26_843_545_600);
            self.flag("UltraSSDAvailable", true);
        }
        self.number("UncachedDiskIOPS", (cores * 1_875).min(80_000));
        self.number("UncachedDiskBytesPerSecond", (cores * 44_564_480).min(2_726_297_600));
    }
}

fn generations(family: &Family) -> &'static str {
    if family.is("gen2") || family.is("arm") {
        "V2"
    } else if family.is("gen12") {
        "V1,V2"
    } else {
        "V1"
    }
}

fn max_data_disks(cores: u32) -> u32 {
    (cores * 2).clamp(2, 64)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few terabytes at most")]
fn mebibytes(gibibytes: f64) -> u64 {
    (gibibytes * 1_024.0).round() as u64
}

/// The entries of `skus` other than VM sizes.
fn other_skus(region: &Region) -> Vec<Sku<'_>> {
    let new_sku = |resource_type, name, tier, size, family, zones| Sku {
        resource_type,
        name,
        tier,
        size,
        family,
        locations: [region.name.as_str()],
        location_info: [LocationInfo { location: &region.name, zones, zone_details: Vec::new() }],
        capabilities: Vec::new(),
        restrictions: Vec::new(),
    };
    let capability = |name, value: &str| Capability { name, value: value.to_owned() };
    let mut all = Vec::new();
    for (name, fault_domains) in [("Classic", "3"), ("Aligned", "3")] {
        let mut sku = new_sku("availabilitySets", name, "", "", "", Vec::new());
        sku.capabilities.push(capability("MaximumPlatformFaultDomainCount", fault_domains));
        all.push(sku);
    }
    for (name, tier, sizes) in [
        ("Standard_LRS", "Standard", ["S4", "S10", "S30"]),
        ("StandardSSD_LRS", "Standard", ["E4", "E10", "E30"]),
        ("Premium_LRS", "Premium", ["P4", "P10", "P30"]),
    ] {
        for (size, gibibytes) in sizes.into_iter().zip(["32", "128", "1024"]) {
            let mut sku = new_sku("disks", name, tier, size, "", shuffled_zones(region.zones, hash(&[size])));
            sku.capabilities.push(capability("MaxSizeGiB", gibibytes));
            sku.capabilities.push(capability("MaxIOps", "500"));
            all.push(sku);
        }
    }
    for name in ["Standard_LRS", "Standard_ZRS"] {
        all.push(new_sku("snapshots", name, "Standard", "", "", Vec::new()));
    }
    for (name, family) in [("DSv3-Type4", "standardDSv3Family"), ("ESv5-Type1", "standardESv5Family")] {
        let mut sku =
            new_sku("hostGroups/hosts", name, "", "", family, shuffled_zones(region.zones, hash(&[name])));
        sku.capabilities.push(capability("vCPUs", "119"));
        all.push(sku);
    }
    all
}

/// A hash of the parts that is the same on every machine.
pub(crate) fn hash(parts: &[&str]) -> u64 {
    fnv1a(&(parts.join("\n") + "\n"))
}

/// FNV-1a, which is the same on every machine, unlike the standard library's hashes.
pub(crate) fn fnv1a(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Mixes the high bits into the low ones, which are weak in FNV.
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clouds::Cloud;
    use crate::data::Catalog;

    #[test]
    fn region_lists_a_thousand_sizes() {
        let catalog = Catalog::load().unwrap();
        let listing = listing(&catalog.families, catalog.region(Cloud::Public, "eastus").unwrap());
        assert!((1_400_000..2_200_000).contains(&listing.skus.len()), "{}", listing.skus.len());
        let all: Vec<serde_json::Value> =
            serde_json::from_str(&format!("[{}]", std::str::from_utf8(&listing.skus).unwrap())).unwrap();
        assert_eq!(all.len(), listing.ranges.len());
        let machines: Vec<_> = all.iter().filter(|sku| sku["resourceType"] == "virtualMachines").collect();
        assert!((1_000..1_200).contains(&machines.len()), "{}", machines.len());
        let names: std::collections::HashSet<_> =
            machines.iter().map(|sku| sku["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), machines.len(), "no duplicate sizes");
        assert!(names.contains("Standard_E96-48ads_v5"), "constrained sizes");
        for size in COMMON_SIZES {
            let sku = machines.iter().find(|sku| sku["size"] == size).unwrap();
            assert_eq!(sku["restrictions"], serde_json::json!([]), "{size}");
            assert_eq!(sku["locationInfo"][0]["zones"].as_array().unwrap().len(), 3, "{size}");
        }
        let sorted = |sku: &&&serde_json::Value| {
            sku["locationInfo"][0]["zones"].as_array().unwrap().is_sorted_by_key(serde_json::Value::to_string)
        };
        assert!(machines.iter().filter(|sku| !sorted(sku)).count() > 200, "zones are not sorted");
        for restriction_type in ["Location", "Zone"] {
            let restricted = machines.iter().filter(|sku| {
                sku["restrictions"].as_array().unwrap().iter().any(|r| r["type"] == restriction_type)
            });
            assert!(restricted.count() > 20, "{restriction_type}");
        }
    }

    #[test]
    fn regions_differ_deterministically() {
        let catalog = Catalog::load().unwrap();
        let listing_of = |name| listing(&catalog.families, catalog.region(Cloud::Public, name).unwrap());
        assert!(listing_of("westus").skus.len() < listing_of("eastus").skus.len());
        assert_eq!(listing_of("westus").skus, listing_of("westus").skus);
        assert!(
            !listing_of("westus").skus.windows(12).any(|w| w == b"\"zones\":[\"1\""),
            "no zones in that region"
        );
    }
}
