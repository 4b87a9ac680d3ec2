//! The namespaces of a cluster that are never opened for members: the setting `system-namespaces`.

use std::collections::BTreeSet;

use super::ids::is_dns_label;

/// The default of the setting: Rancher's default, and the namespaces of AKS add-ons and extensions.
pub const DEFAULT: &str = "kube-system,kube-public,kube-node-lease,cattle-system,cattle-alerting,cattle-logging,\
    cattle-prometheus,ingress-nginx,cattle-global-data,cattle-istio,cert-manager,cattle-global-nt,security-scan,\
    cattle-fleet-system,cattle-fleet-local-system,calico-system,tigera-operator,cattle-impersonation-system,\
    rancher-operator-system,cattle-csp-adapter-system,calico-apiserver,cattle-elemental-system,\
    aks-command,aks-istio-egress,aks-istio-ingress,aks-istio-system,app-routing-system,azappconfig-system,\
    azure-extensions-usage-system,azureml,acstor,dapr-system,dataprotection-microsoft,fleet-system,flux-system,\
    gatekeeper-system";

/// System namespaces regardless of the setting: their service accounts give access to the whole cluster.
const ALWAYS_CLOSED: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "cattle-system"];

/// The system namespaces of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemNamespaces(BTreeSet<String>);

impl SystemNamespaces {
    /// Parses the value of the setting. Invalid names are kept; they match nothing.
    pub fn parse(setting: &str) -> Self {
        Self(split_names(setting).chain(ALWAYS_CLOSED).map(str::to_owned).collect())
    }

    /// Whether the named namespace is a system namespace.
    pub fn contains(&self, namespace: &str) -> bool {
        self.0.contains(namespace)
    }
}

/// The first invalid name in a value of the setting: one that no namespace can have.
pub fn invalid_name(setting: &str) -> Option<&str> {
    split_names(setting).find(|name| !is_dns_label(name))
}

fn split_names(setting: &str) -> impl Iterator<Item = &str> {
    setting.split(',').map(str::trim).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_names_are_valid_and_unique() {
        assert_eq!(invalid_name(DEFAULT), None);
        let unique: BTreeSet<&str> = split_names(DEFAULT).collect();
        assert_eq!(unique.len(), split_names(DEFAULT).count());
        for name in ALWAYS_CLOSED {
            assert!(unique.contains(name), "{name}");
        }
    }

    #[test]
    fn setting_adds_to_the_namespaces_that_are_always_closed() {
        let system = SystemNamespaces::parse(" shop , ,ops,");
        for (namespace, expected) in [
            ("shop", true),
            ("ops", true),
            ("kube-system", true),
            ("cattle-system", true),
            ("default", false),
        ] {
            assert_eq!(system.contains(namespace), expected, "{namespace}");
        }
        assert!(SystemNamespaces::parse("").contains("kube-public"));
    }

    #[test]
    fn invalid_names_are_found() {
        for (setting, expected) in
            [("a,b-c", None), ("", None), ("a,B", Some("B")), ("a b", Some("a b")), ("a;b,c", Some("a;b"))]
        {
            assert_eq!(invalid_name(setting), expected, "{setting}");
        }
    }
}
