//! The way of a caller into a cluster: whether he may, as whom, through what, and for how long. Passing the request on is
//! `cluster_access`'s part, and what requests and refusals look like `api`'s.
//!
//! A caller acts inside as himself, with the rights of the group that goes with his part in the cluster. This server's
//! own identity is only the means.

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
pub use cluster_access::{BodyTooLarge, Closing, ForwardOptions, Tunnel};

/// The most concurrent requests and streams, in total and per user.
const MAX_REQUESTS: usize = 2_048;
const MAX_REQUESTS_PER_USER: usize = 256;

/// How often it is looked whether a stream may go on. With what is taken from memory, it ends within two seconds.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// How long the stop of the server waits for joined connections to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a request does not get in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The caller's token is good for another cluster.
    #[error("this token is good for cluster {0} only")]
    OtherCluster(String),
    /// There is no such cluster, as far as the caller may know.
    #[error("cluster {} not found", mask(.0))]
    Unknown(String),
    /// The cluster cannot be entered yet, or not from here; the words say why.
    #[error("{0}")]
    NotReady(&'static str),
    /// While the cluster was still to answer, the token, the part in the cluster or the server itself came to an end.
    #[error("the request was given up: the token or the part in the cluster has ended, or the server stops")]
    Over,
    /// There are too many requests at once.
    #[error("too many requests to clusters at once; try again in a moment")]
    Busy,
    /// The cluster did not answer in time.
    #[error("{0}")]
    TimedOut(#[source] cluster_access::Error),
    /// The body of the request is larger than it may be.
    #[error("the body of the request is too large")]
    TooLarge,
    /// The cluster cannot be reached, or does not let this server in.
    #[error("{0}")]
    Unreachable(#[source] cluster_access::Error),
    /// Something failed in this server.
    #[error(transparent)]
    Server(#[from] Error),
    /// There is no working access to the cluster.
    #[error("{0}")]
    NoAccess(#[source] Arc<server_access::Error>),
    /// The cluster rejects this server's access, and there is no other.
    #[error("{rejected}; new access is not available: {renewal}")]
    Rejected {
        /// What the cluster says.
        rejected: cluster_access::Error,
        /// Why there is no other.
        #[source]
        renewal: Arc<server_access::Error>,
    },
    /// The cluster rejected this server's access, there is new access by now, and the request is too long to be repeated.
    #[error(
        "the access of this server to the cluster was renewed during the request; send the request again"
    )]
    Renewed,
}

/// Why a stream ends that would go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// The server stops.
    #[error("the server stops; ask again in a moment")]
    Stop,
    /// The token was revoked or has expired, or the role in the cluster was changed or taken away.
    #[error("the token or the role in the cluster has ended or changed")]
    Rights,
}

impl From<cluster_access::Error> for Refusal {
    fn from(error: cluster_access::Error) -> Self {
        match error {
            cluster_access::Error::BodyTooLarge => Self::TooLarge,
            error if error.is_timeout() => Self::TimedOut(error),
            error => Self::Unreachable(error),
        }
    }
}

impl From<Arc<server_access::Error>> for Refusal {
    fn from(error: Arc<server_access::Error>) -> Self {
        match *error {
            server_access::Error::NotConnected(why) => Self::NotReady(why),
            _ => Self::NoAccess(error),
        }
    }
}

/// The way into clusters. Clones share everything.
#[derive(Clone)]
pub struct Kubernetes {
    inner: Arc<Inner>,
}

struct Inner {
    roles: Roles,
    tokens: Tokens,
    access: ServerAccess,
    cluster_access: ClusterAccess,
    limit: Arc<ConcurrencyLimit>,
    closing: CancellationToken,
    sessions: TaskTracker,
}

impl Kubernetes {
    /// The way into the clusters of `clusters`.
    pub fn new(base: &Base, clusters: Clusters, tokens: Tokens, access: ServerAccess) -> Self {
        Self {
            inner: Arc::new(Inner {
                roles: Roles::new(clusters),
                tokens,
                access,
                cluster_access: base.cluster_access.clone(),
                limit: ConcurrencyLimit::new(MAX_REQUESTS, MAX_REQUESTS_PER_USER),
                closing: CancellationToken::new(),
                sessions: TaskTracker::new(),
            }),
        }
    }

    /// Lets a caller in who presented that token, for one request and what follows from it. One that `is_endless` ends when
    /// the server stops; any other may come to its own end.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn enter(
        &self,
        caller: Arc<Caller>,
        presented: SecretString,
        cluster_id: &str,
        is_endless: bool,
    ) -> Result<Visit, Refusal> {
        if let Some(only) = caller.cluster_id.as_ref().filter(|only| *only != cluster_id) {
            return Err(Refusal::OtherCluster(only.clone()));
        }
        let permit = self.inner.limit.try_acquire(&caller.user_id).ok_or(Refusal::Busy)?;
        let found = self.inner.roles.get(&caller, cluster_id).await;
        let (cluster, role) = found.map_err(|error| match error {
            Error::NotFound { id } => Refusal::Unknown(id),
            error => Refusal::Server(error),
        })?;
        let access = self.inner.access.access(&*cluster).await?;
        let pass = Pass {
            inner: Arc::clone(&self.inner),
            caller,
            presented,
            cluster_id: cluster.id.clone(),
            role,
            is_endless,
            _permit: permit,
        };
        Ok(Visit { cluster, access, pass })
    }

    /// Ends what would not end by itself: streams and joined connections. Nothing of that kind begins afterwards.
    pub fn close(&self) {
        self.inner.closing.cancel();
        self.inner.sessions.close();
    }

    /// Runs a joined connection beside its request.
    pub fn run_session(&self, session: impl Future<Output = ()> + Send + 'static) {
        self.inner.sessions.spawn(session);
    }

    /// Waits until joined connections have told their clients that they end; [`Self::close`] makes them.
    pub async fn closed(&self) {
        drop(tokio::time::timeout(CLOSE_TIMEOUT, self.inner.sessions.wait()).await);
    }

    /// Requests and streams that are inside.
    pub fn inside(&self) -> usize {
        self.inner.limit.in_use()
    }
}

