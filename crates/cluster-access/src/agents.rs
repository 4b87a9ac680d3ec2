//! The sessions of agents: tunnels that agents inside clusters have opened to this server.
//!
//! A session is used for requests once the cluster's API has answered through it, over TLS that ends at the API. So the
//! holder of a stolen registration token can open sessions, but not take requests away from a session that works.

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

/// Sessions of one cluster through which its API has answered. Agents need two or three.
const MAX_PROVED: usize = 8;
/// Sessions of one cluster that still have to show that they reach its API.
const MAX_UNPROVED: usize = 2;

/// A session that needs longer for its first proof makes room for another one.
const FIRST_PROOF: Duration = Duration::from_secs(3);

/// A peer that was silent for longer than this is used only if there is no other. Agents send a ping every 5 s.
const SILENCE: Duration = Duration::from_secs(7);
/// The time for which a session through which a request failed is used only if there is no other.
const PENALTY: Duration = Duration::from_secs(30);

/// The time for which another server is used only if there is no other, after a failure.
const SERVER_PENALTY: Duration = Duration::from_secs(10);

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
    /// When a server could not be used for a cluster, by its address and the cluster.
    failed: HashMap<(String, String), Instant>,
}

/// One session.
pub struct AgentSession {
    id: u64,
    reserved: Instant,
    /// Unset while the upgrade is in progress.
    session: OnceLock<Session>,
    proved: AtomicBool,
    failed: Mutex<Option<Instant>>,
}

/// The cluster has as many sessions as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooManySessions {
    /// Of sessions that work.
    #[error("too many agents are connected for this cluster; the limit is {MAX_PROVED}")]
    Proved,
    /// Of sessions that have not reached the cluster's API yet.
    #[error(
        "{MAX_UNPROVED} agents of this cluster are connected that have not reached its API yet; connect again in a few seconds"
    )]
    Unproved,
}

/// The place of a session among those of its cluster; it is free again when this is dropped.
#[must_use = "dropping the place removes the session"]
pub struct SessionPlace {
    sessions: AgentSessions,
    cluster_id: String,
    session: Arc<AgentSession>,
}

impl AgentSessions {
    /// Reserves a place, before the upgrade is answered.
    ///
    /// # Errors
    /// If the cluster has too many sessions.
    pub fn reserve(&self, cluster_id: &str) -> Result<SessionPlace, TooManySessions> {
        let mut clusters = self.lock();
        let sessions = clusters.entry(cluster_id.to_owned()).or_default();
        let proved = sessions.iter().filter(|session| session.is_proved()).count();
        if proved >= MAX_PROVED {
            return Err(TooManySessions::Proved);
        }
        if sessions.len() - proved >= MAX_UNPROVED {
            // The holder of a stolen token must not keep the cluster's own agent out.
            let oldest = sessions.iter().find(|session| !session.is_proved());
            let oldest = oldest.filter(|session| session.reserved.elapsed() >= FIRST_PROOF);
            let Some(oldest) = oldest.cloned() else { return Err(TooManySessions::Unproved) };
            oldest.close(
                CloseCode::POLICY,
                "the API of the cluster has not answered yet, and another agent has connected",
            );
            sessions.retain(|session| session.id != oldest.id);
        }
        let session = Arc::new(AgentSession {
            id: self.shared.next_id.fetch_add(1, Ordering::Relaxed),
            reserved: Instant::now(),
            session: OnceLock::new(),
            proved: AtomicBool::new(false),
            failed: Mutex::default(),
        });
        sessions.push(Arc::clone(&session));
        Ok(SessionPlace { sessions: self.clone(), cluster_id: cluster_id.to_owned(), session })
    }

