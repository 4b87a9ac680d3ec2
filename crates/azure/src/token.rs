//! The token cache, with one entry for each credential and scope. Concurrent callers share one request to Entra and its
//! outcome.
//!
//! The cache of `azure_identity` is not used; see `entra`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::{Instant, timeout, timeout_at};

use crate::credential::{Credential, Fingerprint};
use crate::entra::{self, Token};
use crate::error::{Error, Service};
use crate::retry::RetryPolicy;
use crate::single_flight::SharedTask;
use crate::transport::Transport;

/// A token is renewed in the background this long before it expires, or in the last quarter of a short lifetime.
const RENEWAL_MS: i64 = 270_000;

/// A token that expires within this time, or in the last tenth of a short lifetime, is used only if no newer one is available.
const MIN_REMAINING_MS: i64 = 30_000;

/// The TTL of a rejected login, so that a wrong secret does not cause a stream of requests.
const REJECTION_TTL_MS: i64 = 10_000;

/// The TTL of other failures, unless the service requests a longer delay.
const FAILURE_TTL_MS: i64 = 3_000;

/// The maximum TTL of a failure with a `Retry-After`.
const MAX_FAILURE_TTL: Duration = Duration::from_mins(1);

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// The time limit of all attempts together. Callers have their own limits.
const FETCH_TIMEOUT: Duration = Duration::from_secs(25);

const MAX_ATTEMPTS: u32 = 3;

/// Entries that are unused for this long are evicted, with their secrets.
const IDLE_TIMEOUT: Duration = Duration::from_hours(1);

const CACHE_CAPACITY: u64 = 4_096;

/// The tokens of all credentials.
#[derive(Debug)]
pub(super) struct TokenCache {
    transport: Transport,
    sources: Cache<Key, Arc<TokenSource>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    fingerprint: Fingerprint,
    tenant_id: String,
    scope: String,
}

impl TokenCache {
    pub(super) fn new(transport: Transport) -> Self {
        let sources = Cache::builder()
            .max_capacity(CACHE_CAPACITY)
            .time_to_idle(IDLE_TIMEOUT)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { transport, sources }
    }

    /// The tokens of a credential for Resource Manager.
    pub(super) fn for_arm(&self, credential: &Arc<Credential>) -> Arc<TokenSource> {
        self.for_scope(credential, entra::arm_scope(credential.cloud))
    }

    /// The tokens of a credential for another application.
    pub(super) fn for_scope(&self, credential: &Arc<Credential>, scope: String) -> Arc<TokenSource> {
        let key = Key { fingerprint: credential.fingerprint, tenant_id: credential.tenant_id.clone(), scope };
        let scope = key.scope.clone();
        self.sources.get_with(key, || {
            Arc::new(TokenSource {
                transport: self.transport.clone(),
                credential: Arc::clone(credential),
                scope,
                state: Mutex::default(),
            })
        })
    }
}

/// The tokens of one credential for one scope.
#[derive(Debug)]
pub(super) struct TokenSource {
    transport: Transport,
    credential: Arc<Credential>,
    scope: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    failure: Option<Failure>,
    request: Option<SharedTask<Result<Token, Error>>>,
}

#[derive(Debug)]
struct Failure {
    error: Error,
    until_ms: i64,
}

/// The result of a cache lookup.
enum Lookup {
    Cached(Result<Token, Error>),
    /// Wait for the request; if it fails, use the token that is about to expire.
    Wait {
        request: SharedTask<Result<Token, Error>>,
        expiring: Option<Token>,
    },
}

impl TokenSource {
    /// A token that is valid for at least 30 s, if possible. Does not wait if such a token or a failure is cached.
    pub(super) async fn token(self: &Arc<Self>, deadline: Instant) -> Result<Token, Error> {
        match self.lookup() {
            Lookup::Cached(outcome) => outcome,
            Lookup::Wait { request, expiring } => {
                let outcome = timeout_at(deadline, request.outcome()).await;
                let outcome = outcome.ok().flatten().unwrap_or_else(timed_out);
                outcome.or_else(|error| expiring.ok_or(error))
            }
        }
    }

    /// Evicts a token that was rejected.
    pub(super) fn evict(&self, rejected: &str) {
        self.lock().token.take_if(|token| token.as_str() == rejected);
    }

    /// Fetches a new token now. A success is cached, a failure is not.
    pub(super) async fn fetch_new(&self, deadline: Instant) -> Result<Token, Error> {
        let token = timeout_at(deadline, self.fetch()).await.unwrap_or_else(|_| timed_out())?;
        let mut state = self.lock();
        (state.token, state.failure) = (Some(token.clone()), None);
        Ok(token)
    }

