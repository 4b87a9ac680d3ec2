//! Requests to a running server. The token is only sent to the server in the settings.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::{Certificate, Response, redirect};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use url::{Host, Url};

use crate::cli::error::{Error, ServerError};
use crate::config::ClientConfig;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum time between two received bytes. Servers end requests after 60 s, and a line of a stream may depend on
/// Azure.
const READ_TIMEOUT: Duration = Duration::from_secs(75);
/// The maximum length of a response or line, in bytes, because the URL may be that of another program.
const MAX_BODY_LEN: usize = 64 << 20;

const JSON: &str = "application/json";
/// The media type of a stream with one JSON object per line.
const JSON_LINES: &str = "application/x-ndjson";

/// A client of one server.
pub(super) struct Client {
    base: Url,
    http: reqwest::Client,
}

/// The query parameters of a request, without those that have no value.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(pub(super) Vec<(&'static str, String)>);

impl Query {
    pub(super) fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.0.extend(value.map(|value| (name, value.to_string())));
        self
    }
}

/// A page of a list, with unparsed entries.
#[derive(Deserialize)]
struct RawPage {
    data: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// The body of an error response.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ErrorBody {
    message: String,
    field_name: Option<String>,
}

impl Client {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, Error> {
        let base = Url::parse(&config.server).map_err(|_| ServerError::Url)?;
        let mut token = HeaderValue::try_from(format!("Bearer {}", config.token.expose_secret()))
            .map_err(|_| ServerError::Token)?;
        token.set_sensitive(true);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("norman-aks/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, token)]))
            // The token is for this server only.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT);
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &config.authorities {
            let roots = Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
            if roots.is_empty() {
                return Err(ServerError::Authorities.into());
            }
            builder = builder.tls_certs_only(roots);
        }
        let http = builder.build().map_err(ServerError::Client)?;
        Ok(Self { base, http })
    }

    /// The response to a GET request as text.
    pub(super) async fn get(&self, path: &str, query: &Query) -> Result<String, Error> {
        let mut response = self.send(self.url(path, query)?, JSON).await?;
        self.read(&mut response).await
    }

    /// All pages of a list as one JSON text. If the query contains `limit`, only the first page.
    pub(super) async fn list(&self, path: &str, query: &Query) -> Result<String, Error> {
        let is_limited = query.0.iter().any(|(name, _)| *name == "limit");
        let first = self.get(path, query).await?;
        let page: RawPage = self.parse(&first)?;
        let Some(mut next) = page.next.filter(|_| !is_limited) else { return Ok(first) };
        let mut entries = page.data;
        loop {
            let mut url = self.url(path, &Query::default())?;
            // Only the query of the link is used: the link may have another host, to which the token must not be sent.
            url.set_query(Url::parse(&next).ok().as_ref().and_then(Url::query));
            let mut response = self.send(url, JSON).await?;
            let page: RawPage = self.parse(&self.read(&mut response).await?)?;
            let is_empty = page.data.is_empty();
            entries.extend(page.data);
            match page.next.filter(|_| !is_empty) {
                Some(following) if following != next => next = following,
                _ => break,
            }
        }
        let entries: Vec<&str> = entries.iter().map(|entry| entry.get()).collect();
        Ok(format!("{{\"data\":[{}],\"next\":null}}", entries.join(",")))
    }

