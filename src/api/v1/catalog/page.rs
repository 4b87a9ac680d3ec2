//! Pages of the lists of the catalog. The marker of a page is the name of the last entry before it.

use super::call::CatalogCall;
use crate::service::Invalid;

/// The most entries on a page, and their number when the client names none: more than Azure has in any list.
const MAX_LIMIT: i64 = 5_000;

/// A page of a list.
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    /// The URL of the next page.
    pub(super) next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts the page that the request asks for out of `entries`, which are in their final order.
    pub(super) fn cut(
        mut entries: Vec<T>,
        call: &CatalogCall,
        path: &str,
        name: impl Fn(&T) -> &str,
    ) -> Result<Self, Invalid> {
        let limit = call.parameters.number("limit", 1..=MAX_LIMIT)?;
        let limit = usize::try_from(limit.unwrap_or(MAX_LIMIT)).unwrap_or(usize::MAX);
        if let Some(marker) = call.parameters.text("marker") {
            let Some(last) = entries.iter().position(|entry| name(entry) == marker) else {
                let message = "the list has no entry of this name any more; start again without marker";
                return Err(Invalid::field("InvalidOption", "marker", message));
            };
            entries.drain(..=last);
        }
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().filter(|_| has_more);
        let next = last
            .map(|last| call.links.url(&format!("{path}?{}", call.parameters.with("marker", name(last)))));
        Ok(Self { data: entries, next })
    }
}
