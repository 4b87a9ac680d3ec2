//! A list of objects in Norman's format (`docs/contract/norman-api.md#lists`).

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::Error;
use super::filters::{ListOptions, Query};
use super::input::Object;
use super::json;
use super::links::Links;
use super::schemas::Schema;

/// One page of a list. The order of the keys is Rancher's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection<T> {
    r#type: &'static str,
    links: BTreeMap<&'static str, String>,
    create_types: BTreeMap<&'static str, String>,
    actions: BTreeMap<&'static str, String>,
    pagination: Pagination,
    sort: Sort,
    filters: BTreeMap<&'static str, Option<Vec<Filter>>>,
    resource_type: &'static str,
    /// The objects of the page.
    pub data: Vec<T>,
}

/// The position of the page in the list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Pagination {
    /// The maximum number of objects on a page.
    limit: usize,
    /// The URL of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// `true` if there are more pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    partial: Option<bool>,
    /// The number of objects on all pages.
    total: usize,
}

/// The order of the list, and the URLs of other orders.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Sort {
    /// The field; absent if the list is sorted by ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<&'static str>,
    /// `asc` or `desc`.
    order: &'static str,
    /// The URL of the list in reverse order.
    reverse: String,
    /// The URL of the list sorted by each field.
    links: BTreeMap<&'static str, String>,
}

/// An applied filter.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Filter {
    modifier: &'static str,
    value: String,
}

impl Collection<Object> {
    /// The page of `objects` that the query selects. `path` is the path of the request.
    ///
    /// # Errors
    /// 422 for a `limit` that is not a number, or a `marker` that is not in the list.
    pub fn page(
        schema: &'static Schema,
        links: &Links,
        path: &str,
        query: &Query,
        objects: Vec<Object>,
    ) -> Result<Self, Error> {
        let query = &query.applicable_to(schema);
        let options = ListOptions::parse(schema, query)?;
        let mut data = options.select(objects);
        let total = data.len();
        if let Some(marker) = &options.marker {
            let index = data.iter().position(|object| has_id(object, marker)).ok_or_else(|| {
                let message = "marker must be the ID of an object in the list; start again without marker";
                crate::service::Invalid::field("InvalidOption", "marker", message)
            })?;
            data.drain(..=index);
        }
        let partial = data.len() > options.limit;
        data.truncate(options.limit);
        let url = links.url(path);
        let next = data
            .last()
            .and_then(|object| object.get("id")?.as_str())
            .filter(|_| partial)
            .map(|last_id| format!("{url}?{}", query.to_query_with("marker", last_id)));
        Ok(Self {
            r#type: "collection",
            links: BTreeMap::from([("self", url.clone())]),
            create_types: schema
                .collection
                .filter(|_| schema.collection_methods.contains(&"POST"))
                .map(|path| (schema.id, links.url(path)))
                .into_iter()
                .collect(),
            actions: BTreeMap::new(),
            pagination: Pagination { limit: options.limit, next, partial: partial.then_some(true), total },
            sort: describe_sort(schema, &url, query, &options),
            filters: describe_filters(schema, &options),
            resource_type: schema.id,
            data,
        })
    }
}

impl<T> Collection<T> {
    /// A list on a single page, without filters.
    pub fn single_page(resource_type: &'static str, url: String, data: Vec<T>) -> Self {
        let pagination =
            Pagination { limit: super::filters::DEFAULT_LIMIT, next: None, partial: None, total: data.len() };
        Self {
            r#type: "collection",
            sort: Sort {
                name: None,
                order: "asc",
                reverse: format!("{url}?order=desc"),
                links: BTreeMap::new(),
            },
            links: BTreeMap::from([("self", url)]),
            create_types: BTreeMap::new(),
            actions: BTreeMap::new(),
            pagination,
            filters: BTreeMap::new(),
            resource_type,
            data,
        }
    }
}

