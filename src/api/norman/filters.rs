//! The query of a list: `?<field>[_<modifier>]=<value>`, `sort`, `order`, `reverse`, `limit`, `marker`.

use std::cmp::Ordering;
use std::convert::Infallible;

use aks::mask::mask;
use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;
use serde_json::Value;

use super::input::Object;
use super::schemas::{MODIFIERS, Schema};
use crate::api::query;
use crate::service::Invalid;

/// The default number of objects per page (`docs/contract/norman-api.md#lists`).
pub const DEFAULT_LIMIT: usize = 1_000;

/// The maximum number of objects per page; a larger `limit` is reduced to it.
pub const MAX_LIMIT: usize = 10_000;

/// A decoded query string; an extractor.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes the query of a URI.
    pub fn from_uri(uri: &Uri) -> Self {
        let pairs = query::RawQuery::from_uri(uri).pairs();
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The first value of the parameter `name`.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of the parameter `name`, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The names of the parameters, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Rejects parameters that are not in `known`: a misspelled filter must not list everything.
    ///
    /// # Errors
    /// `InvalidOption` for the first unknown parameter.
    pub fn reject_unknown(&self, known: &[&str]) -> Result<(), Invalid> {
        let Some(name) = self.names().find(|name| !known.contains(name)) else { return Ok(()) };
        let message = format!("unknown parameter `{}`; use {}", mask(name), known.join(", "));
        Err(Invalid::field("InvalidOption", name, message))
    }

    /// Whether the parameter `name`, a switch such as `_replace`, is `true`.
    pub fn is_on(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| value == "true")
    }

    /// Whether `force` is `true`.
    ///
    /// # Errors
    /// `InvalidOption` for a value other than `true` and `false`.
    pub fn is_forced(&self) -> Result<bool, Invalid> {
        match self.first("force") {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Invalid::field("InvalidOption", "force", "force must be true or false")),
        }
    }

    /// A copy of the query without `name`.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(key, _)| key != name).cloned().collect())
    }

    /// The parameters that apply to a list of this type. Links omit all others, because a client may have sent a token in them.
    #[must_use]
    pub fn applicable_to(&self, schema: &Schema) -> Self {
        let applies = |name: &str, value: &str| {
            ["limit", "marker", "order", "reverse", "sort"].contains(&name)
                || parse_condition(schema, name, value).is_some()
        };
        Self(self.0.iter().filter(|(name, value)| applies(name, value)).cloned().collect())
    }

    /// The query with `name` set to `value`, percent-encoded and without `?`.
    pub fn to_query_with(&self, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(key, _)| key != name);
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others.map(|(key, value)| (key.as_str(), value.as_str())))
            .append_pair(name, value)
            .finish()
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_uri(&parts.uri))
    }
}

/// One condition: the field, one of [`MODIFIERS`] and the value as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The field of the schema.
    pub field: &'static str,
    /// The modifier.
    pub modifier: &'static str,
    /// The value as the client wrote it.
    pub value: String,
}

impl Condition {
    fn matches(&self, object: &Object) -> bool {
        self.matches_value(object.get(self.field).unwrap_or(&Value::Null))
    }

    fn matches_value(&self, value: &Value) -> bool {
        let equals = |expected: &str| match value {
            Value::String(text) => text == expected,
            Value::Null => expected.is_empty(),
            Value::Bool(value) => expected == if *value { "true" } else { "false" },
            Value::Number(number) => expected.parse().ok() == number.as_i64(),
            Value::Array(_) | Value::Object(_) => false,
        };
        match self.modifier {
            "ne" => !equals(&self.value),
            "in" => self.value.split(',').any(equals),
            "notin" => !self.value.split(',').any(equals),
            "null" => value.is_null(),
            "notnull" => !value.is_null(),
            _ => equals(&self.value),
        }
    }
}

/// The objects of a list to return, and their order.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// The conditions, all of which must be met.
    pub conditions: Vec<Condition>,
    /// The field to sort by; `id` breaks ties.
    pub sort: Option<&'static str>,
    /// Whether the order is descending.
    pub descending: bool,
    /// The size of a page.
    pub limit: usize,
    /// The ID of the last object on the previous page.
    pub marker: Option<String>,
}

impl ListOptions {
    /// Parses a query. Ignores names that are not fields of `schema`, as Rancher does.
    ///
    /// # Errors
    /// `InvalidFormat` for a `limit` that is not a positive number.
    pub fn parse(schema: &Schema, query: &Query) -> Result<Self, Invalid> {
        let limit = match query.first("limit").map(str::trim) {
            None | Some("") => DEFAULT_LIMIT,
            Some(text) => match text.parse::<u64>() {
                Ok(number) if number > 0 => usize::try_from(number).unwrap_or(MAX_LIMIT).min(MAX_LIMIT),
                _ => {
                    let message = format!("limit must be a whole number from 1 to {MAX_LIMIT}");
                    return Err(Invalid::field("InvalidFormat", "limit", message));
                }
            },
        };
        let descending = query.first("order").is_some_and(|order| order.eq_ignore_ascii_case("desc"));
        Ok(Self {
            conditions: query
                .0
                .iter()
                .filter_map(|(name, value)| parse_condition(schema, name, value))
                .collect(),
            sort: query.first("sort").and_then(|name| filterable_field(schema, name)),
            descending: descending != query.is_on("reverse"),
            limit,
            marker: query.first("marker").filter(|marker| !marker.is_empty()).map(str::to_owned),
        })
    }

