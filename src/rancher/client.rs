//! Requests to Rancher: lookups, which this server sends for a caller, and forwarded requests.

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
use super::trust::{self, TlsTrust};

/// The time limit of a lookup. Rancher does not respond while its Kubernetes API is unavailable.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The time limit for the headers of the response to a forwarded request. Rancher itself has no limit.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(55);
/// The maximum numbers of concurrent lookups and forwarded requests.
const MAX_LOOKUPS: usize = 256;
const MAX_FORWARDS: usize = 64;
/// The maximum length of the response to a lookup. A Secret has at most 1 MiB, and base64 and JSON make it longer.
const MAX_BODY_LEN: usize = 4 * 1024 * 1024;

/// The header that Rancher adds to every response: `true` if the token of the request is valid.
const CATTLE_AUTH: HeaderName = HeaderName::from_static("x-api-cattle-auth");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The name in `Via` of all instances of this server.
const PSEUDONYM: &str = "norman-aks";
const OWN_VIA: HeaderValue = HeaderValue::from_static("1.1 norman-aks");

/// Hop-by-hop headers (RFC 9110, section 7.6.1), and `Host`, which the HTTP client sets from the URL.
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

/// Headers that clients can forge and that are therefore removed. `X-Forwarded-For`, `-Host` and `-Proto` are overwritten.
const FORGEABLE_HEADERS: [HeaderName; 2] = [FORWARDED, HeaderName::from_static("x-api-host")];

/// The settings of the client.
#[derive(Clone, Debug)]
pub struct Options {
    /// The URL to connect to.
    pub url: Url,
    /// The name in the certificate and in the header `Host`, if it is not that of the URL.
    pub host: Option<String>,
    pub trust: TlsTrust,
}

/// The client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Rancher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    /// [`Options::url`], with the host of [`Options::host`] if it is set.
    base: Url,
    /// Set at the first request if the certificates must be read from Rancher.
    client: OnceCell<Client>,
    breaker: Breaker,
    lookups: Semaphore,
    forwards: Semaphore,
}

/// Rancher's response to a lookup for one caller.
#[derive(Debug)]
pub enum Lookup<T> {
    /// The token is missing, unknown, expired or disabled.
    Unauthenticated,
    /// The token is valid, but there is no such object, or the caller may not read it.
    Denied,
    Found(T),
    /// Any other complete response. The caller's request must be forwarded to Rancher.
    Unexpected,
}

/// A response of Rancher whose body is streamed.
pub type ForwardedResponse = http::Response<reqwest::Body>;

