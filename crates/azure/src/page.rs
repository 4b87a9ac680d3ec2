//! Lists of Resource Manager, read page by page.

use std::collections::HashSet;
use std::sync::Arc;

use aks::arm::Element;
use http::Method;
use reqwest::Url;
use serde::Deserialize;

use crate::arm::Arm;
use crate::error::{Cause, Error};
use crate::request_name::RequestName;
use crate::resource::none_if_absent;
use crate::response::{Response, without_byte_order_mark};
use crate::url::without_query;

/// A list with more pages is considered endless.
const MAX_PAGES: usize = 1_000;

/// Larger pages are parsed on a blocking thread: a megabyte takes about 2 ms.
const MAX_INLINE_PARSE_LEN: usize = 256 * 1024;

/// A page as Azure sends it. In every recorded response, `value` is present and an array, even if the list is empty. A page in
/// which it is absent or `null` is not from Azure and is an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "Element<T>: Deserialize<'de>")]
struct Page<T> {
    // Only `kubernetesVersions` uses the key `values`.
    #[serde(alias = "values")]
    value: Vec<Element<T>>,
    next_link: Option<String>,
}

/// Reads all elements of the list whose first page is at `first_url`.
pub(super) async fn read_all<T>(arm: &Arm, name: RequestName, first_url: Url) -> Result<Vec<T>, Error>
where
    Element<T>: for<'de> Deserialize<'de>,
    T: Send + 'static,
{
    let mut elements = Vec::new();
    let mut fetched_urls = HashSet::new();
    let mut next_url = Some(first_url);
    while let Some(url) = next_url {
        if fetched_urls.len() >= MAX_PAGES || fetched_urls.contains(&url) {
            return Err(Error::Endless { pages: fetched_urls.len() });
        }
        let response = arm.get(name, &url).await?;
        let page: Page<T> = parse(response, &url).await?;
        elements.extend(page.value.into_iter().filter_map(|element| match element {
            Element::Object(element) => element,
            Element::Null => None,
        }));
        next_url = match page.next_link.as_deref() {
            None | Some("") => None,
            Some(link) => Some(arm.parse_link(link)?),
        };
        fetched_urls.insert(url);
    }
    Ok(elements)
}

/// Reads a collection of `Microsoft.Authorization` for a resource group, or for the subscription. `None` if the group does not
/// exist.
pub(super) async fn read_authorization<T>(
    arm: &Arm,
    name: RequestName,
    group: Option<&str>,
    collection: &str,
    query: &[(&str, &str)],
) -> Result<Option<Vec<T>>, Error>
where
    Element<T>: for<'de> Deserialize<'de>,
    T: Send + 'static,
{
    let mut path = group.map_or_else(Vec::new, |group| vec!["resourcegroups", group]);
    path.extend(["providers", "Microsoft.Authorization", collection]);
    let objects = read_all(arm, name, arm.url(&path, query)?).await;
    if group.is_some() { none_if_absent(objects) } else { objects.map(Some) }
}

async fn parse<T>(response: Response, url: &Url) -> Result<Page<T>, Error>
where
    Element<T>: for<'de> Deserialize<'de>,
    T: Send + 'static,
{
    let body = response.body;
    let parsed = if body.len() > MAX_INLINE_PARSE_LEN {
        tokio::task::spawn_blocking(move || parse_page(&body))
            .await
            .unwrap_or_else(|error| Err(Arc::new(error)))
    } else {
        parse_page(&body)
    };
    parsed.map_err(|source| Error::Decode { method: Method::GET, url: without_query(url).to_owned(), source })
}

fn parse_page<T>(body: &[u8]) -> Result<Page<T>, Cause>
where
    Element<T>: for<'de> Deserialize<'de>,
{
    // If the input is already a `str`, the parser need not validate UTF-8: that halves the time for a large page.
    let json = std::str::from_utf8(without_byte_order_mark(body)).map_err(into_cause)?;
    let page: Page<T> = serde_json::from_str(json).map_err(into_cause)?;
    if !page.value.is_empty() && page.value.iter().all(|element| matches!(element, Element::Null)) {
        return Err(Arc::new(OnlyNulls));
    }
    Ok(page)
}

fn into_cause(error: impl std::error::Error + Send + Sync + 'static) -> Cause {
    Arc::new(error)
}

/// The error of a list of nulls, which must not be read as an empty list.
#[derive(Debug, thiserror::Error)]
#[error("the list has elements, but none is an object")]
struct OnlyNulls;
