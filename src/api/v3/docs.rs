//! The operations of a type below `/v3` in the API document.

use std::collections::BTreeMap;

use utoipa::IntoParams;
use utoipa::openapi::path::{self, HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{OneOfBuilder, SchemaType};
use utoipa::openapi::{
    Content, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder, ResponsesBuilder, Type,
};

use super::types::{IdParameter, Operation, V3Type, Verb, parameters};
use crate::api::norman::openapi::{self, Components, Form};
use crate::api::norman::schemas::Schema;
use crate::api::openapi::failures;

const JSON: &str = "application/json";

/// The cluster of the path `/v3/clusters/{id}/…`.
const CLUSTER_ID: IdParameter = IdParameter { description: "The cluster", example: "c-x7k9z" };

/// The method of an operation.
pub(super) fn method(verb: Verb) -> HttpMethod {
    match verb {
        Verb::List | Verb::ListOfCluster | Verb::Get => HttpMethod::Get,
        Verb::Create | Verb::CreateOfCluster | Verb::Post => HttpMethod::Post,
        Verb::Update => HttpMethod::Put,
        Verb::Delete => HttpMethod::Delete,
    }
}

/// An operation in the API document.
pub(super) fn path_operation<T: V3Type>(operation: &Operation) -> path::Operation {
    let (summary, description) = match operation.doc.split_once("\n\n") {
        Some((summary, description)) => (summary, Some(description)),
        None => (operation.doc, None),
    };
    let mut builder = OperationBuilder::new()
        .tag(T::TAG)
        .summary(Some(summary))
        .description(description)
        .operation_id(Some(operation_id(T::SCHEMA, operation.verb)))
        .request_body(request_body::<T>(operation.verb))
        .responses(ResponsesBuilder::new().responses_from_iter(responses(T::SCHEMA, operation)));
    for parameter in operation_parameters::<T>(operation) {
        builder = builder.parameter(parameter);
    }
    builder.build()
}

/// The operation ID, such as `listNodes`, `getNode` or `listNodesOfCluster`.
fn operation_id(schema: &Schema, verb: Verb) -> String {
    let plural = || {
        let (first, rest) = schema.plural.split_at(1);
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    let title = schema.title;
    match verb {
        Verb::List => format!("list{}", plural()),
        Verb::ListOfCluster => format!("list{}OfCluster", plural()),
        Verb::Create => format!("create{title}"),
        Verb::CreateOfCluster => format!("create{title}OfCluster"),
        Verb::Get => format!("get{title}"),
        Verb::Update => format!("update{title}"),
        Verb::Delete => format!("delete{title}"),
        Verb::Post => format!("post{title}"),
    }
}

fn operation_parameters<T: V3Type>(operation: &Operation) -> Vec<Parameter> {
    let id = match operation.verb {
        Verb::List | Verb::Create => None,
        Verb::ListOfCluster | Verb::CreateOfCluster => Some(CLUSTER_ID),
        Verb::Get | Verb::Update | Verb::Delete | Verb::Post => Some(T::ID),
    };
    let mut all: Vec<Parameter> = id.map(id_parameter).into_iter().collect();
    match operation.verb {
        Verb::List | Verb::ListOfCluster => all.extend(parameters::<ListQuery>()),
        Verb::Post => all.extend(parameters::<ActionQuery>()),
        _ => {}
    }
    all.extend(operation.query.into_iter().flat_map(|query| query()));
    all
}

fn id_parameter(id: IdParameter) -> Parameter {
    ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(id.description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .example(Some(id.example.into()))
        .build()
}

fn request_body<T: V3Type>(verb: Verb) -> Option<RequestBody> {
    let input = Ref::from_schema_name(format!("{}Input", T::SCHEMA.title));
    let body = RequestBodyBuilder::new();
    match verb {
        Verb::Create | Verb::CreateOfCluster | Verb::Update => {
            Some(body.required(Some(Required::True)).content(JSON, Content::new(Some(input))).build())
        }
        Verb::Post if T::OPERATIONS.iter().any(|operation| operation.verb == Verb::Update) => {
            let null = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null));
            let optional = OneOfBuilder::new().item(input).item(null);
            Some(body.content(JSON, Content::new(Some(optional))).build())
        }
        _ => None,
    }
}

fn responses(schema: &Schema, operation: &Operation) -> BTreeMap<String, RefOr<Response>> {
    let statuses = match operation.verb {
        Verb::List | Verb::ListOfCluster | Verb::Get => failures::READ_STATUSES,
        Verb::Post => failures::POST_STATUSES,
        _ => failures::CHANGE_STATUSES,
    };
    let (status, component) = match operation.verb {
        Verb::List | Verb::ListOfCluster => ("200", format!("{}Collection", schema.title)),
        Verb::Create | Verb::CreateOfCluster => ("201", schema.title.to_owned()),
        _ => ("200", operation.component.unwrap_or(schema.title).to_owned()),
    };
    let body = Content::new(Some(Ref::from_schema_name(component)));
    let response = ResponseBuilder::new().description(operation.response).content(JSON, body);
    let mut responses = failures::norman(statuses);
    responses.insert(status.to_owned(), response.build().into());
    responses
}

/// The components that the operations of a type refer to.
pub(super) fn components<T: V3Type>(operations: &[&Operation]) -> Components {
    let schema = T::SCHEMA;
    let has_any = |verbs: &[Verb]| operations.iter().any(|operation| verbs.contains(&operation.verb));
    let mut all = vec![(schema.title.to_owned(), openapi::object_schema(schema, Form::Response))];
    openapi::add_components(schema, &mut all);
    if has_any(&[Verb::Create, Verb::CreateOfCluster, Verb::Update]) {
        all.push((format!("{}Input", schema.title), openapi::object_schema(schema, Form::Input)));
    }
    if has_any(&[Verb::List, Verb::ListOfCluster]) {
        all.push((format!("{}Collection", schema.title), openapi::collection_schema(schema.title)));
        openapi::add_collection_components(&mut all);
    }
    T::components(&mut all);
    all
}

/// The filter and the page of a list. Every plain field of the type is also a filter: `?<field>=<value>`, or
/// `?<field>_<modifier>=<value>` with `ne`, `in`, `notin`, `null` or `notnull`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which norman::filters reads")]
struct ListQuery {
    /// Only objects with this name.
    #[param(example = "my azure")]
    name: Option<String>,
    /// The number of objects in a page: 1,000 by default, at most 10,000.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u32>,
    /// The ID of the last object of the previous page.
    marker: Option<String>,
    /// The field to sort by; the ID by default.
    sort: Option<String>,
    /// `asc` or `desc`.
    order: Option<String>,
}

/// The filter of users.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which norman::filters reads")]
pub(super) struct UserQuery {
    /// `true`: only the caller.
    me: Option<bool>,
}

/// The filter of objects that belong to a cluster.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which norman::filters reads")]
pub(super) struct PartQuery {
    /// Only objects of this cluster.
    #[param(rename = "clusterId", example = "c-x7k9z")]
    cluster_id: Option<String>,
}

/// The mode of an update.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the types read")]
pub(super) struct ChangeQuery {
    /// `true`: clears fields that are not in the body. Otherwise they are unchanged.
    #[param(rename = "_replace")]
    replace: Option<bool>,
}

/// The mode of a cluster's deletion.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the types read")]
pub(super) struct RemovalQuery {
    /// `true`: deletes only the object, at once, and nothing in Azure: for clusters whose credential is deleted or denied by
    /// Azure. The response lists the resources that remain.
    force: Option<bool>,
}

/// The mode of a credential's deletion.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the types read")]
pub(super) struct ErasureQuery {
    /// `true`: erases the credential at once, even if its deletion is pending. Clusters that use it then have no credential.
    force: Option<bool>,
}

/// An action of an object, or another method for clients that can only send POST.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which routes reads")]
struct ActionQuery {
    /// The action, as in the object's `actions`.
    action: Option<String>,
    /// `PUT` or `DELETE`.
    #[param(rename = "_method")]
    method: Option<String>,
}
