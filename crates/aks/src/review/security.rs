//! Access to the API server, private DNS zones, identities, and SSH keys of nodes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cidr;
use super::input::RuleInput;
use super::rule::{FieldFindings, Rule};
use super::sources::{
    AUTHORIZED_RANGES_DOC, FIELDS_DOC, IDENTITIES_DOC, MANAGED_CLUSTERS_DOC, PRIVATE_CLUSTERS_DOC, learn,
};
use crate::regions;

const ROUTING_DOC: &str =
    learn!("HTTP application routing add-on (retired)", "azure/aks/http-application-routing");

pub(super) const RULES: &[Rule] = &[
    Rule::error("authorized-ranges", AUTHORIZED_RANGES_DOC, range_format),
    Rule::error("authorized-ranges-count", AUTHORIZED_RANGES_DOC, range_count),
    Rule::warning("authorized-ranges-public", AUTHORIZED_RANGES_DOC, private_ranges),
    Rule::error("authorized-ranges-private-cluster", AUTHORIZED_RANGES_DOC, ranges_of_private_cluster),
    Rule::error("private-dns-zone", PRIVATE_CLUSTERS_DOC, dns_zone),
    Rule::error("private-dns-zone-identity", PRIVATE_CLUSTERS_DOC, dns_zone_identity),
    Rule::warning("private-dns-zone-unused", PRIVATE_CLUSTERS_DOC, dns_zone_unused),
    Rule::error("identity-id", IDENTITIES_DOC, identity_id),
    Rule::warning("identity-unused", IDENTITIES_DOC, identity_unused),
    Rule::error("admin-name", MANAGED_CLUSTERS_DOC, admin_name),
    Rule::error("ssh-key", MANAGED_CLUSTERS_DOC, ssh_key),
    Rule::warning("ssh-key-unused", FIELDS_DOC, ssh_key_unused),
    Rule::warning("http-routing-retired", ROUTING_DOC, http_routing),
];

fn authorized_ranges<'a>(input: &'a RuleInput<'_>) -> impl Iterator<Item = &'a String> {
    input.spec.authorized_ip_ranges.iter().flatten()
}

/// Parses a range or a single address.
fn parse_range(text: &str) -> Option<ipnet::Ipv4Net> {
    cidr::parse_v4(text).or_else(|| text.parse::<std::net::Ipv4Addr>().ok().map(ipnet::Ipv4Net::from))
}

fn range_format(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for text in authorized_ranges(input).filter(|text| parse_range(text).is_none()) {
        let message = format!("{text:?} in authorizedIpRanges is not an IPv4 range");
        let remedy = "use CIDR notation, for example 203.0.113.0/24 or 203.0.113.7/32";
        findings.add("authorizedIpRanges", message, remedy);
    }
}

fn range_count(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    const MAX_RANGES: usize = 200;
    let count = authorized_ranges(input).count();
    if count > MAX_RANGES {
        let message = format!("authorizedIpRanges has {count} ranges, but AKS accepts at most {MAX_RANGES}");
        findings.add("authorizedIpRanges", message, "join adjacent ranges");
    }
}

fn private_ranges(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for text in authorized_ranges(input) {
        if parse_range(text).is_some_and(|range| range.network().is_private()) {
            let message = format!(
                "{text} in authorizedIpRanges is a private range, which cannot reach the public API server"
            );
            findings.add("authorizedIpRanges", message, "use the public addresses of the clients");
        }
    }
}

fn ranges_of_private_cluster(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.spec.private_cluster == Some(true) && authorized_ranges(input).next().is_some() {
        let message =
            "authorizedIpRanges cannot be used with privateCluster, whose API server has no public address";
        findings.add("authorizedIpRanges", message, "leave one of the two out");
    }
}

/// The zone, if it is not one of Azure's keywords.
fn custom_zone<'a>(input: &'a RuleInput<'_>) -> Option<&'a str> {
    let is_keyword = |zone: &&str| ["system", "none"].iter().any(|word| word.eq_ignore_ascii_case(zone));
    input.spec.private_dns_zone.as_deref().filter(|zone| !is_keyword(zone))
}

/// The name of a zone for a region, which depends on the cloud of the region.
fn zone_name(region: &str) -> String {
    let suffix = if region.starts_with("usgov") || region.starts_with("usdod") {
        "cx.aks.containerservice.azure.us"
    } else if region.starts_with("china") {
        "cx.prod.service.azk8s.cn"
    } else {
        "azmk8s.io"
    };
    format!("privatelink.{region}.{suffix}")
}

