//! Which tenant a subscription belongs to: an unauthenticated request is refused with a header that tells.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clock::Clock;
use reqwest::{Client, Url};
use tokio::time::{Instant, sleep, timeout_at};

use super::call::{anonymous, is_worth_repeating};
use super::cloud::Cloud;
use super::error::{Error, Service};
use super::flight::Flight;
use super::refusal::Refusal;
use super::{retry, url};

/// The time limit of all attempts together (`docs/contract/azure.md#tenant-discovery`).
const LIMIT: Duration = Duration::from_secs(5);

/// Attempts of [`Discovery::Check`].
const ATTEMPTS: u32 = 3;

/// The age up to which a tenant is used without asking.
const TTL_MS: i64 = 60 * 60 * 1_000;

/// The age up to which a tenant is used because Azure does not answer, or is slow. A subscription hardly ever moves to
/// another tenant, and a wrong tenant is refused by the login service.
const MAX_AGE_MS: i64 = 25 * 60 * 60 * 1_000;

/// How long a request may run before a caller for whom an older tenant is known gets that.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// More are not remembered at once: the eldest goes.
const MOST_ENTRIES: usize = 4_096;

/// The purpose of a tenant discovery (`docs/contract/azure.md#tenant-discovery`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// For `aksCheckCredentials`: always asked, up to three times.
    Check,
    /// For a credential that is in use: asked once, remembered for an hour.
    Stored,
}

impl Discovery {
    fn api_version(self) -> &'static str {
        match self {
            Self::Check => "2019-11-01",
            Self::Stored => "2022-12-01",
        }
    }

    fn attempts(self) -> u32 {
        match self {
            Self::Check => ATTEMPTS,
            Self::Stored => 1,
        }
    }
}

/// Why the tenant is not known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No answer, also because of the time limit; or the subscription cannot be part of an address.
    #[error("the tenant of the subscription could not be asked for")]
    NoAnswer(#[source] Error),
    /// An answer that is not the expected 401, for example 404 for an unknown subscription.
    #[error("the request for the tenant of the subscription was answered {0}")]
    Unexpected(Box<Refusal>),
    /// A 401 without `WWW-Authenticate`.
    #[error("the answer has no header WWW-Authenticate")]
    HeaderMissing,
    /// The header names no tenant.
    #[error("the header WWW-Authenticate names no tenant: {header:?}")]
    NoMatch {
        /// The header as it came.
        header: String,
    },
}

impl DiscoveryError {
    /// Whether an older tenant is better than this error. Only a 4xx speaks of the subscription; what is no response
    /// of Azure's comes from something in between.
    fn allows_stale(&self) -> bool {
        match self {
            Self::Unexpected(refusal) if refusal.foreign.is_some() => true,
            Self::Unexpected(refusal) => !matches!(refusal.status, 400..=407 | 409..=428 | 430..=499),
            Self::NoAnswer(_) | Self::HeaderMissing | Self::NoMatch { .. } => true,
        }
    }

    fn is_timeout(&self) -> bool {
        match self {
            Self::NoAnswer(error) => error.is_timeout(),
            Self::Unexpected(refusal) => matches!(refusal.status, 408 | 504),
            Self::HeaderMissing | Self::NoMatch { .. } => false,
        }
    }
}

type Outcome = Result<String, DiscoveryError>;

/// Asks for tenants and remembers them by cloud and subscription.
#[derive(Debug)]
pub(super) struct Tenants {
    client: Client,
    clock: Clock,
    retry_pause: Duration,
    entries: Mutex<HashMap<(Cloud, String), Entry>>,
}

/// A tenant, or the request for it, or both when the tenant is old.
#[derive(Debug, Default)]
struct Entry {
    known: Option<Known>,
    request: Option<Request>,
    /// Whether a request timed out, and none has succeeded since.
    timed_out: bool,
}

#[derive(Clone, Debug)]
struct Known {
    tenant: String,
    since_ms: i64,
}

/// A request in flight.
#[derive(Clone, Debug)]
struct Request {
    started: Instant,
    flight: Flight<Outcome>,
}

/// What to do for one who needs a tenant.
enum Decision {
    Take(String),
    Wait { request: Request, meanwhile: Option<String> },
}

