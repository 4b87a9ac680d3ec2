//! What every object below `/v3` has, whatever its type: identity, dates, links.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::input::Object;
use super::links::Links;
use super::schemas::Schema;

/// What the caller may do to an object that he sees; the links say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// May change it.
    pub update: bool,
    /// May remove it.
    pub remove: bool,
}

impl Rights {
    /// Change and remove it.
    pub const ALL: Self = Self { update: true, remove: true };
    /// Only look at it.
    pub const NONE: Self = Self { update: false, remove: false };

    /// All of them, or none.
    pub fn all_if(allowed: bool) -> Self {
        if allowed { Self::ALL } else { Self::NONE }
    }
}

/// The common part of an object.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// The type.
    pub schema: &'static Schema,
    /// The path of the object, without a slash at the end; the address in links, in Rancher's letter case.
    pub path: &'a str,
    /// The id.
    pub id: &'a str,
    /// Never given to another object; some have none.
    pub uuid: Option<&'a str>,
    /// The id of the user who made it, when somebody did.
    pub creator: Option<&'a str>,
    /// Milliseconds since 1970, where it is known.
    pub created_ms: Option<i64>,
    /// What the caller may do to it.
    pub rights: Rights,
}

impl Resource<'_> {
    /// The whole object: `fields` with the common part around it.
    pub fn object(&self, links: &Links, fields: Object) -> Object {
        let own = links.to(self.path);
        let actions: BTreeMap<_, _> =
            self.schema.actions.iter().map(|(name, _)| (*name, format!("{own}?action={name}"))).collect();
        let mut addresses = Object::from_iter([("self".to_owned(), json!(own))]);
        for (name, allowed) in [("update", self.rights.update), ("remove", self.rights.remove)] {
            if allowed {
                addresses.insert(name.to_owned(), json!(own));
            }
        }
        let mut object = fields;
        for (key, value) in [
            ("actions", json!(actions)),
            ("baseType", json!(self.schema.id)),
            ("id", json!(self.id)),
            ("links", Value::Object(addresses)),
            ("type", json!(self.schema.id)),
        ] {
            object.insert(key.to_owned(), value);
        }
        put_text(&mut object, "creatorId", self.creator.map(str::to_owned));
        put_text(&mut object, "uuid", self.uuid.map(str::to_owned));
        if let Some(created_ms) = self.created_ms {
            // Rancher counts whole seconds in both.
            let created_ms = created_ms.div_euclid(1_000) * 1_000;
            object.insert("created".to_owned(), json!(date(created_ms)));
            object.insert("createdTS".to_owned(), json!(created_ms));
        }
        object
    }
}

/// A moment in milliseconds since 1970 as Norman writes it: RFC 3339, UTC, whole seconds.
pub fn date(ms: i64) -> String {
    let moment =
        OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(&Rfc3339).unwrap_or_default()
}

/// Adds addresses to the links of an object.
pub fn add_links(object: &mut Object, addresses: impl IntoIterator<Item = (&'static str, String)>) {
    if let Some(links) = object.get_mut("links").and_then(Value::as_object_mut) {
        links.extend(addresses.into_iter().map(|(name, address)| (name.to_owned(), json!(address))));
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
            uuid: Some("u"),
            creator: Some("user-1"),
            created_ms: Some(1_787_220_672_987),
            rights: Rights::ALL,
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

    #[test]
    fn links_say_what_the_caller_may_do_and_what_is_not_known_is_left_out() {
        let resource = Resource {
            schema: &THING,
            path: "/v3/things/a",
            id: "a",
            uuid: None,
            creator: None,
            created_ms: None,
            rights: Rights { update: true, remove: false },
        };
        let mut object = resource.object(&Links::new("https://h".to_owned()), Object::new());
        add_links(&mut object, [("parts", "https://h/v3/parts".to_owned())]);
        let own = "https://h/v3/things/a";
        assert_eq!(
            object.get("links"),
            Some(&json!({"self": own, "update": own, "parts": "https://h/v3/parts"}))
        );
        for key in ["uuid", "creatorId", "created", "createdTS"] {
            assert!(!object.contains_key(key), "{key}");
        }
    }
}
