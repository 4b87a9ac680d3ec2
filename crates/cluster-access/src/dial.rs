//! From the address of a cluster to an open connection: the name looked up, its addresses judged, the connection made in
//! time. TLS is above it, in `link`.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tower::Service;

use super::error::Error;
use super::{Resolver, hosts};

/// The error of anything below a connection.
pub(super) type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// What comes later.
pub(super) type Later<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// A firewall or load balancer forgets connections on which nothing is said; a watch may be silent for long.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// rustls reads 4 KiB at a time: without a buffer that is a call of the system for each of them.
const READ_BUFFER_LEN: usize = 32 * 1024;

/// Why there is no connection, as far as it is decided here. It travels through the layers of the client and is found
/// again by its type.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undialled {
    #[error("it is no host name that AKS gives")]
    Foreign,
    #[error("{}", hosts::NOT_THE_PORT)]
    Port,
    #[error("the name does not exist")]
    NameUnknown,
    #[error("the name cannot be looked up")]
    NameTrouble(#[source] io::Error),
    #[error("the address {0} is not dialled")]
    AddressRefused(IpAddr),
    #[error("no connection within {} s", .0.as_secs())]
    TooSlow(Duration),
}

impl Undialled {
    /// The same for people.
    pub(super) fn told(&self, host: &str) -> Error {
        let host = host.to_owned();
        match self {
            Self::Foreign => Error::Endpoint { host, why: "it is no host name that AKS gives" },
            Self::Port => Error::Endpoint { host, why: hosts::NOT_THE_PORT },
            Self::NameUnknown => Error::NameUnknown { host },
            // The error itself belongs to the chain that it was found in.
            Self::NameTrouble(source) => {
                Error::NameTrouble { host, source: io::Error::new(source.kind(), source.to_string()) }
            }
            Self::AddressRefused(address) => Error::AddressRefused { host, address: *address },
            Self::TooSlow(after) => Error::TimedOut { host, after: *after },
        }
    }
}

/// Connects to hosts of AKS, and to nothing else.
#[derive(Clone)]
pub(super) struct Dial {
    resolver: Option<Resolver>,
    direct: HttpConnector<Names>,
}

impl Dial {
    pub(super) fn new(resolver: Option<Resolver>) -> Self {
        Self { resolver, direct: plain(HttpConnector::new_with_resolver(Names)) }
    }
}

/// Settings for connections that carry TLS and may be silent for long.
pub(super) fn plain<R>(mut connector: HttpConnector<R>) -> HttpConnector<R> {
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE));
    connector
}

/// A connection to a cluster, below TLS.
#[derive(Debug)]
pub(super) struct Wire(TokioIo<BufReader<TcpStream>>);

impl Wire {
    fn new(stream: TcpStream) -> Self {
        Self(TokioIo::new(BufReader::with_capacity(READ_BUFFER_LEN, stream)))
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        self.0.inner().get_ref().connected()
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Wire {
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

impl Service<Uri> for Dial {
    type Response = Wire;
    type Error = Trouble;
    type Future = Later<Self::Response, Trouble>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let host = to.host().unwrap_or_default();
        if !hosts::is_aks(host) {
            return Box::pin(std::future::ready(Err(Undialled::Foreign.into())));
        }
        if to.port_u16().is_some_and(|port| port != hosts::PORT) {
            return Box::pin(std::future::ready(Err(Undialled::Port.into())));
        }
        let Some(resolver) = &self.resolver else {
            let connecting = self.direct.call(to);
            return Box::pin(async move { Ok(Wire::new(connecting.await?.into_inner())) });
        };
        let address = resolver(host).ok_or(Undialled::NameUnknown);
        Box::pin(async move {
            let stream = TcpStream::connect(address?).await?;
            stream.set_nodelay(true)?;
            Ok(Wire::new(stream))
        })
    }
}

/// Looks names up in the system's way and leaves out the addresses that are not dialled.
#[derive(Clone)]
pub(super) struct Names;

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Undialled;
    type Future = Later<Self::Response, Undialled>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Undialled>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found: Vec<_> = found.map_err(unresolved)?.collect();
            dialable(found).map(Vec::into_iter)
        })
    }
}

