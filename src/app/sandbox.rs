//! The built-in Azure beside the server: a token and a credential to try things with, the lines to paste, and the same
//! for scripts. Without the feature `sandbox`, `no_sandbox.rs` takes its place.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use azure_sandbox::{Options, Sandbox, Seed};
use clock::Clock;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::run::say;
use super::tls::{self, bind};
use super::{App, Error, Ways, files};
use crate::config::{self, Config};
use crate::service::actor::Actor;
use crate::service::credentials::{AzureChange, Change, CredentialChange};
use crate::service::kubeconfigs::OverTls;

const FOR_SCRIPTS: &str = "sandbox.json";

/// The running built-in Azure.
pub(super) struct BuiltIn(Sandbox);

impl BuiltIn {
    /// Starts it with what an earlier start left in the data folder.
    pub(super) async fn start(
        folder: &Path,
        settings: &config::Sandbox,
        clock: &Clock,
    ) -> Result<Self, Error> {
        let options = Options {
            listen: settings.listen,
            control_listen: settings.control_listen,
            clock: clock.clone(),
            state_dir: Some(folder.to_owned()),
            ..Options::default()
        };
        Ok(Self(Sandbox::start(options).await?))
    }

    /// How the client of Azure reaches it: the same names, other addresses, one more authority.
    pub(super) fn ways(&self, clock: Clock) -> Ways {
        let Self(sandbox) = self;
        let azure = azure::Options {
            clock,
            resolve: Sandbox::hosts().iter().map(|host| ((*host).to_owned(), sandbox.address())).collect(),
            extra_roots_pem: Some(sandbox.authority_pem().to_owned()),
            use_proxy: false,
            ..azure::Options::default()
        };
        let resolver = Some(sandbox.kubernetes_resolver());
        Ways { azure, clusters: cluster_access::Options { resolver, ..cluster_access::Options::default() } }
    }

    /// The TLS listener with a certificate of the sandbox's authority, on the port of the last start if that is still
    /// free: kubeconfigs lead there.
    pub(super) fn tls(&self, config: &Config) -> Result<Option<tls::Ready>, Error> {
        let Some(mut wanted) = config.sandbox.as_ref().and_then(|sandbox| sandbox.tls_listen) else {
            return Ok(None);
        };
        if !wanted.ip().is_loopback() && !wanted.ip().is_unspecified() {
            // The certificate is good for this machine's own names only.
            wanted.set_ip(if wanted.is_ipv4() { [127, 0, 0, 1].into() } else { IpAddr::V6(1.into()) });
        }
        let before = kept(config)?.and_then(|kept| kept.api_url_tls).as_deref().and_then(port_of);
        let again = before.filter(|_| wanted.port() == 0).map(|port| SocketAddr::new(wanted.ip(), port));
        let (listener, address) = match again.and_then(|again| bind(again).ok()) {
            Some(bound) => bound,
            None => bind(wanted)?,
        };
        let told = OverTls {
            host: Some(if address.is_ipv4() { "127.0.0.1" } else { "[::1]" }.to_owned()),
            port: address.port(),
            authority: self.0.authority_pem().to_owned(),
        };
        Ok(Some(tls::Ready { listener, config: self.0.loopback_tls()?, told, remedy: None }))
    }

    /// Makes the token and the credential, writes the file for scripts, and prints the lines to paste.
    pub(super) async fn furnish(
        &self,
        config: &Config,
        app: &App,
        address: SocketAddr,
        tls: Option<&tls::Ready>,
    ) -> Result<(), Error> {
        let file = config.data_dir.join(FOR_SCRIPTS);
        let (token, known) = match kept(config)? {
            Some(kept) => (Some(SecretString::from(kept.token_key)), Some(kept.credential_id)),
            None => (None, None),
        };
        let token = config.bootstrap_token.clone().or(token).unwrap_or_else(new_token);
        app.tokens.ensure_bootstrap(&token).await?;
        let seed = Sandbox::seed();
        let credential_id = credential(app, &token, known, &seed).await?;
        let api_url = config.server_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let for_scripts = ForScripts {
            api_url: &api_url,
            api_url_tls: tls.map(url),
            token_key: token.expose_secret(),
            credential_id: &credential_id,
            seed: &seed,
            ca_file: absolute(&Sandbox::authority_file(&config.data_dir)),
            control_url: self.0.control_address().map(|address| format!("http://{address}")),
        };
        let json = serde_json::to_string_pretty(&for_scripts).unwrap_or_default();
        files::write_private(&file, &(json + "\n"))?;
        say(&lines_to_paste(&for_scripts, &absolute(&file), &absolute(&config.data_dir)));
        Ok(())
    }