    /// Whether a value meets all conditions on one field.
    pub fn matches_field(&self, field: &str, value: &Value) -> bool {
        let mut conditions = self.conditions.iter().filter(|condition| condition.field == field);
        conditions.all(|condition| condition.matches_value(value))
    }

    /// The matching objects in order, before paging.
    pub fn select(&self, mut objects: Vec<Object>) -> Vec<Object> {
        objects.retain(|object| self.conditions.iter().all(|condition| condition.matches(object)));
        objects.sort_by(|a, b| {
            let by_field = self.sort.map_or(Ordering::Equal, |field| compare(a.get(field), b.get(field)));
            let order = by_field.then_with(|| compare(a.get("id"), b.get("id")));
            if self.descending { order.reverse() } else { order }
        });
        objects
    }
}

fn filterable_field(schema: &Schema, name: &str) -> Option<&'static str> {
    schema.filterable_fields().map(|field| field.name).find(|field| *field == name)
}

fn parse_condition(schema: &Schema, name: &str, value: &str) -> Option<Condition> {
    let parsed = filterable_field(schema, name).map(|field| (field, "eq")).or_else(|| {
        let (field, modifier) = name.rsplit_once('_')?;
        let modifier = MODIFIERS.into_iter().find(|name| *name == modifier)?;
        Some((filterable_field(schema, field)?, modifier))
    });
    parsed.map(|(field, modifier)| Condition { field, modifier, value: value.to_owned() })
}

fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null)) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => a.as_i64().cmp(&b.as_i64()),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schemas::{Field, Kind};
    use super::*;

    static THING: Schema = Schema::nested(
        "thing",
        "Thing",
        "",
        "things",
        &[
            Field::new("id", Kind::Text, ""),
            Field::new("labels", Kind::TextMap, ""),
            Field::new("name", Kind::Text, ""),
            Field::new("size", Kind::Int, ""),
        ],
    );

    fn parse_query(query: &str) -> Query {
        Query::from_uri(&format!("/?{query}").parse().unwrap())
    }

    fn ids(query: &str) -> String {
        let objects = json!([
            {"id": "c", "name": "x", "size": 10},
            {"id": "a", "name": "y", "size": 9, "labels": {"k": "v"}},
            {"id": "b", "name": "x y"},
        ]);
        let objects = serde_json::from_value(objects).unwrap();
        let options = ListOptions::parse(&THING, &parse_query(query)).unwrap();
        options.select(objects).iter().map(|object| object["id"].as_str().unwrap()).collect()
    }

    #[test]
    fn lists_are_filtered_and_sorted() {
        for (query, expected) in [
            ("", "abc"),
            ("name=x", "c"),
            ("name=x+y", "b"),
            ("name=x%20y", "b"),
            ("name=X", ""),
            ("name_ne=x", "ab"),
            ("name_in=x,y", "ac"),
            ("name_notin=x,y", "b"),
            ("size_null=", "b"),
            ("size_notnull=", "ac"),
            ("size=10", "c"),
            ("name=x&id=c", "c"),
            ("name=x&id=a", ""),
            ("labels=v", "abc"),
            ("unknown=1", "abc"),
            ("name_like=x", "abc"),
            ("order=desc", "cba"),
            ("reverse=true", "cba"),
            ("order=desc&reverse=true", "abc"),
            ("sort=size", "bac"),
            ("sort=name", "cba"),
            ("sort=size&order=DESC", "cab"),
            ("sort=labels", "abc"),
        ] {
            assert_eq!(ids(query), expected, "{query}");
        }
    }

    #[test]
    fn limits_are_bounded_and_must_be_positive() {
        let limit = |query| ListOptions::parse(&THING, &parse_query(query)).map(|options| options.limit);
        for (query, expected) in [
            ("", 1_000),
            ("limit=", 1_000),
            ("limit=5", 5),
            ("limit=10001", 10_000),
            ("limit=18446744073709551615", 10_000),
        ] {
            assert_eq!(limit(query).unwrap(), expected, "{query}");
        }
        for query in ["limit=0", "limit=-1", "limit=x", "limit=1.5"] {
            assert_eq!(limit(query).unwrap_err().field.as_deref(), Some("limit"), "{query}");
        }
    }

    #[test]
    fn query_is_rewritten_with_one_value_changed() {
        let query = parse_query("name=a+b&limit=2&marker=x");
        assert_eq!(query.to_query_with("marker", "c:d"), "name=a+b&limit=2&marker=c%3Ad");
        assert_eq!(query.without("marker").to_query_with("limit", "3"), "name=a+b&limit=3");
        assert_eq!(parse_query("a=1&a=2").first("a"), Some("1"));
        let query = parse_query("access_token=x&name=a&size_ne=1&labels=v&limit=2&x").applicable_to(&THING);
        assert_eq!(query.to_query_with("sort", "id"), "name=a&size_ne=1&limit=2&sort=id");
    }
}
