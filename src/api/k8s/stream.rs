//! Answers that are on their way for long: they hold their place, and end when their caller may no longer be inside.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Fuse};
use hyper::body::{Frame, SizeHint};

use crate::service::kubernetes::Pass;

/// Joins two connections beside the request, until they end or the caller may no longer be inside.
pub(super) fn run(joining: impl Future<Output = io::Result<()>> + Send + 'static, pass: Pass) {
    tokio::spawn(async move {
        tokio::select! {
            joined = joining => {
                if let Err(error) = joined {
                    tracing::debug!(%error, "a joined connection broke off");
                }
            }
            // The pass is held, and so is its place, until one of both.
            () = pass.ended() => {}
        }
    });
}

/// A body that breaks off when `ended` comes. To the client it must not look as if it were complete.
pub(super) fn until(body: Body, ended: impl Future<Output = ()> + Send + 'static) -> Body {
    Body::new(Until { body: Some(body), ended: ended.boxed().fuse() })
}

struct Until {
    /// None when it was broken off: the request into the cluster ends with it.
    body: Option<Body>,
    ended: Fuse<BoxFuture<'static, ()>>,
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, ended } = self.get_mut();
        let Some(inner) = body else { return Poll::Ready(None) };
        if ended.poll_unpin(context).is_ready() {
            *body = None;
            let error =
                io::Error::other("the caller may no longer be inside the cluster, or the server stops");
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        }
        Pin::new(inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_passes_until_its_end_comes_and_breaks_off_then() {
        let whole = until(Body::from("abc"), std::future::pending());
        assert_eq!(whole.size_hint().exact(), Some(3));
        assert_eq!(whole.collect().await.unwrap().to_bytes(), "abc");
        let broken = until(Body::from("abc"), std::future::ready(()));
        assert!(broken.collect().await.is_err());
    }

    #[tokio::test]
    async fn what_a_body_holds_is_free_when_it_is_gone() {
        let held = Arc::new(());
        let holding = Arc::clone(&held);
        let mut body = until(Body::from("abc"), async move {
            std::future::pending::<()>().await;
            drop(holding);
        });
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert_eq!(Arc::strong_count(&held), 2);
        drop(body);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
