//! Tenant discovery: an unauthenticated request for a subscription is rejected with a header that contains its tenant.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use http::header::WWW_AUTHENTICATE;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use reqwest::Url;
use tokio::time::{Instant, timeout_at};

use crate::cloud::Cloud;
use crate::error::{Error, Service};
use crate::error_response::ArmError;
use crate::request::{is_retryable_status, new_request};
use crate::request_name::RequestName;
use crate::retry::{RetryAfter, RetryPolicy};
use crate::single_flight::SharedTask;
use crate::transport::Transport;
use crate::url::{self, without_query};

/// The time limit of all attempts together (`docs/contract/azure.md#tenant-discovery`).
const TIMEOUT: Duration = Duration::from_secs(5);

/// The TTL of a cached tenant.
const TTL_MS: i64 = 60 * 60 * 1_000;

/// The age up to which a cached tenant is used if Azure sends no usable response in time. A subscription rarely moves to
/// another tenant, and the login service rejects a wrong one.
const MAX_STALE_MS: i64 = 25 * 60 * 60 * 1_000;

/// The time after which callers of a pending request get the stale tenant.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// The maximum length of a subscription ID whose tenant is cached, in bytes.
const MAX_CACHED_ID_LEN: usize = 128;
const CACHE_CAPACITY: u64 = 4_096;

/// The purpose of a tenant discovery (`docs/contract/azure.md#tenant-discovery`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryPurpose {
    /// For `aksCheckCredentials`: bypasses the cache, with up to three attempts.
    Check,
    /// For a credential that is in use: one attempt, cached for an hour.
    Stored,
}

impl DiscoveryPurpose {
    fn api_version(self) -> &'static str {
        match self {
            Self::Check => "2019-11-01",
            Self::Stored => "2022-12-01",
        }
    }

    fn max_attempts(self) -> u32 {
        match self {
            Self::Check => 3,
            Self::Stored => 1,
        }
    }
}

/// Errors of tenant discovery.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No response, or none within the time limit; or the subscription cannot be part of a URL.
    #[error("cannot request the tenant of the subscription")]
    Request(#[source] Error),
    /// A response other than the expected 401, for example 404 for an unknown subscription.
    #[error("the request for the tenant of the subscription got the unexpected status {0}")]
    Unexpected(Box<ArmError>),
    /// A 401 without `WWW-Authenticate`.
    #[error("the response has no header WWW-Authenticate")]
    HeaderMissing,
    /// The header contains no tenant.
    #[error("the header WWW-Authenticate contains no tenant: {header:?}")]
    NoMatch {
        /// The header as received.
        header: String,
    },
}

impl DiscoveryError {
    /// Whether a stale tenant may be used instead of this error. Only a 4xx of Azure other than 408 and 429 is about the
    /// subscription.
    fn allows_stale(&self) -> bool {
        let Self::Unexpected(error) = self else { return true };
        error.foreign_reason.is_some() || !matches!(error.status, 400..=407 | 409..=428 | 430..=499)
    }

    fn is_timeout(&self) -> bool {
        match self {
            Self::Request(error) => error.is_timeout(),
            Self::Unexpected(error) => matches!(error.status, 408 | 504),
            Self::HeaderMissing | Self::NoMatch { .. } => false,
        }
    }
}

impl RetryAfter for DiscoveryError {
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unexpected(error) => error.retry_after,
            _ => None,
        }
    }
}

type Outcome = Result<String, DiscoveryError>;

/// Discovers tenants and caches them by cloud and subscription.
#[derive(Debug)]
pub(super) struct TenantCache {
    transport: Transport,
    entries: Cache<(Cloud, String), Arc<Mutex<Entry>>>,
}

#[derive(Debug, Default)]
struct Entry {
    cached: Option<CachedTenant>,
    request: Option<SharedTask<Outcome>>,
    /// Whether a request timed out, and none has succeeded since.
    has_timed_out: bool,
}

#[derive(Debug)]
struct CachedTenant {
    tenant: String,
    confirmed_ms: i64,
}

/// The result of a cache lookup.
enum Lookup {
    Cached(String),
    Wait { request: SharedTask<Outcome>, stale: Option<String> },
}

impl TenantCache {
    pub(super) fn new(transport: Transport) -> Self {
        let entries = Cache::builder()
            .max_capacity(CACHE_CAPACITY)
            .time_to_idle(Duration::from_hours(25))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { transport, entries }
    }

    pub(super) async fn discover(
        &self,
        cloud: Cloud,
        subscription_id: &str,
        purpose: DiscoveryPurpose,
        deadline: Instant,
    ) -> Outcome {
        if subscription_id.is_empty() {
            return Err(DiscoveryError::Request(Error::EmptySubscription));
        }
        let query = [("api-version", purpose.api_version())];
        let url = url::build(cloud, &["subscriptions", subscription_id], &query)
            .map_err(DiscoveryError::Request)?;
        let deadline = deadline.min(Instant::now() + TIMEOUT);
        // Azure's IDs are shorter. Longer input must not fill the cache.
        if purpose == DiscoveryPurpose::Check || subscription_id.len() > MAX_CACHED_ID_LEN {
            return request_tenant(&self.transport, &url, purpose, deadline).await;
        }
        let key = (cloud, subscription_id.to_ascii_lowercase());
        let (request, stale) = match self.lookup(key, url) {
            Lookup::Cached(tenant) => return Ok(tenant),
            Lookup::Wait { request, stale } => (request, stale),
        };
        let Some(stale) = stale else {
            return timeout_at(deadline, request.outcome()).await.ok().flatten().unwrap_or_else(timed_out);
        };
        let stale_deadline = deadline.min(request.deadline(STALE_AFTER));
        match timeout_at(stale_deadline, request.outcome()).await {
            Ok(Some(Ok(tenant))) => Ok(tenant),
            Ok(Some(Err(error))) if !error.allows_stale() => Err(error),
            _ => Ok(stale),
        }
    }

