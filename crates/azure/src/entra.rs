//! Fetches a token from Microsoft Entra, with `azure_identity` on our own transport.
//!
//! The crate builds the request and parses the token. The transport preserves the status, code and body of an error, which the
//! crate would discard. The crate's cache and retries are not used: each credential object fetches once.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use azure_core::cloud::CloudConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RetryOptions, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use http::{HeaderName, HeaderValue, Method};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::cloud::Cloud;
use crate::credential::Credential;
use crate::error::{Error, Service};
use crate::error_response::EntraError;
use crate::foreign_response::foreign_reason;
use crate::redact;
use crate::request_name::RequestName;
use crate::transport::Transport as HttpTransport;
use crate::url::without_query;

/// The maximum accepted lifetime of a token. Entra's tokens usually live an hour, and at most a day.
const MAX_LIFETIME_S: i64 = 30 * 24 * 60 * 60;

/// A bearer token as an `Authorization` header. `Debug` does not print it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) authorization: HeaderValue,
    pub(super) expires_ms: i64,
    /// The lifetime at the time of issue.
    pub(super) lifetime_ms: i64,
}

impl Token {
    /// The token without `Bearer`.
    pub(super) fn as_str(&self) -> &str {
        self.authorization.to_str().unwrap_or_default().trim_start_matches("Bearer ")
    }
}

/// The scope of Resource Manager. The audience ends with a slash, so the scope contains `//.default`
/// (`docs/contract/azure.md#tokens`).
pub(super) fn arm_scope(cloud: Cloud) -> String {
    format!("{}/.default", cloud.audience())
}

/// Fetches a token for `scope`, in one attempt.
pub(super) async fn fetch(
    transport: &HttpTransport,
    credential: &Credential,
    scope: &str,
) -> Result<Token, Error> {
    let clock = &transport.clock;
    let entra_transport = Arc::new(EntraTransport {
        transport: transport.clone(),
        client_id: credential.client_id.clone(),
        client_secret: credential.client_secret.clone(),
        lifetime_ms: OnceLock::new(),
        failure: OnceLock::new(),
    });
    let http_client: Arc<dyn HttpClient> = Arc::<EntraTransport>::clone(&entra_transport);
    let client_options = ClientOptions {
        cloud: Some(Arc::new(cloud_configuration(credential.cloud))),
        transport: Some(Transport::new(http_client)),
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    };
    let requested_ms = clock.now_ms();
    let outcome = match ClientSecretCredential::new(
        &credential.tenant_id,
        credential.client_id.clone(),
        Secret::new(credential.client_secret.expose_secret().to_owned()),
        Some(ClientSecretCredentialOptions { client_options }),
    ) {
        Ok(credential) => credential.get_token(&[scope], None).await,
        Err(error) => Err(error),
    };
    match (outcome, entra_transport.lifetime_ms.get().copied()) {
        (Ok(token), Some(lifetime_ms)) => {
            let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.token.secret()))
                .map_err(|_| unusable_token_error(credential))?;
            // `Token::as_str` requires visible ASCII.
            if authorization.to_str().is_err() {
                return Err(unusable_token_error(credential));
            }
            authorization.set_sensitive(true);
            Ok(Token { authorization, expires_ms: requested_ms + lifetime_ms, lifetime_ms })
        }
        _ => Err(entra_transport.failure.get().cloned().unwrap_or_else(|| unusable_token_error(credential))),
    }
}

fn cloud_configuration(cloud: Cloud) -> CloudConfiguration {
    match cloud {
        Cloud::Public => CloudConfiguration::AzurePublic,
        Cloud::China => CloudConfiguration::AzureChina,
        Cloud::UsGovernment => CloudConfiguration::AzureGovernment,
    }
}

/// Replaces the parser's error, which could quote the token.
#[derive(Debug, thiserror::Error)]
#[error("the response contains no usable token")]
struct NoUsableToken;

fn unusable_token_error(credential: &Credential) -> Error {
    let url = format!("{}{}/oauth2/v2.0/token", credential.cloud.login_authority(), credential.tenant_id);
    Error::Decode { method: Method::POST, url, source: Arc::new(NoUsableToken) }
}

/// Sends the request of `azure_identity` with our own transport, and records its outcome.
struct EntraTransport {
    transport: HttpTransport,
    client_id: String,
    /// For redaction.
    client_secret: SecretString,
    lifetime_ms: OnceLock<i64>,
    failure: OnceLock<Error>,
}

impl fmt::Debug for EntraTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntraTransport").finish_non_exhaustive()
    }
}

impl EntraTransport {
    /// Records the error and returns a placeholder for `azure_identity`.
    fn fail(&self, error: Error) -> azure_core::Error {
        // The transport is used once.
        let _ = self.failure.set(error);
        azure_core::Error::with_message(ErrorKind::Credential, "recorded by the transport")
    }
}

#[async_trait]
impl HttpClient for EntraTransport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let Body::Bytes(body) = request.body().clone() else {
            return Err(azure_core::Error::with_message(ErrorKind::Other, "a form was expected"));
        };
        let url = request.url().clone();
        let mut http_request = reqwest::Request::new(Method::POST, url.clone());
        for (name, value) in request.headers().iter() {
            // Our transport sets its own user agent.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
                && name != http::header::USER_AGENT
            {
                http_request.headers_mut().insert(name, value);
            }
        }
        *http_request.body_mut() = Some(body.into());
        let response = self.transport.exchange(Service::Login, RequestName::Token, http_request).await;
        let response = response.map_err(|error| self.fail(error))?;
        if response.status != 200 || foreign_reason(&response).is_some() {
            let response = redact::redact(response, &[self.client_secret.expose_secret()]);
            let clock = &self.transport.clock;
            let mut error = EntraError::new(Method::POST, without_query(&url), response, clock);
            error.client_id = Some(self.client_id.clone());
            return Err(self.fail(Error::Login(Box::new(error))));
        }
        // The lifetime is checked here, because `azure_identity` adds it to the current time without a check for overflow.
        let lifetime_s =
            serde_json::from_slice::<TokenLifetime>(&response.body).ok().map(|token| token.expires_in);
        if let Some(lifetime_s) = lifetime_s.filter(|lifetime_s| (1..=MAX_LIFETIME_S).contains(lifetime_s)) {
            let _ = self.lifetime_ms.set(lifetime_s * 1_000);
            return Ok(AsyncRawResponse::from_bytes(response.status.into(), Headers::new(), response.body));
        }
        Err(azure_core::Error::with_message(ErrorKind::Credential, "no token"))
    }
}

#[derive(Deserialize)]
struct TokenLifetime {
    expires_in: i64,
}
