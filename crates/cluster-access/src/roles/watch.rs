//! Changes of the objects that the rights in a cluster come from, as the cluster reports them.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, SelectAll};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::api::{WatchEvent, WatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::desired::{self, CLUSTER_ROLES, NAMESPACE_EDIT};
use super::{MEMBERS_LABEL, RoleState};
use crate::error::Error;
use crate::{Access, Downstream, in_time, told};

/// Where the watches of a cluster begin: the versions of the lists that were read.
#[derive(Clone, Debug)]
pub(super) struct Versions {
    pub(super) cluster_roles: String,
    pub(super) cluster_bindings: String,
    pub(super) bindings: String,
    pub(super) namespaces: String,
}

/// What one of the watches reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Changed,
    /// The watch has ended in the usual way, or what it began with is too old.
    Ended,
}

type Signals = Pin<Box<dyn Stream<Item = Result<Signal, Error>> + Send>>;

/// A watch over the rights in a cluster. Dropping it ends the requests.
pub struct RoleWatch {
    signals: SelectAll<Signals>,
}

impl RoleWatch {
    /// Waits until something changed; false when the watch has ended and has to be opened anew. Losing the future loses
    /// nothing.
    pub async fn changed(&mut self) -> Result<bool, Error> {
        match self.signals.next().await {
            Some(signal) => signal.map(|signal| signal == Signal::Changed),
            None => Ok(false),
        }
    }

    /// Takes the changes that were reported already; false when the watch has ended.
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

impl Downstream {
    /// Watches the rights in a cluster from where `state` was read, for about `duration`.
    pub async fn watch_roles(
        &self,
        access: &Access,
        state: &RoleState,
        duration: Duration,
    ) -> Result<RoleWatch, Error> {
        let link = self.parts.links.to(access)?;
        let (client, host) = (link.kube(), link.host());
        let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        in_time(host, self.parts.roles_limit, open(&client, host, &state.versions, seconds)).await
    }
}

async fn open(client: &Client, host: &str, versions: &Versions, seconds: u32) -> Result<RoleWatch, Error> {
    let params = || WatchParams { bookmarks: false, ..WatchParams::default() }.timeout(seconds);
    let named = params().fields(&format!("metadata.name={NAMESPACE_EDIT}"));
    let labelled = params().labels(MEMBERS_LABEL);
    let signals = [
        watch::<ClusterRole>(client, host, &params(), &versions.cluster_roles, |name| {
            CLUSTER_ROLES.contains(&name)
        })
        .await?,
        watch::<ClusterRoleBinding>(
            client,
            host,
            &params(),
            &versions.cluster_bindings,
            desired::is_cluster_binding,
        )
        .await?,
        watch::<RoleBinding>(client, host, &named, &versions.bindings, |_| true).await?,
        watch::<Namespace>(client, host, &labelled, &versions.namespaces, |_| true).await?,
    ];
    Ok(RoleWatch { signals: stream::select_all(signals) })
}

async fn watch<K>(
    client: &Client,
    host: &str,
    params: &WatchParams,
    version: &str,
    matters: fn(&str) -> bool,
) -> Result<Signals, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let api: Api<K> = Api::all(client.clone());
    let host = host.to_owned();
    let events = api.watch_metadata(params, version).await.map_err(|error| told(&host, error))?;
    let signals =
        events.filter_map(move |event| std::future::ready(signal(event, matters, &host).transpose()));
    Ok(signals.chain(stream::once(std::future::ready(Ok(Signal::Ended)))).boxed())
}

fn signal<K>(
    event: kube::Result<WatchEvent<PartialObjectMeta<K>>>,
    matters: fn(&str) -> bool,
    host: &str,
) -> Result<Option<Signal>, Error> {
    match event.map_err(|error| told(host, error))? {
        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            Ok(matters(name).then_some(Signal::Changed))
        }
        WatchEvent::Bookmark(_) => Ok(None),
        // Everything is read anew, from where the cluster is now.
        WatchEvent::Error(status) if status.code == 410 => Ok(Some(Signal::Ended)),
        WatchEvent::Error(status) => Err(told(host, kube::Error::Api(status))),
    }
}
