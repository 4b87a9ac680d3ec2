//! A cluster: its authority, its objects behind a lock, and the notifications of changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::authority::{Authority, StoredAuthority};
use super::declared::Declared;
use super::runtime::ImageBehavior;
use super::storage::State;
use super::value::Now;
use super::{controllers, seed};
use crate::authority::Error;

pub(crate) struct Cluster {
    pub(crate) host: String,
    authority: RwLock<Arc<Authority>>,
    state: Mutex<State>,
    /// The revision of the last change.
    revision: watch::Sender<u64>,
    signals: Arc<Signals>,
    /// Cancelled when the cluster is deleted or stops, or its certificates are rotated.
    stream_end: Mutex<CancellationToken>,
}

/// Change notifications, shared by all clusters.
#[derive(Default)]
pub(crate) struct Signals {
    /// Counts changes that have to be stored.
    pub(crate) change_count: watch::Sender<u64>,
    /// The number of changes that are stored.
    pub(crate) saved_count: watch::Sender<u64>,
    /// Notified when the controllers may have work.
    pub(crate) controllers_due: Notify,
}

/// A cluster that has not been used yet.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unstarted {
    pub(crate) declared: Declared,
    /// The creation time of the cluster and of its nodes, in milliseconds since 1970.
    pub(crate) created_ms: i64,
}

/// A cluster in the state file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredCluster {
    pub(crate) declared: Declared,
    pub(crate) reachable: Option<bool>,
    pub(crate) authority: StoredAuthority,
    pub(crate) revision: u64,
    pub(crate) objects: Vec<Arc<Value>>,
}

impl Signals {
    pub(crate) fn request_save(&self) {
        self.change_count.send_modify(|count| *count += 1);
    }
}

impl Cluster {
    /// Starts a cluster with the objects that AKS creates. The pods already run, as AKS does not report a cluster as created
    /// before.
    pub(crate) fn new(
        Unstarted { declared, created_ms }: Unstarted,
        signals: Arc<Signals>,
        sizes: &HashMap<String, (u32, f64)>,
    ) -> Result<Self, Error> {
        let host = declared.fqdn.clone();
        let authority = Authority::new(StoredAuthority::generate(&host)?, &host)?;
        let state = State::new(Declared { pools: Vec::new(), ..declared.clone() });
        let cluster = Self::from_parts(host, authority, state, signals);
        let created = Now::from_ms(created_ms);
        cluster.change(&created, |state| seed::populate(state, declared, sizes, &created));
        cluster.change(&created, |state| controllers::advance(state, &|_| ImageBehavior::Ordinary, &created));
        Ok(cluster)
    }

    pub(crate) fn restore(stored: StoredCluster, signals: Arc<Signals>) -> Result<Self, Error> {
        let host = stored.declared.fqdn.clone();
        let authority = Authority::restore(stored.authority, &host)?;
        let objects = stored.objects.into_iter().map(Arc::unwrap_or_clone).collect();
        let state = State::restore(stored.declared, stored.reachable, stored.revision, objects);
        // Pods that were starting continue.
        signals.controllers_due.notify_one();
        Ok(Self::from_parts(host, authority, state, signals))
    }

    fn from_parts(host: String, authority: Authority, state: State, signals: Arc<Signals>) -> Self {
        let revision = watch::Sender::new(state.revision);
        let stream_end = Mutex::new(CancellationToken::new());
        let authority = RwLock::new(Arc::new(authority));
        Self { host, authority, state: Mutex::new(state), revision, signals, stream_end }
    }

    pub(crate) fn to_stored(&self) -> StoredCluster {
        let state = self.state();
        StoredCluster {
            declared: state.declared.clone(),
            reachable: state.reachable,
            authority: self.authority().stored.clone(),
            revision: state.revision,
            objects: state.objects().cloned().collect(),
        }
    }

    pub(crate) fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.authority.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace_authority(&self, stored: StoredAuthority) -> Result<(), Error> {
        let authority = Arc::new(Authority::new(stored, &self.host)?);
        *self.authority.write().unwrap_or_else(PoisonError::into_inner) = authority;
        self.request_save();
        Ok(())
    }

    /// Replaces the authority and everything it issued, as `az aks rotate-certs` does: older certificates and tokens become
    /// invalid, and streams end.
    pub(crate) fn rotate(&self, now: &Now) -> Result<(), Error> {
        self.replace_authority(StoredAuthority::generate(&self.host)?)?;
        self.change(now, controllers::clear_tokens);
        self.end_streams();
        Ok(())
    }

    /// Issues another client certificate for the administrator.
    pub(crate) fn renew_client(&self, days: u32) -> Result<(), Error> {
        let mut stored = self.authority().stored.clone();
        stored.renew_client(&self.host, days)?;
        self.replace_authority(stored)
    }

    /// The locked state, for reading, and for changing fields other than objects. [`Cluster::change`] changes objects.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes objects and runs the controllers, under one lock.
    pub(crate) fn change<T>(&self, now: &Now, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let (old_revision, old_declared) = (state.revision, state.declared.clone());
        let result = change(&mut state);
        if state.revision != old_revision {
            controllers::reconcile(&mut state, &self.authority(), now);
        }
        let is_stopped = old_declared.running && !state.declared.running;
        let is_changed = state.revision != old_revision || old_declared != state.declared;
        self.revision.send_replace(state.revision);
        drop(state);
        if is_stopped {
            self.end_streams();
        }
        if is_changed {
            self.request_save();
            self.signals.controllers_due.notify_one();
        }
        result
    }

    /// Requests a save after a change outside of [`Cluster::change`].
    pub(crate) fn request_save(&self) {
        self.signals.request_save();
    }

    /// Subscribes to the revision of the last change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Cancelled when streams have to end: the cluster is deleted or stops, or its certificates are rotated.
    pub(crate) fn stream_end(&self) -> CancellationToken {
        self.stream_end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends every stream.
    pub(crate) fn end_streams(&self) {
        let mut stream_end = self.stream_end.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *stream_end).cancel();
    }
}
