//! Opens connections to clusters: resolves the name, checks its addresses, and connects within a time limit. TLS is added
//! in `client`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use remotedialer::Session;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tower::Service;

use crate::error::ConnectError;
use crate::hosts;
use crate::options::Resolver;
use crate::relay::{BoxFuture, Relay, RelayStream};

/// Any error of a connection.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The interval of TCP keep-alives. Firewalls and load balancers drop idle connections, and a watch may be idle for long.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The time limit for the first bytes from a cluster through an agent.
const TUNNEL_RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// rustls reads 4 KiB at a time; without a buffer, each read would be a system call.
const READ_BUFFER_LEN: usize = 32 * 1024;

/// Connects directly to AKS hosts, and to no others.
#[derive(Clone)]
pub(super) struct Connector {
    resolver: Option<Resolver>,
    dns_connector: HttpConnector<CheckedDns>,
}

impl Connector {
    pub(super) fn new(resolver: Option<Resolver>) -> Self {
        Self { resolver, dns_connector: configure_tcp(HttpConnector::new_with_resolver(CheckedDns)) }
    }
}

/// Configures connections that carry TLS and may be idle for a long time.
pub(super) fn configure_tcp<R>(mut connector: HttpConnector<R>) -> HttpConnector<R> {
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector
}

/// A connection for the HTTP client.
#[derive(Debug)]
pub(super) struct ClientStream<S>(TokioIo<S>);

/// A direct connection.
type BufferedTcp = ClientStream<BufReader<TcpStream>>;

/// A connection through an agent.
type Tunneled = ClientStream<Box<dyn RelayStream>>;

impl BufferedTcp {
    fn buffered(stream: TcpStream) -> Self {
        Self(TokioIo::new(BufReader::with_capacity(READ_BUFFER_LEN, stream)))
    }
}

impl Tunneled {
    fn boxed(stream: impl RelayStream + 'static) -> Self {
        Self(TokioIo::new(Box::new(stream)))
    }
}

impl Connection for BufferedTcp {
    fn connected(&self) -> Connected {
        self.0.inner().get_ref().connected()
    }
}

impl Connection for Tunneled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl<S: AsyncRead + Unpin> Read for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> Write for ClientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }
}

impl Service<Uri> for Connector {
    type Response = BufferedTcp;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response, BoxError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.dns_connector.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = uri.host().unwrap_or_default();
        if !hosts::is_aks(host) {
            return Box::pin(std::future::ready(Err(ConnectError::NotAksHost.into())));
        }
        if uri.port_u16().is_some_and(|port| port != hosts::PORT) {
            return Box::pin(std::future::ready(Err(ConnectError::WrongPort.into())));
        }
        let Some(resolver) = &self.resolver else {
            let connecting = self.dns_connector.call(uri);
            return Box::pin(async move { Ok(BufferedTcp::buffered(connecting.await?.into_inner())) });
        };
        let address = resolver(host).ok_or(ConnectError::NameUnknown);
        Box::pin(async move {
            let stream = TcpStream::connect(address?).await?;
            stream.set_nodelay(true)?;
            Ok(BufferedTcp::buffered(stream))
        })
    }
}

/// Connects to the API of one cluster through the session of an agent. The agent resolves the name.
#[derive(Clone)]
pub(super) enum TunnelConnector {
    /// Through a session of this server.
    Session {
        session: Session,
        /// `host:port`
        address: String,
    },
    /// Through a session of another server.
    Server {
        relay: Arc<dyn Relay>,
        /// The address of the server.
        server: String,
        cluster_id: String,
    },
}

impl TunnelConnector {
    /// Always connects to `api`, the address from Azure. No other source may choose the target of an agent.
    pub(super) fn through_session(session: Session, api: &Authority) -> Self {
        Self::Session { session, address: format!("{}:{}", api.host(), hosts::PORT) }
    }
}

impl Service<Uri> for TunnelConnector {
    type Response = Tunneled;
    type Error = BoxError;
    type Future = BoxFuture<Tunneled, BoxError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        match self {
            Self::Session { session, address } => {
                let mut options = session.dial_options();
                // The connection starts with a TLS handshake, to which the cluster responds immediately.
                options.response_timeout = Some(TUNNEL_RESPONSE_TIMEOUT);
                let dialed = session.dial_with("tcp", address, options);
                Box::pin(std::future::ready(dialed.map(Tunneled::boxed).map_err(Into::into)))
            }
            Self::Server { relay, server, cluster_id } => {
                let connecting = relay.connect(server, cluster_id);
                Box::pin(async move { Ok(Tunneled::boxed(connecting.await?)) })
            }
        }
    }
}

