//! Names and their lengths, as Azure demands them.

use super::azure::{Block, list};
use super::case::{Case, SubnetRef};
use super::rule::{Fault, Rule, Scope};
use crate::regions;
use crate::spec::given;

const NAMING: &str = "Azure: Naming rules for resources, \
    https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules";
const POOLS: &str =
    "Azure: Manage system node pools, limitations, https://learn.microsoft.com/azure/aks/use-system-pools";
const FAQ: &str = "Azure: AKS FAQ, node resource group, https://learn.microsoft.com/azure/aks/faq";
const REGIONS: &str = "Azure: List locations of a subscription, \
    https://learn.microsoft.com/rest/api/resources/subscriptions/list-locations";

pub(super) const RULES: &[Rule] = &[
    Rule::error("cluster-name", NAMING, cluster).about(Scope::Any),
    Rule::error("resource-group-name", NAMING, groups).about(Scope::Any),
    Rule::error("node-resource-group-name", FAQ, node_group),
    Rule::error("node-resource-group-own", FAQ, node_group_own),
    Rule::error("dns-prefix", NAMING, dns_prefix),
    Rule::error("pool-name", POOLS, pools),
    Rule::error("network-name", NAMING, networks),
    Rule::error("subnet-id", NAMING, subnet_ids),
    Rule::error("workspace-name", NAMING, workspace),
    Rule::error("region-name", REGIONS, region).about(Scope::Any),
    Rule::error("region-exists", REGIONS, region_exists).needs(&[Block::Regions]).about(Scope::New),
];

/// A rule of one named text.
struct Form {
    key: &'static str,
    length: std::ops::RangeInclusive<usize>,
    /// What else there is to it, for people.
    alphabet: &'static str,
    fits: fn(&str) -> bool,
}

impl Form {
    fn check(&self, text: Option<&String>) -> Option<Fault> {
        let text = given(text)?;
        if self.length.contains(&text.chars().count()) && (self.fits)(text) {
            return None;
        }
        let (least, most) = (self.length.start(), self.length.end());
        Some(Fault::new(
            format!("aksConfig.{}", self.key),
            format!("{} {text:?} is no name that Azure takes", self.key),
            format!("use {least} to {most} characters, {}", self.alphabet),
        ))
    }
}

fn edges(text: &str, fits: impl Fn(char) -> bool) -> bool {
    text.chars().next().is_some_and(&fits) && text.chars().last().is_some_and(&fits)
}

fn is_cluster_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        && edges(text, |c| c.is_ascii_alphanumeric())
}

fn is_group_name(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '(' | ')'))
        && !text.ends_with('.')
}

fn is_dns_prefix(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && edges(text, |c| c.is_ascii_alphanumeric())
}

fn is_network_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

const GROUP_FORM: &str = "letters, digits, hyphens, underscores, dots and parentheses, not ending with a dot";
const NETWORK_FORM: &str = "letters, digits, hyphens, underscores and dots, beginning with a letter or digit and ending with \
    one or an underscore";

fn cluster(case: &Case<'_>) -> Vec<Fault> {
    let form = Form {
        key: "clusterName",
        length: 1..=63,
        alphabet: "letters, digits, hyphens and underscores, beginning and ending with a letter or digit",
        fits: is_cluster_name,
    };
    form.check(case.spec.cluster_name.as_ref()).into_iter().collect()
}

fn groups(case: &Case<'_>) -> Vec<Fault> {
    let spec = &case.spec;
    let named = [
        ("resourceGroup", spec.resource_group.as_ref()),
        ("virtualNetworkResourceGroup", spec.virtual_network_resource_group.as_ref()),
        ("logAnalyticsWorkspaceGroup", spec.log_analytics_workspace_group.as_ref()),
    ];
    let form = |key| Form { key, length: 1..=90, alphabet: GROUP_FORM, fits: is_group_name };
    named.into_iter().filter_map(|(key, text)| form(key).check(text)).collect()
}

