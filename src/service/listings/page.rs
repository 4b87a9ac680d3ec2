//! Pages of the catalog: responses that are computed from cached lists, and cached until one of those lists changes.

use std::sync::Arc;

use bytes::Bytes;

use super::encoded::Encoded;
use super::kind::Kind;
use super::typed::PageSource;
use super::{Listings, cache_key};
use crate::service::credentials::AzureAccess;

impl Listings {
    /// The page at `url`, which depends only on `sources` and the credential. It is built, tagged and compressed once, until a
    /// source changes.
    ///
    /// # Errors
    /// Those of `build`.
    pub async fn page<E>(
        &self,
        access: &AzureAccess,
        url: &str,
        sources: &[PageSource<'_>],
        build: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Arc<Encoded>, E> {
        let key = cache_key(access, Kind::Page, url.into());
        let sources: Vec<_> = sources.iter().map(|source| source.0).collect();
        if let Some(page) = self.cache.page(&key, &sources) {
            return Ok(page);
        }
        let _permit = self.page_builds.acquire().await;
        // Another caller may have built the page during the wait.
        if let Some(page) = self.cache.page(&key, &sources) {
            return Ok(page);
        }
        let json = build()?;
        let uncompressed = json.clone();
        // Compression takes milliseconds.
        let page = tokio::task::spawn_blocking(move || Arc::new(Encoded::new(json))).await;
        let page = page.unwrap_or_else(|_| Arc::new(Encoded::for_request(uncompressed)));
        self.cache.insert_page(key, &sources, Arc::clone(&page));
        Ok(page)
    }
}
