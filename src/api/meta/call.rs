//! The credential and the parameters of a listing action: a stored credential named in the query wins, else a POST
//! brings the credential in its body, else there is none (`docs/contract/meta-actions.md#order-of-checks`).

use std::net::IpAddr;
use std::sync::Arc;

use aks::pasted;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::Method;
use axum::http::header::CACHE_CONTROL;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use secrecy::ExposeSecret as _;

use super::body::Capabilities;
use super::error::Error;
use crate::api::auth::{Authenticated, Refused};
use crate::api::query::Query;
use crate::api::request::RequestId;
use crate::api::state::AppState;
use crate::service::Caller;
use crate::service::credentials::{AzureAccess, InlineCredential, Via};
use crate::service::events::{Action, Event, Outcome};
use crate::service::listings::Ask;

/// A listing action as it was asked for, with the right to use its credential.
#[derive(Debug)]
pub(crate) struct AzureCall {
    pub(super) caller: Arc<Caller>,
    access: Arc<AzureAccess>,
    /// As the caller spells it; empty when there is none.
    region: String,
    /// The Rancher id of a cluster; empty when there is none.
    pub(super) cluster_id: String,
    fresh: bool,
    origin: Origin,
}

/// Where a call came from, for the audit.
#[derive(Debug)]
struct Origin {
    request_id: RequestId,
    remote: IpAddr,
}

impl AzureCall {
    /// The name of a cloud that there is not, in the credential.
    pub(super) fn unknown_environment(&self) -> Option<&str> {
        self.access.unknown_environment()
    }

    pub(super) fn ask(&self) -> Ask<'_> {
        Ask { access: &self.access, fresh: self.fresh }
    }

    /// The region, where the question may go without one.
    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// The region, where there must be one.
    pub(super) fn required_region(&self) -> Result<&str, Error> {
        if self.region.is_empty() {
            let hint = "send region, for example eastus; aksLocations lists those of the subscription";
            return Err(Error::bad_request("region is required").with_hint(hint));
        }
        Ok(&self.region)
    }

    /// Records that a stored credential was used, and how that ended.
    pub(super) async fn record(&self, state: &AppState, action: &'static str, error: Option<&Error>) {
        if let Some(id) = self.access.credential_id() {
            record(state, &self.caller, &self.origin, action, id, error).await;
        }
    }
}

async fn record(
    state: &AppState,
    caller: &Arc<Caller>,
    origin: &Origin,
    action: &'static str,
    credential_id: &str,
    error: Option<&Error>,
) {
    let outcome = match error {
        None => Outcome::Done,
        Some(error) if error.is_refusal() => Outcome::Refused,
        Some(_) => Outcome::Failed,
    };
    let event =
        Event::new(caller, Action::Call(action), "cloudCredential", credential_id).outcome(outcome).counted();
    state.events().record(event.request(&origin.request_id.0, Some(origin.remote))).await;
}

/// Why there is no call: the caller is not let in, or the question is wrong.
pub(crate) enum Rejection {
    Refused(Refused),
    Meta(Error),
}

impl FromRequest<AppState> for AzureCall {
    type Rejection = Rejection;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Rejection> {
        let (mut parts, body) = request.into_parts();
        let Authenticated(caller) = Authenticated::from_request_parts(&mut parts, state).await?;
        let origin = Origin { request_id: RequestId::of(&parts), remote: state.origin().client(&parts) };
        let fresh = parts.headers.get(CACHE_CONTROL).is_some_and(|value| {
            value
                .to_str()
                .is_ok_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case("no-cache")))
        });
        // The dashboard sends clusterId, the original's check of rights reads clusterID.
        let names = ["cloudCredentialId", "clusterID", "clusterId", "region"];
        let [stored, capital, small, region] = Query::of(&parts.uri).first(names).map(pasted::trimmed_cow);
        if !stored.is_empty() {
            let rights_by = if capital.is_empty() { &small } else { &capital };
            let via =
                Via::Stored { id: &stored, cluster_id: Some(rights_by.as_ref()).filter(|id| !id.is_empty()) };
            let access = match state.credentials().resolve(&caller, via).await.map_err(Error::from) {
                Ok(access) => access,
                Err(error) => {
                    let action = super::name_of(parts.uri.path());
                    record(state, &caller, &origin, action, &stored, Some(&error)).await;
                    return Err(error.into());
                }
            };
            let cluster_id = if small.is_empty() { capital } else { small }.into_owned();
            let region = region.into_owned();
            return Ok(Self { caller, access, region, cluster_id, fresh, origin });
        }
        if parts.method != Method::POST {
            let hint = "name a stored credential in the query, cloudCredentialId=cattle-global-data:cc-…, or POST \
                        subscriptionId, clientId and clientSecret";
            let error = Error::bad_request("cannot access Azure API without credentials to authenticate");
            return Err(error.with_hint(hint).into());
        }
        let sent = sent_along(body, state, "invalid").await?;
        let (region, cluster_id) = (sent.region.clone(), sent.cluster_id.clone());
        let via = Via::Inline(inline(sent));
        let access = state.credentials().resolve(&caller, via).await.map_err(Error::from)?;
        Ok(Self { caller, access, region, cluster_id, fresh, origin })
    }
}

/// The credential part of a body.
pub(super) fn inline(sent: Capabilities) -> InlineCredential {
    InlineCredential {
        tenant_id: sent.tenant_id,
        subscription_id: sent.subscription_id,
        client_id: sent.client_id,
        client_secret: sent.client_secret,
        environment: sent.environment,
    }
}

/// The credential in a body; what is missing is named behind `complaint`, in Rancher's order.
pub(super) async fn sent_along(body: Body, state: &AppState, complaint: &str) -> Result<Capabilities, Error> {
    let sent = Capabilities::parse(&read(body, state.body_limit()).await?)
        .map_err(|reason| Error::bad_request(format!("cannot parse request body: {reason}")))?;
    let sent = sent.trimmed();
    let required = [
        ("subscriptionId", sent.subscription_id.is_empty()),
        ("clientId", sent.client_id.is_empty()),
        ("clientSecret", sent.client_secret.expose_secret().is_empty()),
    ];
    match required.iter().find(|(_, missing)| *missing) {
        Some((field, _)) => Err(Error::bad_request(format!("{complaint} {field}"))),
        None => Ok(sent),
    }
}

/// The whole body, or Go's reason why not.
async fn read(body: Body, limit: usize) -> Result<Bytes, Error> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::bad_request("cannot read request body: http: request body too large"))
        }
        Err(_) => Err(Error::bad_request("cannot read request body: unexpected EOF")),
    }
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Meta(error)
    }
}

impl axum::response::IntoResponse for Rejection {
    fn into_response(self) -> axum::response::Response {
        match self {
            Self::Refused(refused) => refused.into_response(),
            Self::Meta(error) => error.into_response(),
        }
    }
}
