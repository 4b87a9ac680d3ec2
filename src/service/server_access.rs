//! Working access to clusters: selects the identity with which this server connects to a cluster.
//!
//! | case | identity |
//! |---|---|
//! | usual | the client certificate of Azure's admin kubeconfig |
//! | local accounts are disabled, or the admin kubeconfig is denied | that of the user kubeconfig, usually a token of Microsoft Entra |
//! | clusters of an earlier version | the token of their service account, until one of the above has worked |
//!
//! URL, CA and certificate are stored encrypted in `cluster_secrets`; a token of Entra is never stored. All are cached
//! here, and renewed before they expire.
//!
//! Call [`ServerAccess::access`] for each request. If the request's error shows that the access is outdated
//! (`cluster_access::Error::is_access_outdated`), call [`ServerAccess::renew`] with that access, and repeat the request once
//! with the result. Concurrent callers share one renewal, and a failed one is not repeated for ten seconds.

mod error;
mod fetch;
mod record;
mod retire;
mod slot;
mod target;

use std::sync::Arc;
use std::time::Duration;

use azure::Azure;
use clock::Clock;
use cluster_access::{Access, ClusterAccess, Identity, Kubeconfig, SignIn};
use moka::sync::Cache;

pub use self::error::Error;
pub use self::fetch::Fetched;
use self::record::StoredAccess;
pub use self::retire::Retired;
pub use self::slot::CurrentAccess;
use self::slot::{Probe, Slot};
use self::target::OwnedTarget;
pub use self::target::Target;
use super::base::Base;
use super::credentials::Credentials;
use super::secrets::{CLUSTER_ACCESS_SECRET, SERVICE_ACCOUNT_TOKEN_SECRET, Secrets};

/// The maximum number of cache entries, and the time after which an unused one is evicted.
const CACHE_CAPACITY: u64 = 10_000;
const CACHE_IDLE_TTL: Duration = Duration::from_mins(10);

/// The time for which a failed renewal is not repeated.
const RENEWAL_RETRY_DELAY_MS: i64 = 10_000;

/// The time before its expiry at which a certificate is renewed, and the interval of attempts: Azure returns the same
/// certificate until the cluster rotates its certificates.
const RENEW_AHEAD_MS: i64 = 30 * 24 * 3_600_000;
const RENEW_AHEAD_INTERVAL_MS: i64 = 6 * 3_600_000;

/// Working access to clusters. Clones share everything.
#[derive(Clone)]
pub struct ServerAccess {
    inner: Arc<Inner>,
}

struct Inner {
    secrets: Secrets,
    credentials: Credentials,
    azure: Azure,
    cluster_access: ClusterAccess,
    clock: Clock,
    slots: Cache<String, Arc<Slot>>,
}

impl ServerAccess {
    /// Access to the clusters of this database.
    pub fn new(base: &Base, credentials: Credentials) -> Self {
        for outcome in ["renewed", "failed"] {
            metrics::counter!("norman_aks_cluster_access_renewals_total", "outcome" => outcome).increment(0);
        }
        let slots = Cache::builder().max_capacity(CACHE_CAPACITY).time_to_idle(CACHE_IDLE_TTL).build();
        let Base { secrets, azure, cluster_access, clock, .. } = base.clone();
        let inner = Inner { secrets, credentials, azure, cluster_access, clock, slots };
        Self { inner: Arc::new(inner) }
    }

    /// Access to a cluster, usually from the cache. Waits for a new kubeconfig from Azure only if the certificate has expired.
    ///
    /// # Errors
    /// [`Error::NotConnected`] if the cluster has no access yet, or can be reached only through an agent that is not connected.
    pub async fn access(&self, target: impl Into<Target<'_>>) -> Result<Arc<Access>, Arc<Error>> {
        let target = target.into();
        let sessions = self.inner.cluster_access.sessions();
        if target.status.private_requires_tunnel == Some(true) && !sessions.has_usable(target.id) {
            let reason =
                "Cluster agent is not connected: this private cluster can be reached only through its agent";
            return Err(Arc::new(Error::NotConnected(reason)));
        }
        let current = self.current(target).await?;
        let reason = if target.status.api_endpoint.is_none() {
            "the cluster is not provisioned yet"
        } else {
            "the cluster is not connected yet"
        };
        current.map(|current| current.access).ok_or_else(|| Arc::new(Error::NotConnected(reason)))
    }