    /// The sessions that can be used for requests to a cluster, the best first.
    pub fn usable(&self, cluster_id: &str) -> Vec<Arc<AgentSession>> {
        let mut sessions = self.open(cluster_id);
        sessions.retain(|session| session.is_proved());
        // Newer ones first: an agent that connected again may have left an old session behind.
        sessions.sort_by_key(|session| (session.is_doubtful(), std::cmp::Reverse(session.id)));
        sessions
    }

    /// Whether a cluster has a session that can be used, here or at another server.
    pub fn has_usable(&self, cluster_id: &str) -> bool {
        self.has_own(cluster_id) || !self.servers(cluster_id).is_empty()
    }

    /// Whether a cluster has a session of this server that can be used.
    pub fn has_own(&self, cluster_id: &str) -> bool {
        self.open(cluster_id).iter().any(|session| session.is_proved())
    }

    /// The clusters with a session of this server that can be used.
    pub fn own_clusters(&self) -> Vec<String> {
        let clusters = self.lock();
        let is_usable = |session: &Arc<AgentSession>| session.is_open() && session.is_proved();
        let usable = clusters.iter().filter(|(_, sessions)| sessions.iter().any(is_usable));
        usable.map(|(cluster_id, _)| cluster_id.clone()).collect()
    }

    /// Sets how other servers are connected to. Only the first call counts.
    pub fn set_relay(&self, relay: Arc<dyn Relay>) {
        let _ = self.shared.relay.set(relay);
    }

    /// Sets which other servers have sessions: their addresses, by cluster. Returns the clusters for which that is new.
    pub fn set_servers(&self, servers: HashMap<String, Vec<String>>) -> Vec<String> {
        let mut remote = self.lock_remote();
        let before = std::mem::replace(&mut remote.servers, servers);
        let is_new = |cluster_id: &&String| {
            before.contains_key(*cluster_id) != remote.servers.contains_key(*cluster_id)
        };
        before.keys().chain(remote.servers.keys()).filter(is_new).cloned().collect()
    }

    /// The addresses of other servers with a session of a cluster.
    pub(crate) fn servers(&self, cluster_id: &str) -> Vec<String> {
        if self.shared.relay.get().is_none() {
            return Vec::new();
        }
        let remote = self.lock_remote();
        let mut servers = remote.servers.get(cluster_id).cloned().unwrap_or_default();
        servers.sort_by_cached_key(|server| {
            let failed = remote.failed.get(&(server.clone(), cluster_id.to_owned()));
            failed.is_some_and(|at| at.elapsed() < SERVER_PENALTY)
        });
        servers
    }

    pub(crate) fn relay(&self) -> Option<Arc<dyn Relay>> {
        self.shared.relay.get().cloned()
    }

    /// Records that a server could not be used for a cluster.
    pub(crate) fn note_server_failure(&self, server: &str, cluster_id: &str) {
        let mut remote = self.lock_remote();
        remote.failed.retain(|_, at| at.elapsed() < SERVER_PENALTY);
        remote.failed.insert((server.to_owned(), cluster_id.to_owned()), Instant::now());
    }

    fn lock_remote(&self) -> MutexGuard<'_, RemoteSessions> {
        self.shared.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection through a session of this server, for another server. `host` is the cluster's, from Azure.
    ///
    /// # Errors
    /// If this server has no session that can be used, or `host` does not belong to AKS.
    pub fn dial(&self, cluster_id: &str, host: &str) -> io::Result<Connection> {
        if !hosts::is_aks(host) {
            return Err(io::Error::other(hosts::NOT_AN_AKS_HOST));
        }
        let usable = self.usable(cluster_id);
        let session = usable.first().and_then(|session| session.tunnel());
        let session = session.ok_or_else(|| io::Error::other("this server has no agent of the cluster"))?;
        session.dial("tcp", &format!("{host}:{}", hosts::PORT)).map_err(io::Error::other)
    }

    /// Ends all sessions of a cluster. `reason` is shown in the log of the agent.
    pub fn close(&self, cluster_id: &str, reason: &str) {
        for session in self.open(cluster_id) {
            session.close(CloseCode::POLICY, reason);
        }
    }

