//! The types of objects that belong to a cluster: `clusterRegistrationToken`, `node`, `project`.

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
        Field::output("annotations", Kind::TextMap, "None."),
        Field::new("clusterId", Kind::Text, "The cluster.").required().immutable(),
        Field::output("command", Kind::Text, "Registers the cluster, for people who have kubectl."),
        Field::output("created", Kind::Date, "When it was made."),
        Field::output("createdTS", Kind::Int, "When it was made, in milliseconds since 1970."),
        Field::output("id", Kind::Text, "`c-xxxxx:default-token`"),
        Field::output("insecureCommand", Kind::Text, "The same without checking the server's certificate."),
        Field::output("insecureNodeCommand", Kind::Text, "As `nodeCommand`."),
        Field::output("insecureWindowsNodeCommand", Kind::Text, "As `nodeCommand`."),
        Field::output("labels", Kind::TextMap, "`cattle.io/creator`"),
        Field::output("manifestUrl", Kind::Text, "Where the manifest is; the address holds the token."),
        Field::new("name", Kind::Text, "Behind the colon of the id; drawn when not given.")
            .immutable()
            .non_null(),
        Field::output("namespaceId", Kind::Text, "The cluster."),
        Field::output("nodeCommand", Kind::Text, "A comment: nodes of AKS clusters come with their pools."),
        Field::output("state", Kind::Text, "`active`"),
        Field::output("token", Kind::Text, "The token."),
        Field::output("transitioning", Kind::Text, "`no`"),
        Field::output("uuid", Kind::Text, "Never given to another object."),
        Field::output("windowsNodeCommand", Kind::Text, "As `nodeCommand`."),
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
        Field::output("clusterId", Kind::Text, "The cluster."),
        Field::output("created", Kind::Date, "When the cluster was made."),
        Field::output("createdTS", Kind::Int, "The same in milliseconds since 1970."),
        Field::output("description", Kind::Text, "Words about it."),
        Field::output("id", Kind::Text, "`c-xxxxx:p-xxxxx`"),
        Field::output(
            "labels",
            Kind::TextMap,
            "`authz.management.cattle.io/default-project` or `…/system-project`, `true`.",
        ),
        Field::output("name", Kind::Text, "`Default` or `System`."),
        Field::output("state", Kind::Text, "`active`"),
        Field::output("transitioning", Kind::Text, "`no`"),
    ],
};
