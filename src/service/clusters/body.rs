//! The conversion of a request body to a specification.

use aks::plain_text::{ForbiddenCharacter, TextCheck};
use aks::spec::{AKS_CONFIG, AksConfig, ClusterSpec, Object};

use crate::service::metadata::CREATOR_LABEL;
use crate::service::{Error, Invalid, Result};

/// Adds the label of objects that are created through Norman.
pub(super) fn add_creator_label(body: &mut Object) {
    let labels = body.entry("labels").or_insert_with(|| Object::new().into());
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(CREATOR_LABEL.0.to_owned(), CREATOR_LABEL.1.into());
    }
}

/// Rejects characters that are not allowed in the name or the body of a cluster that is to be saved. Text that is already
/// `stored` is accepted.
pub(super) fn check_characters(
    name: &str,
    body: &Object,
    stored: Option<(&str, &Object)>,
) -> Result<(), ForbiddenCharacter> {
    /// Prefixes of fields that may have several lines: documents, and text for the user's programs.
    const MULTILINE_FIELDS: &[&str] = &[
        "agentEnvVars[",
        "annotations.",
        "clusterAgentDeploymentCustomization",
        "fleetAgentDeploymentCustomization",
        "localClusterAuthEndpoint.caCerts",
    ];
    let mut check = TextCheck::new(MULTILINE_FIELDS);
    if let Some((name, body)) = stored {
        check.allow_stored(name);
        body.values().for_each(|value| check.allow_stored_value(value));
    }
    check.text("name", name)?;
    body.iter().try_for_each(|(key, value)| check.value(key, value))
}

/// Parses a body as a specification.
pub(super) fn parse_spec(body: Object) -> Result<ClusterSpec> {
    ClusterSpec::new(body).map_err(|error| {
        let message = format!(
            "Cluster spec conversion error: {error}: use the keys and types that /v3/schemas/cluster lists"
        );
        Invalid::field("InvalidBodyContent", AKS_CONFIG, message).into()
    })
}

pub(super) fn parse_config(config: Object) -> Result<AksConfig> {
    Ok(parse_spec(Object::from_iter([(AKS_CONFIG.to_owned(), config.into())]))?.aks().clone())
}

pub(super) fn missing_aks_config() -> Error {
    let message = "aksConfig must be set: only AKS clusters are supported";
    Invalid::field("MissingRequired", AKS_CONFIG, message).into()
}
