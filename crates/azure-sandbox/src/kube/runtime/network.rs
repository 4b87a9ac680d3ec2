//! The network of pods that run a program. Every connection is relayed, so that it can be slowed down and cut, and so that a
//! connection to the shared port of the Kubernetes APIs reaches only the API of the pod's own cluster.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::kube::clusters::KubeClusters;
use crate::program::Connect;

/// The address of the Kubernetes API inside a cluster.
pub(super) const SERVICE_HOST: &str = "10.0.0.1";
pub(super) const SERVICE_PORT: u16 = 443;
/// The names of the Kubernetes API inside a cluster.
const SERVICE_NAMES: [&str; 5] = [
    SERVICE_HOST,
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];
/// Azure's wire server, which serves credentials to virtual machines, like the metadata service at a link-local address.
const WIRE_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));

const BUFFER_SIZE: usize = 16 << 10;
/// The maximum size of the first message of a TLS client.
const MAX_CLIENT_HELLO_LEN: usize = 64 << 10;
/// The number of reads per second if the read rate is limited.
const READS_PER_SECOND: u64 = 10;

/// The connections of all pods.
#[derive(Default)]
pub(crate) struct Network {
    /// The shared address of the Kubernetes APIs, set at the start.
    kubernetes_address: OnceLock<SocketAddr>,
    /// The maximum number of bytes per second that a connection reads; 0 for no limit.
    read_rate: AtomicU64,
    open_connections: AtomicUsize,
    /// Cancelled to cut the open connections.
    cut: Mutex<CancellationToken>,
}

/// Counts a connection as open until it is dropped.
struct OpenConnection(Arc<Network>);

impl OpenConnection {
    fn new(network: &Arc<Network>) -> Self {
        network.open_connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(network))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The network of one pod.
#[derive(Clone)]
pub(super) struct PodNetwork {
    pub(super) kube: KubeClusters,
    /// The host name of the cluster.
    pub(super) host: String,
    /// Cancelled when the program has ended.
    pub(super) ended: CancellationToken,
}

impl Network {
    pub(crate) fn kubernetes_address(&self) -> Option<SocketAddr> {
        self.kubernetes_address.get().copied()
    }

    /// Sets the shared address of the Kubernetes APIs, once.
    pub(crate) fn set_kubernetes_address(&self, address: SocketAddr) {
        let _ = self.kubernetes_address.set(address);
    }