impl Tenants {
    pub(super) fn new(client: Client, clock: Clock, retry_pause: Duration) -> Self {
        Self { client, clock, retry_pause, entries: Mutex::default() }
    }

    pub(super) async fn discover(
        self: &Arc<Self>,
        cloud: Cloud,
        subscription_id: &str,
        how: Discovery,
        deadline: Instant,
    ) -> Outcome {
        if subscription_id.is_empty() {
            return Err(DiscoveryError::NoAnswer(Error::EmptySubscription));
        }
        let address =
            url::arm(cloud, &["subscriptions", subscription_id], &[("api-version", how.api_version())])
                .map_err(DiscoveryError::NoAnswer)?;
        let deadline = deadline.min(Instant::now() + LIMIT);
        match how {
            Discovery::Check => self.ask(&address, how, deadline).await,
            Discovery::Stored => {
                let key = (cloud, subscription_id.to_ascii_lowercase());
                let (request, meanwhile) = match self.decide(&key, address) {
                    Decision::Take(tenant) => return Ok(tenant),
                    Decision::Wait { request, meanwhile } => (request, meanwhile),
                };
                let Some(meanwhile) = meanwhile else {
                    let outcome = timeout_at(deadline, request.flight.outcome()).await;
                    return outcome.ok().flatten().unwrap_or_else(timed_out);
                };
                let until = deadline.min(request.started + STALE_AFTER);
                match timeout_at(until, request.flight.outcome()).await {
                    Ok(Some(Ok(tenant))) => Ok(tenant),
                    Ok(Some(Err(error))) if !error.allows_stale() => Err(error),
                    _ => Ok(meanwhile),
                }
            }
        }
    }

    /// The known tenant, or the request in flight for it.
    fn decide(self: &Arc<Self>, key: &(Cloud, String), address: Url) -> Decision {
        let now = self.clock.now_ms();
        let mut entries = self.lock();
        if !entries.contains_key(key) {
            make_room(&mut entries, now);
        }
        let entry = entries.entry(key.clone()).or_default();
        let age = |known: &Known| now - known.since_ms;
        if let Some(known) = entry.known.as_ref().filter(|known| age(known) < TTL_MS) {
            return Decision::Take(known.tenant.clone());
        }
        let request = match &entry.request {
            Some(request) if !request.flight.is_lost() => request.clone(),
            _ => {
                let (tenants, asked_for) = (Arc::clone(self), key.clone());
                let flight =
                    Flight::start(async move { tenants.ask_and_remember(&asked_for, &address).await });
                let request = Request { started: Instant::now(), flight };
                entry.request = Some(request.clone());
                request
            }
        };
        let old = entry.known.as_ref().filter(|known| age(known) < MAX_AGE_MS);
        match old.map(|known| known.tenant.clone()) {
            Some(tenant) if entry.timed_out => Decision::Take(tenant),
            meanwhile => Decision::Wait { request, meanwhile },
        }
    }

    async fn ask_and_remember(&self, key: &(Cloud, String), address: &Url) -> Outcome {
        let outcome = self.ask(address, Discovery::Stored, Instant::now() + LIMIT).await;
        let mut entries = self.lock();
        match &outcome {
            Ok(tenant) => {
                let known = Known { tenant: tenant.clone(), since_ms: self.clock.now_ms() };
                entries.insert(key.clone(), Entry { known: Some(known), ..Entry::default() });
            }
            Err(error) if error.allows_stale() => {
                if let Some(Entry { known: Some(known), timed_out, .. }) = entries.remove(key) {
                    let timed_out = timed_out || error.is_timeout();
                    entries.insert(key.clone(), Entry { known: Some(known), request: None, timed_out });
                }
            }
            Err(_) => {
                entries.remove(key);
            }
        }
        outcome
    }

