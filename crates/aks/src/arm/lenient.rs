//! Lenient deserialization: a value of an unexpected JSON type is skipped without affecting others. Invalid JSON is an error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON value as a `T`, or `None` if it is `null` or of another type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lenient<T>(pub Option<T>);

/// Conversions from each JSON type; by default, a value of that type is skipped.
pub trait FromJson<'de>: Sized {
    /// Converts a string.
    fn from_str(_: &str) -> Option<Self> {
        None
    }

    /// Converts a string without escapes, borrowed from the input.
    fn from_borrowed_str(text: &'de str) -> Option<Self> {
        Self::from_str(text)
    }

    /// Converts a boolean.
    fn from_bool(_: bool) -> Option<Self> {
        None
    }

    /// Converts an integer in the range of `i64`.
    fn from_integer(_: i64) -> Option<Self> {
        None
    }

    /// Converts an array, which must be read to the end.
    fn from_array<A: SeqAccess<'de>>(mut array: A) -> Result<Option<Self>, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    /// Converts an object, which must be read to the end.
    fn from_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de, T: FromJson<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor(PhantomData)).map(Lenient)
    }
}

/// An element of a list of resources: an object or `null`. Any other element is an error, because the response is then not the
/// requested list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element<T> {
    /// `null`.
    Null,
    /// An object; `None` if `T` skips it.
    Object(Option<T>),
}

impl<'de, T: FromJson<'de>> Deserialize<'de> for Element<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectOrNull(PhantomData))
    }
}

struct ObjectOrNull<T>(PhantomData<T>);

impl<'de, T: FromJson<'de>> Visitor<'de> for ObjectOrNull<T> {
    type Value = Element<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Element<T>, E> {
        Ok(Element::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Element<T>, A::Error> {
        T::from_object(object).map(Element::Object)
    }
}

/// For `#[serde(deserialize_with)]` of an optional field.
pub(super) fn or_none<'de, D: Deserializer<'de>, T: FromJson<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Lenient::deserialize(deserializer).map(|value| value.0)
}

/// For `#[serde(deserialize_with)]` of a field whose absence equals its default.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: FromJson<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    or_none(deserializer).map(Option::unwrap_or_default)
}

struct JsonVisitor<T>(PhantomData<T>);

impl<'de, T: FromJson<'de>> Visitor<'de> for JsonVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<T>, E> {
        Ok(T::from_bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<T>, E> {
        Ok(T::from_integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Option<T>, E> {
        Ok(i64::try_from(value).ok().and_then(T::from_integer))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Option<T>, E> {
        Ok(T::from_str(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Option<T>, E> {
        Ok(T::from_borrowed_str(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Option<T>, A::Error> {
        T::from_array(array)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Option<T>, A::Error> {
        T::from_object(object)
    }
}

/// An optional field. `null` and values of another type become `None`.
impl<'de, T: FromJson<'de>> FromJson<'de> for Option<T> {
    fn from_str(text: &str) -> Option<Self> {
        Some(T::from_str(text))
    }

    fn from_borrowed_str(text: &'de str) -> Option<Self> {
        Some(T::from_borrowed_str(text))
    }

    fn from_bool(flag: bool) -> Option<Self> {
        Some(T::from_bool(flag))
    }

    fn from_integer(integer: i64) -> Option<Self> {
        Some(T::from_integer(integer))
    }

    fn from_array<A: SeqAccess<'de>>(array: A) -> Result<Option<Self>, A::Error> {
        T::from_array(array).map(Some)
    }

    fn from_object<A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        T::from_object(object).map(Some)
    }
}

impl FromJson<'_> for String {
    fn from_str(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl<'de> FromJson<'de> for Cow<'de, str> {
    fn from_str(text: &str) -> Option<Self> {
        Some(Cow::Owned(text.to_owned()))
    }

    fn from_borrowed_str(text: &'de str) -> Option<Self> {
        Some(Cow::Borrowed(text))
    }
}

impl FromJson<'_> for bool {
    fn from_bool(flag: bool) -> Option<Self> {
        Some(flag)
    }
}

impl FromJson<'_> for i64 {
    fn from_integer(integer: i64) -> Option<Self> {
        Some(integer)
    }
}

/// The number of elements of an array. The elements are skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ElementCount(pub(super) usize);

impl<'de> FromJson<'de> for ElementCount {
    fn from_array<A: SeqAccess<'de>>(mut array: A) -> Result<Option<Self>, A::Error> {
        let mut count = 0;
        while array.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Some(Self(count)))
    }
}

/// For `#[serde(deserialize_with)]` of a field that counts the elements of a list.
pub(super) fn element_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    or_default::<D, ElementCount>(deserializer).map(|count| count.0)
}

impl<'de, T: FromJson<'de>> FromJson<'de> for Vec<T> {
    fn from_array<A: SeqAccess<'de>>(mut array: A) -> Result<Option<Self>, A::Error> {
        let mut elements = Vec::new();
        while let Some(Lenient(element)) = array.next_element()? {
            elements.extend(element);
        }
        Ok(Some(elements))
    }
}

