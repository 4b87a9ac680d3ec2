//! What every object below `/v3` has, whatever its type: identity, dates, links.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::input::Object;
use super::links::Links;
use super::schemas::Schema;

/// The common part of an object.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// The type.
    pub schema: &'static Schema,
    /// The path of the object, without a slash at the end; the address in links, in Rancher's letter case.
    pub path: &'a str,
    /// The id.
    pub id: &'a str,
    /// Never given to another object.
    pub uuid: &'a str,
    /// The id of the user who made it.
    pub creator: &'a str,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

impl Resource<'_> {
    /// The whole object: `fields` with the common part around it. Only callers who may change and remove an
    /// object get to see it, so the links say so.
    pub fn object(&self, links: &Links, fields: Object) -> Object {
        let own = links.to(self.path);
        let actions: BTreeMap<_, _> =
            self.schema.actions.iter().map(|(name, _)| (*name, format!("{own}?action={name}"))).collect();
        // Rancher counts whole seconds in both.
        let seconds = self.created_ms.div_euclid(1_000);
        let created = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let mut object = fields;
        for (key, value) in [
            ("actions", json!(actions)),
            ("baseType", json!(self.schema.id)),
            ("created", json!(created.format(&Rfc3339).unwrap_or_default())),
            ("createdTS", json!(seconds * 1_000)),
            ("creatorId", json!(self.creator)),
            ("id", json!(self.id)),
            ("links", json!({"self": own, "update": own, "remove": own})),
            ("type", json!(self.schema.id)),
            ("uuid", json!(self.uuid)),
        ] {
            object.insert(key.to_owned(), value);
        }
        object
    }
}

/// Puts a text into the object unless there is none.
pub fn put_text(object: &mut Object, key: &str, text: Option<String>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        object.insert(key.to_owned(), Value::String(text));
    }
}

#[cfg(test)]
mod tests {
    use super::super::schemas::{Field, Kind};
    use super::*;

    static THING: Schema = Schema {
        id: "thing",
        title: "Thing",
        doc: "",
        plural: "things",
        collection: None,
        resource_methods: &[],
        collection_methods: &[],
        actions: &[("shake", "noise")],
        fields: &[Field::new("name", Kind::Text, "")],
    };

    #[test]
    fn an_object_says_who_it_is_and_where() {
        let resource = Resource {
            schema: &THING,
            path: "/v3/things/a:b",
            id: "a:b",
            uuid: "u",
            creator: "user-1",
            created_ms: 1_787_220_672_987,
        };
        let fields = Object::from_iter([("name".to_owned(), json!("n"))]);
        let own = "https://h/v3/things/a:b";
        assert_eq!(
            Value::Object(resource.object(&Links::new("https://h".to_owned()), fields)),
            json!({
                "actions": {"shake": "https://h/v3/things/a:b?action=shake"},
                "baseType": "thing",
                "created": "2026-08-20T10:11:12Z",
                "createdTS": 1_787_220_672_000_i64,
                "creatorId": "user-1",
                "id": "a:b",
                "links": {"remove": own, "self": own, "update": own},
                "name": "n",
                "type": "thing",
                "uuid": "u",
            })
        );
    }
}
