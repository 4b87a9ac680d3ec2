//! Where may be dialled: names that only AKS gives, and addresses at which no machine answers for itself or its cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::error::Error;

/// What the host names of Kubernetes APIs end with in the three clouds. They are Microsoft's: nobody else can make one,
/// and whoever may make a cluster only chooses what stands before.
const SUFFIXES: [&str; 3] = [".azmk8s.io", ".cx.prod.service.azk8s.cn", ".cx.aks.containerservice.azure.us"];

/// Why another port is not dialled.
pub(super) const NOT_THE_PORT: &str = "its port is not 443, where AKS serves";

/// Azure's own address for the agents of its machines.
const WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// The port of every Kubernetes API of AKS; no other is dialled.
pub(super) const PORT: u16 = 443;

/// Whether an address is one that Azure gives to a Kubernetes API: `https`, a host of AKS, port 443, nothing more.
pub(super) fn check(endpoint: &Url) -> Result<(), Error> {
    let host = endpoint.host_str().unwrap_or_default();
    let refused = |why| Err(Error::Endpoint { host: host.to_owned(), why });
    if endpoint.scheme() != "https" {
        return refused("it is not https");
    }
    let bare = endpoint.username().is_empty()
        && endpoint.password().is_none()
        && matches!(endpoint.path(), "" | "/")
        && endpoint.query().is_none()
        && endpoint.fragment().is_none();
    if !bare {
        return refused("it has more than a host and a port");
    }
    if endpoint.port_or_known_default() != Some(PORT) {
        return refused(NOT_THE_PORT);
    }
    let Some(Host::Domain(name)) = endpoint.host() else { return refused("it is no host name") };
    if is_aks(name) { Ok(()) } else { refused("it is no host name that AKS gives") }
}

/// Whether a name is one that AKS gives.
pub(super) fn is_aks(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let name = name.to_ascii_lowercase();
    let before = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
    before.is_some_and(|before| before.split('.').all(is_label))
}

/// Whether an address that DNS gave may be dialled. Private ones may: that is where private clusters are.
pub(super) fn is_dialable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_dialable_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => is_dialable_v4(address),
            None => {
                !(address.is_loopback()
                    || address.is_unspecified()
                    || address.is_multicast()
                    || address.is_unicast_link_local())
            }
        },
    }
}

fn is_dialable_v4(address: Ipv4Addr) -> bool {
    // 0.0.0.0/8 is "this network"; Linux takes it for itself.
    !(address.octets().first() == Some(&0)
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address == WIRE_SERVER)
}

/// The address of IPv4 in one of IPv6 that leads there: mapped, or by way of NAT64.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
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
    fn only_names_of_aks_over_https_are_endpoints() {
        for good in [
            "https://aks-1.hcp.westeurope.azmk8s.io",
            "https://aks-1.hcp.westeurope.azmk8s.io:443",
            "https://AKS-1.hcp.westeurope.azmk8s.io:443/",
            "https://a.b.privatelink.westeurope.azmk8s.io:443",
            "https://a.hcp.chinaeast2.cx.prod.service.azk8s.cn",
            "https://a.hcp.usgovvirginia.cx.aks.containerservice.azure.us",
        ] {
            assert!(check(&Url::parse(good).unwrap()).is_ok(), "{good}");
        }
        for bad in [
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
            let Ok(url) = Url::parse(bad) else { continue };
            assert!(check(&url).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_of_this_machine_and_of_its_cloud_are_not_dialled() {
        for good in
            ["20.1.2.3", "10.0.0.4", "172.16.0.1", "192.168.0.1", "2603::1", "fd00::1", "64:ff9b::1402:304"]
        {
            assert!(is_dialable(good.parse().unwrap()), "{good}");
        }
        for bad in [
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
            assert!(!is_dialable(bad.parse().unwrap()), "{bad}");
        }
    }
}
