//! The routes of a type below `/v3`, in every spelling that clients use: with and without a slash at the end, and with the
//! plural in Rancher's letter case.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::WARNING;
use http::{Method, StatusCode, Uri};
use serde_json::Value;
use utoipa::openapi::path::Paths;

use super::docs;
use super::types::{Call, Deleted, Operation, V3Type, Verb};
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
use crate::service::clusters::Cluster;

/// The path of one or more operations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Collection,
    Object,
    /// The collection of one cluster, below the path of the cluster.
    CollectionOfCluster,
}

impl Target {
    fn from_verb(verb: Verb) -> Self {
        match verb {
            Verb::List | Verb::Create => Self::Collection,
            Verb::Get | Verb::Update | Verb::Delete | Verb::Post => Self::Object,
            Verb::ListOfCluster | Verb::CreateOfCluster => Self::CollectionOfCluster,
        }
    }

    /// The documented path, then the other spellings.
    fn paths(self, schema: &Schema) -> Vec<String> {
        let documented_name = schema.collection.and_then(|path| path.strip_prefix("/v3/"));
        let mut names: Vec<_> = documented_name.into_iter().collect();
        names.extend((documented_name != Some(schema.plural)).then_some(schema.plural));
        let path = |name: &&str| match self {
            Self::Collection => format!("/v3/{name}"),
            Self::Object => format!("/v3/{name}/{{id}}"),
            Self::CollectionOfCluster => format!("/v3/clusters/{{id}}/{name}"),
        };
        names.iter().map(path).flat_map(|path| [path.clone(), path + "/"]).collect()
    }
}

/// Routes the operations of a type.
pub(super) fn router<T: V3Type>() -> DocumentedRouter<AppState> {
    let targets = [Target::Collection, Target::Object, Target::CollectionOfCluster];
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
    let Some((documented_path, other_paths)) = paths.split_first() else { return router };
    let methods = operations.iter().fold(MethodRouter::new(), |methods, operation| {
        add_handler(methods, operation.verb, Handlers::new::<T>())
    });
    let path = documented_path.clone();
    let document = move || {
        let mut paths = Paths::new();
        for operation in &operations {
            let methods = vec![docs::method(operation.verb)];
            paths.add_path_operation(&path, methods, docs::path_operation::<T>(operation));
        }
        (docs::components::<T>(&operations), paths, MethodRouter::new())
    };
    let route = reject_others(DocumentedRoute::new(documented_path.clone(), methods, document));
    let methods = route.methods().clone();
    other_paths.iter().fold(router.route(route), |router, path| router.undocumented(path, methods.clone()))
}

fn add_handler(methods: MethodRouter<AppState>, verb: Verb, handlers: Handlers) -> MethodRouter<AppState> {
    match verb {
        Verb::List => methods.get(move |call: Call, uri: Uri| list(handlers, call, uri)),
        Verb::Create => methods.post(move |call: Call, body: Body| create(handlers, call, body)),
        Verb::Get => methods.get(
            move |state: State<AppState>,
                  call: Result<Call, AuthError>,
                  id: Result<Path<String>, PathRejection>,
                  links: Links| get(handlers, state, call, id, links),
        ),
        Verb::Update => {
            methods.put(move |call: Call, id: Path<String>, body: Body| update(handlers, call, id, body))
        }
        Verb::Delete => methods.delete(move |call: Call, id: Path<String>| delete(handlers, call, id)),
        Verb::Post => methods.post(move |call: Call, id: Path<String>, body: Result<Body, Error>| {
            post(handlers, call, id, body)
        }),
        Verb::ListOfCluster => methods
            .get(move |call: Call, id: Path<String>, uri: Uri| list_of_cluster(handlers, call, id, uri)),
        Verb::CreateOfCluster => methods.post(move |call: Call, id: Path<String>, body: Body| {
            create_of_cluster(handlers, call, id, body)
        }),
    }
}

type ResultFuture<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// A [`V3Type`] as function pointers, so that the code of its routes is compiled once and not for each type.
#[derive(Clone, Copy)]
struct Handlers {
    schema: &'static Schema,
    operations: &'static [Operation],
    list: for<'a> fn(&'a Call) -> ResultFuture<'a, Vec<Object>>,
    list_of_cluster: for<'a> fn(&'a Call, Cluster) -> ResultFuture<'a, Vec<Object>>,
    get: for<'a> fn(&'a Call, &'a str) -> ResultFuture<'a, Object>,
    get_public: for<'a> fn(&'a AppState, &'a Links, &'a str) -> ResultFuture<'a, Option<Object>>,
    create: for<'a> fn(&'a Call, Object) -> ResultFuture<'a, Object>,
    update: for<'a> fn(&'a Call, &'a str, Object) -> ResultFuture<'a, Object>,
    delete: for<'a> fn(&'a Call, &'a str) -> ResultFuture<'a, Deleted>,
    run_action: for<'a> fn(&'a Call, &'a str, &'a str) -> ResultFuture<'a, Option<Response>>,
}