    /// The cached tenant, or the request for it.
    fn lookup(&self, key: (Cloud, String), url: Url) -> Lookup {
        let now_ms = self.transport.clock.now_ms();
        let shared = self.entries.get_with(key.clone(), Arc::default);
        let mut entry = lock(&shared);
        let age_ms = entry.cached.as_ref().map(|cached| now_ms - cached.confirmed_ms);
        let tenant = entry.cached.as_ref().map(|cached| cached.tenant.clone());
        if let (Some(tenant), Some(..TTL_MS)) = (&tenant, age_ms) {
            return Lookup::Cached(tenant.clone());
        }
        let request = SharedTask::join_or_spawn(&mut entry.request, || {
            let (transport, shared) = (self.transport.clone(), Arc::clone(&shared));
            let entries = self.entries.clone();
            async move {
                let outcome = request_and_cache(&transport, &shared, &url).await;
                // Cache only tenants that Azure confirmed.
                if lock(&shared).cached.is_none() {
                    entries.invalidate(&key);
                }
                outcome
            }
        });
        match tenant.filter(|_| age_ms.is_some_and(|age_ms| age_ms < MAX_STALE_MS)) {
            Some(tenant) if entry.has_timed_out => Lookup::Cached(tenant),
            stale => Lookup::Wait { request, stale },
        }
    }
}

async fn request_and_cache(transport: &Transport, entry: &Mutex<Entry>, url: &Url) -> Outcome {
    let outcome = request_tenant(transport, url, DiscoveryPurpose::Stored, Instant::now() + TIMEOUT).await;
    let mut entry = lock(entry);
    entry.request = None;
    match &outcome {
        Ok(tenant) => {
            let cached = CachedTenant { tenant: tenant.clone(), confirmed_ms: transport.clock.now_ms() };
            *entry = Entry { cached: Some(cached), ..Entry::default() };
        }
        Err(error) if error.allows_stale() => {
            entry.has_timed_out = entry.cached.is_some() && (entry.has_timed_out || error.is_timeout());
        }
        Err(_) => *entry = Entry::default(),
    }
    outcome
}

async fn request_tenant(
    transport: &Transport,
    url: &Url,
    purpose: DiscoveryPurpose,
    deadline: Instant,
) -> Outcome {
    let policy = RetryPolicy {
        max_attempts: purpose.max_attempts(),
        base_delay: transport.retry_base_delay,
        max_delay: Duration::MAX,
        deadline,
    };
    let attempt = || async move {
        timeout_at(deadline, request_once(transport, url)).await.unwrap_or_else(|_| timed_out())
    };
    let is_retryable = |error: &DiscoveryError| matches!(error, DiscoveryError::Unexpected(error) if is_retryable_status(error.status));
    policy.run(attempt, is_retryable).await
}

async fn request_once(transport: &Transport, url: &Url) -> Outcome {
    let request = new_request(Method::GET, url);
    let response = transport.exchange(Service::Arm, RequestName::DiscoverTenant, request).await;
    let response = response.map_err(DiscoveryError::Request)?;
    let header = response.headers.get(WWW_AUTHENTICATE);
    if let (401, Some(header)) = (response.status, header) {
        let header = String::from_utf8_lossy(header.as_bytes()).into_owned();
        return tenant_in(&header).map(str::to_owned).ok_or(DiscoveryError::NoMatch { header });
    }
    let error = ArmError::new(Method::GET, without_query(url), response, &transport.clock);
    if error.status == 401 && error.foreign_reason.is_none() {
        return Err(DiscoveryError::HeaderMissing);
    }
    Err(DiscoveryError::Unexpected(Box::new(error)))
}

fn lock(entry: &Mutex<Entry>) -> MutexGuard<'_, Entry> {
    entry.lock().unwrap_or_else(PoisonError::into_inner)
}

fn timed_out() -> Outcome {
    Err(DiscoveryError::Request(Error::TimedOut { to: Service::Arm }))
}

/// The last path segment of `authorization_uri`: lower-case hexadecimal digits and hyphens.
fn tenant_in(header: &str) -> Option<&str> {
    let (_, rest) = header.split_once("authorization_uri=\"")?;
    let (uri, _) = rest.split_once('"')?;
    let (_, tenant) = uri.rsplit_once('/')?;
    let is_allowed = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    (!tenant.is_empty() && tenant.bytes().all(is_allowed)).then_some(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    #[tokio::test]
    async fn failed_discovery_is_not_cached() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let resolve = vec![("management.azure.com".to_owned(), closed)];
        let options = Options { resolve, use_proxy: false, ..Options::default() };
        let tenants = TenantCache::new(Transport::new(options).unwrap());
        for subscription in ["sub".to_owned(), "x".repeat(MAX_CACHED_ID_LEN + 1)] {
            let deadline = Instant::now() + TIMEOUT;
            let outcome =
                tenants.discover(Cloud::Public, &subscription, DiscoveryPurpose::Stored, deadline).await;
            assert!(matches!(outcome, Err(DiscoveryError::Request(_))), "{outcome:?}");
            tenants.entries.run_pending_tasks();
            assert_eq!(tenants.entries.entry_count(), 0, "{subscription}");
        }
    }

    #[test]
    fn tenant_is_the_last_segment_of_the_authorization_uri() {
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
}
