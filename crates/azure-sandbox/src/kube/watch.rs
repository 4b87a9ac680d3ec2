//! Watches: streams of changes, one JSON object per line.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::cluster::Cluster;
use super::clusters::KubeClusters;
use super::list::{Filter, Shape};
use super::request::{Form, KubeRequest};
use super::status::StatusError;
use super::storage::{Change, State};
use super::value::set;

/// The default timeout of a watch.
const USUAL_LIFE: Duration = Duration::from_mins(45);
/// The interval of bookmarks.
const BOOKMARK: Duration = Duration::from_mins(1);

/// One watch.
struct Watch {
    kube: KubeClusters,
    cluster: Arc<Cluster>,
    filter: Filter,
    shape: Shape,
    /// The revision of the last change that was sent.
    since: u64,
    /// Whether the column definitions of a table were sent.
    named: bool,
    bookmarks: bool,
    end: Instant,
    next_bookmark: Instant,
    /// Whether the watch has failed.
    over: bool,
}

/// The stream of events, starting with the existing objects if no resource version is set.
pub(crate) fn answer(
    kube: &KubeClusters,
    cluster: &Arc<Cluster>,
    filter: Filter,
    request: &KubeRequest,
) -> Result<Body, StatusError> {
    let shape = Shape::of(request)?;
    let life = request.number::<u64>("timeoutSeconds")?.map_or(USUAL_LIFE, Duration::from_secs);
    let since = request.number::<u64>("resourceVersion")?.unwrap_or_default();
    let start = Instant::now();
    let mut watch = Watch {
        kube: kube.clone(),
        cluster: Arc::clone(cluster),
        filter,
        shape,
        since,
        named: false,
        bookmarks: request.flag("allowWatchBookmarks"),
        end: start + life,
        next_bookmark: start + BOOKMARK,
        over: false,
    };
    let mut first = Vec::new();
    {
        let state = cluster.state();
        if since == 0 {
            watch.tell_all(&state, &mut first);
        }
    }
    let first = Bytes::from(first);
    Ok(Body::from_stream(stream::unfold((first, watch), |(first, mut watch)| async move {
        if !first.is_empty() {
            return Some((Ok::<_, io::Error>(first), (Bytes::new(), watch)));
        }
        let more = watch.more().await?;
        Some((Ok(more), (Bytes::new(), watch)))
    })))
}

fn line(lines: &mut Vec<u8>, event: &Value) {
    lines.extend_from_slice(event.to_string().as_bytes());
    lines.push(b'\n');
}

impl Watch {
    /// Adds events for all existing objects.
    fn tell_all(&mut self, state: &State, lines: &mut Vec<u8>) {
        let namespace = self.filter.namespace.clone();
        for object in state.list(self.filter.resource, namespace.as_deref(), None) {
            if self.filter.fits(object) {
                line(lines, &self.event("ADDED", object));
            }
        }
        self.since = state.revision;
    }

    fn event(&mut self, kind: &str, object: &Value) -> Value {
        let named = !std::mem::replace(&mut self.named, true);
        let object = self.shape.one(self.filter.resource, object, &self.kube.now(), named);
        json!({"type": kind, "object": object})
    }

    /// The next events; `None` at the end.
    async fn more(&mut self) -> Option<Bytes> {
        let (stop, ended) = (self.kube.stop().clone(), self.cluster.ended());
        let mut changes = self.cluster.follow();
        while !self.over {
            changes.borrow_and_update();
            let lines = self.news();
            if !lines.is_empty() {
                return Some(lines.into());
            }
            tokio::select! {
                news = changes.changed() => news.ok()?,
                () = sleep_until(self.end) => return None,
                () = sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.next_bookmark = Instant::now() + BOOKMARK;
                    let mut lines = self.news();
                    line(&mut lines, &self.bookmark());
                    return Some(lines.into());
                }
                () = stop.cancelled() => return None,
                () = ended.cancelled() => return None,
            }
        }
        None
    }

    /// The events since the last call.
    fn news(&mut self) -> Vec<u8> {
        let cluster = Arc::clone(&self.cluster);
        let state = cluster.state();
        let mut lines = Vec::new();
        match state.since(self.since) {
            Err(oldest) => {
                self.over = true;
                let status = StatusError::expired(self.since, oldest).status();
                line(&mut lines, &json!({"type": "ERROR", "object": status}));
            }
            Ok(changes) => {
                for change in changes {
                    self.since = change.revision;
                    if let Some((kind, object)) = told(&self.filter, change) {
                        line(&mut lines, &self.event(kind, &object));
                    }
                }
            }
        }
        lines
    }

    /// A bookmark with the current revision.
    fn bookmark(&self) -> Value {
        let version = self.since.to_string();
        let resource = self.filter.resource;
        let mut object = match self.shape.form {
            Form::Table => json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
                "columnDefinitions": [], "rows": []}),
            Form::Metadata => json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}),
            Form::Objects => {
                json!({"kind": resource.kind, "apiVersion": resource.api_version()})
            }
        };
        set(&mut object, &["metadata", "resourceVersion"], version);
        set(&mut object, &["metadata", "creationTimestamp"], Value::Null);
        json!({"type": "BOOKMARK", "object": object})
    }
}

/// The event that a change is for a filter.
fn told(filter: &Filter, change: &Change) -> Option<(&'static str, Arc<Value>)> {
    let here = filter.namespace.as_deref().is_none_or(|wanted| change.key.namespace == wanted);
    if !here || !change.key.is_of(filter.resource) {
        return None;
    }
    let was = change.before.as_ref().filter(|before| filter.fits(before));
    let is = change.after.as_ref().filter(|after| filter.fits(after));
    match (was, is) {
        (None, Some(after)) => Some(("ADDED", Arc::clone(after))),
        (Some(_), Some(after)) => Some(("MODIFIED", Arc::clone(after))),
        (Some(before), None) => {
            // The last matching version of the object, with the revision of the change.
            let mut gone = Arc::clone(before);
            set(Arc::make_mut(&mut gone), &["metadata", "resourceVersion"], change.revision.to_string());
            Some(("DELETED", gone))
        }
        (None, None) => None,
    }
}
