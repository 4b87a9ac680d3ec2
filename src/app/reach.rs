//! Whether Azure can be reached from here: for `norman-aks check`.

use std::time::Duration;

use super::Error;
use crate::azure::{self, Azure};
use crate::config::Config;

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
    let hosts = azure::Cloud::ALL.into_iter().flat_map(|cloud| [cloud.login_host(), cloud.arm_host()]);
    let asked = hosts.map(|host| {
        let azure = azure.clone();
        async move { Reach { host: host.to_owned(), outcome: azure.reach(host).await } }
    });
    Ok(futures_util::future::join_all(asked).await)
}
