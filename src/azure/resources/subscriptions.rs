//! `Microsoft.Resources/subscriptions`.

use crate::azure::{Arm, Error};

/// Whether the credential can read its subscription (api-version 2016-06-01).
pub async fn get(_arm: &Arm) -> Result<(), Error> {
    unimplemented!("comes with the calls")
}
