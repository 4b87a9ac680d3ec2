//! Access to credentials alongside Rancher. Rancher decides about each caller: this server sends it a lookup with the caller's own
//! session, and caches a positive decision for a few seconds (`docs/contract/beside-rancher.md#the-lookup`). Negative decisions
//! are not cached: for a moment, Rancher denies a credential that was just created, which the dashboard uses immediately.

use std::sync::Arc;
use std::time::Duration;

use aks::ids;
use azure::{Azure, DiscoveryPurpose};
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use metrics::Counter;
use moka::sync::Cache;
use tokio::time::Instant;

use super::Caller;
use super::azure_access::{AccessError, AzureAccess, InlineCredential, Resolver, UnknownTenant};
use super::clusters::ClusterVersion;
use super::listings::Listings;
use super::single_flight::InFlightTasks;
use crate::rancher::{Cluster, CredentialFields, ForwardedResponse, LOOKUP_TIMEOUT, Lookup, Rancher, Secret};
pub use crate::rancher::{Error as RancherError, LOOP_REMEDY, Session, has_own_via};
use crate::vault::Fingerprinter;

/// The maximum number of cached decisions. One is about a kilobyte.
const MAX_DECISIONS: u64 = 10_000;
/// The maximum number of credentials whose latest version is cached.
const MAX_CREDENTIALS: u64 = 4_096;
/// The time after its last use until a cached credential is evicted.
const CREDENTIAL_IDLE_TTL: Duration = Duration::from_mins(10);

/// Authenticates callers, and authorizes their use of credentials, as Rancher decides. Clones share the caches.
#[derive(Clone)]
pub struct RancherAccess(Arc<Inner>);

struct Inner {
    rancher: Rancher,
    resolver: Resolver,
    listings: Listings,
    /// The time for which a positive decision is valid; zero for no caching.
    validity: Duration,
    fingerprinter: Fingerprinter,
    decisions: Cache<Key, Decision>,
    lookups: InFlightTasks<Key, Result<LookupOutcome, Arc<RancherError>>>,
    credentials: Cache<Arc<str>, CredentialState>,
    counters: Counters,
}

/// A keyed hash of a session and the ID of a credential; without an ID, of the session alone.
type Key = [u8; 32];

/// A positive decision.
#[derive(Clone)]
struct Decision {
    /// The time at which the lookup was sent.
    sent_at: Instant,
    caller: Arc<Caller>,
    /// `None` if the decision is about the session alone.
    credential: Option<CredentialState>,
}

/// The latest known version of a credential.
#[derive(Clone)]
struct CredentialState {
    version: Arc<str>,
    /// The time at which the lookup was sent.
    sent_at: Instant,
    access: Arc<AzureAccess>,
}

/// The outcome of a lookup, shared by all requests that wait for it.
#[derive(Clone)]
enum LookupOutcome {
    Unauthenticated,
    Denied,
    /// Only Rancher can decide about the request.
    Undecided,
    Allowed(Decision),
    /// The caller may use the credential, but its tenant is unknown.
    Unresolved(UnknownTenant),
}

/// A decision about a caller, and about a credential if the request names one.
#[derive(Debug)]
pub enum Access {
    Unauthenticated,
    /// The request must be forwarded to Rancher.
    Undecided,
    /// The caller may not use the credential, or it does not exist.
    Denied,
    Authenticated(Arc<Caller>),
    Allowed(Arc<Caller>, Arc<AzureAccess>),
}

