//! Connectivity to Azure, for `norman-aks check`.

use std::collections::BTreeSet;
use std::time::Duration;

use azure::{Azure, Cloud, Service};
use tokio::time::Instant;

use super::error::Error;
use crate::store::{self, Store};

const HOST_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of a request to a host of Azure.
#[derive(Debug)]
pub struct HostCheck {
    /// The Azure environment of the host, for example `AzurePublicCloud`.
    pub environment: &'static str,
    pub host: String,
    /// The time until a response with any status.
    pub outcome: Result<Duration, azure::Error>,
}

/// The Azure environments of the stored credentials; the public cloud if no credential is stored.
pub async fn used_environments(store: &Store) -> Result<BTreeSet<&'static str>, Error> {
    let stored = store::credentials::list(store, None).await?;
    let mut used: BTreeSet<_> = stored
        .iter()
        .map(|row| Cloud::from_environment(row.environment.as_deref().unwrap_or_default()).environment())
        .collect();
    if used.is_empty() {
        used.insert(Cloud::Public.environment());
    }
    Ok(used)
}

/// Requests the login and Resource Manager hosts of the three clouds concurrently.
pub async fn check_hosts() -> Result<Vec<HostCheck>, Error> {
    let azure = Azure::new(azure::Options::default())?;
    let services = Cloud::ALL.into_iter().flat_map(|cloud| [(cloud, Service::Login), (cloud, Service::Arm)]);
    let checks = services.map(|(cloud, service)| {
        let azure = azure.clone();
        async move {
            let host = match service {
                Service::Login => cloud.login_host(),
                Service::Arm => cloud.arm_host(),
            };
            let started = Instant::now();
            let result = azure.reach(cloud, service, started + HOST_TIMEOUT).await;
            HostCheck {
                environment: cloud.environment(),
                host: host.to_owned(),
                outcome: result.map(|()| started.elapsed()),
            }
        }
    });
    Ok(futures_util::future::join_all(checks).await)
}
