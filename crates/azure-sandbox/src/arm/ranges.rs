//! IP ranges of networks and subnets.

use http::StatusCode;
use ipnet::IpNet;
use serde_json::Value;

use super::error::ArmError;
use crate::json;

pub(crate) fn subnet_ranges(subnet: &Value) -> Vec<IpNet> {
    let single = json::text(subnet, "/properties/addressPrefix").map(str::to_owned);
    let prefixes = single.into_iter().chain(json::texts(subnet, "/properties/addressPrefixes"));
    prefixes.filter_map(|text| text.parse().ok()).collect()
}

/// Parses ranges in CIDR notation.
pub(crate) fn parse_ranges(cidrs: &[String], field: &str) -> Result<Vec<IpNet>, ArmError> {
    let parse = |text: &String| {
        text.parse::<IpNet>().ok().filter(|range| range.trunc() == *range).ok_or_else(|| {
            let text = format!("The {field} '{text}' is not a valid range in CIDR form.");
            ArmError::from_provider(StatusCode::BAD_REQUEST, "InvalidCIDRNotation", text)
        })
    };
    cidrs.iter().map(parse).collect()
}

/// Whether two ranges have an address in common.
pub(crate) fn overlaps(range: &IpNet, other: &IpNet) -> bool {
    range.contains(other) || other.contains(range)
}
