//! The connection pool, and the exchange of one request and response, with metrics and a log record.
//!
//! Tokens, retries and deadlines are up to the callers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clock::Clock;
use reqwest::{Certificate, Client, Request};

use crate::error::{Error, Reason, Service};
use crate::options::{BuildError, Options};
use crate::request_name::RequestName;
use crate::response::Response;
use crate::url::without_query;

/// Longer bodies of unsuccessful responses are truncated.
const MAX_ERROR_BODY_LEN: usize = 64 * 1024;

/// Larger successful responses are rejected. A page of the largest list has 2 MB.
const MAX_BODY_LEN: usize = 32 * 1024 * 1024;

/// The HTTP client with the settings of all requests. Clones share the connections.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    client: Client,
    pub(super) clock: Clock,
    /// The delay before the first retry; later delays grow from it.
    pub(super) retry_base_delay: Duration,
}

impl Transport {
    pub(super) fn new(options: Options) -> Result<Self, BuildError> {
        // Fails if a provider is already installed.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let mut builder = Client::builder()
            .user_agent(options.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .https_only(true)
            .gzip(true)
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .pool_idle_timeout(Duration::from_secs(90))
            .tcp_keepalive(Duration::from_mins(1))
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(10));
        for (host, address) in options.resolve {
            builder = builder.resolve(&host, address);
        }
        if let Some(pem) = options.extra_roots_pem {
            let roots = Certificate::from_pem_bundle(pem.as_bytes())
                .map_err(|error| BuildError::Roots(Some(error)))?;
            if roots.is_empty() {
                return Err(BuildError::Roots(None));
            }
            builder = builder.tls_certs_merge(roots);
        }
        if !options.use_proxy {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(BuildError::Client)?;
        Ok(Self { client, clock: options.clock, retry_base_delay: options.retry_base_delay })
    }

    /// Sends the request and reads the response, of any status. The body of an unsuccessful response is truncated to 64 KiB.
    pub(super) async fn exchange(
        &self,
        to: Service,
        name: RequestName,
        request: Request,
    ) -> Result<Response, Error> {
        let method = request.method().clone();
        let url = without_query(request.url()).to_owned();
        let mut record = RequestRecord::new(name);
        match self.receive(request, &mut record).await {
            Ok(response) => {
                record.log_response(&response);
                Ok(response)
            }
            Err(failure) => {
                let error = match failure {
                    Some(error) => Error::NoResponse {
                        to,
                        method,
                        url,
                        reason: failure_reason(&error),
                        source: Arc::new(error.without_url()),
                    },
                    None => Error::TooLarge { method, url, limit: MAX_BODY_LEN },
                };
                record.log_failure(&error);
                Err(error)
            }
        }
    }

    /// Sends the request and reads the response. The error is `None` if the body is too large.
    async fn receive(
        &self,
        request: Request,
        record: &mut RequestRecord,
    ) -> Result<Response, Option<reqwest::Error>> {
        let response = self.client.execute(request).await.map_err(Some)?;
        let status = response.status().as_u16();
        record.status = Some(status);
        let headers = response.headers().clone();
        let is_success = (200..=299).contains(&status);
        let limit = if is_success { MAX_BODY_LEN } else { MAX_ERROR_BODY_LEN };
        let (body, is_complete) = read_body(response, limit).await.map_err(Some)?;
        if is_success && !is_complete {
            return Err(None);
        }
        Ok(Response { status, headers, body })
    }
}

/// Reads the body up to `limit`; returns whether it is complete.
async fn read_body(mut response: reqwest::Response, limit: usize) -> Result<(Bytes, bool), reqwest::Error> {
    let announced_len =
        response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut body = Vec::with_capacity(announced_len.min(limit));
    while let Some(chunk) = response.chunk().await? {
        let (fitting, rest) = chunk.split_at(chunk.len().min(limit - body.len()));
        body.extend_from_slice(fitting);
        if !rest.is_empty() {
            return Ok((body.into(), false));
        }
    }
    Ok((body.into(), true))
}

/// The reason for a missing response, from the error of the transport and its sources.
fn failure_reason(error: &reqwest::Error) -> Reason {
    if error.is_timeout() {
        return Reason::Timeout;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(reason) = io_reason(io)
        {
            return reason;
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(|e| e.is_incomplete_message() || e.is_canceled())
        {
            return Reason::Reset;
        }
        // The types of these errors are private, but their messages are fixed. `stream error received` is an HTTP/2 reset.
        match error.to_string().as_str() {
            "dns error" => return Reason::Dns,
            message if message == "http2 error" || message.starts_with("stream error received") => {
                return Reason::Reset;
            }
            _ => {}
        }
        cause = error.source();
    }
    if error.is_connect() { Reason::Connect } else { Reason::Other }
}

fn io_reason(error: &std::io::Error) -> Option<Reason> {
    use std::io::ErrorKind;
    // The inner error of an I/O error, often another I/O error, is not its source.
    if let Some(inner) = error.get_ref() {
        if inner.is::<rustls::Error>() {
            return Some(Reason::Tls);
        }
        if let Some(reason) = inner.downcast_ref().and_then(io_reason) {
            return Some(reason);
        }
    }
    match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::AddrNotAvailable => Some(Reason::Connect),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Some(Reason::Reset),
        ErrorKind::TimedOut => Some(Reason::Timeout),
        _ => None,
    }
}

/// Counts and logs one request, even if its future is dropped.
struct RequestRecord {
    name: &'static str,
    started: Instant,
    status: Option<u16>,
    is_counted: bool,
}

impl RequestRecord {
    fn new(name: RequestName) -> Self {
        Self { name: name.as_str(), started: Instant::now(), status: None, is_counted: false }
    }

    fn log_response(&mut self, response: &Response) {
        tracing::debug!(
            azure.operation = self.name,
            azure.status = response.status,
            azure.request_id = response.header("x-ms-request-id"),
            azure.correlation_id = response.header("x-ms-correlation-request-id"),
            duration_ms = self.elapsed_ms(),
            bytes = response.body.len(),
            "Azure responded"
        );
        self.count(response.status.to_string());
    }

    fn log_failure(&mut self, error: &Error) {
        tracing::debug!(
            azure.operation = self.name,
            azure.status = self.status,
            duration_ms = self.elapsed_ms(),
            error = error as &dyn std::error::Error,
            "no response from Azure"
        );
        self.count("none".to_owned());
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn count(&mut self, status: String) {
        self.is_counted = true;
        metrics::counter!(
            "norman_aks_upstream_requests_total", "operation" => self.name, "status" => status
        )
        .increment(1);
        metrics::histogram!("norman_aks_upstream_seconds", "operation" => self.name)
            .record(self.started.elapsed());
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        if !self.is_counted {
            tracing::debug!(
                azure.operation = self.name,
                duration_ms = self.elapsed_ms(),
                "request to Azure cancelled"
            );
            self.count("cancelled".to_owned());
        }
    }
}
