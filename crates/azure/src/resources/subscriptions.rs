//! `Microsoft.Resources/subscriptions`.

use aks::arm::Subscription;

use crate::arm::Arm;
use crate::error::Error;
use crate::request_name::RequestName;
use crate::resource;

/// Gets the subscription of the credential (REST: Subscriptions - Get). The role Reader is sufficient. A success that is not a
/// JSON object is an error: it comes from a proxy or portal.
pub async fn get(arm: &Arm) -> Result<Subscription, Error> {
    let url = arm.url(&[], &[("api-version", "2016-06-01")])?;
    Ok(resource::get(arm, RequestName::GetSubscription, &url).await?.view)
}
