//! Warnings about unknown environment variables with our prefix.

use std::collections::BTreeMap;

use super::client::CLIENT_VARIABLES;
use super::error::Warning;
use super::settings::{self, VARIABLE_PREFIX, most_similar};

/// The variables with our prefix that the agent reads.
const AGENT_VARIABLES: [&str; 1] = ["NORMAN_AKS_API_SERVER"];

/// Warnings about variables with our prefix that neither the server nor the agent nor a command reads.
pub fn unknown_variables(env: &BTreeMap<String, String>) -> Vec<Warning> {
    let variables: Vec<_> = settings::ALL.iter().map(|setting| setting.variable()).collect();
    // The common prefix would make all names similar.
    let without_prefix = |name: &str| name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name).to_owned();
    let suggest = |name: &str| {
        most_similar(&without_prefix(name), variables.iter().map(|variable| without_prefix(variable)))
    };
    env.iter()
        .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX) && !variables.contains(name))
        .filter(|(name, _)| !AGENT_VARIABLES.contains(&name.as_str()))
        .filter(|(name, _)| !CLIENT_VARIABLES.contains(&name.as_str()))
        .filter(|(name, value)| !is_injected(name, value))
        .map(|(name, _)| Warning::UnknownVariable {
            name: name.clone(),
            suggestion: suggest(name).map(|suggestion| format!("{VARIABLE_PREFIX}{suggestion}")),
        })
        .collect()
}

/// Whether Kubernetes (or a Docker link) sets this variable for a Service whose name starts with ours:
/// `…_SERVICE_HOST`, `…_SERVICE_PORT[_NAME]`, `…_PORT=tcp://…`, `…_PORT_8080_TCP[_ADDR|_PORT|_PROTO]`.
fn is_injected(name: &str, value: &str) -> bool {
    // The rest starts with an underscore, for the Service `norman-aks` and for others such as `norman-aks-metrics`.
    let Some(rest) = name.strip_prefix(VARIABLE_PREFIX.trim_end_matches('_')) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_link = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    if rest.ends_with("_SERVICE_HOST") {
        return true;
    }
    if rest.ends_with("_SERVICE_PORT") || rest.contains("_SERVICE_PORT_") {
        return is_number(value);
    }
    if rest.ends_with("_PORT") && is_link {
        return true;
    }
    rest.match_indices("_PORT_").any(|(start, separator)| {
        let mut words = rest.get(start + separator.len()..).unwrap_or_default().split('_');
        words.next().is_some_and(is_number)
            && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
            && matches!(words.next(), None | Some("ADDR" | "PORT" | "PROTO"))
            && words.next().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn injected_variables_are_recognized() {
        for (name, value, injected) in [
            ("NORMAN_AKS_PORT", "tcp://10.0.0.1:8080", true),
            ("NORMAN_AKS_PORT", "8080", false),
            ("NORMAN_AKS_SERVICE_HOST", "10.0.0.1", true),
            ("NORMAN_AKS_SERVICE_PORT", "8080", true),
            ("NORMAN_AKS_SERVICE_PORT_HTTP", "8080", true),
            ("NORMAN_AKS_SERVICE_PORT_HTTP", "x", false),
            ("NORMAN_AKS_PORT_8080_TCP", "tcp://10.0.0.1:8080", true),
            ("NORMAN_AKS_PORT_8080_TCP_ADDR", "10.0.0.1", true),
            ("NORMAN_AKS_PORT_8080_TCP_PORT", "8080", true),
            ("NORMAN_AKS_PORT_8080_TCP_PROTO", "tcp", true),
            ("NORMAN_AKS_PORT_8080_TCP_OTHER", "x", false),
            ("NORMAN_AKS_PORT_LISTEN", "x", false),
            ("NORMAN_AKS_METRICS_SERVICE_HOST", "10.0.0.1", true),
            ("NORMAN_AKS_METRICS_PORT", "udp://10.0.0.1:9090", true),
            ("NORMAN_AKS_METRICS_PORT_9090_UDP", "udp://10.0.0.1:9090", true),
            ("NORMAN_AKS_LISTEN_PORT", "8080", false),
            ("NORMAN_AKS_LISTENS", "x", false),
        ] {
            assert_eq!(is_injected(name, value), injected, "{name}={value}");
        }
    }

    #[test]
    fn no_setting_looks_injected() {
        for setting in settings::ALL {
            for value in ["tcp://10.0.0.1:8080", "8080"] {
                assert!(!is_injected(&setting.variable(), value), "{}", setting.name);
            }
        }
    }
}
