//! The review of a specification with data from Azure. The rules are in `aks::review`; [`gather`] reads the data.
//!
//! Errors are based on fresh data only, never on cached data. If Azure cannot be reached, no error depends on it, and the
//! review names what was not checked. Errors that may be transient, such as the rejection of a new secret, are checked again
//! for a while ([`access_wait`]).

mod access_wait;
pub(super) mod denial;
mod gather;

pub(super) use access_wait::AccessWait;

use std::sync::Arc;
use std::time::Duration;

use aks::cluster_details::ClusterDetails;
use aks::provision::imported::UserEntries;
use aks::review::{self, AzureData, Before, Facts, Purpose, Read, Review, Subject, UnknownField};
use aks::spec::{AksConfig, ClusterSpec, Object};
use aks::{ids, input};
use azure::Azure;
use clock::Clock;
use tokio::time::Instant;

use super::actor::Actor;
use super::audit::{Action, AuditLog};
use super::base::Base;
use super::concurrency::ConcurrencyLimit;
use super::credentials::{self, AccessError, AzureAccess, CredentialSource, Credentials, InlineCredential};
use super::settings::Settings;
use super::{Error, Invalid, Result};
use crate::store::{self, Store};

/// The time limit for reading from Azure: clients wait for the response to a POST.
const AZURE_TIMEOUT: Duration = Duration::from_secs(10);

/// The annotation that decides whether errors that depend on Azure's data reject a cluster: `enforce` or `advise`.
const ANNOTATION: &str = "norman-aks.io/review";

/// The setting for clusters without the annotation.
const SETTING: &str = "cluster-review";

/// Errors that depend on Azure's data are only advice.
const ADVISE: &str = "advise";
/// Errors that depend on Azure's data reject the cluster.
const ENFORCE: &str = "enforce";

/// The maximum number of requests that wait for Azure to recognize a credential or role, in total and per user.
const MAX_WAITING: usize = 128;
const MAX_WAITING_PER_USER: usize = 16;

/// The reviews. Clones share everything.
#[derive(Clone)]
pub struct Reviews {
    inner: Arc<Inner>,
}

struct Inner {
    azure: Azure,
    store: Store,
    credentials: Credentials,
    audit_log: AuditLog,
    settings: Settings,
    clock: Clock,
    wait_limit: Arc<ConcurrencyLimit>,
}

/// A specification to review.
#[derive(Clone, Copy, Debug)]
pub struct ReviewRequest<'a> {
    /// The desired spec, with the change merged in.
    pub spec: &'a ClusterSpec,
    /// The cluster object that the request changes; `None` for a new one.
    pub existing: Option<&'a Existing<'a>>,
    /// Unknown keys of the request.
    pub unknown: &'a [UnknownField],
}

/// A cluster object before a change.
#[derive(Clone, Debug)]
pub struct Existing<'a> {
    /// `c-xxxxx`
    pub id: &'a str,
    /// The desired spec.
    pub stored: &'a ClusterSpec,
    /// The applied spec.
    pub applied: Option<&'a AksConfig>,
    /// The observed state.
    pub upstream: Option<&'a AksConfig>,
    /// Other observed details, with the running version.
    pub details: ClusterDetails,
    /// Entries of lists and maps of an imported cluster that the user has set.
    pub user_entries: &'a UserEntries,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

impl Reviews {
    /// The reviews of this server.
    pub fn new(base: &Base, credentials: Credentials, settings: Settings) -> Self {
        let Base { store, azure, audit_log, clock, .. } = base.clone();
        let wait_limit = ConcurrencyLimit::new(MAX_WAITING, MAX_WAITING_PER_USER);
        Self { inner: Arc::new(Inner { azure, store, credentials, audit_log, settings, clock, wait_limit }) }
    }

    /// The wait for access of a request that starts now.
    pub(super) fn access_wait(&self) -> AccessWait {
        AccessWait::new(&self.inner.clock)
    }

