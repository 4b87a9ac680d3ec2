//! The measured server in a child process: the app that `serve` builds, with log, metrics and audit, and a sandbox in
//! another process. In the same process and with the same accept loop, bare routes only return the same bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use azure_sandbox::{Sandbox, Seed};
use bytes::Bytes;
use clock::Clock;
use futures_util::future::try_join_all;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use norman_aks::app::{self, App, Connectors};
use norman_aks::config::{Config, Flags};
use norman_aks::services::Actor;
use norman_aks::services::{AzureChange, Change, CredentialChange};
use norman_aks::store::Store;
use norman_aks::telemetry;
use norman_aks::telemetry::metrics::Metrics;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::beside;
use crate::client::{Response, call, request};
use crate::error::Result;
use crate::kubernetes::{self, Kubernetes};
use crate::process::{Process, wait_for_parent};
use crate::sandbox;

/// The first argument of the child process.
pub(crate) const ARGUMENT: &str = "the-server-itself";

/// The same interval as in `norman-aks serve`.
const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The two listings that are measured.
pub(crate) const SMALL: &str = "aksVersions";
pub(crate) const LARGE: &str = "aksVMSizesV2";

/// The two pages of VM sizes that are measured: names and queries.
pub(crate) const PAGES: [(&str, &str); 2] = [("small", "q=d4s_v5&count=3"), ("whole", "sort=-vcpus")];

/// Addresses, credentials and sizes, which the child reports to its parent.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) api: SocketAddr,
    pub(crate) bare: SocketAddr,
    /// The same server alongside Rancher.
    pub(crate) beside: SocketAddr,
    /// The Rancher of `beside`.
    pub(crate) rancher: SocketAddr,
    /// An administrator's token.
    pub(crate) token: String,
    /// The ID of a stored credential.
    pub(crate) credential: String,
    /// The lengths of the responses of [`SMALL`] and [`LARGE`].
    pub(crate) small: usize,
    pub(crate) large: usize,
    /// The lengths of the responses of [`PAGES`].
    pub(crate) pages: [usize; 2],
    /// The token of a member of the cluster, if there is one.
    pub(crate) member: Option<String>,
}

/// The running child process.
pub(crate) struct Server {
    pub(crate) ready: Ready,
    pub(crate) process: Process,
}

impl Server {
    /// Starts the server on a new data directory; if `kubernetes` is set, with a cluster that has this Kubernetes API.
    pub(crate) fn start(
        sandbox: &sandbox::Sandbox,
        kubernetes: Option<&Kubernetes>,
        directory: &Path,
    ) -> Result<Self> {
        let data_dir = tempfile::tempdir_in(directory)?.keep();
        let log = data_dir.join("server.log");
        let (azure, authority) = (sandbox.address.to_string(), sandbox.authority.display().to_string());
        let kubernetes = serde_json::to_string(&kubernetes.map(|kubernetes| &kubernetes.ready))?;
        let arguments = [ARGUMENT, &azure, &authority, &data_dir.display().to_string(), &kubernetes];
        let mut process = Process::start_self(&arguments, &log)?;
        let ready = serde_json::from_str(&process.read_line()?)?;
        Ok(Self { ready, process })
    }

    /// The path of a listing action with the stored credential.
    pub(crate) fn path_with_stored_credential(&self, action: &str) -> String {
        listing_path(action, &self.ready.credential)
    }

    /// The path of a page of VM sizes.
    pub(crate) fn page_path(&self, query: &str) -> String {
        page_path(query, &self.ready.credential)
    }

    /// Sends concurrent requests, one for each client secret; fails if a response is unexpected.
    pub(crate) async fn call_concurrently<'a>(
        &self,
        action: &str,
        secrets: impl IntoIterator<Item = &'a str>,
        is_expected: impl Fn(&Response) -> bool,
    ) -> Result<()> {
        let path = format!("/meta/{action}");
        let requests = secrets.into_iter().map(|secret| {
            request("POST", &path, Some(&self.ready.token), &sandbox::inline_credential_body(secret))
        });
        let calls = requests.map(|request| async move { call(self.ready.api, &request).await });
        let responses = try_join_all(calls).await?;
        match responses.iter().find(|response| !is_expected(response)) {
            Some(response) => Err(format!("status {}: {}", response.status, response.text()).into()),
            None => Ok(()),
        }
    }
}

pub(crate) fn listing_path(action: &str, credential: &str) -> String {
    format!("/meta/{action}?cloudCredentialId={credential}&region={}", Sandbox::seed().location)
}

fn page_path(query: &str, credential: &str) -> String {
    format!("/api/v1/vm-sizes?cloudCredentialId={credential}&region={}&{query}", Sandbox::seed().location)
}

/// Runs the child process until its parent exits.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [_, azure, authority, data_dir, kubernetes] = arguments else {
        return Err("only the benchmark starts the server".into());
    };
    let _log = telemetry::init(telemetry::Format::Text { ansi: false }, None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let kubernetes: Option<kubernetes::Ready> = serde_json::from_str(kubernetes)?;
    runtime.block_on(serve(azure.parse()?, authority, data_dir, kubernetes.as_ref()))?;
    runtime.shutdown_background();
    Ok(())
}

