//! Working access to clusters: the only place that decides as whom this server enters one.
//!
//! | case | identity |
//! |---|---|
//! | usual | the client certificate of Azure's admin kubeconfig |
//! | local accounts are disabled, or the admin kubeconfig is denied | what the user kubeconfig names, usually a token of Microsoft Entra |
//! | clusters of an earlier version | the token of their service account, until one of the above has worked |
//!
//! Address, authority and certificate are encrypted in `cluster_secrets`; a token of Entra is never stored. All of it is
//! cached here, and fetched again before it expires.
//!
//! To use it: take [`ServerAccess::access`] for each request. When the cluster rejects it
//! (`cluster_access::Error::is_access_rejected`), call [`ServerAccess::renew`] with what was rejected and repeat the request
//! once with what that returns. Concurrent callers share one renewal, and a failed one is not repeated for ten seconds.

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
use self::record::Record;
pub use self::retire::Retired;
use self::slot::{Probe, Slot};
use self::target::Place;
pub use self::target::Target;
use super::base::Base;
use super::credentials::Credentials;
use super::secrets::{CLUSTER_ACCESS, SERVICE_ACCOUNT_TOKEN, Secrets};

/// Clusters whose access is cached at most, and how long one that is not used stays.
const CACHE_CAPACITY: u64 = 10_000;
const CACHE_IDLE: Duration = Duration::from_mins(10);

/// How long a renewal that did not help is not repeated.
const RENEWAL_PAUSE_MS: i64 = 10_000;

/// How long before its end a certificate is fetched again, and how often: until the cluster rotates its certificates,
/// Azure gives the same one.
const RENEW_AHEAD_MS: i64 = 30 * 24 * 3_600_000;
const RENEW_AHEAD_INTERVAL_MS: i64 = 6 * 3_600_000;

