//! Pages of the lists of the catalog. The marker of a page is the name of the last entry before it.

use aks::mask::mask;

use super::call::CatalogCall;
use crate::service::Invalid;

/// The maximum and default number of entries on a page: more than any list of Azure has.
const MAX_LIMIT: i64 = 5_000;

/// A page of a list.
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    /// The URL of the next page.
    pub(super) next: Option<String>,
}

impl<T> Page<T> {
    /// The requested page of `entries`, which are in their final order.
    pub(super) fn select(
        mut entries: Vec<T>,
        call: &CatalogCall,
        path: &str,
        entry_name: impl Fn(&T) -> &str,
    ) -> Result<Self, Invalid> {
        let limit = call.parameters.number("limit", 1..=MAX_LIMIT)?;
        let limit = usize::try_from(limit.unwrap_or(MAX_LIMIT)).unwrap_or(usize::MAX);
        if let Some(marker) = call.parameters.trimmed("marker") {
            let Some(index) = entries.iter().position(|entry| entry_name(entry) == marker) else {
                let message =
                    format!("the list no longer contains `{}`; start again without marker", mask(marker));
                return Err(Invalid::field("InvalidOption", "marker", message));
            };
            entries.drain(..=index);
        }
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().filter(|_| has_more);
        let next = last.map(|last| {
            let query = call.parameters.to_query_with("marker", entry_name(last));
            call.links.url(&format!("{path}?{query}"))
        });
        Ok(Self { data: entries, next })
    }
}
