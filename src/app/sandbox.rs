//! The simulated Azure of `serve --sandbox`: its token and credential, the example commands, and the file for scripts.
//! `no_sandbox.rs` replaces it in a build without the feature `sandbox`.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use azure_sandbox::{Options, Sandbox, Seed};
use clock::Clock;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::built_in_agent;
use super::error::Error;
use super::files;
use super::output::print_line;
use super::server::{App, Connectors};
use super::tls::{TlsListener, bind};
use crate::config::Config;
use crate::service::actor::Actor;
use crate::service::credentials::{AzureChange, Change, CredentialChange};
use crate::service::public_address::HttpsEndpoint;

/// The name of the file for scripts.
const SCRIPT_FILE: &str = "sandbox.json";

/// The running sandbox.
pub(super) struct RunningSandbox(Sandbox);

impl RunningSandbox {
    /// Starts the sandbox with its state in the data directory; `None` without `--sandbox`.
    pub(super) async fn start(config: &Config, clock: &Clock) -> Result<Option<Self>, Error> {
        let Some(settings) = &config.sandbox else { return Ok(None) };
        let options = Options {
            listen: settings.listen,
            control_listen: settings.control_listen,
            clock: clock.clone(),
            state_dir: Some(config.data_dir.clone()),
            images: vec![built_in_agent::image()],
            ..Options::default()
        };
        Ok(Some(Self(Sandbox::start(options).await?)))
    }

    /// Connectors that resolve Azure's host names to the sandbox, and trust its authority.
    pub(super) fn connectors(&self, clock: Clock) -> Connectors {
        let Self(sandbox) = self;
        let azure = azure::Options {
            clock,
            resolve: Sandbox::hosts().iter().map(|host| ((*host).to_owned(), sandbox.address())).collect(),
            extra_roots_pem: Some(sandbox.authority_pem().to_owned()),
            use_proxy: false,
            ..azure::Options::default()
        };
        let resolver = Some(sandbox.kubernetes_resolver());
        Connectors {
            azure,
            clusters: cluster_access::Options { resolver, ..cluster_access::Options::default() },
        }
    }

    /// Binds a TLS listener with a certificate of the sandbox's authority. If the settings leave the port open, reuses the
    /// port of the last start if it is still free, because kubeconfigs contain it.
    pub(super) fn tls_listener(&self, config: &Config) -> Result<Option<TlsListener>, Error> {
        let Some(mut address) = config.sandbox.as_ref().and_then(|sandbox| sandbox.tls_listen) else {
            return Ok(None);
        };
        if !address.ip().is_loopback() && !address.ip().is_unspecified() {
            // The certificate is valid for loopback only.
            address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { IpAddr::V6(1.into()) });
        }
        let last_port =
            SavedState::read(config)?.and_then(|saved| saved.api_url_tls).as_deref().and_then(parse_port);
        let last_port = last_port.filter(|_| address.port() == 0);
        let rebound = last_port.and_then(|port| bind(SocketAddr::new(address.ip(), port)).ok());
        let (listener, address) = match rebound {
            Some(bound) => bound,
            None => bind(address)?,
        };
        let advertised = HttpsEndpoint {
            host: Some(if address.is_ipv4() { "127.0.0.1" } else { "[::1]" }.to_owned()),
            port: address.port(),
            authority: self.0.authority_pem().to_owned(),
        };
        Ok(Some(TlsListener {
            listener,
            config: self.0.loopback_tls()?,
            advertised,
            missing_authority_warning: None,
        }))
    }

    /// Stores the token and the credential, writes the file for scripts, and prints the example commands.
    pub(super) async fn seed_and_announce(
        &self,
        config: &Config,
        app: &App,
        address: SocketAddr,
        tls: Option<&TlsListener>,
    ) -> Result<(), Error> {
        let path = config.data_dir.join(SCRIPT_FILE);
        let (saved_token, saved_id) =
            SavedState::read(config)?.map(|saved| (saved.token_key.into(), saved.credential_id)).unzip();
        let token = config.bootstrap_token.clone().or(saved_token).unwrap_or_else(new_token);
        app.tokens.ensure_bootstrap(&token).await?;
        let seed = Sandbox::seed();
        let credential_id = ensure_credential(app, &token, saved_id, &seed).await?;
        let api_url = config.server_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let script_file = ScriptFile {
            api_url: &api_url,
            api_url_tls: tls.map(tls_url),
            token_key: token.expose_secret(),
            credential_id: &credential_id,
            seed: &seed,
            ca_file: absolute_path(&Sandbox::authority_file(&config.data_dir)),
            control_url: self.0.control_address().map(|address| format!("http://{address}")),
        };
        let json = serde_json::to_string_pretty(&script_file).unwrap_or_default();
        files::write_private(&path, &(json + "\n"))?;
        print_line(&example_commands(&script_file, &absolute_path(&path), &absolute_path(&config.data_dir)));
        Ok(())
    }

    /// The instructions for using the sandbox without the server.
    pub(super) fn instructions(&self, config: &Config) -> String {
        self.0.instructions(&config.data_dir)
    }

    /// Instructions for creating the cloud credential in the Rancher that this server runs beside.
    #[expect(clippy::unused_self, reason = "the credential is that of a running sandbox")]
    pub(super) fn credential_instructions(&self) -> String {
        let Seed { tenant_id, subscription_id, client_id, client_secret, .. } = Sandbox::seed();
        format!(
            "create this Azure cloud credential in Rancher, which the sandbox accepts:\n  tenantId {tenant_id}\n  \
             subscriptionId {subscription_id}\n  clientId {client_id}\n  clientSecret {client_secret}\n"
        )
    }

    /// Stops after the requests in flight have finished.
    pub(super) async fn stop(self) {
        self.0.stop().await;
    }
}

