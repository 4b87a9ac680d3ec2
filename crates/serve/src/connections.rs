//! Limits the connections of a process, and decides which one to close if there are too many.
//!
//! Any client can open a connection. Connections without an authenticated request are counted by peer address; above the limit,
//! the longest idle one of the address with the most connections is closed. Connections of trusted proxies are not counted,
//! because they serve many clients.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use hyper::body::{Body as _, Frame, SizeHint};
use ipnet::IpNet;
use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::registry::Registry;

/// The maximum number of connections to close at once if no file descriptors are left.
const MAX_CLOSED_FOR_DESCRIPTORS: usize = 16;

/// The limits of [`Connections`].
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// The maximum number of open connections; further ones wait in the system's queue.
    pub total: usize,
    /// The maximum number of connections without an authenticated request. `None` if requests are not authenticated: no
    /// connection is then closed in favor of another one.
    pub unauthenticated: Option<usize>,
    /// The addresses of trusted proxies.
    pub trusted: Vec<IpNet>,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: 4_096, unauthenticated: None, trusted: Vec::new() }
    }
}

/// The connections of one or more listeners. Clones share them.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Shared>);

struct Shared {
    limits: ConnectionLimits,
    permits: Arc<Semaphore>,
    /// The connections without an authenticated request.
    registry: Mutex<Registry>,
    unauthenticated_gauge: Gauge,
    admitted_gauge: Gauge,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self::new(ConnectionLimits::default())
    }
}

impl Connections {
    /// Creates an empty set of connections. Must be called after metrics are installed.
    pub fn new(limits: ConnectionLimits) -> Self {
        let gauge = |state| metrics::gauge!("norman_aks_connections", "state" => state);
        Self(Arc::new(Shared {
            permits: Arc::new(Semaphore::new(limits.total.clamp(1, Semaphore::MAX_PERMITS))),
            registry: Mutex::default(),
            unauthenticated_gauge: gauge("unauthenticated"),
            admitted_gauge: gauge("admitted"),
            limits,
        }))
    }

    /// Admits a connection of `peer`. If there are too many connections, closes another one; at the total limit, waits until
    /// one has ended. The caller must end the admitted connection when `close` is cancelled.
    pub(super) async fn admit(&self, peer: IpAddr, close: CancellationToken) -> Admission {
        let shared = &self.0;
        let is_limited = shared.limits.unauthenticated.is_some() && !shared.is_trusted(peer);
        if is_limited
            && shared.limits.unauthenticated.is_some_and(|limit| shared.registry().len() >= limit.max(1))
        {
            shared.close_one("limit", false);
        }
        let permit = if let Ok(permit) = Arc::clone(&shared.permits).try_acquire_owned() {
            Some(permit)
        } else {
            shared.close_one("limit", true);
            // The semaphore is never closed.
            Arc::clone(&shared.permits).acquire_owned().await.ok()
        };
        let address = address_key(peer);
        let id = is_limited.then(|| shared.registry().insert(address, close.clone()));
        let gauge = if is_limited { &shared.unauthenticated_gauge } else { &shared.admitted_gauge };
        gauge.increment(1.0);
        let inner = Inner {
            shared: Arc::clone(shared),
            address,
            id,
            is_exempt: AtomicBool::new(!is_limited),
            has_sent_request: AtomicBool::new(false),
        };
        Admission { connection: Connection(Arc::new(inner)), close, _permit: permit }
    }

    /// Closes connections without an authenticated request, to free file descriptors. If earlier ones are still being closed,
    /// closes no others. Returns the number of connections that are being closed.
    pub(super) fn close_to_free_descriptors(&self) -> usize {
        let closing_count = self.0.registry().closing_count();
        if closing_count > 0 {
            return closing_count;
        }
        (0..MAX_CLOSED_FOR_DESCRIPTORS).take_while(|_| self.0.close_one("descriptors", false)).count()
    }
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_trusted(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.limits.trusted.iter().any(|network| network.contains(&peer))
    }

    /// Closes the connection that [`Registry::take_first`] selects; returns false if there is none.
    fn close_one(&self, reason: &'static str, only_idle: bool) -> bool {
        let Some(close) = self.registry().take_first(only_idle) else { return false };
        close.cancel();
        count_closed(reason);
        true
    }
}

/// Counts a connection that the server closes.
pub(super) fn count_closed(reason: &'static str) {
    metrics::counter!("norman_aks_connections_closed_total", "reason" => reason).increment(1);
}

