//! Norman types as tables. They are served at `/v3/schemas`, convert input ([`super::input`]) and describe the types in the
//! API document ([`super::openapi`]). `api::v3::schemas` contains the tables.

use std::collections::BTreeMap;

use serde::Serialize;

use super::links::Links;

/// The filter modifiers, which a query appends to a field's name after an underscore; `eq` is the default.
pub const MODIFIERS: [&str; 6] = ["eq", "ne", "in", "notin", "null", "notnull"];

/// The kind of a field's value, in Norman's terms.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `string`.
    Text,
    /// `password`: a string that responses omit.
    Password,
    /// `int`: a whole number.
    Int,
    /// `boolean`.
    Bool,
    /// `date`: RFC 3339, UTC.
    Date,
    /// `json`: any value, stored unchanged.
    Json,
    /// `map[string]`; replaced as a whole.
    TextMap,
    /// `array[…]`; replaced as a whole.
    List(&'static Kind),
    /// An object of another type; merged key by key.
    Object(&'static Schema),
}

impl Kind {
    /// Norman's name of the kind, for example `array[aksNodePool]`.
    pub fn name(&self) -> String {
        match self {
            Self::Text => "string".to_owned(),
            Self::Password => "password".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Bool => "boolean".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Json => "json".to_owned(),
            Self::TextMap => "map[string]".to_owned(),
            Self::List(element) => format!("array[{}]", element.name()),
            Self::Object(schema) => schema.id.to_owned(),
        }
    }
}

/// A field of a type, built with [`Field::new`] and the methods after it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "these are Norman's keys")]
pub struct Field {
    /// The key on the wire.
    pub name: &'static str,
    /// The kind of the value.
    pub kind: Kind,
    /// A sentence for the API document.
    pub doc: &'static str,
    /// Accepted when an object is created.
    pub create: bool,
    /// Accepted when an object is changed.
    pub update: bool,
    /// Required when an object is created.
    pub required: bool,
    /// May be `null`.
    pub nullable: bool,
}

impl Field {
    /// A field that may be absent or `null` and is always accepted.
    pub const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, doc, create: true, update: true, required: false, nullable: true }
    }

    /// A field of every response, which requests cannot set.
    pub const fn output(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self::new(name, kind, doc).read_only().non_null()
    }

    /// Makes a field read-only; its value in requests is dropped.
    #[must_use]
    pub const fn read_only(self) -> Self {
        Self { create: false, update: false, ..self }
    }

    /// Makes a field immutable: it is accepted only when an object is created.
    #[must_use]
    pub const fn immutable(self) -> Self {
        Self { update: false, ..self }
    }

    /// Makes a field non-nullable.
    #[must_use]
    pub const fn non_null(self) -> Self {
        Self { nullable: false, ..self }
    }

    /// Makes a field required when an object is created.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, nullable: false, ..self }
    }
}

/// A type.
#[derive(Debug)]
pub struct Schema {
    /// The ID, which is also the `type` of objects, for example `cloudCredential`.
    pub id: &'static str,
    /// The name in the API document, for example `CloudCredential`.
    pub title: &'static str,
    /// A sentence for the API document.
    pub doc: &'static str,
    /// The plural, for example `cloudCredentials`.
    pub plural: &'static str,
    /// The path of the collection, if the type has one, for example `/v3/cloudcredentials`.
    pub collection: Option<&'static str>,
    /// The methods of an object, in upper case, because clients compare exactly.
    pub resource_methods: &'static [&'static str],
    /// Methods of the collection.
    pub collection_methods: &'static [&'static str],
    /// Actions of an object, each with the type of its response.
    pub actions: &'static [(&'static str, &'static str)],
    /// The fields in alphabetical order.
    pub fields: &'static [Field],
}

impl Schema {
    /// A type that occurs only inside other types.
    pub const fn nested(
        id: &'static str,
        title: &'static str,
        doc: &'static str,
        plural: &'static str,
        fields: &'static [Field],
    ) -> Self {
        Self {
            id,
            title,
            doc,
            plural,
            collection: None,
            resource_methods: &[],
            collection_methods: &[],
            actions: &[],
            fields,
        }
    }

