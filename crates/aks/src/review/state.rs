//! Values that Terraform keeps: after a rejected change they stay in its state, and it sends them again when the file names them no
//! more. Where Azure has a value, the response corrects them ([`defaults`]); where it has none, the error says the way out.

use super::case::{Before, Subject};
use super::{Review, Severity};
use crate::spec::{AksConfig, defaults};

/// Keys of the cluster, and of its node pools, that the provider takes from its state when the file does not name them
/// (attributes that are optional and computed in its release 8.5).
const KEPT: [&str; 17] = [
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

const WAY_OUT: &str = "if the file names it no more, Terraform repeats it from its state: write a valid value, or remove the \
    resource from the state (terraform state rm) and import it";

/// Adds the way out to errors about keys that the user never set and for which Azure has nothing.
pub(super) fn name_way_out(review: &mut Review, subject: &Subject<'_>, before: Before<'_>) {
    let upstream = before.upstream.filter(|_| subject.spec.imported != Some(true));
    let azure = upstream.map(|upstream| defaults::Azure {
        upstream,
        node_resource_group: before.details.node_resource_group.as_ref(),
    });
    for finding in review.findings.iter_mut().filter(|finding| finding.severity == Severity::Error) {
        let Some(key) = KEPT.into_iter().find(|key| finding.field.ends_with(&format!(".{key}"))) else {
            continue;
        };
        let is_corrected = azure.as_ref().is_some_and(|azure| defaults::has(azure, key));
        if !is_corrected && !is_set(before.stored, subject.spec, &finding.field, key) {
            finding.remedy = format!("{}; {WAY_OUT}", finding.remedy);
        }
    }
}

/// Whether the user has set the key before, in the cluster or in the node pool of that name.
fn is_set(stored: &AksConfig, wanted: &AksConfig, field: &str, key: &str) -> bool {
    let is_value = |value: Option<&serde_json::Value>| {
        value.is_some_and(|value| match value {
            serde_json::Value::String(text) => !text.is_empty(),
            serde_json::Value::Array(list) => !list.is_empty(),
            serde_json::Value::Object(map) => !map.is_empty(),
            value => !value.is_null(),
        })
    };
    let Some(rest) = field.strip_prefix("aksConfig.nodePools[") else {
        return is_value(serde_json::json!(stored).get(key));
    };
    let index = rest.split(']').next().and_then(|index| index.parse::<usize>().ok());
    let name = index.and_then(|index| wanted.node_pools.as_deref()?.get(index)?.name.as_ref());
    let pool =
        stored.node_pools.iter().flatten().find(|pool| pool.name.is_some() && pool.name.as_ref() == name);
    pool.is_some_and(|pool| is_value(serde_json::json!(pool).get(key)))
}