/// The content of the file for scripts.
#[derive(Serialize)]
struct ScriptFile<'a> {
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

/// The part of the file for scripts that is used again at the next start.
#[derive(Deserialize)]
struct SavedState {
    token_key: String,
    credential_id: String,
    api_url_tls: Option<String>,
}

impl SavedState {
    fn read(config: &Config) -> Result<Option<Self>, Error> {
        let text = files::read(&config.data_dir.join(SCRIPT_FILE))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }
}

/// Returns the ID of the stored credential, and creates the credential if it does not exist.
async fn ensure_credential(
    app: &App,
    token: &SecretString,
    saved_id: Option<String>,
    seed: &Seed,
) -> Result<String, Error> {
    let caller = app.tokens.authenticate(token.expose_secret()).await?;
    if let Some(id) = saved_id
        && app.credentials.get(&caller, &id).await.is_ok()
    {
        return Ok(id);
    }
    let actor = Actor { caller, request_id: "".into(), remote: Some(IpAddr::from(Ipv4Addr::LOCALHOST)) };
    let set = |text: &str| Change::Set(text.to_owned());
    let azure = AzureChange {
        tenant_id: set(seed.tenant_id),
        subscription_id: set(seed.subscription_id),
        client_id: set(seed.client_id),
        environment: set("AzurePublicCloud"),
        client_secret: Some(seed.client_secret.into()),
    };
    let change = CredentialChange {
        name: set("sandbox"),
        description: set("The service principal of the simulated Azure that may read everything"),
        azure: Some(azure),
        ..CredentialChange::default()
    };
    Ok(app.credentials.create(&actor, change).await?.id)
}

fn new_token() -> SecretString {
    let secret = aks::ids::token_secret(crate::vault::random());
    SecretString::from(format!("token-sandbox:{secret}"))
}

fn absolute_path(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// The text that is printed at the start: example commands, URLs and paths.
fn example_commands(script_file: &ScriptFile<'_>, path: &str, directory: &str) -> String {
    let ScriptFile { api_url, token_key, credential_id, seed, .. } = script_file;
    let Seed { subscription_id, client_id, client_secret, location, .. } = seed;
    let mut text = format!(
        "norman-aks listens on {api_url} with a simulated Azure: no subscription, no network.\n\n\
         With the stored credential:\n\n  \
         curl -s -H 'Authorization: Bearer {token_key}' '{api_url}/meta/aksVersions?cloudCredentialId={credential_id}&region={location}'\n\n\
         With the credential in the body:\n\n  \
         curl -s -H 'Authorization: Bearer {token_key}' {api_url}/meta/aksLocations -d '{{\"subscriptionId\":\"{subscription_id}\",\"clientId\":\"{client_id}\",\"clientSecret\":\"{client_secret}\"}}'\n\n\
         Check a credential (an empty response with status 200 if it is valid):\n\n  \
         curl -si -H 'Authorization: Bearer {token_key}' {api_url}/meta/aksCheckCredentials -d '{{\"subscriptionId\":\"{subscription_id}\",\"clientId\":\"{client_id}\",\"clientSecret\":\"{client_secret}\"}}'\n\n\
         The API page:   {api_url}/docs/\n\
         For scripts:    {path}\n\
         Data directory: {directory}\n"
    );
    if let Some(url) = &script_file.api_url_tls {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "HTTPS:          {url} (trust {})", script_file.ca_file);
    }
    if let Some(control) = &script_file.control_url {
        let _ =
            writeln!(text, "Faults:         {control}/faults (POST makes Azure slow, throttled or failing)");
    }
    text
}

/// The URL of the TLS listener.
fn tls_url(tls: &TlsListener) -> String {
    let address = match (&tls.advertised.host, tls.listener.local_addr()) {
        (None, Ok(address)) => address.to_string(),
        (host, _) => format!("{}:{}", host.as_deref().unwrap_or_default(), tls.advertised.port),
    };
    format!("https://{address}")
}

/// The port of a URL `https://host:port`.
fn parse_port(url: &str) -> Option<u16> {
    url.rsplit_once(':')?.1.trim_end_matches('/').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_port;

    #[test]
    fn port_is_read_from_url() {
        for (url, expected) in [
            ("https://127.0.0.1:8443", Some(8443)),
            ("https://[::1]:5/", Some(5)),
            ("https://a", None),
            ("", None),
        ] {
            assert_eq!(parse_port(url), expected, "{url}");
        }
    }
}
