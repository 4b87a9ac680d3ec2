//! The kubectl proxy: authorization of requests to clusters, and the time for which they may run. `cluster_access` forwards
//! the requests; `api` defines their format and that of errors.
//!
//! A request runs in the cluster as the caller, impersonated by this server, with the group of the caller's role.

mod roles;

use std::sync::Arc;
use std::time::Duration;

use aks::mask::mask;
use aks::role::Role;
use bytes::Bytes;
use cluster_access::{Access, ClusterAccess, ImpersonatedUser, ProxyResponse, ReplayableRequest};
use http::{Request, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::roles::Roles;
use super::base::Base;
use super::clusters::{Cluster, Clusters};
use super::concurrency::{ConcurrencyLimit, Permit};
use super::server_access::{self, ServerAccess};
use super::tokens::Tokens;
use super::{Caller, Error};
pub use cluster_access::{BodyTooLarge, Closing, ForwardOptions, UpgradedConnections};

/// The maximum number of concurrent requests and streams, in total and per user.
const MAX_REQUESTS: usize = 2_048;
const MAX_REQUESTS_PER_USER: usize = 256;

/// The interval of access checks of a running request. With this interval and the TTL of cached results, a request ends within
/// two seconds after its access is lost.
const ACCESS_CHECK_INTERVAL: Duration = Duration::from_millis(300);
/// The time limit for closing upgraded connections at shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The error of a proxied request.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The caller's token is restricted to another cluster.
    #[error("this token is valid for cluster {0} only")]
    OtherCluster(String),
    /// No such cluster, or the caller may not see it.
    #[error("cluster {} not found", mask(.0))]
    NotFound(String),
    /// The cluster has no connection yet, or none from this server; with the reason.
    #[error("{0}")]
    NotReady(&'static str),
    /// The caller lost access, or the server is stopping, before the cluster responded.
    #[error(
        "the request was canceled: the token has expired or was revoked, the role in the cluster was removed, or the server is \
         stopping"
    )]
    Ended,
    /// The limit of concurrent requests is reached.
    #[error("too many concurrent requests to clusters; try again in a moment")]
    Busy,
    /// The cluster did not respond in time.
    #[error("{0}")]
    TimedOut(#[source] cluster_access::Error),
    /// The body of the request exceeds the limit.
    #[error("the body of the request is too large")]
    TooLarge,
    /// The cluster cannot be reached, or rejects this server.
    #[error("{0}")]
    Unreachable(#[source] cluster_access::Error),
    /// An error of this server.
    #[error(transparent)]
    Server(#[from] Error),
    /// This server has no working access to the cluster.
    #[error("{0}")]
    NoAccess(#[source] Arc<server_access::Error>),
    /// The cluster rejects this server's access, and renewing it failed.
    #[error("{rejected}; new access is not available: {renewal}")]
    Rejected {
        /// The error of the cluster.
        rejected: cluster_access::Error,
        /// The error of the renewal.
        #[source]
        renewal: Arc<server_access::Error>,
    },
    /// The cluster rejected this server's access, which was then renewed, and the request is too long to be repeated.
    #[error(
        "the access of this server to the cluster was renewed during the request; send the request again"
    )]
    Renewed,
}

/// The reason for ending a running request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndReason {
    /// The server is stopping.
    #[error("the server is stopping; try again in a moment")]
    ServerStopping,
    /// The token was revoked or expired, or the caller's role in the cluster changed or was removed.
    #[error("the token has expired or was revoked, or the role in the cluster was changed or removed")]
    AccessLost,
}

impl From<cluster_access::Error> for ProxyError {
    fn from(error: cluster_access::Error) -> Self {
        match error {
            cluster_access::Error::BodyTooLarge => Self::TooLarge,
            error if error.is_timeout() => Self::TimedOut(error),
            error => Self::Unreachable(error),
        }
    }
}

impl From<Arc<server_access::Error>> for ProxyError {
    fn from(error: Arc<server_access::Error>) -> Self {
        match *error {
            server_access::Error::NotConnected(reason) => Self::NotReady(reason),
            _ => Self::NoAccess(error),
        }
    }
}

/// The kubectl proxy. Clones share everything.
#[derive(Clone)]
pub struct Kubernetes {
    inner: Arc<Inner>,
}

struct Inner {
    roles: Roles,
    tokens: Tokens,
    server_access: ServerAccess,
    cluster_access: ClusterAccess,
    limit: Arc<ConcurrencyLimit>,
    closing: CancellationToken,
    upgraded_connections: TaskTracker,
}

impl Kubernetes {
    /// A proxy to `clusters`.
    pub fn new(base: &Base, clusters: Clusters, tokens: Tokens, server_access: ServerAccess) -> Self {
        Self {
            inner: Arc::new(Inner {
                roles: Roles::new(clusters),
                tokens,
                server_access,
                cluster_access: base.cluster_access.clone(),
                limit: ConcurrencyLimit::new(MAX_REQUESTS, MAX_REQUESTS_PER_USER),
                closing: CancellationToken::new(),
                upgraded_connections: TaskTracker::new(),
            }),
        }
    }

