//! Whether Azure can be reached from here: for `norman-aks check`.

use std::collections::BTreeSet;
use std::time::Duration;

use azure::{Azure, Cloud, Service};
use tokio::time::Instant;

use super::Error;
use crate::store::{self, Store};

/// A host that does not answer within this time is not reached.
const LIMIT: Duration = Duration::from_secs(10);

/// Whether a host of Azure answers, and how fast.
#[derive(Debug)]
pub struct Reach {
    /// The environment that it belongs to, for example `AzurePublicCloud`.
    pub environment: &'static str,
    /// The host's name.
    pub host: String,
    /// The time to its answer, whatever it says, or why none came.
    pub outcome: Result<Duration, azure::Error>,
}

/// The environments that stored credentials are for; the public one when there are none.
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

/// Tries the login and Resource Manager hosts of the three clouds at once.
pub async fn check_reach() -> Result<Vec<Reach>, Error> {
    let azure = Azure::new(azure::Options::default())?;
    let services = Cloud::ALL.into_iter().flat_map(|cloud| [(cloud, Service::Login), (cloud, Service::Arm)]);
    let asked = services.map(|(cloud, service)| {
        let azure = azure.clone();
        async move {
            let host = match service {
                Service::Login => cloud.login_host(),
                Service::Arm => cloud.arm_host(),
            };
            let started = Instant::now();
            let answered = azure.reach(cloud, service, started + LIMIT).await;
            Reach {
                environment: cloud.environment(),
                host: host.to_owned(),
                outcome: answered.map(|()| started.elapsed()),
            }
        }
    });
    Ok(futures_util::future::join_all(asked).await)
}
