//! One request and its answer on the wire. The one pool of connections; metrics and a log line per request.
//!
//! Nothing here knows tokens, retries or deadlines: who waits puts a limit around it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use reqwest::{Certificate, Client, Request, Response};

use super::error::{Error, Reason, Service};
use super::url::without_query;
use super::{BuildError, Options};

/// Of the body of a refusal, more is not kept.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// No answer of Azure comes near it: a page of the largest list has 2 MB.
const ANSWER_LIMIT: usize = 32 * 1024 * 1024;

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Builds the one client.
pub(super) fn client(options: &Options) -> Result<Client, BuildError> {
    // Fails when there is one already, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut builder = Client::builder()
        .user_agent(&options.user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .https_only(true)
        .gzip(true)
        .connect_timeout(options.connect_limit)
        .read_timeout(options.read_limit)
        .pool_idle_timeout(Duration::from_secs(90))
        .tcp_keepalive(Duration::from_mins(1))
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .http2_keep_alive_timeout(Duration::from_secs(10));
    for (host, address) in &options.resolve {
        builder = builder.resolve(host, *address);
    }
    if let Some(pem) = &options.extra_roots_pem {
        let roots =
            Certificate::from_pem_bundle(pem.as_bytes()).map_err(|error| BuildError::Roots(Some(error)))?;
        if roots.is_empty() {
            return Err(BuildError::Roots(None));
        }
        builder = builder.tls_certs_merge(roots);
    }
    if !options.use_proxy {
        builder = builder.no_proxy();
    }
    builder.build().map_err(BuildError::Client)
}

/// Sends the request and reads the answer. Any status is an answer; of one that is no success, only the first
/// 64 KiB of the body are kept.
pub(super) async fn exchange(
    client: &Client,
    to: Service,
    operation: &'static str,
    request: Request,
) -> Result<Answer, Error> {
    let method = request.method().clone();
    let url = without_query(request.url()).to_owned();
    let mut record = Record { operation, started: Instant::now(), status: None, ended: false };
    let no_answer = |error: reqwest::Error| Error::NoAnswer {
        to,
        method: method.clone(),
        url: url.clone(),
        reason: reason(&error),
        source: Arc::new(error.without_url()),
    };
    let response = match client.execute(request).await {
        Ok(response) => response,
        Err(error) => {
            let error = no_answer(error);
            record.failed(&error);
            return Err(error);
        }
    };
    record.status = Some(response.status().as_u16());
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = if (200..=299).contains(&status) {
        read(response, ANSWER_LIMIT).await.and_then(|(body, whole)| if whole { Ok(body) } else { Err(None) })
    } else {
        read(response, REFUSAL_LIMIT).await.map(|(body, _)| body)
    };
    match body {
        Ok(body) => {
            let answer = Answer { status, headers, body };
            record.answered(&answer);
            Ok(answer)
        }
        Err(error) => {
            let error = match error {
                Some(error) => no_answer(error),
                None => Error::TooLarge { method: method.clone(), url: url.clone(), limit: ANSWER_LIMIT },
            };
            record.failed(&error);
            Err(error)
        }
    }
}

/// The body up to `limit`, and whether that is all of it.
async fn read(mut response: Response, limit: usize) -> Result<(Bytes, bool), Option<reqwest::Error>> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut body = Vec::with_capacity(announced.min(limit));
    while let Some(part) = response.chunk().await.map_err(Some)? {
        let room = limit - body.len();
        if let Some(fits) = part.get(..room)
            && fits.len() < part.len()
        {
            body.extend_from_slice(fits);
            return Ok((body.into(), false));
        }
        body.extend_from_slice(&part);
    }
    Ok((body.into(), true))
}

/// What can be told from the error of the transport and those below it.
fn reason(error: &reqwest::Error) -> Reason {
    if error.is_timeout() {
        return Reason::Timeout;
    }
    let mut below: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = below {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(reason) = io_reason(io)
        {
            return reason;
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(|e| e.is_incomplete_message() || e.is_canceled())
        {
            return Reason::Reset;
        }
        // These types are private; their texts are fixed. The last is that of a stream of HTTP/2 which ended too early.
        match error.to_string().as_str() {
            "dns error" => return Reason::Dns,
            text if text == "http2 error" || text.starts_with("stream error received") => {
                return Reason::Reset;
            }
            _ => {}
        }
        below = error.source();
    }
    if error.is_connect() { Reason::Connect } else { Reason::Other }
}

fn io_reason(error: &std::io::Error) -> Option<Reason> {
    use std::io::ErrorKind;
    // What an I/O error wraps is not its source but its inner error, often another I/O error.
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

/// Counts and logs one request, also when nobody waits for it any more.
struct Record {
    operation: &'static str,
    started: Instant,
    status: Option<u16>,
    ended: bool,
}

impl Record {
    fn answered(&mut self, answer: &Answer) {
        let request_id = answer.header("x-ms-request-id");
        let correlation_id = answer.header("x-ms-correlation-request-id");
        tracing::debug!(
            azure.operation = self.operation,
            azure.status = answer.status,
            azure.request_id = request_id,
            azure.correlation_id = correlation_id,
            duration_ms = self.elapsed_ms(),
            bytes = answer.body.len(),
            "Azure answered"
        );
        self.end(answer.status.to_string());
    }

    fn failed(&mut self, error: &Error) {
        tracing::debug!(
            azure.operation = self.operation,
            azure.status = self.status,
            duration_ms = self.elapsed_ms(),
            error = error as &dyn std::error::Error,
            "Azure did not answer"
        );
        self.end("none".to_owned());
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn end(&mut self, status: String) {
        self.ended = true;
        metrics::counter!(
            "norman_aks_upstream_requests_total", "operation" => self.operation, "status" => status
        )
        .increment(1);
        metrics::histogram!("norman_aks_upstream_seconds", "operation" => self.operation)
            .record(self.started.elapsed());
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            tracing::debug!(
                azure.operation = self.operation,
                duration_ms = self.elapsed_ms(),
                "nobody waits for Azure's answer any more"
            );
            self.end("cancelled".to_owned());
        }
    }
}
