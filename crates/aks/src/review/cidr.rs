//! Address ranges in CIDR notation.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

/// Parses a range of IPv4 addresses.
pub(super) fn parse_v4(text: &str) -> Option<Ipv4Net> {
    text.parse::<Ipv4Net>().ok().map(|range| range.trunc())
}

/// Parses a range of IPv4 or IPv6 addresses.
pub(super) fn parse(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().map(|range| range.trunc())
}

/// Whether two ranges share an address.
pub(super) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// The number of addresses in a range.
pub(super) fn address_count(range: Ipv4Net) -> i64 {
    1_i64 << (32 - u32::from(range.prefix_len()))
}

/// The range reserved by AKS that overlaps with `range`.
pub(super) fn reserved_overlap(range: &IpNet) -> Option<Ipv4Net> {
    RESERVED_RANGES.into_iter().find(|reserved| overlap(&(*reserved).into(), range))
}

const RESERVED_RANGES: [Ipv4Net; 4] =
    [range(169, 254, 0, 0, 16), range(172, 30, 0, 0, 16), range(172, 31, 0, 0, 16), range(192, 0, 2, 0, 24)];

/// The network that AKS creates for a cluster without one.
pub(super) const MANAGED_NETWORK: Ipv4Net = range(10, 224, 0, 0, 12);

const fn range(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_if_one_contains_the_other() {
        for (one, other, expected) in [
            ("10.0.0.0/16", "10.0.1.0/24", true),
            ("10.0.1.0/24", "10.0.0.0/16", true),
            ("10.0.0.0/16", "10.0.0.0/16", true),
            ("10.0.0.0/16", "10.1.0.0/16", false),
            ("fd00::/48", "fd00::/64", true),
            ("fd00::/48", "10.0.0.0/8", false),
        ] {
            assert_eq!(overlap(&parse(one).unwrap(), &parse(other).unwrap()), expected, "{one} {other}");
        }
        assert_eq!(address_count(parse_v4("10.0.0.0/22").unwrap()), 1_024);
        assert_eq!(parse_v4("10.0.0.7/22").unwrap().to_string(), "10.0.0.0/22");
        assert!(
            parse_v4("fd00::/48").is_none()
                && parse_v4("10.0.0.0").is_none()
                && parse_v4("10.0.0.0/33").is_none()
        );
    }
}