    /// What to say when it runs by itself.
    pub(super) fn instructions(&self, folder: &Path) -> String {
        self.0.instructions(folder)
    }

    /// Stops, after the requests that are being answered.
    pub(super) async fn stop(self) {
        self.0.stop().await;
    }
}

/// What scripts read.
#[derive(Serialize)]
struct ForScripts<'a> {
    api_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_url_tls: Option<String>,
    token_key: &'a str,
    credential_id: &'a str,
    #[serde(flatten)]
    seed: &'a Seed,
    ca_file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    control_url: Option<String>,
}

/// What is kept of it between two starts.
#[derive(Deserialize)]
struct Kept {
    token_key: String,
    credential_id: String,
    api_url_tls: Option<String>,
}

fn kept(config: &Config) -> Result<Option<Kept>, Error> {
    let text = files::read(&config.data_dir.join(FOR_SCRIPTS))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// The stored credential of the sandbox: the one of an earlier start, unless somebody removed it.
async fn credential(
    app: &App,
    token: &SecretString,
    known: Option<String>,
    seed: &Seed,
) -> Result<String, Error> {
    let caller = app.tokens.authenticate(token.expose_secret()).await?;
    if let Some(id) = known
        && app.credentials.get(&caller, &id).await.is_ok()
    {
        return Ok(id);
    }
    let by = Actor { caller, request_id: "".into(), remote: Some(IpAddr::from(Ipv4Addr::LOCALHOST)) };
    let set = |text: &str| Change::Set(text.to_owned());
    let azure = AzureChange {
        tenant_id: set(seed.tenant_id),
        subscription_id: set(seed.subscription_id),
        client_id: set(seed.client_id),
        environment: set("AzurePublicCloud"),
        client_secret: Some(seed.client_secret.into()),
    };
    let content = CredentialChange {
        name: set("sandbox"),
        description: set("The account of the built-in Azure that may read everything"),
        azure: Some(azure),
        ..CredentialChange::default()
    };
    Ok(app.credentials.create(&by, content).await?.id)
}

fn new_token() -> SecretString {
    let secret = aks::ids::token_secret(crate::vault::random());
    SecretString::from(format!("token-sandbox:{secret}"))
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn lines_to_paste(it: &ForScripts<'_>, file: &str, folder: &str) -> String {
    let ForScripts { api_url, token_key, credential_id, seed, .. } = it;
    let Seed { subscription_id, client_id, client_secret, location, .. } = seed;
    let mut text = format!(
        "norman-aks listens on {api_url} with a built-in Azure: no account, no network.\n\n\
         With the stored credential:\n\n  \
         curl -s -H 'Authorization: Bearer {token_key}' '{api_url}/meta/aksVersions?cloudCredentialId={credential_id}&region={location}'\n\n\
         With the credential in the body:\n\n  \
         curl -s -H 'Authorization: Bearer {token_key}' {api_url}/meta/aksLocations -d '{{\"subscriptionId\":\"{subscription_id}\",\"clientId\":\"{client_id}\",\"clientSecret\":\"{client_secret}\"}}'\n\n\
         Whether a credential is good (an empty answer with status 200):\n\n  \
         curl -si -H 'Authorization: Bearer {token_key}' {api_url}/meta/aksCheckCredentials -d '{{\"subscriptionId\":\"{subscription_id}\",\"clientId\":\"{client_id}\",\"clientSecret\":\"{client_secret}\"}}'\n\n\
         The API page:   {api_url}/docs/\n\
         For scripts:    {file}\n\
         The data:       {folder}\n"
    );
    // Writing to a string cannot fail.
    if let Some(url) = &it.api_url_tls {
        let _ = writeln!(text, "Over TLS:       {url} (trust {})", it.ca_file);
    }
    if let Some(control) = &it.control_url {
        let _ = writeln!(text, "Faults:         {control}/faults (POST makes Azure slow, throttle or fail)");
    }
    text
}

/// Where clients find the TLS listener.
fn url(tls: &tls::Ready) -> String {
    let address = match (&tls.told.host, tls.listener.local_addr()) {
        (None, Ok(address)) => address.to_string(),
        (host, _) => format!("{}:{}", host.as_deref().unwrap_or_default(), tls.told.port),
    };
    format!("https://{address}")
}

/// The port in an address of the form `https://host:port`.
fn port_of(url: &str) -> Option<u16> {
    url.rsplit_once(':')?.1.trim_end_matches('/').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::port_of;

    #[test]
    fn a_port_is_found_at_the_end_of_an_address() {
        for (url, port) in [
            ("https://127.0.0.1:8443", Some(8443)),
            ("https://[::1]:5/", Some(5)),
            ("https://a", None),
            ("", None),
        ] {
            assert_eq!(port_of(url), port, "{url}");
        }
    }
}
