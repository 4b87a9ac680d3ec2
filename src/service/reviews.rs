//! The review of a specification together with what Azure says in this request. What is judged, and how, is in
//! `aks::review`; asking Azure is in [`gather`].
//!
//! What stands in the way rests on fresh answers only: nothing remembered counts. When Azure cannot be asked, nothing that
//! depends on it stands in the way, and the review names what was not checked. What Azure may not know yet, such as a secret
//! that was created a minute ago, is asked again for a while ([`patience`]).

mod denial;
mod gather;
mod patience;

pub(super) use patience::Patience;

use std::sync::Arc;
use std::time::Duration;

use aks::cluster_details::ClusterDetails;
use aks::provision::imported::Named;
use aks::review::{self, AzureData, Before, Facts, Purpose, Read, Review, Subject, UnknownField};
use aks::spec::{AksConfig, ClusterSpec, Object};
use aks::{ids, pasted};
use azure::Azure;
use clock::Clock;

use super::actor::Actor;
use super::base::Base;
use super::concurrency::ConcurrencyLimit;
use super::credentials::{AccessError, AzureAccess, Credentials, InlineCredential, Via};
use super::events::{Action, Events};
use super::settings::Settings;
use super::{Error, Invalid, Result};
use crate::store::{self, Store};

/// How long Azure may take in all: clients wait for the answer to a POST.
const LIMIT: Duration = Duration::from_secs(10);

/// The annotation that says whether what rests on Azure's answers stands in the way: `enforce` or `advise`.
const ANNOTATION: &str = "norman-aks.io/review";

/// What counts for clusters without the annotation.
const SETTING: &str = "cluster-review";

/// The value with which nothing that rests on Azure's answers stands in the way.
const ADVISE: &str = "advise";
const ENFORCE: &str = "enforce";

/// Requests that wait for Azure to know a credential or role: in all, and of one user.
const MAX_WAITING: usize = 128;
const MAX_WAITING_OF_USER: usize = 16;

/// The kind of object that a used credential is in the audit.
const CREDENTIAL: &str = "cloudCredential";

/// The reviews. Clones share everything.
#[derive(Clone)]
pub struct Reviews {
    inner: Arc<Inner>,
}

struct Inner {
    azure: Azure,
    store: Store,
    credentials: Credentials,
    events: Events,
    settings: Settings,
    clock: Clock,
    waiting: Arc<ConcurrencyLimit>,
}

/// A specification to be reviewed.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What is wanted, after a change is merged in.
    pub spec: &'a ClusterSpec,
    /// The cluster object that it changes; `None` for a new one.
    pub existing: Option<&'a Existing<'a>>,
    /// Keys of the request that no field has.
    pub unknown: &'a [UnknownField],
}

/// A cluster object before a change.
#[derive(Clone, Debug)]
pub struct Existing<'a> {
    /// `c-xxxxx`
    pub id: &'a str,
    /// What its user wanted.
    pub stored: &'a ClusterSpec,
    /// What was wanted when everything was last brought about.
    pub applied: Option<&'a AksConfig>,
    /// What Azure said it is.
    pub upstream: Option<&'a AksConfig>,
    /// What else Azure said, with the version that runs.
    pub details: ClusterDetails,
    /// Entries of lists and maps of an import that its user named.
    pub named: &'a Named,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

impl Reviews {
    /// Reviews with this way to Azure.
    pub fn new(base: &Base, credentials: Credentials, settings: Settings) -> Self {
        let Base { store, azure, events, clock, .. } = base.clone();
        let waiting = ConcurrencyLimit::new(MAX_WAITING, MAX_WAITING_OF_USER);
        Self { inner: Arc::new(Inner { azure, store, credentials, events, settings, clock, waiting }) }
    }

    /// The patience with Azure of a request that begins now.
    pub(super) fn patience(&self) -> Patience {
        Patience::new(&self.inner.clock)
    }

