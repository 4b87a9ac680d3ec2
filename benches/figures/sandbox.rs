//! The built-in Azure in a process of its own, and its control API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use azure_sandbox::Seed;
use serde_json::{Value, json};

use crate::Outcome;
use crate::client::{Answer, call, request};
use crate::process::{NORMAN_AKS, Process};

pub(crate) struct Sandbox {
    pub(crate) address: SocketAddr,
    pub(crate) authority: PathBuf,
    control: SocketAddr,
    _process: Process,
}

impl Sandbox {
    pub(crate) async fn start(folder: &Path) -> Outcome<Self> {
        let data = folder.join("sandbox");
        let arguments = [
            "sandbox",
            "--data-dir",
            &data.display().to_string(),
            "--sandbox-listen",
            "127.0.0.1:0",
            "--sandbox-control-listen",
            "127.0.0.1:0",
        ];
        let mut process = Process::start(Path::new(NORMAN_AKS), &arguments, &folder.join("sandbox.log"))?;
        let address = process.word_after("listens on ")?.parse()?;
        let control = process.word_after("the control API: http://")?.parse()?;
        let sandbox = Self { address, authority: data.join("sandbox-ca.pem"), control, _process: process };
        sandbox.forget_requests().await?;
        Ok(sandbox)
    }

    /// Lets a secret log in, with any application.
    pub(crate) async fn accept(&self, secret: &str) -> Outcome<()> {
        self.control("POST", "/logins", &json!({"secret": secret, "outcome": "token"}).to_string()).await?;
        Ok(())
    }

    /// How many requests came since the last look: for tokens, and for anything else.
    pub(crate) async fn requests(&self) -> Outcome<(f64, f64)> {
        let seen: Vec<Value> = serde_json::from_slice(&self.control("GET", "/requests", "").await?.body)?;
        self.forget_requests().await?;
        let (mut tokens, mut others) = (0.0, 0.0);
        for request in seen {
            *if request.get("operation").is_some_and(|it| it == "token") {
                &mut tokens
            } else {
                &mut others
            } += 1.0;
        }
        Ok((tokens, others))
    }

    async fn forget_requests(&self) -> Outcome<()> {
        self.control("DELETE", "/requests", "").await.map(drop)
    }

    async fn control(&self, method: &str, path: &str, body: &str) -> Outcome<Answer> {
        let answer = call(self.control, &request(method, path, None, body)).await?;
        if (200..300).contains(&answer.status) { Ok(answer) } else { Err(answer.text().into()) }
    }
}

/// The body of an action with a credential of its own, as somebody sends it who has not stored it.
pub(crate) fn credential(secret: &str) -> String {
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
