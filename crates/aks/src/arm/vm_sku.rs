//! A VM size in `Microsoft.Compute/skus`, with the restrictions of the subscription.
//!
//! A page of that list contains about a thousand entries in 1.5 MB. Only a tenth of it is used; the rest is skipped without
//! allocating values.

use std::borrow::Cow;

use serde::de::{IgnoredAny, MapAccess, SeqAccess};
use serde::{Deserialize, Serialize};

use super::lenient::{FromJson, Lenient, or_default, or_none, read_from_object, read_object};

/// The resource type of VM sizes; the list also contains disks and other resources.
const RESOURCE_TYPE: &str = "virtualMachines";

/// A VM size that Azure offers in a region. Entries with another `resourceType` are skipped.
/// Azure's lists are read through the lenient [`FromJson`]; `Serialize` and `Deserialize` are for copies that this program saves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct VmSku {
    /// For example `Standard_D2s_v5`.
    pub name: Option<String>,
    /// The quota that applies to it, for example `standardDSv5Family`.
    pub family: Option<String>,
    /// The zones in which it exists, in Azure's order, for example `3`, `1`, `2`.
    pub zones: Vec<String>,
    /// Whether the subscription may not use it anywhere in the region.
    pub restricted: bool,
    /// The zones in which the subscription may not use it.
    pub restricted_zones: Vec<String>,
    /// Its properties.
    pub capabilities: VmCapabilities,
}

/// The properties of a VM size.
#[expect(clippy::struct_excessive_bools, reason = "Azure has one capability for each")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct VmCapabilities {
    /// Whether `AcceleratedNetworkingEnabled` is `True`, both case-sensitive.
    pub accelerated_networking: bool,
    /// The number of vCPUs that can be used.
    pub vcpus: Option<i64>,
    /// The number of vCPUs that quotas count, including those that a constrained size cannot use.
    pub quota_vcpus: Option<i64>,
    /// Memory in MiB.
    pub memory_mib: Option<i64>,
    /// `x64` or `Arm64`; older lists lack it.
    pub architecture: Option<String>,
    /// The number of GPUs.
    pub gpus: i64,
    /// The maximum number of data disks.
    pub data_disks: i64,
    /// The size in GiB of the temporary disk or, without one, of the NVMe disks.
    pub temporary_disk_gib: i64,
    /// Whether it supports an ephemeral OS disk.
    pub ephemeral_disk: bool,
    /// The maximum size of an ephemeral OS disk in GiB: in the cache, on the temporary disk or, if Azure lists that placement, on
    /// an NVMe disk.
    pub ephemeral_gib: i64,
    /// Whether it supports premium storage.
    pub premium_storage: bool,
    /// Whether its disks can be encrypted at the host.
    pub encryption_at_host: bool,
    /// Whether it is available as spot capacity.
    pub spot: bool,
    /// The technology of confidential computing, for example `SNP`; `None` without it.
    pub confidential: Option<String>,
    /// The date of its retirement, if Azure has announced one.
    pub retirement: Option<CalendarDate>,
}

/// A date as year, month and day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct CalendarDate {
    year: i64,
    month: i64,
    day: i64,
}

impl CalendarDate {
    /// Parses Azure's format, `09/03/2024` for the third of September.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('/').map(str::parse::<i64>);
        let (month, day, year) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        let is_date = (1..=12).contains(&month) && (1..=31).contains(&day) && (1970..=9999).contains(&year);
        (is_date && parts.next().is_none()).then_some(Self { year, month, day })
    }

    /// The start of the day (UTC), in milliseconds since 1970.
    pub fn start_ms(self) -> i64 {
        // Days from the civil calendar, with years that start in March, so that a leap day is the last day of a year.
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let month = (self.month + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
        days * 24 * 3_600 * 1_000
    }
}

impl std::fmt::Display for CalendarDate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl VmCapabilities {
    /// Memory in GiB.
    #[expect(clippy::cast_precision_loss, reason = "no machine has 2^53 MiB")]
    pub fn memory_gib(&self) -> Option<f64> {
        self.memory_mib.map(|mib| mib as f64 / 1_024.0)
    }
}

impl VmSku {
    /// The zones in which the subscription may use it.
    pub fn usable_zones(&self) -> impl Iterator<Item = &String> {
        self.zones.iter().filter(|zone| !self.restricted_zones.contains(zone))
    }

    /// Whether it has this name, in any letter case.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name))
    }

    /// The approximate size of this value in memory, in bytes.
    pub fn weight(&self) -> usize {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let zones = (self.zones.len() + self.restricted_zones.len()) * (size_of::<String>() + 8);
        size_of::<Self>() + len(&self.name) + len(&self.family) + zones
    }
}

