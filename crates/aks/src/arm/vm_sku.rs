//! A virtual machine size of `Microsoft.Compute/skus`.
//!
//! One page of that list holds about a thousand entries in 1.5 MB, of which a hundredth is of interest: only
//! that is kept, and everything else is passed over without being built.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess};

use super::lenient::{Kind, Maybe, maybe, object, or_default, read_from_object};

/// The resource type of the entries that are virtual machine sizes; the list also has disks and the like.
const RESOURCE_TYPE: &str = "virtualMachines";

/// A virtual machine size. Entries of another `resourceType` read as nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmSku {
    /// For example `Standard_D2s_v5`.
    pub name: Option<String>,
    /// Whether the capability `AcceleratedNetworkingEnabled` is there with the value `True`, both to the letter.
    pub accelerated_networking: bool,
    /// The zones of the first location of the entry, in Azure's order, for example `3`, `1`, `2`.
    pub zones: Vec<String>,
}

impl<'de> Kind<'de> for VmSku {
    fn from_object<A: MapAccess<'de>>(mut entry: A) -> Result<Option<Self>, A::Error> {
        let mut sku = Self::default();
        let mut is_size = false;
        while let Some(key) = entry.next_key()? {
            match key {
                Key::ResourceType => {
                    let Maybe(kind) = entry.next_value::<Maybe<Cow<'_, str>>>()?;
                    is_size = kind.as_deref() == Some(RESOURCE_TYPE);
                    if !is_size {
                        // Azure writes this key first: disks and the rest cost nothing more.
                        while entry.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        return Ok(None);
                    }
                }
                Key::Name => sku.name = entry.next_value::<Maybe<String>>()?.0,
                Key::LocationInfo => {
                    sku.zones = entry.next_value::<Maybe<FirstPlace>>()?.0.unwrap_or_default().0.zones;
                }
                Key::Capabilities => {
                    let Maybe(found) = entry.next_value::<Maybe<AcceleratedNetworking>>()?;
                    sku.accelerated_networking = found.is_some_and(|found| found.0);
                }
                Key::Other => {
                    entry.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(is_size.then_some(sku))
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    ResourceType,
    Name,
    LocationInfo,
    Capabilities,
    #[serde(other)]
    Other,
}

/// The first entry of `locationInfo`.
#[derive(Default)]
struct FirstPlace(Place);

impl<'de> Kind<'de> for FirstPlace {
    fn from_array<A: SeqAccess<'de>>(mut places: A) -> Result<Option<Self>, A::Error> {
        let first = places.next_element::<Maybe<Place>>()?.and_then(|first| first.0);
        while places.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first.map(Self))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Place {
    #[serde(deserialize_with = "or_default")]
    zones: Vec<String>,
}
read_from_object!(Place);

/// Whether `capabilities` has the one that is looked for.
struct AcceleratedNetworking(bool);

impl<'de> Kind<'de> for AcceleratedNetworking {
    fn from_array<A: SeqAccess<'de>>(mut capabilities: A) -> Result<Option<Self>, A::Error> {
        let mut found = false;
        while let Some(Maybe(capability)) = capabilities.next_element::<Maybe<Capability<'de>>>()? {
            found |= capability.is_some_and(|capability| {
                capability.name.as_deref() == Some("AcceleratedNetworkingEnabled")
                    && capability.value.as_deref() == Some("True")
            });
        }
        Ok(Some(Self(found)))
    }
}

/// A named property of a size.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Capability<'a> {
    #[serde(borrow, deserialize_with = "maybe")]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "maybe")]
    pub(super) value: Option<Cow<'a, str>>,
}

impl<'de> Kind<'de> for Capability<'de> {
    fn from_object<A: MapAccess<'de>>(from: A) -> Result<Option<Self>, A::Error> {
        object(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Vec<VmSku> {
        serde_json::from_str::<Maybe<Vec<VmSku>>>(json).unwrap().0.unwrap()
    }

    #[test]
    fn only_virtual_machines_are_kept_wherever_the_type_stands() {
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
    fn zones_are_those_of_the_first_place_in_azures_order() {
        for (places, zones) in [
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
            let list = read(&format!(r#"[{{"resourceType":"virtualMachines","locationInfo":{places}}}]"#));
            assert_eq!(list[0].zones, zones, "{places}");
        }
    }

    #[test]
    fn accelerated_networking_needs_name_and_value_to_the_letter() {
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
            assert_eq!(list[0].accelerated_networking, expected, "{capabilities}");
        }
    }
}
