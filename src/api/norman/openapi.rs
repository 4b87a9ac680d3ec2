//! Norman types in the API document, generated from the tables of [`super::schemas`] that also convert input.

use utoipa::PartialSchema as _;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, SchemaFormat, SchemaType};
use utoipa::openapi::{KnownFormat, ObjectBuilder, Ref, RefOr, Schema as OpenApiSchema, Type};

use super::collection::{Filter, Pagination, Sort};
use super::schemas::{Field, Kind, Schema};

/// The use of a type, which determines the described fields.
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
pub type Components = Vec<(String, RefOr<OpenApiSchema>)>;

/// The description of `schema`.
pub fn object_schema(schema: &'static Schema, form: Form) -> RefOr<OpenApiSchema> {
    let mut object = ObjectBuilder::new().description(Some(schema.doc));
    if form == Form::Response {
        for (name, kind, doc) in [
            ("actions", Kind::TextMap, "The absolute URLs of the object's actions."),
            ("baseType", Kind::Text, "The type."),
            ("id", Kind::Text, "The ID."),
            (
                "links",
                Kind::TextMap,
                "The absolute URLs `self`, and `update` and `remove` if they are allowed.",
            ),
            ("type", Kind::Text, "The type."),
        ] {
            object = object.property(name, describe_field(&Field::new(name, kind, doc))).required(name);
        }
    }
    for field in schema.fields.iter().filter(|field| is_in_form(field, form)) {
        object = object.property(field.name, describe_field(field));
        let is_required = match form {
            Form::Input => field.required,
            Form::Response => !field.nullable,
            Form::Nested => false,
        };
        if is_required {
            object = object.required(field.name);
        }
    }
    object.into()
}

/// Adds the types that `schema` contains, directly and indirectly.
pub fn add_components(schema: &'static Schema, out: &mut Components) {
    for field in schema.fields {
        let mut kind = &field.kind;
        while let Kind::List(element) = kind {
            kind = element;
        }
        if let Kind::Object(nested) = kind {
            out.push((nested.title.to_owned(), object_schema(nested, Form::Nested)));
            add_components(nested, out);
        }
    }
}

/// The description of a list whose elements are the component `element`.
pub fn collection_schema(element: &str) -> RefOr<OpenApiSchema> {
    let string_map = |doc: &'static str| describe_field(&Field::new("", Kind::TextMap, doc));
    let string = |doc: &'static str| describe_field(&Field::new("", Kind::Text, doc));
    let filter_list = ArrayBuilder::new().items(Ref::from_schema_name("NormanFilter"));
    ObjectBuilder::new()
        .description(Some("One page of a list."))
        .property("type", string("`collection`"))
        .property("links", string_map("`self`"))
        .property("createTypes", string_map("The URLs that create objects, by type."))
        .property("actions", string_map("Always empty."))
        .property("pagination", Ref::from_schema_name("NormanPagination"))
        .property("sort", Ref::from_schema_name("NormanSort"))
        .property(
            "filters",
            ObjectBuilder::new()
                .description(Some("The filters by field; `null` for a field without a filter."))
                .additional_properties(Some(
                    filter_list.schema_type(SchemaType::from_iter([Type::Array, Type::Null])),
                )),
        )
        .property("resourceType", string("The type of the objects."))
        .property("data", ArrayBuilder::new().items(Ref::from_schema_name(element)))
        .required("type")
        .required("links")
        .required("pagination")
        .required("resourceType")
        .required("data")
        .into()
}

fn is_in_form(field: &Field, form: Form) -> bool {
    match form {
        Form::Response => !matches!(field.kind, Kind::Password) && field.name != "id",
        Form::Input => field.create || field.update,
        Form::Nested => true,
    }
}

fn describe_field(field: &Field) -> RefOr<OpenApiSchema> {
    let write_only = matches!(field.kind, Kind::Password).then_some(true);
    let read_only = (!field.create && !field.update).then_some(true);
    match describe_kind(&field.kind) {
        RefOr::T(OpenApiSchema::Object(mut object)) => {
            object.description = (!field.doc.is_empty()).then(|| field.doc.to_owned());
            object.write_only = write_only;
            object.read_only = read_only;
            OpenApiSchema::Object(object).into()
        }
        RefOr::T(OpenApiSchema::Array(mut array)) => {
            array.description = (!field.doc.is_empty()).then(|| field.doc.to_owned());
            OpenApiSchema::Array(array).into()
        }
        other => other,
    }
}

fn describe_kind(kind: &Kind) -> RefOr<OpenApiSchema> {
    let primitive = |r#type: Type| ObjectBuilder::new().schema_type(SchemaType::new(r#type));
    let format = |format: KnownFormat| Some(SchemaFormat::KnownFormat(format));
    match kind {
        Kind::Text => primitive(Type::String).into(),
        Kind::Password => primitive(Type::String).format(format(KnownFormat::Password)).into(),
        Kind::Int => primitive(Type::Integer).format(format(KnownFormat::Int64)).into(),
        Kind::Bool => primitive(Type::Boolean).into(),
        Kind::Date => primitive(Type::String).format(format(KnownFormat::DateTime)).into(),
        Kind::Json => ObjectBuilder::new().schema_type(SchemaType::AnyValue).into(),
        Kind::TextMap => ObjectBuilder::new()
            .additional_properties(Some(AdditionalProperties::RefOr(primitive(Type::String).into())))
            .into(),
        Kind::List(element) => ArrayBuilder::new().items(describe_kind(element)).into(),
        Kind::Object(schema) => Ref::from_schema_name(schema.title).into(),
    }
}

/// Adds the components of every [`collection_schema`].
pub fn add_collection_components(out: &mut Components) {
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
                $crate::api::norman::openapi::object_schema($schema, $form)
            }
        }

        impl utoipa::ToSchema for $name {
            fn schemas(out: &mut $crate::api::norman::openapi::Components) {
                $crate::api::norman::openapi::add_components($schema, out);
            }
        }
    };
}

pub(crate) use documented;
