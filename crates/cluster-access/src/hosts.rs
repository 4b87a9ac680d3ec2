//! The hosts and addresses to which connections are allowed: host names that AKS assigns, except if they resolve to this
//! machine or its cloud platform.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// The suffixes of the host names of Kubernetes APIs in the three clouds. They belong to Microsoft; the creator of a cluster
/// chooses only what precedes them.
const AKS_SUFFIXES: [&str; 3] =
    [".azmk8s.io", ".cx.prod.service.azk8s.cn", ".cx.aks.containerservice.azure.us"];

/// The reasons for rejecting an endpoint.
pub(super) const NOT_AN_AKS_HOST: &str = "the host name is not one that AKS assigns";
pub(super) const WRONG_PORT: &str = "its port is not 443, the port of AKS";

/// Azure's WireServer, an address of the platform that serves the agents of VMs.
const WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// The port of all Kubernetes APIs of AKS.
pub(super) const PORT: u16 = 443;

/// Checks that a URL is that of a Kubernetes API: `https`, a host of AKS, port 443, and nothing else. The error is the
/// reason.
pub(super) fn check_endpoint(endpoint: &Url) -> Result<(), &'static str> {
    if endpoint.scheme() != "https" {
        return Err("its scheme is not https");
    }
    let is_bare = endpoint.username().is_empty()
        && endpoint.password().is_none()
        && matches!(endpoint.path(), "" | "/")
        && endpoint.query().is_none()
        && endpoint.fragment().is_none();
    if !is_bare {
        return Err("it must contain only a host and a port");
    }
    if endpoint.port_or_known_default() != Some(PORT) {
        return Err(WRONG_PORT);
    }
    let Some(Host::Domain(name)) = endpoint.host() else {
        return Err("its host is an IP address, not a host name");
    };
    if is_aks(name) { Ok(()) } else { Err(NOT_AN_AKS_HOST) }
}

/// Whether `name` has the form of the host names that AKS assigns.
pub(super) fn is_aks(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let name = name.to_ascii_lowercase();
    let prefix = AKS_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
    prefix.is_some_and(|prefix| prefix.split('.').all(is_label))
}

/// Whether connections to an address from DNS are allowed. Private clusters have private addresses.
pub(super) fn is_allowed_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_allowed_v4(address),
        IpAddr::V6(address) => match embedded_ipv4(address) {
            Some(address) => is_allowed_v4(address),
            None => {
                !(address.is_loopback()
                    || address.is_unspecified()
                    || address.is_multicast()
                    || address.is_unicast_link_local())
            }
        },
    }
}

fn is_allowed_v4(address: Ipv4Addr) -> bool {
    // Linux treats 0.0.0.0/8 ("this network") as the machine itself.
    !(address.octets().first() == Some(&0)
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address == WIRE_SERVER)
}

/// The IPv4 address in a mapped or NAT64 IPv6 address.
fn embedded_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => address.to_ipv4_mapped(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_https_urls_of_aks_hosts() {
        for allowed in [
            "https://aks-1.hcp.westeurope.azmk8s.io",
            "https://aks-1.hcp.westeurope.azmk8s.io:443",
            "https://AKS-1.hcp.westeurope.azmk8s.io:443/",
            "https://a.b.privatelink.westeurope.azmk8s.io:443",
            "https://a.hcp.chinaeast2.cx.prod.service.azk8s.cn",
            "https://a.hcp.usgovvirginia.cx.aks.containerservice.azure.us",
        ] {
            assert!(check_endpoint(&Url::parse(allowed).unwrap()).is_ok(), "{allowed}");
        }
        for rejected in [
            "http://aks.hcp.westeurope.azmk8s.io",
            "https://azmk8s.io",
            "https://.azmk8s.io",
            "https://a..azmk8s.io",
            "https://aks.azmk8s.io.example.org",
            "https://xazmk8s.io",
            "https://aks.hcp.westeurope.azmk8s.io.",
            "https://user@aks.hcp.westeurope.azmk8s.io",
            "https://:pass@aks.hcp.westeurope.azmk8s.io",
            "https://aks.hcp.westeurope.azmk8s.io/path",
            "https://aks.hcp.westeurope.azmk8s.io?a",
            "https://aks.hcp.westeurope.azmk8s.io#a",
            "https://169.254.169.254",
            "https://[::1]",
            "https://aks.hcp.westeurope.azmk8s.io:8443",
            "https://aks.hcp.westeurope.azmk8s.io:80",
            "https://a_b.azmk8s.io",
            "https://azk8s.cn",
        ] {
            let Ok(url) = Url::parse(rejected) else { continue };
            assert!(check_endpoint(&url).is_err(), "{rejected}");
        }
    }

    #[test]
    fn addresses_of_machine_and_platform_are_rejected() {
        for allowed in
            ["20.1.2.3", "10.0.0.4", "172.16.0.1", "192.168.0.1", "2603::1", "fd00::1", "64:ff9b::1402:304"]
        {
            assert!(is_allowed_address(allowed.parse().unwrap()), "{allowed}");
        }
        for rejected in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(!is_allowed_address(rejected.parse().unwrap()), "{rejected}");
        }
    }
}