/// Access that is there without asking Azure for a kubeconfig.
#[derive(Clone, Debug)]
pub struct Known {
    /// The access.
    pub access: Arc<Access>,
    /// Whether it is the service account of an earlier version.
    pub is_service_account: bool,
}

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
    /// Access to the clusters of the database that `secrets` and `credentials` are in.
    pub fn new(base: &Base, credentials: Credentials) -> Self {
        for outcome in ["renewed", "failed"] {
            metrics::counter!("norman_aks_cluster_access_renewals_total", "outcome" => outcome).increment(0);
        }
        let slots = Cache::builder().max_capacity(CACHE_CAPACITY).time_to_idle(CACHE_IDLE).build();
        let Base { secrets, azure, cluster_access, clock, .. } = base.clone();
        let inner = Inner { secrets, credentials, azure, cluster_access, clock, slots };
        Self { inner: Arc::new(inner) }
    }

    /// Access to a cluster, usually from memory. Asks Azure for a kubeconfig only when the certificate has expired.
    ///
    /// # Errors
    /// [`Error::NotConnected`] while the cluster has none yet, or only an agent could reach it.
    pub async fn access(&self, target: impl Into<Target<'_>>) -> Result<Arc<Access>, Arc<Error>> {
        let target = target.into();
        let sessions = self.inner.cluster_access.sessions();
        if target.status.private_requires_tunnel == Some(true) && !sessions.has_usable(target.id) {
            let why =
                "Cluster agent is not connected: this private cluster can be reached through its agent only";
            return Err(Arc::new(Error::NotConnected(why)));
        }
        let known = self.known(target).await?;
        let why = if target.status.api_endpoint.is_none() {
            "the cluster is not provisioned yet"
        } else {
            "the cluster is not connected yet"
        };
        known.map(|known| known.access).ok_or_else(|| Arc::new(Error::NotConnected(why)))
    }

    /// Access that is enough to find out whether the cluster answers: without an identity before there is any.
    pub async fn for_tunnel(&self, target: Target<'_>) -> Option<Arc<Access>> {
        if let Ok(Some(known)) = self.known(target).await {
            return Some(known.access);
        }
        let (endpoint, ca) = target.to_place().known?;
        let identity = Identity::Anonymous;
        Some(Arc::new(Access { cluster_id: target.id.to_owned(), endpoint, ca, identity }))
    }

    /// As [`ServerAccess::access`], without a judgement on whether the cluster can be reached; `None` when there is none
    /// yet.
    pub async fn known(&self, target: Target<'_>) -> Result<Option<Known>, Arc<Error>> {
        let inner = &self.inner;
        let slot = inner.slot(target.id);
        let credential_id = target.credential_id();
        if let Some(known) = slot.fresh(credential_id, inner.clock.now_ms()) {
            return Ok(Some(known));
        }
        let place = target.to_place();
        let turn = slot.turn.lock().await;
        if let Some(known) = slot.fresh(credential_id, inner.clock.now_ms()) {
            return Ok(Some(known));
        }
        let Some(known) = inner.load(&slot, &place).await.map_err(Arc::new)? else { return Ok(None) };
        drop(turn);
        if let Some(expires_ms) = known.access.certificate_expires_ms() {
            let left_ms = expires_ms - Clock::system().now_ms();
            if left_ms <= 0 {
                // If there is no other, the cluster decides: its clock may be right and this one wrong.
                let renewed = self.renew(target, &known.access).await;
                return Ok(Some(Known { access: renewed.unwrap_or(known.access), ..known }));
            }
            if left_ms <= RENEW_AHEAD_MS {
                let inner = Arc::clone(inner);
                tokio::spawn(async move { inner.renew_ahead(&place).await });
            }
        }
        Ok(Some(known))
    }

    /// Access in place of `rejected`, which the cluster does not accept: from another server that has renewed it, or
    /// from Azure. New access has worked once before it is returned. The work goes on when the caller goes away.
    ///
    /// # Errors
    /// Also when new access was fetched a moment ago and did not help; then nobody is asked.
    pub async fn renew(
        &self,
        target: impl Into<Target<'_>>,
        rejected: &Arc<Access>,
    ) -> Result<Arc<Access>, Arc<Error>> {
        let (inner, place) = (Arc::clone(&self.inner), target.into().to_place());
        let rejected = Arc::clone(rejected);
        let renewing = tokio::spawn(async move { inner.renew(&place, &rejected).await });
        renewing.await.unwrap_or_else(|_| Err(Arc::new(Error::Interrupted)))
    }

    /// Whether the cluster rejects access that was just used. For an answer 401 that may be that of an application in the
    /// cluster: the cluster is asked, at most once in ten seconds.
    pub async fn is_rejected(&self, cluster_id: &str, access: &Arc<Access>) -> bool {
        let inner = &self.inner;
        let slot = inner.slot(cluster_id);
        let mut probe = slot.probe.lock().await;
        let now_ms = inner.clock.now_ms();
        if let Some(last) = probe.as_ref().filter(|last| last.access.is_same_as(access))
            && now_ms - last.at_ms < RENEWAL_PAUSE_MS
        {
            return last.is_rejected;
        }
        let answer = inner.cluster_access.check_rights(access).await;
        let is_rejected = answer.is_err_and(|error| error.is_access_rejected());
        *probe = Some(Probe { access: Arc::clone(access), at_ms: now_ms, is_rejected });
        is_rejected
    }

    /// What Azure gives for a cluster, without trying it. `local_accounts` spares a request where it is known that they
    /// are disabled.
    ///
    /// # Errors
    /// [`Error::Credential`], [`Error::Azure`], [`Error::KubeconfigDenied`], [`Error::Kubeconfig`].
    pub async fn fetch(&self, target: Target<'_>, local_accounts: bool) -> Result<Fetched, Error> {
        self.inner.fetch(&target.to_place(), local_accounts).await
    }

    /// Tries what was fetched, and keeps it once the cluster has accepted it and granted it what this server needs.
    ///
    /// # Errors
    /// [`Error::Cluster`] when the cluster cannot be reached or does not accept it, [`Error::NoRights`] when it grants too
    /// little.
    pub async fn adopt(&self, target: Target<'_>, fetched: &Fetched) -> Result<Arc<Access>, Error> {
        let inner = &self.inner;
        let (slot, place) = (inner.slot(target.id), target.to_place());
        let _turn = slot.turn.lock().await;
        let access = inner.identify(&place, &fetched.kubeconfig, None).await?;
        Ok(inner.adopt(&slot, &place, fetched, access).await?.access)
    }
}

impl Inner {
    fn slot(&self, id: &str) -> Arc<Slot> {
        match self.slots.get(id) {
            Some(slot) => slot,
            None => self.slots.get_with_by_ref(id, Arc::default),
        }
    }

    /// From the database, and Entra.
    async fn load(&self, slot: &Slot, place: &Place) -> Result<Option<Known>, Error> {
        if let Some(record) = self.record(place).await? {
            let access = self.identify(place, &record.kubeconfig, None).await?;
            return Ok(Some(slot.keep(access, false, place, self.clock.now_ms())));
        }
        let token = self.secrets.cluster_secret(&place.id, SERVICE_ACCOUNT_TOKEN).await?;
        let (Some(token), Some((endpoint, ca))) = (token, place.known.clone()) else { return Ok(None) };
        let cluster_id = place.id.clone();
        let access = Access { cluster_id, endpoint, ca, identity: Identity::Token(token) };
        Ok(Some(slot.keep(access, true, place, self.clock.now_ms())))
    }

    async fn record(&self, place: &Place) -> Result<Option<Record>, Error> {
        let text = self.secrets.cluster_secret(&place.id, CLUSTER_ACCESS).await?;
        // One that cannot be read is fetched anew.
        Ok(text.and_then(|text| Record::from_text(&text)))
    }

