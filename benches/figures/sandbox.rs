//! The sandbox in a separate process, and its control API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use azure_sandbox::Seed;
use serde_json::{Value, json};

use crate::client::{Response, call, request};
use crate::error::Result;
use crate::process::Process;

pub(crate) struct Sandbox {
    pub(crate) address: SocketAddr,
    pub(crate) authority: PathBuf,
    control: SocketAddr,
    _process: Process,
}

impl Sandbox {
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let flags = ["--sandbox-listen=127.0.0.1:0", "--sandbox-control-listen=127.0.0.1:0"];
        let mut process = Process::start_norman_aks("sandbox", directory, "sandbox", &flags)?;
        let address = process.word_after("listens on ")?.parse()?;
        let control = process.word_after("the control API: http://")?.parse()?;
        let authority = directory.join("sandbox/sandbox-ca.pem");
        Ok(Self { address, authority, control, _process: process })
    }

    /// Makes a secret valid for all applications.
    pub(crate) async fn accept_secret(&self, secret: &str) -> Result<()> {
        self.call_control("POST", "/logins", &json!({"secret": secret, "outcome": "token"}).to_string())
            .await?;
        Ok(())
    }

    /// The numbers of token requests and of other requests since the last call.
    pub(crate) async fn take_request_counts(&self) -> Result<(f64, f64)> {
        let requests: Vec<Value> =
            serde_json::from_slice(&self.call_control("GET", "/requests", "").await?.body)?;
        self.call_control("DELETE", "/requests", "").await?;
        let (mut tokens, mut others) = (0.0, 0.0);
        for request in requests {
            let is_token = request.get("operation").is_some_and(|operation| operation == "token");
            *if is_token { &mut tokens } else { &mut others } += 1.0;
        }
        Ok((tokens, others))
    }

    async fn call_control(&self, method: &str, path: &str, body: &str) -> Result<Response> {
        let response = call(self.control, &request(method, path, None, body)).await?;
        if (200..300).contains(&response.status) { Ok(response) } else { Err(response.text().into()) }
    }
}

/// The body of a listing action with an inline credential.
pub(crate) fn inline_credential_body(secret: &str) -> String {
    let Seed { tenant_id, subscription_id, client_id, location, .. } = azure_sandbox::Sandbox::seed();
    json!({
        "tenantId": tenant_id,
        "subscriptionId": subscription_id,
        "clientId": client_id,
        "clientSecret": secret,
        "region": location,
    })
    .to_string()
}
