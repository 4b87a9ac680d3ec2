//! Relays between servers: each server announces the clusters whose agents are connected to it, reads the announcements of
//! the others every two seconds, and forwards their connections to its own clusters. A server without an address that others
//! can connect to does not take part.

use std::collections::HashMap;
use std::io;

use aks::status::ClusterStatus;
use remotedialer::Connection;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;

use super::Agents;
use crate::service::secrets::HEARTBEAT_TIMEOUT_MS;
use crate::store;

/// The reason why this server cannot connect to a cluster for another server.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The server has no session of the cluster.
    #[error("no agent of the cluster is connected to this server")]
    NoSession(#[source] io::Error),
    /// The database failed.
    #[error("the cluster cannot be read")]
    Store(#[from] store::Error),
}

impl Agents {
    /// Whether `token` belongs to a server of this installation.
    pub fn is_relay_token(&self, token: &[u8]) -> bool {
        self.inner.secrets.replica_keys().iter().any(|key| key.is_token(token))
    }

    /// Opens a connection to the API of a cluster for another server. The address comes from Azure; the other server does not
    /// choose it.
    ///
    /// # Errors
    /// See [`RelayError`].
    pub async fn dial(&self, cluster_id: &str) -> Result<Connection, RelayError> {
        let row = store::clusters::get(&self.inner.store, cluster_id).await?;
        let status = row.and_then(|row| ClusterStatus::from_json(&row.work.status).ok()).unwrap_or_default();
        let endpoint = status.api_endpoint.and_then(|endpoint| endpoint.parse::<Url>().ok());
        let host = endpoint.as_ref().and_then(Url::host_str).unwrap_or_default();
        self.sessions().dial(cluster_id, host).map_err(RelayError::NoSession)
    }

    /// Copies bytes between a connection to a cluster and the connection of the other server, until one of them ends.
    pub fn relay<S>(
        &self,
        connection: Connection,
        upgraded: impl Future<Output = Result<S, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let closing = self.inner.closing.clone();
        self.inner.tasks.spawn(async move {
            let Ok(stream) = upgraded.await else { return };
            if let Some(Err(error)) =
                closing.run_until_cancelled(remotedialer::join(connection, stream)).await
            {
                tracing::debug!(error = &error as &dyn std::error::Error, "a relayed connection failed");
            }
        });
    }

    /// Announces the sessions of this server and reads those of the others. Call it every two seconds.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn exchange(&self) -> Result<(), store::Error> {
        let inner = &self.inner;
        if !inner.secrets.has_address() {
            return Ok(());
        }
        let replica = inner.secrets.replica();
        let own_clusters = self.sessions().local_clusters();
        let announced = inner.lock_announced().clone();
        for cluster_id in announced.iter().filter(|cluster_id| !own_clusters.contains(cluster_id)) {
            store::agent_sessions::delete(&inner.store, cluster_id, replica).await?;
            inner.lock_announced().remove(cluster_id);
        }
        for cluster_id in own_clusters.into_iter().filter(|cluster_id| !announced.contains(cluster_id)) {
            store::agent_sessions::put(&inner.store, &cluster_id, replica).await?;
            inner.lock_announced().insert(cluster_id);
        }
        let since_ms = inner.clock.now_ms() - HEARTBEAT_TIMEOUT_MS;
        let mut addresses_by_cluster: HashMap<String, Vec<String>> = HashMap::new();
        for row in store::agent_sessions::list_others(&inner.store, replica, since_ms).await? {
            addresses_by_cluster.entry(row.cluster_id).or_default().push(row.address);
        }
        // These clusters have become reachable through another server, or no longer are.
        for cluster_id in self.sessions().set_servers(addresses_by_cluster) {
            inner.wake_worker(&cluster_id).await;
        }
        Ok(())
    }
}