    /// Ends all sessions and waits until they have ended. Their drivers must be running.
    pub async fn shut_down(&self) {
        let clusters: Vec<_> = self.lock().keys().cloned().collect();
        let sessions: Vec<_> = clusters.iter().flat_map(|cluster_id| self.open(cluster_id)).collect();
        for session in &sessions {
            session.close(CloseCode::GOING_AWAY, "the server stops");
        }
        for session in sessions.iter().filter_map(|session| session.session.get()) {
            session.closed().await;
        }
    }

    /// The number of open sessions of all clusters, and of those that can be used.
    pub fn count(&self) -> (usize, usize) {
        let clusters = self.lock();
        let open = clusters.values().flatten().filter(|session| session.is_open());
        open.fold((0, 0), |(open, usable), session| (open + 1, usable + usize::from(session.is_proved())))
    }

    fn open(&self, cluster_id: &str) -> Vec<Arc<AgentSession>> {
        let clusters = self.lock();
        let sessions = clusters.get(cluster_id).into_iter().flatten();
        sessions.filter(|session| session.is_open()).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Arc<AgentSession>>>> {
        self.shared.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AgentSession {
    /// Never that of another session of this process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The session itself; `None` while the upgrade is in progress.
    pub(crate) fn tunnel(&self) -> Option<&Session> {
        self.session.get()
    }

    /// Whether the cluster's API has answered through it.
    pub fn is_proved(&self) -> bool {
        self.proved.load(Ordering::Relaxed)
    }

    /// Records whether the cluster's API has answered through it.
    pub fn set_proved(&self, proved: bool) {
        self.proved.store(proved, Ordering::Relaxed);
        if proved {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.session.get().is_some_and(|session| !session.is_closed())
    }

    /// Whether the peer is silent for longer than a healthy one.
    pub fn is_silent(&self) -> bool {
        self.session.get().is_some_and(|session| session.last_heard().elapsed() > SILENCE)
    }

    /// Whether another session is preferred.
    fn is_doubtful(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < PENALTY) || self.is_silent()
    }

    /// Records that a request failed.
    pub(crate) fn note_failure(&self) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Ends it. `reason` is shown in the log of the agent.
    pub fn close(&self, code: CloseCode, reason: &str) {
        if let Some(session) = self.session.get() {
            session.close(code, reason);
        }
    }
}

impl SessionPlace {
    /// Puts the session into its place.
    pub fn attach(&self, session: Session) -> Arc<AgentSession> {
        // A place is attached once; a second session would be dropped, and end.
        let _ = self.session.session.set(session);
        Arc::clone(&self.session)
    }

    /// Whether the cluster has another session that works.
    pub fn has_replacement(&self) -> bool {
        let usable = self.sessions.usable(&self.cluster_id);
        usable.iter().any(|other| other.id != self.session.id && !other.is_doubtful())
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        let mut clusters = self.sessions.lock();
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

impl fmt::Debug for SessionPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SessionPlace").field(&self.session).finish()
    }
}

#[cfg(test)]
mod tests {
    use remotedialer::SessionConfig;

    use super::*;

    fn session() -> (Session, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(1024);
        let (session, driver) = Session::server(near, SessionConfig::server());
        tokio::spawn(driver);
        (session, far)
    }

    #[tokio::test]
    async fn only_proved_sessions_are_used_and_reliable_ones_first() {
        let sessions = AgentSessions::default();
        let (old, new) = (sessions.reserve("c").unwrap(), sessions.reserve("c").unwrap());
        let ((first, _first), (second, _second)) = (session(), session());
        let (first, second) = (old.attach(first), new.attach(second));
        assert!(!sessions.has_usable("c") && sessions.usable("c").is_empty());
        first.set_proved(true);
        assert!(sessions.has_usable("c") && !sessions.has_usable("d") && !old.has_replacement());
        second.set_proved(true);
        let order = |sessions: &AgentSessions| -> Vec<u64> {
            sessions.usable("c").iter().map(|it| it.id()).collect()
        };
        assert_eq!(order(&sessions), [second.id(), first.id()]);
        second.note_failure();
        assert_eq!(order(&sessions), [first.id(), second.id()]);
        assert!(new.has_replacement() && !old.has_replacement());
        second.set_proved(true);
        assert_eq!(order(&sessions), [second.id(), first.id()]);
        drop(new);
        assert_eq!(order(&sessions), [first.id()]);
        drop(old);
        assert!(sessions.lock().is_empty());
    }

    #[tokio::test]
    async fn sessions_of_a_cluster_are_limited() {
        let sessions = AgentSessions::default();
        let mut kept = Vec::new();
        for _ in 0..MAX_PROVED {
            let (session, stream) = session();
            let place = sessions.reserve("c").unwrap();
            place.attach(session).set_proved(true);
            kept.push((place, stream));
        }
        assert_eq!(sessions.reserve("c").unwrap_err(), TooManySessions::Proved);
        let unproved = [sessions.reserve("d").unwrap(), sessions.reserve("d").unwrap()];
        assert_eq!(sessions.reserve("d").unwrap_err(), TooManySessions::Unproved);
        drop(unproved);
        drop(sessions.reserve("d").unwrap());
        kept.pop();
        drop(sessions.reserve("c").unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn unproved_session_makes_room_after_a_while() {
        let sessions = AgentSessions::default();
        let ((first, _first), (second, _second)) = (session(), session());
        let places = [sessions.reserve("c").unwrap(), sessions.reserve("c").unwrap()];
        places[0].attach(first.clone());
        places[1].attach(second.clone());
        assert_eq!(sessions.reserve("c").unwrap_err(), TooManySessions::Unproved);
        tokio::time::advance(FIRST_PROOF).await;
        let _third = sessions.reserve("c").unwrap();
        assert!(first.is_closed() && !second.is_closed());
    }

    #[test]
    fn failed_server_is_used_last_and_for_its_cluster_only() {
        struct Nowhere;
        impl Relay for Nowhere {
            fn connect(
                &self,
                _: &str,
                _: &str,
            ) -> crate::connector::BoxFuture<Box<dyn crate::RelayStream>, io::Error> {
                Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
            }
        }
        let sessions = AgentSessions::default();
        let both = || vec!["one:1".to_owned(), "two:1".to_owned()];
        let servers = HashMap::from([("c".to_owned(), both()), ("d".to_owned(), both())]);
        let mut new = sessions.set_servers(servers.clone());
        new.sort();
        assert_eq!(new, ["c", "d"]);
        assert!(!sessions.has_usable("c"), "nothing connects to them");
        sessions.set_relay(Arc::new(Nowhere));
        assert!(sessions.has_usable("c") && !sessions.has_usable("e"));
        sessions.note_server_failure("one:1", "c");
        assert_eq!(sessions.servers("c"), ["two:1", "one:1"]);
        assert_eq!(sessions.servers("d"), both());
        assert_eq!(sessions.set_servers(servers), Vec::<String>::new());
        let mut gone = sessions.set_servers(HashMap::new());
        gone.sort();
        assert_eq!(gone, ["c", "d"]);
    }

    #[tokio::test]
    async fn closing_ends_the_sessions_of_one_cluster() {
        let sessions = AgentSessions::default();
        let ((first, _first), (second, _second)) = (session(), session());
        let places = [sessions.reserve("c").unwrap(), sessions.reserve("d").unwrap()];
        places[0].attach(first.clone());
        places[1].attach(second.clone());
        sessions.close("c", "gone");
        assert!(first.is_closed() && !second.is_closed());
        assert_eq!(sessions.count(), (1, 0));
    }
}
