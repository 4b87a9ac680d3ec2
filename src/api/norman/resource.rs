//! The common part of all objects below `/v3`: identity, timestamps, links.

use std::collections::BTreeMap;

use clock::rfc3339;
use serde_json::{Value, json};

use super::input::Object;
use super::links::Links;
use super::schemas::Schema;

/// The changes that the caller may make to an object, which has a link for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Whether the object has the link `update`.
    pub update: bool,
    /// Whether the object has the link `remove`.
    pub remove: bool,
}

impl Rights {
    /// Update and remove.
    pub const ALL: Self = Self { update: true, remove: true };
    /// Read only.
    pub const NONE: Self = Self { update: false, remove: false };

    /// [`Self::ALL`] if `allowed`, else [`Self::NONE`].
    pub fn all_if(allowed: bool) -> Self {
        if allowed { Self::ALL } else { Self::NONE }
    }
}

/// The common part of an object.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// The type.
    pub schema: &'static Schema,
    /// The ID.
    pub id: &'a str,
    /// The UUID; `None` for some types.
    pub uuid: Option<&'a str>,
    /// The ID of the user who created it.
    pub creator: Option<&'a str>,
    /// The creation time in milliseconds since 1970.
    pub created_ms: Option<i64>,
    /// The changes that the caller may make.
    pub rights: Rights,
}

impl<'a> Resource<'a> {
    /// An object without UUID, creator and time.
    pub fn new(schema: &'static Schema, id: &'a str, rights: Rights) -> Self {
        Self { schema, id, uuid: None, creator: None, created_ms: None, rights }
    }

    /// The complete object: `fields` and the common part.
    pub fn to_object(self, links: &Links, fields: Object) -> Object {
        let url = links.url(&format!("/v3/{}/{}", self.schema.plural, self.id));
        let actions: BTreeMap<_, _> =
            self.schema.actions.iter().map(|(name, _)| (*name, format!("{url}?action={name}"))).collect();
        let mut own_links = Object::from_iter([("self".to_owned(), json!(url))]);
        for (name, allowed) in [("update", self.rights.update), ("remove", self.rights.remove)] {
            if allowed {
                own_links.insert(name.to_owned(), json!(url));
            }
        }
        let mut object = fields;
        for (key, value) in [
            ("actions", json!(actions)),
            ("baseType", json!(self.schema.id)),
            ("id", json!(self.id)),
            ("links", Value::Object(own_links)),
            ("type", json!(self.schema.id)),
        ] {
            object.insert(key.to_owned(), value);
        }
        insert_non_empty(&mut object, "creatorId", self.creator.map(str::to_owned));
        insert_non_empty(&mut object, "uuid", self.uuid.map(str::to_owned));
        if let Some(created_ms) = self.created_ms {
            // Rancher uses whole seconds in both fields.
            let created_ms = created_ms.div_euclid(1_000) * 1_000;
            object.insert("created".to_owned(), json!(rfc3339(created_ms)));
            object.insert("createdTS".to_owned(), json!(created_ms));
        }
        object
    }
}

/// An object with these fields.
pub fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Object {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Adds links to an object.
pub fn add_links(object: &mut Object, added: impl IntoIterator<Item = (&'static str, String)>) {
    if let Some(links) = object.get_mut("links").and_then(Value::as_object_mut) {
        links.extend(added.into_iter().map(|(name, url)| (name.to_owned(), json!(url))));
    }
}

/// Adds a string to an object unless it is empty or missing.
pub fn insert_non_empty(object: &mut Object, key: &str, text: Option<String>) {
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
    fn object_has_identity_and_links() {
        let resource = Resource {
            schema: &THING,
            id: "a:b",
            uuid: Some("u"),
            creator: Some("user-1"),
            created_ms: Some(1_787_220_672_987),
            rights: Rights::ALL,
        };
        let fields = Object::from_iter([("name".to_owned(), json!("n"))]);
        let url = "https://h/v3/things/a:b";
        assert_eq!(
            Value::Object(resource.to_object(&Links::new("https://h".to_owned()), fields)),
            json!({
                "actions": {"shake": "https://h/v3/things/a:b?action=shake"},
                "baseType": "thing",
                "created": "2026-08-20T10:11:12Z",
                "createdTS": 1_787_220_672_000_i64,
                "creatorId": "user-1",
                "id": "a:b",
                "links": {"remove": url, "self": url, "update": url},
                "name": "n",
                "type": "thing",
                "uuid": "u",
            })
        );
    }

    #[test]
    fn links_follow_rights_and_unset_fields_are_omitted() {
        let resource = Resource::new(&THING, "a", Rights { update: true, remove: false });
        let mut object = resource.to_object(&Links::new("https://h".to_owned()), Object::new());
        add_links(&mut object, [("parts", "https://h/v3/parts".to_owned())]);
        let url = "https://h/v3/things/a";
        assert_eq!(
            object.get("links"),
            Some(&json!({"self": url, "update": url, "parts": "https://h/v3/parts"}))
        );
        for key in ["uuid", "creatorId", "created", "createdTS"] {
            assert!(!object.contains_key(key), "{key}");
        }
    }
}
