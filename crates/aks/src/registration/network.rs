//! The network policy of the agent: no incoming connections, and outgoing ones only to the ports of this server, the API
//! server, the user's proxies and DNS, at any address.

use serde_json::{Value, json};

use super::agent::{Agent, metadata};
use super::pod;

const HTTPS_PORT: u16 = 443;
const DNS_PORT: u16 = 53;

/// Environment variables that contain the address of a proxy.
const PROXY_VARIABLES: [&str; 3] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];

/// Builds the network policy.
pub(super) fn policy(agent: &Agent<'_>) -> Value {
    let mut ports: Vec<u16> = vec![HTTPS_PORT];
    let proxies = pod::user_variables(agent.cluster)
        .into_iter()
        .filter(|(name, _)| PROXY_VARIABLES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name)));
    let addresses = [Some(agent.server), agent.api_server].into_iter().flatten();
    let addresses = addresses.chain(proxies.map(|(_, address)| address));
    for port in addresses.filter_map(port_of) {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    let tcp = ports.iter().map(|port| json!({"protocol": "TCP", "port": port}));
    let dns = ["TCP", "UDP"].map(|protocol| json!({"protocol": protocol, "port": DNS_PORT}));
    let egress: Vec<Value> = tcp.chain(dns).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(agent, &agent.service_account_name()),
        "spec": {
            "podSelector": {"matchLabels": pod::labels(agent)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": [{"ports": egress}],
        },
    })
}

/// The port of `[scheme://][user@]host[:port][/path]`.
fn port_of(address: &str) -> Option<u16> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let after_host = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "https" => HTTPS_PORT,
        "http" => 80,
        // SOCKS: `socks5`, `socks5h` and so on.
        _ => 1080,
    };
    match after_host.rsplit_once(':') {
        Some((_, port)) => port.parse().ok().filter(|port| *port > 0),
        None => (!host.is_empty()).then_some(default_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Object;

    fn egress(server: &str, api_server: Option<&str>, body: &Object) -> Value {
        let agent = Agent {
            server,
            token: "tok",
            ca_certificates: "",
            image: "i",
            api_server,
            server_version: "",
            install_uuid: "",
            cluster: body,
        };
        let policy = policy(&agent);
        assert_eq!(
            (&policy["spec"]["ingress"], &policy["spec"]["policyTypes"]),
            (&json!([]), &json!(["Ingress", "Egress"]))
        );
        assert_eq!(policy["spec"]["podSelector"]["matchLabels"]["app"], "cattle-cluster-agent");
        let ports = policy["spec"]["egress"][0]["ports"].as_array().unwrap();
        ports.iter().map(|port| format!("{} {}", port["protocol"].as_str().unwrap(), port["port"])).collect()
    }

    #[test]
    fn egress_is_limited_to_https_and_dns() {
        let body = Object::new();
        assert_eq!(egress("https://h", Some("api:443"), &body), json!(["TCP 443", "TCP 53", "UDP 53"]));
    }

    #[test]
    fn egress_includes_other_ports_of_server_api_and_proxy() {
        let body = json!({"agentEnvVars": [{"name": "https_proxy", "value": "http://u:p@proxy:3128"},
            {"name": "NO_PROXY", "value": "10.0.0.0:9"}]});
        let ports = egress("https://h:8443/", Some("api:6443"), body.as_object().unwrap());
        assert_eq!(ports, json!(["TCP 443", "TCP 8443", "TCP 6443", "TCP 3128", "TCP 53", "UDP 53"]));
    }

    #[test]
    fn ports_are_read_from_addresses() {
        for (address, expected) in [
            ("https://h", Some(443)),
            ("https://h:8443/x:1", Some(8443)),
            ("https://[::1]", Some(443)),
            ("https://[fe80::1]:8443", Some(8443)),
            ("http://u:p@proxy", Some(80)),
            ("proxy:3128", Some(3128)),
            ("socks5://proxy", Some(1080)),
            ("https://h:x", None),
            ("https://h:0", None),
            ("", None),
        ] {
            assert_eq!(port_of(address), expected, "{address}");
        }
    }
}
