//! Who reaches the API server, private DNS zones, identities, and the keys of the machines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::case::Case;
use super::cidr;
use super::rule::{Fault, Rule};
use crate::regions;
use crate::spec::given;

const RANGES: &str = "Azure: Use API server authorized IP address ranges in AKS, \
    https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges";
const PRIVATE: &str =
    "Azure: Create a private AKS cluster, https://learn.microsoft.com/azure/aks/private-clusters";
const IDENTITY: &str =
    "Azure: Use a managed identity in AKS, https://learn.microsoft.com/azure/aks/use-managed-identity";
const MACHINES: &str = "Azure: Managed clusters, REST, https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update";
const ROUTING: &str = "Azure: HTTP application routing add-on (retired), \
    https://learn.microsoft.com/azure/aks/http-application-routing";

pub(super) const RULES: &[Rule] = &[
    Rule::error("authorized-ranges", RANGES, ranges),
    Rule::error("authorized-ranges-count", RANGES, range_count),
    Rule::error("authorized-ranges-public", RANGES, private_ranges).warning(),
    Rule::error("authorized-ranges-private-cluster", RANGES, ranges_of_private),
    Rule::error("private-dns-zone", PRIVATE, dns_zone),
    Rule::error("private-dns-zone-identity", PRIVATE, dns_zone_identity),
    Rule::error("private-dns-zone-unused", PRIVATE, dns_zone_unused).warning(),
    Rule::error("identity-id", IDENTITY, identity_id),
    Rule::error("identity-unused", IDENTITY, identity_unused).warning(),
    Rule::error("admin-name", MACHINES, admin_name),
    Rule::error("ssh-key", MACHINES, ssh_key),
    Rule::error("ssh-key-unused", "docs/contract/aks-config.md#cluster-fields", ssh_key_unused).warning(),
    Rule::error("http-routing-retired", ROUTING, http_routing).warning(),
];

const RANGES_FIELD: &str = "aksConfig.authorizedIpRanges";

fn authorized<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a String> {
    case.spec.authorized_ip_ranges.iter().flatten()
}

/// A range, or one address.
fn range(text: &str) -> Option<ipnet::Ipv4Net> {
    cidr::v4(text).or_else(|| text.parse::<std::net::Ipv4Addr>().ok().map(ipnet::Ipv4Net::from))
}

fn ranges(case: &Case<'_>) -> Vec<Fault> {
    let wrong = authorized(case).filter(|text| range(text).is_none());
    wrong
        .map(|text| {
            let message = format!("{text:?} in authorizedIpRanges is no range of IPv4 addresses");
            Fault::new(
                RANGES_FIELD,
                message,
                "use CIDR notation, for example 203.0.113.0/24 or 203.0.113.7/32",
            )
        })
        .collect()
}

fn range_count(case: &Case<'_>) -> Vec<Fault> {
    const MOST: usize = 200;
    let count = authorized(case).count();
    if count <= MOST {
        return Vec::new();
    }
    let message = format!("authorizedIpRanges has {count} ranges, and AKS takes {MOST}");
    vec![Fault::new(RANGES_FIELD, message, "join neighbouring ranges")]
}

fn private_ranges(case: &Case<'_>) -> Vec<Fault> {
    let private =
        authorized(case).filter(|text| range(text).is_some_and(|range| range.network().is_private()));
    private
        .map(|text| {
            let message =
                format!("{text} in authorizedIpRanges is a private range, from which nothing reaches the public API server");
            Fault::new(RANGES_FIELD, message, "use the public addresses behind which the clients are")
        })
        .collect()
}

fn ranges_of_private(case: &Case<'_>) -> Vec<Fault> {
    if case.spec.private_cluster != Some(true) || authorized(case).next().is_none() {
        return Vec::new();
    }
    let message =
        "authorizedIpRanges cannot be used with privateCluster, whose API server has no public address";
    vec![Fault::new(RANGES_FIELD, message, "leave one of the two out")]
}

const ZONE_FIELD: &str = "aksConfig.privateDnsZone";

/// The zone, when it is an own one.
fn own_zone<'a>(case: &'a Case<'_>) -> Option<&'a str> {
    let word = |zone: &&str| ["system", "none"].iter().any(|it| it.eq_ignore_ascii_case(zone));
    given(case.spec.private_dns_zone.as_ref()).filter(|zone| !word(zone))
}

/// The name of a zone for a region, which the cloud of the region decides.
fn zone_name(region: &str) -> String {
    let is_in = |starts: &[&str]| starts.iter().any(|start| region.starts_with(start));
    let cloud = if is_in(&["usgov", "usdod"]) {
        "cx.aks.containerservice.azure.us"
    } else if is_in(&["china"]) {
        "cx.prod.service.azk8s.cn"
    } else {
        "azmk8s.io"
    };
    format!("privatelink.{region}.{cloud}")
}

/// Whether a name is that of a zone for a region, or of a zone below it.
fn is_zone_of(name: &str, region: &str) -> bool {
    let zone = zone_name(region);
    let endings = [zone.replacen("privatelink", "private", 1), zone];
    endings
        .iter()
        .any(|end| name == end || name.strip_suffix(end.as_str()).is_some_and(|sub| sub.ends_with('.')))
}

