//! The headers of responses, each a component of the document.

use std::collections::BTreeMap;

use utoipa::openapi::{Header, HeaderBuilder, ObjectBuilder, Ref, RefOr, Type};

/// The ID of the request, in every response.
pub(super) const REQUEST_ID: &str = "X-Request-Id";
/// The delay before a retry.
pub(super) const RETRY_AFTER: &str = "Retry-After";
/// The source of an action's response.
pub(super) const CACHE: &str = "X-Norman-Aks-Cache";
/// The age of an action's response.
pub(super) const AGE: &str = "Age";

/// A reference to the component `name`.
pub(super) fn reference(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

/// All components, by name.
pub(super) fn components() -> BTreeMap<String, RefOr<Header>> {
    let seconds = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let header = |schema: ObjectBuilder, description: &str| {
        HeaderBuilder::new().schema(Some(schema.build())).description(Some(description)).build().into()
    };
    let caches = text().enum_values(Some(["hit", "miss", "stale"]));
    BTreeMap::from([
        (REQUEST_ID.to_owned(), header(text(), "The id under which the server's log tells of the request.")),
        (RETRY_AFTER.to_owned(), header(seconds(), "After how many seconds it may be tried again.")),
        (
            CACHE.to_owned(),
            header(
                caches,
                "`miss`: Azure was asked for this answer. `hit`: it was kept from before. `stale`: so it was, \
                 and it is older than it should be, because Azure fails or is just being asked.",
            ),
        ),
        (AGE.to_owned(), header(seconds(), "How many seconds ago Azure was asked.")),
    ])
}