    /// Admits a specification before it is saved. Also returns the subscription, if the stored credential has access to it.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the code `InvalidOption` for the first error.
    pub(super) async fn admit(
        &self,
        by: &Actor,
        request: &ReviewRequest<'_>,
        wait: AccessWait,
    ) -> Result<(Review, Option<String>)> {
        let context = self.context(request).await?;
        let subject = to_subject(request, &context);
        // Errors of the specification alone need no request to Azure.
        let offline_review = reject_errors(review::review(&subject, &AzureData::default()))?;
        if review::needed_data(&subject).is_empty() {
            return Ok((offline_review, None));
        }
        let mut verified_subscription = None;
        let data = match stored_credential(request) {
            None => AzureData::unknown("aksConfig.azureCredentialSecret is not set"),
            Some(source) => match self.inner.credentials.resolve(&by.caller, source).await {
                Ok(access) => {
                    let data = self.read_azure(by, Action::Use, &access, &subject).await;
                    let data = self.wait_for_access(by, &access, &subject, data, wait).await;
                    verified_subscription =
                        has_verified_access(&data).then(|| access.credential().subscription_id.clone());
                    data
                }
                Err(error) => unusable_credential(&error),
            },
        };
        Ok((reject_errors(review::review(&subject, &data))?, verified_subscription))
    }

    /// Reads again while the only errors are missing rights that Azure may not have propagated yet.
    async fn wait_for_access(
        &self,
        by: &Actor,
        access: &AzureAccess,
        subject: &Subject<'_>,
        mut data: AzureData,
        mut wait: AccessWait,
    ) -> AzureData {
        let is_transient =
            |data: &AzureData| review::may_be_transient(&review::review(subject, data), subject, data);
        if !is_transient(&data) {
            return data;
        }
        let Some(_permit) = self.inner.wait_limit.try_acquire(&by.caller.user_id) else {
            count_wait("limited");
            return data;
        };
        while wait.next_attempt(&self.inner.clock).await {
            // For both reads of the attempt.
            let deadline = Instant::now() + AZURE_TIMEOUT;
            let access_data =
                Box::pin(gather::cluster_and_permissions(&self.inner.azure, access, by, subject, deadline))
                    .await;
            if is_transient(&access_data) {
                continue;
            }
            let new_data = Box::pin(gather::all(&self.inner.azure, access, by, subject, deadline)).await;
            // After the deadline, parts are missing: the data of the earlier attempt stays.
            if Instant::now() >= deadline {
                continue;
            }
            data = new_data;
            if !is_transient(&data) {
                count_wait("ended");
                return data;
            }
        }
        count_wait("timed_out");
        data
    }

    /// The complete review, on request. An inline credential is used instead of the stored one.
    ///
    /// # Errors
    /// [`Error::NoCredential`] if the stored credential does not exist, or the caller may not see it.
    pub(super) async fn review(
        &self,
        by: &Actor,
        request: &ReviewRequest<'_>,
        inline: Option<InlineCredential>,
    ) -> Result<Review> {
        let mut context = self.context(request).await?;
        let source = match inline {
            Some(credential) => {
                context = ReviewContext {
                    subscription_id: Some(credential.subscription_id.clone()),
                    credential_changed_ms: None,
                    is_inline: true,
                    ..context
                };
                Some(CredentialSource::Inline(credential))
            }
            None => stored_credential(request),
        };
        let subject = to_subject(request, &context);
        let data = match source {
            None => AzureData::unknown("aksConfig.azureCredentialSecret is not set"),
            Some(source) => match self.inner.credentials.resolve(&by.caller, source).await {
                Ok(access) => self.read_azure(by, Action::Call("review"), &access, &subject).await,
                Err(AccessError::NotFound | AccessError::InvalidId(_)) => {
                    return Err(Error::NoCredential);
                }
                Err(AccessError::Other(error)) => return Err(error),
                Err(error) => unusable_credential(&error),
            },
        };
        Ok(review::review(&subject, &data))
    }

    /// Reads the data that the review needs, and records the use of a stored credential.
    async fn read_azure(
        &self,
        by: &Actor,
        action: Action,
        access: &AzureAccess,
        subject: &Subject<'_>,
    ) -> AzureData {
        let deadline = Instant::now() + AZURE_TIMEOUT;
        let data = Box::pin(gather::all(&self.inner.azure, access, by, subject, deadline)).await;
        if let Some(id) = access.credential_id() {
            self.inner.audit_log.record(by.event(action, credentials::OBJECT_TYPE, id, &Ok(()))).await;
        }
        data
    }