fn dns_zone(case: &Case<'_>) -> Vec<Fault> {
    let Some(zone) = own_zone(case) else { return Vec::new() };
    let region = regions::normalised(case.region());
    let lower = zone.to_lowercase();
    let name = lower.starts_with("/subscriptions/").then(|| lower.split_once("/privatednszones/")).flatten();
    if name.is_some_and(|(_, name)| is_zone_of(name, &region)) {
        return Vec::new();
    }
    vec![Fault::new(
        ZONE_FIELD,
        format!("privateDnsZone {zone:?} is neither system nor none nor the id of a zone for {region}"),
        format!("use the id of a zone named [<sub>.]{}, or system", zone_name(&region)),
    )]
}

fn dns_zone_identity(case: &Case<'_>) -> Vec<Fault> {
    let user = given(case.spec.user_assigned_identity.as_ref()).is_some()
        && case.spec.managed_identity == Some(true);
    if own_zone(case).is_none() || case.spec.private_cluster != Some(true) || user {
        return Vec::new();
    }
    vec![Fault::new(
        ZONE_FIELD,
        "privateDnsZone is a zone of one's own, which only a user-assigned identity may write to",
        "set managedIdentity and userAssignedIdentity, and give that identity the role Private DNS Zone Contributor",
    )]
}

fn dns_zone_unused(case: &Case<'_>) -> Vec<Fault> {
    if given(case.spec.private_dns_zone.as_ref()).is_none() || case.spec.private_cluster == Some(true) {
        return Vec::new();
    }
    let message = "privateDnsZone has no effect without privateCluster";
    vec![Fault::new(ZONE_FIELD, message, "set privateCluster, or leave privateDnsZone out")]
}

const IDENTITY_FIELD: &str = "aksConfig.userAssignedIdentity";

fn identity_id(case: &Case<'_>) -> Vec<Fault> {
    let Some(id) = given(case.spec.user_assigned_identity.as_ref()) else { return Vec::new() };
    let lower = id.to_lowercase();
    let parts: Vec<&str> = lower.split('/').collect();
    let fits = matches!(
        parts.as_slice(),
        ["", "subscriptions", subscription, "resourcegroups", group, "providers", "microsoft.managedidentity",
            "userassignedidentities", name] if ![subscription, group, name].iter().any(|it| it.is_empty())
    );
    if fits {
        return Vec::new();
    }
    vec![Fault::new(
        IDENTITY_FIELD,
        format!("userAssignedIdentity {id:?} is not the id of an identity"),
        "use the form /subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>",
    )]
}

fn identity_unused(case: &Case<'_>) -> Vec<Fault> {
    if given(case.spec.user_assigned_identity.as_ref()).is_none() || case.spec.managed_identity == Some(true)
    {
        return Vec::new();
    }
    let message = "userAssignedIdentity has no effect without managedIdentity";
    vec![Fault::new(IDENTITY_FIELD, message, "set managedIdentity, or leave userAssignedIdentity out")]
}

fn admin_name(case: &Case<'_>) -> Vec<Fault> {
    let Some(name) = given(case.spec.linux_admin_username.as_ref()) else { return Vec::new() };
    let fits = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if fits {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.linuxAdminUsername",
        format!("linuxAdminUsername {name:?} is no user name that Azure takes"),
        "use at most 64 letters, digits, hyphens and underscores, beginning with a letter",
    )]
}

/// The kind of a key in the one-line form of OpenSSH, which both its first word and its data name.
fn key_kind(key: &str) -> Option<&str> {
    let mut words = key.trim().split(' ').filter(|word| !word.is_empty());
    let (kind, data) = (words.next()?, words.next()?);
    let data = STANDARD.decode(data).ok()?;
    let (length, rest) = data.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (rest.get(..length)? == kind.as_bytes() && !key.trim().contains(['\n', '\r'])).then_some(kind)
}

fn ssh_key(case: &Case<'_>) -> Vec<Fault> {
    let Some(key) = given(case.spec.ssh_public_key.as_ref()) else { return Vec::new() };
    let message = match key_kind(key) {
        Some("ssh-rsa" | "ssh-ed25519") => return Vec::new(),
        Some(kind) => format!("sshPublicKey is of kind {kind}, which Azure does not take"),
        None => "sshPublicKey is no public key in the form of OpenSSH".to_owned(),
    };
    let remedy = "use one line such as \"ssh-rsa AAAA…\", as ssh-keygen -t rsa -b 4096 writes it";
    vec![Fault::new("aksConfig.sshPublicKey", message, remedy)]
}

fn ssh_key_unused(case: &Case<'_>) -> Vec<Fault> {
    let spec = &case.spec;
    if given(spec.ssh_public_key.as_ref()).is_none() || given(spec.linux_admin_username.as_ref()).is_some() {
        return Vec::new();
    }
    let message = "sshPublicKey has no effect without linuxAdminUsername";
    vec![Fault::new("aksConfig.sshPublicKey", message, "set linuxAdminUsername too")]
}

fn http_routing(case: &Case<'_>) -> Vec<Fault> {
    if case.spec.http_application_routing != Some(true) {
        return Vec::new();
    }
    let message =
        "httpApplicationRouting switches on an add-on that Azure has retired and new clusters may not have";
    vec![Fault::new(
        "aksConfig.httpApplicationRouting",
        message,
        "leave it off and install an ingress controller",
    )]
}