    /// The named field.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The fields by which lists can be filtered and sorted: those with a plain value in responses.
    pub fn filterable_fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields
            .iter()
            .filter(|field| matches!(field.kind, Kind::Text | Kind::Int | Kind::Bool | Kind::Date))
    }

    /// The type as `/v3/schemas/<id>` returns it.
    pub fn view(&'static self, links: &Links) -> SchemaView {
        let mut urls = BTreeMap::from([("self", links.url(&format!("/v3/schemas/{}", self.id)))]);
        urls.extend(self.collection.map(|path| ("collection", links.url(path))));
        SchemaView {
            base_type: "schema",
            collection_filters: if self.collection.is_some() {
                self.filterable_fields()
                    .map(|field| (field.name, FilterView { modifiers: &MODIFIERS }))
                    .collect()
            } else {
                BTreeMap::new()
            },
            collection_methods: self.collection_methods,
            id: self.id,
            links: urls,
            plural_name: self.plural,
            resource_actions: self
                .actions
                .iter()
                .map(|(name, output)| (*name, ActionView { output }))
                .collect(),
            resource_fields: self.fields.iter().map(|field| (field.name, FieldView::new(field))).collect(),
            resource_methods: self.resource_methods,
            r#type: "schema",
            version: VersionView { group: "management.cattle.io", path: "/v3", version: "v3" },
        }
    }
}

/// A type on the wire.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NormanSchema)]
pub struct SchemaView {
    base_type: &'static str,
    /// The fields by which lists can be filtered (`?<field>=<value>`), and their modifiers.
    collection_filters: BTreeMap<&'static str, FilterView>,
    collection_methods: &'static [&'static str],
    /// The ID, which is the `type` of the objects.
    id: &'static str,
    /// `self`, and `collection` if there is one.
    links: BTreeMap<&'static str, String>,
    plural_name: &'static str,
    resource_actions: BTreeMap<&'static str, ActionView>,
    resource_fields: BTreeMap<&'static str, FieldView>,
    resource_methods: &'static [&'static str],
    r#type: &'static str,
    version: VersionView,
}

/// The modifiers for filtering by a field.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SchemaFilter)]
struct FilterView {
    modifiers: &'static [&'static str],
}

/// The output of an action.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SchemaAction)]
struct ActionView {
    output: &'static str,
}

/// The API version of a type.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SchemaVersion)]
struct VersionView {
    group: &'static str,
    path: &'static str,
    version: &'static str,
}

/// A field of a type.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SchemaField)]
#[expect(clippy::struct_excessive_bools, reason = "these are Norman's keys")]
struct FieldView {
    create: bool,
    description: &'static str,
    nullable: bool,
    required: bool,
    /// Norman's name of the kind, for example `array[string]`.
    r#type: String,
    update: bool,
}

impl FieldView {
    fn new(field: &Field) -> Self {
        Self {
            create: field.create,
            description: field.doc,
            nullable: field.nullable,
            required: field.required,
            r#type: field.kind.name(),
            update: field.update,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_names_match_norman() {
        const POOL: Schema = Schema::nested("pool", "Pool", "", "pools", &[]);
        for (kind, expected) in [
            (Kind::Text, "string"),
            (Kind::TextMap, "map[string]"),
            (Kind::List(&Kind::Text), "array[string]"),
            (Kind::List(&Kind::Object(&POOL)), "array[pool]"),
        ] {
            assert_eq!(kind.name(), expected);
        }
    }

    #[test]
    fn type_has_links_and_filters_of_its_collection() {
        static THING: Schema = Schema {
            id: "thing",
            title: "Thing",
            doc: "",
            plural: "things",
            collection: Some("/v3/things"),
            resource_methods: &["GET"],
            collection_methods: &["GET", "POST"],
            actions: &[("shake", "noise")],
            fields: &[
                Field::new("labels", Kind::TextMap, ""),
                Field::new("name", Kind::Text, "The name.").required().immutable(),
                Field::new("secret", Kind::Password, ""),
            ],
        };
        let view = serde_json::to_value(THING.view(&Links::new("https://h".to_owned()))).unwrap();
        assert_eq!(
            view["links"],
            serde_json::json!({"self": "https://h/v3/schemas/thing", "collection": "https://h/v3/things"})
        );
        assert_eq!(
            view["resourceFields"]["name"],
            serde_json::json!({"create": true, "description": "The name.", "nullable": false, "required": true,
                "type": "string", "update": false})
        );
        assert_eq!(view["collectionFilters"].as_object().unwrap().keys().collect::<Vec<_>>(), ["name"]);
        assert_eq!(view["resourceActions"]["shake"]["output"], "noise");
    }
}
