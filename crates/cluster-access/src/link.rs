//! The connection pool of one cluster for one identity: TLS towards the authority that Azure named, our own identity on
//! every request, the proxy of the environment where there is one.

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
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use url::Url;

use super::dial::{Dial, InTime, Later, Trouble, plain};
use super::error::Error;
use super::{Access, Identity, hosts};

/// The body of a request on its way into a cluster.
pub(super) type Body = UnsyncBoxBody<Bytes, Trouble>;

type Channel = BoxCloneSyncService<Request<Body>, Response<Incoming>, legacy::Error>;

/// How long a connection that nobody uses is kept, and how many of a cluster.
const IDLE: Duration = Duration::from_mins(1);
const IDLE_CONNECTIONS: usize = 16;

/// The most that is read of an answer that is read here: a page of nodes has less than a tenth of it.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// What all links have in common.
pub(super) struct Dialler {
    pub(super) dial: Dial,
    /// The proxies of the environment; none where a resolver stands in for DNS.
    pub(super) proxies: Option<Matcher>,
    /// For name, connection and TLS together.
    pub(super) connect_limit: Duration,
}

/// A cluster, and who we are there. Clones share the connections.
#[derive(Clone)]
pub(super) struct Link {
    host: String,
    authority: Authority,
    authorization: Option<HeaderValue>,
    channel: Channel,
}

impl Link {
    /// Makes ready; sends nothing.
    pub(super) fn open(dialler: &Dialler, access: &Access) -> Result<Self, Error> {
        hosts::check(&access.endpoint)?;
        let (host, authority) = authority(&access.endpoint)?;
        let base =
            Uri::builder().scheme(Scheme::HTTPS).authority(authority.clone()).path_and_query("/").build();
        let base = base.map_err(|_| Error::Endpoint { host: host.clone(), why: "it is no address" })?;
        let config = tls(&base, access)?;
        let authorization = match &access.identity {
            Identity::Token(token) => Some(bearer(token)?),
            Identity::Certificate { .. } => None,
        };
        let proxy = dialler.proxies.as_ref().and_then(|proxies| proxies.intercept(&base));
        let limit = dialler.connect_limit;
        let channel = match proxy {
            None => channel(&config, dialler.dial.clone(), limit)?,
            Some(proxy) => proxied(&config, &host, &proxy, limit)?,
        };
        Ok(Self { host, authority, authorization, channel })
    }

    /// The cluster's host, for people.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Sends a request whose address has only path and query, as whom the link was opened for.
    pub(super) fn send(&self, mut request: Request<Body>) -> Later<Response<Incoming>, legacy::Error> {
        let asked = request.uri().path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(asked.unwrap_or_else(|| PathAndQuery::from_static("/")));
        // With all three parts it always is one.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        // In a box, because the compiler loses the lifetimes of the body's error in an async function.
        Box::pin(self.channel.clone().oneshot(request))
    }

    /// The same as a client of kube. To be called inside a tokio runtime.
    pub(super) fn kube(&self) -> kube::Client {
        let link = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let link = link.clone();
            async move {
                let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
                let response = link.send(request).await?;
                Ok::<_, legacy::Error>(response.map(|body| Limited::new(body, ANSWER_LIMIT)))
            }
        });
        kube::Client::new(service, "default")
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

/// What kube needs to know to make TLS: the authority, and a client certificate where we have one.
fn tls(base: &Uri, access: &Access) -> Result<kube::Config, Error> {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    // Fails when there is one already, which is as good.
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

/// TLS over `connector`, all of it in time, with a pool.
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
    C::Error: Into<Trouble>,
{
    let secure = config.rustls_https_connector_with_connector(connector);
    // kube's error could show the key.
    let secure =
        secure.map_err(|_| Error::Material("the certificate authority or the client certificate"))?;
    Ok(pooled(InTime::new(secure, limit)))
}

fn pooled<C: Connect + Clone + Send + Sync + 'static>(connector: C) -> Channel {
    let client: Client<C, Body> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .build(connector);
    BoxCloneSyncService::new(client)
}

/// The same through a proxy of the environment. The proxy looks the name up; that it is one of AKS was checked before.
fn proxied(config: &kube::Config, host: &str, proxy: &Intercept, limit: Duration) -> Result<Channel, Error> {
    let uri = proxy.uri();
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        let reason = "the proxy of the environment is neither http nor https".to_owned();
        return Err(Error::Unreachable { host: host.to_owned(), reason });
    }
    // Without an authority of its own the system's are trusted, which is right for a proxy.
    let to_proxy = kube::Config::new(uri.clone())
        .rustls_https_connector_with_connector(plain(HttpConnector::new()))
        .map_err(|_| Error::Material("the system's certificate authorities, for the proxy,"))?;
    let tunnel = Tunnel::new(uri.clone(), to_proxy);
    let tunnel = match proxy.basic_auth() {
        Some(authorization) => tunnel.with_auth(authorization.clone()),
        None => tunnel,
    };
    channel(config, tunnel, limit)
}
