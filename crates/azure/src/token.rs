//! Tokens, remembered by credential: one request for everybody who waits, for success and for failure.
//!
//! What `azure_identity` does with tokens of its own is not used; see `entra`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clock::Clock;
use reqwest::Client;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::credential::{Credential, Fingerprint};
use super::entra::{self, Token};
use super::error::{Error, Service};
use super::flight::Flight;
use super::retry;

/// So long before its end a token is replaced, in the background. A quarter of its life when that is shorter.
const AHEAD_MS: i64 = 270_000;

/// A token that ends sooner is not sent any more without trying to get a newer one first.
const MARGIN_MS: i64 = 30_000;

/// How long a refusal is remembered, so that a wrong secret does not become a stream of requests.
const REFUSED_MS: i64 = 10_000;

/// How long any other failure is remembered, unless the service asks for more.
const UNAVAILABLE_MS: i64 = 3_000;

/// The most that the service can ask for.
const LONGEST_REST: Duration = Duration::from_mins(1);

/// One attempt.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// All attempts together. Callers have limits of their own.
const FETCH_LIMIT: Duration = Duration::from_secs(25);

/// Attempts to get one token.
const ATTEMPTS: u32 = 3;

/// Entries that nobody asked for during this time are forgotten, and with them the secret.
const IDLE_MS: i64 = 60 * 60 * 1_000;

/// How often idle entries are looked for.
const SWEEP_MS: i64 = 60 * 1_000;

/// More credentials are not remembered at once: the one that was not used for the longest time goes.
const MOST_ENTRIES: usize = 4_096;

/// The tokens of all credentials.
#[derive(Debug)]
pub(super) struct Tokens {
    client: Client,
    clock: Clock,
    retry_pause: Duration,
    entries: Mutex<Entries>,
}

/// Whose token, of which tenant, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    fingerprint: Fingerprint,
    tenant_id: String,
    scope: String,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Key, Entry>,
    swept_ms: i64,
}

#[derive(Debug)]
struct Entry {
    source: Arc<TokenSource>,
    used_ms: i64,
}

impl Tokens {
    pub(super) fn new(client: Client, clock: Clock, retry_pause: Duration) -> Self {
        Self { client, clock, retry_pause, entries: Mutex::default() }
    }

    /// The source of a credential's tokens for Resource Manager, the same for everybody who has the same
    /// fingerprint.
    pub(super) fn of(&self, credential: &Arc<Credential>) -> Arc<TokenSource> {
        self.of_scope(credential, entra::resource_manager(credential.cloud))
    }

    /// The source of a credential's tokens for something else.
    pub(super) fn of_scope(&self, credential: &Arc<Credential>, scope: String) -> Arc<TokenSource> {
        let now = self.clock.now_ms();
        let key = Key { fingerprint: credential.fingerprint, tenant_id: credential.tenant_id.clone(), scope };
        let mut entries = self.lock();
        entries.make_room(now, &key);
        let scope = key.scope.clone();
        let entry = entries.by_key.entry(key).or_insert_with(|| Entry {
            source: Arc::new(TokenSource {
                client: self.client.clone(),
                clock: self.clock.clone(),
                retry_pause: self.retry_pause,
                credential: Arc::clone(credential),
                scope,
                state: Mutex::default(),
            }),
            used_ms: now,
        });
        entry.used_ms = now;
        Arc::clone(&entry.source)
    }

    /// Forgets the tokens and the failures of a credential.
    pub(super) fn forget(&self, fingerprint: Fingerprint) {
        self.lock().by_key.retain(|key, _| key.fingerprint != fingerprint);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Forgets what is idle, and the longest unused when there would be too many with the one to come.
    fn make_room(&mut self, now: i64, coming: &Key) {
        if now - self.swept_ms >= SWEEP_MS {
            self.swept_ms = now;
            self.by_key.retain(|_, entry| now - entry.used_ms < IDLE_MS);
        }
        if self.by_key.len() < MOST_ENTRIES || self.by_key.contains_key(coming) {
            return;
        }
        let oldest = self.by_key.iter().min_by_key(|(_, entry)| entry.used_ms).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            self.by_key.remove(&oldest);
        }
    }
}