fn has_id(object: &Object, id: &str) -> bool {
    object.get("id").and_then(|value| value.as_str()) == Some(id)
}

fn describe_sort(schema: &Schema, url: &str, query: &Query, options: &ListOptions) -> Sort {
    let (order, opposite) = if options.descending { ("desc", "asc") } else { ("asc", "desc") };
    let query = query.without("reverse").without("marker");
    Sort {
        name: options.sort,
        order,
        reverse: format!("{url}?{}", query.to_query_with("order", opposite)),
        links: schema
            .filterable_fields()
            .map(|field| (field.name, format!("{url}?{}", query.to_query_with("sort", field.name))))
            .collect(),
    }
}

fn describe_filters(schema: &Schema, options: &ListOptions) -> BTreeMap<&'static str, Option<Vec<Filter>>> {
    let mut filters: BTreeMap<_, Option<Vec<Filter>>> =
        schema.filterable_fields().map(|field| (field.name, None)).collect();
    for condition in &options.conditions {
        let filter = Filter { modifier: condition.modifier, value: condition.value.clone() };
        filters.entry(condition.field).or_default().get_or_insert_default().push(filter);
    }
    filters
}

impl<T: Serialize> IntoResponse for Collection<T> {
    fn into_response(self) -> Response {
        json::respond(http::StatusCode::OK, &self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::schemas::{Field, Kind};
    use super::*;

    static THING: Schema = Schema {
        id: "thing",
        title: "Thing",
        doc: "",
        plural: "things",
        collection: Some("/v3/things"),
        resource_methods: &[],
        collection_methods: &["GET", "POST"],
        actions: &[],
        fields: &[Field::new("id", Kind::Text, ""), Field::new("name", Kind::Text, "")],
    };

    fn page(query: &str) -> Result<Value, Error> {
        let objects = json!([{"id": "b", "name": "x"}, {"id": "a", "name": "x"}, {"id": "c", "name": "y"}]);
        let links = Links::new("https://h".to_owned());
        let query = Query::from_uri(&format!("/?{query}").parse().unwrap());
        Collection::page(&THING, &links, "/v3/things", &query, serde_json::from_value(objects).unwrap())
            .map(|page| serde_json::to_value(page).unwrap())
    }

    #[test]
    fn page_has_links_filters_and_pagination() {
        assert_eq!(
            page("name=x").unwrap(),
            json!({
                "type": "collection",
                "links": {"self": "https://h/v3/things"},
                "createTypes": {"thing": "https://h/v3/things"},
                "actions": {},
                "pagination": {"limit": 1000, "total": 2},
                "sort": {
                    "order": "asc",
                    "reverse": "https://h/v3/things?name=x&order=desc",
                    "links": {
                        "id": "https://h/v3/things?name=x&sort=id",
                        "name": "https://h/v3/things?name=x&sort=name",
                    },
                },
                "filters": {"id": null, "name": [{"modifier": "eq", "value": "x"}]},
                "resourceType": "thing",
                "data": [{"id": "a", "name": "x"}, {"id": "b", "name": "x"}],
            })
        );
    }

    #[test]
    fn pages_cover_the_list() {
        let mut query = "limit=2&sort=name&order=desc".to_owned();
        let mut ids = Vec::new();
        for has_more in [true, false] {
            let page = page(&query).unwrap();
            assert_eq!(page["pagination"]["total"], 3);
            assert_eq!(page["pagination"]["partial"].as_bool().unwrap_or(false), has_more);
            ids.extend(
                page["data"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|object| object["id"].as_str().unwrap().to_owned()),
            );
            if let Some(next) = page["pagination"]["next"].as_str() {
                query = next.split_once('?').unwrap().1.to_owned();
            }
        }
        assert_eq!(ids, ["c", "b", "a"]);
    }

    #[test]
    fn unknown_marker_is_rejected() {
        assert!(page("marker=zzz").is_err());
    }
}
