//! A stand-in for the cluster's API server, which sends back the received bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use remotedialer::{Connection, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::within_limit;

/// The address that servers request.
pub(crate) const REQUESTED_ADDRESS: &str = "name.privatelink.azmk8s.io:443";

pub(crate) struct ApiServer {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        Self { address, accepted }
    }

    /// The number of connections so far.
    pub(crate) fn accepted_count(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// Sends a word through a connection and waits for its return.
pub(crate) async fn echo(connection: &mut Connection) -> std::io::Result<String> {
    within_limit(async {
        connection.write_all(b"hello").await?;
        connection.flush().await?;
        let mut word = [0; 5];
        connection.read_exact(&mut word).await?;
        Ok(String::from_utf8_lossy(&word).into_owned())
    })
    .await
}

/// The error of a dial that fails.
pub(crate) async fn dial_error(session: &Session, network: &str, address: &str) -> String {
    let mut connection = session.dial(network, address).unwrap();
    within_limit(connection.read_u8()).await.unwrap_err().to_string()
}