    /// Access for checking whether the cluster responds; anonymous if no other access is available.
    pub async fn access_or_anonymous(&self, target: Target<'_>) -> Option<Arc<Access>> {
        if let Ok(Some(current)) = self.current(target).await {
            return Some(current.access);
        }
        let (endpoint, ca) = target.to_owned_target().endpoint?;
        let identity = Identity::Anonymous;
        Some(Arc::new(Access { cluster_id: target.id.to_owned(), endpoint, ca, identity }))
    }

    /// As [`ServerAccess::access`], without checking whether the cluster can be reached; `None` if there is none yet.
    pub async fn current(&self, target: Target<'_>) -> Result<Option<CurrentAccess>, Arc<Error>> {
        let inner = &self.inner;
        let slot = inner.slot(target.id);
        let credential_id = target.credential_id();
        if let Some(current) = slot.get_fresh(credential_id, inner.clock.now_ms()) {
            return Ok(Some(current));
        }
        let cluster = target.to_owned_target();
        let guard = slot.renewal.lock().await;
        if let Some(current) = slot.get_fresh(credential_id, inner.clock.now_ms()) {
            return Ok(Some(current));
        }
        let Some(current) = inner.load(&slot, &cluster).await.map_err(Arc::new)? else { return Ok(None) };
        drop(guard);
        if let Some(expires_ms) = current.access.certificate_expires_ms() {
            let remaining_ms = expires_ms - Clock::system().now_ms();
            if remaining_ms <= 0 {
                // If the certificate cannot be renewed, use it and let the cluster decide: this server's clock may be wrong.
                let renewed = self.renew(target, &current.access).await;
                return Ok(Some(CurrentAccess { access: renewed.unwrap_or(current.access), ..current }));
            }
            if remaining_ms <= RENEW_AHEAD_MS {
                let inner = Arc::clone(inner);
                tokio::spawn(async move { inner.renew_ahead(&cluster).await });
            }
        }
        Ok(Some(current))
    }

    /// New access in place of `rejected`, which the cluster does not accept: access that another caller or server has renewed,
    /// or new access from Azure, which is tried before it is returned. The renewal continues if the caller is dropped.
    ///
    /// # Errors
    /// If the last renewal failed within the last ten seconds, its error, without a new attempt.
    pub async fn renew(
        &self,
        target: impl Into<Target<'_>>,
        rejected: &Arc<Access>,
    ) -> Result<Arc<Access>, Arc<Error>> {
        let (inner, cluster) = (Arc::clone(&self.inner), target.into().to_owned_target());
        let rejected = Arc::clone(rejected);
        let task = tokio::spawn(async move { inner.renew(&cluster, &rejected).await });
        task.await.unwrap_or_else(|_| Err(Arc::new(Error::Interrupted)))
    }

    /// Whether the cluster rejects `access`. Call this after a response with status 401, which may also come from an
    /// application in the cluster. Sends a request to the cluster, at most once in ten seconds.
    pub async fn is_rejected(&self, cluster_id: &str, access: &Arc<Access>) -> bool {
        let inner = &self.inner;
        let slot = inner.slot(cluster_id);
        let mut probe = slot.probe.lock().await;
        let now_ms = inner.clock.now_ms();
        if let Some(last) = probe.as_ref().filter(|last| last.access.is_same_as(access))
            && now_ms - last.at_ms < RENEWAL_RETRY_DELAY_MS
        {
            return last.is_rejected;
        }
        let result = inner.cluster_access.check_rights(access).await;
        let is_rejected = result.is_err_and(|error| error.is_access_outdated());
        *probe = Some(Probe { access: Arc::clone(access), at_ms: now_ms, is_rejected });
        is_rejected
    }

    /// Fetches access to a cluster from Azure, without trying it. If `has_local_accounts` is false, the request for the admin
    /// kubeconfig is omitted.
    ///
    /// # Errors
    /// [`Error::Credential`], [`Error::Azure`], [`Error::KubeconfigDenied`], [`Error::Kubeconfig`].
    pub async fn fetch(&self, target: Target<'_>, has_local_accounts: bool) -> Result<Fetched, Error> {
        self.inner.fetch(&target.to_owned_target(), has_local_accounts).await
    }