async fn serve(
    azure: SocketAddr,
    authority: &str,
    data_dir: &str,
    kubernetes: Option<&kubernetes::Ready>,
) -> Result<()> {
    let metrics = Metrics::install()?;
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(METRICS_UPKEEP_INTERVAL).await;
            metrics.run_upkeep();
        }
    });
    let (app, store) = build_app(azure, authority, data_dir, kubernetes).await?;
    let token = app.tokens.create("figures", Some(true), None, "").await?.to_bearer();
    let credential = store_credential(&app, &token).await?;
    let mut ready = Ready {
        api: SocketAddr::from(([127, 0, 0, 1], 0)),
        bare: SocketAddr::from(([127, 0, 0, 1], 0)),
        beside: SocketAddr::from(([127, 0, 0, 1], 0)),
        rancher: listen(beside::rancher()).await?,
        token: token.expose_secret().to_owned(),
        credential,
        small: 0,
        large: 0,
        pages: [0; 2],
        member: None,
    };
    let listing = |action: &str| listing_path(action, &ready.credential);
    let (small, large) = (
        response_body(&app, &ready, &listing(SMALL)).await?,
        response_body(&app, &ready, &listing(LARGE)).await?,
    );
    let mut routes =
        Router::new().route("/small", bare_route(small.clone())).route("/large", bare_route(large.clone()));
    for (index, (name, query)) in PAGES.into_iter().enumerate() {
        let page = response_body(&app, &ready, &page_path(query, &ready.credential)).await?;
        if let Some(length) = ready.pages.get_mut(index) {
            *length = page.len();
        }
        routes = routes.route(&format!("/page-{name}"), bare_route(page));
    }
    (ready.small, ready.large) = (small.len(), large.len());
    if let Some(kubernetes) = kubernetes {
        ready.member = Some(kubernetes.store_cluster_and_member(&app, &store).await?);
        routes = routes.merge(kubernetes.bare_proxy()?);
    }
    ready.beside = listen(beside::router(ready.rancher, azure_options(azure, authority)?)?).await?;
    ready.api = listen(app.router()).await?;
    ready.bare = listen(routes).await?;
    println!("{}", serde_json::to_string(&ready)?);
    wait_for_parent().await
}

async fn build_app(
    azure: SocketAddr,
    authority: &str,
    data_dir: &str,
    kubernetes: Option<&kubernetes::Ready>,
) -> Result<(App, Store)> {
    let settings = BTreeMap::from([("NORMAN_AKS_DATA_DIR".to_owned(), data_dir.to_owned())]);
    let (config, _) = Config::load(&Flags::new(), &settings, &|path: &Path| std::fs::read_to_string(path))?;
    let azure_options = azure_options(azure, authority)?;
    let store = app::open_store(&config).await?;
    let secrets = app::open_secrets(&config, &store, &azure_options.clock).await?;
    let clusters = kubernetes.map(kubernetes::Ready::cluster_access_options).unwrap_or_default();
    let app =
        App::build(&config, store.clone(), secrets, Connectors { azure: azure_options, clusters }).await?;
    Ok((app, store))
}

fn azure_options(azure: SocketAddr, authority: &str) -> Result<azure::Options> {
    Ok(azure::Options {
        clock: Clock::system(),
        resolve: Sandbox::hosts().iter().map(|host| ((*host).to_owned(), azure)).collect(),
        extra_roots_pem: Some(std::fs::read_to_string(authority)?),
        use_proxy: false,
        ..azure::Options::default()
    })
}

async fn store_credential(app: &App, token: &SecretString) -> Result<String> {
    let Seed { tenant_id, subscription_id, client_id, client_secret, .. } = Sandbox::seed();
    let caller = app.tokens.authenticate(token.expose_secret()).await?;
    let actor = Actor { caller, request_id: "".into(), remote: Some([127, 0, 0, 1].into()) };
    let set = |text: &str| Change::Set(text.to_owned());
    let azure = AzureChange {
        tenant_id: set(tenant_id),
        subscription_id: set(subscription_id),
        client_id: set(client_id),
        client_secret: Some(client_secret.into()),
        ..AzureChange::default()
    };
    let change = CredentialChange { name: set("figures"), azure: Some(azure), ..CredentialChange::default() };
    Ok(app.credentials.create(&actor, change).await?.id)
}

/// The body of the server's response, which a bare route returns too.
async fn response_body(app: &App, ready: &Ready, path: &str) -> Result<Bytes> {
    let http_request = Request::get(path)
        .header(AUTHORIZATION, format!("Bearer {}", ready.token))
        .extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 0))));
    let response = app.router().call(http_request.body(Body::empty())?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if status.is_success() { Ok(body) } else { Err(String::from_utf8_lossy(&body).into()) }
}

fn bare_route(body: Bytes) -> axum::routing::MethodRouter {
    get(move || async move { ([(CONTENT_TYPE, "application/json")], body) })
}

async fn listen(router: Router) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve::serve(listener, None, router, CancellationToken::new(), serve::Options::default()));
    Ok(address)
}