/// Values that are `null` or of the wrong type become the default, so that their keys are preserved.
impl<'de, T: FromJson<'de> + Default> FromJson<'de> for BTreeMap<String, T> {
    fn from_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, Lenient(value))) = object.next_entry()? {
            entries.insert(key, value.unwrap_or_default());
        }
        Ok(Some(entries))
    }
}

/// Reads a JSON object into a struct that derives `Deserialize`.
pub(super) fn read_object<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    object: A,
) -> Result<Option<T>, A::Error> {
    T::deserialize(MapAccessDeserializer::new(object)).map(Some)
}

/// Implements [`FromJson`] for a struct that derives `Deserialize`, from a JSON object.
macro_rules! read_from_object {
    ($($name:ty),+) => {$(
        impl<'de> $crate::arm::lenient::FromJson<'de> for $name {
            fn from_object<A: serde::de::MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
                $crate::arm::lenient::read_object(object)
            }
        }
    )+};
}
pub(super) use read_from_object;

/// Declares structs of JSON objects whose fields are read leniently.
macro_rules! lenient_structs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub struct $name {
            $($(#[$field_meta])* #[serde(deserialize_with = "crate::arm::lenient::or_default")] pub $field: $type,)*
        }
        $crate::arm::lenient::read_from_object!($name);
    )+};
}
pub(super) use lenient_structs;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Thing {
        #[serde(deserialize_with = "or_none")]
        text: Option<String>,
        #[serde(deserialize_with = "or_none")]
        flag: Option<bool>,
        #[serde(deserialize_with = "or_none")]
        number: Option<i64>,
        #[serde(deserialize_with = "element_count")]
        list_len: usize,
        #[serde(deserialize_with = "or_default")]
        list: Vec<String>,
        #[serde(deserialize_with = "or_default")]
        map: BTreeMap<String, Vec<String>>,
        #[serde(deserialize_with = "or_none")]
        inner: Option<Box<Thing>>,
    }
    read_from_object!(Thing);

    impl<'de> FromJson<'de> for Box<Thing> {
        fn from_object<A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
            read_object(object)
        }
    }

    const EVERY_JSON_TYPE: [&str; 9] =
        ["null", "true", "1", "-1", "1.5", "\"a\\u0041\"", "[]", "[[{}],null,1]", "{\"x\":{\"y\":[1]}}"];

    #[test]
    fn wrong_type_of_one_field_does_not_affect_the_others() {
        for field in ["text", "flag", "number", "list_len", "list", "map", "inner", "unknown"] {
            for value in EVERY_JSON_TYPE {
                let json = format!(r#"{{"{field}":{value},"unknown2":{{}}}}"#);
                let thing: Lenient<Thing> =
                    serde_json::from_str(&json).unwrap_or_else(|e| panic!("{json}: {e}"));
                assert!(thing.0.is_some(), "{json}");
                let json = format!(r#"[{{"{field}":{value}}},{{"text":"after"}}]"#);
                let list: Lenient<Vec<Thing>> = serde_json::from_str(&json).unwrap();
                assert_eq!(list.0.unwrap()[1].text.as_deref(), Some("after"), "{json}");
            }
        }
    }

    #[test]
    fn fields_of_the_right_type_are_read_and_null_elements_skipped() {
        let json = r#"[null, 7, {"text":"t","flag":false,"number":-7,"list_len":[{},null,[1]],"list":["a",null,3,"b"],
            "map":{"k":["v"],"nothing":null},"inner":{"text":"deep"}}]"#;
        let Lenient(Some(list)) = serde_json::from_str::<Lenient<Vec<Thing>>>(json).unwrap() else {
            panic!("not a list")
        };
        let [thing] = list.as_slice() else { panic!("{list:?}") };
        assert_eq!(thing.text.as_deref(), Some("t"));
        assert_eq!(thing.flag, Some(false));
        assert_eq!((thing.number, thing.list_len), (Some(-7), 3));
        assert_eq!(thing.list, ["a", "b"]);
        assert_eq!(thing.map["k"], ["v"]);
        assert!(thing.map["nothing"].is_empty());
        assert_eq!(thing.inner.as_ref().unwrap().text.as_deref(), Some("deep"));
    }

    #[test]
    fn numbers_that_do_not_fit_are_skipped() {
        for number in ["1.5", "9223372036854775808", "-1e3", "\"1\""] {
            let json = format!(r#"{{"number":{number},"text":"after"}}"#);
            let thing: Thing = serde_json::from_str(&json).unwrap();
            assert_eq!((thing.number, thing.text.as_deref()), (None, Some("after")), "{number}");
        }
    }

    #[test]
    fn broken_json_is_still_an_error() {
        assert!(serde_json::from_str::<Lenient<Vec<Thing>>>(r#"[{"text":"#).is_err());
    }
}