    pub(crate) fn read_rate(&self) -> Option<u64> {
        Some(self.read_rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    pub(crate) fn set_read_rate(&self, rate: Option<u64>) {
        self.read_rate.store(rate.unwrap_or_default(), Ordering::Relaxed);
    }

    pub(crate) fn connections(&self) -> usize {
        self.open_connections.load(Ordering::Relaxed)
    }

    /// Resets the open connections.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.cut.lock().unwrap_or_else(PoisonError::into_inner)).cancel();
    }

    fn cut_token(&self) -> CancellationToken {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl PodNetwork {
    pub(super) fn connector(self) -> Connect {
        Arc::new(move |name, port| {
            let network = self.clone();
            Box::pin(async move { network.connect(&name, port).await })
        })
    }

    async fn connect(&self, name: &str, port: u16) -> io::Result<TcpStream> {
        let network = &self.kube.runtime().network;
        let kubernetes_address = network.kubernetes_address();
        let remote = if self.is_own_api(name) {
            let api_address =
                kubernetes_address.filter(|_| port == SERVICE_PORT && self.kube.is_served(&self.host));
            TcpStream::connect(api_address.ok_or(io::ErrorKind::ConnectionRefused)?).await?
        } else {
            self.connect_outside(name, port).await?
        };
        // Other names may also lead to the port of the Kubernetes APIs, at a loopback address.
        let peer = remote.peer_addr()?;
        let is_loopback = peer.ip().to_canonical().is_loopback();
        let is_kubernetes =
            kubernetes_address.is_some_and(|address| is_loopback && address.port() == peer.port());
        let (program_end, network_end) = loopback_pair().await?;
        let server_name = is_kubernetes.then(|| self.host.clone());
        let (cut, ended, open) = (network.cut_token(), self.ended.clone(), OpenConnection::new(network));
        tokio::spawn(async move {
            let (mut network_end, mut remote) = (network_end, remote);
            tokio::select! {
                _ = relay(&mut network_end, &mut remote, server_name.as_deref(), &open.0) => {}
                () = ended.cancelled() => {}
                () = cut.cancelled() => {
                    // Both ends see a reset, not an orderly end.
                    let _ = (network_end.set_zero_linger(), remote.set_zero_linger());
                }
            }
        });
        Ok(program_end)
    }

    fn is_own_api(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        SERVICE_NAMES.contains(&name) || name.eq_ignore_ascii_case(&self.host)
    }

    async fn connect_outside(&self, name: &str, port: u16) -> io::Result<TcpStream> {
        if self.kube.exists(name.trim_end_matches('.')) {
            let text = format!("{name} is not reachable from this cluster");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let mut last_error = io::Error::new(io::ErrorKind::NotFound, format!("{name} does not resolve"));
        for address in lookup_host((name, port)).await? {
            if is_forbidden(address.ip()) {
                let text = format!("pods of the sandbox cannot connect to {}", address.ip());
                last_error = io::Error::new(io::ErrorKind::ConnectionRefused, text);
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }
}

/// Whether an address may belong to a metadata service, which returns credentials on cloud machines.
fn is_forbidden(address: IpAddr) -> bool {
    let address = address.to_canonical();
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || address == WIRE_SERVER,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// The two ends of a connection over the loopback interface.
async fn loopback_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let program_end = TcpStream::connect(listener.local_addr()?).await?;
    let program_address = program_end.local_addr()?;
    loop {
        let (network_end, peer) = listener.accept().await?;
        // Another process may have connected first.
        if peer == program_address {
            return Ok((program_end, network_end));
        }
    }
}

/// Copies both directions until both end. If `server_name` is set, the connection has to start with a TLS handshake for it.
async fn relay(
    local: &mut TcpStream,
    remote: &mut TcpStream,
    server_name: Option<&str>,
    network: &Network,
) -> io::Result<()> {
    let _ = (local.set_nodelay(true), remote.set_nodelay(true));
    if let Some(server_name) = server_name {
        let (hello, name) = read_client_hello(local).await?;
        if !name.is_some_and(|name| name.eq_ignore_ascii_case(server_name)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        remote.write_all(&hello).await?;
    }
    let (local_read, local_write) = local.split();
    let (remote_read, remote_write) = remote.split();
    tokio::try_join!(copy(local_read, remote_write, None), copy(remote_read, local_write, Some(network)))?;
    Ok(())
}

/// Copies until `from` ends, at most at the read rate of `rate_limit`.
async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, rate_limit: Option<&Network>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_SIZE];
    loop {
        let rate = rate_limit.and_then(Network::read_rate);
        let size =
            rate.map_or(BUFFER_SIZE, |rate| usize::try_from(rate / READS_PER_SECOND).unwrap_or(BUFFER_SIZE));
        let space = buffer.get_mut(..size.clamp(1, BUFFER_SIZE)).unwrap_or_default();
        let count = from.read(space).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..count).unwrap_or_default()).await?;
        if let Some(rate) = rate {
            let bytes = u64::try_from(count).unwrap_or(u64::MAX);
            sleep(Duration::from_micros(bytes.saturating_mul(1_000_000) / rate)).await;
        }
    }
}

/// Reads the `ClientHello` of a TLS client. Returns the bytes read so far, and the server name.
async fn read_client_hello(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Option<String>)> {
    let (mut acceptor, mut bytes) = (Acceptor::default(), Vec::new());
    let mut buffer = [0; 4 << 10];
    loop {
        let count = stream.read(&mut buffer).await?;
        let mut new = buffer.get(..count).unwrap_or_default();
        if new.is_empty() || bytes.len() > MAX_CLIENT_HELLO_LEN {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(new);
        while !new.is_empty() {
            acceptor.read_tls(&mut new)?;
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_owned);
                return Ok((bytes, name));
            }
            Err((error, _)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_credentials_are_forbidden() {
        for (address, expected) in [
            ("169.254.169.254", true),
            ("168.63.129.16", true),
            ("::ffff:169.254.169.254", true),
            ("fe80::1", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(is_forbidden(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[tokio::test]
    async fn bytes_without_tls_are_rejected() {
        let (mut program_end, mut network_end) = loopback_pair().await.unwrap();
        program_end.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(read_client_hello(&mut network_end).await.is_err());
    }
}
