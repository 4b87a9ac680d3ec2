//! The eight listing actions as one trait, and the handler that serves them: it reads the credential and the parameters,
//! loads the list, sets the same headers in every response, and audits every use of a stored credential.

use axum::extract::{FromRef, Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::call::AzureCall;
use super::docs::{self, ActionDocs};
use super::error::Error;
use super::rancher;
use crate::api::conditional::Conditions;
use crate::api::documented::{DocumentedRoute, DocumentedRouter};
use crate::api::rejection::Rejection;
use crate::api::source::MetaState;
use crate::service::listings::ListingResponse;

/// An action that lists something in Azure.
pub(super) trait ListingAction: Send + Sync + 'static {
    /// The last segment of the path, and the action in the audit log.
    const NAME: &'static str;
    const DOCS: ActionDocs;

    /// Loads the list, from the cache or from Azure.
    fn load(
        state: &MetaState,
        call: &AzureCall,
    ) -> impl Future<Output = Result<ListingResponse, Error>> + Send;
}

/// Routes an action. Every method is accepted; GET and POST are documented (`docs/contract/meta-actions.md#requests`).
pub(super) fn router<T, S>() -> DocumentedRouter<S>
where
    T: ListingAction,
    S: Clone + Send + Sync + 'static,
    MetaState: FromRef<S>,
{
    let handler = handler(Action { name: T::NAME, load: |state, call| T::load(state, call).boxed() });
    DocumentedRouter::new().route(DocumentedRoute::new(docs::path(T::NAME), handler, || {
        let (components, paths) = docs::paths(T::NAME, &T::DOCS);
        (components, paths, MethodRouter::new())
    }))
}

/// A [`ListingAction`] as values, so that the code of its route is compiled once and not for each action.
#[derive(Clone, Copy)]
struct Action {
    name: &'static str,
    load: for<'a> fn(&'a MetaState, &'a AzureCall) -> BoxFuture<'a, Result<ListingResponse, Error>>,
}

fn handler<S>(action: Action) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
    MetaState: FromRef<S>,
{
    any(move |State(state): State<MetaState>, request: Request| serve(action, state, request))
}

async fn serve(action: Action, state: MetaState, request: Request) -> Result<Response, Rejection> {
    let conditions = Conditions::new(request.method(), request.headers());
    let call = authorize(request, &state, action.name).await?;
    let listing = (action.load)(&state, &call).await;
    call.record_use(&state, listing.as_ref().err()).await;
    let listing =
        listing.map_err(|error| error.with_unknown_environment(call.access.unknown_environment()))?;
    Ok(conditions.respond_cached(&listing.body, listing.freshness, listing.age))
}

/// Authenticates a request and resolves its credential. `action` is the name of the action in the audit log.
pub(super) async fn authorize(
    request: Request,
    state: &MetaState,
    action: &'static str,
) -> Result<AzureCall, Rejection> {
    match state {
        MetaState::Own(state) => AzureCall::authorize_own(request, state, action).await,
        MetaState::Rancher(state) => rancher::authorize(request, state, action).await,
    }
}
