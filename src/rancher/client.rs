//! Requests to Rancher: questions, which this server asks on behalf of a caller, and requests that are forwarded.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http::header::{
    ACCEPT, CONNECTION, FORWARDED, HOST, HeaderName, HeaderValue, LOCATION, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use reqwest::dns::{Name, Resolve, Resolving};
use reqwest::{Client, Request, Response, Url};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::breaker::Breaker;
use super::cluster::Cluster;
use super::error::{BuildError, Error};
use super::secret::Secret;
use super::session::Session;
use super::trust::{self, Trust};

/// The time limit of a question. Rancher hangs when its Kubernetes API does.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The time until a forwarded request has a response. Rancher has no limit of its own.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(55);
/// Larger responses to questions are rejected. A Secret has at most 1 MiB, which base64 and JSON enlarge.
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

/// Other headers about the origin of a request, which do not count.
const CLAIMED: [HeaderName; 2] = [FORWARDED, HeaderName::from_static("x-api-host")];

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
    /// With the public name in place of the address.
    base: Url,
    /// Set at the first request if the certificates have to be read first.
    client: OnceCell<Client>,
    breaker: Breaker,
}

/// The response to a question about one caller.
#[derive(Debug)]
pub enum Question<T> {
    /// The token is missing, unknown, expired or disabled.
    Unauthenticated,
    /// The token is valid, but there is no such object, or the caller may not read it.
    Denied,
    Found(T),
    /// Rancher answered in a way that only Rancher understands.
    Unclear,
}

/// The outcome of a request without a token to one of the actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// As Rancher answers.
    Rancher,
    /// As another program answers.
    Other(StatusCode),
}

/// A complete response.
struct Answer {
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
            // Validated with the settings.
            let _ = base.set_host(Some(host));
        }
        let client = match options.trust {
            Trust::Checksum(_) => OnceCell::new(),
            _ => OnceCell::new_with(Some(build(&options)?)),
        };
        Ok(Self(Arc::new(Inner { options, base, client, breaker: Breaker::default() })))
    }

    /// Whether the token of the session is valid for Rancher's own API; reads nothing that needs a right.
    pub async fn is_authenticated(&self, session: &Session) -> Result<bool, Error> {
        Ok(self.ask("/rancherversion", Some(session)).await?.is_authenticated)
    }

    /// The Secret of a credential, if the caller may use it: Rancher's own check is the right to read it. Namespace and name
    /// are valid names of Kubernetes.
    pub async fn secret(
        &self,
        session: &Session,
        namespace: &str,
        name: &str,
    ) -> Result<Question<Secret>, Error> {
        let path = format!("/v1/secrets/{namespace}/{name}");
        Ok(self.ask(&path, Some(session)).await?.read(Secret::parse))
    }

    /// A cluster object, if the caller may see it. The ID is a valid name of Kubernetes.
    pub async fn cluster(&self, session: &Session, id: &str) -> Result<Question<Cluster>, Error> {
        let path = format!("/v1/management.cattle.io.clusters/{id}");
        Ok(self.ask(&path, Some(session)).await?.read(Cluster::parse))
    }

    /// Requests an action without a token, to see that Rancher answers and that the request does not come back here.
    pub async fn probe(&self) -> Result<Probe, Error> {
        match self.ask("/meta/aksVersions", None).await {
            Ok(Answer { status: StatusCode::UNAUTHORIZED, .. }) => Ok(Probe::Rancher),
            Ok(Answer { status, .. }) | Err(Error::NotRancher { status }) => Ok(Probe::Other(status)),
            Err(error) => Err(error),
        }
    }

    /// Sends a request on, with its headers and body, and returns the response as it comes.
    ///
    /// # Errors
    /// No response within the time limit, or the request came back.
    pub async fn forward<S>(
        &self,
        parts: &Parts,
        forwarded: HeaderMap,
        body: Option<S>,
    ) -> Result<ForwardedResponse, Error>
    where
        S: Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
    {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = self.url(path)?;
        let mut request = Request::new(parts.method.clone(), url);
        let headers = request.headers_mut();
        headers.extend(end_to_end(&parts.headers));
        for name in CLAIMED {
            headers.remove(name);
        }
        // Replaces headers of the same name.
        headers.extend(forwarded);
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        headers.append(VIA, OWN_VIA);
        *request.body_mut() = body.map(reqwest::Body::wrap_stream);
        let mut response = self.exchange(request).await?;
        if is_loop(&response) {
            return Err(Error::Loop);
        }
        let headers = end_to_end(response.headers()).collect();
        *response.headers_mut() = headers;
        Ok(response.into())
    }

    /// Sends a forwarded request. Its body may be slow or end early, which does not count as a failure of Rancher.
    async fn exchange(&self, request: Request) -> Result<Response, Error> {
        let Inner { breaker, .. } = &*self.0;
        if breaker.is_suspended() {
            return Err(Error::Suspended);
        }
        let exchange = async { self.client().await?.execute(request).await.map_err(Error::of_transport) };
        let limit = FORWARD_TIMEOUT;
        let result = timeout(limit, exchange).await.unwrap_or(Err(Error::TimedOut { limit }));
        match &result {
            Ok(_) => breaker.record(true),
            Err(Error::NoAnswer(error)) if error.is_connect() => breaker.record(false),
            Err(_) => {}
        }
        result
    }

    /// Asks for a path with the session of a caller, and reads the whole response.
    async fn ask(&self, path: &str, session: Option<&Session>) -> Result<Answer, Error> {
        let mut request = Request::new(Method::GET, self.url(path)?);
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        headers.insert(VIA, OWN_VIA);
        if let Some(session) = session {
            session.add_to(headers);
        }
        let answer = self.guarded(QUESTION_TIMEOUT, async {
            let response = self.client().await?.execute(request).await.map_err(Error::of_transport)?;
            read(response).await
        });
        answer.await
    }

    /// Runs a request with a time limit, unless requests are suspended.
    async fn guarded<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if !self.0.breaker.admits() {
            return Err(Error::Suspended);
        }
        let result = timeout(limit, request).await.unwrap_or(Err(Error::TimedOut { limit }));
        self.0.breaker.record(result.is_ok());
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
        client
            .get_or_try_init(|| async {
                let Trust::Checksum(checksum) = &options.trust else { return Ok(build(options)?) };
                // Sends nothing of a caller: the checksum decides which certificates are trusted from then on.
                let unverified = builder(options).tls_danger_accept_invalid_certs(true);
                let unverified = unverified.build().map_err(Error::of_transport)?;
                let mut request = Request::new(Method::GET, self.url("/v3/settings/cacerts")?);
                request.headers_mut().insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
                let answer = read(unverified.execute(request).await.map_err(Error::of_transport)?).await?;
                let roots = trust::pinned(&answer.body, checksum)?;
                builder(options).tls_certs_only(roots).build().map_err(Error::of_transport)
            })
            .await
    }
}

