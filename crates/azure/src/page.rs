//! Lists of Resource Manager, read page by page to the end.

use std::collections::HashSet;
use std::sync::Arc;

use aks::arm::Element;
use http::Method;
use reqwest::Url;
use serde::Deserialize;

use super::call::Arm;
use super::error::{Cause, Error};
use super::transport::Answer;
use super::url::without_query;

/// More pages are taken for a list without an end.
const MOST_PAGES: usize = 1_000;

/// Parsing more than this takes long enough to be kept away from the threads that serve connections: about
/// 2 ms for a megabyte.
const LARGE: usize = 256 * 1024;

/// A page as Azure sends it. An empty list is `[]`: in every recorded response the key is there and an array. A page
/// without it, or with `null` in its place, comes from something else and is an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "Element<T>: Deserialize<'de>")]
struct Page<T> {
    // `kubernetesVersions` is the only one to call it `values`.
    #[serde(alias = "values")]
    value: Vec<Element<T>>,
    next_link: Option<String>,
}

/// All elements of the list that begins at `first`.
pub(super) async fn read_all<T>(arm: &Arm, operation: &'static str, first: Url) -> Result<Vec<T>, Error>
where
    Element<T>: for<'de> Deserialize<'de>,
    T: Send + 'static,
{
    let mut elements = Vec::new();
    let mut seen = HashSet::new();
    let mut next = Some(first);
    while let Some(url) = next {
        if seen.len() >= MOST_PAGES || seen.contains(&url) {
            return Err(Error::Endless { pages: seen.len() });
        }
        let answer = arm.get(operation, &url).await?;
        let page: Page<T> = parse(answer, &url).await?;
        let read = page.value.into_iter().filter_map(|element| match element {
            Element::Object(element) => element,
            Element::Null => None,
        });
        if elements.is_empty() {
            elements = read.collect();
        } else {
            elements.extend(read);
        }
        next = match page.next_link.as_deref() {
            None | Some("") => None,
            Some(link) => Some(arm.link(link)?),
        };
        seen.insert(url);
    }
    Ok(elements)
}

async fn parse<T>(answer: Answer, url: &Url) -> Result<Page<T>, Error>
where
    Element<T>: for<'de> Deserialize<'de>,
    T: Send + 'static,
{
    let body = answer.body;
    let parsed = if body.len() > LARGE {
        tokio::task::spawn_blocking(move || read(&body)).await.unwrap_or_else(|error| Err(Arc::new(error)))
    } else {
        read(&body)
    };
    parsed.map_err(|source| Error::Decode { method: Method::GET, url: without_query(url).to_owned(), source })
}

fn read<T>(body: &[u8]) -> Result<Page<T>, Cause>
where
    Element<T>: for<'de> Deserialize<'de>,
{
    // Once it is text, the parser need not look at each string again: half the time for a large page.
    let text = std::str::from_utf8(body).map_err(|error| -> Cause { Arc::new(error) })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let page: Page<T> = serde_json::from_str(text).map_err(|error| -> Cause { Arc::new(error) })?;
    if !page.value.is_empty() && page.value.iter().all(|element| matches!(element, Element::Null)) {
        return Err(Arc::new(NoObject));
    }
    Ok(page)
}

/// A list of nulls is not an empty list.
#[derive(Debug, thiserror::Error)]
#[error("the list has elements, and none is an object")]
struct NoObject;