    /// Lets a specification through before it is saved; also returns the subscription for which Azure answered with the
    /// stored credential, if it did.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the code `InvalidOption` for the first finding that stands in the way.
    pub(super) async fn admit(
        &self,
        by: &Actor,
        asked: &Asked<'_>,
        patience: Patience,
    ) -> Result<(Review, Option<String>)> {
        let known = self.known(asked).await?;
        let subject = subject(asked, &known);
        // What is wrong by itself is told without asking anybody.
        let alone = admitted(review::review(&subject, &AzureData::default()))?;
        if review::needed(&subject).is_empty() {
            return Ok((alone, None));
        }
        let mut answered_for = None;
        let azure = match stored(asked) {
            None => AzureData::unknown("aksConfig names no cloud credential"),
            Some(via) => match self.inner.credentials.resolve(&by.caller, via).await {
                Ok(access) => {
                    let azure = self.gathered(by, Action::Use, &access, &subject).await;
                    let azure = self.wait_for_access(by, &access, &subject, azure, patience).await;
                    answered_for = has_answered(&azure).then(|| access.credential().subscription_id.clone());
                    azure
                }
                Err(error) => unusable(&error),
            },
        };
        Ok((admitted(review::review(&subject, &azure))?, answered_for))
    }

    /// Asks again as long as nothing but rights stands in the way that Azure may not know yet.
    async fn wait_for_access(
        &self,
        by: &Actor,
        access: &AzureAccess,
        subject: &Subject<'_>,
        mut azure: AzureData,
        mut patience: Patience,
    ) -> AzureData {
        let may_pass = |azure: &AzureData| review::may_pass(&review::review(subject, azure), subject, azure);
        if !may_pass(&azure) {
            return azure;
        }
        let Some(_permit) = self.inner.waiting.try_acquire(&by.caller.user_id) else {
            count_wait("limited");
            return azure;
        };
        while patience.pause(&self.inner.clock).await {
            let again = Box::pin(gather::access(&self.inner.azure, access, subject, LIMIT)).await;
            if may_pass(&again) {
                continue;
            }
            azure = Box::pin(gather::all(&self.inner.azure, access, subject, LIMIT)).await;
            if !may_pass(&azure) {
                count_wait("ended");
                return azure;
            }
        }
        count_wait("timed_out");
        azure
    }

    /// The whole review, for somebody who only asks. A credential that was sent along is used instead of the stored one.
    ///
    /// # Errors
    /// [`Error::NoCredential`] when the stored credential does not exist for the caller.
    pub(super) async fn tell(
        &self,
        by: &Actor,
        asked: &Asked<'_>,
        sent_along: Option<InlineCredential>,
    ) -> Result<Review> {
        let mut known = self.known(asked).await?;
        let via = match sent_along {
            Some(credential) => {
                known = Known {
                    subscription_id: Some(credential.subscription_id.clone()),
                    changed_ms: None,
                    sent_along: true,
                    ..known
                };
                Some(Via::Inline(credential))
            }
            None => stored(asked),
        };
        let subject = subject(asked, &known);
        let azure = match via {
            None => AzureData::unknown("aksConfig names no cloud credential"),
            Some(via) => match self.inner.credentials.resolve(&by.caller, via).await {
                Ok(access) => self.gathered(by, Action::Call("review"), &access, &subject).await,
                Err(AccessError::NotFound | AccessError::InvalidId(_)) => {
                    return Err(Error::NoCredential);
                }
                Err(AccessError::Other(error)) => return Err(error),
                Err(error) => unusable(&error),
            },
        };
        Ok(review::review(&subject, &azure))
    }

    /// Asks Azure what the review needs, and writes down that a stored credential was used for it.
    async fn gathered(
        &self,
        by: &Actor,
        action: Action,
        access: &AzureAccess,
        subject: &Subject<'_>,
    ) -> AzureData {
        let azure = Box::pin(gather::all(&self.inner.azure, access, subject, LIMIT)).await;
        if let Some(id) = access.credential_id() {
            self.inner.events.record(by.event(action, CREDENTIAL, id, &Ok(()))).await;
        }
        azure
    }

