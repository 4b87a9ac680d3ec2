//! The credential and the parameters of a listing action: the stored credential in the query if there is one, else the
//! credential in the body of a POST (`docs/contract/meta-actions.md#order-of-checks`).

use std::net::IpAddr;
use std::sync::Arc;

use aks::pasted;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request};
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use secrecy::ExposeSecret as _;

use super::body::Capabilities;
use super::error::Error;
use crate::api::auth::{AuthError, Authenticated};
use crate::api::query::Query;
use crate::api::request::RequestContext;
use crate::api::state::AppState;
use crate::service::Caller;
use crate::service::credentials::{AzureAccess, InlineCredential, Via};
use crate::service::events::{Action, Event, Outcome};
use crate::service::listings::Ask;

/// A request of a listing action, with the right to use its credential.
#[derive(Debug)]
pub(super) struct AzureCall {
    pub(super) caller: Arc<Caller>,
    access: Arc<AzureAccess>,
    /// As the caller spells it; empty if it is missing.
    region: String,
    /// The Rancher ID of a cluster; empty if it is missing.
    pub(super) cluster_id: String,
    /// Whether the caller rejects stale lists.
    fresh: bool,
    audit: AuditContext,
}

/// The parts of an audit record that are known before the outcome.
#[derive(Debug)]
struct AuditContext {
    action: &'static str,
    request_id: Arc<str>,
    client_ip: IpAddr,
}

impl AuditContext {
    /// Records that a stored credential was used.
    async fn record(
        &self,
        state: &AppState,
        caller: &Arc<Caller>,
        credential_id: &str,
        error: Option<&Error>,
    ) {
        let outcome = match error {
            None => Outcome::Done,
            Some(error) if error.is_refusal() => Outcome::Refused,
            Some(_) => Outcome::Failed,
        };
        let action = Action::Call(self.action);
        let event = Event::new(caller, action, "cloudCredential", credential_id).outcome(outcome).counted();
        state.events.record(event.request(&self.request_id, Some(self.client_ip))).await;
    }
}

impl AzureCall {
    /// Authenticates a request and resolves its credential. `action` is its name in the audit log.
    pub(super) async fn read(
        request: Request,
        state: &AppState,
        action: &'static str,
    ) -> Result<Self, Rejection> {
        let (mut parts, body) = request.into_parts();
        let Authenticated(caller) = Authenticated::from_request_parts(&mut parts, state).await?;
        let context = RequestContext::of(&parts).map_err(AuthError::from)?;
        let audit =
            AuditContext { action, request_id: Arc::clone(&context.id), client_ip: context.client_ip };
        let fresh = is_fresh(&parts.headers);
        // The dashboard sends clusterId; Rancher's access check reads clusterID.
        let names = ["cloudCredentialId", "clusterID", "clusterId", "region"];
        let [stored, capital, small, region] = Query::of(&parts.uri).first(names).map(pasted::trimmed_cow);
        if !stored.is_empty() {
            let access_by = if capital.is_empty() { &small } else { &capital };
            let cluster_id = Some(access_by.as_ref()).filter(|id| !id.is_empty());
            let access = state.credentials.resolve(&caller, Via::Stored { id: &stored, cluster_id }).await;
            let access = match access.map_err(Error::from) {
                Ok(access) => access,
                Err(error) => {
                    audit.record(state, &caller, &stored, Some(&error)).await;
                    return Err(error.into());
                }
            };
            let cluster_id = if small.is_empty() { capital } else { small }.into_owned();
            return Ok(Self { caller, access, region: region.into_owned(), cluster_id, fresh, audit });
        }
        if parts.method != Method::POST {
            let hint = "name a stored credential in the query, cloudCredentialId=cattle-global-data:cc-…, or POST \
                        subscriptionId, clientId and clientSecret";
            let error = Error::bad_request("cannot access Azure API without credentials to authenticate");
            return Err(error.with_hint(hint).into());
        }
        let body = read_credential(body, state, "invalid").await?;
        let (region, cluster_id) = (body.region.clone(), body.cluster_id.clone());
        let access = state.credentials.resolve(&caller, Via::Inline(body.into())).await;
        Ok(Self { caller, access: access.map_err(Error::from)?, region, cluster_id, fresh, audit })
    }

    /// The cloud in the credential, if it is not one of Azure's.
    pub(super) fn unknown_environment(&self) -> Option<&str> {
        self.access.unknown_environment()
    }

    pub(super) fn ask(&self) -> Ask<'_> {
        Ask { access: &self.access, fresh: self.fresh }
    }

    /// The region; empty if it is missing.
    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// The region, for actions that need one.
    pub(super) fn required_region(&self) -> Result<&str, Error> {
        if self.region.is_empty() {
            let hint = "send region, for example eastus; aksLocations lists those of the subscription";
            return Err(Error::bad_request("region is required").with_hint(hint));
        }
        Ok(&self.region)
    }

    /// Records the use of a stored credential.
    pub(super) async fn record(&self, state: &AppState, error: Option<&Error>) {
        if let Some(id) = self.access.credential_id() {
            self.audit.record(state, &self.caller, id, error).await;
        }
    }
}

/// Whether `Cache-Control` contains `no-cache`.
fn is_fresh(headers: &HeaderMap) -> bool {
    let value = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(',').any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

/// An unauthenticated or invalid request.
pub(super) enum Rejection {
    Unauthenticated(AuthError),
    Invalid(Error),
}

impl From<Capabilities> for InlineCredential {
    fn from(body: Capabilities) -> Self {
        Self {
            tenant_id: body.tenant_id,
            subscription_id: body.subscription_id,
            client_id: body.client_id,
            client_secret: body.client_secret,
            environment: body.environment,
        }
    }
}

/// Reads the credential in a body. The error for a missing field is `complaint` and its name, in Rancher's order.
pub(super) async fn read_credential(
    body: Body,
    state: &AppState,
    complaint: &str,
) -> Result<Capabilities, Error> {
    let body = Capabilities::parse(&read(body, state.body_limit).await?)
        .map_err(|reason| Error::bad_request(format!("cannot parse request body: {reason}")))?
        .trimmed();
    let required = [
        ("subscriptionId", body.subscription_id.as_str()),
        ("clientId", &body.client_id),
        ("clientSecret", body.client_secret.expose_secret()),
    ];
    match required.iter().find(|(_, value)| value.is_empty()) {
        Some((field, _)) => Err(Error::bad_request(format!("{complaint} {field}"))),
        None => Ok(body),
    }
}

/// The whole body, or Go's error.
async fn read(body: Body, limit: usize) -> Result<Bytes, Error> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::bad_request("cannot read request body: http: request body too large"))
        }
        Err(_) => Err(Error::bad_request("cannot read request body: unexpected EOF")),
    }
}

impl From<AuthError> for Rejection {
    fn from(refused: AuthError) -> Self {
        Self::Unauthenticated(refused)
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Invalid(error)
    }
}

impl axum::response::IntoResponse for Rejection {
    fn into_response(self) -> axum::response::Response {
        match self {
            Self::Unauthenticated(refused) => refused.into_response(),
            Self::Invalid(error) => error.into_response(),
        }
    }
}
