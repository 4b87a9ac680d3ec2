//! Whether Azure can be reached from here: for `norman-aks check`.

use std::time::Duration;

use tokio::time::Instant;

use super::Error;
use crate::azure::{self, Azure, Cloud, Service};
use crate::config::Config;

/// A host that does not answer within this time is not reached.
const LIMIT: Duration = Duration::from_secs(10);

/// Whether a host of Azure answers, and how fast.
#[derive(Debug)]
pub struct Reach {
    /// The host's name.
    pub host: String,
    /// The time to its answer, whatever it says, or why none came.
    pub outcome: Result<Duration, azure::Error>,
}

/// Tries the login and Resource Manager hosts of the three clouds at once.
pub async fn check_reach(_: &Config) -> Result<Vec<Reach>, Error> {
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
            Reach { host: host.to_owned(), outcome: answered.map(|()| started.elapsed()) }
        }
    });
    Ok(futures_util::future::join_all(asked).await)
}