/// Whether a name is that of a private zone for a region, or of a subzone. Azure accepts `private` instead of `privatelink`.
fn is_zone_of(name: &str, region: &str) -> bool {
    let zone = zone_name(region);
    let alternative = zone.replacen("privatelink", "private", 1);
    [alternative, zone].iter().any(|zone| {
        name.strip_suffix(zone.as_str()).is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'))
    })
}

fn dns_zone(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Some(zone) = custom_zone(input) else { return };
    let region = regions::normalize(input.region());
    let lower = zone.to_lowercase();
    let prefix_and_name =
        lower.starts_with("/subscriptions/").then(|| lower.split_once("/privatednszones/")).flatten();
    if prefix_and_name.is_none_or(|(_, name)| !is_zone_of(name, &region)) {
        let message =
            format!("privateDnsZone {zone:?} is neither system nor none nor the ID of a zone for {region}");
        let remedy = format!("use the ID of a zone named [<sub>.]{}, or system", zone_name(&region));
        findings.add("privateDnsZone", message, remedy);
    }
}

fn dns_zone_identity(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let is_private = input.spec.private_cluster == Some(true);
    if is_private && custom_zone(input).is_some() && input.spec.user_identity().is_none() {
        let message =
            "privateDnsZone is a zone of your own, to which only a user-assigned identity may write";
        let remedy = "set managedIdentity and userAssignedIdentity, and give that identity the role Private DNS Zone Contributor";
        findings.add("privateDnsZone", message, remedy);
    }
}

fn dns_zone_unused(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.spec.private_dns_zone.is_some() && input.spec.private_cluster != Some(true) {
        let message = "privateDnsZone has no effect without privateCluster";
        findings.add("privateDnsZone", message, "set privateCluster, or leave privateDnsZone out");
    }
}

fn identity_id(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Some(id) = &input.spec.user_assigned_identity else { return };
    let lower = id.to_lowercase();
    let parts: Vec<&str> = lower.split('/').collect();
    let is_valid = matches!(
        parts.as_slice(),
        ["", "subscriptions", subscription, "resourcegroups", group, "providers", "microsoft.managedidentity",
            "userassignedidentities", name] if ![subscription, group, name].iter().any(|part| part.is_empty())
    );
    if !is_valid {
        let message = format!("userAssignedIdentity {id:?} is not the ID of an identity");
        let remedy = "use the form /subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>";
        findings.add("userAssignedIdentity", message, remedy);
    }
}

fn identity_unused(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.spec.user_assigned_identity.is_some() && input.spec.user_identity().is_none() {
        let message = "userAssignedIdentity has no effect without managedIdentity";
        findings.add(
            "userAssignedIdentity",
            message,
            "set managedIdentity, or leave userAssignedIdentity out",
        );
    }
}

fn admin_name(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Some(name) = &input.spec.linux_admin_username else { return };
    let is_valid = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !is_valid {
        let message = format!("linuxAdminUsername {name:?} is not a valid user name in Azure");
        let remedy = "use at most 64 letters, digits, hyphens and underscores, starting with a letter";
        findings.add("linuxAdminUsername", message, remedy);
    }
}

/// The type of a key in OpenSSH's one-line format, if the first word and the data agree on it.
fn key_type(key: &str) -> Option<&str> {
    let mut words = key.trim().split(' ').filter(|word| !word.is_empty());
    let (declared_type, encoded) = (words.next()?, words.next()?);
    let data = STANDARD.decode(encoded).ok()?;
    let (length, remainder) = data.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (remainder.get(..length)? == declared_type.as_bytes() && !key.trim().contains(['\n', '\r']))
        .then_some(declared_type)
}

fn ssh_key(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Some(key) = &input.spec.ssh_public_key else { return };
    let message = match key_type(key) {
        Some("ssh-rsa" | "ssh-ed25519") => return,
        Some(key_type) => format!("sshPublicKey has the type {key_type}, which Azure does not accept"),
        None => "sshPublicKey is not a public key in OpenSSH format".to_owned(),
    };
    let remedy = "use one line such as \"ssh-rsa AAAA…\", as ssh-keygen -t rsa -b 4096 writes it";
    findings.add("sshPublicKey", message, remedy);
}

fn ssh_key_unused(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.spec.ssh_public_key.is_some() && input.spec.linux_admin_username.is_none() {
        let message = "sshPublicKey has no effect without linuxAdminUsername";
        findings.add("sshPublicKey", message, "set linuxAdminUsername too");
    }
}

fn http_routing(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.spec.http_application_routing == Some(true) {
        let message = "httpApplicationRouting switches on an add-on that Azure has retired and may reject in new clusters";
        findings.add("httpApplicationRouting", message, "leave it off and install an ingress controller");
    }
}
