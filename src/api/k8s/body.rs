//! The body of a proxied request, with the size limit of Kubernetes. If a body is no longer needed, because the request was
//! rejected or the cluster responded early, it is still read for a while. Otherwise a client that is sending would get a
//! connection reset instead of the response.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http::header::EXPECT;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::runtime::Handle;

use crate::service::kubernetes::BodyTooLarge;

/// The maximum length of a request body, as in Kubernetes.
pub(super) const MAX_BODY_LEN: usize = 3 * 1024 * 1024;

/// The limits for reading the rest of a body that is no longer needed.
const MAX_DISCARDED_LEN: usize = 32 * 1024 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

/// The body of a proxied request, without trailers.
pub(super) struct RequestBody {
    /// `None` after the end or an error, or once a task discards the rest.
    inner: Option<Body>,
    /// The number of bytes that may still be read.
    remaining: usize,
    /// Whether the client waits for `100 Continue`, which the first poll of the body sends.
    awaits_continue: bool,
}

impl RequestBody {
    pub(super) fn new(body: Body, headers: &http::HeaderMap) -> Self {
        Self { inner: Some(body), remaining: MAX_BODY_LEN, awaits_continue: headers.contains_key(EXPECT) }
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.inner = None;
        Poll::Ready(None)
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        this.awaits_continue = false;
        let data = match std::task::ready!(Pin::new(inner).poll_frame(context)) {
            Some(Ok(frame)) => frame.into_data(),
            Some(Err(error)) => {
                this.inner = None;
                return Poll::Ready(Some(Err(error)));
            }
            None => return this.end(),
        };
        // Trailers are the last frame.
        let Ok(data) = data else { return this.end() };
        if let Some(remaining) = this.remaining.checked_sub(data.len()) {
            this.remaining = remaining;
            Poll::Ready(Some(Ok(Frame::data(data))))
        } else {
            this.spawn_discard();
            Poll::Ready(Some(Err(axum::Error::new(BodyTooLarge))))
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl RequestBody {
    /// Spawns a task that discards the rest, unless the client waits for `100 Continue`. The task ends with the connection at
    /// the latest.
    fn spawn_discard(&mut self) {
        let Some(body) = self.inner.take().filter(|body| !self.awaits_continue && !body.is_end_stream())
        else {
            return;
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(DISCARD_TIMEOUT, discard(body)));
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.spawn_discard();
    }
}

/// Reads the rest of a body, up to a limit.
async fn discard(mut body: Body) {
    let mut remaining = MAX_DISCARDED_LEN;
    while let Some(Ok(frame)) = body.frame().await {
        let len = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = remaining.checked_sub(len) else { return };
        remaining = rest;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    /// A body of `count` pieces of 1 MiB, and the number of pieces read.
    fn pieces(count: usize) -> (Body, Arc<AtomicUsize>) {
        let read_count = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&read_count);
        let pieces = (0..count).map(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from(vec![0; 1024 * 1024]))
        });
        (Body::from_stream(stream::iter(pieces)), read_count)
    }

    /// Runs spawned tasks until `expected` pieces are read.
    async fn wait_until_read(read_count: &AtomicUsize, expected: usize) {
        for _ in 0..10_000 {
            if read_count.load(Ordering::SeqCst) >= expected {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(read_count.load(Ordering::SeqCst), expected);
    }

    #[tokio::test]
    async fn body_over_the_limit_fails() {
        let (body, _) = pieces(3);
        let read = RequestBody::new(body, &HeaderMap::new()).collect().await.unwrap();
        assert_eq!(read.to_bytes().len(), MAX_BODY_LEN);
        let (body, read_count) = pieces(10);
        let error = RequestBody::new(body, &HeaderMap::new()).collect().await.unwrap_err();
        assert!(error.into_inner().is::<BodyTooLarge>());
        wait_until_read(&read_count, 10).await;
    }

    #[tokio::test]
    async fn dropped_body_is_read_up_to_a_limit() {
        let (body, read_count) = pieces(10);
        drop(RequestBody::new(body, &HeaderMap::new()));
        wait_until_read(&read_count, 10).await;
        let (body, read_count) = pieces(100);
        drop(RequestBody::new(body, &HeaderMap::new()));
        wait_until_read(&read_count, MAX_DISCARDED_LEN / 1024 / 1024 + 1).await;
    }

    #[tokio::test]
    async fn body_that_waits_for_100_continue_is_not_read() {
        let (body, read_count) = pieces(10);
        let headers = HeaderMap::from_iter([(EXPECT, HeaderValue::from_static("100-continue"))]);
        drop(RequestBody::new(body, &headers));
        tokio::task::yield_now().await;
        assert_eq!(read_count.load(Ordering::SeqCst), 0);
    }
}