/// The reason why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("Rancher does not respond")]
    Rancher(#[from] Arc<RancherError>),
    #[error(transparent)]
    Credential(#[from] AccessError),
}

/// Counters of decisions, by result.
struct Counters {
    allowed: Counter,
    cached: Counter,
    forwarded: Counter,
    rejected: Counter,
    unavailable: Counter,
}

impl Counters {
    fn new() -> Self {
        let counter = |result: &'static str| metrics::counter!("norman_aks_rancher_decisions_total", "result" => result);
        Self {
            allowed: counter("asked"),
            cached: counter("cached"),
            forwarded: counter("forwarded"),
            rejected: counter("refused"),
            unavailable: counter("unavailable"),
        }
    }
}

impl RancherAccess {
    pub fn new(rancher: Rancher, azure: Azure, listings: Listings, validity: Duration) -> Self {
        Self(Arc::new(Inner {
            rancher,
            resolver: Resolver::new(azure, Fingerprinter::random()),
            listings,
            fingerprinter: Fingerprinter::random(),
            // This TTL only frees memory: a decision is valid for `validity` after the lookup was sent.
            decisions: Cache::builder().max_capacity(MAX_DECISIONS).time_to_live(validity).build(),
            validity,
            lookups: InFlightTasks::default(),
            credentials: Cache::builder()
                .max_capacity(MAX_CREDENTIALS)
                .time_to_idle(CREDENTIAL_IDLE_TTL)
                .build(),
            counters: Counters::new(),
        }))
    }

    /// Frees the memory of decisions and credentials that have expired.
    pub fn evict_expired(&self) {
        self.0.decisions.run_pending_tasks();
        self.0.credentials.run_pending_tasks();
    }

    /// The cached lists of Azure.
    pub fn listings(&self) -> &Listings {
        &self.0.listings
    }

    /// The caller for the audit log. Only the name of the token is known; Rancher's own log relates it to a user.
    pub fn caller(session: &Session) -> Arc<Caller> {
        Arc::new(Caller {
            user_id: String::new(),
            user_name: String::new(),
            admin: false,
            token_name: session.token_name().to_owned(),
            cluster_id: None,
        })
    }

    /// Forwards a request to Rancher; see [`Rancher::forward`].
    pub async fn forward(
        &self,
        parts: &Parts,
        forwarded_headers: HeaderMap,
        body: Bytes,
    ) -> Result<ForwardedResponse, RancherError> {
        self.0.counters.forwarded.increment(1);
        self.0.rancher.forward(parts, forwarded_headers, body).await
    }

    /// Decides whether the session is that of a user.
    pub async fn authenticate(&self, session: &Session) -> Result<Access, Failure> {
        self.decide(session, None).await
    }

    /// Decides whether the caller may use a stored credential. An invalid ID is undecided, because the error message
    /// must be Rancher's.
    pub async fn authorize_stored(&self, session: &Session, id: &str) -> Result<Access, Failure> {
        self.decide(session, Some(id)).await
    }

    /// The resolver for inline credentials.
    pub fn resolver(&self) -> &Resolver {
        &self.0.resolver
    }

    /// The version and region of a cluster; `None` if it does not exist or the caller may not see it. `credential_id` is the
    /// stored credential of the request: if the session has ended, the cached decision about the session and this credential is
    /// evicted.
    ///
    /// # Errors
    /// If Rancher does not respond, or the session has ended since the decision.
    pub async fn cluster_version(
        &self,
        session: &Session,
        credential_id: Option<&str>,
        id: &str,
    ) -> Result<Option<ClusterVersion>, Arc<RancherError>> {
        if !ids::is_dns_label(id) {
            return Ok(None);
        }
        match self.0.rancher.cluster(session, id).await? {
            Lookup::Found(cluster) => Ok(Some(cluster_version(&cluster))),
            Lookup::Denied => Ok(None),
            Lookup::Unauthenticated => {
                self.0.decisions.invalidate(&self.key(session, credential_id));
                Err(Arc::new(RancherError::SessionEnded))
            }
            Lookup::Unexpected => Err(Arc::new(RancherError::UnexpectedResponse)),
        }
    }

    fn key(&self, session: &Session, id: Option<&str>) -> Key {
        let [authorization, cookie] = session.secret_bytes();
        self.0.fingerprinter.fingerprint(&[authorization, cookie, id.unwrap_or_default().as_bytes()])
    }

    async fn decide(&self, session: &Session, id: Option<&str>) -> Result<Access, Failure> {
        let Inner { counters, .. } = &*self.0;
        let key = self.key(session, id);
        if let Some(decision) = self.cached_decision(&key) {
            counters.cached.increment(1);
            return Ok(decision.into());
        }
        let access = Box::pin(self.request_decision(key, session, id)).await;
        match &access {
            Ok(Access::Allowed(..) | Access::Authenticated(_)) => counters.allowed.increment(1),
            Ok(Access::Denied | Access::Unauthenticated) => counters.rejected.increment(1),
            Err(Failure::Rancher(_)) => counters.unavailable.increment(1),
            // An undecided request is counted when it is forwarded.
            Ok(Access::Undecided) | Err(Failure::Credential(_)) => {}
        }
        access
    }

    /// A cached decision that is still valid, and whose credential has not changed since the lookup.
    fn cached_decision(&self, key: &Key) -> Option<Decision> {
        let decision = self.0.decisions.get(key)?;
        let is_latest = |state: &CredentialState| {
            let id = state.access.credential_id().unwrap_or_default();
            self.0.credentials.get(id).is_none_or(|latest| latest.version == state.version)
        };
        (decision.sent_at.elapsed() < self.0.validity && decision.credential.as_ref().is_none_or(is_latest))
            .then_some(decision)
    }

    async fn request_decision(
        &self,
        key: Key,
        session: &Session,
        id: Option<&str>,
    ) -> Result<Access, Failure> {
        let lookup = {
            let (rancher_access, session, id) = (self.clone(), session.clone(), id.map(str::to_owned));
            move || async move { rancher_access.look_up(&session, id.as_deref()).await }
        };
        // A request that joins a lookup receives a decision that may be as old as the timeout of the lookup. Lookups are shared
        // only if cached decisions may be as old.
        let outcome = if self.0.validity < LOOKUP_TIMEOUT {
            lookup().await
        } else {
            let cached = || self.cached_decision(&key).map(|decision| Ok(LookupOutcome::Allowed(decision)));
            let decisions = self.0.decisions.clone();
            let task = self.0.lookups.join(&key, cached, lookup, move |outcome, _| {
                if let Ok(LookupOutcome::Allowed(decision)) = &outcome {
                    decisions.insert(key, decision.clone());
                }
                outcome
            });
            task.outcome().await.unwrap_or_else(|| Err(Arc::new(RancherError::Interrupted)))
        };
        Ok(match outcome? {
            LookupOutcome::Unauthenticated => Access::Unauthenticated,
            LookupOutcome::Denied => Access::Denied,
            LookupOutcome::Undecided => Access::Undecided,
            LookupOutcome::Unresolved(error) => return Err(AccessError::from(error).into()),
            LookupOutcome::Allowed(decision) => decision.into(),
        })
    }

    /// Looks up a session in Rancher, and a credential if an ID is given.
    async fn look_up(&self, session: &Session, id: Option<&str>) -> Result<LookupOutcome, Arc<RancherError>> {
        let Inner { rancher, .. } = &*self.0;
        let sent_at = Instant::now();
        let Some(id) = id else {
            return Ok(match rancher.check_session(session).await? {
                Lookup::Found(()) => LookupOutcome::Allowed(Decision {
                    sent_at,
                    caller: Self::caller(session),
                    credential: None,
                }),
                Lookup::Unauthenticated => LookupOutcome::Unauthenticated,
                Lookup::Denied | Lookup::Unexpected => LookupOutcome::Undecided,
            });
        };
        let Some((namespace, name)) = parse_id(id) else { return Ok(LookupOutcome::Undecided) };
        Ok(match rancher.secret(session, namespace, name).await? {
            Lookup::Unauthenticated => LookupOutcome::Unauthenticated,
            Lookup::Denied | Lookup::Found(Secret::NotCredential) => LookupOutcome::Denied,
            Lookup::Found(Secret::OtherCredential) | Lookup::Unexpected => LookupOutcome::Undecided,
            Lookup::Found(Secret::Azure(fields)) => match self.latest_credential(id, fields, sent_at).await {
                Ok(credential) => LookupOutcome::Allowed(Decision {
                    sent_at,
                    caller: Self::caller(session),
                    credential: Some(credential),
                }),
                Err(error) => LookupOutcome::Unresolved(error),
            },
        })
    }

    /// The credential in its latest version. Evicts the cached lists that were read with an older secret.
    async fn latest_credential(
        &self,
        id: &str,
        fields: CredentialFields,
        sent_at: Instant,
    ) -> Result<CredentialState, UnknownTenant> {
        let Inner { credentials, listings, resolver, .. } = &*self.0;
        if let Some(cached) = credentials.get(id).filter(|cached| *cached.version == *fields.version) {
            return Ok(cached);
        }
        let inline = InlineCredential {
            tenant_id: fields.tenant_id,
            subscription_id: fields.subscription_id,
            client_id: fields.client_id,
            client_secret: fields.client_secret,
            environment: fields.environment,
        };
        let access = resolver.resolve(inline, Some(id.to_owned()), DiscoveryPurpose::Stored).await?;
        let state = CredentialState { version: fields.version.into(), sent_at, access };
        let previous = credentials.get(id);
        // A lookup that was sent later may have found a later version in the meantime.
        if previous.as_ref().is_some_and(|previous| previous.sent_at > sent_at) {
            return Ok(state);
        }
        if let Some(previous) = previous
            && previous.access.credential().fingerprint != state.access.credential().fingerprint
        {
            listings.evict(&previous.access);
        }
        credentials.insert(id.into(), state.clone());
        Ok(state)
    }
}

impl From<Decision> for Access {
    fn from(decision: Decision) -> Self {
        match decision.credential {
            Some(state) => Self::Allowed(decision.caller, state.access),
            None => Self::Authenticated(decision.caller),
        }
    }
}

/// The namespace and name of an ID, if both are valid Kubernetes names.
fn parse_id(id: &str) -> Option<(&str, &str)> {
    ids::split_namespaced(id)
        .filter(|(namespace, name)| ids::is_dns_label(namespace) && ids::is_dns_label(name))
}

fn cluster_version(cluster: &Cluster) -> ClusterVersion {
    ClusterVersion {
        stated: cluster.stated_version(),
        running: cluster.running_version(),
        long_term: false,
        region: cluster.region(),
        stated_region: cluster.stated_region(),
        group: cluster.resource_group().unwrap_or_default(),
        name: cluster.name().unwrap_or_default(),
    }
}
