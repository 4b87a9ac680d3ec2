//! The credential and the parameters of a listing action: the stored credential in the query if there is one, else the
//! credential in the body of a POST (`docs/contract/meta-actions.md#order-of-checks`).

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use aks::input;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request};
use azure::DiscoveryPurpose;
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, Method, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use secrecy::ExposeSecret as _;

use super::body::Capabilities;
use super::error::Error;
use crate::api::auth::{AuthError, Authenticated};
use crate::api::query::RawQuery;
use crate::api::rejection::Rejection;
use crate::api::request::RequestContext;
use crate::api::source::MetaState;
use crate::api::state::AppState;
use crate::service::Caller;
use crate::service::audit::{Action, AuditEvent, AuditLog, Outcome};
use crate::service::azure_access::{AccessError, AzureAccess, Resolver};
use crate::service::credentials::{self, CredentialSource};
use crate::service::listings::ListingRequest;
use crate::service::rancher_access::Session;

/// An authorized call of a listing action.
#[derive(Debug)]
pub(super) struct AzureCall {
    pub(super) sender: Sender,
    pub(super) access: Arc<AzureAccess>,
    /// As the caller spells it; empty if it is missing.
    pub(super) region: String,
    /// The Rancher ID of a cluster; empty if it is missing.
    pub(super) cluster_id: String,
    /// Whether to bypass the cache (`Cache-Control: no-cache`).
    pub(super) bypasses_cache: bool,
    pub(super) audit: AuditContext,
}

/// The sender of an authenticated request.
#[derive(Debug)]
pub(super) enum Sender {
    /// A user of this server.
    Own(Arc<Caller>),
    /// A user of the Rancher beside this server.
    Rancher(Arc<Caller>, Session),
}

impl Sender {
    fn caller(&self) -> &Arc<Caller> {
        match self {
            Self::Own(caller) | Self::Rancher(caller, _) => caller,
        }
    }
}

/// The parameters of the query.
pub(super) struct Parameters<'a> {
    pub(super) credential_id: Cow<'a, str>,
    /// `clusterID`, which Rancher's access check reads.
    pub(super) access_cluster_id: Cow<'a, str>,
    /// `clusterId`, which the dashboard sends.
    pub(super) cluster_id: Cow<'a, str>,
    pub(super) region: Cow<'a, str>,
}

impl<'a> Parameters<'a> {
    pub(super) fn from_uri(uri: &'a Uri) -> Self {
        let names = ["cloudCredentialId", "clusterID", "clusterId", "region"];
        let [credential_id, access_cluster_id, cluster_id, region] = RawQuery::from_uri(uri).first(names);
        let region = input::trim_cow(region);
        Self { credential_id, access_cluster_id, cluster_id, region }
    }
}

/// The parts of an audit record that are known before the outcome.
#[derive(Debug)]
pub(in crate::api) struct AuditContext {
    action: &'static str,
    request_id: Arc<str>,
    client_ip: IpAddr,
}

impl AuditContext {
    pub(in crate::api) fn new(action: &'static str, context: &RequestContext) -> Self {
        Self { action, request_id: Arc::clone(&context.id), client_ip: context.client_ip }
    }

    /// Records that a stored credential was used.
    pub(super) async fn record(
        &self,
        audit_log: &AuditLog,
        caller: &Arc<Caller>,
        credential_id: &str,
        error: Option<&Error>,
    ) {
        self.record_outcome(
            audit_log,
            caller,
            credential_id,
            match error {
                None => Outcome::Done,
                Some(error) if error.is_rejection() => Outcome::Refused,
                Some(_) => Outcome::Failed,
            },
        )
        .await;
    }

    /// Records the outcome of the use of a stored credential.
    pub(in crate::api) async fn record_outcome(
        &self,
        audit_log: &AuditLog,
        caller: &Arc<Caller>,
        credential_id: &str,
        outcome: Outcome,
    ) {
        let action = Action::Call(self.action);
        let event = AuditEvent::new(caller, action, credentials::OBJECT_TYPE, credential_id)
            .outcome(outcome)
            .counted();
        audit_log.record(event.request(&self.request_id, Some(self.client_ip))).await;
    }
}

