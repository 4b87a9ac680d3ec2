//! The types of objects that belong to a cluster: `clusterRegistrationToken`, `project`. `node` has its own file.

use crate::api::norman::schemas::{Field, Kind, Schema};

/// A registration token.
pub static CLUSTER_REGISTRATION_TOKEN: Schema = Schema {
    id: "clusterRegistrationToken",
    title: "ClusterRegistrationToken",
    doc: "A token with which an agent registers its cluster. Every cluster has `default-token`; only owners see tokens.",
    plural: "clusterRegistrationTokens",
    collection: Some("/v3/clusterregistrationtokens"),
    resource_methods: &["GET", "DELETE"],
    collection_methods: &["GET", "POST"],
    actions: &[],
    fields: &[
        Field::output("annotations", Kind::TextMap, "Always empty."),
        Field::new("clusterId", Kind::Text, "The cluster.").required().immutable(),
        Field::output("command", Kind::Text, "The kubectl command that registers the cluster."),
        Field::output("created", Kind::Date, "The creation time."),
        Field::output("createdTS", Kind::Int, "The creation time in milliseconds since 1970."),
        Field::output("id", Kind::Text, "`c-xxxxx:default-token`"),
        Field::output(
            "insecureCommand",
            Kind::Text,
            "The same without verification of the server's certificate.",
        ),
        Field::output("insecureNodeCommand", Kind::Text, "The same as `nodeCommand`."),
        Field::output("insecureWindowsNodeCommand", Kind::Text, "The same as `nodeCommand`."),
        Field::output("labels", Kind::TextMap, "`cattle.io/creator`"),
        Field::output("manifestUrl", Kind::Text, "The URL of the manifest; contains the token."),
        Field::new("name", Kind::Text, "The part of the ID after the colon; generated if it is missing.")
            .immutable()
            .non_null(),
        Field::output("namespaceId", Kind::Text, "The cluster."),
        Field::output(
            "nodeCommand",
            Kind::Text,
            "Only a shell comment: node pools create the nodes of AKS clusters.",
        ),
        Field::output("state", Kind::Text, "`active`"),
        Field::output("token", Kind::Text, "The token."),
        Field::output("transitioning", Kind::Text, "`no`"),
        Field::output("uuid", Kind::Text, "The UUID, unique among all objects."),
        Field::output("windowsNodeCommand", Kind::Text, "The same as `nodeCommand`."),
    ],
};

/// A project.
pub static PROJECT: Schema = Schema {
    id: "project",
    title: "Project",
    doc: "One of the two projects of every cluster, from its first activation until its deletion.",
    plural: "projects",
    collection: Some("/v3/projects"),
    resource_methods: &["GET"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[
        Field::output("clusterId", Kind::Text, "The cluster."),
        Field::output("created", Kind::Date, "The creation time of the cluster."),
        Field::output("createdTS", Kind::Int, "The same in milliseconds since 1970."),
        Field::output("description", Kind::Text, "A description."),
        Field::output("id", Kind::Text, "`c-xxxxx:p-xxxxx`"),
        Field::output(
            "labels",
            Kind::TextMap,
            "`authz.management.cattle.io/default-project` or `…/system-project`, with the value `true`.",
        ),
        Field::output("name", Kind::Text, "`Default` or `System`."),
        Field::output("state", Kind::Text, "`active`"),
        Field::output("transitioning", Kind::Text, "`no`"),
    ],
};
