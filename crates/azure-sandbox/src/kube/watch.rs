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
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(45);
/// The interval of bookmarks.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);

/// The state of a watch.
struct Watch {
    kube: KubeClusters,
    cluster: Arc<Cluster>,
    filter: Filter,
    shape: Shape,
    /// The revision of the last change that was processed, whether it matched the filter or not.
    last_revision: u64,
    /// Whether the column definitions of a table were sent.
    columns_sent: bool,
    sends_bookmarks: bool,
    deadline: Instant,
    next_bookmark: Instant,
    /// Whether the watch has ended with an `ERROR` event.
    has_failed: bool,
}

/// The error of an API server without the feature `WatchList`.
const NO_WATCH_LIST: &str = "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is \
                             forbidden for watch unless the WatchList feature gate is enabled";

/// The stream of events, starting with the existing objects if the resource version is unset or 0.
pub(crate) fn respond(
    kube: &KubeClusters,
    cluster: &Arc<Cluster>,
    filter: Filter,
    request: &KubeRequest,
) -> Result<Body, StatusError> {
    if request.query.iter().any(|(key, _)| key == "sendInitialEvents") {
        // Clients then list and watch instead. Without the error, they would wait for the end of the initial events.
        return Err(StatusError::new(422, "Invalid", NO_WATCH_LIST));
    }
    let shape = Shape::from_request(request)?;
    let timeout = request.number::<u64>("timeoutSeconds")?.map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    let since = request.number::<u64>("resourceVersion")?.unwrap_or_default();
    let start = Instant::now();
    let mut watch = Watch {
        kube: kube.clone(),
        cluster: Arc::clone(cluster),
        filter,
        shape,
        last_revision: since,
        columns_sent: false,
        sends_bookmarks: request.flag("allowWatchBookmarks"),
        deadline: start + timeout,
        next_bookmark: start + BOOKMARK_INTERVAL,
        has_failed: false,
    };
    let mut first = Vec::new();
    {
        let state = cluster.state();
        if since == 0 {
            watch.add_existing(&state, &mut first);
        }
    }
    let first = Bytes::from(first);
    Ok(Body::from_stream(stream::unfold((first, watch), |(first, mut watch)| async move {
        if !first.is_empty() {
            return Some((Ok::<_, io::Error>(first), (Bytes::new(), watch)));
        }
        let events = watch.next_events().await?;
        Some((Ok(events), (Bytes::new(), watch)))
    })))
}

fn write_line(lines: &mut Vec<u8>, event: &Value) {
    lines.extend_from_slice(event.to_string().as_bytes());
    lines.push(b'\n');
}

impl Watch {
    /// Adds events for all existing objects that match the filter.
    fn add_existing(&mut self, state: &State, lines: &mut Vec<u8>) {
        let namespace = self.filter.namespace.clone();
        for object in state.list(self.filter.resource, namespace.as_deref(), None) {
            if self.filter.matches(object) {
                write_line(lines, &self.event("ADDED", object));
            }
        }
        self.last_revision = state.revision;
    }

    fn event(&mut self, event_type: &str, object: &Value) -> Value {
        let with_columns = !std::mem::replace(&mut self.columns_sent, true);
        let object = self.shape.render(self.filter.resource, object, &self.kube.now(), with_columns);
        json!({"type": event_type, "object": object})
    }

    /// The next events; `None` at the end.
    async fn next_events(&mut self) -> Option<Bytes> {
        let (stop, stream_end) = (self.kube.stop().clone(), self.cluster.stream_end());
        let mut changes = self.cluster.subscribe();
        while !self.has_failed {
            changes.borrow_and_update();
            let lines = self.pending_events();
            if !lines.is_empty() {
                return Some(lines.into());
            }
            tokio::select! {
                result = changes.changed() => result.ok()?,
                () = sleep_until(self.deadline) => return None,
                () = sleep_until(self.next_bookmark), if self.sends_bookmarks => {
                    self.next_bookmark = Instant::now() + BOOKMARK_INTERVAL;
                    let mut lines = self.pending_events();
                    write_line(&mut lines, &self.bookmark());
                    return Some(lines.into());
                }
                () = stop.cancelled() => return None,
                () = stream_end.cancelled() => return None,
            }
        }
        None
    }

    /// The events since the last call.
    fn pending_events(&mut self) -> Vec<u8> {
        let cluster = Arc::clone(&self.cluster);
        let state = cluster.state();
        let mut lines = Vec::new();
        match state.changes_since(self.last_revision) {
            Err(oldest) => {
                self.has_failed = true;
                let status = StatusError::expired(self.last_revision, oldest).status();
                write_line(&mut lines, &json!({"type": "ERROR", "object": status}));
            }
            Ok(changes) => {
                for change in changes {
                    self.last_revision = change.revision;
                    if let Some((event_type, object)) = watch_event(&self.filter, change) {
                        write_line(&mut lines, &self.event(event_type, &object));
                    }
                }
            }
        }
        lines
    }

    /// A bookmark with the revision of the last processed change.
    fn bookmark(&self) -> Value {
        let version = self.last_revision.to_string();
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

/// The event for a change, as seen through a filter.
fn watch_event(filter: &Filter, change: &Change) -> Option<(&'static str, Arc<Value>)> {
    let in_namespace = filter.namespace.as_deref().is_none_or(|namespace| change.key.namespace == namespace);
    if !in_namespace || !change.key.has_type(filter.resource) {
        return None;
    }
    let before = change.before.as_ref().filter(|before| filter.matches(before));
    let after = change.after.as_ref().filter(|after| filter.matches(after));
    match (before, after) {
        (None, Some(after)) => Some(("ADDED", Arc::clone(after))),
        (Some(_), Some(after)) => Some(("MODIFIED", Arc::clone(after))),
        (Some(before), None) => {
            // The last matching version of the object, with the revision of the change.
            let mut deleted = Arc::clone(before);
            set(Arc::make_mut(&mut deleted), &["metadata", "resourceVersion"], change.revision.to_string());
            Some(("DELETED", deleted))
        }
        (None, None) => None,
    }
}
