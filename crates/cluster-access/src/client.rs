//! The client of one cluster: a connection pool with TLS verified by the authority from Azure, this server's identity on
//! every request, and the proxy of the environment.

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::client::legacy::{self, Client};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::ConfigExt as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use url::Url;

use crate::access::{Access, Identity};
use crate::connector::{BoxError, BoxFuture, Connector, TimeLimited, configure};
use crate::error::Error;
use crate::hosts;
use crate::kube_client::KubeClient;
use crate::options::Options;

/// The body of a request to a cluster.
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

type Channel = BoxCloneSyncService<Request<Body>, Response<Incoming>, legacy::Error>;

/// Limits of a cluster's idle connections.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
const MAX_IDLE_CONNECTIONS: usize = 16;

/// The size limit of responses that the server itself reads. A page of nodes has less than a tenth of it.
const MAX_RESPONSE_LEN: usize = 16 * 1024 * 1024;

/// What all clients share.
pub(super) struct Connectors {
    direct: Connector,
    /// The proxies of the environment; `None` if a resolver replaces DNS.
    proxies: Option<Matcher>,
    /// For DNS, connection and TLS together.
    connect_limit: Duration,
}

impl Connectors {
    pub(super) fn new(options: Options) -> Self {
        let proxies = options.resolver.is_none().then(Matcher::from_system);
        Self { direct: Connector::new(options.resolver), proxies, connect_limit: options.connect_limit }
    }
}

/// A cluster with an identity. Clones share the connections.
#[derive(Clone)]
pub(super) struct ClusterClient {
    host: String,
    authority: Authority,
    authorization: Option<HeaderValue>,
    channel: Channel,
}

impl ClusterClient {
    /// Sends nothing.
    pub(super) fn new(connectors: &Connectors, access: &Access) -> Result<Self, Error> {
        hosts::check(&access.endpoint).map_err(|why| Error::endpoint(&access.endpoint, why))?;
        let (host, authority) = authority(&access.endpoint)?;
        let base =
            Uri::builder().scheme(Scheme::HTTPS).authority(authority.clone()).path_and_query("/").build();
        let base = base.map_err(|_| Error::Endpoint { host: host.clone(), why: "it is no address" })?;
        let config = tls(&base, access)?;
        let authorization = match &access.identity {
            Identity::Token(token) => Some(bearer(token)?),
            Identity::Certificate { .. } => None,
        };
        let proxy = connectors.proxies.as_ref().and_then(|proxies| proxies.intercept(&base));
        let limit = connectors.connect_limit;
        let channel = match proxy {
            None => channel(&config, connectors.direct.clone(), limit)?,
            Some(proxy) => proxied(&config, &host, &proxy, limit)?,
        };
        Ok(Self { host, authority, authorization, channel })
    }

    /// The host of the cluster.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Sends a request whose URI has only path and query, with this client's identity, and waits for the head of the response.
    pub(super) async fn send_within(
        &self,
        limit: Duration,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let response = timeout(limit, self.send(request)).await;
        let response = response.map_err(|_| Error::TimedOut { host: self.host.clone(), after: limit })?;
        response.map_err(|error| Error::from_transport(&self.host, &error))
    }

    fn send(&self, mut request: Request<Body>) -> BoxFuture<Response<Incoming>, legacy::Error> {
        let path_and_query = request.uri().path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")));
        // Valid with all three parts.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        // Boxed, because the compiler loses the lifetimes of the body's error in an async function.
        Box::pin(self.channel.clone().oneshot(request))
    }

    /// A Kubernetes client on the same connections. Must be called in a tokio runtime.
    pub(super) fn kube(&self) -> KubeClient {
        let sender = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let sender = sender.clone();
            async move {
                let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
                let response = sender.send(request).await?;
                Ok::<_, legacy::Error>(response.map(|body| Limited::new(body, MAX_RESPONSE_LEN)))
            }
        });
        KubeClient { client: kube::Client::new(service, "default"), host: self.host.clone() }
    }
}

fn authority(endpoint: &Url) -> Result<(String, Authority), Error> {
    let host = endpoint.host_str().unwrap_or_default().to_owned();
    let text = match endpoint.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.clone(),
    };
    match text.parse() {
        Ok(authority) => Ok((host, authority)),
        Err(_) => Err(Error::Endpoint { host, why: "it is no address" }),
    }
}

fn bearer(token: &SecretString) -> Result<HeaderValue, Error> {
    let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
    let mut value = value.map_err(|_| Error::Material("the token"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// kube's TLS configuration: the authority, and the client certificate if there is one.
fn tls(base: &Uri, access: &Access) -> Result<kube::Config, Error> {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    // Fails if a provider is already installed.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let roots: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&access.ca).map(|found| found.map(|der| der.to_vec())).collect();
    let roots = roots.ok().filter(|roots| !roots.is_empty());
    let mut config = kube::Config::new(base.clone());
    config.root_cert = Some(roots.ok_or(Error::Material("the certificate authority"))?);
    if let Identity::Certificate { certificate, key } = &access.identity {
        config.auth_info.client_certificate_data = Some(BASE64_STANDARD.encode(certificate));
        config.auth_info.client_key_data = Some(BASE64_STANDARD.encode(key.expose_secret()).into());
    }
    Ok(config)
}

/// A connection pool with TLS over `connector`, and a time limit for connecting.
fn channel<C>(config: &kube::Config, connector: C, limit: Duration) -> Result<Channel, Error>
where
    C: tower::Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: hyper_util::client::legacy::connect::Connection
        + hyper::rt::Read
        + hyper::rt::Write
        + Send
        + Unpin
        + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let secure = config.rustls_https_connector_with_connector(connector);
    // kube's error could show the key.
    let secure =
        secure.map_err(|_| Error::Material("the certificate authority or the client certificate"))?;
    Ok(pooled(TimeLimited::new(secure, limit)))
}

fn pooled<C: Connect + Clone + Send + Sync + 'static>(connector: C) -> Channel {
    let client: Client<C, Body> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
        .build(connector);
    BoxCloneSyncService::new(client)
}

/// The same through a proxy of the environment. The proxy resolves the name, which was already checked.
fn proxied(config: &kube::Config, host: &str, proxy: &Intercept, limit: Duration) -> Result<Channel, Error> {
    let uri = proxy.uri();
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        let reason = "the proxy of the environment is neither http nor https".to_owned();
        return Err(Error::Unreachable { host: host.to_owned(), reason });
    }
    // For the proxy, the system's authorities are trusted.
    let to_proxy = kube::Config::new(uri.clone())
        .rustls_https_connector_with_connector(configure(HttpConnector::new()))
        .map_err(|_| Error::Material("the system's certificate authorities, for the proxy,"))?;
    let tunnel = Tunnel::new(uri.clone(), to_proxy);
    let tunnel = match proxy.basic_auth() {
        Some(authorization) => tunnel.with_auth(authorization.clone()),
        None => tunnel,
    };
    channel(config, tunnel, limit)
}
