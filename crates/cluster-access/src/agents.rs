//! The sessions of agents: tunnels that agents in clusters have opened to this server.
//!
//! A session is *proved* after the cluster's API has responded through it, over TLS that ends at the API. Requests use only
//! proved sessions, so the holder of a stolen registration token can open sessions, but receives no requests.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use remotedialer::{CloseCode, Connection, Session};
use tokio::time::Instant;

use crate::hosts;
use crate::relay::Relay;

/// Maximum number of proved sessions of a cluster. A cluster's agents need two or three.
const MAX_PROVED: usize = 8;
/// Maximum number of sessions of a cluster that are not proved.
const MAX_UNPROVED: usize = 2;

/// After this time, a session that is not proved may be closed in favor of a new one.
const FIRST_PROOF_TIMEOUT: Duration = Duration::from_secs(3);

/// The reason for closing an unproved session in favor of a new one. Shown in the log of the agent.
const REPLACED: &str =
    "the API of the cluster has not responded through this agent yet, and another agent has connected";

/// A session whose peer has been silent for longer is tried last. Agents send a ping every 5 s.
const MAX_SILENCE: Duration = Duration::from_secs(7);
/// After a failed request, a session is tried last for this time.
const SESSION_FAILURE_PENALTY: Duration = Duration::from_secs(30);

/// After a failed request, another server is tried last for this time.
const SERVER_FAILURE_PENALTY: Duration = Duration::from_secs(10);

/// The sessions of agents, by cluster. Clones share them.
#[derive(Clone, Default)]
pub struct AgentSessions {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    relay: OnceLock<Arc<dyn Relay>>,
    remote: Mutex<RemoteSessions>,
    next_id: AtomicU64,
    clusters: Mutex<HashMap<String, Vec<Arc<AgentSession>>>>,
}

/// The sessions of other servers.
#[derive(Default)]
struct RemoteSessions {
    /// The addresses of the servers that have a session, by cluster.
    servers: HashMap<String, Vec<String>>,
    /// Times of the latest failures, by address of the server and ID of the cluster.
    failures: HashMap<(String, String), Instant>,
}

/// A session of an agent.
pub struct AgentSession {
    id: u64,
    reserved_at: Instant,
    /// Unset while the upgrade is in progress.
    tunnel: OnceLock<Session>,
    proved: AtomicBool,
    last_failure: Mutex<Option<Instant>>,
}

/// The limit of sessions of a cluster is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooManySessions {
    /// The limit of proved sessions.
    #[error("too many agents are connected for this cluster; the limit is {MAX_PROVED}")]
    Proved,
    /// The limit of sessions that are not proved.
    #[error(
        "{MAX_UNPROVED} agents of this cluster are connected that have not reached its API yet; connect again in a few seconds"
    )]
    Unproved,
}

/// A slot for a session among those of its cluster. Dropping it removes the session.
#[must_use = "dropping the slot removes the session"]
pub struct SessionSlot {
    sessions: AgentSessions,
    cluster_id: String,
    session: Arc<AgentSession>,
}

impl AgentSessions {
    /// Reserves a slot, before the upgrade is accepted.
    ///
    /// # Errors
    /// If the cluster has too many sessions.
    pub fn reserve(&self, cluster_id: &str) -> Result<SessionSlot, TooManySessions> {
        let mut clusters = self.lock_clusters();
        let sessions = clusters.entry(cluster_id.to_owned()).or_default();
        let proved = sessions.iter().filter(|session| session.is_proved()).count();
        if proved >= MAX_PROVED {
            return Err(TooManySessions::Proved);
        }
        if sessions.len() - proved >= MAX_UNPROVED {
            // The holder of a stolen token must not block the cluster's own agent.
            let oldest = sessions.iter().find(|session| !session.is_proved());
            let oldest = oldest.filter(|session| session.reserved_at.elapsed() >= FIRST_PROOF_TIMEOUT);
            let Some(oldest) = oldest.cloned() else { return Err(TooManySessions::Unproved) };
            oldest.close(CloseCode::POLICY, REPLACED);
            sessions.retain(|session| session.id != oldest.id);
        }
        let session = Arc::new(AgentSession {
            id: self.shared.next_id.fetch_add(1, Ordering::Relaxed),
            reserved_at: Instant::now(),
            tunnel: OnceLock::new(),
            proved: AtomicBool::new(false),
            last_failure: Mutex::default(),
        });
        sessions.push(Arc::clone(&session));
        Ok(SessionSlot { sessions: self.clone(), cluster_id: cluster_id.to_owned(), session })
    }

