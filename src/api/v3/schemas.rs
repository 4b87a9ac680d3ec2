//! The schemas of the types below `/v3`: their fields, methods and actions.

mod access;
mod cluster;
mod credential;
mod node;
mod parts;
mod server;

pub use access::{CLUSTER_ROLE_TEMPLATE_BINDING, ROLE_TEMPLATE, TOKEN, USER};
pub(in crate::api) use cluster::LEFT_BEHIND;
pub use cluster::{AKS_CONFIG, CLUSTER};
pub use credential::{AZURE_CREDENTIAL_CONFIG, CLOUD_CREDENTIAL};
pub use node::NODE;
pub use parts::{CLUSTER_REGISTRATION_TOKEN, PROJECT};
pub use server::{FEATURE, KONTAINER_DRIVER, NODE_DRIVER, RKE_SYSTEM_IMAGE, SETTING};

use crate::api::norman::schemas::Schema;

/// All types, in alphabetical order of their IDs.
pub static ALL: [&Schema; 34] = [
    &cluster::AKS_CONFIG,
    &cluster::AKS_NODE_POOL,
    &cluster::AKS_STATUS,
    &AZURE_CREDENTIAL_CONFIG,
    &CLOUD_CREDENTIAL,
    &CLUSTER,
    &cluster::CLUSTER_CONDITION,
    &CLUSTER_REGISTRATION_TOKEN,
    &CLUSTER_ROLE_TEMPLATE_BINDING,
    &cluster::CLUSTER_SPEC,
    &node::CPU_INFO,
    &cluster::ENV_VAR,
    &FEATURE,
    &cluster::GENERATE_KUBE_CONFIG_OUTPUT,
    &cluster::IMPORTED_CONFIG,
    &cluster::INFO,
    &KONTAINER_DRIVER,
    &node::KUBERNETES_INFO,
    &cluster::LEFT_BEHIND,
    &cluster::LEFT_RESOURCE,
    &cluster::LOCAL_CLUSTER_AUTH_ENDPOINT,
    &node::MEMORY_INFO,
    &NODE,
    &NODE_DRIVER,
    &node::NODE_INFO,
    &node::OS_INFO,
    &PROJECT,
    &cluster::PROVISIONING_STEP,
    &RKE_SYSTEM_IMAGE,
    &ROLE_TEMPLATE,
    &SETTING,
    &TOKEN,
    &USER,
    &cluster::WAITING,
];

/// Finds a type by its ID in any letter case, as Rancher does.
pub fn find(id: &str) -> Option<&'static Schema> {
    ALL.iter().copied().find(|schema| schema.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::norman::schemas::Kind;
    use aks::spec::{AksConfig, NodePool};

    #[test]
    fn tables_are_in_alphabetical_order_and_complete() {
        assert!(ALL.is_sorted_by_key(|schema| schema.id.to_lowercase()));
        for schema in ALL {
            assert!(schema.fields.is_sorted_by_key(|field| field.name.to_lowercase()), "{}", schema.id);
            let names: BTreeSet<_> = schema.fields.iter().map(|field| field.name).collect();
            assert_eq!(names.len(), schema.fields.len(), "{}", schema.id);
            for field in schema.fields {
                assert!(!field.doc.is_empty(), "{}.{}", schema.id, field.name);
                let mut kind = field.kind;
                while let Kind::List(element) = kind {
                    kind = *element;
                }
                if let Kind::Object(nested) = kind {
                    assert!(find(nested.id).is_some(), "{} is not listed", nested.id);
                }
            }
        }
    }

    #[test]
    fn input_fields_match_the_domain_types() {
        for (schema, keys) in
            [(&cluster::AKS_CONFIG, AksConfig::KEYS), (&cluster::AKS_NODE_POOL, NodePool::KEYS)]
        {
            let accepted: BTreeSet<_> =
                schema.fields.iter().filter(|field| field.create).map(|field| field.name).collect();
            assert_eq!(accepted, keys.iter().copied().collect(), "{}", schema.id);
        }
    }

    #[test]
    fn converted_input_parses_as_domain_types() {
        use crate::api::norman::input::{InputFor, convert};
        let input_with_all_fields = |schema: &Schema| -> serde_json::Value {
            let value_of_kind = |kind: &Kind| match kind {
                Kind::Int => serde_json::json!("1"),
                Kind::Bool => serde_json::json!("true"),
                Kind::TextMap => serde_json::json!({"k": 1}),
                Kind::List(Kind::Object(_)) => serde_json::json!([{}]),
                Kind::List(_) => serde_json::json!([1]),
                _ => serde_json::json!(1),
            };
            schema.fields.iter().map(|field| (field.name.to_owned(), value_of_kind(&field.kind))).collect()
        };
        let converted = |schema: &Schema| {
            let input = input_with_all_fields(schema).as_object().unwrap().clone();
            serde_json::Value::Object(convert(schema, input, InputFor::Create).unwrap())
        };
        let config: AksConfig = serde_json::from_value(converted(&cluster::AKS_CONFIG)).unwrap();
        assert_eq!(config.kubernetes_version.as_deref(), Some("1"));
        let pool: NodePool = serde_json::from_value(converted(&cluster::AKS_NODE_POOL)).unwrap();
        assert_eq!((pool.count, pool.max_surge.as_deref()), (Some(1), Some("1")));
    }

    #[test]
    fn types_are_found_in_any_letter_case() {
        assert_eq!(find("cloudcredential").map(|schema| schema.id), Some("cloudCredential"));
        assert!(find("nodeTemplate").is_none());
    }
}
