//! The client of one cluster: a connection pool with TLS verified by the certificate authority from Azure, this server's
//! identity on every request, and the proxy of the environment.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use http::header::AUTHORIZATION;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{Empty, Limited};
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
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use url::Url;

use crate::access::{Access, Identity};
use crate::agents::{AgentSession, AgentSessions};
use crate::connector::{BoxError, Connector, TimeLimited, configure_tcp};
use crate::error::Error;
use crate::hosts;
use crate::kube_client::KubeClient;
use crate::options::Options;
use crate::relay::BoxFuture;
use crate::replay::{ReplayableRequest, RequestBody};
use crate::routes::{Channel, OpenTunnel, Path, Route, Routes};

/// Limits of a cluster's idle connections.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
const MAX_IDLE_CONNECTIONS: usize = 16;

/// The time limit for opening a connection through an agent, and for probing a session. A request that is dropped unanswered
/// after this time marks its route as failed.
const TUNNEL_TIMEOUT: Duration = Duration::from_secs(8);

/// The delay after which a GET or HEAD request without body and upgrade is also sent through another tunnel.
const HEDGE_DELAY: Duration = Duration::from_secs(3);

/// The size limit of responses that the server itself reads. A page of nodes is less than a tenth of it.
const MAX_RESPONSE_LEN: usize = 16 * 1024 * 1024;

/// The settings and state that all clients share.
pub(super) struct Connectors {
    direct: Connector,
    /// The proxies of the environment; `None` if a resolver replaces DNS.
    proxies: Option<Matcher>,
    /// For DNS, connection and TLS together.
    connect_timeout: Duration,
    sessions: AgentSessions,
}

impl Connectors {
    pub(super) fn new(options: Options) -> Self {
        let proxies = options.resolver.is_none().then(Matcher::from_system);
        let Options { resolver, connect_timeout, sessions, .. } = options;
        Self { direct: Connector::new(resolver), proxies, connect_timeout, sessions }
    }
}

/// The client of a cluster with one identity. Clones share the connections.
#[derive(Clone)]
pub(super) struct ClusterClient {
    inner: Arc<Inner>,
}

struct Inner {
    host: String,
    authority: Authority,
    authorization: Option<HeaderValue>,
    routes: Routes,
}

impl ClusterClient {
    /// Creates a client without sending a request.
    pub(super) fn new(connectors: &Connectors, access: &Access) -> Result<Self, Error> {
        hosts::check_endpoint(&access.endpoint)
            .map_err(|reason| Error::endpoint(&access.endpoint, reason))?;
        let (host, authority) = host_and_authority(&access.endpoint)?;
        let base_uri =
            Uri::builder().scheme(Scheme::HTTPS).authority(authority.clone()).path_and_query("/").build();
        let base_uri = base_uri
            .map_err(|_| Error::Endpoint { host: host.clone(), reason: "it is not a valid address" })?;
        let config = kube_tls_config(&base_uri, access)?;
        let authorization = match &access.identity {
            Identity::Token(token) => Some(bearer_header(token)?),
            Identity::Certificate { .. } | Identity::Anonymous => None,
        };
        let proxy = connectors.proxies.as_ref().and_then(|proxies| proxies.intercept(&base_uri));
        let connect_timeout = connectors.connect_timeout;
        let direct = match proxy {
            None => secure_channel(&config, connectors.direct.clone(), connect_timeout)?,
            Some(proxy) => proxied_channel(&config, &host, &proxy, connect_timeout)?,
        };
        let open_tunnel: OpenTunnel = Box::new(move |connector| {
            secure_channel(&config, connector, TUNNEL_TIMEOUT.min(connect_timeout))
        });
        let sessions = connectors.sessions.clone();
        let routes = Routes::new(&access.cluster_id, authority.clone(), sessions, direct, open_tunnel);
        Ok(Self { inner: Arc::new(Inner { host, authority, authorization, routes }) })
    }

    /// The host of the cluster.
    pub(super) fn host(&self) -> &str {
        &self.inner.host
    }

    /// The path of the last successful request.
    pub(super) fn path(&self) -> Option<Path> {
        self.inner.routes.preferred_path()
    }

    /// Sends a request whose URI has only path and query, with this client's identity, and waits for the head of the response.
    /// `headers` replace those of the request.
    pub(super) async fn send_within(
        &self,
        limit: Duration,
        request: &ReplayableRequest,
        headers: &HeaderMap,
    ) -> Result<Response<Incoming>, Error> {
        let response = timeout(limit, self.send(request, headers)).await;
        let response =
            response.map_err(|_| Error::TimedOut { host: self.host().to_owned(), after: limit })?;
        response.map_err(|error| Error::from_transport(self.host(), &error))
    }