/// A response whose body was read.
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
            TlsTrust::Checksum(_) => OnceCell::new(),
            _ => OnceCell::new_with(Some(build_client(&options)?)),
        };
        let (lookups, forwards) = (Semaphore::new(MAX_LOOKUPS), Semaphore::new(MAX_FORWARDS));
        Ok(Self(Arc::new(Inner { options, base, client, breaker: Breaker::default(), lookups, forwards })))
    }

    /// Checks whether the token of the session is valid for Rancher's own API, by requesting a path that requires no
    /// rights.
    pub async fn check_session(&self, session: &Session) -> Result<Lookup<()>, Error> {
        let response = self.look_up("/rancherversion", Some(session)).await?;
        Ok(match (response.status, response.is_authenticated) {
            (StatusCode::OK, true) => Lookup::Found(()),
            (StatusCode::OK, false) => Lookup::Unauthenticated,
            _ => Lookup::Unexpected,
        })
    }

    /// Reads the Secret of a credential. A caller who may read it may use the credential: Rancher itself checks this right.
    /// `namespace` and `name` must be valid Kubernetes names.
    pub async fn secret(
        &self,
        session: &Session,
        namespace: &str,
        name: &str,
    ) -> Result<Lookup<Secret>, Error> {
        let path = format!("/v1/secrets/{namespace}/{name}");
        Ok(self.look_up(&path, Some(session)).await?.into_lookup(Secret::parse))
    }

    /// Reads a cluster object, if the caller may see it. `id` must be a valid Kubernetes name.
    pub async fn cluster(&self, session: &Session, id: &str) -> Result<Lookup<Cluster>, Error> {
        let path = format!("/v1/management.cattle.io.clusters/{id}");
        Ok(self.look_up(&path, Some(session)).await?.into_lookup(Cluster::parse))
    }

    /// Requests an action without a token, to check that Rancher responds and that the request does not come back to this
    /// server.
    pub async fn probe(&self) -> Result<(), Error> {
        match self.look_up("/meta/aksVersions", None).await?.status {
            StatusCode::UNAUTHORIZED => Ok(()),
            status => Err(Error::NotRancher { status }),
        }
    }

    /// Forwards a request with its headers and body, and returns the response unchanged. `forwarded_headers` are the
    /// `X-Forwarded-*` headers; they overwrite those of the client.
    ///
    /// # Errors
    /// If Rancher does not respond within the time limit, or the request comes back to this server.
    pub async fn forward(
        &self,
        parts: &Parts,
        forwarded_headers: HeaderMap,
        body: Bytes,
    ) -> Result<ForwardedResponse, Error> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(parts.method.clone(), self.url(path)?);
        let headers = request.headers_mut();
        headers.extend(end_to_end(&parts.headers));
        for name in FORGEABLE_HEADERS {
            headers.remove(name);
        }
        // Overwrites headers of the same name.
        headers.extend(forwarded_headers);
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        headers.append(VIA, OWN_VIA);
        if !body.is_empty() {
            *request.body_mut() = Some(body.into());
        }
        let mut response = self.send_forwarded(request).await?;
        let headers = end_to_end(response.headers()).collect();
        *response.headers_mut() = headers;
        Ok(response.into())
    }

    /// Sends a forwarded request. A timeout is not recorded as an outage of Rancher, because Azure may be slow.
    async fn send_forwarded(&self, request: Request) -> Result<Response, Error> {
        let Inner { breaker, forwards, .. } = &*self.0;
        let Ok(_permit) = forwards.try_acquire() else { return Err(Error::Busy) };
        if breaker.is_suspended() {
            return Err(Error::Suspended);
        }
        let exchange = async {
            let response = self.client().await?.execute(request).await.map_err(Error::from_transport)?;
            read_cattle_auth(&response).map(|_| response)
        };
        let is_outage = |error: &Error| error.is_outage() && !matches!(error, Error::TimedOut { .. });
        self.run_with_timeout(FORWARD_TIMEOUT, is_outage, exchange).await
    }

    /// Sends a GET request with the session of a caller, and reads the whole response.
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
        if !breaker.try_admit() {
            return Err(Error::Suspended);
        }
        let exchange = async {
            let response = self.client().await?.execute(request).await.map_err(Error::from_transport)?;
            read_body(response).await
        };
        self.run_with_timeout(LOOKUP_TIMEOUT, Error::is_outage, exchange).await
    }

    /// Sends a request within a time limit, and records whether Rancher responds.
    async fn run_with_timeout<T>(
        &self,
        limit: Duration,
        is_outage: impl Fn(&Error) -> bool,
        exchange: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let result = timeout(limit, exchange).await.unwrap_or(Err(Error::TimedOut { limit }));
        match &result {
            Ok(_) => self.0.breaker.record(true),
            Err(error) if is_outage(error) => self.0.breaker.record(false),
            Err(_) => {}
        }
        result
    }

    /// The URL of a raw path with a query.
    fn url(&self, path: &str) -> Result<Url, Error> {
        let base = self.0.base.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{path}")).map_err(|_| Error::AmbiguousPath)?;
        // Parsing resolves dot segments, so the request could go to another path.
        let raw_path = path.split('?').next().unwrap_or_default();
        if url.path() == raw_path { Ok(url) } else { Err(Error::AmbiguousPath) }
    }

    /// The HTTP client. If the certificates are pinned, the first call reads them.
    async fn client(&self) -> Result<&Client, Error> {
        let Inner { options, client, .. } = &*self.0;
        let init = async || {
            let TlsTrust::Checksum(checksum) = &options.trust else { return Ok(build_client(options)?) };
            let limit = LOOKUP_TIMEOUT;
            let roots = timeout(limit, self.published_roots(checksum)).await;
            let roots = roots.unwrap_or(Err(Error::TimedOut { limit }))?;
            let client = client_builder(options).tls_certs_only(roots).build();
            client.map_err(|error| Error::Build(BuildError::Client(error)))
        };
        client.get_or_try_init(init).await
    }

    /// Reads the certificates that Rancher publishes, over an unverified connection and without a session. They are
    /// trusted if they have the checksum.
    async fn published_roots(&self, checksum: &str) -> Result<Vec<reqwest::Certificate>, Error> {
        let unverified = client_builder(&self.0.options).tls_danger_accept_invalid_certs(true);
        let unverified = unverified.build().map_err(BuildError::Client)?;
        let mut request = Request::new(Method::GET, self.url("/v3/settings/cacerts")?);
        request.headers_mut().insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        let response = read_body(unverified.execute(request).await.map_err(Error::from_transport)?).await?;
        trust::parse_pinned_roots(&response.body, checksum)
    }
}

