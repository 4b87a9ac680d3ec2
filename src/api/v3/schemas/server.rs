//! The types of the server itself: `setting`, `feature`, `rkeK8sSystemImage`, `nodeDriver`, `kontainerDriver`.

use crate::api::norman::schemas::{Field, Kind, Schema};

/// A named setting.
pub static SETTING: Schema = Schema {
    id: "setting",
    title: "Setting",
    doc: "A named setting. All users may read it; administrators may change it unless it is read-only.",
    plural: "settings",
    collection: Some("/v3/settings"),
    resource_methods: &["GET", "PUT"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[
        Field::output("customized", Kind::Bool, "Whether it was changed from the default."),
        Field::output("default", Kind::Text, "The default value."),
        Field::output("id", Kind::Text, "The name."),
        Field::output("name", Kind::Text, "The name."),
        Field::output("readOnly", Kind::Bool, "Whether the API cannot change it."),
        Field::output("source", Kind::Text, "`default`, `db`, or `env` if it was set at the server's start."),
        Field::new("value", Kind::Text, "The current value; an empty string restores the default.")
            .non_null(),
    ],
};

/// A feature flag of Rancher.
pub static FEATURE: Schema = Schema {
    id: "feature",
    title: "Feature",
    doc: "A feature flag. There are none.",
    plural: "features",
    collection: Some("/v3/features"),
    resource_methods: &["GET"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[Field::output("id", Kind::Text, "The name."), Field::output("name", Kind::Text, "The name.")],
};

/// The images of a Kubernetes version of RKE.
pub static RKE_SYSTEM_IMAGE: Schema = Schema {
    id: "rkeK8sSystemImage",
    title: "RkeK8sSystemImage",
    doc: "The images of a Kubernetes version of RKE. There are none.",
    plural: "rkeK8sSystemImages",
    collection: Some("/v3/rkek8ssystemimages"),
    resource_methods: &["GET"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[
        Field::output("id", Kind::Text, "The version."),
        Field::output("name", Kind::Text, "The version."),
    ],
};

/// A node driver.
pub static NODE_DRIVER: Schema = Schema {
    id: "nodeDriver",
    title: "NodeDriver",
    doc: "A cloud for which credentials can be stored; only Azure.",
    plural: "nodeDrivers",
    collection: Some("/v3/nodedrivers"),
    resource_methods: &["GET"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[
        Field::output("active", Kind::Bool, "Always `true`."),
        Field::output("builtin", Kind::Bool, "Always `true`."),
        Field::output("id", Kind::Text, "`azure`"),
        Field::output("name", Kind::Text, "`azure`"),
        Field::output("state", Kind::Text, "`active`"),
        Field::output("transitioning", Kind::Text, "`no`"),
    ],
};

/// A cluster driver.
pub static KONTAINER_DRIVER: Schema = Schema {
    id: "kontainerDriver",
    title: "KontainerDriver",
    doc: "A kind of hosted cluster; only AKS, which the setting `kev2-operators` enables.",
    plural: "kontainerDrivers",
    collection: Some("/v3/kontainerdrivers"),
    resource_methods: &["GET"],
    collection_methods: &["GET"],
    actions: &[],
    fields: &[
        Field::output("active", Kind::Bool, "Whether clusters of this kind can be created."),
        Field::output("builtIn", Kind::Bool, "Always `true`."),
        Field::output("id", Kind::Text, "`azurekubernetesservice`"),
        Field::output("name", Kind::Text, "`azureKubernetesService`"),
        Field::output("state", Kind::Text, "`active` or `inactive`."),
        Field::output("transitioning", Kind::Text, "`no`"),
    ],
};
