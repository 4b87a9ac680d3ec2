//! Requests to Rancher: lookups, which this server makes on behalf of a caller, and requests that are forwarded.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, COOKIE, FORWARDED, HOST, HeaderName, HeaderValue, LOCATION,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use reqwest::dns::{Name, Resolve, Resolving};
use reqwest::{Client, Request, Response, Url};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::breaker::Breaker;
use super::cluster::Cluster;
use super::error::{BuildError, Error};
use super::secret::Secret;
use super::session::Session;
use super::trust::{self, Trust};

/// The time limit of a lookup. Rancher hangs when its Kubernetes API does.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The time until a forwarded request has a response. Rancher has no limit of its own.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(55);
const MAX_LOOKUPS: usize = 256;
const MAX_FORWARDS: usize = 64;
/// Larger responses to lookups are rejected. A Secret has at most 1 MiB, which base64 and JSON enlarge.
const MAX_BODY_LEN: usize = 4 * 1024 * 1024;

/// Whether the token of the request is valid. Rancher adds it to every response.
const CATTLE_AUTH: HeaderName = HeaderName::from_static("x-api-cattle-auth");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The name of this server in `Via`, the same in all its instances.
const PSEUDONYM: &str = "norman-aks";
const OWN_VIA: HeaderValue = HeaderValue::from_static("1.1 norman-aks");

/// Headers of one connection, which are not forwarded. `Host` follows from the URL.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HOST,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Headers about the origin of a request that clients can invent, besides those that are replaced.
const ORIGIN_HEADERS: [HeaderName; 2] = [FORWARDED, HeaderName::from_static("x-api-host")];

/// The settings of the client.
#[derive(Clone, Debug)]
pub struct Options {
    /// The URL to connect to.
    pub url: Url,
    /// The name in the certificate and in the header `Host`, if it is not that of the URL.
    pub host: Option<String>,
    pub trust: Trust,
}

/// The client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Rancher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    /// The URL with the public name in place of the address.
    base: Url,
    /// Set at the first request if the certificates have to be read first.
    client: OnceCell<Client>,
    breaker: Breaker,
    lookups: Semaphore,
    forwards: Semaphore,
}

/// What Rancher says to one caller about an object.
#[derive(Debug)]
pub enum Lookup<T> {
    /// The token is missing, unknown, expired or disabled.
    Unauthenticated,
    /// The token is valid, but there is no such object, or the caller may not read it.
    Denied,
    Found(T),
    /// The response is complete and has another meaning, which only Rancher knows.
    Unclear,
}

/// A response of Rancher as it arrived; its body may still be on its way.
pub type ForwardedResponse = http::Response<reqwest::Body>;

/// A response that was read to its end.
struct CompleteResponse {
    status: StatusCode,
    /// Whether the token is valid.
    is_authenticated: bool,
    body: Bytes,
}

impl Rancher {
    /// Builds the client. Sends nothing.
    pub fn new(options: Options) -> Result<Self, BuildError> {
        let mut base = options.url.clone();
        if let Some(host) = &options.host {
            base.set_host(Some(host)).map_err(|_| BuildError::Host)?;
        }
        let client = match options.trust {
            Trust::Checksum(_) => OnceCell::new(),
            _ => OnceCell::new_with(Some(build(&options)?)),
        };
        let (lookups, forwards) = (Semaphore::new(MAX_LOOKUPS), Semaphore::new(MAX_FORWARDS));
        Ok(Self(Arc::new(Inner { options, base, client, breaker: Breaker::default(), lookups, forwards })))
    }

    /// Whether the token of the session is valid for Rancher's own API. The path is public, so that no right is needed.
    pub async fn login(&self, session: &Session) -> Result<Lookup<()>, Error> {
        let response = self.look_up("/rancherversion", Some(session)).await?;
        Ok(match (response.status, response.is_authenticated) {
            (StatusCode::OK, true) => Lookup::Found(()),
            (StatusCode::OK, false) => Lookup::Unauthenticated,
            _ => Lookup::Unclear,
        })
    }

    /// The Secret of a credential, if the caller may use it: Rancher's own check is the right to read it. Namespace and name
    /// are valid names of Kubernetes.
    pub async fn secret(
        &self,
        session: &Session,
        namespace: &str,
        name: &str,
    ) -> Result<Lookup<Secret>, Error> {
        let path = format!("/v1/secrets/{namespace}/{name}");
        Ok(self.look_up(&path, Some(session)).await?.read(Secret::parse))
    }

