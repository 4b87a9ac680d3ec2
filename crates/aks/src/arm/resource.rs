//! A resource as raw JSON with a typed view.

use serde::Deserialize;
use serde_json::Value;

use super::lenient::Lenient;

/// A resource in Azure's response. An update sends [`Resource::raw`] back with only the changed keys replaced, so that keys
/// unknown to this program are preserved.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource<T> {
    /// The complete JSON object.
    pub raw: Value,
    /// The fields of `raw` that this program uses.
    pub view: T,
}

impl<T> Resource<T>
where
    T: Default,
    Lenient<T>: for<'de> Deserialize<'de>,
{
    /// Reads the view from `raw`; fields with an unexpected JSON type stay unset. `None` if `raw` is not a JSON object.
    pub fn new(raw: Value) -> Option<Self> {
        if !raw.is_object() {
            return None;
        }
        let view = Lenient::<T>::deserialize(&raw).ok().and_then(|view| view.0).unwrap_or_default();
        Some(Self { raw, view })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::arm::ManagedCluster;

    #[test]
    fn unknown_keys_are_preserved() {
        let raw =
            json!({"name": "n", "location": 7, "properties": {"fqdn": "f", "unknown": [null, 1.5]}, "x": {}});
        let cluster = Resource::<ManagedCluster>::new(raw.clone()).unwrap();
        assert_eq!(cluster.raw, raw);
        assert_eq!((cluster.view.name.as_deref(), cluster.view.location), (Some("n"), None));
        assert_eq!(cluster.view.properties.unwrap().fqdn.as_deref(), Some("f"));
        for not_an_object in [json!(null), json!([]), json!("x")] {
            assert!(Resource::<ManagedCluster>::new(not_an_object).is_none());
        }
    }
}
