//! One cluster: its authority, its objects behind a lock, and the bells that ring when something has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::authority::{Authority, Kept};
use super::storage::State;
use super::value::Now;
use super::{Declared, controllers, seed};
use crate::authority::Error;

pub(crate) struct Cluster {
    pub(crate) host: String,
    authority: RwLock<Arc<Authority>>,
    state: Mutex<State>,
    /// The number of the last change.
    revision: watch::Sender<u64>,
    signals: Arc<Signals>,
    /// Cancelled when the cluster is deleted or stops.
    ended: Mutex<CancellationToken>,
}

/// Bells for all clusters.
#[derive(Default)]
pub(crate) struct Signals {
    /// Counts changes that have to be kept.
    pub(crate) changes: watch::Sender<u64>,
    /// How many of them are kept.
    pub(crate) saved: watch::Sender<u64>,
    /// Rings when there may be something to do.
    pub(crate) work: Notify,
}

/// A cluster as it is kept between two starts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptCluster {
    pub(crate) declared: Declared,
    pub(crate) reachable: Option<bool>,
    pub(crate) authority: Kept,
    pub(crate) revision: u64,
    pub(crate) objects: Vec<Arc<Value>>,
}

impl Cluster {
    /// A new cluster with everything that a new cluster has.
    pub(crate) fn new(
        declared: Declared,
        signals: Arc<Signals>,
        sizes: &HashMap<String, (u32, f64)>,
        now: &Now,
    ) -> Result<Self, Error> {
        let host = declared.fqdn.clone();
        let authority = Authority::new(Kept::generate(&host)?, &host)?;
        let state = State::new(Declared { pools: Vec::new(), ..declared.clone() });
        let cluster = Self::with(host, authority, state, signals);
        cluster.change(now, |state| seed::furnish(state, declared, sizes, now));
        Ok(cluster)
    }

    pub(crate) fn restored(kept: KeptCluster, signals: Arc<Signals>) -> Result<Self, Error> {
        let host = kept.declared.fqdn.clone();
        let authority = Authority::restored(kept.authority, &host)?;
        let objects = kept.objects.into_iter().map(Arc::unwrap_or_clone).collect();
        let state = State::restored(kept.declared, kept.reachable, kept.revision, objects);
        // What was under way goes on.
        signals.work.notify_one();
        Ok(Self::with(host, authority, state, signals))
    }

    fn with(host: String, authority: Authority, state: State, signals: Arc<Signals>) -> Self {
        let revision = watch::Sender::new(state.revision);
        let ended = Mutex::new(CancellationToken::new());
        let authority = RwLock::new(Arc::new(authority));
        Self { host, authority, state: Mutex::new(state), revision, signals, ended }
    }

    pub(crate) fn kept(&self) -> KeptCluster {
        let state = self.state();
        KeptCluster {
            declared: state.declared.clone(),
            reachable: state.reachable,
            authority: self.authority().kept.clone(),
            revision: state.revision,
            objects: state.everything().cloned().collect(),
        }
    }

    /// Whom the cluster trusts now.
    pub(crate) fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.authority.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace_authority(&self, kept: Kept) -> Result<(), Error> {
        let authority = Arc::new(Authority::new(kept, &self.host)?);
        *self.authority.write().unwrap_or_else(PoisonError::into_inner) = authority;
        self.touch();
        Ok(())
    }

    /// Replaces the authority and everything that it vouched for, as `az aks rotate-certs` does: older certificates and
    /// tokens are good no more, and the API begins anew.
    pub(crate) fn rotate(&self, now: &Now) -> Result<(), Error> {
        self.replace_authority(Kept::generate(&self.host)?)?;
        self.change(now, controllers::empty_tokens);
        self.end();
        Ok(())
    }

    /// Issues another client certificate for the administrator.
    pub(crate) fn renew_client(&self, days: u32) -> Result<(), Error> {
        let mut kept = self.authority().kept.clone();
        kept.renew_client(&self.host, days)?;
        self.replace_authority(kept)
    }

    /// To look, or to change what has no number. Changes of objects go through [`Cluster::change`].
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes objects and lets the controllers do what follows, all in one step.
    pub(crate) fn change<T>(&self, now: &Now, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let (before, declared) = (state.revision, state.declared.clone());
        let result = change(&mut state);
        if state.revision != before {
            controllers::settle(&mut state, &self.authority(), now);
        }
        let stopped = declared.running && !state.declared.running;
        let changed = state.revision != before || declared != state.declared;
        self.revision.send_replace(state.revision);
        drop(state);
        if stopped {
            self.end();
        }
        if changed {
            self.touch();
            self.signals.work.notify_one();
        }
        result
    }

    /// Something has to be kept that has no number of its own.
    pub(crate) fn touch(&self) {
        self.signals.changes.send_modify(|changes| *changes += 1);
    }

    /// Follows the number of the last change.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Whether the host name is found from here.
    pub(crate) fn is_found(&self) -> bool {
        let state = self.state();
        state.declared.running && state.reachable.unwrap_or(!state.declared.private)
    }

    /// Cancelled when what runs now has to end: the cluster stops, or is no more.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends every stream.
    pub(crate) fn end(&self) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *ended).cancel();
    }
}
