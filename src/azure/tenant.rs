//! Which tenant a subscription belongs to: an unauthenticated request is refused with a header that tells.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Client, Url};
use tokio::time::{Instant, sleep, timeout_at};

use crate::clock::Clock;

use super::call::{anonymous, is_worth_repeating};
use super::cloud::Cloud;
use super::error::{Error, Service};
use super::flight::Flight;
use super::refusal::Refusal;
use super::{retry, url};

/// All attempts together (contract, section 6).
const LIMIT: Duration = Duration::from_secs(5);

/// Attempts of [`Discovery::Check`].
const ATTEMPTS: u32 = 3;

/// How long a tenant is remembered.
const REMEMBERED_MS: i64 = 60 * 60 * 1_000;

/// More are not remembered at once: the eldest goes.
const MOST_ENTRIES: usize = 4_096;

/// For whom the tenant is discovered (contract, section 6).
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

type Outcome = Result<String, DiscoveryError>;

/// Asks for tenants and remembers them by cloud and subscription.
#[derive(Debug)]
pub(super) struct Tenants {
    client: Client,
    clock: Clock,
    retry_pause: Duration,
    entries: Mutex<HashMap<(Cloud, String), Entry>>,
}

#[derive(Debug)]
enum Entry {
    Known { tenant: String, since_ms: i64 },
    Asked(Flight<Outcome>),
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
                let flight = match self.known_or_asked(&key, address) {
                    Ok(tenant) => return Ok(tenant),
                    Err(flight) => flight,
                };
                timeout_at(deadline, flight.outcome()).await.ok().flatten().unwrap_or_else(timed_out)
            }
        }
    }

    /// The remembered tenant, or the request that is under way for it.
    fn known_or_asked(
        self: &Arc<Self>,
        key: &(Cloud, String),
        address: Url,
    ) -> Result<String, Flight<Outcome>> {
        let now = self.clock.now_ms();
        let mut entries = self.lock();
        match entries.get(key) {
            Some(Entry::Known { tenant, since_ms }) if now - since_ms < REMEMBERED_MS => {
                return Ok(tenant.clone());
            }
            Some(Entry::Asked(flight)) if !flight.is_lost() => return Err(flight.clone()),
            _ => {}
        }
        make_room(&mut entries, now);
        let tenants = Arc::clone(self);
        let asked_for = key.clone();
        let flight = Flight::start(async move {
            let outcome = tenants.ask(&address, Discovery::Stored, Instant::now() + LIMIT).await;
            let mut entries = tenants.lock();
            match &outcome {
                Ok(tenant) => {
                    let since_ms = tenants.clock.now_ms();
                    entries.insert(asked_for, Entry::Known { tenant: tenant.clone(), since_ms });
                }
                Err(_) => {
                    entries.remove(&asked_for);
                }
            }
            outcome
        });
        entries.insert(key.clone(), Entry::Asked(flight.clone()));
        Err(flight)
    }

    async fn ask(&self, address: &Url, how: Discovery, deadline: Instant) -> Outcome {
        let mut failed = 0;
        loop {
            let exchange = anonymous(&self.client, &self.clock, Service::Arm, "tenant", address);
            let (refusal, challenge) = match timeout_at(deadline, exchange).await {
                Ok(answered) => answered.map_err(DiscoveryError::NoAnswer)?,
                Err(_) => return timed_out(),
            };
            if refusal.status == 401 {
                let header = challenge.ok_or(DiscoveryError::HeaderMissing)?;
                return match tenant_in(&header) {
                    Some(tenant) => Ok(tenant.to_owned()),
                    None => Err(DiscoveryError::NoMatch { header }),
                };
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
    entries.retain(|_, entry| match entry {
        Entry::Known { since_ms, .. } => now - *since_ms < REMEMBERED_MS,
        Entry::Asked(_) => true,
    });
    let eldest = entries
        .iter()
        .filter_map(|(key, entry)| match entry {
            Entry::Known { since_ms, .. } => Some((since_ms, key)),
            Entry::Asked(_) => None,
        })
        .min_by_key(|(since_ms, _)| **since_ms)
        .map(|(_, key)| key.clone());
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
        let mut entries: HashMap<_, _> = (0..MOST_ENTRIES)
            .map(|n| {
                (key(n), Entry::Known { tenant: "t".to_owned(), since_ms: i64::try_from(n).unwrap() + 5 })
            })
            .collect();
        make_room(&mut entries, 10);
        assert_eq!(entries.len(), MOST_ENTRIES - 1);
        assert!(!entries.contains_key(&key(0)) && entries.contains_key(&key(1)));
        entries.insert(key(0), Entry::Asked(Flight::start(std::future::pending())));
        make_room(&mut entries, REMEMBERED_MS + 50);
        assert!(!entries.contains_key(&key(40)) && entries.contains_key(&key(46)));
        assert!(entries.contains_key(&key(0)), "what is under way stays");
    }
}