/// The tokens of one credential for one purpose.
#[derive(Debug)]
pub(super) struct TokenSource {
    client: Client,
    clock: Clock,
    retry_pause: Duration,
    credential: Arc<Credential>,
    scope: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    failure: Option<Failure>,
    flight: Option<Flight<Result<Token, Error>>>,
}

#[derive(Debug)]
struct Failure {
    error: Error,
    until_ms: i64,
}

/// What to do for one who wants a token.
enum Decision {
    Take(Token),
    Fail(Error),
    Wait { flight: Flight<Result<Token, Error>>, meanwhile: Option<Token> },
}

impl TokenSource {
    /// A token that is good for at least half a minute if one can be had, or the reason why not. Does not wait
    /// when there is a token that still lives, or a failure that is fresh.
    pub(super) async fn token(self: &Arc<Self>, deadline: Instant) -> Result<Token, Error> {
        match self.decide() {
            Decision::Take(token) => Ok(token),
            Decision::Fail(error) => Err(error),
            Decision::Wait { flight, meanwhile } => {
                let timed_out = Err(Error::TimedOut { to: Service::Login });
                let outcome =
                    timeout_at(deadline, flight.outcome()).await.ok().flatten().unwrap_or(timed_out);
                outcome.or_else(|error| meanwhile.ok_or(error))
            }
        }
    }

    /// A token that is not `rejected`, which Resource Manager did not accept.
    pub(super) async fn replace(
        self: &Arc<Self>,
        rejected: &Token,
        deadline: Instant,
    ) -> Result<Token, Error> {
        {
            let mut state = self.lock();
            if state.token.as_ref() == Some(rejected) {
                state.token = None;
            }
        }
        self.token(deadline).await
    }

    /// Evicts a token that was not accepted.
    pub(super) fn drop_rejected(&self, rejected: &SecretString) {
        let mut state = self.lock();
        let is_rejected = |token: &Token| {
            let text = token.authorization.to_str().unwrap_or_default();
            text.strip_prefix("Bearer ") == Some(rejected.expose_secret())
        };
        if state.token.as_ref().is_some_and(is_rejected) {
            state.token = None;
        }
    }

    /// A token that is asked for now, whatever is remembered. A success is remembered for the others; a failure
    /// is the caller's alone.
    pub(super) async fn fetch_new(&self, deadline: Instant) -> Result<Token, Error> {
        let token = timeout_at(deadline, self.fetch())
            .await
            .unwrap_or(Err(Error::TimedOut { to: Service::Login }))?;
        let mut state = self.lock();
        state.token = Some(token.clone());
        state.failure = None;
        Ok(token)
    }

    fn decide(self: &Arc<Self>) -> Decision {
        let now = self.clock.now_ms();
        let mut state = self.lock();
        let left_ms = |token: &Token| token.expires_ms - now;
        let living = state.token.clone().filter(|token| left_ms(token) > 0);
        if let Some(token) = &living
            && left_ms(token) > AHEAD_MS.min(token.life_ms / 4)
        {
            return Decision::Take(token.clone());
        }
        if let Some(failure) = state.failure.as_ref().filter(|failure| now < failure.until_ms) {
            return living.map_or_else(|| Decision::Fail(failure.error.clone()), Decision::Take);
        }
        let flight = match &state.flight {
            Some(flight) if !flight.is_lost() => flight.clone(),
            _ => {
                let source = Arc::clone(self);
                let flight = Flight::start(async move { source.fetch_and_remember().await });
                state.flight = Some(flight.clone());
                flight
            }
        };
        match living {
            Some(token) if left_ms(&token) > MARGIN_MS.min(token.life_ms / 10) => Decision::Take(token),
            meanwhile => Decision::Wait { flight, meanwhile },
        }
    }

    async fn fetch_and_remember(&self) -> Result<Token, Error> {
        let outcome = self.fetch().await;
        let mut state = self.lock();
        state.flight = None;
        match &outcome {
            Ok(token) => {
                state.token = Some(token.clone());
                state.failure = None;
            }
            Err(error) => {
                let rest_ms = if error.is_transient() {
                    let asked = error.retry_after().unwrap_or_default().min(LONGEST_REST);
                    i64::try_from(asked.as_millis()).unwrap_or(0).max(UNAVAILABLE_MS)
                } else {
                    REFUSED_MS
                };
                let until_ms = self.clock.now_ms() + rest_ms;
                state.failure = Some(Failure { error: error.clone(), until_ms });
            }
        }
        outcome
    }