    /// The identity that a kubeconfig names, other than a `rejected` one.
    async fn identify(
        &self,
        place: &Place,
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
                Identity::Token(self.entra_token(place, server_id, tenant_id, rejected).await?)
            }
        };
        Ok(kubeconfig.access(&place.id, identity))
    }

    async fn renew(&self, place: &Place, rejected: &Access) -> Result<Arc<Access>, Arc<Error>> {
        let slot = self.slot(&place.id);
        let _turn = slot.turn.lock().await;
        let now_ms = self.clock.now_ms();
        {
            let state = slot.lock();
            if let Some(held) = state.held.as_ref().filter(|held| !held.known.access.is_same_as(rejected)) {
                return Ok(Arc::clone(&held.known.access));
            }
            if let Some((error, _)) = state.failure.as_ref().filter(|(_, until_ms)| now_ms < *until_ms) {
                return Err(Arc::clone(error));
            }
        }
        let outcome = self.replace(&slot, place, rejected).await.map_err(Arc::new);
        let label = if outcome.is_ok() { "renewed" } else { "failed" };
        metrics::counter!("norman_aks_cluster_access_renewals_total", "outcome" => label).increment(1);
        match &outcome {
            Ok(_) => tracing::info!(cluster = place.id, "access to the cluster renewed"),
            // The state of the cluster, and the log of its agent, say so already.
            Err(error) if error.is_unreached() => {
                let cause: &dyn std::error::Error = &**error;
                tracing::debug!(cluster = place.id, error = cause, "cluster unreachable; access not renewed");
            }
            Err(error) => {
                let cause: &dyn std::error::Error = &**error;
                tracing::warn!(cluster = place.id, error = cause, "cannot renew access to the cluster");
            }
        }
        let failure = outcome.as_ref().err().map(|error| (Arc::clone(error), now_ms + RENEWAL_PAUSE_MS));
        slot.lock().failure = failure;
        outcome
    }

    async fn replace(&self, slot: &Slot, place: &Place, rejected: &Access) -> Result<Arc<Access>, Error> {
        let now_ms = self.clock.now_ms();
        if let Some(record) = self.record(place).await? {
            let is_entra = matches!(record.kubeconfig.sign_in, SignIn::Entra { .. });
            // A second rejection within a short time is not the token's fault.
            let may_replace =
                slot.lock().token_replaced_ms.is_none_or(|at_ms| now_ms - at_ms >= RENEWAL_PAUSE_MS);
            if !is_entra || may_replace {
                let access = self.identify(place, &record.kubeconfig, Some(rejected)).await?;
                if is_entra {
                    slot.lock().token_replaced_ms = Some(now_ms);
                }
                if !access.is_same_as(rejected) {
                    return Ok(slot.keep(access, false, place, now_ms).access);
                }
            }
        }
        let fetched = self.fetch(place, true).await?;
        let access = self.identify(place, &fetched.kubeconfig, Some(rejected)).await?;
        if access.is_same_as(rejected) {
            return Err(Error::StillRejected);
        }
        Ok(self.adopt(slot, place, &fetched, access).await?.access)
    }

    async fn adopt(
        &self,
        slot: &Slot,
        place: &Place,
        fetched: &Fetched,
        access: Access,
    ) -> Result<Known, Error> {
        self.cluster_access.check_rights(&access).await.map_err(|error| fetched.not_accepted(error))?;
        let now_ms = self.clock.now_ms();
        let record = Record { kubeconfig: fetched.kubeconfig.clone(), fetched_ms: now_ms };
        self.secrets.store_cluster_secret(&place.id, CLUSTER_ACCESS, &record.to_text()).await?;
        Ok(slot.keep(access, false, place, now_ms))
    }

    /// Fetches a certificate that is about to expire again, now and then, while the old one goes on working.
    async fn renew_ahead(&self, place: &Place) {
        if let Err(error) = self.try_renew_ahead(place).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                cluster = place.id,
                error,
                "cannot renew a client certificate that is about to expire"
            );
        }
    }

    async fn try_renew_ahead(&self, place: &Place) -> Result<(), Error> {
        let slot = self.slot(&place.id);
        let _turn = slot.turn.lock().await;
        let Some(record) = self.record(place).await? else { return Ok(()) };
        let now_ms = self.clock.now_ms();
        if now_ms - record.fetched_ms < RENEW_AHEAD_INTERVAL_MS {
            return Ok(());
        }
        let before = self.identify(place, &record.kubeconfig, None).await?;
        // Written first: while Azure fails, it is not asked with every request.
        let looked = Record { fetched_ms: now_ms, ..record };
        self.secrets.store_cluster_secret(&place.id, CLUSTER_ACCESS, &looked.to_text()).await?;
        let fetched = self.fetch(place, true).await?;
        let access = self.identify(place, &fetched.kubeconfig, None).await?;
        if !access.is_same_as(&before) {
            self.adopt(&slot, place, &fetched, access).await?;
            tracing::info!(cluster = place.id, "client certificate renewed before its end");
        }
        Ok(())
    }
}
