//! `node` and its nested types.

use crate::api::norman::schemas::{Field, Kind, Schema};

/// A node of a cluster.
pub static NODE: Schema = Schema {
    id: "node",
    title: "Node",
    doc: "A node of a cluster, as last read from the cluster's Kubernetes API.",
    plural: "nodes",
    collection: Some("/v3/nodes"),
    resource_methods: &["GET"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[
        Field::output("allocatable", Kind::TextMap, "The part of `capacity` that pods may use."),
        Field::output("annotations", Kind::TextMap, "Its annotations, without those over 4 KiB."),
        Field::output("capacity", Kind::TextMap, "Its resources, as Kubernetes quantities."),
        Field::output("clusterId", Kind::Text, "The cluster."),
        Field::output(
            "controlPlane",
            Kind::Bool,
            "Whether it runs the control plane; in AKS, Azure runs it.",
        ),
        Field::new("created", Kind::Date, "The time when it joined the cluster.").read_only(),
        Field::new("createdTS", Kind::Int, "The same in milliseconds since 1970.").read_only(),
        Field::output("etcd", Kind::Bool, "Whether it runs etcd; in AKS, Azure runs it."),
        Field::new("externalIpAddress", Kind::Text, "Its public IP address, if it has one.").read_only(),
        Field::output("hostname", Kind::Text, "Its host name."),
        Field::output("id", Kind::Text, "`c-xxxxx:<name>`"),
        Field::output("imported", Kind::Bool, "Always `true`: Azure creates the nodes, not this server."),
        Field::new("info", Kind::Object(&NODE_INFO), "Its software and size; complete or absent.")
            .read_only(),
        Field::new("ipAddress", Kind::Text, "Its IP address inside the network.").read_only(),
        Field::output("labels", Kind::TextMap, "Its labels."),
        Field::output("name", Kind::Text, "The name, unique in the cluster."),
        Field::output("nodeName", Kind::Text, "The same as `name`."),
        Field::new("podCidr", Kind::Text, "The addresses of its pods.").read_only(),
        Field::new("providerId", Kind::Text, "The ID of the VM in Azure.").read_only(),
        Field::output("requestedHostname", Kind::Text, "The same as `name`."),
        Field::output("state", Kind::Text, "`active`, `cordoned` or `unavailable`."),
        Field::output("transitioning", Kind::Text, "`no`, or `error` if it is not ready."),
        Field::output("transitioningMessage", Kind::Text, "The reason why it is not ready."),
        Field::output("unschedulable", Kind::Bool, "Whether new pods are not scheduled on it."),
        Field::output("uuid", Kind::Text, "The UUID, unique among all nodes."),
        Field::output("worker", Kind::Bool, "Whether it runs workloads."),
    ],
};

/// The software and the size of a node.
pub(super) static NODE_INFO: Schema = Schema::nested(
    "nodeInfo",
    "NodeInfo",
    "The software and size of a node.",
    "nodeInfos",
    &[
        Field::output("cpu", Kind::Object(&CPU_INFO), "Its processors."),
        Field::output("kubernetes", Kind::Object(&KUBERNETES_INFO), "The versions of Kubernetes."),
        Field::output("memory", Kind::Object(&MEMORY_INFO), "Its memory."),
        Field::output("os", Kind::Object(&OS_INFO), "The operating system."),
    ],
);

/// The processors of a node.
pub(super) static CPU_INFO: Schema = Schema::nested(
    "cpuInfo",
    "CpuInfo",
    "The processors of a node.",
    "cpuInfos",
    &[Field::output("count", Kind::Int, "The number of processors.")],
);

/// The versions of Kubernetes on a node.
pub(super) static KUBERNETES_INFO: Schema = Schema::nested(
    "kubernetesInfo",
    "KubernetesInfo",
    "The versions of Kubernetes on a node.",
    "kubernetesInfos",
    &[
        Field::output("kubeletVersion", Kind::Text, "`v1.32.7`"),
        Field::output("kubeProxyVersion", Kind::Text, "Empty if Kubernetes no longer reports it."),
    ],
);

/// The memory of a node.
pub(super) static MEMORY_INFO: Schema = Schema::nested(
    "memoryInfo",
    "MemoryInfo",
    "The memory of a node.",
    "memoryInfos",
    &[Field::output("memTotalKiB", Kind::Int, "The total memory in KiB.")],
);

/// The operating system of a node.
pub(super) static OS_INFO: Schema = Schema::nested(
    "osInfo",
    "OsInfo",
    "The operating system of a node.",
    "osInfos",
    &[
        Field::output("dockerVersion", Kind::Text, "The container runtime, `containerd://1.7.27-1`."),
        Field::output("kernelVersion", Kind::Text, "The version of the kernel."),
        Field::output("operatingSystem", Kind::Text, "`Ubuntu 22.04.5 LTS`"),
    ],
);
