//! Values that Terraform stores in its state after a rejected change and sends again although its configuration no longer sets
//! them. If Azure has a value, the response replaces Terraform's ([`defaults`]); otherwise this module adds a remedy to the
//! error.

use serde_json::{Value, json};

use super::finding::Review;
use super::input::{Before, Subject};
use crate::spec::{AksConfig, defaults};

/// Keys of clusters and node pools that the Terraform provider reads from its state if the configuration does not set them
/// (optional and computed attributes of release 8.5).
const STATE_KEYS: [&str; 17] = [
    "dnsServiceIp",
    "dockerBridgeCidr",
    "linuxAdminUsername",
    "loadBalancerSku",
    "logAnalyticsWorkspaceGroup",
    "logAnalyticsWorkspaceName",
    "networkPolicy",
    "nodeLabels",
    "nodeResourceGroup",
    "nodeTaints",
    "podCidr",
    "serviceCidr",
    "sshPublicKey",
    "subnet",
    "tags",
    "virtualNetwork",
    "virtualNetworkResourceGroup",
];

const STATE_REMEDY: &str = "if the file no longer sets it, Terraform sends it from its state: write a valid value, or remove the \
    resource from the state (terraform state rm) and import it";

/// Extends the remedy of errors about keys that the user never set and for which Azure has no value.
pub(super) fn add_remedies(review: &mut Review, subject: &Subject<'_>, before: Before<'_>) {
    let upstream = before.upstream.filter(|_| !subject.spec.is_import());
    let observed = upstream.map(|upstream| defaults::ObservedState {
        upstream,
        node_resource_group: before.details.node_resource_group.as_ref(),
    });
    for finding in review.findings.iter_mut().filter(|finding| finding.is_error()) {
        let name = finding.field.rsplit('.').next().unwrap_or_default();
        let Some(key) = STATE_KEYS.into_iter().find(|key| *key == name) else { continue };
        let has_azure_value = observed.as_ref().is_some_and(|observed| defaults::has_value(observed, key));
        if !has_azure_value && !is_set(before.stored, subject.spec, &finding.field, key) {
            finding.remedy = format!("{}; {STATE_REMEDY}", finding.remedy);
        }
    }
}

/// Whether the user has set the key before: in the cluster or, for a field of a node pool, in the stored pool of that name.
fn is_set(stored: &AksConfig, desired: &AksConfig, field: &str, key: &str) -> bool {
    let object = match field.strip_prefix("aksConfig.nodePools[") {
        None => json!(stored),
        Some(pool_field) => {
            let index = pool_field.split(']').next().and_then(|index| index.parse::<usize>().ok());
            let pool = index.and_then(|index| desired.pools().get(index));
            json!(pool.and_then(|pool| stored.pool(pool.name.as_deref()?)))
        }
    };
    object.get(key).is_some_and(|value| match value {
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        value => !value.is_null(),
    })
}