impl<'de> FromJson<'de> for VmSku {
    fn from_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut sku = Self::default();
        let mut is_size = false;
        while let Some(key) = object.next_key()? {
            match key {
                Key::ResourceType => {
                    let Lenient(resource_type) = object.next_value::<Lenient<Cow<'_, str>>>()?;
                    is_size = resource_type.as_deref() == Some(RESOURCE_TYPE);
                    if !is_size {
                        // Azure sends this key first, so other resources are skipped without further parsing.
                        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        return Ok(None);
                    }
                }
                Key::Name => sku.name = object.next_value::<Lenient<String>>()?.0,
                Key::Family => sku.family = object.next_value::<Lenient<String>>()?.0,
                Key::LocationInfo => {
                    sku.zones = object.next_value::<Lenient<FirstLocation>>()?.0.unwrap_or_default().0.zones;
                }
                Key::Restrictions => {
                    let restrictions = object.next_value::<Lenient<Vec<Restriction<'_>>>>()?.0;
                    sku.add_restrictions(restrictions.unwrap_or_default());
                }
                Key::Capabilities => {
                    sku.capabilities = object.next_value::<Lenient<VmCapabilities>>()?.0.unwrap_or_default();
                }
                Key::Other => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(is_size.then_some(sku))
    }
}

impl VmSku {
    fn add_restrictions(&mut self, restrictions: Vec<Restriction<'_>>) {
        for restriction in restrictions {
            let r#type = restriction.r#type.as_deref().unwrap_or_default();
            if r#type.eq_ignore_ascii_case("Location") {
                self.restricted = true;
            } else if r#type.eq_ignore_ascii_case("Zone") {
                self.restricted_zones.extend(restriction.restriction_info.zones);
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    ResourceType,
    Name,
    Family,
    LocationInfo,
    Restrictions,
    Capabilities,
    #[serde(other)]
    Other,
}

/// The first entry of `locationInfo`.
#[derive(Default)]
struct FirstLocation(LocationInfo);

impl<'de> FromJson<'de> for FirstLocation {
    fn from_array<A: SeqAccess<'de>>(mut locations: A) -> Result<Option<Self>, A::Error> {
        let first = locations.next_element::<Lenient<LocationInfo>>()?.and_then(|first| first.0);
        while locations.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first.map(Self))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LocationInfo {
    #[serde(deserialize_with = "or_default")]
    zones: Vec<String>,
}
read_from_object!(LocationInfo);

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Restriction<'a> {
    #[serde(borrow, deserialize_with = "or_none")]
    r#type: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "or_default")]
    restriction_info: LocationInfo,
}

impl<'de> FromJson<'de> for Restriction<'de> {
    fn from_object<A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        read_object(object)
    }
}

/// The maximum size of an ephemeral OS disk, whatever the VM size.
pub const MAX_EPHEMERAL_GIB: i64 = 2_040;
const BYTES_PER_GIB: i64 = 1 << 30;
const MIB_PER_GIB: i64 = 1_024;

impl<'de> FromJson<'de> for VmCapabilities {
    fn from_array<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut capabilities = Self::default();
        let (mut available_vcpus, mut nvme_gib, mut may_use_nvme) = (None, 0, false);
        while let Some(Lenient(capability)) = list.next_element::<Lenient<Capability<'de>>>()? {
            let Some(Capability { name: Some(name), value: Some(value) }) = capability else { continue };
            let number = || value.parse::<i64>().ok();
            let gib = |units_per_gib: i64| number().unwrap_or_default() / units_per_gib;
            let is_true = || value.eq_ignore_ascii_case("true");
            match &*name {
                "AcceleratedNetworkingEnabled" => capabilities.accelerated_networking |= value == "True",
                "CachedDiskBytes" => {
                    capabilities.ephemeral_gib = capabilities.ephemeral_gib.max(gib(BYTES_PER_GIB));
                }
                "ConfidentialComputingType" => capabilities.confidential = Some(value.into_owned()),
                "CpuArchitectureType" => capabilities.architecture = Some(value.into_owned()),
                "EncryptionAtHostSupported" => capabilities.encryption_at_host = is_true(),
                "EphemeralOSDiskSupported" => capabilities.ephemeral_disk = is_true(),
                "GPUs" => capabilities.gpus = number().unwrap_or_default(),
                "LowPriorityCapable" => capabilities.spot = is_true(),
                "MaxDataDiskCount" => capabilities.data_disks = number().unwrap_or_default(),
                "MaxResourceVolumeMB" => capabilities.temporary_disk_gib = gib(MIB_PER_GIB),
                "MemoryGB" => capabilities.memory_mib = parse_mib(&value),
                "NvmeDiskSizeInMiB" => nvme_gib = gib(MIB_PER_GIB),
                "PremiumIO" => capabilities.premium_storage = is_true(),
                "RetirementDateUtc" => capabilities.retirement = CalendarDate::parse(&value),
                "SupportedEphemeralOSDiskPlacements" => {
                    may_use_nvme =
                        value.split(',').any(|place| place.trim().eq_ignore_ascii_case("NvmeDisk"));
                }
                "vCPUs" => capabilities.quota_vcpus = number(),
                "vCPUsAvailable" => available_vcpus = number(),
                _ => {}
            }
        }
        capabilities.vcpus = available_vcpus.or(capabilities.quota_vcpus);
        let ephemeral_nvme_gib = if may_use_nvme { nvme_gib } else { 0 };
        capabilities.ephemeral_gib = capabilities
            .ephemeral_gib
            .max(capabilities.temporary_disk_gib)
            .max(ephemeral_nvme_gib)
            .min(MAX_EPHEMERAL_GIB);
        if capabilities.temporary_disk_gib == 0 {
            capabilities.temporary_disk_gib = nvme_gib;
        }
        Ok(Some(capabilities))
    }
}

