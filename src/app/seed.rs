//! What the built-in Azure needs around it: an authority that outlives a restart, a token and a credential to try
//! things with, the lines to paste, and the same for scripts.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::run::say;
use super::{App, Error, Ways, files, tls};
use crate::azure;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::shell;
use crate::downstream;
use crate::sandbox::{Options, Sandbox, Seed, StoredAuthority};
use crate::service::actor::Actor;
use crate::service::credentials::{AzureChange, Change, CredentialChange};

const AUTHORITY: &str = "sandbox-ca.pem";
const AUTHORITY_KEY: &str = "sandbox-ca.key";
const FOR_SCRIPTS: &str = "sandbox.json";

/// Starts the built-in Azure with the authority of the data folder.
pub(super) async fn start(
    folder: &Path,
    settings: &config::Sandbox,
    clock: &Clock,
) -> Result<Sandbox, Error> {
    let (certificate, key) = (folder.join(AUTHORITY), folder.join(AUTHORITY_KEY));
    let authority = match (files::read(&certificate)?, files::read(&key)?) {
        (Some(certificate), Some(key)) => Some(StoredAuthority { certificate, key: key.into() }),
        _ => None,
    };
    let options = Options {
        listen: settings.listen,
        control_listen: settings.control_listen,
        clock: clock.clone(),
        authority,
        state_dir: Some(folder.to_owned()),
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).await?;
    let authority = sandbox.authority();
    files::write_private(&key, authority.key.expose_secret())?;
    files::write_private(&certificate, &authority.certificate)?;
    Ok(sandbox)
}

/// How the client of Azure finds the built-in one: the same names, other addresses, one more authority.
pub(super) fn ways_to(sandbox: &Sandbox, clock: Clock) -> Ways {
    let azure = azure::Options {
        clock,
        resolve: Sandbox::hosts().iter().map(|host| ((*host).to_owned(), sandbox.address())).collect(),
        extra_roots_pem: Some(sandbox.authority_pem().to_owned()),
        use_proxy: false,
        ..azure::Options::default()
    };
    let resolver = Some(sandbox.kubernetes_resolver());
    Ways { azure, clusters: downstream::Options { resolver, ..downstream::Options::default() } }
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

/// The TLS listener with a certificate of the sandbox's authority, where it was at the last start: kubeconfigs lead there.
pub(super) fn tls(config: &Config, sandbox: &Sandbox) -> Result<Option<tls::Ready>, Error> {
    let before = kept(config)?.and_then(|kept| kept.api_url_tls);
    tls::of_sandbox(config, sandbox, before.as_deref().and_then(tls::port_of))
}

/// Makes the token and the credential, writes the file for scripts, and prints the lines to paste.
pub(super) async fn furnish(
    config: &Config,
    app: &App,
    sandbox: &Sandbox,
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
        api_url_tls: tls.map(super::tls::Ready::url),
        token_key: token.expose_secret(),
        credential_id: &credential_id,
        seed: &seed,
        ca_file: absolute(&config.data_dir.join(AUTHORITY)),
        control_url: sandbox.control_address().map(|address| format!("http://{address}")),
    };
    let json = serde_json::to_string_pretty(&for_scripts).unwrap_or_default();
    files::write_private(&file, &(json + "\n"))?;
    say(&lines_to_paste(&for_scripts, &absolute(&file), &absolute(&config.data_dir)));
    Ok(())
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
    let secret = crate::domain::ids::token_secret(crate::vault::random());
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

/// What to say when the built-in Azure runs by itself.
pub(super) fn alone(folder: &Path, sandbox: &Sandbox) -> String {
    let address = sandbox.address();
    let hosts = Sandbox::hosts();
    let mut text = format!(
        "the built-in Azure listens on {address} for these hosts, with TLS:\n  {}\ntrust {}; for example:\n\n  \
         curl --cacert {ca} --connect-to ::{address} 'https://management.azure.com/subscriptions/{}?api-version=2022-12-01' -i\n",
        hosts.join("\n  "),
        absolute(&folder.join(AUTHORITY)),
        Sandbox::seed().subscription_id,
        ca = shell::quoted(&absolute(&folder.join(AUTHORITY))),
    );
    if let Some(control) = sandbox.control_address() {
        let _ = writeln!(text, "\nthe control API: http://{control}/accounts, /faults, /requests");
    }
    text
}
