//! The headers of responses, each a component of the document.

use std::collections::BTreeMap;

use utoipa::openapi::{Header, HeaderBuilder, ObjectBuilder, Ref, RefOr, Type};

/// The ID of the request, in every response.
pub(super) const REQUEST_ID: &str = "X-Request-Id";
/// The delay before a retry.
pub(super) const RETRY_AFTER: &str = "Retry-After";
/// Whether the response to a listing action is from the cache.
pub(super) const CACHE: &str = "X-Norman-Aks-Cache";
/// The age of the list in the response to a listing action.
pub(super) const AGE: &str = "Age";

/// A reference to the component `name`.
pub(super) fn reference(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

/// All components, by name.
pub(super) fn components() -> BTreeMap<String, RefOr<Header>> {
    let seconds = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let string = || ObjectBuilder::new().schema_type(Type::String);
    let header = |schema: ObjectBuilder, description: &str| {
        HeaderBuilder::new().schema(Some(schema.build())).description(Some(description)).build().into()
    };
    let caches = string().enum_values(Some(["hit", "miss", "stale"]));
    BTreeMap::from([
        (REQUEST_ID.to_owned(), header(string(), "The ID of the request in the server's log.")),
        (
            RETRY_AFTER.to_owned(),
            header(seconds(), "The number of seconds after which the request can be retried."),
        ),
        (
            CACHE.to_owned(),
            header(
                caches,
                "`miss`: the list was requested from Azure. `hit`: it is from the cache. `stale`: it is from the cache and out \
                 of date, because Azure fails or the request to Azure is in progress.",
            ),
        ),
        (AGE.to_owned(), header(seconds(), "The number of seconds since Azure returned the list.")),
    ])
}
