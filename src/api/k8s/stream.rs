//! Streamed responses. They end when the caller loses access or the server stops. A watch then ends normally, between two
//! events; any other response is aborted, so that it does not look complete to the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Fuse};
use http::{HeaderMap, StatusCode};
use hyper::body::{Frame, SizeHint};
use serde_json::{Value, json};
use tokio::time::Sleep;

use super::framing::Framing;
use super::status;
use crate::service::kubernetes::{Closing, EndReason, ProxyGuard, UpgradedConnections};

/// The time limit for the rest of an event.
const EVENT_TIMEOUT: Duration = Duration::from_secs(1);

/// WebSocket's status codes.
const GOING_AWAY: u16 = 1001;
const POLICY_VIOLATION: u16 = 1008;

/// Joins the two upgraded connections until they end, the caller loses access, or the server stops.
pub(super) async fn join(connections: UpgradedConnections, guard: ProxyGuard, is_watch: bool) {
    // `guard` is only borrowed, so its permit is held until the connections end.
    let closing = async {
        let reason = guard.ended().await;
        let code = match reason {
            EndReason::ServerStopping => GOING_AWAY,
            EndReason::AccessLost => POLICY_VIOLATION,
        };
        let last_message =
            (is_watch && reason == EndReason::AccessLost).then(|| access_lost_event().to_string());
        Closing { code, reason: reason.to_string(), last_message }
    };
    if let Err(error) = connections.join(closing).await {
        tracing::debug!(%error, "joined connection failed");
    }
}

/// The last event of a watch whose caller has lost access.
fn access_lost_event() -> Value {
    let message = EndReason::AccessLost.to_string();
    json!({"type": "ERROR", "object": status::to_object(StatusCode::FORBIDDEN, "Forbidden", &message)})
}

/// The kind of a body, which determines how it can be ended.
#[derive(Debug)]
pub(super) enum BodyKind {
    /// A watch. Its client watches again after any end.
    Watch(Framing),
    /// Any other body. If it ended early, its client would mistake it for a complete one.
    Other,
}

impl BodyKind {
    /// The kind of a response with these headers.
    pub(super) fn new(is_watch: bool, headers: &HeaderMap) -> Self {
        if is_watch { Self::Watch(Framing::from_headers(headers)) } else { Self::Other }
    }
}

/// A body that ends when `end_signal` completes. Trailers are dropped.
pub(super) fn end_when(
    body: Body,
    kind: BodyKind,
    end_signal: impl Future<Output = EndReason> + Send + 'static,
) -> Body {
    Body::new(AbortableBody { body: Some(body), kind, end_signal: end_signal.boxed().fuse(), ending: None })
}

/// A body that can end or be aborted before its end.
struct AbortableBody {
    /// `None` at the end. Dropping the body ends the proxied request.
    body: Option<Body>,
    kind: BodyKind,
    end_signal: Fuse<BoxFuture<'static, EndReason>>,
    /// The reason for the end, and the deadline of the current event.
    ending: Option<(EndReason, Pin<Box<Sleep>>)>,
}

type PollFrame = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

impl AbortableBody {
    fn end(&mut self) -> PollFrame {
        self.body = None;
        Poll::Ready(None)
    }

    fn abort(&mut self, cause: impl Into<axum::BoxError>) -> PollFrame {
        self.body = None;
        Poll::Ready(Some(Err(axum::Error::new(cause))))
    }

    /// Polls the next frame while `end_signal` is pending.
    fn poll_next(&mut self, context: &mut Context<'_>) -> PollFrame {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { return self.end() };
                if let BodyKind::Watch(framing) = &mut self.kind {
                    framing.advance(&data);
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => match &self.kind {
                // The API server probably stopped. All events are complete, and the client will watch again.
                BodyKind::Watch(framing) if framing.is_between_events() == Some(true) => self.end(),
                _ => self.abort(error),
            },
            None => self.end(),
        }
    }

    /// Polls the rest of the current event after `end_signal` has completed.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> PollFrame {
        let (Some(body), BodyKind::Watch(framing)) = (&mut self.body, &mut self.kind) else {
            return self.end();
        };
        match ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Poll::Ready(Some(Ok(Frame::data(framing.finish_event(data))))),
                Err(_) => self.end(),
            },
            Some(Err(error)) => self.abort(error),
            None => self.end(),
        }
    }
}

