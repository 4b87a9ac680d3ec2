//! The nodes of a cluster with the properties that are displayed. The crate `cluster-access` reads them from clusters.

use std::collections::BTreeMap;

/// Strings by name.
pub type StringMap = BTreeMap<String, String>;

/// A node of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Unique in its cluster.
    pub name: String,
    /// A UID that is never reused.
    pub uid: String,
    /// The time at which it joined, in milliseconds since 1970.
    pub created_ms: Option<i64>,
    /// The labels.
    pub labels: StringMap,
    /// The annotations, without long ones.
    pub annotations: StringMap,
    /// Its host name.
    pub hostname: Option<String>,
    /// Its address in the virtual network.
    pub internal_ip: Option<String>,
    /// Its public address, which few AKS nodes have.
    pub external_ip: Option<String>,
    /// The resource ID of the VM in Azure.
    pub provider_id: Option<String>,
    /// The address range of its pods.
    pub pod_cidr: Option<String>,
    /// Whether new pods are not scheduled on it.
    pub unschedulable: bool,
    /// The reason why it is not ready; `None` if it is.
    pub not_ready: Option<String>,
    /// Kubernetes quantities by resource, for example `cpu` and `memory`.
    pub capacity: StringMap,
    /// The part of the capacity that pods may use.
    pub allocatable: StringMap,
    /// Its software and size; `None` if they are incomplete.
    pub info: Option<NodeInfo>,
}

/// The software and the size of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// The version of Kubernetes, `v1.32.7`.
    pub kubelet_version: String,
    /// Empty if Kubernetes no longer reports it.
    pub kube_proxy_version: String,
    /// `containerd://1.7.27-1`
    pub container_runtime_version: String,
    /// The kernel version.
    pub kernel_version: String,
    /// `Ubuntu 22.04.5 LTS`
    pub os_image: String,
    /// The number of whole CPUs.
    pub cpus: i64,
    /// Memory in KiB.
    pub memory_kib: i64,
}

impl NodeInfo {
    /// Adds the sizes from `capacity`; `None` if the information is incomplete.
    #[must_use]
    pub fn with_sizes(mut self, capacity: &StringMap) -> Option<Self> {
        self.cpus = whole_cpus(capacity.get("cpu")?)?;
        self.memory_kib = kibibytes(capacity.get("memory")?)?;
        let strings =
            [&self.kubelet_version, &self.container_runtime_version, &self.kernel_version, &self.os_image];
        strings.iter().all(|text| !text.is_empty()).then_some(self)
    }
}

/// The state of a node, as in Rancher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Ready for pods.
    Active,
    /// Ready, but closed to new pods.
    Cordoned,
    /// Not ready.
    Unavailable,
}

impl NodeState {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cordoned => "cordoned",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Node {
    /// The state of the node.
    pub fn state(&self) -> NodeState {
        if self.not_ready.is_some() {
            NodeState::Unavailable
        } else if self.unschedulable {
            NodeState::Cordoned
        } else {
            NodeState::Active
        }
    }

    /// Whether it runs the control plane. In AKS, no node does.
    pub fn is_control_plane(&self) -> bool {
        self.has_role(&["control-plane", "controlplane", "master"])
    }

    /// Whether it runs etcd.
    pub fn is_etcd(&self) -> bool {
        self.has_role(&["etcd"])
    }

    /// Whether it runs workloads, as a node without another role does.
    pub fn is_worker(&self) -> bool {
        self.has_role(&["worker"]) || !(self.is_control_plane() || self.is_etcd())
    }

    fn has_role(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.labels.contains_key(&format!("node-role.kubernetes.io/{name}")))
    }

    /// The approximate size of this value in memory, in bytes.
    pub fn weight(&self) -> usize {
        let maps = [&self.labels, &self.annotations, &self.capacity, &self.allocatable];
        let strings = maps.into_iter().flatten().map(|(key, value)| 64 + key.len() + value.len());
        1_024 + self.not_ready.as_ref().map_or(0, String::len) + strings.sum::<usize>()
    }
}

