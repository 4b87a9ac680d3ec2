//! `Microsoft.Resources/subscriptions`.

use aks::arm::Subscription;
use http::Method;

use crate::{Arm, Error, one};

/// The subscription of the credential. Needs no more than the role Reader. A success that is not a JSON object is an error:
/// it comes from a proxy or a portal in between.
pub async fn get(arm: &Arm) -> Result<Subscription, Error> {
    let url = arm.address(&[], &[("api-version", "2016-06-01")])?;
    let response = arm.get("subscription", &url).await?;
    Ok(one::read(Method::GET, &url, &response.body)?.view)
}
