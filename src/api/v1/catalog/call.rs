//! A request to the catalog: its caller, stored credential and parameters.

use std::sync::Arc;
use std::time::Duration;

use aks::catalog::regions::RegionDemand;
use aks::ids;
use axum::extract::{FromRef, FromRequestParts};
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use tokio::time::Instant;

use crate::api::auth::{self, AuthError, Authenticated};
use crate::api::conditional::Conditions;
use crate::api::meta::{AuditContext, RANCHER_UNAVAILABLE, must_bypass_cache};
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::links::Links;
use crate::api::rejection::Rejection;
use crate::api::request::RequestContext;
use crate::api::source::MetaState;
use crate::service::audit::Outcome;
use crate::service::azure_access::{AccessError, AzureAccess};
use crate::service::catalog::Renderers;
use crate::service::catalog::regions::RegionSearch;
use crate::service::credentials::CredentialSource;
use crate::service::listings::{Encoded, Freshness, ListingRequest, Listings, PageSource};
use crate::service::rancher_access::{Access, Failure, Session};
use crate::service::{self, Caller, Invalid};

/// The parameters of every list.
const COMMON_PARAMETERS: [&str; 2] = ["cloudCredentialId", "region"];

/// A request whose caller may use the stored credential; an extractor.
pub(super) struct CatalogCall {
    pub(super) caller: Arc<Caller>,
    pub(super) access: Arc<AzureAccess>,
    pub(super) parameters: Query,
    pub(super) links: Links,
    state: MetaState,
    audit: AuditContext,
    /// Whether to bypass the cache.
    bypasses_cache: bool,
    conditions: Conditions,
    pub(super) arrived_at: Instant,
    /// The URL of the request, with the host that the client used.
    url: String,
}

impl<S> FromRequestParts<S> for CatalogCall
where
    S: Send + Sync,
    MetaState: FromRef<S>,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let arrived_at = Instant::now();
        let state = MetaState::from_ref(state);
        let parameters = Query::from_uri(&parts.uri);
        let audit = AuditContext::new("catalog", RequestContext::from_parts(parts).map_err(AuthError::from)?);
        let bypasses_cache = must_bypass_cache(&parts.headers);
        let authorized = authorize(parts, &state, &audit, credential_id(&parameters)).await?;
        let id = parameters.trimmed("cloudCredentialId").unwrap_or_default();
        let (caller, access) = authorized.map_err(|error| unusable_credential(error, id))?;
        let links = Links::new(state.http().forwarded.base_url(parts));
        let url = links.url(parts.uri.path_and_query().map_or("/", |path| path.as_str()));
        let conditions = Conditions::new(&parts.method, &parts.headers);
        Ok(Self {
            caller,
            access,
            parameters,
            links,
            state,
            audit,
            bypasses_cache,
            conditions,
            arrived_at,
            url,
        })
    }
}

/// The caller of a request that needs no stored credential; an extractor.
pub(super) struct CatalogCaller(pub(super) Arc<Caller>);

impl<S> FromRequestParts<S> for CatalogCaller
where
    S: Send + Sync,
    MetaState: FromRef<S>,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        match MetaState::from_ref(state) {
            MetaState::Own(own) => {
                let Authenticated(caller) = Authenticated::from_request_parts(parts, &own).await?;
                Ok(Self(caller))
            }
            MetaState::Rancher(rancher) => {
                let access = rancher.access.authenticate(&bearer_session(parts)?).await;
                record_token_validity(parts, &access)?;
                match access {
                    Ok(Access::Authenticated(caller)) => Ok(Self(caller)),
                    other => Err(rancher_rejection(other, "")),
                }
            }
        }
    }
}

/// Authenticates the caller, and resolves the stored credential if they may use it. An error in `id` is returned only to an
/// authenticated caller or, alongside Rancher, to a caller with any Bearer token. The inner result has the errors of the
/// credential itself.
pub(super) async fn authorize(
    parts: &mut Parts,
    state: &MetaState,
    audit: &AuditContext,
    id: Result<&str, Error>,
) -> Result<Result<(Arc<Caller>, Arc<AzureAccess>), AccessError>, Rejection> {
    match state {
        MetaState::Own(own) => {
            let Authenticated(caller) = Authenticated::from_request_parts(parts, own).await?;
            let id = id?;
            let access =
                own.credentials.resolve(&caller, CredentialSource::Stored { id, cluster_id: None }).await;
            if access.is_err() {
                audit.record_outcome(&own.audit_log, &caller, id, Outcome::Refused).await;
            }
            Ok(access.map(|access| (caller, access)))
        }
        MetaState::Rancher(rancher) => {
            let session = bearer_session(parts)?;
            let id = id?;
            let access = rancher.access.authorize_stored(&session, id).await;
            record_token_validity(parts, &access)?;
            match access {
                Ok(Access::Allowed(caller, access)) => Ok(Ok((caller, access))),
                Err(Failure::Credential(error)) => Ok(Err(error)),
                other => Err(rancher_rejection(other, id)),
            }
        }
    }
}

/// The caller's credentials for the Rancher beside this server. Only bearer tokens are accepted: the session cookie of Rancher's
/// host belongs to that host.
fn bearer_session(parts: &Parts) -> Result<Session, AuthError> {
    auth::bearer_token(&parts.headers).ok_or(AuthError::Unauthorized)?;
    Ok(auth::session(&parts.headers))
}

