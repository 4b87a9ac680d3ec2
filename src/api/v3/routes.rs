//! The routes of a type below `/v3`, in every spelling that clients use: with and without a slash at the end, and with the
//! plural in Rancher's letter case.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use http::header::WARNING;
use http::{Method, StatusCode, Uri};
use serde_json::Value;
use utoipa::openapi::path::Paths;

use super::docs;
use super::types::{Call, Operation, V3Type, Verb};
use crate::api::auth::AuthError;
use crate::api::documented::{DocumentedRoute, DocumentedRouter};
use crate::api::methods::reject_others;
use crate::api::norman::body::Body;
use crate::api::norman::collection::Collection;
use crate::api::norman::error::Error;
use crate::api::norman::input::Object;
use crate::api::norman::json;
use crate::api::norman::links::Links;
use crate::api::norman::schemas::Schema;
use crate::api::state::AppState;

/// The path of one or more operations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Collection,
    Object,
    /// The collection below a cluster.
    OfCluster,
}

impl Target {
    fn from_verb(verb: Verb) -> Self {
        match verb {
            Verb::List | Verb::Create => Self::Collection,
            Verb::Get | Verb::Update | Verb::Delete | Verb::Post => Self::Object,
            Verb::ListOfCluster | Verb::CreateOfCluster => Self::OfCluster,
        }
    }

    /// The documented path, then the other spellings.
    fn paths(self, schema: &Schema) -> Vec<String> {
        let documented = schema.collection.and_then(|path| path.strip_prefix("/v3/"));
        let mut names: Vec<_> = documented.into_iter().collect();
        names.extend((documented != Some(schema.plural)).then_some(schema.plural));
        let path = |name: &&str| match self {
            Self::Collection => format!("/v3/{name}"),
            Self::Object => format!("/v3/{name}/{{id}}"),
            Self::OfCluster => format!("/v3/clusters/{{id}}/{name}"),
        };
        names.iter().map(path).flat_map(|path| [path.clone(), path + "/"]).collect()
    }
}

/// Routes the operations of a type.
pub(super) fn router<T: V3Type>() -> DocumentedRouter<AppState> {
    let targets = [Target::Collection, Target::Object, Target::OfCluster];
    targets.into_iter().fold(DocumentedRouter::new(), |router, target| {
        let operations: Vec<_> =
            T::OPERATIONS.iter().filter(|operation| Target::from_verb(operation.verb) == target).collect();
        if operations.is_empty() { router } else { add_path::<T>(router, target, operations) }
    })
}

fn add_path<T: V3Type>(
    router: DocumentedRouter<AppState>,
    target: Target,
    operations: Vec<&'static Operation>,
) -> DocumentedRouter<AppState> {
    let paths = target.paths(T::SCHEMA);
    let Some((documented, spellings)) = paths.split_first() else { return router };
    let methods = operations
        .iter()
        .fold(MethodRouter::new(), |methods, operation| add_handler::<T>(methods, operation.verb));
    let path = documented.clone();
    let document = move || {
        let mut paths = Paths::new();
        for operation in &operations {
            let methods = vec![docs::method(operation.verb)];
            paths.add_path_operation(&path, methods, docs::operation::<T>(operation));
        }
        (docs::components::<T>(&operations), paths, MethodRouter::new())
    };
    let route = reject_others(DocumentedRoute::new(documented.clone(), methods, document));
    let methods = route.methods().clone();
    spellings.iter().fold(router.route(route), |router, path| router.undocumented(path, methods.clone()))
}

fn add_handler<T: V3Type>(methods: MethodRouter<AppState>, verb: Verb) -> MethodRouter<AppState> {
    match verb {
        Verb::List => methods.get(list::<T>),
        Verb::Create => methods.post(create::<T>),
        Verb::Get => methods.get(get::<T>),
        Verb::Update => methods.put(update::<T>),
        Verb::Delete => methods.delete(delete::<T>),
        Verb::Post => methods.post(post::<T>),
        Verb::ListOfCluster => methods.get(list_of_cluster::<T>),
        Verb::CreateOfCluster => methods.post(create_of_cluster::<T>),
    }
}

async fn list<T: V3Type>(call: Call, uri: Uri) -> Result<Response, Error> {
    page::<T>(&call, &uri, T::list(&call).await?)
}

async fn list_of_cluster<T: V3Type>(call: Call, Path(id): Path<String>, uri: Uri) -> Result<Response, Error> {
    let cluster = call.state.clusters.get(call.caller(), &id).await?;
    page::<T>(&call, &uri, T::list_of_cluster(&call, cluster).await?)
}

fn page<T: V3Type>(call: &Call, uri: &Uri, objects: Vec<Object>) -> Result<Response, Error> {
    // Links repeat the spelling of the request.
    let path = uri.path().trim_end_matches('/');
    Ok(Collection::page(T::SCHEMA, &call.links, path, &call.query, objects)?.into_response())
}

async fn create<T: V3Type>(call: Call, Body(body): Body) -> Result<Response, Error> {
    Ok(json::respond(StatusCode::CREATED, &T::create(&call, body).await?))
}

async fn create_of_cluster<T: V3Type>(
    call: Call,
    Path(id): Path<String>,
    Body(mut body): Body,
) -> Result<Response, Error> {
    body.insert("clusterId".to_owned(), Value::String(id));
    Ok(json::respond(StatusCode::CREATED, &T::create(&call, body).await?))
}

async fn get<T: V3Type>(
    State(state): State<AppState>,
    call: Result<Call, AuthError>,
    id: Result<Path<String>, PathRejection>,
    links: Links,
) -> Response {
    let object = match (call, id) {
        (Ok(call), Ok(Path(id))) => T::get(&call, &id).await,
        (Err(rejection), Ok(Path(id))) => match T::get_public(&state, &links, &id).await {
            Some(object) => object,
            None => return rejection.into_response(),
        },
        (Err(rejection), Err(_)) => return rejection.into_response(),
        (Ok(_), Err(rejection)) => return rejection.into_response(),
    };
    object.map(|object| json::respond(StatusCode::OK, &object)).into_response()
}

async fn update<T: V3Type>(call: Call, Path(id): Path<String>, Body(body): Body) -> Result<Response, Error> {
    Ok(json::respond(StatusCode::OK, &T::update(&call, &id, body).await?))
}

async fn delete<T: V3Type>(call: Call, Path(id): Path<String>) -> Result<Response, Error> {
    let deleted = T::delete(&call, &id).await?;
    let mut response = json::respond(StatusCode::OK, &deleted.object);
    if let Some(warning) = deleted.warning {
        response.headers_mut().insert(WARNING, warning);
    }
    Ok(response)
}

async fn post<T: V3Type>(
    call: Call,
    Path(id): Path<String>,
    body: Result<Body, Error>,
) -> Result<Response, Error> {
    let supports = |verb| T::OPERATIONS.iter().any(|operation| operation.verb == verb);
    match call.query.first("_method") {
        Some("PUT") if supports(Verb::Update) => return update::<T>(call, Path(id), body?).await,
        Some("DELETE") if supports(Verb::Delete) => return delete::<T>(call, Path(id)).await,
        _ => {}
    }
    let action = call.query.first("action");
    if let Some(action) = action
        && let Some(response) = T::run_action(&call, &id, action).await?
    {
        return Ok(response);
    }
    T::get(&call, &id).await?;
    Err(action.map_or_else(
        || Error::method_not_allowed(&Method::POST),
        |action| Error::unknown_action(action, T::SCHEMA),
    ))
}