    /// Sends a request by the preferred route. If it fails, tries another route, unless the body cannot be repeated, or the
    /// request may have reached the cluster and is not a GET or HEAD without body and upgrade.
    async fn send(
        &self,
        request: &ReplayableRequest,
        headers: &HeaderMap,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let routes = &self.inner.routes;
        let route = routes.choose(|route| self.probe(route)).await;
        // If the caller gives up, the route is too slow, and the next request compares the routes again.
        let unanswered_request = UnansweredRequest { routes, route: Some(&route), started: Instant::now() };
        let first = self.send_on(&route, request, headers);
        let (outcome, second_was_faster) = match routes.alternative_tunnel(&route) {
            Some(other_tunnel) if !route.is_direct() && request.may_be_sent_twice() => {
                hedge(first, || self.send_on(&other_tunnel, request, headers)).await
            }
            _ => (first.await, false),
        };
        unanswered_request.disarm();
        let error = match outcome {
            Ok(response) => {
                if second_was_faster {
                    route.record_overtaken();
                }
                routes.record_success(&route);
                return Ok(response);
            }
            Err(error) => error,
        };
        if is_client_failure(&error) {
            return Err(error);
        }
        routes.record_failure(&route);
        let may_repeat = request.can_repeat() && (error.is_connect() || request.may_be_sent_twice());
        let Some(other_route) = routes.alternative(&route).filter(|_| may_repeat) else { return Err(error) };
        match self.send_on(&other_route, request, headers).await {
            Ok(response) => {
                routes.record_success(&other_route);
                Ok(response)
            }
            // A cluster with an agent often has no direct route: the error of the tunnel is more helpful.
            Err(_) if other_route.is_direct() => Err(error),
            Err(error) => Err(error),
        }
    }

    /// Whether the cluster's API responds by this route, with any status: the TLS handshake has proved that it is the right
    /// cluster.
    pub(super) async fn probe(&self, route: Route) -> bool {
        let request = ReplayableRequest::new(Request::get("/version").body(Empty::new()).unwrap_or_default());
        self.send_on(&route, &request, &HeaderMap::new()).await.is_ok()
    }

    /// Whether the cluster's API responds through a session.
    pub(super) async fn probe_session(&self, session: &Arc<AgentSession>) -> bool {
        match self.inner.routes.route_through(session) {
            Some(route) => timeout(TUNNEL_TIMEOUT, self.probe(route)).await.unwrap_or(false),
            None => false,
        }
    }

    fn send_on(
        &self,
        route: &Route,
        request: &ReplayableRequest,
        headers: &HeaderMap,
    ) -> BoxFuture<Response<Incoming>, legacy::Error> {
        let mut request = request.new_attempt();
        request.headers_mut().clone_from(headers);
        let path_and_query = request.uri().path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.inner.authority.clone());
        parts.path_and_query = Some(path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")));
        // Does not fail, because all three parts are set.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        if let Some(authorization) = &self.inner.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        // Boxed, because the compiler loses the lifetimes of the body's error in an async function.
        Box::pin(route.channel.clone().oneshot(request))
    }

    /// A Kubernetes client on the same connections. Must be called in a tokio runtime.
    pub(super) fn kube(&self) -> KubeClient {
        let sender = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let sender = sender.clone();
            async move {
                let headers = request.headers().clone();
                let request = ReplayableRequest::new(request);
                let response = sender.send(&request, &headers).await?;
                Ok::<_, legacy::Error>(response.map(|body| Limited::new(body, MAX_RESPONSE_LEN)))
            }
        });
        KubeClient { client: kube::Client::new(service, "default"), host: self.host().to_owned() }
    }
}

/// Marks a route as failed if the request is dropped without a response after [`TUNNEL_TIMEOUT`].
struct UnansweredRequest<'a> {
    routes: &'a Routes,
    route: Option<&'a Route>,
    started: Instant,
}

impl UnansweredRequest<'_> {
    fn disarm(mut self) {
        self.route = None;
    }
}

impl Drop for UnansweredRequest<'_> {
    fn drop(&mut self) {
        if let Some(route) = self.route.filter(|_| self.started.elapsed() >= TUNNEL_TIMEOUT) {
            self.routes.record_failure(route);
        }
    }
}

/// Whether a request failed because of its client: its body was aborted or is too large.
fn is_client_failure(error: &legacy::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Runs `first`, and also `second` if `first` is slow. Returns the earlier success, and whether it is that of `second`.
async fn hedge<T, E, S>(
    mut first: impl Future<Output = Result<T, E>> + Unpin,
    second: impl FnOnce() -> S,
) -> (Result<T, E>, bool)
where
    S: Future<Output = Result<T, E>> + Unpin,
{
    // Return an early failure immediately: the caller decides whether and where to retry.
    if let Ok(outcome) = timeout(HEDGE_DELAY, &mut first).await {
        return (outcome, false);
    }
    match select(first, second()).await {
        Either::Left((Ok(value), _)) => (Ok(value), false),
        Either::Right((Ok(value), _)) => (Ok(value), true),
        Either::Left((Err(error), second)) => match second.await {
            Ok(value) => (Ok(value), true),
            Err(_) => (Err(error), false),
        },
        Either::Right((Err(_), first)) => (first.await, false),
    }
}

fn host_and_authority(endpoint: &Url) -> Result<(String, Authority), Error> {
    let host = endpoint.host_str().unwrap_or_default().to_owned();
    let authority = match endpoint.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.clone(),
    };
    match authority.parse() {
        Ok(authority) => Ok((host, authority)),
        Err(_) => Err(Error::Endpoint { host, reason: "it is not a valid address" }),
    }
}

