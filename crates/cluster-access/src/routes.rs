//! The routes to a cluster: directly, or through the session of an agent. A path that has worked is preferred until a
//! request fails.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::uri::Authority;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep, timeout};
use tower::util::BoxCloneSyncService;

use crate::agents::{AgentSession, AgentSessions};
use crate::connector::TunnelConnector;
use crate::error::Error;
use crate::replay::RequestBody;

/// The head start of the direct route over tunnels.
const HEAD_START: Duration = Duration::from_secs(1);
/// The minimum interval between comparisons if no route worked.
const COMPARISON_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The time limit for probing a route.
const PROBE_TIMEOUT: Duration = Duration::from_secs(8);

/// The path to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// By a connection of this server.
    Direct,
    /// Through the tunnel of an agent.
    Tunnel,
}

/// A pool of connections to a cluster by one route.
pub(super) type Channel = BoxCloneSyncService<Request<RequestBody>, Response<Incoming>, legacy::Error>;

/// A route, with the connections that it uses.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) channel: Channel,
    via: Via,
}

/// The means by which a route reaches the cluster.
#[derive(Clone)]
enum Via {
    Direct,
    Session(Arc<AgentSession>),
    /// The address of another server, which has a session.
    Server(String),
}

/// Identifies a [`Via`].
#[derive(Clone, PartialEq, Eq, Hash)]
enum ViaKey {
    Direct,
    Session(u64),
    Server(String),
}

impl Via {
    fn key(&self) -> ViaKey {
        match self {
            Self::Direct => ViaKey::Direct,
            Self::Session(session) => ViaKey::Session(session.id()),
            Self::Server(server) => ViaKey::Server(server.clone()),
        }
    }
}

impl Route {
    pub(super) fn path(&self) -> Path {
        if self.is_direct() { Path::Direct } else { Path::Tunnel }
    }

    pub(super) fn is_direct(&self) -> bool {
        matches!(self.via, Via::Direct)
    }

    /// Records that another route was faster, although its attempt started later.
    pub(super) fn record_overtaken(&self) {
        if let Via::Session(session) = &self.via {
            session.record_failure();
        }
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.via.key() == other.via.key()
    }
}

/// Creates the connections of a route through a session or another server.
pub(super) type OpenTunnel = Box<dyn Fn(TunnelConnector) -> Result<Channel, Error> + Send + Sync>;

/// The routes to one cluster.
pub(super) struct Routes {
    cluster_id: String,
    authority: Authority,
    sessions: AgentSessions,
    direct_channel: Channel,
    open_tunnel: OpenTunnel,
    /// The connections through each session and server.
    tunnel_channels: Mutex<HashMap<ViaKey, Channel>>,
    preferred_path: Mutex<Option<Path>>,
    /// The time of the last comparison in which no route worked. Locked while the routes are compared.
    failed_comparison: AsyncMutex<Option<Instant>>,
}

impl Routes {
    pub(super) fn new(
        cluster_id: &str,
        authority: Authority,
        sessions: AgentSessions,
        direct_channel: Channel,
        open_tunnel: OpenTunnel,
    ) -> Self {
        Self {
            cluster_id: cluster_id.to_owned(),
            authority,
            sessions,
            direct_channel,
            open_tunnel,
            tunnel_channels: Mutex::default(),
            preferred_path: Mutex::default(),
            failed_comparison: AsyncMutex::default(),
        }
    }

    /// Chooses the route for the next request. If the routes must be compared, tries all of them with `probe`, unless none
    /// worked just before.
    pub(super) async fn choose<F>(&self, probe: impl Fn(Route) -> F + Sync) -> Route
    where
        F: Future<Output = bool> + Send,
    {
        if let Some(route) = self.known_route() {
            return route;
        }
        let mut failed_at = self.failed_comparison.lock().await;
        if let Some(route) = self.known_route() {
            return route;
        }
        let has_just_failed =
            failed_at.is_some_and(|failed_at| failed_at.elapsed() < COMPARISON_RETRY_INTERVAL);
        let working_route = if has_just_failed { None } else { self.first_working_route(probe).await };
        if let Some(route) = working_route {
            *lock(&self.preferred_path) = Some(route.path());
            return route;
        }
        if !has_just_failed {
            *failed_at = Some(Instant::now());
        }
        // The error of a request through a tunnel is more helpful: the cluster may have an agent for lack of a direct route.
        self.tunnel_routes().into_iter().next().unwrap_or_else(|| self.direct_route())
    }

    /// The path that worked last.
    pub(super) fn preferred_path(&self) -> Option<Path> {
        *lock(&self.preferred_path)
    }

    /// Records that the cluster has responded.
    pub(super) fn record_success(&self, route: &Route) {
        let mut preferred_path = lock(&self.preferred_path);
        if preferred_path.is_none() {
            *preferred_path = Some(route.path());
        }
    }