impl AzureCall {
    /// Like `action::authorize`, for a server with its own users and credentials.
    pub(super) async fn authorize_own(
        request: Request,
        state: &AppState,
        action: &'static str,
    ) -> Result<Self, Rejection> {
        let (mut parts, body) = request.into_parts();
        let Authenticated(caller) = Authenticated::from_request_parts(&mut parts, state).await?;
        let audit = AuditContext::new(action, RequestContext::from_parts(&parts).map_err(AuthError::from)?);
        let bypasses_cache = must_bypass_cache(&parts.headers);
        let parameters = Parameters::from_uri(&parts.uri);
        let [credential_id, access_cluster_id, cluster_id] =
            [parameters.credential_id, parameters.access_cluster_id, parameters.cluster_id]
                .map(input::trim_cow);
        if credential_id.is_empty() {
            let body = read_inline_credential(&parts.method, body, state.http().body_limit).await?;
            let sender = Sender::Own(caller);
            return Self::from_inline_credential(
                body,
                state.credentials.resolver(),
                sender,
                bypasses_cache,
                audit,
            )
            .await;
        }
        let checked_cluster_id = if access_cluster_id.is_empty() { &cluster_id } else { &access_cluster_id };
        let checked_cluster_id = Some(checked_cluster_id.as_ref()).filter(|id| !id.is_empty());
        let source = CredentialSource::Stored { id: &credential_id, cluster_id: checked_cluster_id };
        let access = state.credentials.resolve(&caller, source).await;
        let access = match access.map_err(Error::from) {
            Ok(access) => access,
            Err(error) => {
                audit.record(&state.audit_log, &caller, &credential_id, Some(&error)).await;
                return Err(error.into());
            }
        };
        let cluster_id = if cluster_id.is_empty() { access_cluster_id } else { cluster_id }.into_owned();
        let (sender, region) = (Sender::Own(caller), parameters.region.into_owned());
        Ok(Self { sender, access, region, cluster_id, bypasses_cache, audit })
    }

    /// Authorizes a call with the credential in the body of the request.
    pub(super) async fn from_inline_credential(
        body: Capabilities,
        resolver: &Resolver,
        sender: Sender,
        bypasses_cache: bool,
        audit: AuditContext,
    ) -> Result<Self, Rejection> {
        let Capabilities { credential, region, cluster_id } = body;
        let access = resolver.resolve(credential, None, DiscoveryPurpose::Stored).await;
        let access = access.map_err(|error| Error::from(AccessError::from(error)))?;
        Ok(Self { sender, access, region, cluster_id, bypasses_cache, audit })
    }

    pub(super) fn listing_request(&self) -> ListingRequest<'_> {
        ListingRequest {
            access: &self.access,
            caller: self.sender.caller(),
            bypasses_cache: self.bypasses_cache,
            is_one_of_many: false,
        }
    }

    /// The region, for actions that require one.
    pub(super) fn required_region(&self) -> Result<&str, Error> {
        if self.region.is_empty() {
            let hint = "send region, for example eastus; aksLocations lists those of the subscription";
            return Err(Error::bad_request("region is required").with_hint(hint));
        }
        Ok(&self.region)
    }

    /// Records the use of a stored credential.
    pub(super) async fn record_use(&self, state: &MetaState, error: Option<&Error>) {
        if let Some(id) = self.access.credential_id() {
            self.audit.record(state.audit_log(), self.sender.caller(), id, error).await;
        }
    }
}

/// The body of a request without a stored credential, which must contain one.
pub(super) async fn read_inline_credential(
    method: &Method,
    body: Body,
    limit: usize,
) -> Result<Capabilities, Error> {
    if *method != Method::POST {
        let hint = "name a stored credential in the query, cloudCredentialId=cattle-global-data:cc-…, or POST \
                    subscriptionId, clientId and clientSecret";
        let error = Error::bad_request("cannot access Azure API without credentials to authenticate");
        return Err(error.with_hint(hint));
    }
    read_credential(body, limit, "invalid").await
}

/// Whether the client bypasses the cache: `Cache-Control` contains `no-cache`.
pub(in crate::api) fn must_bypass_cache(headers: &HeaderMap) -> bool {
    let value = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(',').any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

/// Reads a credential from a body. The error for missing fields is `error_prefix` and the name of the first missing field, in
/// Rancher's order.
pub(super) async fn read_credential(
    body: Body,
    limit: usize,
    error_prefix: &str,
) -> Result<Capabilities, Error> {
    let body = Capabilities::parse(&read_body(body, limit).await?)
        .map_err(|reason| Error::bad_request(format!("cannot parse request body: {reason}")))?
        .trimmed();
    let credential = &body.credential;
    let required = [
        ("subscriptionId", credential.subscription_id.as_str()),
        ("clientId", &credential.client_id),
        ("clientSecret", credential.client_secret.expose_secret()),
    ];
    match required.iter().find(|(_, value)| value.is_empty()) {
        Some((field, _)) => Err(Error::bad_request(format!("{error_prefix} {field}"))),
        None => Ok(body),
    }
}

/// The whole body, or Go's error.
pub(super) async fn read_body(body: Body, limit: usize) -> Result<Bytes, Error> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::bad_request("cannot read request body: http: request body too large"))
        }
        Err(_) => Err(Error::bad_request("cannot read request body: unexpected EOF")),
    }
}