fn node_group(case: &Case<'_>) -> Vec<Fault> {
    let form = Form { key: "nodeResourceGroup", length: 1..=80, alphabet: GROUP_FORM, fits: is_group_name };
    form.check(case.spec.node_resource_group.as_ref()).into_iter().collect()
}

fn node_group_own(case: &Case<'_>) -> Vec<Fault> {
    let spec = &case.spec;
    let (Some(own), Some(group)) =
        (given(spec.node_resource_group.as_ref()), given(spec.resource_group.as_ref()))
    else {
        return Vec::new();
    };
    if !own.eq_ignore_ascii_case(group) {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.nodeResourceGroup",
        format!(
            "nodeResourceGroup {own:?} is the resourceGroup too, but Azure makes and removes a group for the machines"
        ),
        "name a group that does not exist, or leave nodeResourceGroup out",
    )]
}

fn dns_prefix(case: &Case<'_>) -> Vec<Fault> {
    let form = Form {
        key: "dnsPrefix",
        length: 1..=54,
        alphabet: "letters, digits and hyphens, beginning and ending with a letter or digit",
        fits: is_dns_prefix,
    };
    form.check(case.spec.dns_prefix.as_ref()).into_iter().collect()
}

fn pools(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let wrong = pools.iter().filter(|pool| {
        let name = pool.name();
        let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        !name.is_empty() && (!fits || name.len() > 12)
    });
    wrong
        .map(|pool| {
            Fault::new(
                pool.field("name"),
                format!("name {:?} of a node pool is none that Azure takes", pool.name()),
                "use 1 to 12 lower-case letters and digits, beginning with a letter",
            )
        })
        .collect()
}

fn networks(case: &Case<'_>) -> Vec<Fault> {
    let spec = &case.spec;
    let network =
        Form { key: "virtualNetwork", length: 2..=64, alphabet: NETWORK_FORM, fits: is_network_name };
    let subnet = Form { key: "subnet", length: 1..=80, alphabet: NETWORK_FORM, fits: is_network_name };
    let faults = [network.check(spec.virtual_network.as_ref()), subnet.check(spec.subnet.as_ref())];
    faults.into_iter().flatten().collect()
}

fn subnet_ids(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let wrong = pools.iter().filter_map(|pool| {
        let id = given(pool.wanted.vnet_subnet_id.as_ref()).filter(|id| SubnetRef::parse(id).is_none())?;
        Some(Fault::new(
            pool.field("vnetSubnetID"),
            format!("vnetSubnetID {id:?} of node pool {} is not the id of a subnet", pool.name()),
            "use the form /subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.Network/virtualNetworks/<network>/subnets/<subnet>",
        ))
    });
    wrong.collect()
}

fn workspace(case: &Case<'_>) -> Vec<Fault> {
    let form = Form {
        key: "logAnalyticsWorkspaceName",
        length: 4..=63,
        alphabet: "letters, digits and hyphens, beginning and ending with a letter or digit",
        fits: is_dns_prefix,
    };
    form.check(case.spec.log_analytics_workspace_name.as_ref()).into_iter().collect()
}

fn region(case: &Case<'_>) -> Vec<Fault> {
    let region = case.region();
    if region.is_empty() || regions::is_plausible(&regions::normalised(region)) {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.resourceLocation",
        format!("resourceLocation {region:?} cannot be the name of a region"),
        "use letters and digits only, for example eastus",
    )]
}

fn region_exists(case: &Case<'_>) -> Vec<Fault> {
    let wanted = regions::normalised(case.region());
    let mut known = list(&case.azure.regions).iter().filter(|region| {
        let kind = region.metadata.as_ref().and_then(|it| it.region_type.as_deref());
        kind.is_none_or(|kind| kind.eq_ignore_ascii_case("Physical"))
    });
    if known.any(|region| region.name.as_deref().map(regions::normalised).as_deref() == Some(&wanted)) {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.resourceLocation",
        format!(
            "resourceLocation {:?} is no region in which this subscription can have a cluster",
            case.region()
        ),
        "use one that aksLocations lists",
    )]
}
