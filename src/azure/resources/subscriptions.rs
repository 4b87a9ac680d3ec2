//! `Microsoft.Resources/subscriptions`.

use http::Method;

use crate::azure::operation::object;
use crate::azure::{Arm, Error, one};

/// Whether the credential can read its subscription. Needs no more than the role Reader. A success that is not a JSON
/// object proves nothing: it comes from a proxy or a portal in between.
pub async fn get(arm: &Arm) -> Result<(), Error> {
    let url = arm.address(&[], &[("api-version", "2016-06-01")])?;
    let response = arm.get("subscription", &url).await?;
    object(&response.body).map(drop).ok_or_else(|| one::missing(Method::GET, &url, "JSON object"))
}