/// Records whether Rancher accepts the token, if Rancher made a decision.
fn record_token_validity(parts: &Parts, access: &Result<Access, Failure>) -> Result<(), AuthError> {
    let is_valid = match access {
        Ok(Access::Undecided) | Err(Failure::Rancher(_)) => return Ok(()),
        Ok(Access::Unauthenticated) => false,
        Ok(_) | Err(Failure::Credential(_)) => true,
    };
    auth::record_token_validity(parts, RequestContext::from_parts(parts)?, is_valid);
    Ok(())
}

/// The response to a request that Rancher rejects, or for which Rancher's decision is missing.
fn rancher_rejection(access: Result<Access, Failure>, id: &str) -> Rejection {
    match access {
        Ok(Access::Unauthenticated) => AuthError::Unauthorized.into(),
        Ok(Access::Undecided) if ids::split_namespaced(id).is_none() && !id.is_empty() => {
            unusable_credential(AccessError::InvalidId(id.to_owned()), id).into()
        }
        Ok(Access::Undecided) => {
            let message = match id {
                "" => "Rancher did not confirm the token; try again",
                _ => "Rancher's response does not say whether you may use the credential; try again",
            };
            Error::transient(StatusCode::SERVICE_UNAVAILABLE, "ServerError", message, 2).into()
        }
        Ok(_) => Error::not_found(id).into(),
        Err(Failure::Credential(error)) => unusable_credential(error, id).into(),
        Err(Failure::Rancher(error)) => {
            let error: &dyn std::error::Error = &*error;
            tracing::warn!(error, "Rancher does not respond");
            Error::transient(StatusCode::SERVICE_UNAVAILABLE, "ServerError", RANCHER_UNAVAILABLE, 2).into()
        }
    }
}

fn credential_id(parameters: &Query) -> Result<&str, Error> {
    let message = "cloudCredentialId is required: name a stored credential, as cattle-global-data:cc-…";
    let missing = || Invalid::field("MissingRequired", "cloudCredentialId", message).into();
    parameters.trimmed("cloudCredentialId").ok_or_else(missing)
}

/// The response to a request whose credential cannot be used.
pub(super) fn unusable_credential(error: AccessError, id: &str) -> Error {
    match error {
        AccessError::InvalidId(_) => {
            Invalid::field("InvalidFormat", "cloudCredentialId", error.to_string()).into()
        }
        AccessError::NotFound => Error::not_found(id),
        AccessError::Unusable { .. } | AccessError::TenantDiscovery { .. } => {
            Error::new(StatusCode::UNPROCESSABLE_ENTITY, "InvalidState", error.to_string())
        }
        AccessError::Other(error) => error.into(),
    }
}

impl CatalogCall {
    /// Rejects parameters that are neither common to the catalog nor in `known`.
    pub(super) fn reject_unknown(&self, known: &[&str]) -> Result<(), Invalid> {
        self.parameters.reject_unknown(&[&COMMON_PARAMETERS[..], known].concat())
    }

    /// The region, which is required.
    pub(super) fn region(&self) -> Result<&str, Invalid> {
        let message = "region is required, for example eastus; aksLocations lists those of the subscription";
        self.parameters.trimmed("region").ok_or_else(|| Invalid::field("MissingRequired", "region", message))
    }

    pub(super) fn listings(&self) -> &Listings {
        self.state.listings()
    }

    pub(super) fn listing_request(&self) -> ListingRequest<'_> {
        ListingRequest {
            access: &self.access,
            caller: &self.caller,
            bypasses_cache: self.bypasses_cache,
            is_one_of_many: false,
        }
    }

    /// The response with a body that was computed for this request alone.
    pub(super) fn respond_uncached(&self, body: Bytes) -> Response {
        self.conditions.respond(&Encoded::for_request(body), [])
    }

    /// A search through the regions of the subscription.
    pub(super) fn region_search(&self, demand: RegionDemand, renderers: Renderers) -> RegionSearch {
        RegionSearch {
            listings: self.listings().clone(),
            access: Arc::clone(&self.access),
            bypasses_cache: self.bypasses_cache,
            caller: Arc::clone(&self.caller),
            demand,
            renderers,
        }
    }

    /// The response with a page, from the cache or computed by `build` from `sources`. Without `sources`, it is not cached.
    pub(super) async fn respond(
        &self,
        sources: Option<&[PageSource<'_>]>,
        freshness: Freshness,
        age: Duration,
        build: impl FnOnce() -> Result<Bytes, Invalid>,
    ) -> Result<Response, Error> {
        let page = match sources {
            Some(sources) => self.listings().page(&self.access, &self.url, sources, build).await?,
            None => Arc::new(Encoded::for_request(build()?)),
        };
        Ok(self.conditions.respond_cached(&page, freshness, age))
    }

    /// Records the use of the credential.
    pub(super) async fn record_use<T>(&self, outcome: &service::Result<T>) {
        if let Some(id) = self.access.credential_id() {
            let outcome = if outcome.is_ok() { Outcome::Done } else { Outcome::Failed };
            self.audit.record_outcome(self.state.audit_log(), &self.caller, id, outcome).await;
        }
    }
}