/// A response of Rancher as it arrived; its body may still be on its way.
pub type ForwardedResponse = http::Response<reqwest::Body>;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

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

fn is_loop(response: &Response) -> bool {
    response.status() == StatusCode::LOOP_DETECTED && response.headers().contains_key("x-norman-aks-via")
}

/// Headers without those of one connection.
fn end_to_end(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> =
        named.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    let is_kept = move |name: &HeaderName| {
        !HOP_BY_HOP.contains(name) && !named.iter().any(|named| named == name.as_str())
    };
    headers.iter().filter(move |(name, _)| is_kept(name)).map(|(name, value)| (name.clone(), value.clone()))
}

/// The whole response, if it is Rancher's.
async fn read(response: Response) -> Result<Answer, Error> {
    if is_loop(&response) {
        return Err(Error::Loop);
    }
    let status = response.status();
    let is_authenticated = response.headers().get(CATTLE_AUTH).map(|value| value == "true");
    let is_redirect = status.is_redirection() && response.headers().contains_key(LOCATION);
    let mut body = BytesMut::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(Error::of_transport)?);
        if body.len() > MAX_BODY_LEN {
            return Err(Error::TooLarge { limit: MAX_BODY_LEN });
        }
    }
    match is_authenticated {
        Some(is_authenticated) => Ok(Answer { status, is_authenticated, body: body.freeze() }),
        None if is_redirect => Err(Error::Redirect { status }),
        None => Err(Error::NotRancher { status }),
    }
}

impl Answer {
    fn read<T>(self, parse: impl FnOnce(&[u8]) -> Option<T>) -> Question<T> {
        match (self.status, self.is_authenticated) {
            (StatusCode::UNAUTHORIZED, false) => Question::Unauthenticated,
            // A user without any right to Secrets gets 404.
            (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, true) => Question::Denied,
            (StatusCode::OK, true) => parse(&self.body).map_or(Question::Unclear, Question::Found),
            _ => Question::Unclear,
        }
    }
}
