//! One token from Microsoft Entra, through `azure_identity` with a transport of our own below it.
//!
//! The crate makes the request and reads the token. What it would lose is kept by the transport: the status, the
//! code and the body of a refusal. Its cache and its retries are not used: each credential object is asked once.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use azure_core::cloud::CloudConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RetryOptions, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use clock::Clock;
use http::{HeaderName, HeaderValue, Method};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::cloud::Cloud;
use super::credential::Credential;
use super::error::{Error, Service};
use super::foreign;
use super::refusal::LoginRefusal;
use super::scrub;
use super::transport::exchange;
use super::url::without_query;

/// A token lives about an hour, a day at most. Anything above is a mistake.
const LONGEST_LIFE_S: i64 = 30 * 24 * 60 * 60;

/// A bearer token, as the header that carries it. `Debug` does not show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) authorization: HeaderValue,
    pub(super) expires_ms: i64,
    /// How long it lived when it was made.
    pub(super) life_ms: i64,
}

impl Token {
    /// The token itself, for others than Azure; `credential` is whose it is.
    pub(super) fn secret(&self, credential: &Credential) -> Result<SecretString, Error> {
        let text = self.authorization.to_str().unwrap_or_default();
        text.strip_prefix("Bearer ").map(SecretString::from).ok_or_else(|| not_a_token(credential))
    }
}

/// What Resource Manager's tokens are for. The audience ends with a slash, so the scope has two: that is right
/// (`docs/contract/azure.md#tokens`).
pub(super) fn resource_manager(cloud: Cloud) -> String {
    format!("{}/.default", cloud.audience())
}

/// Asks once for a token that is good for `scope`.
pub(super) async fn fetch(
    client: &Client,
    clock: &Clock,
    credential: &Credential,
    scope: &str,
) -> Result<Token, Error> {
    let transport = Arc::new(EntraTransport {
        client: client.clone(),
        clock: clock.clone(),
        client_id: credential.client_id.clone(),
        client_secret: credential.client_secret.clone(),
        life_ms: OnceLock::new(),
        failure: OnceLock::new(),
    });
    let shared: Arc<dyn HttpClient> = Arc::<EntraTransport>::clone(&transport);
    let client_options = ClientOptions {
        cloud: Some(Arc::new(configuration(credential.cloud))),
        transport: Some(Transport::new(shared)),
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    };
    let asked_ms = clock.now_ms();
    let outcome = match ClientSecretCredential::new(
        &credential.tenant_id,
        credential.client_id.clone(),
        Secret::new(credential.client_secret.expose_secret().to_owned()),
        Some(ClientSecretCredentialOptions { client_options }),
    ) {
        Ok(source) => source.get_token(&[scope], None).await,
        Err(error) => Err(error),
    };
    match (outcome, transport.life_ms.get().copied()) {
        (Ok(token), Some(life_ms)) => {
            let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.token.secret()))
                .map_err(|_| not_a_token(credential))?;
            authorization.set_sensitive(true);
            Ok(Token { authorization, expires_ms: asked_ms + life_ms, life_ms })
        }
        _ => Err(transport.failure.get().cloned().unwrap_or_else(|| not_a_token(credential))),
    }
}

fn configuration(cloud: Cloud) -> CloudConfiguration {
    match cloud {
        Cloud::Public => CloudConfiguration::AzurePublic,
        Cloud::China => CloudConfiguration::AzureChina,
        Cloud::UsGovernment => CloudConfiguration::AzureGovernment,
    }
}

/// The parser's own error is not kept: it could quote the token.
#[derive(Debug, thiserror::Error)]
#[error("it holds no token, or none that can be used")]
struct NotAToken;

fn not_a_token(credential: &Credential) -> Error {
    let url = format!("{}{}/oauth2/v2.0/token", credential.cloud.login_authority(), credential.tenant_id);
    Error::Decode { method: Method::POST, url, source: Arc::new(NotAToken) }
}

/// Carries one request of the crate over our own client and remembers what came back.
struct EntraTransport {
    client: Client,
    clock: Clock,
    client_id: String,
    /// To be kept out of what is told about a refusal.
    client_secret: SecretString,
    life_ms: OnceLock<i64>,
    failure: OnceLock<Error>,
}

impl fmt::Debug for EntraTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntraTransport").finish_non_exhaustive()
    }
}

impl EntraTransport {
    /// Keeps the error and gives the crate one that it passes on without thinking about it.
    fn fail(&self, error: Error) -> azure_core::Error {
        // The first failure is the one: the transport is asked once.
        let _ = self.failure.set(error);
        azure_core::Error::with_message(ErrorKind::Credential, "kept by the transport")
    }
}

#[async_trait]
impl HttpClient for EntraTransport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let Body::Bytes(body) = request.body().clone() else {
            return Err(azure_core::Error::with_message(ErrorKind::Other, "a form was expected"));
        };
        let url = request.url().clone();
        let mut sent = reqwest::Request::new(Method::POST, url.clone());
        for (name, value) in request.headers().iter() {
            // Our own name is said, as to Resource Manager.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
                && name != http::header::USER_AGENT
            {
                sent.headers_mut().insert(name, value);
            }
        }
        *sent.body_mut() = Some(body.into());
        let answer =
            exchange(&self.client, Service::Login, "token", sent).await.map_err(|error| self.fail(error))?;
        if answer.status != 200 || foreign::kind(&answer).is_some() {
            let answer = scrub::without(answer, &[self.client_secret.expose_secret()]);
            let mut refusal = LoginRefusal::new(Method::POST, without_query(&url), answer, &self.clock);
            refusal.client_id = Some(self.client_id.clone());
            return Err(self.fail(Error::Login(Box::new(refusal))));
        }
        // The crate adds this to the time of day without looking: it must not overflow.
        let life = serde_json::from_slice::<Life>(&answer.body).ok().map(|life| life.expires_in);
        if let Some(life) = life.filter(|life| (1..=LONGEST_LIFE_S).contains(life)) {
            let _ = self.life_ms.set(life * 1_000);
            return Ok(AsyncRawResponse::from_bytes(answer.status.into(), Headers::new(), answer.body));
        }
        Err(azure_core::Error::with_message(ErrorKind::Credential, "no token"))
    }
}

#[derive(Deserialize)]
struct Life {
    expires_in: i64,
}