    /// Tries fetched access, and stores it if the cluster accepts it and it has the rights that this server needs.
    ///
    /// # Errors
    /// [`Error::Cluster`] if the cluster cannot be reached or rejects the access, [`Error::NoRights`] if the access
    /// lacks rights.
    pub async fn adopt(&self, target: Target<'_>, fetched: &Fetched) -> Result<Arc<Access>, Error> {
        let inner = &self.inner;
        let (slot, cluster) = (inner.slot(target.id), target.to_owned_target());
        let _renewal = slot.renewal.lock().await;
        let access = inner.build_access(&cluster, &fetched.kubeconfig, None).await?;
        Ok(inner.adopt(&slot, &cluster, fetched, access).await?.access)
    }
}

impl Inner {
    fn slot(&self, id: &str) -> Arc<Slot> {
        match self.slots.get(id) {
            Some(slot) => slot,
            None => self.slots.get_with_by_ref(id, Arc::default),
        }
    }

    /// Loads access from the database, with a token from Entra if needed.
    async fn load(&self, slot: &Slot, cluster: &OwnedTarget) -> Result<Option<CurrentAccess>, Error> {
        if let Some(record) = self.stored_access(cluster).await? {
            let access = self.build_access(cluster, &record.kubeconfig, None).await?;
            return Ok(Some(slot.cache(access, false, cluster, self.clock.now_ms())));
        }
        let token = self.secrets.cluster_secret(&cluster.id, SERVICE_ACCOUNT_TOKEN_SECRET).await?;
        let (Some(token), Some((endpoint, ca))) = (token, cluster.endpoint.clone()) else { return Ok(None) };
        let cluster_id = cluster.id.clone();
        let access = Access { cluster_id, endpoint, ca, identity: Identity::Token(token) };
        Ok(Some(slot.cache(access, true, cluster, self.clock.now_ms())))
    }

    async fn stored_access(&self, cluster: &OwnedTarget) -> Result<Option<StoredAccess>, Error> {
        let json = self.secrets.cluster_secret(&cluster.id, CLUSTER_ACCESS_SECRET).await?;
        // Access with an unreadable record is fetched again.
        Ok(json.and_then(|json| StoredAccess::from_json(&json)))
    }

    /// Builds access from a kubeconfig. If that needs a token of Entra, the token differs from the one in `rejected`.
    async fn build_access(
        &self,
        cluster: &OwnedTarget,
        kubeconfig: &Kubeconfig,
        rejected: Option<&Access>,
    ) -> Result<Access, Error> {
        let identity = match &kubeconfig.sign_in {
            SignIn::Identity(identity) => identity.clone(),
            SignIn::Entra { server_id, tenant_id } => {
                let rejected = match rejected.map(|rejected| &rejected.identity) {
                    Some(Identity::Token(token)) => Some(token),
                    _ => None,
                };
                Identity::Token(self.entra_token(cluster, server_id, tenant_id, rejected).await?)
            }
        };
        Ok(kubeconfig.access(&cluster.id, identity))
    }

    async fn renew(&self, cluster: &OwnedTarget, rejected: &Access) -> Result<Arc<Access>, Arc<Error>> {
        let slot = self.slot(&cluster.id);
        let _renewal = slot.renewal.lock().await;
        let now_ms = self.clock.now_ms();
        {
            let state = slot.lock();
            if let Some(cached) =
                state.cached.as_ref().filter(|cached| !cached.current.access.is_same_as(rejected))
            {
                return Ok(Arc::clone(&cached.current.access));
            }
            if let Some((error, _)) = state.failure.as_ref().filter(|(_, until_ms)| now_ms < *until_ms) {
                return Err(Arc::clone(error));
            }
        }
        let outcome = self.fetch_replacement(&slot, cluster, rejected).await.map_err(Arc::new);
        let label = if outcome.is_ok() { "renewed" } else { "failed" };
        metrics::counter!("norman_aks_cluster_access_renewals_total", "outcome" => label).increment(1);
        match &outcome {
            Ok(_) => tracing::info!(cluster = cluster.id, "access to the cluster renewed"),
            // The state of the cluster and the log of its agent already show that it is unreachable.
            Err(error) if error.is_unreachable() => {
                let cause: &dyn std::error::Error = &**error;
                tracing::debug!(
                    cluster = cluster.id,
                    error = cause,
                    "cluster unreachable; access not renewed"
                );
            }
            Err(error) => {
                let cause: &dyn std::error::Error = &**error;
                tracing::warn!(cluster = cluster.id, error = cause, "cannot renew access to the cluster");
            }
        }
        let failure =
            outcome.as_ref().err().map(|error| (Arc::clone(error), now_ms + RENEWAL_RETRY_DELAY_MS));
        slot.lock().failure = failure;
        outcome
    }

