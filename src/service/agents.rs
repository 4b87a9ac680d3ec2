//! The agents of clusters: admits their tunnel sessions, checks whether the cluster's API responds through them, and closes
//! them. The sessions themselves are in `cluster_access`.
//!
//! A registration token identifies the cluster of an agent and proves nothing else. A session is therefore used only after
//! the cluster's API has responded through it.

mod refusal;
mod relays;
mod supervision;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aks::agent_params;
use clock::Clock;
use cluster_access::{AgentSessions, ClusterAccess, SessionSlot};
use remotedialer::{Session, SessionConfig, Stats};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::refusal::AgentRefusal;
pub use self::relays::RelayError;
use super::base::Base;
use super::clusters::Clusters;
use super::notifier::ChangeNotifier;
use super::secrets::Secrets;
use super::server_access::ServerAccess;
use crate::store::{self, Store};
use crate::vault;

/// The interval of this server's pings. Agents use the same one.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// The time without a message from the agent after which a session is closed.
const PEER_TIMEOUT: Duration = Duration::from_secs(20);
/// The time that a stopping server waits for its sessions to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The agents. Clones share everything.
#[derive(Clone)]
pub struct Agents {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Clock,
    cluster_access: ClusterAccess,
    /// Sessions of Ranchers embedded in agents. Nothing is sent through them.
    embedded_sessions: AgentSessions,
    server_access: ServerAccess,
    worker_wake_up: Arc<Notify>,
    notifier: ChangeNotifier,
    session_totals: Arc<Stats>,
    open_sessions: Mutex<Vec<OpenSession>>,
    secrets: Secrets,
    /// Clusters whose sessions are announced to other servers.
    announced: Mutex<HashSet<String>>,
    /// Clusters whose sessions have changed since the worker last checked.
    changed: Mutex<HashSet<String>>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

struct OpenSession {
    cluster_id: String,
    token_hash: Vec<u8>,
    session: Session,
}

/// The permission of an agent to open a session.
pub struct Admission {
    cluster_id: String,
    token_hash: Vec<u8>,
    remote: IpAddr,
    slot: SessionSlot,
    /// Whether the session is that of a Rancher embedded in an agent.
    is_embedded: bool,
}

impl Admission {
    /// The cluster that the agent belongs to.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }
}

impl Agents {
    /// The agents of the clusters of this database.
    pub fn new(base: &Base, clusters: &Clusters, server_access: ServerAccess) -> Self {
        for reason in AgentRefusal::REASONS {
            metrics::counter!("norman_aks_agent_refusals_total", "reason" => reason).increment(0);
        }
        let Base { store, clock, cluster_access, secrets, .. } = base.clone();
        Self {
            inner: Arc::new(Inner {
                store,
                clock,
                cluster_access,
                embedded_sessions: AgentSessions::default(),
                server_access,
                worker_wake_up: clusters.worker_wake_up(),
                notifier: clusters.notifier(),
                session_totals: Arc::default(),
                open_sessions: Mutex::default(),
                secrets,
                announced: Mutex::default(),
                changed: Mutex::default(),
                tasks: TaskTracker::new(),
                closing: CancellationToken::new(),
            }),
        }
    }

    /// Decides whether an agent may open a session. `params` are only validated.
    ///
    /// # Errors
    /// See [`AgentRefusal`].
    pub async fn admit(
        &self,
        token: Option<&SecretString>,
        params: &[u8],
        remote: IpAddr,
    ) -> Result<Admission, AgentRefusal> {
        let result = self.try_admit(token, params, remote).await;
        result.inspect_err(|refusal| record_refusal(refusal, remote))
    }

    /// Decides whether the Rancher embedded in an agent may open a session. The session carries no requests; it is kept open
    /// because that Rancher would otherwise reconnect and log an error every few seconds.
    ///
    /// # Errors
    /// See [`AgentRefusal`].
    pub async fn admit_embedded(
        &self,
        token: &SecretString,
        remote: IpAddr,
    ) -> Result<Admission, AgentRefusal> {
        let admit = async {
            let (cluster_id, token_hash) =
                self.find_cluster(token).await?.ok_or(AgentRefusal::UnknownBearer)?;
            self.check_not_stopping()?;
            let slot = self.inner.embedded_sessions.reserve(&cluster_id)?;
            Ok(Admission { cluster_id, token_hash, remote, slot, is_embedded: true })
        };
        admit.await.inspect_err(|refusal| record_refusal(refusal, remote))
    }

    async fn try_admit(
        &self,
        token: Option<&SecretString>,
        params: &[u8],
        remote: IpAddr,
    ) -> Result<Admission, AgentRefusal> {
        let token = token.filter(|token| !token.expose_secret().is_empty()).ok_or(AgentRefusal::NoToken)?;
        let (cluster_id, token_hash) = self.find_cluster(token).await?.ok_or(AgentRefusal::Unknown)?;
        agent_params::check(params)?;
        self.check_not_stopping()?;
        let slot = self.sessions().reserve(&cluster_id)?;
        Ok(Admission { cluster_id, token_hash, remote, slot, is_embedded: false })
    }

    fn check_not_stopping(&self) -> Result<(), AgentRefusal> {
        if self.inner.closing.is_cancelled() { Err(AgentRefusal::Stopping) } else { Ok(()) }
    }