    /// The sessions that can be used for requests to a cluster, the best first.
    pub fn usable(&self, cluster_id: &str) -> Vec<Arc<AgentSession>> {
        let mut sessions = self.open_sessions(cluster_id);
        sessions.retain(|session| session.is_proved());
        // Newer sessions first: an agent that reconnected may have left an old session open.
        sessions.sort_by_key(|session| (session.is_unreliable(), std::cmp::Reverse(session.id)));
        sessions
    }

    /// Whether a cluster has a session that can be used, here or at another server.
    pub fn has_usable(&self, cluster_id: &str) -> bool {
        self.has_local(cluster_id) || !self.servers(cluster_id).is_empty()
    }

    /// Whether a cluster has a session of this server that can be used.
    pub fn has_local(&self, cluster_id: &str) -> bool {
        self.open_sessions(cluster_id).iter().any(|session| session.is_proved())
    }

    /// The clusters with a session of this server that can be used.
    pub fn local_clusters(&self) -> Vec<String> {
        let clusters = self.lock_clusters();
        let is_usable = |session: &Arc<AgentSession>| session.is_open() && session.is_proved();
        let usable = clusters.iter().filter(|(_, sessions)| sessions.iter().any(is_usable));
        usable.map(|(cluster_id, _)| cluster_id.clone()).collect()
    }

    /// Sets the relay to other servers. Later calls are ignored.
    pub fn set_relay(&self, relay: Arc<dyn Relay>) {
        let _ = self.shared.relay.set(relay);
    }

    /// Sets the addresses of the other servers that have sessions, by cluster. Returns the clusters that gained their first
    /// such server or lost their last.
    pub fn set_servers(&self, servers: HashMap<String, Vec<String>>) -> Vec<String> {
        let mut remote = self.lock_remote_sessions();
        let previous = std::mem::replace(&mut remote.servers, servers);
        let is_changed = |cluster_id: &&String| {
            previous.contains_key(*cluster_id) != remote.servers.contains_key(*cluster_id)
        };
        previous.keys().chain(remote.servers.keys()).filter(is_changed).cloned().collect()
    }

    /// The addresses of other servers with a session of a cluster, those with a recent failure last. Empty without a relay.
    pub(crate) fn servers(&self, cluster_id: &str) -> Vec<String> {
        if self.shared.relay.get().is_none() {
            return Vec::new();
        }
        let remote = self.lock_remote_sessions();
        let mut servers = remote.servers.get(cluster_id).cloned().unwrap_or_default();
        servers.sort_by_cached_key(|server| {
            let last_failure = remote.failures.get(&(server.clone(), cluster_id.to_owned()));
            last_failure.is_some_and(|failed_at| failed_at.elapsed() < SERVER_FAILURE_PENALTY)
        });
        servers
    }

    pub(crate) fn relay(&self) -> Option<Arc<dyn Relay>> {
        self.shared.relay.get().cloned()
    }

    /// Records that a server could not be used for a cluster.
    pub(crate) fn record_server_failure(&self, server: &str, cluster_id: &str) {
        let mut remote = self.lock_remote_sessions();
        remote.failures.retain(|_, failed_at| failed_at.elapsed() < SERVER_FAILURE_PENALTY);
        remote.failures.insert((server.to_owned(), cluster_id.to_owned()), Instant::now());
    }

    fn lock_remote_sessions(&self) -> MutexGuard<'_, RemoteSessions> {
        self.shared.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection through a session of this server, for another server. `host` is the host of the cluster's API.
    ///
    /// # Errors
    /// If this server has no session that can be used, or `host` does not belong to AKS.
    pub fn dial(&self, cluster_id: &str, host: &str) -> io::Result<Connection> {
        if !hosts::is_aks(host) {
            return Err(io::Error::other(hosts::NOT_AN_AKS_HOST));
        }
        let usable = self.usable(cluster_id);
        let session = usable.first().and_then(|session| session.tunnel());
        let session =
            session.ok_or_else(|| io::Error::other("no agent of the cluster is connected to this server"))?;
        session.dial("tcp", &format!("{host}:{}", hosts::PORT)).map_err(io::Error::other)
    }

    /// Closes all sessions of a cluster. `reason` is shown in the log of the agent.
    pub fn close(&self, cluster_id: &str, reason: &str) {
        for session in self.open_sessions(cluster_id) {
            session.close(CloseCode::POLICY, reason);
        }
    }

    /// Closes all sessions and waits until they have ended. Their drivers must be running.
    pub async fn shut_down(&self) {
        let clusters: Vec<_> = self.lock_clusters().keys().cloned().collect();
        let sessions: Vec<_> =
            clusters.iter().flat_map(|cluster_id| self.open_sessions(cluster_id)).collect();
        for session in &sessions {
            session.close(CloseCode::GOING_AWAY, "the server is shutting down");
        }
        for session in sessions.iter().filter_map(|session| session.tunnel()) {
            session.closed().await;
        }
    }

