//! Sends the requests of one task to Resource Manager, with a token, within the budget and the deadline, and with retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clock::Clock;
use http::header::AUTHORIZATION;
use reqwest::Url;
use secrecy::ExposeSecret as _;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use crate::budget::{Budget, CallerId, Priority, RequestKind, Reservation};
use crate::credential::Credential;
use crate::entra::Token;
use crate::error::{Error, Reason, Service};
use crate::error_response::ArmError;
use crate::foreign_response::foreign_reason;
use crate::redact;
use crate::request::{ArmRequest, is_retryable_status};
use crate::request_name::RequestName;
use crate::response::Response;
use crate::retry::{RetryAfter, RetryPolicy};
use crate::token::TokenSource;
use crate::transport::Transport;
use crate::url::{self, without_query};

/// The first attempt and three more, as in Azure's Go libraries (`docs/contract/azure.md#retries`).
const MAX_ATTEMPTS: u32 = 4;

/// The longest time that a request waits for the budget to admit it.
const MAX_BUDGET_WAIT: Duration = Duration::from_secs(2);

/// A client of Resource Manager for one task, with the rights of one credential, until a deadline.
#[derive(Clone, Debug)]
pub struct Arm {
    transport: Transport,
    credential: Arc<Credential>,
    token_source: Arc<TokenSource>,
    budget: Arc<Budget>,
    priority: Priority,
    /// Whether a request of the task was admitted. Later ones get the priority of a caller, so that the task can finish.
    is_started: Arc<AtomicBool>,
    deadline: Instant,
    /// The longest delay between two attempts.
    max_delay: Duration,
    /// The token of this task if cached ones are ignored; empty until it is fetched.
    own_token: Option<Arc<Mutex<Option<Token>>>>,
}

impl Arm {
    pub(super) fn new(
        transport: Transport,
        credential: &Arc<Credential>,
        token_source: Arc<TokenSource>,
        budget: Arc<Budget>,
        deadline: Instant,
    ) -> Self {
        Self {
            transport,
            credential: Arc::clone(credential),
            token_source,
            budget,
            priority: Priority::Caller(CallerId::SERVER),
            is_started: Arc::default(),
            deadline,
            max_delay: Duration::MAX,
            own_token: None,
        }
    }

    /// Sets the priority of the requests; by default, the server itself is the caller that waits for them.
    #[must_use]
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// Fetches a new token with the first request and ignores cached ones. The new token is cached for other tasks; a failure
    /// is not. The first request is sent even if the budget is exhausted, because it checks the credential.
    #[must_use]
    pub fn with_new_token(self) -> Self {
        Self { own_token: Some(Arc::default()), ..self }
    }

    /// Returns the error immediately if the delay before the next attempt would be `max_delay` or longer.
    #[must_use]
    pub fn with_max_delay(self, max_delay: Duration) -> Self {
        Self { max_delay, ..self }
    }

    /// Logs in if no token is cached. Sends nothing to Resource Manager.
    pub async fn log_in(&self) -> Result<(), Error> {
        self.token().await.map(drop)
    }

