//! Requests to a cluster that can be repeated: short bodies are buffered while they are sent.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use hyper::upgrade::OnUpgrade;

use crate::connector::BoxError;
use crate::headers;
use crate::upgraded::Protocol;

/// Longer bodies are not buffered: nearly all objects are smaller, and there are many concurrent requests.
const MAX_REPLAY_LEN: usize = 256 * 1024;

/// The body of a request to a cluster.
pub(super) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// A client's request.
pub struct ReplayableRequest {
    head: Request<()>,
    /// The requested protocol and the client's connection, if the client requests an upgrade.
    pub(super) client_upgrade: Option<(Protocol, OnUpgrade)>,
    shared: Arc<Mutex<SharedBody>>,
}

impl ReplayableRequest {
    /// Takes a client's request. Its URI is a path and query in the cluster.
    pub fn new<B>(mut request: Request<B>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let client_upgrade = headers::upgrade_protocol(request.headers())
            .map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        request.extensions_mut().clear();
        // The connection to the cluster determines the version.
        *request.version_mut() = Version::default();
        let (head, body) = request.into_parts();
        let body: RequestBody = body.map_err(Into::into).boxed_unsync();
        let shared = SharedBody {
            total_size: body.size_hint(),
            body,
            buffered: Vec::new(),
            buffered_len: 0,
            is_buffer_incomplete: false,
            attempt: 0,
        };
        Self { head: Request::from_parts(head, ()), client_upgrade, shared: Arc::new(Mutex::new(shared)) }
    }

    /// Whether the whole request, with its body, can be sent again.
    pub fn can_repeat(&self) -> bool {
        !lock(&self.shared).is_buffer_incomplete
    }

    /// Whether the request may be sent twice at the same time.
    pub(super) fn may_be_sent_twice(&self) -> bool {
        let is_empty = lock(&self.shared).total_size.exact() == Some(0);
        is_empty && self.client_upgrade.is_none() && matches!(*self.head.method(), Method::GET | Method::HEAD)
    }

    /// The headers of the client.
    pub(super) fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// Path and query in the cluster.
    pub(super) fn uri(&self) -> &Uri {
        self.head.uri()
    }

    /// The request from its beginning, for another attempt. The bodies of earlier attempts fail from now on.
    pub(super) fn new_attempt(&self) -> Request<RequestBody> {
        let attempt = {
            let mut shared = lock(&self.shared);
            shared.attempt += 1;
            shared.attempt
        };
        let body = AttemptBody { shared: Arc::clone(&self.shared), attempt, next_frame: 0, sent_len: 0 };
        self.head.clone().map(|()| body.boxed_unsync())
    }
}

/// The client's body, with the part that is buffered for further attempts.
struct SharedBody {
    body: RequestBody,
    /// The size of the whole body.
    total_size: SizeHint,
    buffered: Vec<Bytes>,
    buffered_len: usize,
    /// Whether data was read that `buffered` does not contain.
    is_buffer_incomplete: bool,
    /// The number of the latest attempt.
    attempt: u32,
}

impl SharedBody {
    fn buffer_frame(&mut self, frame: &Frame<Bytes>) {
        match frame.data_ref() {
            Some(data) if !self.is_buffer_incomplete && self.buffered_len + data.len() <= MAX_REPLAY_LEN => {
                self.buffered_len += data.len();
                self.buffered.push(data.clone());
            }
            _ => {
                self.is_buffer_incomplete = true;
                self.buffered = Vec::new();
            }
        }
    }
}

fn lock(shared: &Mutex<SharedBody>) -> MutexGuard<'_, SharedBody> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of one attempt: the buffered frames, then the rest.
struct AttemptBody {
    shared: Arc<Mutex<SharedBody>>,
    attempt: u32,
    /// The index of the next buffered frame.
    next_frame: usize,
    sent_len: u64,
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let mut shared = lock(&this.shared);
        // Only one attempt may read from the client. Earlier attempts have failed or already have a response.
        if shared.attempt != this.attempt {
            return Poll::Ready(Some(Err("the request is sent again".into())));
        }
        let frame = if let Some(data) = shared.buffered.get(this.next_frame) {
            Frame::data(data.clone())
        } else {
            let polled = Pin::new(&mut shared.body).poll_frame(context);
            let Poll::Ready(Some(Ok(frame))) = polled else { return polled };
            shared.buffer_frame(&frame);
            frame
        };
        this.next_frame += 1;
        let len = frame.data_ref().map_or(0, Bytes::len);
        this.sent_len += u64::try_from(len).unwrap_or(u64::MAX);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        self.next_frame >= shared.buffered.len() && shared.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let total_size = &lock(&self.shared).total_size;
        let mut remaining = SizeHint::new();
        remaining.set_lower(total_size.lower().saturating_sub(self.sent_len));
        if let Some(upper) = total_size.upper() {
            remaining.set_upper(upper.saturating_sub(self.sent_len));
        }
        remaining
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn request_in_pieces(count: usize, len: usize) -> ReplayableRequest {
        let piece = move |_| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; len])));
        let body = StreamBody::new(stream::iter((0..count).map(piece)));
        ReplayableRequest::new(Request::post("/x").body(body).unwrap())
    }

    async fn body_len(request: Request<RequestBody>) -> Result<usize, String> {
        let body = request.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok(body.to_bytes().len())
    }

    #[tokio::test]
    async fn second_attempt_sends_the_whole_body() {
        let request = request_in_pieces(5, 1_000);
        let mut first = request.new_attempt().into_body();
        for _ in 0..2 {
            first.frame().await.unwrap().unwrap();
        }
        assert!(request.can_repeat());
        let second = request.new_attempt();
        assert!(first.frame().await.unwrap().is_err(), "the first attempt has ended");
        assert_eq!(body_len(second).await, Ok(5_000));
        assert_eq!(body_len(request.new_attempt()).await, Ok(5_000), "a third attempt, all from the buffer");
    }

    #[tokio::test]
    async fn long_body_cannot_be_repeated() {
        let request = request_in_pieces(300, 1_024);
        assert_eq!(body_len(request.new_attempt()).await, Ok(300 * 1_024));
        assert!(!request.can_repeat());
    }

    #[tokio::test]
    async fn each_attempt_has_the_whole_length() {
        let request =
            ReplayableRequest::new(Request::post("/x").body(Full::new(Bytes::from_static(b"abc"))).unwrap());
        for _ in 0..2 {
            let mut body = request.new_attempt().into_body();
            assert_eq!(body.size_hint().exact(), Some(3));
            assert!(!body.is_end_stream());
            body.frame().await.unwrap().unwrap();
            assert_eq!(body.size_hint().exact(), Some(0));
            assert!(body.is_end_stream());
        }
        let empty = ReplayableRequest::new(Request::get("/x").body(Full::new(Bytes::new())).unwrap());
        assert!(empty.new_attempt().into_body().is_end_stream());
    }
}
