//! The credential and the question of a listing action, in Rancher's order (contract, sections 3 and 4): a stored
//! credential named in the query wins; else a POST brings the credential in its body; else there is none.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::Method;
use axum::http::header::CACHE_CONTROL;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::body::Capabilities;
use super::error::Error;
use crate::api::auth::{Authenticated, Refused};
use crate::api::query::Query;
use crate::api::request::RequestId;
use crate::api::state::AppState;
use crate::service::Caller;
use crate::service::credentials::{AzureAccess, InlineCredential, Via};
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
}

impl AzureCall {
    pub(super) fn ask(&self) -> Ask<'_> {
        Ask { access: &self.access, fresh: self.fresh }
    }

    /// The region, where the question may go without one.
    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// The region, where there must be one.
    pub(super) fn required_region(&self) -> Result<&str, Error> {
        if self.region.is_empty() { Err(Error::bad_request("region is required")) } else { Ok(&self.region) }
    }
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
        let RequestId(request_id) = RequestId::of(&parts);
        let fresh = parts.headers.get(CACHE_CONTROL).is_some_and(|value| {
            value.to_str().is_ok_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case("no-cache")))
        });
        let query = Query::of(&parts.uri);
        let stored = query.first("cloudCredentialId");
        if !stored.is_empty() {
            // The dashboard sends clusterId, the original's check of rights reads clusterID.
            let (capital, small) = (query.first("clusterID"), query.first("clusterId"));
            let rights_by = if capital.is_empty() { &small } else { &capital };
            let via = Via::Stored { id: &stored, cluster_id: Some(rights_by.as_ref()).filter(|id| !id.is_empty()) };
            let access = state.credentials().resolve(&caller, via).await.map_err(Error::from);
            let used = Used { credential_id: stored.into_owned(), remote: state.origin().client(&parts), request_id };
            let access = match access {
                Ok(access) => access,
                Err(error) => {
                    used.record(state, &caller, action_of(&parts), Some(&error)).await;
                    return Err(error.into());
                }
            };
            let cluster_id = if small.is_empty() { capital } else { small }.into_owned();
            let region = query.first("region").into_owned();
            return Ok(Self { caller, access, region, cluster_id, fresh });
        }
        if parts.method != Method::POST {
            return Err(Error::bad_request("cannot access Azure API without credentials to authenticate").into());
        }
        let sent = Capabilities::parse(&read(body, state.body_limit()).await?).map_err(cannot_parse)?;
        let required = [
            ("subscriptionId", sent.subscription_id.is_empty()),
            ("clientId", sent.client_id.is_empty()),
            ("clientSecret", secrecy::ExposeSecret::expose_secret(&sent.client_secret).is_empty()),
        ];
        if let Some((field, _)) = required.iter().find(|(_, missing)| *missing) {
            return Err(Error::bad_request(format!("invalid {field}")).into());
        }
        let (region, cluster_id) = (sent.region.clone(), sent.cluster_id.clone());
        let via = Via::Inline(inline(sent));
        let access = state.credentials().resolve(&caller, via).await.map_err(Error::from)?;
        Ok(Self { caller, access, region, cluster_id, fresh })
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

/// The whole body, or Go's reason why not.
pub(super) async fn read(body: axum::body::Body, limit: usize) -> Result<Bytes, Error> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::bad_request("cannot read request body: http: request body too large"))
        }
        Err(_) => Err(Error::bad_request("cannot read request body: unexpected EOF")),
    }
}

pub(super) fn cannot_parse(reason: String) -> Error {
    Error::new(StatusCode::BAD_REQUEST, format!("cannot parse request body: {reason}"))
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
