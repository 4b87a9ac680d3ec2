//! Who may use which credential beside a Rancher: Rancher decides, asked with the caller's own session, and a positive
//! decision counts for a few seconds (`docs/contract/beside-rancher.md#the-question`). Negative ones are never kept: Rancher
//! refuses a credential for a moment after it was created, and the dashboard uses it at once.

use std::sync::Arc;
use std::time::Duration;

use aks::ids;
use azure::{Azure, Discovery};
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use http::request::Parts;
use metrics::Counter;
use moka::sync::Cache;
use tokio::time::Instant;

use super::Caller;
use super::azure_access::{AccessError, AzureAccess, InlineCredential, Resolver};
use super::clusters::ClusterVersion;
use super::listings::Listings;
use super::single_flight::Flights;
use crate::rancher::{BoxError, Cluster, CredentialFields, ForwardedResponse, Question, Rancher, Secret};
pub use crate::rancher::{Error as RancherError, Session, is_own_via};
use crate::vault::Fingerprinter;

/// Decisions kept at most. One is about a kilobyte.
const MAX_DECISIONS: u64 = 10_000;
/// Credentials whose latest version is kept, and how long.
const MAX_CREDENTIALS: u64 = 4_096;
const CREDENTIAL_TTL: Duration = Duration::from_mins(10);

/// Callers and credentials of a Rancher. Clones share everything.
#[derive(Clone)]
pub struct RancherAccess(Arc<Inner>);

struct Inner {
    rancher: Rancher,
    resolver: Resolver,
    listings: Listings,
    /// How long a positive decision counts; zero asks each time.
    validity: Duration,
    fingerprinter: Fingerprinter,
    decisions: Cache<Key, Decision>,
    questions: Flights<Key, Outcome>,
    credentials: Cache<Arc<str>, CredentialState>,
    counters: Counters,
}

/// A keyed hash of a session and the ID of a credential; without an ID, of the session alone.
type Key = [u8; 32];

type Outcome = Result<Arc<Response>, Arc<RancherError>>;

/// A positive decision.
#[derive(Clone)]
struct Decision {
    /// When the question was sent.
    asked: Instant,
    caller: Arc<Caller>,
    /// `None` if the question was about the session alone.
    credential: Option<CredentialState>,
}

/// A credential as Rancher showed it last.
#[derive(Clone)]
struct CredentialState {
    version: Arc<str>,
    access: Arc<AzureAccess>,
}

/// What Rancher said.
enum Response {
    Unauthenticated,
    Authenticated,
    Denied,
    Unclear,
    Credential(CredentialFields),
}

