//! One request to Resource Manager as a use case sees it: token, attempts, deadline.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clock::Clock;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use reqwest::{Client, Request, Url};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::credential::Credential;
use super::entra::Token;
use super::error::{Error, Reason, Service};
use super::foreign;
use super::refusal::Refusal;
use super::retry;
use super::scrub;
use super::token::TokenSource;
use super::transport::{Answer, exchange};
use super::url::{self, without_query};
use super::{Azure, Shared};

/// The first attempt and three more, as Azure's Go libraries (`docs/contract/azure.md#retries`).
const ATTEMPTS: u32 = 4;

/// Resource Manager as one credential sees it, until a deadline.
#[derive(Clone, Debug)]
pub struct Arm {
    shared: Arc<Shared>,
    credential: Arc<Credential>,
    source: Arc<TokenSource>,
    deadline: Instant,
    /// The longest pause between two attempts.
    patience: Duration,
    /// The token of this use case alone, where it must not be a remembered one.
    own: Option<Arc<Mutex<Option<Token>>>>,
}

impl Arm {
    pub(super) fn new(azure: &Azure, credential: &Arc<Credential>, deadline: Instant) -> Self {
        Self {
            shared: Arc::clone(&azure.0),
            credential: Arc::clone(credential),
            source: azure.0.tokens.of(credential),
            deadline,
            patience: Duration::MAX,
            own: None,
        }
    }

    /// The same with a token of its own, fetched anew by the first request, whatever is remembered about the
    /// credential. A good one is remembered for others; a failure is not.
    #[must_use]
    pub fn with_new_token(self) -> Self {
        Self { own: Some(Arc::default()), ..self }
    }

    /// The same for a caller that comes back by itself: where Azure wants to be left alone for longer than that, the
    /// caller is told at once instead of being kept waiting.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Whose eyes these are.
    pub fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The address below the credential's subscription.
    pub(super) fn address(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, Error> {
        let mut path = vec!["subscriptions", &self.credential.subscription_id];
        path.extend_from_slice(segments);
        url::arm(self.credential.cloud, &path, query)
    }

    /// The address at which Azure says that a list, or an operation, goes on.
    pub(super) fn link(&self, text: &str) -> Result<Url, Error> {
        url::link(self.credential.cloud, text)
    }

    /// Reads: tries again what may pass by itself, renews the token once when it is not accepted, and ends
    /// with the deadline. Only 200 is a success.
    pub(super) async fn get(&self, operation: &'static str, url: &Url) -> Result<Answer, Error> {
        self.send(&Ask::reading(operation, Method::GET, url)).await
    }

    /// Reads something that may not be there: `None` only when Azure says so ([`Error::is_absence`]).
    pub(super) async fn find(&self, operation: &'static str, url: &Url) -> Result<Option<Answer>, Error> {
        present(self.get(operation, url).await)
    }

    /// Sends the request as often as it may be sent, renews the token once when it is not accepted, and ends with
    /// the deadline.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let mut token = self.token().await?;
        let mut renewed = false;
        let mut failed = 0;
        loop {
            let error = match self.attempt(ask, &token).await {
                // Who is asking is looked at before anything else: nothing has happened yet.
                Err(error) if error.upstream_status() == Some(401) && !renewed => {
                    renewed = true;
                    token = self.other_token(&token).await?;
                    continue;
                }
                Err(error) if ask.may_be_repeated_after(&error) => error,
                outcome => return outcome,
            };
            failed += 1;
            let left = self.deadline.saturating_duration_since(Instant::now()).min(self.patience);
            let unit = self.shared.retry_pause;
            match retry::pause(failed, error.retry_after(), left, unit, retry::jitter()) {
                Some(pause) if failed < ATTEMPTS => sleep(pause).await,
                _ => return Err(error),
            }
        }
    }

    async fn attempt(&self, ask: &Ask<'_>, token: &Token) -> Result<Answer, Error> {
        let mut request = ask.request();
        request.headers_mut().insert(AUTHORIZATION, token.authorization.clone());
        let exchange = exchange(&self.shared.client, Service::Arm, ask.operation, request);
        let answer =
            timeout_at(self.deadline, exchange).await.unwrap_or(Err(Error::TimedOut { to: Service::Arm }))?;
        if ask.good.contains(&answer.status) && foreign::kind(&answer).is_none() {
            return Ok(answer);
        }
        let sent = token.authorization.to_str().unwrap_or_default().trim_start_matches("Bearer ");
        let answer = scrub::without(answer, &[sent, self.credential.client_secret.expose_secret()]);
        let refusal = Refusal::new(ask.method.clone(), without_query(ask.url), answer, &self.shared.clock);
        Err(Error::Arm(Box::new(refusal)))
    }