    /// Reads a stream of JSON lines, and calls `handle_line` with each line as soon as it arrives.
    pub(super) async fn stream_lines<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query,
        mut handle_line: impl FnMut(T),
    ) -> Result<(), Error> {
        let mut response = self.send(self.url(path, query)?, JSON_LINES).await?;
        let mut pending = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.no_response_error(error))? {
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                handle_line(self.parse(&String::from_utf8_lossy(&line))?);
            }
            if pending.len() > MAX_BODY_LEN {
                return Err(self.unexpected_error("a line is too long"));
            }
        }
        if pending.is_empty() { Ok(()) } else { Err(self.unexpected_error("the last line is incomplete")) }
    }

    /// Parses JSON of the server.
    pub(super) fn parse<T: DeserializeOwned>(&self, json: &str) -> Result<T, Error> {
        serde_json::from_str(json).map_err(|error| self.unexpected_error(error.to_string()))
    }

    fn url(&self, path: &str, query: &Query) -> Result<Url, Error> {
        let base = self.base.as_str().trim_end_matches('/');
        let mut url = Url::parse(&format!("{base}{path}")).map_err(|_| ServerError::Url)?;
        if !query.0.is_empty() {
            url.query_pairs_mut().extend_pairs(&query.0);
        }
        Ok(url)
    }

    /// Sends a GET request. Responses other than 200 are errors.
    async fn send(&self, url: Url, accept: &'static str) -> Result<Response, Error> {
        let request = self.http.get(url).header(ACCEPT, accept);
        let mut response = request.send().await.map_err(|error| self.no_response_error(error))?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let body = self.read(&mut response).await.unwrap_or_default();
        Err(self.rejection_error(response.status(), response.headers(), &body).into())
    }

    async fn read(&self, response: &mut Response) -> Result<String, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.no_response_error(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY_LEN {
                return Err(self.unexpected_error("the response is too large"));
            }
        }
        String::from_utf8(body).map_err(|_| self.unexpected_error("the response is not UTF-8"))
    }

    fn rejection_error(&self, status: StatusCode, headers: &HeaderMap, body: &str) -> ServerError {
        if let Some(location) = headers.get(LOCATION).filter(|_| status.is_redirection()) {
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            return ServerError::Redirect { server: self.name(), location };
        }
        let ErrorBody { message, field_name } = serde_json::from_str(body).unwrap_or_default();
        if message.is_empty() {
            let reason = format!("status {status} without a message");
            return ServerError::Unexpected { server: self.name(), reason };
        }
        let field = field_name.filter(|field| !message.contains(field.as_str()));
        let message = field.map_or_else(String::new, |field| format!("{field}: ")) + &message;
        let retry_after = headers.get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok());
        let remedy = remedy(status, &message, retry_after);
        ServerError::Rejected { status: status.as_u16(), message, remedy }
    }

    fn no_response_error(&self, error: reqwest::Error) -> Error {
        // With https, an untrusted certificate is a likelier cause than a server that is down.
        let is_down = error.is_connect() && self.base.scheme() == "http" && is_loopback(&self.base);
        let remedy = if is_down {
            "start it with `norman-aks serve` (or `serve --sandbox`), or name another one with --server"
        } else {
            "check --server, and --ca-file if its certificate has a private authority"
        };
        // The URL contains the ID of the credential, which would make the message long.
        ServerError::NoResponse { server: self.name(), remedy, source: error.without_url() }.into()
    }

    fn unexpected_error(&self, reason: impl Into<String>) -> Error {
        ServerError::Unexpected { server: self.name(), reason: reason.into() }.into()
    }

    fn name(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }
}

/// The remedy for a status, if its message does not contain one.
fn remedy(status: StatusCode, message: &str, retry_after: Option<&str>) -> String {
    match (status, retry_after) {
        (StatusCode::UNAUTHORIZED, _) => {
            "; the token is missing, wrong, expired or revoked: set NORMAN_AKS_TOKEN or --token-file"
                .to_owned()
        }
        (StatusCode::NOT_FOUND, _) if message.ends_with(" not found") => {
            "; list your credentials with GET /v3/cloudcredentials".to_owned()
        }
        (StatusCode::NOT_FOUND, _) => "; the server may be older than this program".to_owned(),
        (_, Some(seconds)) => format!("; try again in {seconds} s"),
        _ => String::new(),
    }
}

/// Whether the host of the URL is this machine, which a proxy on another machine cannot reach.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