    /// The credential of the requests.
    pub fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.transport.clock
    }

    /// The URL of a resource in the credential's subscription.
    pub(super) fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, Error> {
        let mut path = vec!["subscriptions", &self.credential.subscription_id];
        path.extend_from_slice(segments);
        url::build(self.credential.cloud, &path, query)
    }

    /// The URL of a resource that need not be in the credential's subscription.
    pub(super) fn tenant_url(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, Error> {
        url::build(self.credential.cloud, segments, query)
    }

    /// The URL of a regional list.
    pub(super) fn regional_url(
        &self,
        provider: &str,
        region: &str,
        list: &str,
        api_version: &str,
    ) -> Result<Url, Error> {
        if region.is_empty() {
            return Err(Error::EmptyRegion);
        }
        self.url(&["providers", provider, "locations", region, list], &[("api-version", api_version)])
    }

    /// Parses a URL from one of Azure's responses: of the next page, or of an operation.
    pub(super) fn parse_link(&self, link: &str) -> Result<Url, Error> {
        url::parse_link(self.credential.cloud, link)
    }

    /// Reads with GET. Only 200 is a success.
    pub(super) async fn get(&self, name: RequestName, url: &Url) -> Result<Response, Error> {
        self.send(&ArmRequest::get(name, url)).await
    }

    /// Sends the request. Retries it if that is safe, and replaces a rejected token once.
    pub(super) async fn send(&self, request: &ArmRequest<'_>) -> Result<Response, Error> {
        // Before `admit`, which can return Azure's error for another caller's request: only an authenticated caller may see it.
        let token = self.token().await?;
        let mut reservation = Some(self.admit(request).await?);
        let mut failed_attempts = 0;
        match self.send_with_token(request, &token, &mut reservation, &mut failed_attempts).await {
            // Safe to repeat: a request whose token is rejected changes nothing.
            Err(error) if error.upstream_status() == Some(401) => {
                let token = self.replace_token(&token).await?;
                self.send_with_token(request, &token, &mut None, &mut failed_attempts).await
            }
            outcome => outcome,
        }
    }

    /// Waits at most [`MAX_BUDGET_WAIT`] until the budget admits the request. Fails immediately if that would take longer, or if
    /// no caller waits for the response. Retries need no admission, because they have waited as long as Azure requested.
    async fn admit(&self, request: &ArmRequest<'_>) -> Result<Reservation, Error> {
        let kind = request_kind(request);
        if self.own_token.is_some() && !self.is_started.swap(true, Ordering::AcqRel) {
            return Ok(self.budget.reserve(self.effective_priority(), &kind));
        }
        let latest_start = (Instant::now() + MAX_BUDGET_WAIT.min(self.max_delay)).min(self.deadline);
        let mut rejections = 0;
        loop {
            let priority = self.effective_priority();
            let deferral = match self.budget.admit(priority, &kind) {
                Ok(reservation) => {
                    self.is_started.store(true, Ordering::Release);
                    return Ok(reservation);
                }
                Err(deferral) => deferral,
            };
            rejections += 1;
            let may_wait = matches!(priority, Priority::Caller(_)) && rejections < MAX_ATTEMPTS;
            if !may_wait || Instant::now() + deferral.delay() > latest_start {
                return Err(deferral.into_error());
            }
            sleep(deferral.delay()).await;
        }
    }

    fn effective_priority(&self) -> Priority {
        if self.is_started.load(Ordering::Acquire)
            && matches!(self.priority, Priority::Background | Priority::Speculative)
        {
            return Priority::Caller(CallerId::SERVER);
        }
        self.priority
    }

    async fn send_with_token(
        &self,
        request: &ArmRequest<'_>,
        token: &Token,
        reservation: &mut Option<Reservation>,
        failed_attempts: &mut u32,
    ) -> Result<Response, Error> {
        let policy = RetryPolicy {
            max_attempts: MAX_ATTEMPTS,
            base_delay: self.transport.retry_base_delay,
            max_delay: self.max_delay,
            deadline: self.deadline,
        };
        let may_retry = |error: &Error| {
            is_retryable(error) && (request.changes_nothing() || !error.may_have_been_accepted())
        };
        let attempt = || {
            let reservation = reservation.take();
            let reservation = reservation
                .unwrap_or_else(|| self.budget.reserve(self.effective_priority(), &request_kind(request)));
            self.send_once(request, token, reservation)
        };
        policy.run_after(failed_attempts, attempt, may_retry).await
    }

    async fn send_once(
        &self,
        request: &ArmRequest<'_>,
        token: &Token,
        mut reservation: Reservation,
    ) -> Result<Response, Error> {
        let mut http_request = request.to_http();
        http_request.headers_mut().insert(AUTHORIZATION, token.authorization.clone());
        let exchange = self.transport.exchange(Service::Arm, request.name(), http_request);
        let response =
            timeout_at(self.deadline, exchange).await.unwrap_or(Err(Error::TimedOut { to: Service::Arm }))?;
        reservation.observe(&response.headers);
        if request.is_success(response.status) && foreign_reason(&response).is_none() {
            return Ok(response);
        }
        let response =
            redact::redact(response, &[token.as_str(), self.credential.client_secret.expose_secret()]);
        let error =
            ArmError::new(request.method().clone(), without_query(request.url()), response, self.clock());
        if error.status == 429 && error.foreign_reason.is_none() {
            reservation.record_throttling(&error);
        }
        Err(Error::Arm(Box::new(error)))
    }

    async fn token(&self) -> Result<Token, Error> {
        let Some(own_token) = &self.own_token else { return self.token_source.token(self.deadline).await };
        let mut own_token = own_token.lock().await;
        if let Some(token) = &*own_token {
            return Ok(token.clone());
        }
        let token = self.token_source.fetch_new(self.deadline).await?;
        Ok(own_token.insert(token).clone())
    }

    async fn replace_token(&self, rejected: &Token) -> Result<Token, Error> {
        let Some(own_token) = &self.own_token else {
            self.token_source.evict(rejected.as_str());
            return self.token_source.token(self.deadline).await;
        };
        let mut own_token = own_token.lock().await;
        let token = self.token_source.fetch_new(self.deadline).await?;
        Ok(own_token.insert(token).clone())
    }
}

fn request_kind<'a>(request: &'a ArmRequest<'_>) -> RequestKind<'a> {
    RequestKind { name: request.name(), method: request.method(), url: without_query(request.url()) }
}

impl RetryAfter for Error {
    fn retry_after(&self) -> Option<Duration> {
        Error::retry_after(self)
    }
}

/// Whether the same request may soon succeed.
fn is_retryable(error: &Error) -> bool {
    match error {
        Error::Arm(error) => is_retryable_status(error.status),
        Error::NoResponse { reason, .. } => *reason != Reason::Tls,
        _ => false,
    }
}