    async fn token(&self) -> Result<Token, Error> {
        let Some(own) = &self.own else { return self.source.token(self.deadline).await };
        let mut own = own.lock().await;
        if let Some(token) = &*own {
            return Ok(token.clone());
        }
        let token = self.source.fetch_new(self.deadline).await?;
        Ok(own.insert(token).clone())
    }

    async fn other_token(&self, rejected: &Token) -> Result<Token, Error> {
        let Some(own) = &self.own else { return self.source.replace(rejected, self.deadline).await };
        let mut own = own.lock().await;
        let token = self.source.fetch_new(self.deadline).await?;
        Ok(own.insert(token).clone())
    }
}

/// A request to Resource Manager, apart from who asks.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    /// For logs and metrics.
    operation: &'static str,
    method: Method,
    url: &'a Url,
    body: Option<Bytes>,
    good: RangeInclusive<u16>,
    repeat: Repeat,
}

/// When a request may be sent a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    /// It changes nothing: after everything that may pass by itself.
    Freely,
    /// It changes something: only when Azure cannot have taken it. What the transport repeats by itself, refused
    /// streams and connections that were closed before they were used, did not reach Azure either.
    IfNotTaken,
}

impl<'a> Ask<'a> {
    /// A request that changes nothing, and is answered with 200.
    pub(super) fn reading(operation: &'static str, method: Method, url: &'a Url) -> Self {
        Self { operation, method, url, body: None, good: 200..=200, repeat: Repeat::Freely }
    }

    /// A request that changes something: every 2xx means that Azure took it.
    pub(super) fn writing(
        operation: &'static str,
        method: Method,
        url: &'a Url,
        body: Option<&Value>,
    ) -> Self {
        let body = body.map(|body| Bytes::from(body.to_string()));
        Self { operation, method, url, body, good: 200..=299, repeat: Repeat::IfNotTaken }
    }

    /// The same where every 2xx is a success.
    pub(super) fn any_success(self) -> Self {
        Self { good: 200..=299, ..self }
    }

    fn request(&self) -> Request {
        let mut request = Request::new(self.method.clone(), self.url.clone());
        mark(&mut request);
        if let Some(body) = &self.body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.clone().into());
        } else if self.method == Method::POST {
            // Servers refuse a POST that says nothing about its length.
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        request
    }

    fn may_be_repeated_after(&self, error: &Error) -> bool {
        may_pass(error)
            && match self.repeat {
                Repeat::Freely => true,
                Repeat::IfNotTaken => !error.may_have_been_taken(),
            }
    }
}

/// `None` where Azure says that the thing is not there.
pub(super) fn present<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_absence() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sends the request once, without a token, and gives the answer with its first challenge to authenticate.
pub(super) async fn anonymous(
    client: &Client,
    clock: &Clock,
    to: Service,
    operation: &'static str,
    url: &Url,
) -> Result<(Refusal, Option<String>), Error> {
    let mut request = Request::new(Method::GET, url.clone());
    mark(&mut request);
    let answer = exchange(client, to, operation, request).await?;
    let challenge = answer
        .headers
        .get(http::header::WWW_AUTHENTICATE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    Ok((Refusal::new(Method::GET, without_query(url), answer, clock), challenge))
}

/// What every request to Resource Manager says.
fn mark(request: &mut Request) {
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::try_from(Uuid::new_v4().to_string()) {
        headers.insert(HeaderName::from_static("x-ms-client-request-id"), id);
    }
}

/// Whether the same request may be answered in a moment. Refusals of the login service are not: its own
/// attempts are over when they arrive here.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Arm(refusal) => is_worth_repeating(refusal.status),
        Error::NoAnswer { reason, .. } => *reason != Reason::Tls,
        _ => false,
    }
}

/// The statuses that Azure's Go libraries retry (`docs/contract/azure.md#retries`).
pub(super) fn is_worth_repeating(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}
