//! `Microsoft.Resources/subscriptions`.

use crate::azure::{Arm, Error};

/// Whether the credential can read its subscription. Needs no more than the role Reader.
pub async fn get(arm: &Arm) -> Result<(), Error> {
    let url = arm.address(&[], &[("api-version", "2016-06-01")])?;
    arm.get("subscription", &url).await.map(drop)
}
