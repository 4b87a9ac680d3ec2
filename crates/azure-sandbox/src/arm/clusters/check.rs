//! Validation of clusters and pools by themselves, without the region and other resources: names, numbers and combinations.

use ipnet::IpNet;
use serde_json::Value;

use super::network;
use crate::arm::error::ArmError;
use crate::json;

/// The maximum number of nodes of a pool.
const MAX_NODES: u32 = 1_000;

/// Checks the name of a cluster.
pub(crate) fn check_name(name: &str) -> Result<(), ArmError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !(1..=63).contains(&name.len()) || !name.chars().all(is_allowed) || !has_alphanumeric_edges(name) {
        let why = "it must be 1 to 63 letters, digits, hyphens and underscores, starting and ending with a letter or digit";
        return Err(ArmError::invalid("name", why));
    }
    Ok(())
}

fn has_alphanumeric_edges(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// Checks a cluster after defaulting.
pub(crate) fn check_cluster(body: &Value) -> Result<(), ArmError> {
    let prefix = json::text(body, "/properties/dnsPrefix").unwrap_or_default();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !(1..=54).contains(&prefix.len()) || !prefix.chars().all(is_allowed) || !has_alphanumeric_edges(prefix)
    {
        let why =
            "it must be 1 to 54 letters, digits and hyphens, starting and ending with a letter or digit";
        return Err(ArmError::invalid("dnsPrefix", why));
    }
    check_node_group(body)?;
    check_identity(body)?;
    let pools = json::list(body, "/properties/agentPoolProfiles");
    if pools.is_empty() {
        return Err(ArmError::invalid("agentPoolProfiles", "there has to be at least one agent pool"));
    }
    for (index, pool) in pools.iter().enumerate() {
        check_pool(pool)?;
        let name = json::text(pool, "/name");
        if pools.iter().take(index).any(|earlier| json::text(earlier, "/name") == name) {
            let why = format!("the name {} is used twice", name.unwrap_or_default());
            return Err(ArmError::invalid("agentPoolProfile.name", &why));
        }
    }
    check_system_pool(pools)?;
    check_network_profile(body)?;
    network::check_ranges(body)?;
    check_access(body)
}

/// Checks the name of the node resource group.
fn check_node_group(body: &Value) -> Result<(), ArmError> {
    let Some(name) = json::text(body, "/properties/nodeResourceGroup") else { return Ok(()) };
    let is_allowed = |c: char| c.is_alphanumeric() || "-_().".contains(c);
    if (1..=80).contains(&name.chars().count()) && !name.ends_with('.') && name.chars().all(is_allowed) {
        return Ok(());
    }
    let why = "it must be at most 80 letters, digits, hyphens, underscores, periods and parentheses, not ending with a period";
    Err(ArmError::invalid("nodeResourceGroupName", why))
}

pub(crate) fn check_system_pool(pools: &[Value]) -> Result<(), ArmError> {
    if pools.iter().any(|pool| json::text(pool, "/mode") == Some("System")) {
        return Ok(());
    }
    let text = "Must define at least one system pool.";
    Err(ArmError::bad_property("MustDefineAtLeastOneSystemPool", text, "agentPoolProfiles"))
}

fn check_identity(body: &Value) -> Result<(), ArmError> {
    let client = json::text(body, "/properties/servicePrincipalProfile/clientId");
    match json::text(body, "/identity/type") {
        Some("SystemAssigned") => Ok(()),
        Some("UserAssigned") => {
            let ids = body.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
            let resource_type = "/providers/microsoft.managedidentity/userassignedidentities/";
            let is_identity = |id: &String| id.to_ascii_lowercase().contains(resource_type);
            if ids.is_some_and(|ids| ids.len() == 1 && ids.keys().all(is_identity)) {
                return Ok(());
            }
            Err(ArmError::invalid("identity", "exactly one user-assigned identity is required, by its ID"))
        }
        None | Some("None") if client.is_some() => Ok(()),
        None | Some("None") => {
            let text = "Required parameter servicePrincipalProfile is missing (null).";
            Err(ArmError::bad_property("InvalidParameter", text, "servicePrincipalProfile"))
        }
        Some(other) => {
            Err(ArmError::invalid("identity", &format!("the identity type '{other}' is not supported")))
        }
    }
}

fn check_network_profile(body: &Value) -> Result<(), ArmError> {
    let setting = |key: &str| json::text(body, &format!("/properties/networkProfile/{key}"));
    let check_one_of = |key: &str, allowed_values: &[&str]| match setting(key) {
        Some(value) if !allowed_values.contains(&value) => {
            let why = format!("'{value}' must be one of: {}", allowed_values.join(", "));
            Err(ArmError::invalid(&format!("networkProfile.{key}"), &why))
        }
        _ => Ok(()),
    };
    check_one_of("networkPlugin", &["azure", "kubenet", "none"])?;
    check_one_of("networkPolicy", &["azure", "calico", "cilium", "none"])?;
    check_one_of("loadBalancerSku", &["standard", "basic"])?;
    let outbound =
        ["loadBalancer", "userDefinedRouting", "managedNATGateway", "userAssignedNATGateway", "none"];
    check_one_of("outboundType", &outbound)?;
    if setting("networkPolicy") == Some("azure") && setting("networkPlugin") != Some("azure") {
        let why = "network policy azure requires network plugin azure";
        return Err(ArmError::invalid("networkProfile.networkPolicy", why));
    }
    let is_basic = setting("loadBalancerSku") == Some("basic");
    let has_zones = json::list(body, "/properties/agentPoolProfiles")
        .iter()
        .any(|pool| !json::list(pool, "/availabilityZones").is_empty());
    if is_basic && has_zones {
        let text = "Standard Load Balancer is required for availability zone.";
        return Err(ArmError::bad_property("InvalidParameter", text, "networkProfile.loadBalancerSku"));
    }
    if is_basic && setting("outboundType").is_some_and(|outbound| outbound != "loadBalancer") {
        let why = "this outbound type requires a Standard Load Balancer";
        return Err(ArmError::invalid("networkProfile.outboundType", why));
    }
    Ok(())
}

fn check_access(body: &Value) -> Result<(), ArmError> {
    let profile = "/properties/apiServerAccessProfile";
    let ranges = json::texts(body, &format!("{profile}/authorizedIPRanges"));
    let target = "apiServerAccessProfile.authorizedIPRanges";
    let is_range =
        |text: &String| text.parse::<std::net::Ipv4Addr>().is_ok() || text.parse::<IpNet>().is_ok();
    if let Some(invalid_range) = ranges.iter().find(|range| !is_range(range)) {
        return Err(ArmError::invalid(
            target,
            &format!("'{invalid_range}' is neither an address nor a range in CIDR form"),
        ));
    }
    let is_private = json::is_true(body, &format!("{profile}/enablePrivateCluster"));
    if is_private && !ranges.is_empty() {
        return Err(ArmError::invalid(target, "a private cluster cannot have authorized IP ranges"));
    }
    let zone = json::text(body, &format!("{profile}/privateDNSZone"));
    if let Some(zone) = zone {
        let id = zone.to_ascii_lowercase();
        let is_valid =
            id == "system" || id == "none" || id.contains("/providers/microsoft.network/privatednszones/");
        if !is_private || !is_valid {
            let why =
                format!("'{zone}' requires a private cluster, and must be system, none or the ID of a zone");
            return Err(ArmError::invalid("apiServerAccessProfile.privateDNSZone", &why));
        }
    }
    let has_entra = json::is_true(body, "/properties/aadProfile/managed");
    if json::is_true(body, "/properties/disableLocalAccounts") && !has_entra {
        return Err(ArmError::invalid(
            "disableLocalAccounts",
            "local accounts can be disabled only with Entra users",
        ));
    }
    Ok(())
}

/// Checks the profile of a pool after defaulting.
pub(crate) fn check_pool(pool: &Value) -> Result<(), ArmError> {
    let property = |key: &str| json::text(pool, &format!("/{key}")).unwrap_or_default();
    let invalid = |key: &str, why: &str| Err(ArmError::invalid(&format!("agentPoolProfile.{key}"), why));
    let name = property("name");
    let is_windows = property("osType") == "Windows";
    let max_len = if is_windows { 6 } else { 12 };
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !(1..=max_len).contains(&name.len())
        || !name.chars().all(is_allowed)
        || !name.starts_with(|c: char| c.is_ascii_lowercase())
    {
        return invalid(
            "name",
            "it must be at most 12 (Windows: 6) lower-case letters and digits, starting with a letter",
        );
    }
    if property("vmSize").is_empty() {
        return invalid("vmSize", "it is missing");
    }
    for (key, allowed_values) in [
        ("mode", ["System", "User"]),
        ("osType", ["Linux", "Windows"]),
        ("osDiskType", ["Managed", "Ephemeral"]),
        ("type", ["VirtualMachineScaleSets", "AvailabilitySet"]),
    ] {
        if !allowed_values.contains(&property(key)) {
            return invalid(
                key,
                &format!("'{}' must be one of: {}", property(key), allowed_values.join(", ")),
            );
        }
    }
    let is_system = property("mode") == "System";
    if is_system && is_windows {
        return invalid("osType", "a system pool must have Linux nodes");
    }
    let number = |key: &str| json::number(pool, &format!("/{key}"));
    let min_count = u32::from(is_system);
    if number("count").is_none_or(|count| !(min_count..=MAX_NODES).contains(&count)) {
        return invalid("count", &format!("it must be a number from {min_count} to {MAX_NODES}"));
    }
    if number("maxPods").is_none_or(|pods| !(10..=250).contains(&pods)) {
        return invalid("maxPods", "it must be a number from 10 to 250");
    }
    if number("osDiskSizeGB").is_none_or(|size| !(30..=2_048).contains(&size)) {
        return invalid("osDiskSizeGB", "it must be 0 or a number from 30 to 2048");
    }
    check_autoscaling(pool, min_count)?;
    check_taints_labels_surge(pool)
}

fn check_autoscaling(pool: &Value, min_count: u32) -> Result<(), ArmError> {
    let number = |key: &str| json::number(pool, key);
    match (json::is_true(pool, "/enableAutoScaling"), number("/minCount"), number("/maxCount")) {
        (false, None, None) => Ok(()),
        (false, _, _) => {
            let why = "minCount and maxCount can only be set with enableAutoScaling";
            Err(ArmError::invalid("agentPoolProfile.minCount", why))
        }
        (true, Some(min), Some(max)) if min_count <= min && min <= max && (1..=MAX_NODES).contains(&max) => {
            Ok(())
        }
        (true, _, _) => {
            let why = format!(
                "with enableAutoScaling, minCount must be from {min_count} to maxCount, and maxCount at most {MAX_NODES}"
            );
            Err(ArmError::invalid("agentPoolProfile.minCount", &why))
        }
    }
}

fn check_taints_labels_surge(pool: &Value) -> Result<(), ArmError> {
    for taint in json::texts(pool, "/nodeTaints") {
        let allowed_effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        let spec = taint.rsplit_once(':').filter(|(_, effect)| allowed_effects.contains(effect));
        let pair = spec.and_then(|(pair, _)| pair.split_once('=')).filter(|(_, value)| !value.contains('='));
        let Some((key, _)) = pair else {
            let why = format!("invalid taint spec: {taint}");
            return Err(ArmError::invalid("agentPoolProfile.nodeTaints", &why));
        };
        if !is_valid_key(key) {
            let why = format!("'{taint}' does not have the form key=value:effect");
            return Err(ArmError::invalid("agentPoolProfile.nodeTaints", &why));
        }
    }
    let labels = pool.pointer("/nodeLabels").and_then(Value::as_object);
    for (key, value) in labels.into_iter().flatten() {
        // A value that is not a string becomes `?`, which is invalid.
        let value = value.as_str().unwrap_or("?");
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_valid = value.len() <= 63
            && value.chars().all(is_allowed)
            && (value.is_empty() || has_alphanumeric_edges(value));
        if !is_valid_key(key) || !is_valid {
            let why = format!("'{key}: {value}' is not a valid label");
            return Err(ArmError::invalid("agentPoolProfile.nodeLabels", &why));
        }
    }
    let surge = json::text(pool, "/upgradeSettings/maxSurge").unwrap_or("1");
    if surge.strip_suffix('%').unwrap_or(surge).parse::<u32>().is_err() {
        let why = format!("'{surge}' is neither a number nor a percentage");
        return Err(ArmError::invalid("agentPoolProfile.upgradeSettings.maxSurge", &why));
    }
    Ok(())
}

/// Whether a string is a valid key of a label or taint: a name, with an optional domain before a slash.
fn is_valid_key(key: &str) -> bool {
    let (domain, name) = key.rsplit_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_valid = |text: &str, max_len: usize| {
        text.len() <= max_len && text.chars().all(is_allowed) && has_alphanumeric_edges(text)
    };
    is_valid(name, 63) && domain.is_none_or(|domain| is_valid(domain, 253) && !domain.contains('_'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn valid_pool() -> Value {
        json!({
            "name": "system", "count": 1, "vmSize": "Standard_D2s_v3", "mode": "System", "osType": "Linux",
            "osDiskType": "Managed", "osDiskSizeGB": 128, "maxPods": 30, "type": "VirtualMachineScaleSets",
            "enableAutoScaling": false,
        })
    }

    fn valid_cluster() -> Value {
        json!({
            "id": "/x", "identity": {"type": "SystemAssigned"},
            "properties": {
                "dnsPrefix": "mine", "agentPoolProfiles": [valid_pool()],
                "networkProfile": {
                    "networkPlugin": "azure", "serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.0.0.10",
                    "loadBalancerSku": "standard", "outboundType": "loadBalancer",
                },
            },
        })
    }

    #[test]
    fn cluster_names_are_validated() {
        for (text, expected) in [
            ("a", true),
            ("My_cluster-1", true),
            ("", false),
            ("-a", false),
            ("a.b", false),
            (&*"a".repeat(64), false),
        ] {
            assert_eq!(check_name(text).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn pool_errors_name_the_invalid_property() {
        assert!(check_pool(&valid_pool()).is_ok());
        for (key, value, target) in [
            ("/name", json!("Upper"), "name"),
            ("/name", json!("1a"), "name"),
            ("/name", json!("morethantwelve"), "name"),
            ("/vmSize", json!(null), "vmSize"),
            ("/mode", json!("system"), "mode"),
            ("/count", json!(0), "count"),
            ("/count", json!(1_001), "count"),
            ("/maxPods", json!(9), "maxPods"),
            ("/osDiskSizeGB", json!(29), "osDiskSizeGB"),
            ("/osType", json!("Windows"), "osType"),
            ("/minCount", json!(1), "minCount"),
            ("/enableAutoScaling", json!(true), "minCount"),
            ("/nodeTaints", json!(["a:NoSchedule"]), "nodeTaints"),
            ("/nodeTaints", json!(["a=b:Sometimes"]), "nodeTaints"),
            ("/nodeLabels", json!({"a b": "c"}), "nodeLabels"),
            ("/nodeLabels", json!({"a": "-c"}), "nodeLabels"),
            ("/upgradeSettings", json!({"maxSurge": "many"}), "maxSurge"),
        ] {
            let mut invalid = valid_pool();
            json::set(&mut invalid, key, value);
            let error = format!("{:?}", check_pool(&invalid).unwrap_err());
            assert!(error.contains(target), "{key}: {error}");
        }
    }

    #[test]
    fn invalid_clusters_are_rejected() {
        assert!(check_cluster(&valid_cluster()).is_ok());
        for (path, value, expected_text) in [
            ("/properties/dnsPrefix", json!("-x"), "dnsPrefix"),
            ("/properties/nodeResourceGroup", json!("MC_rancher_display_East US"), "nodeResourceGroupName"),
            ("/properties/nodeResourceGroup", json!("ends."), "nodeResourceGroupName"),
            ("/properties/networkProfile/serviceCidr", json!("172.30.0.0/16"), "serviceCIDR"),
            ("/properties/networkProfile/podCidr", json!("172.16.0.0/12"), "podCIDR"),
            ("/identity", json!(null), "servicePrincipalProfile is missing"),
            ("/identity", json!({"type": "UserAssigned"}), "exactly one"),
            ("/properties/agentPoolProfiles", json!([]), "at least one agent pool"),
            ("/properties/agentPoolProfiles", json!([valid_pool(), valid_pool()]), "used twice"),
            ("/properties/networkProfile/networkPlugin", json!("own"), "networkPlugin"),
            ("/properties/networkProfile/outboundType", json!("UserDefinedRouting"), "outboundType"),
            ("/properties/networkProfile/serviceCidr", json!("10.0.0.1/16"), "CidrStringParseError"),
            ("/properties/networkProfile/serviceCidr", json!("10.0.0.0/8"), "smaller than /12"),
            ("/properties/networkProfile/dnsServiceIP", json!("10.0.0.1"), "dnsServiceIP"),
            ("/properties/networkProfile/dnsServiceIP", json!("10.1.0.10"), "dnsServiceIP"),
            ("/properties/networkProfile/podCidr", json!("10.0.128.0/17"), "ServiceCidrOverlapPodCidr"),
            ("/properties/apiServerAccessProfile/authorizedIPRanges", json!(["x"]), "authorizedIPRanges"),
            ("/properties/apiServerAccessProfile/privateDNSZone", json!("system"), "privateDNSZone"),
            ("/properties/disableLocalAccounts", json!(true), "disableLocalAccounts"),
        ] {
            let mut invalid = valid_cluster();
            json::set(&mut invalid, path, value);
            let error = format!("{:?}", check_cluster(&invalid).unwrap_err());
            assert!(error.contains(expected_text), "{path}: {error}");
        }
        let mut kubenet = valid_cluster();
        json::set(&mut kubenet, "/properties/networkProfile/networkPlugin", "kubenet");
        json::set(&mut kubenet, "/properties/networkProfile/networkPolicy", "azure");
        assert!(check_cluster(&kubenet).is_err());
        let mut basic = valid_cluster();
        json::set(&mut basic, "/properties/networkProfile/loadBalancerSku", "basic");
        assert!(check_cluster(&basic).is_ok());
        let mut pool = valid_pool();
        json::set(&mut pool, "/availabilityZones", json!(["1"]));
        json::set(&mut basic, "/properties/agentPoolProfiles", json!([pool]));
        assert!(format!("{:?}", check_cluster(&basic).unwrap_err()).contains("Standard Load Balancer"));
        let mut private = valid_cluster();
        json::set(&mut private, "/properties/apiServerAccessProfile/enablePrivateCluster", true);
        assert!(check_cluster(&private).is_ok());
        json::set(&mut private, "/properties/apiServerAccessProfile/authorizedIPRanges", json!(["1.2.3.4"]));
        assert!(check_cluster(&private).is_err());
    }
}
