//! The IDs of credentials: callers use `cattle-global-data:cc-xxxxx`, the database the part after the colon.

use aks::ids;

/// The part of a credential ID after the namespace; `None` if it is not a credential ID.
pub(in crate::service) fn bare_id(id: &str) -> Option<&str> {
    let (namespace, name) = ids::split_namespaced(id)?;
    (namespace == ids::CREDENTIAL_NAMESPACE && !name.contains(':')).then_some(name)
}

/// The ID that callers use.
pub(in crate::service) fn full_id(bare: &str) -> String {
    format!("{}:{bare}", ids::CREDENTIAL_NAMESPACE)
}