    /// The number of open sessions of all clusters, and the number of those that can be used.
    pub fn count(&self) -> (usize, usize) {
        let clusters = self.lock_clusters();
        let open = clusters.values().flatten().filter(|session| session.is_open());
        open.fold((0, 0), |(open, usable), session| (open + 1, usable + usize::from(session.is_proved())))
    }

    fn open_sessions(&self, cluster_id: &str) -> Vec<Arc<AgentSession>> {
        let clusters = self.lock_clusters();
        let sessions = clusters.get(cluster_id).into_iter().flatten();
        sessions.filter(|session| session.is_open()).cloned().collect()
    }

    fn lock_clusters(&self) -> MutexGuard<'_, HashMap<String, Vec<Arc<AgentSession>>>> {
        self.shared.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AgentSession {
    /// An ID that no other session of this process has.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The tunnel; `None` while the upgrade is in progress.
    pub(crate) fn tunnel(&self) -> Option<&Session> {
        self.tunnel.get()
    }

    /// Whether the session is proved: the cluster's API has responded through it.
    pub fn is_proved(&self) -> bool {
        self.proved.load(Ordering::Relaxed)
    }

    /// Records whether the cluster's API has responded through this session.
    pub fn set_proved(&self, proved: bool) {
        self.proved.store(proved, Ordering::Relaxed);
        if proved {
            *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Whether the session is open.
    pub fn is_open(&self) -> bool {
        self.tunnel.get().is_some_and(|session| !session.is_closed())
    }

    /// Whether the peer has been silent for longer than `MAX_SILENCE`.
    pub fn is_silent(&self) -> bool {
        self.tunnel.get().is_some_and(|session| session.last_heard().elapsed() > MAX_SILENCE)
    }

    /// Whether another session is preferred.
    fn is_unreliable(&self) -> bool {
        let last_failure = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        last_failure.is_some_and(|failed_at| failed_at.elapsed() < SESSION_FAILURE_PENALTY)
            || self.is_silent()
    }

    /// Records that a request failed.
    pub(crate) fn record_failure(&self) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Closes the session. `reason` is shown in the log of the agent.
    pub fn close(&self, code: CloseCode, reason: &str) {
        if let Some(session) = self.tunnel.get() {
            session.close(code, reason);
        }
    }
}

impl SessionSlot {
    /// Adds the session, after the upgrade. Closes it if a new session took its slot during the upgrade.
    pub fn attach(&self, session: Session) -> Arc<AgentSession> {
        // A slot is filled once. A second session would be dropped, and so closed.
        let _ = self.session.tunnel.set(session);
        if self.is_replaced() {
            self.session.close(CloseCode::POLICY, REPLACED);
        }
        Arc::clone(&self.session)
    }

    /// Whether a newer session has taken the slot; this can happen even during the upgrade.
    fn is_replaced(&self) -> bool {
        let clusters = self.sessions.lock_clusters();
        let mut sessions = clusters.get(&self.cluster_id).into_iter().flatten();
        sessions.all(|session| session.id != self.session.id)
    }

    /// Whether the cluster has another session that is usable and reliable.
    pub fn has_replacement(&self) -> bool {
        let usable = self.sessions.usable(&self.cluster_id);
        usable.iter().any(|other| other.id != self.session.id && !other.is_unreliable())
    }
}

impl Drop for SessionSlot {
    fn drop(&mut self) {
        let mut clusters = self.sessions.lock_clusters();
        let Some(sessions) = clusters.get_mut(&self.cluster_id) else { return };
        sessions.retain(|session| session.id != self.session.id);
        if sessions.is_empty() {
            clusters.remove(&self.cluster_id);
        }
    }
}

impl fmt::Debug for AgentSessions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AgentSessions").field("count", &self.count()).finish()
    }
}

impl fmt::Debug for AgentSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proved = self.is_proved();
        formatter
            .debug_struct("AgentSession")
            .field("id", &self.id)
            .field("proved", &proved)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionSlot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SessionSlot").field(&self.session).finish()
    }
}

#[cfg(test)]
mod tests {
    use remotedialer::SessionConfig;

    use super::*;

    fn session() -> (Session, tokio::io::DuplexStream) {
        let (stream, peer) = tokio::io::duplex(1024);
        let (session, driver) = Session::server(stream, SessionConfig::server());
        tokio::spawn(driver);
        (session, peer)
    }

