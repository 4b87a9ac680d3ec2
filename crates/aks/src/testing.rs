//! Helpers of the unit tests.

use serde_json::Value;

use crate::spec::{AksConfig, Object};

/// The map of a JSON object.
pub(crate) fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

/// Parses JSON.
pub(crate) fn from_json<T: for<'de> serde::Deserialize<'de>>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Parses `aksConfig`.
pub(crate) fn config(value: Value) -> AksConfig {
    from_json(value)
}

/// Adds `keys` to the object `base`; existing keys are replaced.
pub(crate) fn extended(mut base: Value, keys: Value) -> Value {
    base.as_object_mut().unwrap().extend(object(keys));
    base
}

/// A table with one row per line: JSON values, `=>`, and the expected result.
macro_rules! cases {
    ($($($json:tt),+ => $expected:expr;)+) => {
        [$(($(serde_json::json!($json)),+, $expected)),+]
    };
}
pub(crate) use cases;