/// The system's DNS without disallowed addresses.
#[derive(Clone)]
pub(super) struct CheckedDns;

impl Service<Name> for CheckedDns {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ConnectError;
    type Future = BoxFuture<Self::Response, ConnectError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await;
            let addresses: Vec<_> = addresses.map_err(to_lookup_error)?.collect();
            allowed_addresses(addresses).map(Vec::into_iter)
        })
    }
}

fn allowed_addresses(addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ConnectError> {
    let first = addresses.first().ok_or(ConnectError::NameUnknown)?.ip();
    let allowed: Vec<_> =
        addresses.into_iter().filter(|address| hosts::is_allowed_address(address.ip())).collect();
    if allowed.is_empty() { Err(ConnectError::AddressRejected(first)) } else { Ok(allowed) }
}

/// Converts a DNS error. The standard library reports its kind only in the message of the C library, which is not localized.
fn to_lookup_error(error: io::Error) -> ConnectError {
    const NO_SUCH_NAME: [&str; 5] = [
        "Name or service not known",
        "No address associated with hostname",
        "nodename nor servname provided",
        "Name does not resolve",
        "Name has no usable address",
    ];
    let message = error.to_string();
    if NO_SUCH_NAME.iter().any(|known| message.contains(known)) {
        ConnectError::NameUnknown
    } else {
        ConnectError::NameLookup(error)
    }
}

/// A connector with a time limit.
#[derive(Clone)]
pub(super) struct TimeLimited<C> {
    inner: C,
    limit: Duration,
}

impl<C> TimeLimited<C> {
    pub(super) fn new(inner: C, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<C> fmt::Debug for TimeLimited<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeLimited").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<C> Service<Uri> for TimeLimited<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = BoxFuture<C::Response, BoxError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(uri), self.limit);
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(ConnectError::TimedOut(limit).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_name_differs_from_dns_failure() {
        for (text, is_unknown) in [
            ("failed to lookup address information: Name or service not known", true),
            ("failed to lookup address information: No address associated with hostname", true),
            ("failed to lookup address information: Name does not resolve", true),
            ("failed to lookup address information: Temporary failure in name resolution", false),
            ("failed to lookup address information: Try again", false),
            ("Too many open files (os error 24)", false),
        ] {
            let error = to_lookup_error(io::Error::other(text));
            assert_eq!(matches!(error, ConnectError::NameUnknown), is_unknown, "{text}");
            assert_eq!(error.to_error("h").is_name_unknown(), is_unknown, "{text}");
        }
    }

    #[test]
    fn disallowed_addresses_are_skipped_or_reported() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let (loopback, public) = (address("127.0.0.1"), address("20.0.0.1"));
        assert_eq!(allowed_addresses(vec![loopback, public]).unwrap(), [public]);
        assert!(
            matches!(allowed_addresses(vec![loopback]), Err(ConnectError::AddressRejected(ip)) if ip == loopback.ip())
        );
        assert!(matches!(allowed_addresses(vec![]), Err(ConnectError::NameUnknown)));
    }

    #[tokio::test]
    async fn foreign_host_is_rejected_before_resolution() {
        let resolver: Resolver = std::sync::Arc::new(|_| panic!("resolved a foreign host"));
        let error =
            Connector::new(Some(resolver)).call(Uri::from_static("https://example.org")).await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(ConnectError::NotAksHost)));
    }

    #[tokio::test]
    async fn other_port_is_rejected() {
        let resolver: Resolver = std::sync::Arc::new(|_| panic!("resolved a host with another port"));
        let uri = Uri::from_static("https://a.hcp.westeurope.azmk8s.io:8443");
        let error = Connector::new(Some(resolver)).call(uri).await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(ConnectError::WrongPort)));
    }

    #[tokio::test]
    async fn slow_connection_times_out() {
        let forever = tower::service_fn(|_: Uri| std::future::pending::<Result<(), BoxError>>());
        let limit = Duration::from_millis(20);
        let error =
            TimeLimited::new(forever, limit).call(Uri::from_static("https://a.azmk8s.io")).await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(ConnectError::TimedOut(after)) if *after == limit));
    }
}