fn build_client(options: &Options) -> Result<Client, BuildError> {
    options.trust.apply(client_builder(options))?.build().map_err(BuildError::Client)
}

fn client_builder(options: &Options) -> reqwest::ClientBuilder {
    let mut builder = Client::builder()
        .user_agent(concat!("norman-aks/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        // Responses are forwarded unchanged, in the encoding that the client accepts.
        .gzip(false)
        // A proxy must not see the sessions of callers.
        .no_proxy()
        // HTTP/1.1 sends one request at a time on a connection: slow requests do not delay others, and a timeout closes only
        // the connection of its request.
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_mins(1))
        .tcp_keepalive(Duration::from_mins(1));
    if options.host.is_some()
        && let (Some(host), Some(port)) = (options.url.host_str(), options.url.port_or_known_default())
    {
        let target = format!("{host}:{port}");
        builder = builder.dns_resolver(Arc::new(FixedTarget(target.into())));
    }
    builder
}

/// Resolves every name to the IP addresses of the host of `rancher-url`.
#[derive(Debug)]
struct FixedTarget(Arc<str>);

impl Resolve for FixedTarget {
    fn resolve(&self, _: Name) -> Resolving {
        let target = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses: Vec<_> = tokio::net::lookup_host(&*target).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Box<dyn Iterator<Item = _> + Send>)
        })
    }
}

/// Whether a request was already forwarded by this server.
pub fn has_own_via(headers: &HeaderMap) -> bool {
    let entries =
        headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    entries.filter_map(|entry| entry.split_whitespace().nth(1)).any(|received_by| received_by == PSEUDONYM)
}

/// The headers without those that apply to one connection only.
fn end_to_end(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    const SENSITIVE: [HeaderName; 3] = [AUTHORIZATION, COOKIE, SET_COOKIE];
    let per_connection = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let per_connection: Vec<String> = per_connection
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let is_kept = move |name: &HeaderName| {
        !HOP_BY_HOP.contains(name) && !per_connection.iter().any(|other| other == name.as_str())
    };
    headers.iter().filter(move |(name, _)| is_kept(name)).map(|(name, value)| {
        let mut value = value.clone();
        value.set_sensitive(value.is_sensitive() || SENSITIVE.contains(name));
        (name.clone(), value)
    })
}

/// Whether Rancher accepted the token of the request.
///
/// # Errors
/// If the response is not Rancher's.
fn read_cattle_auth(response: &Response) -> Result<bool, Error> {
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

/// Reads the body of a response of Rancher.
async fn read_body(response: Response) -> Result<CompleteResponse, Error> {
    let is_authenticated = read_cattle_auth(&response)?;
    let status = response.status();
    let mut body = BytesMut::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(Error::from_transport)?);
        if body.len() > MAX_BODY_LEN {
            return Err(Error::TooLarge { limit: MAX_BODY_LEN });
        }
    }
    Ok(CompleteResponse { status, is_authenticated, body: body.freeze() })
}

impl CompleteResponse {
    fn into_lookup<T>(self, parse: impl FnOnce(&[u8]) -> Option<T>) -> Lookup<T> {
        match (self.status, self.is_authenticated) {
            (StatusCode::UNAUTHORIZED, false) => Lookup::Unauthenticated,
            // Rancher responds with 404 to a user without any right to Secrets.
            (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, true) => Lookup::Denied,
            (StatusCode::OK, true) => parse(&self.body).map_or(Lookup::Unexpected, Lookup::Found),
            _ => Lookup::Unexpected,
        }
    }
}