/// The key for counting peers: an IPv4 address, or the /64 network of an IPv6 address, which belongs to one customer.
fn address_key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(network).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// An admitted connection. Dropped when the connection ends.
pub(super) struct Admission {
    connection: Connection,
    close: CancellationToken,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Admission {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Cancelled when the connection must end.
    pub(super) fn close_token(&self) -> CancellationToken {
        self.close.clone()
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let Inner { shared, address, id, is_exempt, .. } = &*self.connection.0;
        if let Some(id) = id {
            shared.registry().end(*address, *id);
        }
        let gauge = if is_exempt.load(Ordering::Acquire) {
            &shared.admitted_gauge
        } else {
            &shared.unauthenticated_gauge
        };
        gauge.decrement(1.0);
    }
}

/// A connection, as an extension of its requests.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    address: IpAddr,
    /// The ID in the registry; `None` for connections that are not counted.
    id: Option<u64>,
    /// Whether the connection is exempt from the limits: after an authenticated request, or because it was never counted.
    is_exempt: AtomicBool,
    has_sent_request: AtomicBool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.0.address).finish_non_exhaustive()
    }
}

/// The result of checking a silent connection.
#[derive(Debug, PartialEq)]
pub(super) enum Silence {
    /// Close it.
    TooLong,
    /// It may remain silent.
    Allowed,
    /// Check again at this time.
    Until(Instant),
}

impl Connection {
    /// Records an authenticated request: the connection is no longer closed in favor of another one.
    pub fn mark_authenticated(&self) {
        let Inner { shared, is_exempt, .. } = &*self.0;
        // A connection that is being closed is not changed.
        if !is_exempt.load(Ordering::Acquire) && self.leave_registry() {
            is_exempt.store(true, Ordering::Release);
            shared.unauthenticated_gauge.decrement(1.0);
            shared.admitted_gauge.increment(1.0);
        }
    }

    /// Starts a request. The connection is not idle until the guard is dropped.
    pub(super) fn start_request(&self) -> RequestGuard {
        self.0.has_sent_request.store(true, Ordering::Relaxed);
        if !self.is_counted() {
            return RequestGuard(None);
        }
        if let Some(id) = self.0.id {
            self.0.shared.registry().start_request(self.0.address, id);
        }
        RequestGuard(Some(self.clone()))
    }

    /// Checks the connection when its silence timer fires. Without an authenticated request, it may be idle for `limit`.
    pub(super) fn check_silence(&self, limit: Duration) -> Silence {
        let now = Instant::now();
        if !self.0.has_sent_request.load(Ordering::Relaxed) {
            return Silence::TooLong;
        }
        let Some(id) = self.0.id.filter(|_| self.is_counted()) else { return Silence::Allowed };
        match self.0.shared.registry().idle_since(self.0.address, id) {
            Some(since) if since + limit <= now => Silence::TooLong,
            Some(since) => Silence::Until(since + limit),
            None => Silence::Until(now + limit),
        }
    }

    /// Whether the connection is counted as one without an authenticated request.
    fn is_counted(&self) -> bool {
        !self.0.is_exempt.load(Ordering::Acquire)
    }

    /// Removes the connection from the registry; returns false if it is not there.
    fn leave_registry(&self) -> bool {
        self.0.id.is_some_and(|id| self.0.shared.registry().remove(self.0.address, id))
    }
}

/// A request in progress on a connection without an authenticated request.
pub(super) struct RequestGuard(Option<Connection>);

impl RequestGuard {
    /// Extends the request until the body of its response has been sent.
    pub(super) fn hold_until_sent(self, response: Response<Body>) -> Response<Body> {
        if self.0.as_ref().is_some_and(Connection::is_counted) && !response.body().is_end_stream() {
            return response.map(|body| Body::new(GuardedBody { body, _request: self }));
        }
        response
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if let Some(Inner { shared, address, id: Some(id), .. }) =
            self.0.as_ref().map(|connection| &*connection.0)
        {
            shared.registry().end_request(*address, *id);
        }
    }
}

struct GuardedBody {
    body: Body,
    _request: RequestGuard,
}