/// A decision about a caller, and about a credential if the question was about one.
#[derive(Debug)]
pub enum Access {
    Unauthenticated,
    /// Only Rancher knows how it answers.
    Undecided,
    /// The caller may not use the credential, or it does not exist.
    Denied,
    Authenticated(Arc<Caller>),
    Allowed(Arc<Caller>, Arc<AzureAccess>),
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("Rancher does not answer")]
    Rancher(#[from] Arc<RancherError>),
    #[error(transparent)]
    Credential(#[from] AccessError),
}

/// How requests are decided.
struct Counters {
    asked: Counter,
    cached: Counter,
    forwarded: Counter,
    refused: Counter,
    unavailable: Counter,
}

impl Counters {
    fn new() -> Self {
        let counter = |result: &'static str| metrics::counter!("norman_aks_rancher_decisions_total", "result" => result);
        Self {
            asked: counter("asked"),
            cached: counter("cached"),
            forwarded: counter("forwarded"),
            refused: counter("refused"),
            unavailable: counter("unavailable"),
        }
    }
}

impl RancherAccess {
    pub fn new(rancher: Rancher, azure: Azure, listings: Listings, validity: Duration) -> Self {
        Self(Arc::new(Inner {
            rancher,
            resolver: Resolver::new(azure),
            listings,
            fingerprinter: Fingerprinter::new(),
            // What is fresh is judged by the time of the question; this only frees memory.
            decisions: Cache::builder().max_capacity(MAX_DECISIONS).time_to_live(validity).build(),
            validity,
            questions: Flights::default(),
            credentials: Cache::builder().max_capacity(MAX_CREDENTIALS).time_to_live(CREDENTIAL_TTL).build(),
            counters: Counters::new(),
        }))
    }

    /// The lists of Azure.
    pub fn listings(&self) -> &Listings {
        &self.0.listings
    }

    /// The caller as the audit log knows it: Rancher's own log relates the name of the token to a user.
    pub fn caller(session: &Session) -> Arc<Caller> {
        Arc::new(Caller {
            user_id: String::new(),
            user_name: String::new(),
            admin: false,
            token_name: session.token_name().to_owned(),
            cluster_id: None,
        })
    }

    /// Sends a request on to Rancher; see [`Rancher::forward`].
    pub async fn forward<S>(
        &self,
        parts: &Parts,
        forwarded: HeaderMap,
        body: Option<S>,
    ) -> Result<ForwardedResponse, RancherError>
    where
        S: Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
    {
        self.0.counters.forwarded.increment(1);
        self.0.rancher.forward(parts, forwarded, body).await
    }

    /// Whether the session is that of a user.
    pub async fn authenticate(&self, session: &Session) -> Result<Access, Failure> {
        self.decide(session, None).await
    }

    /// Whether the caller may use a stored credential. An ID that only Rancher's error message can explain is undecided.
    pub async fn stored(&self, session: &Session, id: &str) -> Result<Access, Failure> {
        self.decide(session, Some(id)).await
    }

    /// Resolves the credential in the body of a request.
    pub fn resolver(&self) -> &Resolver {
        &self.0.resolver
    }

    /// The version and region of a cluster that the caller may see; `None` for others.
    pub async fn cluster_version(
        &self,
        session: &Session,
        id: &str,
    ) -> Result<Option<ClusterVersion>, Arc<RancherError>> {
        if !ids::is_label(id) {
            return Ok(None);
        }
        match self.0.rancher.cluster(session, id).await? {
            Question::Found(cluster) => Ok(Some(version_of(&cluster))),
            _ => Ok(None),
        }
    }

    async fn decide(&self, session: &Session, id: Option<&str>) -> Result<Access, Failure> {
        let Inner { counters, .. } = &*self.0;
        let [authorization, cookie] = session.parts();
        let key =
            self.0.fingerprinter.fingerprint(&[authorization, cookie, id.unwrap_or_default().as_bytes()]);
        if let Some(decision) = self.cached(&key) {
            counters.cached.increment(1);
            return Ok(decision.into());
        }
        let access = Box::pin(self.ask(key, session, id)).await;
        match &access {
            Ok(Access::Allowed(..) | Access::Authenticated(_)) => counters.asked.increment(1),
            Ok(Access::Denied | Access::Unauthenticated) => counters.refused.increment(1),
            Err(Failure::Rancher(_)) => counters.unavailable.increment(1),
            // Counted when it is forwarded.
            Ok(Access::Undecided) | Err(Failure::Credential(_)) => {}
        }
        access
    }

    /// A decision that still counts: it is young enough, and the credential has not changed since.
    fn cached(&self, key: &Key) -> Option<Decision> {
        let decision = self.0.decisions.get(key)?;
        let is_latest = |state: &CredentialState| {
            let id = state.access.credential_id().unwrap_or_default();
            self.0.credentials.get(id).is_none_or(|latest| latest.version == state.version)
        };
        (decision.asked.elapsed() < self.0.validity && decision.credential.as_ref().is_none_or(is_latest))
            .then_some(decision)
    }

    async fn ask(&self, key: Key, session: &Session, id: Option<&str>) -> Result<Access, Failure> {
        let question = {
            let (inner, session, id) = (Arc::clone(&self.0), session.clone(), id.map(str::to_owned));
            move || async move { ask_rancher(&inner.rancher, &session, id.as_deref()).await }
        };
        let (asked, outcome) = if self.0.validity.is_zero() {
            (Instant::now(), question().await)
        } else {
            let flight = self.0.questions.join(&key, || None, question, |outcome, _| outcome);
            let interrupted = || Err(Arc::new(RancherError::Interrupted));
            (flight.started, flight.outcome().await.unwrap_or_else(interrupted))
        };
        let response = outcome?;
        let caller = || Self::caller(session);
        let decision = match (&*response, id) {
            (Response::Unauthenticated, _) => return Ok(Access::Unauthenticated),
            (Response::Denied, _) => return Ok(Access::Denied),
            (Response::Authenticated, _) => Decision { asked, caller: caller(), credential: None },
            (Response::Credential(fields), Some(id)) => {
                let credential = Some(self.credential(id, fields).await?);
                Decision { asked, caller: caller(), credential }
            }
            (Response::Unclear, _) | (Response::Credential(_), None) => return Ok(Access::Undecided),
        };
        self.0.decisions.insert(key, decision.clone());
        Ok(decision.into())
    }

    /// The credential in its latest version. What was listed with an older secret is dropped.
    async fn credential(&self, id: &str, fields: &CredentialFields) -> Result<CredentialState, AccessError> {
        let Inner { credentials, resolver, listings, .. } = &*self.0;
        let known = credentials.get(id);
        if let Some(known) = known.as_ref().filter(|known| *known.version == *fields.version) {
            return Ok(known.clone());
        }
        let inline = InlineCredential {
            tenant_id: fields.tenant_id.clone(),
            subscription_id: fields.subscription_id.clone(),
            client_id: fields.client_id.clone(),
            client_secret: fields.client_secret.clone(),
            environment: fields.environment.clone(),
        };
        let access = resolver.resolve(inline, Some(id.to_owned()), Discovery::Stored).await?;
        let state = CredentialState { version: fields.version.as_str().into(), access };
        match known {
            // A slow response, overtaken by a change.
            Some(known) if is_older(&state.version, &known.version) => return Ok(state),
            Some(known) if known.access.credential().fingerprint != state.access.credential().fingerprint => {
                listings.evict(&known.access);
            }
            _ => {}
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

/// Asks about a session, and about a credential if there is an ID.
async fn ask_rancher(rancher: &Rancher, session: &Session, id: Option<&str>) -> Outcome {
    let response = match id.map(valid_id) {
        None => match rancher.is_authenticated(session).await {
            Ok(true) => Ok(Response::Authenticated),
            Ok(false) => Ok(Response::Unauthenticated),
            Err(error) => Err(error),
        },
        Some(None) => Ok(Response::Unclear),
        Some(Some((namespace, name))) => {
            rancher.secret(session, namespace, name).await.map(|question| match question {
                Question::Unauthenticated => Response::Unauthenticated,
                Question::Denied | Question::Found(Secret::NoCredential) => Response::Denied,
                Question::Found(Secret::Azure(fields)) => Response::Credential(fields),
                Question::Found(Secret::OtherCredential) | Question::Unclear => Response::Unclear,
            })
        }
    };
    response.map(Arc::new).map_err(Arc::new)
}

/// Namespace and name, if both can be names of Kubernetes.
fn valid_id(id: &str) -> Option<(&str, &str)> {
    ids::split_namespaced(id).filter(|(namespace, name)| ids::is_label(namespace) && ids::is_label(name))
}

/// Kubernetes compares versions of an object as numbers.
fn is_older(version: &str, than: &str) -> bool {
    matches!((version.parse::<u64>(), than.parse::<u64>()), (Ok(version), Ok(than)) if version < than)
}

fn version_of(cluster: &Cluster) -> ClusterVersion {
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