    /// A cluster object, if the caller may see it. The ID is a valid name of Kubernetes.
    pub async fn cluster(&self, session: &Session, id: &str) -> Result<Lookup<Cluster>, Error> {
        let path = format!("/v1/management.cattle.io.clusters/{id}");
        Ok(self.look_up(&path, Some(session)).await?.read(Cluster::parse))
    }

    /// Requests an action without a token, to see that Rancher answers and that the request does not come back here.
    pub async fn probe(&self) -> Result<(), Error> {
        match self.look_up("/meta/aksVersions", None).await?.status {
            StatusCode::UNAUTHORIZED => Ok(()),
            status => Err(Error::NotRancher { status }),
        }
    }

    /// Sends a request on, with its headers and body, and returns the response as it comes. `origin` replaces headers about
    /// the origin of the request.
    ///
    /// # Errors
    /// No response of Rancher within the time limit, or the request came back.
    pub async fn forward(
        &self,
        parts: &Parts,
        origin: HeaderMap,
        body: Bytes,
    ) -> Result<ForwardedResponse, Error> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(parts.method.clone(), self.url(path)?);
        let headers = request.headers_mut();
        headers.extend(end_to_end(&parts.headers));
        for name in ORIGIN_HEADERS {
            headers.remove(name);
        }
        // Replaces headers of the same name.
        headers.extend(origin);
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        headers.append(VIA, OWN_VIA);
        if !body.is_empty() {
            *request.body_mut() = Some(body.into());
        }
        let mut response = self.exchange(request).await?;
        let headers = end_to_end(response.headers()).collect();
        *response.headers_mut() = headers;
        Ok(response.into())
    }

    /// Sends a forwarded request. Azure may be slow, so that a timeout says nothing about Rancher.
    async fn exchange(&self, request: Request) -> Result<Response, Error> {
        let Inner { breaker, forwards, .. } = &*self.0;
        let Ok(_permit) = forwards.try_acquire() else { return Err(Error::Busy) };
        if breaker.is_suspended() {
            return Err(Error::Suspended);
        }
        let exchange = async {
            let response = self.client().await?.execute(request).await.map_err(Error::of_transport)?;
            is_from_rancher(&response).map(|_| response)
        };
        let limit = FORWARD_TIMEOUT;
        let result = timeout(limit, exchange).await.unwrap_or(Err(Error::TimedOut { limit }));
        match &result {
            Ok(_) => breaker.record(true),
            Err(error) if error.is_outage() && !matches!(error, Error::TimedOut { .. }) => {
                breaker.record(false);
            }
            Err(_) => {}
        }
        result
    }

    /// Requests a path with the session of a caller, and reads the whole response.
    async fn look_up(&self, path: &str, session: Option<&Session>) -> Result<CompleteResponse, Error> {
        let Inner { breaker, lookups, .. } = &*self.0;
        let mut request = Request::new(Method::GET, self.url(path)?);
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        headers.insert(VIA, OWN_VIA);
        if let Some(session) = session {
            session.add_to(headers);
        }
        let Ok(_permit) = lookups.try_acquire() else { return Err(Error::Busy) };
        if !breaker.admits() {
            return Err(Error::Suspended);
        }
        let limit = LOOKUP_TIMEOUT;
        let exchange = async {
            let response = self.client().await?.execute(request).await.map_err(Error::of_transport)?;
            read(response).await
        };
        let result = timeout(limit, exchange).await.unwrap_or(Err(Error::TimedOut { limit }));
        match &result {
            Ok(_) => breaker.record(true),
            Err(error) if error.is_outage() => breaker.record(false),
            Err(_) => {}
        }
        result
    }

    /// The URL of a raw path with a query.
    fn url(&self, path: &str) -> Result<Url, Error> {
        let base = self.0.base.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{path}")).map_err(|_| Error::Path)?;
        let raw = path.split('?').next().unwrap_or_default();
        if url.path() == raw { Ok(url) } else { Err(Error::Path) }
    }

    /// The HTTP client, after reading the certificates if they are pinned.
    async fn client(&self) -> Result<&Client, Error> {
        let Inner { options, client, .. } = &*self.0;
        let init = async || {
            let Trust::Checksum(checksum) = &options.trust else { return Ok(build(options)?) };
            let limit = LOOKUP_TIMEOUT;
            let roots = timeout(limit, self.published_roots(checksum)).await;
            let roots = roots.unwrap_or(Err(Error::TimedOut { limit }))?;
            builder(options).tls_certs_only(roots).build().map_err(Error::of_transport)
        };
        client.get_or_try_init(init).await
    }

    /// The certificates that Rancher publishes. They are read without verification and without anything of a caller: the
    /// checksum decides whether they are trusted.
    async fn published_roots(&self, checksum: &str) -> Result<Vec<reqwest::Certificate>, Error> {
        let unverified = builder(&self.0.options).tls_danger_accept_invalid_certs(true);
        let unverified = unverified.build().map_err(Error::of_transport)?;
        let mut request = Request::new(Method::GET, self.url("/v3/settings/cacerts")?);
        request.headers_mut().insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        let response = read(unverified.execute(request).await.map_err(Error::of_transport)?).await?;
        trust::parse_pinned_roots(&response.body, checksum)
    }
}