/// A named property of a size.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Capability<'a> {
    #[serde(borrow, deserialize_with = "or_none")]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "or_none")]
    value: Option<Cow<'a, str>>,
}

impl<'de> FromJson<'de> for Capability<'de> {
    fn from_object<A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        read_object(object)
    }
}

/// Parses a number of GiB such as `3.5` and converts it to MiB.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn parse_mib(gib: &str) -> Option<i64> {
    let gib: f64 = gib.parse().ok()?;
    (0.0..1e9).contains(&gib).then(|| (gib * 1_024.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Vec<VmSku> {
        serde_json::from_str::<Lenient<Vec<VmSku>>>(json).unwrap().0.unwrap()
    }

    #[test]
    fn only_virtual_machines_are_read_wherever_their_type_is() {
        let names: Vec<_> = read(
            r#"[{"resourceType":"disks","name":"d","capabilities":[{"name":"x","value":"y"}]},
                {"name":"late","locationInfo":[],"resourceType":"virtualMachines"},
                {"resourceType":"VirtualMachines","name":"case"},
                {"name":"no type"}, null, "text",
                {"resourceType":"virtual\u004dachines","name":"escaped"},
                {"resourceType":"virtualMachines"}]"#,
        )
        .into_iter()
        .map(|sku| sku.name)
        .collect();
        assert_eq!(names, [Some("late".to_owned()), Some("escaped".to_owned()), None]);
    }

    #[test]
    fn zones_are_those_of_the_first_location_in_azures_order() {
        for (locations, zones) in [
            (
                r#"[{"location":"eastus","zones":["3","1","2"],"zoneDetails":[{"Name":["1"]}]}]"#,
                vec!["3", "1", "2"],
            ),
            (r#"[{"location":"a"},{"zones":["1"]}]"#, vec![]),
            (r#"[null,{"zones":["1"]}]"#, vec![]),
            (r#"[{"zones":[null,"2",3]}]"#, vec!["2"]),
            (r#"[{"zones":null}]"#, vec![]),
            ("[]", vec![]),
            ("null", vec![]),
            ("{}", vec![]),
        ] {
            let list = read(&format!(r#"[{{"resourceType":"virtualMachines","locationInfo":{locations}}}]"#));
            assert_eq!(list[0].zones, zones, "{locations}");
        }
    }

    #[test]
    fn accelerated_networking_is_case_sensitive() {
        for (capabilities, expected) in [
            (
                r#"[{"name":"vCPUs","value":"2"},{"name":"AcceleratedNetworkingEnabled","value":"True"}]"#,
                true,
            ),
            (r#"[{"value":"True","name":"AcceleratedNetworkingEnabled"},{"name":"x"}]"#, true),
            (r#"[{"name":"AcceleratedNetworkingEnabled","value":"true"}]"#, false),
            (r#"[{"name":"acceleratedNetworkingEnabled","value":"True"}]"#, false),
            (r#"[{"name":"AcceleratedNetworkingEnabled","value":true}]"#, false),
            (r#"[{"name":"AcceleratedNetworkingEnabled"},{"name":"x","value":"True"}]"#, false),
            ("[null,[],7]", false),
            ("null", false),
            (r#""True""#, false),
        ] {
            let list =
                read(&format!(r#"[{{"resourceType":"virtualMachines","capabilities":{capabilities}}}]"#));
            assert_eq!(list[0].capabilities.accelerated_networking, expected, "{capabilities}");
        }
    }

    #[test]
    fn size_is_read_with_its_restrictions() {
        let sizes = read(
            r#"[{"resourceType":"disks","name":"P10"}, null, {"name":"no type"},
            {"name":"Standard_D2ds_v5","resourceType":"virtualMachines","family":"standardDDSv5Family","locations":["eastus"],
             "locationInfo":[{"location":"eastus","zones":["3","1"],"zoneDetails":[{"Name":["1"]}]}],
             "capabilities":[{"name":"vCPUs","value":"4"},{"name":"vCPUsAvailable","value":"2"},{"name":"MemoryGB","value":"3.5"},
                {"name":"EphemeralOSDiskSupported","value":"True"},{"name":"CachedDiskBytes","value":"53687091200"},
                {"name":"MaxResourceVolumeMB","value":"76800"},{"name":"LowPriorityCapable","value":"True"}, null],
             "restrictions":[{"type":"Zone","restrictionInfo":{"locations":["eastus"],"zones":["3"]}},{"type":"Location"}]}]"#,
        );
        let expected = VmSku {
            name: Some("Standard_D2ds_v5".to_owned()),
            family: Some("standardDDSv5Family".to_owned()),
            zones: vec!["3".to_owned(), "1".to_owned()],
            restricted: true,
            restricted_zones: vec!["3".to_owned()],
            capabilities: VmCapabilities {
                vcpus: Some(2),
                quota_vcpus: Some(4),
                memory_mib: Some(3_584),
                temporary_disk_gib: 75,
                ephemeral_disk: true,
                ephemeral_gib: 75,
                spot: true,
                ..VmCapabilities::default()
            },
        };
        assert_eq!(sizes, [expected]);
    }

    #[test]
    fn missing_or_invalid_properties_are_unset() {
        let sizes = read(
            r#"[{"resourceType":"virtualMachines","locationInfo":null,"restrictions":[{}],"capabilities":
            [{"name":"vCPUs","value":"many"},{"name":"MemoryGB","value":"NaN"},{"name":"MaxResourceVolumeMB"}]}]"#,
        );
        assert_eq!(sizes, [VmSku::default()]);
    }

    #[test]
    fn properties_for_the_catalog_are_read() {
        let sizes = read(
            r#"[{"resourceType":"virtualMachines","capabilities":[{"name":"CpuArchitectureType","value":"Arm64"},
            {"name":"GPUs","value":"1"},{"name":"MaxDataDiskCount","value":"8"},{"name":"PremiumIO","value":"True"},
            {"name":"EncryptionAtHostSupported","value":"False"},{"name":"ConfidentialComputingType","value":"SNP"},
            {"name":"NvmeDiskSizeInMiB","value":"915456"},{"name":"MaxResourceVolumeMB","value":"0"},
            {"name":"RetirementDateUtc","value":"09/03/2024"},
            {"name":"SupportedEphemeralOSDiskPlacements","value":"ResourceDisk, NvmeDisk"}]}]"#,
        );
        let expected = VmCapabilities {
            architecture: Some("Arm64".to_owned()),
            gpus: 1,
            data_disks: 8,
            temporary_disk_gib: 894,
            ephemeral_gib: 894,
            premium_storage: true,
            confidential: Some("SNP".to_owned()),
            retirement: Some(CalendarDate { year: 2024, month: 9, day: 3 }),
            ..VmCapabilities::default()
        };
        assert_eq!(sizes[0].capabilities, expected);
    }

    #[test]
    fn nvme_disk_counts_only_if_azure_lists_its_placement() {
        for (placements, nvme, expected) in [
            ("ResourceDisk,CacheDisk", "915527", 64),
            ("NvmeDisk", "915527", 894),
            ("NvmeDisk", "7208960", MAX_EPHEMERAL_GIB),
        ] {
            let list = read(&format!(
                r#"[{{"resourceType":"virtualMachines","capabilities":[{{"name":"MaxResourceVolumeMB","value":"65536"}},
                {{"name":"NvmeDiskSizeInMiB","value":"{nvme}"}},
                {{"name":"SupportedEphemeralOSDiskPlacements","value":"{placements}"}}]}}]"#
            ));
            assert_eq!(list[0].capabilities.ephemeral_gib, expected, "{placements} {nvme}");
        }
    }

    #[test]
    fn dates_are_read_as_month_day_and_year() {
        let date_and_days =
            |text| CalendarDate::parse(text).map(|date| (date.to_string(), date.start_ms() / 86_400_000));
        for (text, expected) in [
            ("01/01/1970", Some(("1970-01-01", 0))),
            ("09/03/2024", Some(("2024-09-03", 19_969))),
            ("02/29/2028", Some(("2028-02-29", 21_243))),
            ("13/01/2024", None),
            ("2024-09-03", None),
            ("09/03", None),
            ("09/03/2024/1", None),
            ("", None),
        ] {
            assert_eq!(date_and_days(text), expected.map(|(text, days)| (text.to_owned(), days)), "{text}");
        }
    }
}
