//! Watches the objects that grant rights in a cluster.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, SelectAll};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::Resource;
use kube::api::{WatchEvent, WatchParams};
use kube::core::PartialObjectMeta;
use serde::de::DeserializeOwned;

use super::desired::{self, CLUSTER_ROLES, NAMESPACE_EDIT};
use super::state::{MEMBERS_LABEL, RoleState};
use crate::error::Error;
use crate::kube_client::KubeClient;

/// A report of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Changed,
    /// The watch has expired, or its version is too old.
    Ended,
}

type Signals = Pin<Box<dyn Stream<Item = Result<Signal, Error>> + Send>>;

/// A watch of the rights in a cluster. Dropping it ends its requests.
pub struct RoleWatch {
    signals: SelectAll<Signals>,
}

impl RoleWatch {
    /// Waits for a change; false if the watch has ended and must be opened again. Cancel-safe.
    pub async fn changed(&mut self) -> Result<bool, Error> {
        match self.signals.next().await {
            Some(signal) => signal.map(|signal| signal == Signal::Changed),
            None => Ok(false),
        }
    }

    /// Skips the changes that were already reported; false if the watch has ended.
    pub fn drain(&mut self) -> Result<bool, Error> {
        while let Some(signal) = self.signals.next().now_or_never() {
            match signal.transpose()? {
                Some(Signal::Changed) => {}
                Some(Signal::Ended) | None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Opens a watch that starts at `state` and lasts about `duration`.
pub(crate) async fn open(
    kube: &KubeClient,
    state: &RoleState,
    duration: Duration,
) -> Result<RoleWatch, Error> {
    let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let params = || WatchParams { bookmarks: false, ..WatchParams::default() }.timeout(seconds);
    let by_name = params().fields(&format!("metadata.name={NAMESPACE_EDIT}"));
    let by_label = params().labels(MEMBERS_LABEL);
    let is_role = |name: &str| CLUSTER_ROLES.contains(&name);
    let is_binding = desired::is_own_cluster_binding;
    let versions = &state.versions;
    let signals = [
        watch::<ClusterRole>(kube, &params(), &versions.cluster_roles, is_role).await?,
        watch::<ClusterRoleBinding>(kube, &params(), &versions.cluster_bindings, is_binding).await?,
        watch::<RoleBinding>(kube, &by_name, &versions.namespace_bindings, |_| true).await?,
        watch::<Namespace>(kube, &by_label, &versions.namespaces, |_| true).await?,
    ];
    Ok(RoleWatch { signals: stream::select_all(signals) })
}

async fn watch<K>(
    kube: &KubeClient,
    params: &WatchParams,
    version: &str,
    is_relevant: fn(&str) -> bool,
) -> Result<Signals, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let events =
        kube.api::<K>().watch_metadata(params, version).await.map_err(|error| kube.to_error(error))?;
    let kube = kube.clone();
    let signals =
        events.filter_map(move |event| std::future::ready(to_signal(event, is_relevant, &kube).transpose()));
    Ok(signals.chain(stream::once(std::future::ready(Ok(Signal::Ended)))).boxed())
}

fn to_signal<K>(
    event: kube::Result<WatchEvent<PartialObjectMeta<K>>>,
    is_relevant: fn(&str) -> bool,
    kube: &KubeClient,
) -> Result<Option<Signal>, Error> {
    match event.map_err(|error| kube.to_error(error))? {
        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            Ok(is_relevant(name).then_some(Signal::Changed))
        }
        WatchEvent::Bookmark(_) => Ok(None),
        // The version is too old: the caller reads the state again.
        WatchEvent::Error(status) if status.code == 410 => Ok(Some(Signal::Ended)),
        WatchEvent::Error(status) => Err(kube.to_error(kube::Error::Api(status))),
    }
}