fn build(options: &Options) -> Result<Client, BuildError> {
    options.trust.apply(builder(options))?.build().map_err(BuildError::Client)
}

fn builder(options: &Options) -> reqwest::ClientBuilder {
    let mut builder = Client::builder()
        .user_agent(concat!("norman-aks/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        // Responses are passed on as they are.
        .gzip(false)
        // Sessions of callers do not leave for a proxy.
        .no_proxy()
        // With one connection for each request, slow ones do not delay others, and those that time out close theirs.
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_mins(1))
        .tcp_keepalive(Duration::from_mins(1));
    if options.host.is_some()
        && let (Some(host), Some(port)) = (options.url.host_str(), options.url.port_or_known_default())
    {
        let target = format!("{host}:{port}");
        builder = builder.dns_resolver(Arc::new(OneAddress(target.into())));
    }
    builder
}

/// Resolves every name to the address of `rancher-url`.
#[derive(Debug)]
struct OneAddress(Arc<str>);

impl Resolve for OneAddress {
    fn resolve(&self, _: Name) -> Resolving {
        let target = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses: Vec<_> = tokio::net::lookup_host(&*target).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Box<dyn Iterator<Item = _> + Send>)
        })
    }
}

/// Whether a request came through this server before.
pub fn is_own_via(headers: &HeaderMap) -> bool {
    let entries =
        headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    entries.filter_map(|entry| entry.split_whitespace().nth(1)).any(|by| by == PSEUDONYM)
}

/// Headers without those of one connection.
fn end_to_end(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    const SENSITIVE: [HeaderName; 3] = [AUTHORIZATION, COOKIE, SET_COOKIE];
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> =
        named.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    let is_kept = move |name: &HeaderName| {
        !HOP_BY_HOP.contains(name) && !named.iter().any(|named| named == name.as_str())
    };
    headers.iter().filter(move |(name, _)| is_kept(name)).map(|(name, value)| {
        let mut value = value.clone();
        value.set_sensitive(value.is_sensitive() || SENSITIVE.contains(name));
        (name.clone(), value)
    })
}

/// Whether Rancher wrote the response, and whether it accepted the token.
fn is_from_rancher(response: &Response) -> Result<bool, Error> {
    let (status, headers) = (response.status(), response.headers());
    if status == StatusCode::LOOP_DETECTED && headers.contains_key("x-norman-aks-via") {
        return Err(Error::Loop);
    }
    match headers.get(CATTLE_AUTH) {
        Some(value) => Ok(value == "true"),
        None if status.is_redirection() && headers.contains_key(LOCATION) => Err(Error::Redirect { status }),
        None => Err(Error::NotRancher { status }),
    }
}

/// The whole response, if it is Rancher's.
async fn read(response: Response) -> Result<CompleteResponse, Error> {
    let is_authenticated = is_from_rancher(&response)?;
    let status = response.status();
    let mut body = BytesMut::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(Error::of_transport)?);
        if body.len() > MAX_BODY_LEN {
            return Err(Error::TooLarge { limit: MAX_BODY_LEN });
        }
    }
    Ok(CompleteResponse { status, is_authenticated, body: body.freeze() })
}

impl CompleteResponse {
    fn read<T>(self, parse: impl FnOnce(&[u8]) -> Option<T>) -> Lookup<T> {
        match (self.status, self.is_authenticated) {
            (StatusCode::UNAUTHORIZED, false) => Lookup::Unauthenticated,
            // A user without any right to Secrets gets 404.
            (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, true) => Lookup::Denied,
            (StatusCode::OK, true) => parse(&self.body).map_or(Lookup::Unclear, Lookup::Found),
            _ => Lookup::Unclear,
        }
    }
}