    /// The data of the review that is neither in the specification nor in Azure.
    async fn context(&self, request: &ReviewRequest<'_>) -> Result<ReviewContext> {
        let id = request.spec.aks().azure_credential_secret.as_deref();
        let row = match id.and_then(ids::split_namespaced) {
            Some((_, bare_id)) => store::credentials::get(&self.inner.store, bare_id).await?,
            None => None,
        };
        let is_advice_only = match annotation(request.spec.body()) {
            Some(ADVISE) => true,
            Some(ENFORCE) => false,
            _ => self.inner.settings.value(SETTING).await == ADVISE,
        };
        Ok(ReviewContext {
            is_advice_only,
            now_ms: self.inner.clock.now_ms(),
            credential_changed_ms: row.as_ref().map(|row| row.updated_ms),
            subscription_id: row.and_then(|row| row.subscription_id).map(input::trim_owned_id),
            is_inline: false,
        })
    }
}

fn count_wait(outcome: &'static str) {
    metrics::counter!("norman_aks_access_waits_total", "outcome" => outcome).increment(1);
}

struct ReviewContext {
    /// Whether errors that depend on Azure's data are only advice.
    is_advice_only: bool,
    now_ms: i64,
    credential_changed_ms: Option<i64>,
    subscription_id: Option<String>,
    /// Whether the credential is an inline one.
    is_inline: bool,
}

fn to_subject<'a>(request: &ReviewRequest<'a>, context: &'a ReviewContext) -> Subject<'a> {
    let body = request.spec.body();
    let aks = request.spec.aks();
    let purpose = match request.existing {
        Some(Existing { stored, applied, upstream, details, user_entries, .. }) => Purpose::Update(Before {
            stored: stored.aks(),
            applied: *applied,
            upstream: *upstream,
            details,
            user_entries: Some(user_entries),
            isolation: has_network_policy(stored.body()),
        }),
        None if aks.imported == Some(true) => Purpose::Import,
        None => Purpose::Create,
    };
    Subject {
        spec: aks,
        purpose,
        id: request.existing.map(|existing| existing.id),
        subscription_id: context.subscription_id.as_deref(),
        isolation: has_network_policy(body),
        advise: context.is_advice_only,
        unknown_fields: request.unknown,
        facts: Facts {
            now_ms: context.now_ms,
            credential_changed_ms: context.credential_changed_ms,
            cluster_created_ms: request.existing.map(|existing| existing.created_ms),
            credential_sent_along: context.is_inline,
        },
    }
}

fn has_network_policy(body: &Object) -> bool {
    body.get("enableNetworkPolicy").and_then(serde_json::Value::as_bool).unwrap_or_default()
}

/// The value of the review annotation of a cluster.
pub(super) fn annotation(body: &Object) -> Option<&str> {
    body.get("annotations")?.get(ANNOTATION)?.as_str()
}

/// The stored credential that the specification names.
fn stored_credential<'a>(request: &ReviewRequest<'a>) -> Option<CredentialSource<'a>> {
    let id = request.spec.aks().azure_credential_secret.as_deref()?;
    Some(match request.existing {
        Some(existing) => CredentialSource::OfCluster { id, cluster_id: existing.id },
        None => CredentialSource::Stored { id, cluster_id: None },
    })
}

/// Whether the data proves that the credential has access to the subscription. A missing group proves nothing, because Azure
/// reports it to any caller; nor does a missing cluster, whose group may be missing.
fn has_verified_access(data: &AzureData) -> bool {
    fn is_known<T>(part: &Read<T>) -> bool {
        matches!(part, Read::Known(_))
    }
    is_known(&data.versions)
        || is_known(&data.sizes)
        || is_known(&data.networks)
        || is_known(&data.usages)
        || is_known(&data.regions)
        || matches!(data.cluster, Read::Known(Some(_)))
        || matches!(data.node_group, Read::Known(true))
}

fn reject_errors(review: Review) -> Result<Review> {
    match (review.first_error(), review.rejection_message()) {
        (Some(finding), Some(message)) => {
            Err(Invalid::field("InvalidOption", &finding.field, message).into())
        }
        _ => Ok(review),
    }
}

/// The data for a credential that cannot be used: only the reason, without private details of the credential.
fn unusable_credential(error: &AccessError) -> AzureData {
    let reason = match error {
        AccessError::Other(_) => "the cloud credential cannot be read at the moment".to_owned(),
        error => error.to_string(),
    };
    AzureData { denial: denial::from_access_error(error), ..AzureData::unknown(&reason) }
}