    async fn ask(&self, address: &Url, how: Discovery, deadline: Instant) -> Outcome {
        let mut failed = 0;
        loop {
            let exchange = anonymous(&self.client, &self.clock, Service::Arm, "tenant", address);
            let (refusal, challenge) = match timeout_at(deadline, exchange).await {
                Ok(answered) => answered.map_err(DiscoveryError::NoAnswer)?,
                Err(_) => return timed_out(),
            };
            if let (401, Some(header)) = (refusal.status, challenge) {
                return match tenant_in(&header) {
                    Some(tenant) => Ok(tenant.to_owned()),
                    None => Err(DiscoveryError::NoMatch { header }),
                };
            }
            if refusal.status == 401 && refusal.foreign.is_none() {
                return Err(DiscoveryError::HeaderMissing);
            }
            failed += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let pause = Some(failed)
                .filter(|failed| *failed < how.attempts() && is_worth_repeating(refusal.status))
                .and_then(|failed| {
                    retry::pause(failed, refusal.retry_after, left, self.retry_pause, retry::jitter())
                });
            match pause {
                Some(pause) => sleep(pause).await,
                None => return Err(DiscoveryError::Unexpected(Box::new(refusal))),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Cloud, String), Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timed_out() -> Outcome {
    Err(DiscoveryError::NoAnswer(Error::TimedOut { to: Service::Arm }))
}

fn make_room(entries: &mut HashMap<(Cloud, String), Entry>, now: i64) {
    if entries.len() < MOST_ENTRIES {
        return;
    }
    entries.retain(|_, entry| {
        entry.request.is_some() || entry.known.as_ref().is_some_and(|known| now - known.since_ms < MAX_AGE_MS)
    });
    let idle = entries.iter().filter(|(_, entry)| entry.request.is_none());
    let eldest = idle
        .min_by_key(|(_, entry)| entry.known.as_ref().map(|known| known.since_ms))
        .map(|(key, _)| key.clone());
    if entries.len() >= MOST_ENTRIES
        && let Some(eldest) = eldest
    {
        entries.remove(&eldest);
    }
}

/// The last part of the path of `authorization_uri`: lower-case hexadecimal digits and hyphens.
fn tenant_in(header: &str) -> Option<&str> {
    let (_, rest) = header.split_once("authorization_uri=\"")?;
    let (address, _) = rest.split_once('"')?;
    let (_, tenant) = address.rsplit_once('/')?;
    let fits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    (!tenant.is_empty() && tenant.bytes().all(fits)).then_some(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_the_last_part_of_the_authorization_uri() {
        for (header, tenant) in [
            (
                r#"Bearer authorization_uri="https://login.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47", error="invalid_token""#,
                Some("72f988bf-86f1-41af-91ab-2d7cd011db47"),
            ),
            (r#"Bearer a="b", authorization_uri="https://h/x/y/0-f""#, Some("0-f")),
            (r#"authorization_uri="https://h/abc", error_uri="https://evil/def""#, Some("abc")),
            (r#"authorization_uri="https://h/ABC""#, None),
            (r#"authorization_uri="https://h/common""#, None),
            (r#"authorization_uri="https://h/""#, None),
            (r#"authorization_uri="abc""#, None),
            (r#"authorization_uri="https://h/abc"#, None),
            ("authorization_uri=https://h/abc", None),
            ("Basic realm=\"x\"", None),
            ("", None),
        ] {
            assert_eq!(tenant_in(header), tenant, "{header}");
        }
    }

    #[tokio::test]
    async fn the_memory_is_bounded_and_the_eldest_goes_first() {
        let key = |n: usize| (Cloud::Public, n.to_string());
        let known =
            |since_ms| Entry { known: Some(Known { tenant: "t".to_owned(), since_ms }), ..Entry::default() };
        let mut entries: HashMap<_, _> =
            (0..MOST_ENTRIES).map(|n| (key(n), known(i64::try_from(n).unwrap() + 5))).collect();
        make_room(&mut entries, 10);
        assert_eq!(entries.len(), MOST_ENTRIES - 1);
        assert!(!entries.contains_key(&key(0)) && entries.contains_key(&key(1)));
        let flight = Flight::start(std::future::pending());
        let request = Some(Request { started: Instant::now(), flight });
        entries.insert(key(0), Entry { request, ..Entry::default() });
        make_room(&mut entries, MAX_AGE_MS + 50);
        assert!(!entries.contains_key(&key(40)) && entries.contains_key(&key(46)));
        assert!(entries.contains_key(&key(0)), "what is in flight stays");
    }
}
