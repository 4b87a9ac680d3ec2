//! Who there is and what they may: `user`, `token`, `clusterRoleTemplateBinding`, `roleTemplate`.

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
        Field::new("created", Kind::Date, "When his first token was made.").read_only().set(),
        Field::new("createdTS", Kind::Int, "The same in milliseconds since 1970.").read_only().set(),
        Field::new("enabled", Kind::Bool, "Whether its tokens are accepted. Administrators change it.").set(),
        Field::new("id", Kind::Text, "`user-xxxxx`").read_only().set(),
        Field::new("me", Kind::Bool, "Whether it is the caller.").read_only().set(),
        Field::new("name", Kind::Text, "The name that people see; cannot be changed.").set(),
        Field::new("principalIds", Kind::List(&Kind::Text), "`local://user-xxxxx`").read_only().set(),
        Field::new("state", Kind::Text, "`active`, or `inactive` when it is disabled.").read_only().set(),
        Field::new("transitioning", Kind::Text, "`no`").read_only().set(),
        Field::new("username", Kind::Text, "The same name; cannot be changed.").set(),
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
        Field::new("annotations", Kind::TextMap, "Annotations.").fixed().set(),
        Field::new("authProvider", Kind::Text, "`local`").read_only().set(),
        Field::new("clusterId", Kind::Text, "The one cluster that it is good for, and nothing else.").fixed(),
        Field::new("created", Kind::Date, "When it was made.").read_only().set(),
        Field::new("createdTS", Kind::Int, "When it was made, in milliseconds since 1970.").read_only().set(),
        Field::new("current", Kind::Bool, "Whether the caller presented it.").read_only().set(),
        Field::new("description", Kind::Text, "Words about it.").fixed(),
        Field::new("enabled", Kind::Bool, "True.").read_only().set(),
        Field::new("expired", Kind::Bool, "False: a token that expired is not shown.").read_only().set(),
        Field::new("expiresAt", Kind::Text, "When it expires, RFC 3339; empty for never.").read_only().set(),
        Field::new("id", Kind::Text, "The public half, `token-xxxxx`.").read_only().set(),
        Field::new("isDerived", Kind::Bool, "True: it is no session of a browser.").read_only().set(),
        Field::new("labels", Kind::TextMap, "Labels, and `cattle.io/creator`.").fixed().set(),
        Field::new("lastUsedAt", Kind::Date, "When it was last used, to the minute.").read_only(),
        Field::new("name", Kind::Text, "The same as the id.").read_only().set(),
        Field::new("token", Kind::Text, "`<name>:<secret>`, only in the answer that makes it.").read_only(),
        Field::new("ttl", Kind::Int, "Milliseconds from making to expiring; 0 for ever.").fixed().set(),
        Field::new("userId", Kind::Text, "Whose it is.").read_only().set(),
    ],
};

/// A user's part in a cluster.
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
            .set(),
        Field::new("clusterId", Kind::Text, "The cluster; cannot be changed.").required(),
        Field::new("created", Kind::Date, "When it was made.").read_only().set(),
        Field::new("createdTS", Kind::Int, "When it was made, in milliseconds since 1970.").read_only().set(),
        Field::new("groupId", Kind::Text, "There are no groups: only empty."),
        Field::new("groupPrincipalId", Kind::Text, "There are no groups: only empty."),
        Field::new("id", Kind::Text, "`c-xxxxx:crtb-xxxxx`").read_only().set(),
        Field::new("labels", Kind::TextMap, "Labels; those of `cattle.io/` stay when left out.").set(),
        Field::new("name", Kind::Text, "Behind the colon of the id; drawn when not given.").fixed().set(),
        Field::new("roleTemplateId", Kind::Text, "`cluster-owner`, `cluster-member` or `read-only`.")
            .required(),
        Field::new("state", Kind::Text, "`active`").read_only().set(),
        Field::new("transitioning", Kind::Text, "`no`").read_only().set(),
        Field::new("userId", Kind::Text, "The user; cannot be changed.").set(),
        Field::new("userPrincipalId", Kind::Text, "The same as `local://user-xxxxx`.").set(),
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
        Field::new("builtin", Kind::Bool, "True.").read_only().set(),
        Field::new("clusterCreatorDefault", Kind::Bool, "Whether the creator of a cluster has it.")
            .read_only()
            .set(),
        Field::new("context", Kind::Text, "`cluster`").read_only().set(),
        Field::new("description", Kind::Text, "What it allows.").read_only().set(),
        Field::new("id", Kind::Text, "`cluster-owner`, `cluster-member` or `read-only`.").read_only().set(),
        Field::new("locked", Kind::Bool, "False: it can be given.").read_only().set(),
        Field::new("name", Kind::Text, "The name that people see.").read_only().set(),
        Field::new("state", Kind::Text, "`active`").read_only().set(),
    ],
};