impl hyper::body::Body for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total: usize, unauthenticated: usize, trusted: &[&str]) -> Connections {
        let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Connections::new(ConnectionLimits { total, unauthenticated: Some(unauthenticated), trusted })
    }

    async fn admit(connections: &Connections, peer: &str) -> Admission {
        connections.admit(peer.parse().unwrap(), CancellationToken::new()).await
    }

    fn closed_flags(admissions: &[Admission]) -> Vec<bool> {
        admissions.iter().map(|admission| admission.close.is_cancelled()).collect()
    }

    #[test]
    fn ipv6_counts_by_network_and_mapped_ipv4_as_ipv4() {
        for (peer, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ] {
            assert_eq!(address_key(peer.parse().unwrap()).to_string(), expected, "{peer}");
        }
    }

    #[tokio::test]
    async fn longest_idle_of_largest_address_is_closed() {
        let connections = connections(100, 4, &[]);
        let mut open = Vec::new();
        for peer in ["192.0.2.1", "192.0.2.9", "192.0.2.9", "192.0.2.9"] {
            open.push(admit(&connections, peer).await);
        }
        // The oldest connection of the address with the most connections has a request in progress.
        let request = open[1].connection().start_request();
        open.push(admit(&connections, "192.0.2.2").await);
        assert_eq!(closed_flags(&open), [false, false, true, false, false]);
        drop(request);
        // This connection has now been idle for less time than the other open one of its address.
        open.push(admit(&connections, "192.0.2.3").await);
        assert_eq!(closed_flags(&open), [false, false, true, true, false, false]);
    }

    #[tokio::test]
    async fn authenticated_and_trusted_connections_stay_open() {
        let connections = connections(100, 2, &["10.0.0.0/8"]);
        let mut open = vec![admit(&connections, "192.0.2.9").await];
        open[0].connection().mark_authenticated();
        for _ in 0..5 {
            open.push(admit(&connections, "::ffff:10.1.2.3").await);
        }
        for _ in 0..3 {
            open.push(admit(&connections, "192.0.2.9").await);
        }
        assert_eq!(closed_flags(&open), [false, false, false, false, false, false, true, false, false]);
    }

    #[tokio::test]
    async fn largest_address_without_idle_loses_its_oldest_connection() {
        let connections = connections(100, 4, &[]);
        let mut open = Vec::new();
        for peer in ["192.0.2.1", "192.0.2.9", "192.0.2.9", "192.0.2.9"] {
            open.push(admit(&connections, peer).await);
        }
        let _requests: Vec<_> =
            open[1..].iter().map(|admission| admission.connection().start_request()).collect();
        open.push(admit(&connections, "192.0.2.2").await);
        assert_eq!(closed_flags(&open), [false, true, false, false, false]);
    }

    #[tokio::test]
    async fn new_connection_replaces_an_idle_one() {
        let connections = connections(2, 2, &["10.0.0.0/8"]);
        let idle = admit(&connections, "192.0.2.9").await;
        let _trusted = admit(&connections, "10.0.0.1").await;
        let newcomer = admit(&connections, "10.0.0.2");
        let close_token = idle.close_token();
        let ending = async move {
            close_token.cancelled().await;
            drop(idle);
        };
        tokio::join!(newcomer, ending);
    }

    #[tokio::test]
    async fn descriptor_shortage_closes_sixteen_connections() {
        let connections = connections(100, 50, &[]);
        let mut open = Vec::new();
        for _ in 0..20 {
            open.push(admit(&connections, "192.0.2.9").await);
        }
        assert_eq!(connections.close_to_free_descriptors(), 16);
        assert_eq!(connections.close_to_free_descriptors(), 16, "the same ones: they are still open");
        open.drain(..15);
        assert_eq!(connections.close_to_free_descriptors(), 1);
        assert_eq!(closed_flags(&open), [true, false, false, false, false]);
        open.remove(0);
        assert_eq!(connections.close_to_free_descriptors(), 4);
        assert_eq!(closed_flags(&open), [true; 4]);
        open.clear();
        assert_eq!(connections.close_to_free_descriptors(), 0);
    }

    #[tokio::test]
    async fn silence_is_limited_unless_authenticated_or_trusted() {
        const HOUR: Duration = Duration::from_hours(1);
        let connections = connections(100, 50, &["10.0.0.0/8"]);
        let (unauthenticated, authenticated) =
            (admit(&connections, "192.0.2.9").await, admit(&connections, "192.0.2.9").await);
        let trusted = admit(&connections, "10.0.0.1").await;
        for admission in [&unauthenticated, &authenticated, &trusted] {
            assert_eq!(admission.connection().check_silence(HOUR), Silence::TooLong, "it sent no request");
        }
        let request = unauthenticated.connection().start_request();
        assert!(
            matches!(unauthenticated.connection().check_silence(Duration::ZERO), Silence::Until(_)),
            "it has a request in progress"
        );
        drop(request);
        assert!(matches!(unauthenticated.connection().check_silence(HOUR), Silence::Until(_)));
        assert_eq!(unauthenticated.connection().check_silence(Duration::ZERO), Silence::TooLong);
        drop(authenticated.connection().start_request());
        authenticated.connection().mark_authenticated();
        drop(trusted.connection().start_request());
        for admission in [&authenticated, &trusted] {
            assert_eq!(admission.connection().check_silence(Duration::ZERO), Silence::Allowed);
        }
    }

    #[tokio::test]
    async fn connection_is_busy_until_its_response_is_sent() {
        let connections = connections(100, 50, &[]);
        let admission = admit(&connections, "192.0.2.9").await;
        let is_busy = || matches!(admission.connection().check_silence(Duration::ZERO), Silence::Until(_));
        let response =
            admission.connection().start_request().hold_until_sent(Response::new(Body::from("text")));
        assert!(is_busy());
        assert_eq!(axum::body::to_bytes(response.into_body(), 10).await.unwrap(), "text");
        assert!(!is_busy());
        let empty = admission.connection().start_request().hold_until_sent(Response::new(Body::empty()));
        assert!(!is_busy());
        drop(empty);
    }
}