    /// Asks until there is an outcome that asking again would not change, or the time is up.
    async fn fetch(&self) -> Result<Token, Error> {
        let deadline = Instant::now() + FETCH_LIMIT;
        let mut failed = 0;
        let outcome = loop {
            let limit = ATTEMPT_LIMIT.min(deadline.saturating_duration_since(Instant::now()));
            let asked = entra::fetch(&self.client, &self.clock, &self.credential, &self.scope);
            let attempt = timeout(limit, asked).await.unwrap_or(Err(Error::TimedOut { to: Service::Login }));
            let error = match attempt {
                Err(error) if error.is_transient() => error,
                outcome => break outcome,
            };
            failed += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let pause = retry::pause(failed, error.retry_after(), left, self.retry_pause, retry::jitter());
            match pause {
                Some(pause) if failed < ATTEMPTS => sleep(pause).await,
                _ => break Err(error),
            }
        };
        let label = match &outcome {
            Ok(_) => "success",
            Err(error) if error.is_transient() => "unavailable",
            Err(_) => "refused",
        };
        metrics::counter!("norman_aks_token_fetches_total", "outcome" => label).increment(1);
        if let Err(error) = &outcome {
            tracing::debug!(error = error as &dyn std::error::Error, "no token");
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::super::Cloud;
    use super::*;

    fn tokens(clock: &Clock) -> Tokens {
        let client = super::super::transport::client(&super::super::Options::default()).unwrap();
        Tokens::new(client, clock.clone(), Duration::ZERO)
    }

    fn credential(number: u16) -> Arc<Credential> {
        let mut fingerprint = [0; 32];
        fingerprint[..2].copy_from_slice(&number.to_be_bytes());
        Arc::new(Credential {
            cloud: Cloud::Public,
            tenant_id: "t".to_owned(),
            subscription_id: "s".to_owned(),
            client_id: "c".to_owned(),
            client_secret: SecretString::from("x"),
            fingerprint: Fingerprint(fingerprint),
        })
    }

    fn knows(tokens: &Tokens, number: u16) -> bool {
        let fingerprint = credential(number).fingerprint;
        tokens.lock().by_key.keys().any(|key| key.fingerprint == fingerprint)
    }

    #[test]
    fn one_credential_has_one_source_until_it_is_forgotten() {
        let tokens = tokens(&Clock::manual(0));
        let first = tokens.of(&credential(1));
        assert!(Arc::ptr_eq(&first, &tokens.of(&credential(1))));
        assert!(!Arc::ptr_eq(&first, &tokens.of(&credential(2))));
        let other = tokens.of_scope(&credential(1), "app/.default".to_owned());
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(Arc::ptr_eq(&other, &tokens.of_scope(&credential(1), "app/.default".to_owned())));
        tokens.forget(credential(1).fingerprint);
        assert!(!Arc::ptr_eq(&first, &tokens.of(&credential(1))));
        assert!(!Arc::ptr_eq(&other, &tokens.of_scope(&credential(1), "app/.default".to_owned())));
    }

    #[test]
    fn what_nobody_uses_for_an_hour_is_forgotten() {
        let clock = Clock::manual(1_000_000_000);
        let tokens = tokens(&clock);
        tokens.of(&credential(1));
        tokens.of(&credential(2));
        clock.advance(Duration::from_mins(40));
        tokens.of(&credential(2));
        clock.advance(Duration::from_mins(40));
        tokens.of(&credential(3));
        assert!(!knows(&tokens, 1) && knows(&tokens, 2) && knows(&tokens, 3));
    }

    #[test]
    fn the_memory_is_bounded_and_the_longest_unused_goes_first() {
        let clock = Clock::manual(1_000_000_000);
        let tokens = tokens(&clock);
        let most = u16::try_from(MOST_ENTRIES).unwrap();
        for number in 0..most {
            tokens.of(&credential(number));
            clock.advance(Duration::from_millis(1));
        }
        tokens.of(&credential(0));
        clock.advance(Duration::from_millis(1));
        tokens.of(&credential(most));
        assert_eq!(tokens.lock().by_key.len(), MOST_ENTRIES);
        assert!(knows(&tokens, 0) && !knows(&tokens, 1) && knows(&tokens, 2) && knows(&tokens, most));
    }
}