    /// Records that a request did not reach the cluster, or got no response.
    pub(super) fn record_failure(&self, route: &Route) {
        match &route.via {
            Via::Direct => {}
            Via::Session(session) => session.record_failure(),
            Via::Server(server) => self.sessions.record_server_failure(server, &self.cluster_id),
        }
        *lock(&self.preferred_path) = None;
    }

    /// A route other than `failed`, for another attempt: a tunnel if there is one, else the direct route.
    pub(super) fn alternative(&self, failed: &Route) -> Option<Route> {
        self.tunnel_routes().into_iter().chain([self.direct_route()]).find(|route| !route.is_same_as(failed))
    }

    /// A tunnel other than `slow`.
    pub(super) fn alternative_tunnel(&self, slow: &Route) -> Option<Route> {
        self.tunnel_routes().into_iter().find(|route| !route.is_same_as(slow))
    }

    /// The route through one session, which may be unproved.
    pub(super) fn route_through(&self, session: &Arc<AgentSession>) -> Option<Route> {
        self.route(Via::Session(Arc::clone(session)))
    }

    /// The best route of the preferred path, or the direct route if there is no tunnel; `None` if the routes must be compared.
    fn known_route(&self) -> Option<Route> {
        let preferred_path = self.preferred_path();
        if preferred_path == Some(Path::Direct) {
            return Some(self.direct_route());
        }
        let tunnel_vias = self.tunnel_vias();
        match tunnel_vias.first() {
            None => Some(self.direct_route()),
            Some(via) if preferred_path == Some(Path::Tunnel) => self.route(via.clone()),
            Some(_) => None,
        }
    }

    fn direct_route(&self) -> Route {
        Route { channel: self.direct_channel.clone(), via: Via::Direct }
    }

    fn tunnel_routes(&self) -> Vec<Route> {
        self.tunnel_vias().into_iter().filter_map(|via| self.route(via)).collect()
    }

    /// The sessions of this server, and other servers with sessions.
    fn tunnel_vias(&self) -> Vec<Via> {
        let sessions = self.sessions.usable(&self.cluster_id).into_iter().map(Via::Session);
        sessions.chain(self.sessions.servers(&self.cluster_id).into_iter().map(Via::Server)).collect()
    }

    fn route(&self, via: Via) -> Option<Route> {
        let existing = lock(&self.tunnel_channels).get(&via.key()).cloned();
        let channel = existing.or_else(|| self.open_channel(&via))?;
        Some(Route { channel, via })
    }

    fn open_channel(&self, via: &Via) -> Option<Channel> {
        let connector = match via {
            Via::Direct => return Some(self.direct_channel.clone()),
            Via::Session(session) => {
                TunnelConnector::through_session(session.tunnel()?.clone(), &self.authority)
            }
            Via::Server(server) => TunnelConnector::Server {
                relay: self.sessions.relay()?,
                server: server.clone(),
                cluster_id: self.cluster_id.clone(),
            },
        };
        let channel = (self.open_tunnel)(connector).inspect_err(|error| {
            let error: &dyn std::error::Error = error;
            tracing::warn!(cluster = self.cluster_id, error, "cannot use the session of an agent");
        });
        let usable_keys: Vec<_> = self.tunnel_vias().iter().map(Via::key).collect();
        let mut channels = lock(&self.tunnel_channels);
        channels.retain(|key, _| usable_keys.contains(key));
        Some(channels.entry(via.key()).or_insert(channel.ok()?).clone())
    }

    /// The first route that works.
    async fn first_working_route<F>(&self, probe: impl Fn(Route) -> F + Sync) -> Option<Route>
    where
        F: Future<Output = bool> + Send,
    {
        let attempt = |route: Route| {
            let probe = timeout(PROBE_TIMEOUT, probe(route.clone()));
            Box::pin(async move { probe.await.is_ok_and(|works| works).then_some(route) })
        };
        let tunnels = async {
            let routes = self.tunnel_routes().into_iter();
            let mut attempts: FuturesUnordered<_> = routes.map(&attempt).collect();
            while let Some(outcome) = attempts.next().await {
                if outcome.is_some() {
                    return outcome;
                }
            }
            None
        };
        let direct = attempt(self.direct_route());
        match select(direct, pin!(sleep(HEAD_START))).await {
            Either::Left((Some(route), _)) => Some(route),
            Either::Left((None, _)) => tunnels.await,
            Either::Right(((), direct)) => match select(direct, pin!(tunnels)).await {
                Either::Left((Some(route), _)) | Either::Right((Some(route), _)) => Some(route),
                Either::Left((None, tunnels)) => tunnels.await,
                Either::Right((None, direct)) => direct.await,
            },
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
