//! Norman types in the API document, generated from the tables of [`super::schemas`] that also convert input.

use utoipa::PartialSchema as _;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, SchemaFormat, SchemaType};
use utoipa::openapi::{KnownFormat, ObjectBuilder, Ref, RefOr, Schema as Described, Type};

use super::collection::{Filter, Pagination, Sort};
use super::schemas::{Field, Kind, Schema};

/// The direction for which a type is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Responses: all fields except passwords, with ID, type, links and actions.
    Response,
    /// Requests that create or change an object.
    Input,
    /// A type inside another type, in both directions.
    Nested,
}

/// Names and schemas, as utoipa collects them.
pub type Components = Vec<(String, RefOr<Described>)>;

/// The description of `schema`.
pub fn object(schema: &'static Schema, form: Form) -> RefOr<Described> {
    let mut object = ObjectBuilder::new().description(Some(schema.doc));
    if form == Form::Response {
        for (name, kind, doc) in [
            ("actions", Kind::TextMap, "Absolute addresses of what can be done with the object."),
            ("baseType", Kind::Text, "The type."),
            ("id", Kind::Text, "The id."),
            ("links", Kind::TextMap, "Absolute addresses: `self`, and `update` and `remove` when allowed."),
            ("type", Kind::Text, "The type."),
        ] {
            object = object.property(name, described(&Field::new(name, kind, doc))).required(name);
        }
    }
    for field in schema.fields.iter().filter(|field| occurs(field, form)) {
        object = object.property(field.name, described(field));
        let always = match form {
            Form::Input => field.required,
            Form::Response => !field.nullable,
            Form::Nested => false,
        };
        if always {
            object = object.required(field.name);
        }
    }
    object.into()
}

/// The types that `schema` contains, directly and indirectly.
pub fn components(schema: &'static Schema, out: &mut Components) {
    for field in schema.fields {
        let mut kind = &field.kind;
        while let Kind::List(element) = kind {
            kind = element;
        }
        if let Kind::Object(nested) = kind {
            out.push((nested.title.to_owned(), object(nested, Form::Nested)));
            components(nested, out);
        }
    }
}

/// The description of a list whose elements are the component `element`.
pub fn collection(element: &str) -> RefOr<Described> {
    let texts = |doc: &'static str| described(&Field::new("", Kind::TextMap, doc));
    let text = |doc: &'static str| described(&Field::new("", Kind::Text, doc));
    let conditions = ArrayBuilder::new().items(Ref::from_schema_name("NormanFilter"));
    ObjectBuilder::new()
        .description(Some("One page of a list."))
        .property("type", text("`collection`"))
        .property("links", texts("`self`"))
        .property("createTypes", texts("Where objects of a type are made."))
        .property("actions", texts("None."))
        .property("pagination", Ref::from_schema_name("NormanPagination"))
        .property("sort", Ref::from_schema_name("NormanSort"))
        .property(
            "filters",
            ObjectBuilder::new()
                .description(Some("The conditions by field; `null` where there is none."))
                .additional_properties(Some(
                    conditions.schema_type(SchemaType::from_iter([Type::Array, Type::Null])),
                )),
        )
        .property("resourceType", text("The type of the elements."))
        .property("data", ArrayBuilder::new().items(Ref::from_schema_name(element)))
        .required("type")
        .required("links")
        .required("pagination")
        .required("resourceType")
        .required("data")
        .into()
}

fn occurs(field: &Field, form: Form) -> bool {
    match form {
        Form::Response => !matches!(field.kind, Kind::Password) && field.name != "id",
        Form::Input => field.create || field.update,
        Form::Nested => true,
    }
}

fn described(field: &Field) -> RefOr<Described> {
    let write_only = matches!(field.kind, Kind::Password).then_some(true);
    let read_only = (!field.create && !field.update).then_some(true);
    match kind(&field.kind) {
        RefOr::T(Described::Object(mut object)) => {
            object.description = (!field.doc.is_empty()).then(|| field.doc.to_owned());
            object.write_only = write_only;
            object.read_only = read_only;
            Described::Object(object).into()
        }
        RefOr::T(Described::Array(mut array)) => {
            array.description = (!field.doc.is_empty()).then(|| field.doc.to_owned());
            Described::Array(array).into()
        }
        other => other,
    }
}

fn kind(kind: &Kind) -> RefOr<Described> {
    let plain = |r#type: Type| ObjectBuilder::new().schema_type(SchemaType::new(r#type));
    let format = |format: KnownFormat| Some(SchemaFormat::KnownFormat(format));
    match kind {
        Kind::Text => plain(Type::String).into(),
        Kind::Password => plain(Type::String).format(format(KnownFormat::Password)).into(),
        Kind::Int => plain(Type::Integer).format(format(KnownFormat::Int64)).into(),
        Kind::Bool => plain(Type::Boolean).into(),
        Kind::Date => plain(Type::String).format(format(KnownFormat::DateTime)).into(),
        Kind::Json => ObjectBuilder::new().schema_type(SchemaType::AnyValue).into(),
        Kind::TextMap => ObjectBuilder::new()
            .additional_properties(Some(AdditionalProperties::RefOr(plain(Type::String).into())))
            .into(),
        Kind::List(element) => ArrayBuilder::new().items(self::kind(element)).into(),
        Kind::Object(schema) => Ref::from_schema_name(schema.title).into(),
    }
}

/// The components of every [`collection`].
pub fn collection_components(out: &mut Components) {
    out.push(("NormanFilter".to_owned(), Filter::schema()));
    out.push(("NormanPagination".to_owned(), Pagination::schema()));
    out.push(("NormanSort".to_owned(), Sort::schema()));
}

/// Declares a component for `#[utoipa::path]`: `documented!(ReviewRequest, &TABLE, Form::Input)`.
macro_rules! documented {
    ($name:ident, $schema:expr, $form:expr) => {
        #[derive(Debug)]
        struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::api::norman::openapi::object($schema, $form)
            }
        }

        impl utoipa::ToSchema for $name {
            fn schemas(out: &mut $crate::api::norman::openapi::Components) {
                $crate::api::norman::openapi::components($schema, out);
            }
        }
    };
}

pub(crate) use documented;
