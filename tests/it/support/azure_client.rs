//! Requests of a test to the sandbox's Azure, with Azure's host names.

use azure_sandbox::{Account, Sandbox};
use serde_json::Value;

/// A client that resolves Azure's host names to the sandbox.
pub(crate) fn builder(sandbox: &Sandbox) -> reqwest::ClientBuilder {
    let authority = reqwest::Certificate::from_pem(sandbox.authority_pem().as_bytes()).unwrap();
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([authority]);
    Sandbox::hosts().iter().fold(builder, |builder, host| builder.resolve(host, sandbox.address()))
}

/// A token of an account in Azure's public cloud.
pub(crate) async fn log_in(client: &reqwest::Client, account: &Account) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &*account.client_id),
        ("client_secret", &*account.secrets[0]),
        ("scope", "https://management.azure.com/.default"),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let url = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", account.tenant_id);
    let request = client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    let text = request.send().await.unwrap().text().await.unwrap();
    let response: Value = serde_json::from_str(&text).unwrap();
    response["access_token"].as_str().unwrap_or_else(|| panic!("{response}")).to_owned()
}