/// Parses a CPU quantity (`4`, `1930m`) and rounds it down.
fn whole_cpus(quantity: &str) -> Option<i64> {
    match quantity.strip_suffix('m') {
        Some(millicpus) => millicpus.parse::<i64>().ok().map(|number| number / 1_000),
        None => quantity.parse().ok(),
    }
}

/// Parses a memory quantity (`8144680Ki`, `8Gi`, or bytes) to KiB and rounds it down.
fn kibibytes(quantity: &str) -> Option<i64> {
    for (suffix, factor) in [("Ki", 1), ("Mi", 1 << 10), ("Gi", 1 << 20), ("Ti", 1 << 30)] {
        if let Some(number) = quantity.strip_suffix(suffix) {
            return number.parse::<i64>().ok()?.checked_mul(factor);
        }
    }
    quantity.parse::<i64>().ok().map(|bytes| bytes / 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(pairs: &[(&str, &str)]) -> StringMap {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn quantities_of_kubernetes_are_parsed_and_rounded_down() {
        for (text, expected) in [("2", Some(2)), ("1930m", Some(1)), ("x", None), ("", None)] {
            assert_eq!(whole_cpus(text), expected, "{text}");
        }
        for (text, expected) in [
            ("8144680Ki", Some(8_144_680)),
            ("8Gi", Some(8_388_608)),
            ("16Mi", Some(16_384)),
            ("2048", Some(2)),
            ("9223372036854775807Ti", None),
            ("much", None),
        ] {
            assert_eq!(kibibytes(text), expected, "{text}");
        }
    }

    #[test]
    fn info_is_complete_or_absent() {
        let info = NodeInfo {
            kubelet_version: "v1.33.3".to_owned(),
            container_runtime_version: "containerd://1.7".to_owned(),
            kernel_version: "5.15".to_owned(),
            os_image: "Ubuntu".to_owned(),
            ..NodeInfo::default()
        };
        let capacity = strings(&[("cpu", "2"), ("memory", "4Gi")]);
        let complete = info.clone().with_sizes(&capacity).unwrap();
        assert_eq!((complete.cpus, complete.memory_kib), (2, 4_194_304));
        assert!(info.clone().with_sizes(&StringMap::new()).is_none());
        assert!(info.clone().with_sizes(&strings(&[("cpu", "2"), ("memory", "?")])).is_none());
        for broken in [
            NodeInfo { kubelet_version: String::new(), ..info.clone() },
            NodeInfo { container_runtime_version: String::new(), ..info.clone() },
            NodeInfo { kernel_version: String::new(), ..info.clone() },
            NodeInfo { os_image: String::new(), ..info },
        ] {
            assert!(broken.clone().with_sizes(&capacity).is_none(), "{broken:?}");
        }
    }

    #[test]
    fn nodes_without_a_role_are_workers() {
        for (labels, expected) in [
            (strings(&[("node-role.kubernetes.io/agent", "")]), (false, false, true)),
            (strings(&[]), (false, false, true)),
            (strings(&[("node-role.kubernetes.io/control-plane", "")]), (true, false, false)),
            (
                strings(&[
                    ("node-role.kubernetes.io/etcd", "true"),
                    ("node-role.kubernetes.io/worker", "true"),
                ]),
                (false, true, true),
            ),
        ] {
            let node = Node { labels, ..Node::default() };
            assert_eq!((node.is_control_plane(), node.is_etcd(), node.is_worker()), expected, "{node:?}");
        }
    }

    #[test]
    fn unready_node_is_unavailable_even_if_cordoned() {
        let node = |unschedulable, not_ready: Option<&str>| Node {
            unschedulable,
            not_ready: not_ready.map(str::to_owned),
            ..Node::default()
        };
        assert_eq!(node(false, None).state(), NodeState::Active);
        assert_eq!(node(true, None).state(), NodeState::Cordoned);
        assert_eq!(node(true, Some("")).state(), NodeState::Unavailable);
    }
}
