//! Users and access: `user`, `token`, `clusterRoleTemplateBinding`, `roleTemplate`.

use crate::api::norman::schemas::{Field, Kind, Schema};

/// A user.
pub static USER: Schema = Schema {
    id: "user",
    title: "User",
    doc: "A user. Users are created with their first token, on the command line.",
    plural: "users",
    collection: Some("/v3/users"),
    resource_methods: &["GET", "PUT", "DELETE"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[
        Field::output("created", Kind::Date, "The creation time of the first token."),
        Field::output("createdTS", Kind::Int, "The same in milliseconds since 1970."),
        Field::new("enabled", Kind::Bool, "Whether its tokens are accepted. Administrators change it.")
            .non_null(),
        Field::output("id", Kind::Text, "`user-xxxxx`"),
        Field::output("me", Kind::Bool, "Whether it is the caller."),
        Field::new("name", Kind::Text, "The display name; cannot be changed.").non_null(),
        Field::output("principalIds", Kind::List(&Kind::Text), "`local://user-xxxxx`"),
        Field::output("state", Kind::Text, "`active`, or `inactive` if the user is disabled."),
        Field::output("transitioning", Kind::Text, "`no`"),
        Field::new("username", Kind::Text, "The same name; cannot be changed.").non_null(),
    ],
};

/// A token.
pub static TOKEN: Schema = Schema {
    id: "token",
    title: "Token",
    doc: "A token of the caller. Only the response to its creation contains its secret.",
    plural: "tokens",
    collection: Some("/v3/tokens"),
    resource_methods: &["GET", "DELETE"],
    collection_methods: &["GET", "POST"],
    actions: &[],
    fields: &[
        Field::new("annotations", Kind::TextMap, "Annotations.").immutable().non_null(),
        Field::output("authProvider", Kind::Text, "`local`"),
        Field::new(
            "clusterId",
            Kind::Text,
            "The only cluster for which it is valid; empty for all of the API.",
        )
        .immutable(),
        Field::output("created", Kind::Date, "The creation time."),
        Field::output("createdTS", Kind::Int, "The creation time in milliseconds since 1970."),
        Field::output("current", Kind::Bool, "Whether it authenticates this request."),
        Field::new("description", Kind::Text, "A description.").immutable(),
        Field::output("enabled", Kind::Bool, "Always `true`."),
        Field::output("expired", Kind::Bool, "Always `false`: expired tokens are not returned."),
        Field::output("expiresAt", Kind::Text, "The expiry time (RFC 3339); empty if it never expires."),
        Field::output("id", Kind::Text, "The public part, `token-xxxxx`."),
        Field::output("isDerived", Kind::Bool, "Always `true`: it is not a browser session."),
        Field::new("labels", Kind::TextMap, "Labels, and `cattle.io/creator`.").immutable().non_null(),
        Field::new("lastUsedAt", Kind::Date, "The time of the last use, to the minute.").read_only(),
        Field::output("name", Kind::Text, "The same as the ID."),
        Field::new("token", Kind::Text, "`<name>:<secret>`; only in the response to its creation.")
            .read_only(),
        Field::new("ttl", Kind::Int, "The lifetime in milliseconds; 0 if it never expires.")
            .immutable()
            .non_null(),
        Field::output("userId", Kind::Text, "The ID of its user."),
    ],
};

/// A user's role in a cluster.
pub static CLUSTER_ROLE_TEMPLATE_BINDING: Schema = Schema {
    id: "clusterRoleTemplateBinding",
    title: "ClusterRoleTemplateBinding",
    doc: "A user's role in a cluster. Owners create, change and delete memberships, except the creator's.",
    plural: "clusterRoleTemplateBindings",
    collection: Some("/v3/clusterroletemplatebindings"),
    resource_methods: &["GET", "PUT", "DELETE"],
    collection_methods: &["GET", "POST"],
    actions: &[],
    fields: &[
        Field::new("annotations", Kind::TextMap, "Annotations; missing ones of `cattle.io/` are kept.")
            .non_null(),
        Field::new("clusterId", Kind::Text, "The cluster; cannot be changed.").required(),
        Field::output("created", Kind::Date, "The creation time."),
        Field::output("createdTS", Kind::Int, "The creation time in milliseconds since 1970."),
        Field::new("groupId", Kind::Text, "Must be empty: groups are not supported."),
        Field::new("groupPrincipalId", Kind::Text, "Must be empty: groups are not supported."),
        Field::output("id", Kind::Text, "`c-xxxxx:crtb-xxxxx`"),
        Field::new("labels", Kind::TextMap, "Labels; missing ones of `cattle.io/` are kept.").non_null(),
        Field::new("name", Kind::Text, "The part of the ID after the colon; generated if it is missing.")
            .immutable()
            .non_null(),
        Field::new("roleTemplateId", Kind::Text, "`cluster-owner`, `cluster-member` or `read-only`.")
            .required(),
        Field::output("state", Kind::Text, "`active`"),
        Field::output("transitioning", Kind::Text, "`no`"),
        Field::new("userId", Kind::Text, "The user; cannot be changed.").non_null(),
        Field::new("userPrincipalId", Kind::Text, "The same as `local://user-xxxxx`.").non_null(),
        Field::new("uuid", Kind::Text, "The UUID, unique among all objects.").read_only(),
    ],
};

/// A role that a user can have in a cluster.
pub static ROLE_TEMPLATE: Schema = Schema {
    id: "roleTemplate",
    title: "RoleTemplate",
    doc: "A role that a user can have in a cluster. There are three built-in roles.",
    plural: "roleTemplates",
    collection: Some("/v3/roletemplates"),
    resource_methods: &["GET"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[
        Field::output("builtin", Kind::Bool, "Always `true`."),
        Field::output("clusterCreatorDefault", Kind::Bool, "Whether the creator of a cluster has this role."),
        Field::output("context", Kind::Text, "`cluster`"),
        Field::output("description", Kind::Text, "The rights of the role."),
        Field::output("id", Kind::Text, "`cluster-owner`, `cluster-member` or `read-only`."),
        Field::output("locked", Kind::Bool, "Always `false`: the role can be assigned."),
        Field::output("name", Kind::Text, "The display name."),
        Field::output("state", Kind::Text, "`active`"),
    ],
};
