//! `node` and what is inside it.

use crate::api::norman::schemas::{Field, Kind, Schema};

/// A machine of a cluster.
pub static NODE: Schema = Schema {
    id: "node",
    title: "Node",
    doc: "A machine of a cluster, as this server read it from the cluster's Kubernetes API a moment ago.",
    plural: "nodes",
    collection: Some("/v3/nodes"),
    resource_methods: &["GET"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[
        Field::new("allocatable", Kind::TextMap, "What of `capacity` pods may use.").read_only().set(),
        Field::new("annotations", Kind::TextMap, "Its annotations, without those over 4 KiB.")
            .read_only()
            .set(),
        Field::new("capacity", Kind::TextMap, "Its resources, as quantities of Kubernetes.")
            .read_only()
            .set(),
        Field::new("clusterId", Kind::Text, "The cluster.").read_only().set(),
        Field::new("controlPlane", Kind::Bool, "Whether it runs the control plane; in AKS, Azure does.")
            .read_only()
            .set(),
        Field::new("created", Kind::Date, "When it joined the cluster.").read_only(),
        Field::new("createdTS", Kind::Int, "The same in milliseconds since 1970.").read_only(),
        Field::new("etcd", Kind::Bool, "Whether it runs etcd; in AKS, Azure does.").read_only().set(),
        Field::new("externalIpAddress", Kind::Text, "Its public address, where it has one.").read_only(),
        Field::new("hostname", Kind::Text, "Its host name.").read_only().set(),
        Field::new("id", Kind::Text, "`c-xxxxx:<name>`").read_only().set(),
        Field::new("imported", Kind::Bool, "True: Azure makes the machines, not this server.")
            .read_only()
            .set(),
        Field::new("info", Kind::Object(&NODE_INFO), "What runs on it, and its size: complete or absent.")
            .read_only(),
        Field::new("ipAddress", Kind::Text, "Its address inside the network.").read_only(),
        Field::new("labels", Kind::TextMap, "Its labels.").read_only().set(),
        Field::new("name", Kind::Text, "The name, unique in the cluster.").read_only().set(),
        Field::new("nodeName", Kind::Text, "As `name`.").read_only().set(),
        Field::new("podCidr", Kind::Text, "The addresses of its pods.").read_only(),
        Field::new("providerId", Kind::Text, "The machine in Azure.").read_only(),
        Field::new("requestedHostname", Kind::Text, "As `name`.").read_only().set(),
        Field::new("state", Kind::Text, "`active`, `cordoned` or `unavailable`.").read_only().set(),
        Field::new("transitioning", Kind::Text, "`no`, or `error` when it is not ready.").read_only().set(),
        Field::new("transitioningMessage", Kind::Text, "Why it is not ready.").read_only().set(),
        Field::new("unschedulable", Kind::Bool, "Whether new pods are kept off it.").read_only().set(),
        Field::new("uuid", Kind::Text, "Never given to another node.").read_only().set(),
        Field::new("worker", Kind::Bool, "Whether it runs workloads.").read_only().set(),
    ],
};

/// What runs on a node, and its size.
pub(super) static NODE_INFO: Schema = Schema::nested(
    "nodeInfo",
    "NodeInfo",
    "What runs on a node, and its size.",
    "nodeInfos",
    &[
        Field::new("cpu", Kind::Object(&CPU_INFO), "Its processors.").read_only().set(),
        Field::new("kubernetes", Kind::Object(&KUBERNETES_INFO), "The versions of Kubernetes.")
            .read_only()
            .set(),
        Field::new("memory", Kind::Object(&MEMORY_INFO), "Its memory.").read_only().set(),
        Field::new("os", Kind::Object(&OS_INFO), "The operating system.").read_only().set(),
    ],
);

/// The processors of a node.
pub(super) static CPU_INFO: Schema = Schema::nested(
    "cpuInfo",
    "CpuInfo",
    "The processors of a node.",
    "cpuInfos",
    &[Field::new("count", Kind::Int, "Whole processors.").read_only().set()],
);

/// The versions of Kubernetes on a node.
pub(super) static KUBERNETES_INFO: Schema = Schema::nested(
    "kubernetesInfo",
    "KubernetesInfo",
    "The versions of Kubernetes on a node.",
    "kubernetesInfos",
    &[
        Field::new("kubeletVersion", Kind::Text, "`v1.32.7`").read_only().set(),
        Field::new("kubeProxyVersion", Kind::Text, "Empty where Kubernetes no longer reports it.")
            .read_only()
            .set(),
    ],
);

/// The memory of a node.
pub(super) static MEMORY_INFO: Schema = Schema::nested(
    "memoryInfo",
    "MemoryInfo",
    "The memory of a node.",
    "memoryInfos",
    &[Field::new("memTotalKiB", Kind::Int, "All of it, in KiB.").read_only().set()],
);

/// The operating system of a node.
pub(super) static OS_INFO: Schema = Schema::nested(
    "osInfo",
    "OsInfo",
    "The operating system of a node.",
    "osInfos",
    &[
        Field::new("dockerVersion", Kind::Text, "The container runtime, `containerd://1.7.27-1`.")
            .read_only()
            .set(),
        Field::new("kernelVersion", Kind::Text, "The version of the kernel.").read_only().set(),
        Field::new("operatingSystem", Kind::Text, "`Ubuntu 22.04.5 LTS`").read_only().set(),
    ],
);
