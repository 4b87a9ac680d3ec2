//! A VM size of `Microsoft.Compute/skus` as this subscription may use it, with all properties that the review needs. The listing
//! of sizes reads fewer: [`VmSku`](super::VmSku).

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::MapAccess;

use super::lenient::{Kind, maybe, object, or_default, read_from_object};
use super::vm_sku::Capability;

/// A VM size that Azure offers in a region. Entries of other resource types are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmOffer {
    /// For example `Standard_D2s_v5`.
    pub name: Option<String>,
    /// The quota that applies to it, for example `standardDSv5Family`.
    pub family: Option<String>,
    /// The zones that have it, in any order.
    pub zones: Vec<String>,
    /// Whether the subscription may not use it anywhere in the region.
    pub restricted: bool,
    /// The zones in which the subscription may not use it.
    pub restricted_zones: Vec<String>,
    /// The number of vCPUs.
    pub vcpus: Option<i64>,
    /// Memory in MiB.
    pub memory_mib: Option<i64>,
    /// Whether it supports an ephemeral OS disk.
    pub ephemeral_disk: bool,
    /// The largest possible ephemeral OS disk, in GiB.
    pub ephemeral_gib: i64,
    /// Whether it is sold as spot capacity.
    pub spot: bool,
}

impl VmOffer {
    /// The zones in which the subscription may use it.
    pub fn usable_zones(&self) -> impl Iterator<Item = &String> {
        self.zones.iter().filter(|zone| !self.restricted_zones.contains(zone))
    }
}

impl<'de> Kind<'de> for VmOffer {
    fn from_object<A: MapAccess<'de>>(entry: A) -> Result<Option<Self>, A::Error> {
        let Some(entry) = object::<A, Entry<'de>>(entry)? else { return Ok(None) };
        Ok((entry.resource_type.as_deref() == Some("virtualMachines")).then(|| entry.offer()))
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow, deserialize_with = "maybe")]
    resource_type: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "maybe")]
    name: Option<String>,
    #[serde(deserialize_with = "maybe")]
    family: Option<String>,
    #[serde(deserialize_with = "or_default")]
    location_info: Vec<Place>,
    #[serde(deserialize_with = "or_default")]
    restrictions: Vec<Restriction>,
    #[serde(borrow, deserialize_with = "or_default")]
    capabilities: Vec<Capability<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Place {
    #[serde(deserialize_with = "or_default")]
    zones: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Restriction {
    #[serde(deserialize_with = "maybe")]
    r#type: Option<String>,
    #[serde(deserialize_with = "or_default")]
    restriction_info: Place,
}

read_from_object!(Place, Restriction);

impl Entry<'_> {
    fn offer(self) -> VmOffer {
        const MIB_OF_A_GIB: i64 = 1_024;
        const BYTES_OF_A_GIB: i64 = 1 << 30;
        let value = |name: &str| {
            let found = self.capabilities.iter().find(|it| it.name.as_deref() == Some(name));
            found.and_then(|it| it.value.as_deref())
        };
        let number = |name: &str| value(name).and_then(|text| text.parse::<i64>().ok());
        let is = |name: &str| value(name).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let gib = |name: &str, unit: i64| number(name).unwrap_or_default() / unit;
        let places = [
            gib("CachedDiskBytes", BYTES_OF_A_GIB),
            gib("MaxResourceVolumeMB", MIB_OF_A_GIB),
            gib("NvmeDiskSizeInMiB", MIB_OF_A_GIB),
        ];
        let of_type = |wanted: &'static str| {
            let restrictions = self.restrictions.iter();
            restrictions
                .filter(move |it| it.r#type.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(wanted)))
        };
        VmOffer {
            restricted: of_type("Location").next().is_some(),
            restricted_zones: of_type("Zone")
                .flat_map(|it| it.restriction_info.zones.iter().cloned())
                .collect(),
            vcpus: number("vCPUsAvailable").or_else(|| number("vCPUs")),
            memory_mib: value("MemoryGB").and_then(mib),
            ephemeral_disk: is("EphemeralOSDiskSupported"),
            ephemeral_gib: places.into_iter().max().unwrap_or_default(),
            spot: is("LowPriorityCapable"),
            zones: self.location_info.into_iter().next().unwrap_or_default().zones,
            name: self.name,
            family: self.family,
        }
    }
}

/// `3.5` GiB in MiB.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn mib(gib: &str) -> Option<i64> {
    let gib: f64 = gib.parse().ok()?;
    (0.0..1e9).contains(&gib).then(|| (gib * 1_024.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::Maybe;

    fn read(json: &str) -> Vec<VmOffer> {
        serde_json::from_str::<Maybe<Vec<VmOffer>>>(json).unwrap().0.unwrap()
    }

    #[test]
    fn a_size_is_read_with_what_the_subscription_may_not_use_of_it() {
        let read = read(
            r#"[{"resourceType":"disks","name":"P10"}, null, {"name":"no type"},
            {"name":"Standard_D2ds_v5","resourceType":"virtualMachines","family":"standardDDSv5Family","locations":["eastus"],
             "locationInfo":[{"location":"eastus","zones":["3","1"],"zoneDetails":[{"Name":["1"]}]}],
             "capabilities":[{"name":"vCPUs","value":"4"},{"name":"vCPUsAvailable","value":"2"},{"name":"MemoryGB","value":"3.5"},
                {"name":"EphemeralOSDiskSupported","value":"True"},{"name":"CachedDiskBytes","value":"53687091200"},
                {"name":"MaxResourceVolumeMB","value":"76800"},{"name":"LowPriorityCapable","value":"True"}, null],
             "restrictions":[{"type":"Zone","restrictionInfo":{"locations":["eastus"],"zones":["3"]}},{"type":"Location"}]}]"#,
        );
        let expected = VmOffer {
            name: Some("Standard_D2ds_v5".to_owned()),
            family: Some("standardDDSv5Family".to_owned()),
            zones: vec!["3".to_owned(), "1".to_owned()],
            restricted: true,
            restricted_zones: vec!["3".to_owned()],
            vcpus: Some(2),
            memory_mib: Some(3_584),
            ephemeral_disk: true,
            ephemeral_gib: 75,
            spot: true,
        };
        assert_eq!(read, [expected]);
    }

    #[test]
    fn what_azure_leaves_out_or_garbles_is_unknown() {
        let read = read(
            r#"[{"resourceType":"virtualMachines","locationInfo":null,"restrictions":[{}],"capabilities":
            [{"name":"vCPUs","value":"many"},{"name":"MemoryGB","value":"NaN"},{"name":"MaxResourceVolumeMB"}]}]"#,
        );
        assert_eq!(read, [VmOffer::default()]);
    }
}