fn bearer_header(token: &SecretString) -> Result<HeaderValue, Error> {
    let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
    let mut value =
        value.map_err(|_| Error::InvalidInput("the token of the cluster contains invalid characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// kube's configuration of TLS: the certificate authority, and the client certificate if there is one.
fn kube_tls_config(base_uri: &Uri, access: &Access) -> Result<kube::Config, Error> {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    // Fails if a provider is already installed.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let roots: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&access.ca).map(|root| root.map(|der| der.to_vec())).collect();
    let roots = roots.ok().filter(|roots| !roots.is_empty());
    let mut config = kube::Config::new(base_uri.clone());
    config.root_cert = Some(roots.ok_or(Error::InvalidInput(
        "the certificate authority of the cluster contains no valid PEM certificate",
    ))?);
    if let Identity::Certificate { certificate, key } = &access.identity {
        config.auth_info.client_certificate_data = Some(BASE64_STANDARD.encode(certificate));
        config.auth_info.client_key_data = Some(BASE64_STANDARD.encode(key.expose_secret()).into());
    }
    Ok(config)
}

/// A connection pool with TLS over `connector`, and a time limit for connecting.
fn secure_channel<C>(config: &kube::Config, connector: C, connect_timeout: Duration) -> Result<Channel, Error>
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
    let secure_connector = config.rustls_https_connector_with_connector(connector);
    // kube's error could show the key.
    let secure_connector = secure_connector.map_err(|_| {
        Error::InvalidInput("the certificate authority or the client certificate of the cluster is invalid")
    })?;
    Ok(pooled_channel(TimeLimited::new(secure_connector, connect_timeout)))
}

fn pooled_channel<C: Connect + Clone + Send + Sync + 'static>(connector: C) -> Channel {
    let client: Client<C, RequestBody> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
        .build(connector);
    BoxCloneSyncService::new(client)
}

/// A channel through a proxy of the environment. The proxy resolves the host name, which [`ClusterClient::new`] has checked.
fn proxied_channel(
    config: &kube::Config,
    host: &str,
    proxy: &Intercept,
    connect_timeout: Duration,
) -> Result<Channel, Error> {
    let uri = proxy.uri();
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        let reason = "the proxy of the environment is neither http nor https".to_owned();
        return Err(Error::Unreachable { host: host.to_owned(), reason });
    }
    // The proxy is verified with the system's certificate authorities.
    let proxy_connector = kube::Config::new(uri.clone())
        .rustls_https_connector_with_connector(configure_tcp(HttpConnector::new()))
        .map_err(|_| {
            Error::InvalidInput("cannot use the system's certificate authorities, which verify the proxy")
        })?;
    let proxy_tunnel = Tunnel::new(uri.clone(), proxy_connector);
    let proxy_tunnel = match proxy.basic_auth() {
        Some(authorization) => proxy_tunnel.with_auth(authorization.clone()),
        None => proxy_tunnel,
    };
    secure_channel(config, proxy_tunnel, connect_timeout)
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, pending, ready};

    use super::*;

    type Attempt = BoxFuture<u8, u8>;

    fn never() -> Attempt {
        Box::pin(pending())
    }

    fn after(seconds: u64, outcome: Result<u8, u8>) -> Attempt {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            outcome
        })
    }

    #[tokio::test(start_paused = true)]
    async fn early_failure_is_returned_without_a_second_attempt() {
        let started = Instant::now();
        let second = || -> Ready<Result<u8, u8>> { panic!("it must not start") };
        assert_eq!(hedge(ready(Err(1)), second).await, (Err(1), false));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn second_attempt_starts_if_the_first_is_slow() {
        assert_eq!(hedge(never(), || after(1, Ok(2))).await, (Ok(2), true));
        assert_eq!(hedge(after(5, Err(1)), || after(3, Ok(2))).await, (Ok(2), true));
        assert_eq!(hedge(after(4, Ok(1)), || after(3, Ok(2))).await, (Ok(1), false));
        assert_eq!(hedge(after(5, Ok(1)), || after(1, Err(2))).await, (Ok(1), false));
        assert_eq!(hedge(after(4, Err(1)), || after(3, Err(2))).await, (Err(1), false));
    }
}
