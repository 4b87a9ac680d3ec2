//! Resource providers: reads them and registers them in a subscription.

use aks::arm::Provider;
use http::Method;
use reqwest::Url;

use crate::arm::Arm;
use crate::error::Error;
use crate::request::ArmRequest;
use crate::request_name::RequestName;
use crate::resource;

/// Gets the provider `namespace`, for example `Microsoft.ContainerService` (REST: Providers - Get).
pub async fn get(arm: &Arm, namespace: &str) -> Result<Provider, Error> {
    let url = url(arm, namespace, &[])?;
    Ok(resource::get(arm, RequestName::GetProvider, &url).await?.view)
}

/// Starts the registration of a provider, which takes minutes; poll with [`get`] (REST: Providers - Register). Idempotent.
pub async fn register(arm: &Arm, namespace: &str) -> Result<Provider, Error> {
    let url = url(arm, namespace, &["register"])?;
    let request = ArmRequest::write(RequestName::RegisterProvider, Method::POST, &url, None);
    let response = arm.send(&request).await?;
    Ok(resource::parse(Method::POST, &url, &response)?.view)
}

fn url(arm: &Arm, namespace: &str, suffix: &[&str]) -> Result<Url, Error> {
    let mut path = vec!["providers", namespace];
    path.extend_from_slice(suffix);
    arm.url(&path, &[("api-version", "2021-04-01")])
}
