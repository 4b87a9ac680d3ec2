//! Names and their lengths, as Azure requires them.

use super::azure::{DataPart, items_or_empty};
use super::input::{RuleInput, SubnetRef};
use super::rule::{FieldFindings, Rule, Scope};
use super::sources::{NODE_GROUP_DOC, SYSTEM_POOLS_DOC, learn};
use crate::spec::AksConfig;
use crate::{regions, resource_group};

const NAMING_DOC: &str =
    learn!("Naming rules for resources", "azure/azure-resource-manager/management/resource-name-rules");
const REGIONS_DOC: &str =
    learn!("List locations of a subscription", "rest/api/resources/subscriptions/list-locations");

pub(super) const RULES: &[Rule] = &[
    Rule::error("cluster-name", NAMING_DOC, |input, findings| {
        check_formats(input, findings, &CLUSTER_FORMATS);
    })
    .scope(Scope::Any),
    Rule::error("resource-group-name", NAMING_DOC, |input, findings| {
        check_formats(input, findings, &GROUP_FORMATS);
    })
    .scope(Scope::Any),
    Rule::error("node-resource-group-name", NODE_GROUP_DOC, |input, findings| {
        check_formats(input, findings, &NODE_GROUP_FORMATS);
    }),
    Rule::error("node-resource-group-own", NODE_GROUP_DOC, node_group_is_cluster_group),
    Rule::error("dns-prefix", NAMING_DOC, |input, findings| {
        check_formats(input, findings, &DNS_PREFIX_FORMATS);
    }),
    Rule::error("pool-name", SYSTEM_POOLS_DOC, pool_names),
    Rule::error("network-name", NAMING_DOC, |input, findings| {
        check_formats(input, findings, &NETWORK_FORMATS);
    }),
    Rule::error("subnet-id", NAMING_DOC, subnet_ids),
    Rule::error("workspace-name", NAMING_DOC, |input, findings| {
        check_formats(input, findings, &WORKSPACE_FORMATS);
    }),
    Rule::error("region-name", REGIONS_DOC, region_name).scope(Scope::Any),
    Rule::error("region-exists", REGIONS_DOC, region_exists).needs(&[DataPart::Regions]).scope(Scope::New),
];

/// The format of a name, and the key of `aksConfig` that contains the name.
struct NameFormat {
    key: &'static str,
    read: fn(&AksConfig) -> Option<&String>,
    /// In characters.
    length: std::ops::RangeInclusive<usize>,
    /// A description of the allowed characters.
    allowed_characters: &'static str,
    matches: fn(&str) -> bool,
}

const fn name_format(
    key: &'static str,
    length: std::ops::RangeInclusive<usize>,
    (allowed_characters, matches): (&'static str, fn(&str) -> bool),
    read: fn(&AksConfig) -> Option<&String>,
) -> NameFormat {
    NameFormat { key, read, length, allowed_characters, matches }
}

const CLUSTER_CHARACTERS: (&str, fn(&str) -> bool) =
    ("letters, digits, hyphens and underscores, starting and ending with a letter or digit", |text| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            && has_alphanumeric_ends(text)
    });
const GROUP_CHARACTERS: (&str, fn(&str) -> bool) =
    (resource_group::ALLOWED_CHARACTERS, resource_group::has_allowed_characters);
const DNS_CHARACTERS: (&str, fn(&str) -> bool) =
    ("letters, digits and hyphens, starting and ending with a letter or digit", |text| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && has_alphanumeric_ends(text)
    });
const NETWORK_CHARACTERS: (&str, fn(&str) -> bool) = (
    "letters, digits, hyphens, underscores and dots, starting with a letter or digit and ending with one or an underscore",
    |text| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
    },
);

const GROUP_NAME_LENGTH: std::ops::RangeInclusive<usize> = 1..=resource_group::MAX_NAME_LEN;

const CLUSTER_FORMATS: [NameFormat; 1] =
    [name_format("clusterName", 1..=63, CLUSTER_CHARACTERS, |spec| spec.cluster_name.as_ref())];