impl Handlers {
    fn new<T: V3Type>() -> Self {
        Self {
            schema: T::SCHEMA,
            operations: T::OPERATIONS,
            list: |call| T::list(call).boxed(),
            list_of_cluster: |call, cluster| T::list_of_cluster(call, cluster).boxed(),
            get: |call, id| T::get(call, id).boxed(),
            get_public: |state, links, id| T::get_public(state, links, id).boxed(),
            create: |call, body| T::create(call, body).boxed(),
            update: |call, id, body| T::update(call, id, body).boxed(),
            delete: |call, id| T::delete(call, id).boxed(),
            run_action: |call, id, action| T::run_action(call, id, action).boxed(),
        }
    }
}

async fn list(handlers: Handlers, call: Call, uri: Uri) -> Result<Response, Error> {
    let objects = (handlers.list)(&call).await?;
    page(handlers, &call, &uri, objects)
}

async fn list_of_cluster(
    handlers: Handlers,
    call: Call,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Error> {
    let cluster = call.state.clusters.get(call.caller(), &id).await?;
    let objects = (handlers.list_of_cluster)(&call, cluster).await?;
    page(handlers, &call, &uri, objects)
}

fn page(handlers: Handlers, call: &Call, uri: &Uri, objects: Vec<Object>) -> Result<Response, Error> {
    // Links repeat the spelling of the request.
    let path = uri.path().trim_end_matches('/');
    Ok(Collection::page(handlers.schema, &call.links, path, &call.query, objects)?.into_response())
}

async fn create(handlers: Handlers, call: Call, Body(body): Body) -> Result<Response, Error> {
    let object = (handlers.create)(&call, body).await?;
    Ok(json::respond(StatusCode::CREATED, &object))
}

async fn create_of_cluster(
    handlers: Handlers,
    call: Call,
    Path(id): Path<String>,
    Body(mut body): Body,
) -> Result<Response, Error> {
    body.insert("clusterId".to_owned(), Value::String(id));
    create(handlers, call, Body(body)).await
}

async fn get(
    handlers: Handlers,
    State(state): State<AppState>,
    call: Result<Call, AuthError>,
    id: Result<Path<String>, PathRejection>,
    links: Links,
) -> Response {
    let object = match (call, id) {
        (Ok(call), Ok(Path(id))) => (handlers.get)(&call, &id).await,
        (Err(rejection), Ok(Path(id))) => {
            match (handlers.get_public)(&state, &links, &id).await.transpose() {
                Some(object) => object,
                None => return rejection.into_response(),
            }
        }
        (Err(rejection), Err(_)) => return rejection.into_response(),
        (Ok(_), Err(rejection)) => return rejection.into_response(),
    };
    object.map(|object| json::respond(StatusCode::OK, &object)).into_response()
}

async fn update(
    handlers: Handlers,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Error> {
    let object = (handlers.update)(&call, &id, body).await?;
    Ok(json::respond(StatusCode::OK, &object))
}

async fn delete(handlers: Handlers, call: Call, Path(id): Path<String>) -> Result<Response, Error> {
    let deleted = (handlers.delete)(&call, &id).await?;
    let mut response = json::respond(StatusCode::OK, &deleted.object);
    if let Some(warning) = deleted.warning {
        response.headers_mut().insert(WARNING, warning);
    }
    Ok(response)
}

async fn post(
    handlers: Handlers,
    call: Call,
    Path(id): Path<String>,
    body: Result<Body, Error>,
) -> Result<Response, Error> {
    let supports = |verb| handlers.operations.iter().any(|operation| operation.verb == verb);
    match call.query.first("_method") {
        Some("PUT") if supports(Verb::Update) => return update(handlers, call, Path(id), body?).await,
        Some("DELETE") if supports(Verb::Delete) => return delete(handlers, call, Path(id)).await,
        _ => {}
    }
    let action = call.query.first("action");
    if let Some(action) = action
        && let Some(response) = (handlers.run_action)(&call, &id, action).await?
    {
        return Ok(response);
    }
    // A missing object is a 404, not an unsupported method or action.
    (handlers.get)(&call, &id).await?;
    Err(action.map_or_else(
        || Error::method_not_allowed(&Method::POST),
        |action| Error::unknown_action(action, handlers.schema),
    ))
}