    /// What is known besides: about the stored credential, and the time.
    async fn known(&self, asked: &Asked<'_>) -> Result<Known> {
        let id = asked.spec.aks().azure_credential_secret.as_deref();
        let row = match id.and_then(ids::split_namespaced) {
            Some((_, bare)) => store::credentials::get(&self.inner.store, bare).await?,
            None => None,
        };
        let advise = match annotation(asked.spec.body()) {
            Some(ADVISE) => true,
            Some(ENFORCE) => false,
            _ => self.inner.settings.value(SETTING).await == ADVISE,
        };
        Ok(Known {
            advise,
            now_ms: self.inner.clock.now_ms(),
            changed_ms: row.as_ref().map(|row| row.updated_ms),
            subscription_id: row.and_then(|row| row.subscription_id).map(pasted::owned_id),
            sent_along: false,
        })
    }
}

fn count_wait(outcome: &'static str) {
    metrics::counter!("norman_aks_access_waits_total", "outcome" => outcome).increment(1);
}

struct Known {
    advise: bool,
    now_ms: i64,
    changed_ms: Option<i64>,
    subscription_id: Option<String>,
    sent_along: bool,
}

fn subject<'a>(asked: &Asked<'a>, known: &'a Known) -> Subject<'a> {
    let body = asked.spec.body();
    let aks = asked.spec.aks();
    let purpose = match asked.existing {
        Some(Existing { stored, applied, upstream, details, named, .. }) => Purpose::Update(Before {
            stored: stored.aks(),
            applied: *applied,
            upstream: *upstream,
            details,
            named: Some(named),
            isolation: isolates(stored.body()),
        }),
        None if aks.imported == Some(true) => Purpose::Import,
        None => Purpose::Create,
    };
    Subject {
        spec: aks,
        purpose,
        id: asked.existing.map(|existing| existing.id),
        subscription_id: known.subscription_id.as_deref(),
        isolation: isolates(body),
        advise: known.advise,
        unknown: asked.unknown,
        facts: Facts {
            now_ms: known.now_ms,
            credential_changed_ms: known.changed_ms,
            cluster_created_ms: asked.existing.map(|existing| existing.created_ms),
            credential_sent_along: known.sent_along,
        },
    }
}

fn isolates(body: &Object) -> bool {
    body.get("enableNetworkPolicy").and_then(serde_json::Value::as_bool).unwrap_or_default()
}

/// What the annotation of a cluster says about its review.
pub(super) fn annotation(body: &Object) -> Option<&str> {
    body.get("annotations")?.get(ANNOTATION)?.as_str()
}

/// The way to the credential that the specification names.
fn stored<'a>(asked: &Asked<'a>) -> Option<Via<'a>> {
    let id = asked.spec.aks().azure_credential_secret.as_deref()?;
    Some(match asked.existing {
        Some(existing) => Via::OfCluster { id, cluster_id: existing.id },
        None => Via::Stored { id, cluster_id: None },
    })
}

/// Whether Azure said anything that it says only to a credential with rights in the subscription. That a group is not there
/// it says to anybody.
fn has_answered(azure: &AzureData) -> bool {
    fn known<T>(part: &Read<T>) -> bool {
        matches!(part, Read::Known(_))
    }
    known(&azure.versions)
        || known(&azure.sizes)
        || known(&azure.networks)
        || known(&azure.usages)
        || known(&azure.regions)
        || known(&azure.cluster)
        || matches!(azure.node_group, Read::Known(true))
}

fn admitted(review: Review) -> Result<Review> {
    match (review.first_error(), review.refusal()) {
        (Some(finding), Some(words)) => Err(Invalid::field("InvalidOption", &finding.field, words).into()),
        _ => Ok(review),
    }
}

/// Why nothing is known with a credential that cannot be used, without what is private about it.
fn unusable(error: &AccessError) -> AzureData {
    let reason = match error {
        AccessError::Other(_) => "the cloud credential cannot be read at the moment".to_owned(),
        error => error.to_string(),
    };
    AzureData { denial: denial::of_access(error), ..AzureData::unknown(&reason) }
}
