//! Sessions by key, for servers with several clients.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use crate::close::CloseCode;
use crate::connection::Connection;
use crate::error::DialError;
use crate::session::Session;

/// The sessions of a server by key, such as the ID of a cluster. Clones share their contents.
///
/// Several sessions of one key are normal: replicas of an agent, or a reconnect before the old session timed out.
/// Dials prefer the session whose peer was heard of most recently, so that a frozen peer is avoided as soon as
/// another one sends its next ping.
pub struct SessionRegistry<K> {
    shared: Arc<RegistryState<K>>,
}

struct RegistryState<K> {
    max_per_key: usize,
    entries: Mutex<HashMap<K, Vec<Entry>>>,
}

struct Entry {
    id: u64,
    /// `None` while the upgrade is under way.
    session: Option<Session>,
}

/// Why a session cannot be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many sessions for this key; the limit is {limit}")]
pub struct RegistryError {
    /// Sessions that a key may have.
    pub limit: usize,
}

/// A place in a registry. It is free again when this is dropped.
#[must_use = "dropping the registration removes the session"]
pub struct Registration<K: Eq + Hash> {
    registry: Arc<RegistryState<K>>,
    key: K,
    id: u64,
}

impl<K: Eq + Hash + Clone> SessionRegistry<K> {
    /// A registry that allows `max_per_key` sessions for each key. Agents need two or three; the limit bounds what
    /// the holder of one token can use up.
    pub fn new(max_per_key: usize) -> Self {
        Self { shared: Arc::new(RegistryState { max_per_key, entries: Mutex::default() }) }
    }

    /// Reserves a place before the upgrade is answered, so that an error can still be an HTTP status such as 429.
    pub fn reserve(&self, key: K) -> Result<Registration<K>, RegistryError> {
        let mut entries = self.shared.lock();
        let sessions = entries.entry(key.clone()).or_default();
        if sessions.len() >= self.shared.max_per_key {
            return Err(RegistryError { limit: self.shared.max_per_key });
        }
        let id = rand::random();
        sessions.push(Entry { id, session: None });
        drop(entries);
        Ok(Registration { registry: Arc::clone(&self.shared), key, id })
    }

    /// The open sessions of `key`, the most recently heard first.
    pub fn sessions(&self, key: &K) -> Vec<Session> {
        let entries = self.shared.lock();
        let sessions = entries.get(key).into_iter().flatten().filter_map(|entry| entry.session.clone());
        let mut sessions: Vec<_> = sessions.filter(|session| !session.is_closed()).collect();
        drop(entries);
        sessions.sort_by_key(|session| std::cmp::Reverse(session.last_heard()));
        sessions
    }

    /// Whether `key` has an open session.
    pub fn contains(&self, key: &K) -> bool {
        let entries = self.shared.lock();
        let mut sessions = entries.get(key).into_iter().flatten().filter_map(|entry| entry.session.as_ref());
        sessions.any(|session| !session.is_closed())
    }

    /// Number of sessions of `key`, those whose upgrade is under way included.
    pub fn len(&self, key: &K) -> usize {
        self.shared.lock().get(key).map_or(0, Vec::len)
    }

    /// Dials through a session of `key`. A session that cannot open connections is skipped.
    pub fn dial(&self, key: &K, network: &str, address: &str) -> Result<Connection, DialError> {
        let mut result = Err(DialError::NoSession);
        for session in self.sessions(key) {
            result = session.dial(network, address);
            if matches!(result, Ok(_) | Err(DialError::InvalidTarget(_))) {
                break;
            }
        }
        result
    }

    /// Closes all sessions of `key`, for instance because its token was removed. Returns their number.
    pub fn close(&self, key: &K, code: CloseCode, reason: &str) -> usize {
        let sessions = self.sessions(key);
        for session in &sessions {
            session.close(code, reason);
        }
        sessions.len()
    }

    /// Closes all sessions and waits until they have ended. Their drivers must be running.
    pub async fn shutdown(&self) {
        let sessions = self.all_sessions();
        for session in &sessions {
            session.close(CloseCode::GOING_AWAY, "server shuts down");
        }
        for session in sessions {
            session.closed().await;
        }
    }

    fn all_sessions(&self) -> Vec<Session> {
        let entries = self.shared.lock();
        entries.values().flatten().filter_map(|entry| entry.session.clone()).collect()
    }
}

impl<K: Eq + Hash> Registration<K> {
    /// Registers the session. Keep the registration for as long as the session's driver runs.
    pub fn attach(&self, session: Session) {
        let mut entries = self.registry.lock();
        let sessions = entries.get_mut(&self.key).into_iter().flatten();
        for entry in sessions.filter(|entry| entry.id == self.id) {
            entry.session = Some(session.clone());
        }
    }
}

impl<K: Eq + Hash> Drop for Registration<K> {
    fn drop(&mut self) {
        let mut entries = self.registry.lock();
        let Some(sessions) = entries.get_mut(&self.key) else { return };
        sessions.retain(|entry| entry.id != self.id);
        if sessions.is_empty() {
            entries.remove(&self.key);
        }
    }
}

impl<K> RegistryState<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Vec<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for SessionRegistry<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K> fmt::Debug for SessionRegistry<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRegistry").field("keys", &self.shared.lock().len()).finish_non_exhaustive()
    }
}

impl<K: Eq + Hash> fmt::Debug for Registration<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("id", &self.id).finish_non_exhaustive()
    }
}
