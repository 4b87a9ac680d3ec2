//! A request on its way into a cluster that can be sent again: what of its body was read is remembered, as long as it is
//! little.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use hyper::upgrade::OnUpgrade;

use super::dial::Trouble;
use super::headers;
use super::link::Body as BoxedBody;
use super::tunnel::Protocol;

/// Of a body that is longer, nothing is remembered: nearly every object is smaller, and many requests pass at once.
const MAX_REPLAY_LEN: usize = 256 * 1024;

/// A request of a client.
pub struct Outgoing {
    head: Request<()>,
    /// The client's connection, where the protocol is to change.
    pub(super) near: Option<(Protocol, OnUpgrade)>,
    source: Arc<Mutex<Source>>,
}

impl Outgoing {
    /// Takes a request apart. Its address holds path and query inside the cluster.
    pub fn new<B>(mut request: Request<B>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Trouble>,
    {
        let near =
            headers::upgrade(request.headers()).map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        request.extensions_mut().clear();
        // How the client came here says nothing of the way on: the connection to the cluster decides.
        *request.version_mut() = Version::default();
        let (head, body) = request.into_parts();
        let body: BoxedBody = body.map_err(Into::into).boxed_unsync();
        let source =
            Source { total: body.size_hint(), body, seen: Vec::new(), seen_len: 0, lost: false, attempt: 0 };
        Self { head: Request::from_parts(head, ()), near, source: Arc::new(Mutex::new(source)) }
    }

    /// Whether the whole request is still there.
    pub fn can_repeat(&self) -> bool {
        !lock(&self.source).lost
    }

    /// The request, from its beginning. One that was made before fails.
    pub(super) fn attempt(&self) -> Request<BoxedBody> {
        let attempt = {
            let mut source = lock(&self.source);
            source.attempt += 1;
            source.attempt
        };
        let body = AttemptBody { source: Arc::clone(&self.source), attempt, next: 0, sent: 0 };
        self.head.clone().map(|()| body.boxed_unsync())
    }
}

struct Source {
    body: BoxedBody,
    /// Of the whole body, before anything was read.
    total: SizeHint,
    seen: Vec<Bytes>,
    seen_len: usize,
    /// Whether something was read that is not in `seen`.
    lost: bool,
    /// The number of the latest attempt.
    attempt: u32,
}

impl Source {
    fn remember(&mut self, frame: &Frame<Bytes>) {
        match frame.data_ref() {
            Some(data) if !self.lost && self.seen_len + data.len() <= MAX_REPLAY_LEN => {
                self.seen_len += data.len();
                self.seen.push(data.clone());
            }
            _ => {
                self.lost = true;
                self.seen = Vec::new();
            }
        }
    }
}

fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of one attempt: what was read before, then the rest.
struct AttemptBody {
    source: Arc<Mutex<Source>>,
    attempt: u32,
    /// The next of the remembered pieces.
    next: usize,
    sent: u64,
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = Trouble;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Trouble>>> {
        let this = self.get_mut();
        let mut source = lock(&this.source);
        // Only one may wait for the client, and the cluster has answered the earlier ones.
        if source.attempt != this.attempt {
            return Poll::Ready(Some(Err("the request is sent again".into())));
        }
        let frame = if let Some(data) = source.seen.get(this.next) {
            Frame::data(data.clone())
        } else {
            let polled = Pin::new(&mut source.body).poll_frame(context);
            let Poll::Ready(Some(Ok(frame))) = polled else { return polled };
            source.remember(&frame);
            frame
        };
        this.next += 1;
        let len = frame.data_ref().map_or(0, Bytes::len);
        this.sent += u64::try_from(len).unwrap_or(u64::MAX);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let source = lock(&self.source);
        self.next >= source.seen.len() && source.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let total = &lock(&self.source).total;
        let mut left = SizeHint::new();
        left.set_lower(total.lower().saturating_sub(self.sent));
        if let Some(upper) = total.upper() {
            left.set_upper(upper.saturating_sub(self.sent));
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn pieces(count: usize, len: usize) -> Outgoing {
        let piece = move |_| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; len])));
        let body = StreamBody::new(stream::iter((0..count).map(piece)));
        Outgoing::new(Request::post("/x").body(body).unwrap())
    }

    async fn len(request: Request<BoxedBody>) -> Result<usize, String> {
        let body = request.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok(body.to_bytes().len())
    }

    #[tokio::test]
    async fn second_attempt_sends_what_the_first_has_read_and_the_rest() {
        let outgoing = pieces(5, 1_000);
        let mut first = outgoing.attempt().into_body();
        for _ in 0..2 {
            first.frame().await.unwrap().unwrap();
        }
        assert!(outgoing.can_repeat());
        let second = outgoing.attempt();
        assert!(first.frame().await.unwrap().is_err(), "the first attempt is over");
        assert_eq!(len(second).await, Ok(5_000));
        assert_eq!(len(outgoing.attempt()).await, Ok(5_000), "a third one, all from memory");
    }

    #[tokio::test]
    async fn long_body_passes_and_cannot_be_repeated() {
        let outgoing = pieces(300, 1_024);
        assert_eq!(len(outgoing.attempt()).await, Ok(300 * 1_024));
        assert!(!outgoing.can_repeat());
    }

    #[tokio::test]
    async fn every_attempt_names_the_whole_length() {
        let outgoing =
            Outgoing::new(Request::post("/x").body(Full::new(Bytes::from_static(b"abc"))).unwrap());
        for _ in 0..2 {
            let mut body = outgoing.attempt().into_body();
            assert_eq!(body.size_hint().exact(), Some(3));
            assert!(!body.is_end_stream());
            body.frame().await.unwrap().unwrap();
            assert_eq!(body.size_hint().exact(), Some(0));
            assert!(body.is_end_stream());
        }
        let empty = Outgoing::new(Request::get("/x").body(Full::new(Bytes::new())).unwrap());
        assert!(empty.attempt().into_body().is_end_stream());
    }
}
