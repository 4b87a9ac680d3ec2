//! The declaration of a type below `/v3`: its schema, documented operations and handlers. `routes` builds the routes from it.

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::api::auth::{self, AuthError};
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::input::Object;
use crate::api::norman::links::Links;
use crate::api::norman::openapi::Components;
use crate::api::norman::schemas::Schema;
use crate::api::state::AppState;
use crate::service::Caller;
use crate::service::actor::Actor;
use crate::service::clusters::Cluster;

/// A type with its own collection. Only the operations in [`V3Type::OPERATIONS`] are routed.
pub(super) trait V3Type: Send + Sync + 'static {
    /// The fields, and the names in paths.
    const SCHEMA: &'static Schema;
    /// The group of the operations in the API document.
    const TAG: &'static str;
    /// The parameter `id` in the API document.
    const ID: IdParameter;
    /// The operations, each with its documentation.
    const OPERATIONS: &'static [Operation];

    /// Returns all objects that the caller may see. `routes` applies the filters and the page of the query afterwards.
    fn list(call: &Call) -> impl Future<Output = Result<Vec<Object>, Error>> + Send;

    /// Returns one object.
    fn get(call: &Call, id: &str) -> impl Future<Output = Result<Object, Error>> + Send;

    /// Returns the objects of a cluster that the caller may see.
    fn list_of_cluster(_: &Call, _: Cluster) -> impl Future<Output = Result<Vec<Object>, Error>> + Send {
        async { Err(Error::method_not_allowed(&Method::GET)) }
    }

    /// Creates an object.
    fn create(_: &Call, _: Object) -> impl Future<Output = Result<Object, Error>> + Send {
        async { Err(Error::method_not_allowed(&Method::POST)) }
    }

    /// Changes an object.
    fn update(_: &Call, _: &str, _: Object) -> impl Future<Output = Result<Object, Error>> + Send {
        async { Err(Error::method_not_allowed(&Method::PUT)) }
    }

    /// Deletes an object, and returns its last state.
    fn delete(_: &Call, _: &str) -> impl Future<Output = Result<Deleted, Error>> + Send {
        async { Err(Error::method_not_allowed(&Method::DELETE)) }
    }

    /// Runs an action of an object; `None` if the type has no such action.
    fn run_action(
        _: &Call,
        _: &str,
        _: &str,
    ) -> impl Future<Output = Result<Option<Response>, Error>> + Send {
        async { Ok(None) }
    }

    /// Returns the object if reading it needs no token; `None` for all other objects.
    fn get_public(
        _: &AppState,
        _: &Links,
        _: &str,
    ) -> impl Future<Output = Result<Option<Object>, Error>> + Send {
        async { Ok(None) }
    }

    /// Adds components of the API document that are not in the schema.
    fn components(_: &mut Components) {}
}

/// A deleted object.
pub(super) struct Deleted {
    pub(super) object: Object,
    /// The value of the header `Warning`.
    pub(super) warning: Option<HeaderValue>,
}

impl From<Object> for Deleted {
    fn from(object: Object) -> Self {
        Self { object, warning: None }
    }
}

/// A request of an authenticated caller.
pub(super) struct Call {
    pub(super) state: AppState,
    pub(super) actor: Actor,
    pub(super) links: Links,
    pub(super) query: Query,
    /// Whether the token is the cookie of a browser session.
    pub(super) is_browser_session: bool,
}

impl Call {
    pub(super) fn caller(&self) -> &Caller {
        &self.actor.caller
    }
}

impl FromRequestParts<AppState> for Call {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, AuthError> {
        Ok(Self {
            actor: Actor::from_request_parts(parts, state).await?,
            state: state.clone(),
            links: Links::new(state.base_url(parts)),
            query: Query::from_uri(&parts.uri),
            is_browser_session: auth::is_browser_session(&parts.headers),
        })
    }
}

/// The documentation of a path parameter.
pub(super) struct IdParameter {
    pub(super) description: &'static str,
    pub(super) example: &'static str,
}

/// The kind of an operation, which determines its path and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    List,
    Create,
    Get,
    Update,
    Delete,
    /// An action, or another method for clients that can only send POST.
    Post,
    ListOfCluster,
    CreateOfCluster,
}

/// A documented operation of a type.
pub(super) struct Operation {
    pub(super) verb: Verb,
    /// The summary and, after an empty line, the description.
    pub(super) doc: &'static str,
    /// The description of the successful response.
    pub(super) response: &'static str,
    /// Query parameters in addition to those of every list and every POST.
    pub(super) query: Option<fn() -> Vec<Parameter>>,
    /// The component of the response, unless it is the type itself.
    pub(super) component: Option<&'static str>,
}

impl Operation {
    const fn new(verb: Verb, doc: &'static str, response: &'static str) -> Self {
        Self { verb, doc, response, query: None, component: None }
    }

    pub(super) const fn list(doc: &'static str) -> Self {
        Self::new(Verb::List, doc, "One page of the list")
    }

    pub(super) const fn create(doc: &'static str, response: &'static str) -> Self {
        Self::new(Verb::Create, doc, response)
    }

    pub(super) const fn get(doc: &'static str, response: &'static str) -> Self {
        Self::new(Verb::Get, doc, response)
    }

    pub(super) const fn update(doc: &'static str, response: &'static str) -> Self {
        Self::new(Verb::Update, doc, response)
    }

    pub(super) const fn delete(doc: &'static str, response: &'static str) -> Self {
        Self::new(Verb::Delete, doc, response)
    }

    pub(super) const fn post(doc: &'static str) -> Self {
        Self::new(Verb::Post, doc, "The same as for the other method")
    }

    pub(super) const fn list_of_cluster(doc: &'static str) -> Self {
        Self::new(Verb::ListOfCluster, doc, "One page of the list")
    }

    pub(super) const fn create_of_cluster(doc: &'static str, response: &'static str) -> Self {
        Self::new(Verb::CreateOfCluster, doc, response)
    }

    /// Adds query parameters.
    pub(super) const fn with_query<P: IntoParams>(self) -> Self {
        Self { query: Some(parameters::<P>), ..self }
    }

    /// Replaces the description of the successful response, and its component.
    pub(super) const fn returning(self, response: &'static str, component: &'static str) -> Self {
        Self { response, component: Some(component), ..self }
    }
}

/// The query parameters that `P` describes.
pub(super) fn parameters<P: IntoParams>() -> Vec<Parameter> {
    P::into_params(|| Some(ParameterIn::Query))
}