    /// The cluster of a registration token, and the hash of the token.
    async fn find_cluster(&self, token: &SecretString) -> Result<Option<(String, Vec<u8>)>, store::Error> {
        let hash = vault::token_hash(token.expose_secret()).to_vec();
        let row = store::registration_tokens::find(&self.inner.store, &hash).await?;
        Ok(row.map(|row| (row.cluster_id, hash)))
    }

    /// Runs a session after its HTTP upgrade.
    pub fn run<S>(
        &self,
        admission: Admission,
        upgraded: impl Future<Output = Result<S, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let agents = self.clone();
        self.inner.tasks.spawn(async move {
            let Admission { cluster_id, remote, .. } = &admission;
            match upgraded.await {
                Ok(stream) => agents.run_session(&admission, stream).await,
                Err(error) => {
                    tracing::debug!(cluster = cluster_id, %remote, error = &*error, "agent disconnected before the connection was upgraded");
                }
            }
        });
    }

    async fn run_session<S>(&self, admission: &Admission, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Admission { cluster_id, token_hash, remote, slot, is_embedded } = admission;
        let config = SessionConfig {
            client_key: cluster_id.clone(),
            ping_interval: PING_INTERVAL,
            peer_timeout: PEER_TIMEOUT,
            totals: Some(Arc::clone(&self.inner.session_totals)),
            ..SessionConfig::server()
        };
        let (session, driver) = Session::server(stream, config);
        let agent = slot.attach(session.clone());
        let open_session = OpenSession {
            cluster_id: cluster_id.clone(),
            token_hash: token_hash.clone(),
            session: session.clone(),
        };
        self.lock_open_sessions().push(open_session);
        let peer = if *is_embedded { "embedded Rancher" } else { "agent" };
        tracing::info!(cluster = cluster_id, %remote, "{peer} connected");
        let supervision =
            async { !is_embedded && supervision::supervise(&self.inner, admission, &session, &agent).await };
        let (reason, has_worked) = tokio::join!(driver, supervision);
        self.lock_open_sessions().retain(|entry| !entry.session.is_same(&session));
        tracing::info!(cluster = cluster_id, %remote, error = &reason as &dyn std::error::Error, "{peer} disconnected");
        if has_worked {
            agent.set_proved(false);
            self.inner.record_disconnected(admission, &reason).await;
        }
    }

    /// The sessions of agents.
    pub fn sessions(&self) -> &AgentSessions {
        self.inner.cluster_access.sessions()
    }

    /// Whether sessions of the cluster have changed since the last call.
    pub fn take_change(&self, cluster_id: &str) -> bool {
        self.inner.lock_changed().remove(cluster_id)
    }

    /// Closes the sessions of a removed cluster.
    pub fn close_sessions(&self, cluster_id: &str) {
        for sessions in [self.sessions(), &self.inner.embedded_sessions] {
            sessions.close(cluster_id, "the cluster was removed");
        }
    }

    /// Closes the sessions whose token no longer exists. Call it every two seconds and after a token was deleted.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn close_revoked(&self) -> Result<(), store::Error> {
        if self.lock_open_sessions().is_empty() {
            return Ok(());
        }
        let valid_hashes: HashSet<Vec<u8>> =
            store::registration_tokens::hashes(&self.inner.store).await?.into_iter().collect();
        for entry in
            self.lock_open_sessions().iter().filter(|entry| !valid_hashes.contains(&entry.token_hash))
        {
            if !entry.session.is_closed() {
                tracing::info!(cluster = entry.cluster_id, "the registration token of an agent was deleted");
                entry.session.close(remotedialer::CloseCode::POLICY, "the registration token was deleted");
            }
        }
        Ok(())
    }

    /// Closes all sessions. No session can be opened afterwards.
    pub async fn stop(&self) {
        self.inner.closing.cancel();
        self.inner.tasks.close();
        let all_ended = async {
            tokio::join!(self.sessions().shut_down(), self.inner.embedded_sessions.shut_down());
            self.inner.tasks.wait().await;
        };
        drop(tokio::time::timeout(STOP_TIMEOUT, all_ended).await);
    }

    /// Updates the metrics of the sessions.
    pub fn set_gauges(&self) {
        let (open, usable) = self.sessions().count();
        let set_sessions = |state: &'static str, count: usize| {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            metrics::gauge!("norman_aks_agent_sessions", "state" => state).set(f64::from(count));
        };
        set_sessions("usable", usable);
        set_sessions("unproved", open.saturating_sub(usable));
        let totals = self.inner.session_totals.snapshot();
        let connections = u32::try_from(totals.open()).unwrap_or(u32::MAX);
        metrics::gauge!("norman_aks_tunnel_connections").set(f64::from(connections));
        let set_bytes = |direction: &'static str, count: u64| {
            metrics::counter!("norman_aks_tunnel_bytes_total", "direction" => direction).absolute(count);
        };
        set_bytes("sent", totals.bytes_sent);
        set_bytes("received", totals.bytes_received);
    }

    fn lock_open_sessions(&self) -> MutexGuard<'_, Vec<OpenSession>> {
        self.inner.open_sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record_refusal(refusal: &AgentRefusal, remote: IpAddr) {
    metrics::counter!("norman_aks_agent_refusals_total", "reason" => refusal.reason()).increment(1);
    let error: &dyn std::error::Error = refusal;
    tracing::info!(%remote, error, "agent refused");
}

impl Inner {
    fn lock_announced(&self) -> MutexGuard<'_, HashSet<String>> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_changed(&self) -> MutexGuard<'_, HashSet<String>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