const GROUP_FORMATS: [NameFormat; 3] = [
    name_format("resourceGroup", GROUP_NAME_LENGTH, GROUP_CHARACTERS, |spec| spec.resource_group.as_ref()),
    name_format("virtualNetworkResourceGroup", GROUP_NAME_LENGTH, GROUP_CHARACTERS, |spec| {
        spec.virtual_network_resource_group.as_ref()
    }),
    name_format("logAnalyticsWorkspaceGroup", GROUP_NAME_LENGTH, GROUP_CHARACTERS, |spec| {
        spec.log_analytics_workspace_group.as_ref()
    }),
];
const NODE_GROUP_FORMATS: [NameFormat; 1] =
    [name_format("nodeResourceGroup", 1..=80, GROUP_CHARACTERS, |spec| spec.node_resource_group.as_ref())];
const DNS_PREFIX_FORMATS: [NameFormat; 1] =
    [name_format("dnsPrefix", 1..=54, DNS_CHARACTERS, |spec| spec.dns_prefix.as_ref())];
const NETWORK_FORMATS: [NameFormat; 2] = [
    name_format("virtualNetwork", 2..=64, NETWORK_CHARACTERS, |spec| spec.virtual_network.as_ref()),
    name_format("subnet", 1..=80, NETWORK_CHARACTERS, |spec| spec.subnet.as_ref()),
];
const WORKSPACE_FORMATS: [NameFormat; 1] =
    [name_format("logAnalyticsWorkspaceName", 4..=63, DNS_CHARACTERS, |spec| {
        spec.log_analytics_workspace_name.as_ref()
    })];

/// Whether a string starts and ends with a letter or digit.
pub(super) fn has_alphanumeric_ends(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// Checks the names in the keys of these formats.
fn check_formats(input: &RuleInput<'_>, findings: &mut FieldFindings, formats: &[NameFormat]) {
    for format in formats {
        let Some(text) = (format.read)(&input.spec) else { continue };
        if !format.length.contains(&text.chars().count()) || !(format.matches)(text) {
            let (min, max) = (format.length.start(), format.length.end());
            let message = format!("{} {text:?} is not a valid name in Azure", format.key);
            findings.add(format.key, message, format!("use {min} to {max} {}", format.allowed_characters));
        }
    }
}

fn node_group_is_cluster_group(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if let (Some(node_group), Some(group)) = (&input.spec.node_resource_group, &input.spec.resource_group)
        && node_group.eq_ignore_ascii_case(group)
    {
        let message = format!(
            "nodeResourceGroup {node_group:?} is also the resourceGroup, but Azure creates and deletes a group of its own for the nodes"
        );
        findings.add(
            "nodeResourceGroup",
            message,
            "name a group that does not exist, or leave nodeResourceGroup out",
        );
    }
}

fn pool_names(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        let name = pool.name();
        let is_valid = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !name.is_empty() && (!is_valid || name.len() > 12) {
            let message = format!("name {name:?} of a node pool is not valid in Azure");
            findings.add(
                pool.key("name"),
                message,
                "use 1 to 12 lower-case letters and digits, starting with a letter",
            );
        }
    }
}

fn subnet_ids(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        let Some(id) = pool.spec.vnet_subnet_id.as_deref().filter(|id| SubnetRef::parse(id).is_none()) else {
            continue;
        };
        let message = format!("vnetSubnetID {id:?} of node pool {} is not the ID of a subnet", pool.name());
        let remedy = "use the form /subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.Network/virtualNetworks/<network>/subnets/<subnet>";
        findings.add(pool.key("vnetSubnetID"), message, remedy);
    }
}

fn region_name(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let region = input.region();
    if !region.is_empty() && !regions::is_valid_name(&regions::normalize(region)) {
        let message = format!("resourceLocation {region:?} is not a valid name of a region");
        findings.add("resourceLocation", message, "use letters and digits only, for example eastus");
    }
}

fn region_exists(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let requested = regions::normalize(input.region());
    let exists = items_or_empty(&input.azure.regions).iter().any(|region| {
        region.is_physical() && region.name.as_deref().map(regions::normalize).as_deref() == Some(&requested)
    });
    if !exists {
        let region = input.region();
        let message = format!(
            "resourceLocation {region:?} is not a region in which this subscription can have a cluster"
        );
        findings.add("resourceLocation", message, "use one that aksLocations lists");
    }
}
