//! What belongs to a cluster: `clusterRegistrationToken`, `node`, `project`.

use crate::api::norman::schemas::{Field, Kind, Schema};

/// A registration token.
pub static CLUSTER_REGISTRATION_TOKEN: Schema = Schema {
    id: "clusterRegistrationToken",
    title: "ClusterRegistrationToken",
    doc: "With it an agent says which cluster it belongs to. Every cluster has `default-token`; only owners see tokens.",
    plural: "clusterRegistrationTokens",
    collection: Some("/v3/clusterregistrationtokens"),
    resource_methods: &["GET", "DELETE"],
    collection_methods: &["GET", "POST"],
    actions: &[],
    fields: &[
        Field::new("annotations", Kind::TextMap, "None.").read_only().set(),
        Field::new("clusterId", Kind::Text, "The cluster.").required().fixed(),
        Field::new("command", Kind::Text, "Registers the cluster, for people who have kubectl.")
            .read_only()
            .set(),
        Field::new("created", Kind::Date, "When it was made.").read_only().set(),
        Field::new("createdTS", Kind::Int, "When it was made, in milliseconds since 1970.").read_only().set(),
        Field::new("id", Kind::Text, "`c-xxxxx:default-token`").read_only().set(),
        Field::new("insecureCommand", Kind::Text, "The same without checking the server's certificate.")
            .read_only()
            .set(),
        Field::new("insecureNodeCommand", Kind::Text, "As `nodeCommand`.").read_only().set(),
        Field::new("insecureWindowsNodeCommand", Kind::Text, "As `nodeCommand`.").read_only().set(),
        Field::new("labels", Kind::TextMap, "`cattle.io/creator`").read_only().set(),
        Field::new("manifestUrl", Kind::Text, "Where the manifest is; the address holds the token.")
            .read_only()
            .set(),
        Field::new("name", Kind::Text, "Behind the colon of the id; drawn when not given.").fixed().set(),
        Field::new("namespaceId", Kind::Text, "The cluster.").read_only().set(),
        Field::new("nodeCommand", Kind::Text, "A comment: nodes of AKS clusters come with their pools.")
            .read_only()
            .set(),
        Field::new("state", Kind::Text, "`active`").read_only().set(),
        Field::new("token", Kind::Text, "The token.").read_only().set(),
        Field::new("transitioning", Kind::Text, "`no`").read_only().set(),
        Field::new("uuid", Kind::Text, "Never given to another object.").read_only().set(),
        Field::new("windowsNodeCommand", Kind::Text, "As `nodeCommand`.").read_only().set(),
    ],
};

/// A project.
pub static PROJECT: Schema = Schema {
    id: "project",
    title: "Project",
    doc: "One of the two projects that every cluster has once it was active.",
    plural: "projects",
    collection: Some("/v3/projects"),
    resource_methods: &["GET"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[
        Field::new("clusterId", Kind::Text, "The cluster.").read_only().set(),
        Field::new("created", Kind::Date, "When the cluster was made.").read_only().set(),
        Field::new("createdTS", Kind::Int, "The same in milliseconds since 1970.").read_only().set(),
        Field::new("description", Kind::Text, "Words about it.").read_only().set(),
        Field::new("id", Kind::Text, "`c-xxxxx:p-xxxxx`").read_only().set(),
        Field::new(
            "labels",
            Kind::TextMap,
            "`authz.management.cattle.io/default-project` or `…/system-project`, `true`.",
        )
        .read_only()
        .set(),
        Field::new("name", Kind::Text, "`Default` or `System`.").read_only().set(),
        Field::new("state", Kind::Text, "`active`").read_only().set(),
        Field::new("transitioning", Kind::Text, "`no`").read_only().set(),
    ],
};