    /// Authorizes one request of a caller with the token it presented. An endless request (a watch or an upgraded
    /// connection) ends when the server stops; other requests may complete.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub async fn authorize(
        &self,
        caller: Arc<Caller>,
        token: SecretString,
        cluster_id: &str,
        is_endless: bool,
    ) -> Result<ProxyCall, ProxyError> {
        if let Some(allowed_id) = caller.cluster_id.as_ref().filter(|allowed_id| *allowed_id != cluster_id) {
            return Err(ProxyError::OtherCluster(allowed_id.clone()));
        }
        let permit = self.inner.limit.try_acquire(&caller.user_id).ok_or(ProxyError::Busy)?;
        let cluster_and_role = self.inner.roles.get(&caller, cluster_id).await;
        let (cluster, role) = cluster_and_role.map_err(|error| match error {
            Error::NotFound { id } => ProxyError::NotFound(id),
            error => ProxyError::Server(error),
        })?;
        let access = self.inner.server_access.access(&*cluster).await?;
        let guard = ProxyGuard {
            inner: Arc::clone(&self.inner),
            caller,
            token,
            cluster_id: cluster.id.clone(),
            role,
            is_endless,
            _permit: permit,
        };
        Ok(ProxyCall { cluster, access, guard })
    }

    /// Ends watches and upgraded connections; later ones end immediately.
    pub fn close(&self) {
        self.inner.closing.cancel();
        self.inner.upgraded_connections.close();
    }

    /// Runs an upgraded connection after its request.
    pub fn run_upgraded_connection(&self, connection: impl Future<Output = ()> + Send + 'static) {
        self.inner.upgraded_connections.spawn(connection);
    }

    /// Waits until upgraded connections have sent their close frames, after [`Self::close`].
    pub async fn closed(&self) {
        drop(tokio::time::timeout(CLOSE_TIMEOUT, self.inner.upgraded_connections.wait()).await);
    }

    /// The number of running requests and streams.
    pub fn in_flight(&self) -> usize {
        self.inner.limit.in_use()
    }
}

/// An authorized request.
pub struct ProxyCall {
    cluster: Arc<Cluster>,
    access: Arc<Access>,
    guard: ProxyGuard,
}

impl ProxyCall {
    /// Forwards the request. The guard must be kept until the body of the response ends.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub async fn forward<B>(
        self,
        request: Request<B>,
        options: ForwardOptions,
    ) -> Result<(ProxyResponse, ProxyGuard), ProxyError>
    where
        B: cluster_access::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut outgoing = ReplayableRequest::new(request);
        let response = tokio::select! {
            response = self.send(&mut outgoing, options) => response?,
            _ = self.guard.ended() => return Err(ProxyError::Ended),
        };
        Ok((response, self.guard))
    }

    /// Sends a request, and repeats it with renewed access if the cluster rejects the server's current access.
    async fn send(
        &self,
        outgoing: &mut ReplayableRequest,
        options: ForwardOptions,
    ) -> Result<ProxyResponse, ProxyError> {
        let Self { cluster, access, guard } = self;
        let inner = &guard.inner;
        let user = ImpersonatedUser { user: &guard.caller.user_id, group: guard.role.group() };
        let first_result = inner.cluster_access.forward(access, user, outgoing, options).await;
        let rejected = match first_result {
            Err(error) if error.is_access_outdated() => Some(error),
            Ok(response) => {
                let is_401 = response.response.status() == StatusCode::UNAUTHORIZED;
                if !(is_401 && inner.server_access.is_rejected(&cluster.id, access).await) {
                    return Ok(response);
                }
                None
            }
            Err(error) => return Err(error.into()),
        };
        let renewed = match inner.server_access.renew(&**cluster, access).await {
            Ok(renewed) => renewed,
            Err(renewal) => return Err(renewal_error(rejected, renewal)),
        };
        if !outgoing.can_repeat() {
            return Err(ProxyError::Renewed);
        }
        Ok(inner.cluster_access.forward(&renewed, user, outgoing, options).await?)
    }
}

fn renewal_error(rejected: Option<cluster_access::Error>, renewal: Arc<server_access::Error>) -> ProxyError {
    match (rejected, &*renewal) {
        (Some(rejected), server_access::Error::StillRejected) => rejected.into(),
        (Some(rejected), _) => ProxyError::Rejected { rejected, renewal },
        (None, _) => renewal.into(),
    }
}

/// The permit of a running request, and the access that it depends on.
pub struct ProxyGuard {
    inner: Arc<Inner>,
    caller: Arc<Caller>,
    token: SecretString,
    cluster_id: String,
    role: Role,
    is_endless: bool,
    _permit: Permit,
}

impl ProxyGuard {
    /// Waits until the request must end: the token is revoked or expired, or the caller's role in the cluster has changed.
    /// Endless requests also end when the server stops.
    pub async fn ended(&self) -> EndReason {
        let closing = if self.is_endless { &self.inner.closing } else { &CancellationToken::new() };
        match closing.run_until_cancelled(self.wait_until_access_lost()).await {
            Some(()) => EndReason::AccessLost,
            None => EndReason::ServerStopping,
        }
    }

    async fn wait_until_access_lost(&self) {
        let Self { inner, caller, token, cluster_id, role, .. } = self;
        loop {
            tokio::time::sleep(ACCESS_CHECK_INTERVAL).await;
            // Requests continue while the database is unavailable.
            let authenticated = inner.tokens.authenticate(token.expose_secret()).await;
            if authenticated.is_err_and(|error| error.is_rejected()) {
                return;
            }
            match inner.roles.get(caller, cluster_id).await {
                Ok((_, current_role)) if current_role != *role => return,
                Err(Error::NotFound { .. }) => return,
                Ok(_) | Err(_) => {}
            }
        }
    }
}
