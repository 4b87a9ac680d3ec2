//! The body of a request as a specification.

use super::Result;
use crate::domain::spec::{AKS_CONFIG, AksConfig, ClusterSpec, Object};
use crate::service::{Error, Invalid};

/// Set on every object that is made through Norman.
const CREATOR: (&str, &str) = ("cattle.io/creator", "norman");

pub(super) fn label(body: &mut Object) {
    let labels = body.entry("labels").or_insert_with(|| Object::new().into());
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(CREATOR.0.to_owned(), CREATOR.1.into());
    }
}

/// Rule 2.
pub(super) fn convert(body: Object) -> Result<ClusterSpec> {
    ClusterSpec::new(body).map_err(|error| {
        Invalid::new("InvalidBodyContent", format!("Cluster spec conversion error: {error}")).into()
    })
}

pub(super) fn convert_config(config: Object) -> Result<AksConfig> {
    Ok(convert(Object::from_iter([(AKS_CONFIG.to_owned(), config.into())]))?.aks().clone())
}

pub(super) fn isolation(body: &Object) -> bool {
    body.get("enableNetworkPolicy").and_then(serde_json::Value::as_bool).unwrap_or_default()
}

pub(super) fn no_aks_config() -> Error {
    let message = "aksConfig must be set: only AKS clusters are kept here";
    Invalid::field("MissingRequired", AKS_CONFIG, message).into()
}