impl HttpBody for AbortableBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> PollFrame {
        let this = self.get_mut();
        if this.body.is_none() {
            return Poll::Ready(None);
        }
        if this.ending.is_none()
            && let Poll::Ready(reason) = this.end_signal.poll_unpin(context)
        {
            this.ending = Some((reason, Box::pin(tokio::time::sleep(EVENT_TIMEOUT))));
        }
        let Some((reason, timeout)) = &mut this.ending else { return this.poll_next(context) };
        let reason = *reason;
        let framing = match &this.kind {
            BodyKind::Watch(framing) => framing,
            BodyKind::Other => return this.abort(io::Error::other(reason)),
        };
        match framing.is_between_events() {
            Some(true) if reason == EndReason::AccessLost && matches!(framing, Framing::Json(_)) => {
                this.body = None;
                Poll::Ready(Some(Ok(Frame::data(format!("{}\n", access_lost_event()).into()))))
            }
            Some(true) | None => this.end(),
            Some(false) if timeout.poll_unpin(context).is_ready() => {
                this.abort(io::Error::other("the cluster did not finish an event in time"))
            }
            Some(false) => this.poll_rest(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.kind, &self.body) {
            (BodyKind::Other, Some(body)) => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;

    use futures_util::{StreamExt as _, stream};
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;
    use http_body_util::BodyExt as _;

    use super::*;

    const EVENT: &str = "{\"type\":\"ADDED\",\"object\":{}}\n";
    const UNKNOWN_FRAMING: &str = "application/gzip";

    fn watch(content_type: &'static str) -> BodyKind {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        BodyKind::new(true, &headers)
    }

    fn json_watch() -> BodyKind {
        watch("application/json")
    }

    /// A body of `pieces` that remains open or fails after them.
    fn body<const N: usize>(pieces: [&'static str; N], fails: bool) -> Body {
        let pieces = stream::iter(pieces.map(|piece| Ok::<_, io::Error>(Bytes::from(piece))));
        let end = if fails {
            stream::once(async { Err(io::Error::other("reset")) }).boxed()
        } else {
            stream::pending().boxed()
        };
        Body::from_stream(pieces.chain(end))
    }

    /// Completes after `polls` polls.
    fn end_after(polls: usize, reason: EndReason) -> impl Future<Output = EndReason> + Send + 'static {
        let mut left = polls;
        std::future::poll_fn(move |context| match left.checked_sub(1) {
            None => Poll::Ready(reason),
            Some(remaining) => {
                left = remaining;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
    }

    async fn read(body: Body) -> Result<String, axum::Error> {
        Ok(String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn other_bodies_are_aborted() {
        let complete = end_when(Body::from("abc"), BodyKind::Other, pending());
        assert_eq!(complete.size_hint().exact(), Some(3));
        assert_eq!(read(complete).await.unwrap(), "abc");
        for reason in [EndReason::AccessLost, EndReason::ServerStopping] {
            assert!(read(end_when(Body::from("abc"), BodyKind::Other, ready(reason))).await.is_err());
        }
        assert!(read(end_when(body(["abc"], true), BodyKind::Other, pending())).await.is_err());
    }

    #[tokio::test]
    async fn watch_ends_cleanly_when_the_server_stops() {
        for kind in [json_watch(), watch(UNKNOWN_FRAMING)] {
            let stopped = end_when(body([EVENT], false), kind, end_after(1, EndReason::ServerStopping));
            assert_eq!(read(stopped).await.unwrap(), EVENT);
        }
    }

    #[tokio::test]
    async fn lost_access_is_the_last_event_of_a_json_watch() {
        let ended = read(end_when(body([EVENT], false), json_watch(), end_after(1, EndReason::AccessLost)))
            .await
            .unwrap();
        let last: Value = serde_json::from_str(ended.strip_prefix(EVENT).unwrap()).unwrap();
        assert_eq!((&last["type"], &last["object"]["code"]), (&json!("ERROR"), &json!(403)));
        assert_eq!(
            (&last["object"]["kind"], &last["object"]["reason"]),
            (&json!("Status"), &json!("Forbidden"))
        );
        let other =
            end_when(body([EVENT], false), watch(UNKNOWN_FRAMING), end_after(1, EndReason::AccessLost));
        assert_eq!(read(other).await.unwrap(), EVENT);
    }

    #[tokio::test]
    async fn current_event_is_completed_and_no_other_starts() {
        let (start, rest) = EVENT.split_at(9);
        let next = "{\"type\":\"ADDED\",\"object\":{\"secret\":1}}\n";
        let rest: &'static str = format!("{rest}{next}").leak();
        let text =
            read(end_when(body([start, rest], false), json_watch(), end_after(1, EndReason::AccessLost)))
                .await
                .unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(EVENT.trim_end()));
        assert!(lines.next().unwrap().contains("ERROR") && lines.next().is_none(), "{text}");
        let text =
            read(end_when(body([start, rest], false), json_watch(), end_after(1, EndReason::ServerStopping)))
                .await
                .unwrap();
        assert_eq!(text, EVENT);
    }

    #[tokio::test]
    async fn incomplete_event_is_aborted_after_the_timeout() {
        let start = &EVENT[..9];
        assert!(
            read(end_when(body([start], false), json_watch(), end_after(1, EndReason::AccessLost)))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn failure_between_events_ends_the_watch() {
        assert_eq!(read(end_when(body([EVENT], true), json_watch(), pending())).await.unwrap(), EVENT);
        assert!(read(end_when(body([EVENT, "{"], true), json_watch(), pending())).await.is_err());
        assert!(read(end_when(body(["abc"], true), watch(UNKNOWN_FRAMING), pending())).await.is_err());
    }

    #[tokio::test]
    async fn dropped_body_releases_its_resources() {
        let held = Arc::new(());
        let holding = Arc::clone(&held);
        let ended = async move {
            pending::<()>().await;
            drop(holding);
            EndReason::ServerStopping
        };
        let mut body = end_when(Body::from("abc"), BodyKind::Other, ended);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert_eq!(Arc::strong_count(&held), 2);
        drop(body);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
