//! Finds keys of `aksConfig` in a request that are not fields of its schema.

use aks::review::UnknownField;
use aks::spec::AKS_CONFIG;
use serde_json::Value;

use super::schemas;
use crate::api::norman::input::{self, Object};

/// The unknown keys of `aksConfig` in a body, at any depth.
pub(in crate::api) fn unknown_fields(body: &Object) -> Vec<UnknownField> {
    let config = body.get(AKS_CONFIG).and_then(Value::as_object);
    let unknown_keys =
        config.into_iter().flat_map(|config| input::unknown_keys(&schemas::AKS_CONFIG, config, AKS_CONFIG));
    unknown_keys
        .map(|key| {
            let known_names = key.schema.fields.iter().map(|field| field.name);
            UnknownField::new(&key.parent, key.key, known_names)
        })
        .collect()
}
