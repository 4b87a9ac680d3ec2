//! A cache of clients, one for each endpoint. A client is replaced when the access changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use url::Url;

use crate::access::Access;
use crate::client::{ClusterClient, Connectors};
use crate::error::Error;
use crate::options::Options;

const MAX_CLIENTS: u64 = 256;

/// Clients that are unused for this long are dropped, with their secrets.
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);

pub(super) struct ClientPool {
    connectors: Connectors,
    clients: Cache<Url, Arc<(Access, ClusterClient)>>,
    /// Held while a client is created, so that concurrent requests share it.
    creating: Mutex<()>,
}

impl ClientPool {
    pub(super) fn new(options: Options) -> Self {
        let clients = Cache::builder()
            .max_capacity(MAX_CLIENTS)
            .time_to_idle(IDLE_TIMEOUT)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { connectors: Connectors::new(options), clients, creating: Mutex::default() }
    }

    /// The client for this access. Replaces the cached client of the endpoint if its access differs. One client is enough: a
    /// cluster has two identities only while a new one is being tried.
    pub(super) fn get(&self, access: &Access) -> Result<ClusterClient, Error> {
        if let Some(client) = self.cached_client(access) {
            return Ok(client);
        }
        let _creating = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = self.cached_client(access) {
            return Ok(client);
        }
        let client = ClusterClient::new(&self.connectors, access)?;
        self.clients.insert(access.endpoint.clone(), Arc::new((access.clone(), client.clone())));
        Ok(client)
    }

    fn cached_client(&self, access: &Access) -> Option<ClusterClient> {
        let entry = self.clients.get(&access.endpoint)?;
        let (client_access, client) = &*entry;
        client_access.is_same_as(access).then(|| client.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Identity;
    use crate::options::Resolver;

    fn pool() -> ClientPool {
        let resolver: Resolver = Arc::new(|_| None);
        ClientPool::new(Options { resolver: Some(resolver), ..Options::default() })
    }

    fn access(host: &str, ca: &str, token: &str) -> Access {
        Access {
            cluster_id: host.to_owned(),
            endpoint: format!("https://{host}.hcp.westeurope.azmk8s.io:443").parse().unwrap(),
            ca: ca.into(),
            identity: Identity::Token(token.into()),
        }
    }

    fn new_ca() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    }

    #[tokio::test]
    async fn changed_access_replaces_the_client() {
        let pool = pool();
        let (ca, other_ca) = (new_ca(), new_ca());
        let other_cluster = access("b", &ca, "t");
        pool.get(&other_cluster).unwrap();
        for current in [
            access("a", &ca, "t"),
            access("a", &ca, "t"),
            access("a", &ca, "other"),
            access("a", &other_ca, "other"),
            Access { cluster_id: "another object".to_owned(), ..access("a", &other_ca, "other") },
        ] {
            pool.get(&current).unwrap();
            assert!(pool.cached_client(&current).is_some());
        }
        assert!(pool.clients.contains_key(&other_cluster.endpoint));
        pool.clients.run_pending_tasks();
        assert_eq!(pool.clients.entry_count(), 2);
    }

    #[tokio::test]
    async fn pool_is_bounded_and_drops_idle_clients() {
        let policy = pool().clients.policy();
        assert_eq!((policy.max_capacity(), policy.time_to_idle()), (Some(MAX_CLIENTS), Some(IDLE_TIMEOUT)));
    }

    #[tokio::test]
    async fn invalid_credentials_are_named_but_not_printed() {
        let ca = new_ca();
        let identity = Identity::Certificate { certificate: b"canary".to_vec(), key: "canary".into() };
        for (access, expected) in [
            (access("a", "no PEM", "t"), "certificate authority"),
            (access("a", &ca, "canary\n"), "token"),
            (Access { identity, ..access("a", &ca, "t") }, "client certificate"),
        ] {
            let error = pool().get(&access).err().unwrap();
            let text = format!("{error} {error:?}");
            assert!(text.contains(expected) && !text.contains("canary"), "{text}");
        }
    }
}