    fn lookup(self: &Arc<Self>) -> Lookup {
        let now_ms = self.transport.clock.now_ms();
        let mut state = self.lock();
        let left_ms = |token: &Token| token.expires_ms - now_ms;
        let valid = state.token.clone().filter(|token| left_ms(token) > 0);
        if let Some(token) = &valid
            && left_ms(token) > RENEWAL_MS.min(token.lifetime_ms / 4)
        {
            return Lookup::Cached(Ok(token.clone()));
        }
        if let Some(failure) = state.failure.as_ref().filter(|failure| now_ms < failure.until_ms) {
            return Lookup::Cached(valid.ok_or_else(|| failure.error.clone()));
        }
        let request = SharedTask::join_or_spawn(&mut state.request, || {
            let source = Arc::clone(self);
            async move { source.fetch_and_cache().await }
        });
        match valid {
            Some(token) if left_ms(&token) > MIN_REMAINING_MS.min(token.lifetime_ms / 10) => {
                Lookup::Cached(Ok(token))
            }
            expiring => Lookup::Wait { request, expiring },
        }
    }

    async fn fetch_and_cache(&self) -> Result<Token, Error> {
        let outcome = self.fetch().await;
        let mut state = self.lock();
        state.request = None;
        match &outcome {
            Ok(token) => (state.token, state.failure) = (Some(token.clone()), None),
            Err(error) => {
                let ttl_ms = if error.is_transient() {
                    let requested = error.retry_after().unwrap_or_default().min(MAX_FAILURE_TTL);
                    i64::try_from(requested.as_millis()).unwrap_or(0).max(FAILURE_TTL_MS)
                } else {
                    REJECTION_TTL_MS
                };
                let until_ms = self.transport.clock.now_ms() + ttl_ms;
                state.failure = Some(Failure { error: error.clone(), until_ms });
            }
        }
        outcome
    }

    /// Fetches a token, with retries.
    async fn fetch(&self) -> Result<Token, Error> {
        let deadline = Instant::now() + FETCH_TIMEOUT;
        let policy = RetryPolicy {
            max_attempts: MAX_ATTEMPTS,
            base_delay: self.transport.retry_base_delay,
            max_delay: Duration::MAX,
            deadline,
        };
        let attempt = || async move {
            let attempt_timeout = ATTEMPT_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
            let fetch = entra::fetch(&self.transport, &self.credential, &self.scope);
            timeout(attempt_timeout, fetch).await.unwrap_or_else(|_| timed_out())
        };
        let outcome = policy.run(attempt, Error::is_transient).await;
        let label = match &outcome {
            Ok(_) => "success",
            Err(error) if error.is_transient() => "unavailable",
            Err(_) => "refused",
        };
        metrics::counter!("norman_aks_token_fetches_total", "outcome" => label).increment(1);
        if let Err(error) = &outcome {
            tracing::debug!(error = error as &dyn std::error::Error, "cannot fetch a token");
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timed_out() -> Result<Token, Error> {
    Err(Error::TimedOut { to: Service::Login })
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::cloud::Cloud;
    use crate::options::Options;

    fn credential(number: u8) -> Arc<Credential> {
        Arc::new(Credential {
            cloud: Cloud::Public,
            tenant_id: "t".to_owned(),
            subscription_id: "s".to_owned(),
            client_id: "c".to_owned(),
            client_secret: SecretString::from("x"),
            fingerprint: Fingerprint([number; 32]),
        })
    }

    #[test]
    fn each_credential_and_scope_has_one_source() {
        let tokens = TokenCache::new(Transport::new(Options::default()).unwrap());
        let other_scope = |number| tokens.for_scope(&credential(number), "app/.default".to_owned());
        let first = tokens.for_arm(&credential(1));
        assert!(Arc::ptr_eq(&first, &tokens.for_arm(&credential(1))));
        assert!(!Arc::ptr_eq(&first, &tokens.for_arm(&credential(2))));
        assert!(!Arc::ptr_eq(&first, &other_scope(1)));
        assert!(Arc::ptr_eq(&other_scope(1), &other_scope(1)));
    }

    #[test]
    fn cache_is_bounded_and_evicts_idle_entries() {
        let policy = TokenCache::new(Transport::new(Options::default()).unwrap()).sources.policy();
        assert_eq!(policy.max_capacity(), Some(CACHE_CAPACITY));
        assert_eq!(policy.time_to_idle(), Some(IDLE_TIMEOUT));
    }
}