fn dialable(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Undialled> {
    let first = found.first().ok_or(Undialled::NameUnknown)?.ip();
    let usable: Vec<_> = found.into_iter().filter(|address| hosts::is_dialable(address.ip())).collect();
    if usable.is_empty() { Err(Undialled::AddressRefused(first)) } else { Ok(usable) }
}

/// The standard library tells the two apart by the text of the C library only, which is not translated in this program.
fn unresolved(error: io::Error) -> Undialled {
    const NO_SUCH_NAME: [&str; 5] = [
        "Name or service not known",
        "No address associated with hostname",
        "nodename nor servname provided",
        "Name does not resolve",
        "Name has no usable address",
    ];
    let text = error.to_string();
    if NO_SUCH_NAME.iter().any(|known| text.contains(known)) {
        Undialled::NameUnknown
    } else {
        Undialled::NameTrouble(error)
    }
}

/// A connector that has to be done in time, with everything that it does.
#[derive(Clone)]
pub(super) struct InTime<C> {
    inner: C,
    limit: Duration,
}

impl<C> InTime<C> {
    pub(super) fn new(inner: C, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<C> fmt::Debug for InTime<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InTime").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<C> Service<Uri> for InTime<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Error: Into<Trouble>,
{
    type Response = C::Response;
    type Error = Trouble;
    type Future = Later<C::Response, Trouble>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(to), self.limit);
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(Undialled::TooSlow(limit).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_do_not_exist_are_told_from_a_resolver_in_trouble() {
        for (text, unknown) in [
            ("failed to lookup address information: Name or service not known", true),
            ("failed to lookup address information: No address associated with hostname", true),
            ("failed to lookup address information: Name does not resolve", true),
            ("failed to lookup address information: Temporary failure in name resolution", false),
            ("failed to lookup address information: Try again", false),
            ("Too many open files (os error 24)", false),
        ] {
            let undialled = unresolved(io::Error::other(text));
            assert_eq!(matches!(undialled, Undialled::NameUnknown), unknown, "{text}");
            assert_eq!(undialled.told("h").is_name_unknown(), unknown, "{text}");
        }
    }

    #[test]
    fn addresses_that_are_not_dialled_are_left_out_and_named_when_there_are_no_others() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let (own, other) = (address("127.0.0.1"), address("20.0.0.1"));
        assert_eq!(dialable(vec![own, other]).unwrap(), [other]);
        assert!(matches!(dialable(vec![own]), Err(Undialled::AddressRefused(ip)) if ip == own.ip()));
        assert!(matches!(dialable(vec![]), Err(Undialled::NameUnknown)));
    }

    #[tokio::test]
    async fn a_foreign_host_is_not_dialled_whatever_it_would_resolve_to() {
        let resolver: Resolver = std::sync::Arc::new(|_| panic!("asked for a foreign name"));
        let error =
            Dial::new(Some(resolver)).call(Uri::from_static("https://example.org")).await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Undialled::Foreign)));
    }

    #[tokio::test]
    async fn another_port_is_not_dialled() {
        let resolver: Resolver = std::sync::Arc::new(|_| panic!("resolved a host that is not dialled"));
        let to = Uri::from_static("https://a.hcp.westeurope.azmk8s.io:8443");
        let error = Dial::new(Some(resolver)).call(to).await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Undialled::Port)));
    }

    #[tokio::test]
    async fn a_connection_that_takes_too_long_is_given_up() {
        let forever = tower::service_fn(|_: Uri| std::future::pending::<Result<(), Trouble>>());
        let limit = Duration::from_millis(20);
        let error =
            InTime::new(forever, limit).call(Uri::from_static("https://a.azmk8s.io")).await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Undialled::TooSlow(after)) if *after == limit));
    }
}