    #[tokio::test]
    async fn only_proved_sessions_are_used_and_reliable_ones_first() {
        let sessions = AgentSessions::default();
        let (old_slot, new_slot) = (sessions.reserve("c").unwrap(), sessions.reserve("c").unwrap());
        let ((first, _first), (second, _second)) = (session(), session());
        let (first, second) = (old_slot.attach(first), new_slot.attach(second));
        assert!(!sessions.has_usable("c") && sessions.usable("c").is_empty());
        first.set_proved(true);
        assert!(sessions.has_usable("c") && !sessions.has_usable("d") && !old_slot.has_replacement());
        second.set_proved(true);
        let usable_ids = |sessions: &AgentSessions| -> Vec<u64> {
            sessions.usable("c").iter().map(|session| session.id()).collect()
        };
        assert_eq!(usable_ids(&sessions), [second.id(), first.id()]);
        second.record_failure();
        assert_eq!(usable_ids(&sessions), [first.id(), second.id()]);
        assert!(new_slot.has_replacement() && !old_slot.has_replacement());
        second.set_proved(true);
        assert_eq!(usable_ids(&sessions), [second.id(), first.id()]);
        drop(new_slot);
        assert_eq!(usable_ids(&sessions), [first.id()]);
        drop(old_slot);
        assert!(sessions.lock_clusters().is_empty());
    }

    #[tokio::test]
    async fn sessions_of_a_cluster_are_limited() {
        let sessions = AgentSessions::default();
        let mut slots_and_streams = Vec::new();
        for _ in 0..MAX_PROVED {
            let (session, stream) = session();
            let slot = sessions.reserve("c").unwrap();
            slot.attach(session).set_proved(true);
            slots_and_streams.push((slot, stream));
        }
        assert_eq!(sessions.reserve("c").unwrap_err(), TooManySessions::Proved);
        let unproved = [sessions.reserve("d").unwrap(), sessions.reserve("d").unwrap()];
        assert_eq!(sessions.reserve("d").unwrap_err(), TooManySessions::Unproved);
        drop(unproved);
        drop(sessions.reserve("d").unwrap());
        slots_and_streams.pop();
        drop(sessions.reserve("c").unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn unproved_session_is_replaced_after_its_timeout() {
        let sessions = AgentSessions::default();
        let ((first, _first), (second, _second)) = (session(), session());
        let slots = [sessions.reserve("c").unwrap(), sessions.reserve("c").unwrap()];
        slots[0].attach(first.clone());
        slots[1].attach(second.clone());
        assert_eq!(sessions.reserve("c").unwrap_err(), TooManySessions::Unproved);
        tokio::time::advance(FIRST_PROOF_TIMEOUT).await;
        let _third = sessions.reserve("c").unwrap();
        assert!(first.is_closed() && !second.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn session_that_was_replaced_during_its_upgrade_is_closed() {
        let sessions = AgentSessions::default();
        let slots = [sessions.reserve("c").unwrap(), sessions.reserve("c").unwrap()];
        tokio::time::advance(FIRST_PROOF_TIMEOUT).await;
        let _third = sessions.reserve("c").unwrap();
        let ((first, _first), (second, _second)) = (session(), session());
        slots[0].attach(first.clone());
        slots[1].attach(second.clone());
        assert!(first.is_closed() && !second.is_closed());
    }

    #[test]
    fn failed_server_is_tried_last_for_its_cluster_only() {
        struct UnreachableRelay;
        impl Relay for UnreachableRelay {
            fn connect(&self, _: &str, _: &str) -> crate::BoxFuture<Box<dyn crate::RelayStream>, io::Error> {
                Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
            }
        }
        let sessions = AgentSessions::default();
        let both_servers = || vec!["one:1".to_owned(), "two:1".to_owned()];
        let servers = HashMap::from([("c".to_owned(), both_servers()), ("d".to_owned(), both_servers())]);
        let mut gained = sessions.set_servers(servers.clone());
        gained.sort();
        assert_eq!(gained, ["c", "d"]);
        assert!(!sessions.has_usable("c"), "there is no relay");
        sessions.set_relay(Arc::new(UnreachableRelay));
        assert!(sessions.has_usable("c") && !sessions.has_usable("e"));
        sessions.record_server_failure("one:1", "c");
        assert_eq!(sessions.servers("c"), ["two:1", "one:1"]);
        assert_eq!(sessions.servers("d"), both_servers());
        assert_eq!(sessions.set_servers(servers), Vec::<String>::new());
        let mut lost = sessions.set_servers(HashMap::new());
        lost.sort();
        assert_eq!(lost, ["c", "d"]);
    }

    #[tokio::test]
    async fn close_ends_only_the_sessions_of_its_cluster() {
        let sessions = AgentSessions::default();
        let ((first, _first), (second, _second)) = (session(), session());
        let slots = [sessions.reserve("c").unwrap(), sessions.reserve("d").unwrap()];
        slots[0].attach(first.clone());
        slots[1].attach(second.clone());
        sessions.close("c", "gone");
        assert!(first.is_closed() && !second.is_closed());
        assert_eq!(sessions.count(), (1, 0));
    }
}