    async fn fetch_replacement(
        &self,
        slot: &Slot,
        cluster: &OwnedTarget,
        rejected: &Access,
    ) -> Result<Arc<Access>, Error> {
        let now_ms = self.clock.now_ms();
        if let Some(record) = self.stored_access(cluster).await? {
            let is_entra = matches!(record.kubeconfig.sign_in, SignIn::Entra { .. });
            // If a token that was just replaced is rejected too, another new token does not help.
            let may_replace_token =
                slot.lock().token_replaced_ms.is_none_or(|at_ms| now_ms - at_ms >= RENEWAL_RETRY_DELAY_MS);
            if !is_entra || may_replace_token {
                let access = self.build_access(cluster, &record.kubeconfig, Some(rejected)).await?;
                if is_entra {
                    slot.lock().token_replaced_ms = Some(now_ms);
                }
                if !access.is_same_as(rejected) {
                    return Ok(slot.cache(access, false, cluster, now_ms).access);
                }
            }
        }
        let fetched = self.fetch(cluster, true).await?;
        let access = self.build_access(cluster, &fetched.kubeconfig, Some(rejected)).await?;
        if access.is_same_as(rejected) {
            return Err(Error::StillRejected);
        }
        Ok(self.adopt(slot, cluster, &fetched, access).await?.access)
    }

    async fn adopt(
        &self,
        slot: &Slot,
        cluster: &OwnedTarget,
        fetched: &Fetched,
        access: Access,
    ) -> Result<CurrentAccess, Error> {
        self.cluster_access.check_rights(&access).await.map_err(|error| fetched.to_error(error))?;
        let now_ms = self.clock.now_ms();
        let record = StoredAccess { kubeconfig: fetched.kubeconfig.clone(), fetched_ms: now_ms };
        self.secrets.store_cluster_secret(&cluster.id, CLUSTER_ACCESS_SECRET, &record.to_json()).await?;
        Ok(slot.cache(access, false, cluster, now_ms))
    }

    /// Renews a certificate that is about to expire, while the old one still works.
    async fn renew_ahead(&self, cluster: &OwnedTarget) {
        if let Err(error) = self.try_renew_ahead(cluster).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                cluster = cluster.id,
                error,
                "cannot renew a client certificate that is about to expire"
            );
        }
    }

    async fn try_renew_ahead(&self, cluster: &OwnedTarget) -> Result<(), Error> {
        let slot = self.slot(&cluster.id);
        let _renewal = slot.renewal.lock().await;
        let Some(record) = self.stored_access(cluster).await? else { return Ok(()) };
        let now_ms = self.clock.now_ms();
        if now_ms - record.fetched_ms < RENEW_AHEAD_INTERVAL_MS {
            return Ok(());
        }
        let current = self.build_access(cluster, &record.kubeconfig, None).await?;
        // Stored before the request, so that each use does not send another request if Azure fails.
        let attempted = StoredAccess { fetched_ms: now_ms, ..record };
        self.secrets.store_cluster_secret(&cluster.id, CLUSTER_ACCESS_SECRET, &attempted.to_json()).await?;
        let fetched = self.fetch(cluster, true).await?;
        let access = self.build_access(cluster, &fetched.kubeconfig, None).await?;
        if !access.is_same_as(&current) {
            self.adopt(&slot, cluster, &fetched, access).await?;
            tracing::info!(cluster = cluster.id, "client certificate renewed before its expiry");
        }
        Ok(())
    }
}
