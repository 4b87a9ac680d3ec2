//! Resource providers: whether a subscription may use a kind of resources, and asking for it.

use aks::arm::Provider;
use http::Method;
use reqwest::Url;

use crate::call::Ask;
use crate::{Arm, Error, one};

/// Whether the subscription may use the provider `namespace`, for example `Microsoft.ContainerService`.
pub async fn get(arm: &Arm, namespace: &str) -> Result<Provider, Error> {
    let url = address(arm, namespace, &[])?;
    let answer = arm.get("provider", &url).await?;
    Ok(one::read(Method::GET, &url, &answer.body)?.view)
}

/// Asks Azure to let the subscription use the provider; takes minutes, ask with [`get`] how far it is. Asking
/// twice does nothing more.
pub async fn register(arm: &Arm, namespace: &str) -> Result<Provider, Error> {
    let url = address(arm, namespace, &["register"])?;
    let answer = arm.send(&Ask::writing("provider register", Method::POST, &url, None)).await?;
    Ok(one::read(Method::POST, &url, &answer.body)?.view)
}

fn address(arm: &Arm, namespace: &str, last: &[&str]) -> Result<Url, Error> {
    let mut path = vec!["providers", namespace];
    path.extend_from_slice(last);
    arm.address(&path, &[("api-version", "2021-04-01")])
}