/// One request on its way in.
pub struct Visit {
    cluster: Arc<Cluster>,
    access: Arc<Access>,
    pass: Pass,
}

impl Visit {
    /// Passes the request on and gives the answer, and what holds the place of the caller: to be kept as long as anything
    /// of the answer is on its way.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn forward<B>(
        self,
        request: Request<B>,
        way: ForwardOptions,
    ) -> Result<(ProxyResponse, Pass), Refusal>
    where
        B: cluster_access::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut outgoing = ReplayableRequest::new(request);
        let answer = tokio::select! {
            answer = self.send(&mut outgoing, way) => answer?,
            _ = self.pass.ended() => return Err(Refusal::Over),
        };
        Ok((answer, self.pass))
    }

    /// Sends a request, and once more with new access when the cluster rejects what this server has.
    async fn send(
        &self,
        outgoing: &mut ReplayableRequest,
        way: ForwardOptions,
    ) -> Result<ProxyResponse, Refusal> {
        let Self { cluster, access, pass } = self;
        let inner = &pass.inner;
        let person = ImpersonatedUser { user: &pass.caller.user_id, group: pass.role.group() };
        let first = inner.cluster_access.forward(access, person, outgoing, way).await;
        let rejected = match first {
            Err(error) if error.is_access_rejected() => Some(error),
            Ok(answer) => {
                let is_401 = answer.response.status() == StatusCode::UNAUTHORIZED;
                if !(is_401 && inner.access.is_rejected(&cluster.id, access).await) {
                    return Ok(answer);
                }
                None
            }
            Err(error) => return Err(error.into()),
        };
        let renewed = match inner.access.renew(&**cluster, access).await {
            Ok(renewed) => renewed,
            Err(renewal) => return Err(not_renewed(rejected, renewal)),
        };
        if !outgoing.can_repeat() {
            return Err(Refusal::Renewed);
        }
        Ok(inner.cluster_access.forward(&renewed, person, outgoing, way).await?)
    }
}

fn not_renewed(rejected: Option<cluster_access::Error>, renewal: Arc<server_access::Error>) -> Refusal {
    match (rejected, &*renewal) {
        (Some(rejected), server_access::Error::StillRejected) => rejected.into(),
        (Some(rejected), _) => Refusal::Rejected { rejected, renewal },
        (None, _) => renewal.into(),
    }
}

/// The place of a caller inside a cluster, and what he came with.
pub struct Pass {
    inner: Arc<Inner>,
    caller: Arc<Caller>,
    presented: SecretString,
    cluster_id: String,
    role: Role,
    is_endless: bool,
    _permit: Permit,
}

impl Pass {
    /// Comes to an end when the caller may no longer be inside as he is: his token is revoked or has expired, he lost his
    /// part in the cluster or has another one. What is endless also ends when the server stops.
    pub async fn ended(&self) -> Ending {
        let closing = if self.is_endless { &self.inner.closing } else { &CancellationToken::new() };
        match closing.run_until_cancelled(self.rights_ended()).await {
            Some(()) => Ending::Rights,
            None => Ending::Stop,
        }
    }

    async fn rights_ended(&self) {
        let Self { inner, caller, presented, cluster_id, role, .. } = self;
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            // A database that is away is no reason to end anything.
            if inner
                .tokens
                .authenticate(presented.expose_secret())
                .await
                .is_err_and(|error| error.is_refusal())
            {
                return;
            }
            match inner.roles.get(caller, cluster_id).await {
                Ok((_, now)) if now != *role => return,
                Err(Error::NotFound { .. }) => return,
                Ok(_) | Err(_) => {}
            }
        }
    }
}
