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
        Field::output("created", Kind::Date, "When his first token was made."),
        Field::output("createdTS", Kind::Int, "The same in milliseconds since 1970."),
        Field::new("enabled", Kind::Bool, "Whether its tokens are accepted. Administrators change it.")
            .non_null(),
        Field::output("id", Kind::Text, "`user-xxxxx`"),
        Field::output("me", Kind::Bool, "Whether it is the caller."),
        Field::new("name", Kind::Text, "The name that people see; cannot be changed.").non_null(),
        Field::output("principalIds", Kind::List(&Kind::Text), "`local://user-xxxxx`"),
        Field::output("state", Kind::Text, "`active`, or `inactive` when it is disabled."),
        Field::output("transitioning", Kind::Text, "`no`"),
        Field::new("username", Kind::Text, "The same name; cannot be changed.").non_null(),
    ],
};

/// A token.
pub static TOKEN: Schema = Schema {
    id: "token",
    title: "Token",
    doc: "A token of the caller. Its secret is given once, in the answer that makes it.",
    plural: "tokens",
    collection: Some("/v3/tokens"),
    resource_methods: &["GET", "DELETE"],
    collection_methods: &["GET", "POST"],
    actions: &[],
    fields: &[
        Field::new("annotations", Kind::TextMap, "Annotations.").immutable().non_null(),
        Field::output("authProvider", Kind::Text, "`local`"),
        Field::new("clusterId", Kind::Text, "The one cluster that it is good for, and nothing else.")
            .immutable(),
        Field::output("created", Kind::Date, "When it was made."),
        Field::output("createdTS", Kind::Int, "When it was made, in milliseconds since 1970."),
        Field::output("current", Kind::Bool, "Whether the caller presented it."),
        Field::new("description", Kind::Text, "Words about it.").immutable(),
        Field::output("enabled", Kind::Bool, "True."),
        Field::output("expired", Kind::Bool, "False: a token that expired is not shown."),
        Field::output("expiresAt", Kind::Text, "When it expires, RFC 3339; empty for never."),
        Field::output("id", Kind::Text, "The public half, `token-xxxxx`."),
        Field::output("isDerived", Kind::Bool, "True: it is no session of a browser."),
        Field::new("labels", Kind::TextMap, "Labels, and `cattle.io/creator`.").immutable().non_null(),
        Field::new("lastUsedAt", Kind::Date, "When it was last used, to the minute.").read_only(),
        Field::output("name", Kind::Text, "The same as the id."),
        Field::new("token", Kind::Text, "`<name>:<secret>`, only in the answer that makes it.").read_only(),
        Field::new("ttl", Kind::Int, "Milliseconds from making to expiring; 0 for ever.")
            .immutable()
            .non_null(),
        Field::output("userId", Kind::Text, "Whose it is."),
    ],
};

/// A user's role in a cluster.
pub static CLUSTER_ROLE_TEMPLATE_BINDING: Schema = Schema {
    id: "clusterRoleTemplateBinding",
    title: "ClusterRoleTemplateBinding",
    doc: "A user's part in a cluster. Owners make, change and remove them; the creator's stays.",
    plural: "clusterRoleTemplateBindings",
    collection: Some("/v3/clusterroletemplatebindings"),
    resource_methods: &["GET", "PUT", "DELETE"],
    collection_methods: &["GET", "POST"],
    actions: &[],
    fields: &[
        Field::new("annotations", Kind::TextMap, "Annotations; those of `cattle.io/` stay when left out.")
            .non_null(),
        Field::new("clusterId", Kind::Text, "The cluster; cannot be changed.").required(),
        Field::output("created", Kind::Date, "When it was made."),
        Field::output("createdTS", Kind::Int, "When it was made, in milliseconds since 1970."),
        Field::new("groupId", Kind::Text, "There are no groups: only empty."),
        Field::new("groupPrincipalId", Kind::Text, "There are no groups: only empty."),
        Field::output("id", Kind::Text, "`c-xxxxx:crtb-xxxxx`"),
        Field::new("labels", Kind::TextMap, "Labels; those of `cattle.io/` stay when left out.").non_null(),
        Field::new("name", Kind::Text, "Behind the colon of the id; drawn when not given.")
            .immutable()
            .non_null(),
        Field::new("roleTemplateId", Kind::Text, "`cluster-owner`, `cluster-member` or `read-only`.")
            .required(),
        Field::output("state", Kind::Text, "`active`"),
        Field::output("transitioning", Kind::Text, "`no`"),
        Field::new("userId", Kind::Text, "The user; cannot be changed.").non_null(),
        Field::new("userPrincipalId", Kind::Text, "The same as `local://user-xxxxx`.").non_null(),
        Field::new("uuid", Kind::Text, "Never given to another object.").read_only(),
    ],
};

/// A role that a user can have in a cluster.
pub static ROLE_TEMPLATE: Schema = Schema {
    id: "roleTemplate",
    title: "RoleTemplate",
    doc: "A role that a user can have in a cluster. There are three, and they stay as they are.",
    plural: "roleTemplates",
    collection: Some("/v3/roletemplates"),
    resource_methods: &["GET"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[
        Field::output("builtin", Kind::Bool, "True."),
        Field::output("clusterCreatorDefault", Kind::Bool, "Whether the creator of a cluster has it."),
        Field::output("context", Kind::Text, "`cluster`"),
        Field::output("description", Kind::Text, "What it allows."),
        Field::output("id", Kind::Text, "`cluster-owner`, `cluster-member` or `read-only`."),
        Field::output("locked", Kind::Bool, "False: it can be given."),
        Field::output("name", Kind::Text, "The name that people see."),
        Field::output("state", Kind::Text, "`active`"),
    ],
};
