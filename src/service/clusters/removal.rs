//! Removes clusters. Usually, the worker also deletes the cluster in Azure. A forced removal deletes only the object, for
//! example because its credential no longer works; the resources in Azure remain, and the response lists them.

use aks::left_behind::{ClusterFacts, LeftBehind, left_behind};
use aks::spec::{AKS_CONFIG, ClusterSpec, Object};
use aks::status::ClusterStatus;

use super::{Cluster, Clusters, OBJECT_TYPE, Result};
use crate::service::Error;
use crate::service::actor::Actor;
use crate::service::audit::Action;
use crate::service::credentials::{MAX_ATTEMPTS, last_use_erasure};
use crate::service::secrets::SERVICE_ACCOUNT_TOKEN_SECRET;
use crate::store::clusters::RemovalRecords;
use crate::store::{self, ClusterRow, NewClusterEvent, NextRun};

/// The kind of a cluster's last event.
pub const REMOVED: &str = "removed";

impl Clusters {
    /// Starts the removal of a cluster and returns the cluster. The worker deletes the cluster in Azure unless it was imported,
    /// and then the object. Repeated calls change nothing.
    pub async fn delete(&self, by: &Actor, id: &str) -> Result<Cluster> {
        let result = self.remove(by, id).await;
        self.inner.credentials.invalidate_resolved();
        self.inner.audit_log.record_failure(by, Action::Delete, OBJECT_TYPE, id, result).await
    }

    async fn remove(&self, by: &Actor, id: &str) -> Result<Cluster> {
        for _ in 0..MAX_ATTEMPTS {
            let mut row = self.changeable_row(&by.caller, id).await?;
            let now_ms = self.inner.clock.now_ms();
            let audit = by.audit(Action::Delete, OBJECT_TYPE, id, now_ms);
            if row.removing_ms.is_some() {
                store::audit::insert(&self.inner.store, &audit).await?;
                return row.try_into();
            }
            row.removing_ms = Some(now_ms);
            row.generation += 1;
            row.updated_ms = now_ms;
            match store::clusters::update(&self.inner.store, &row, Some(NextRun(now_ms)), None, &audit).await
            {
                Err(store::Error::Conflict { .. }) => {}
                outcome => {
                    outcome?;
                    self.inner.worker_wake_up.notify_one();
                    return row.try_into();
                }
            }
        }
        Err(Error::Conflict { id: id.to_owned() })
    }

    /// Removes only the object, immediately, even if the worker holds its lease. Returns the cluster and the resources that
    /// remain in Azure.
    pub async fn delete_object_only(&self, by: &Actor, id: &str) -> Result<(Cluster, LeftBehind)> {
        let result = self.remove_object(by, id).await;
        self.inner.credentials.invalidate_resolved();
        if result.is_ok() {
            self.inner.notifier.notify(id);
        }
        self.inner.audit_log.record_failure(by, Action::Delete, OBJECT_TYPE, id, result).await
    }

    async fn remove_object(&self, by: &Actor, id: &str) -> Result<(Cluster, LeftBehind)> {
        let row = self.changeable_row(&by.caller, id).await?;
        let credential = self.current_credential(row.credential_id).await?;
        let now_ms = self.inner.clock.now_ms();
        let token = store::cluster_secrets::get(&self.inner.store, id, SERVICE_ACCOUNT_TOKEN_SECRET).await?;
        let service_account = token.map(|_| cluster_access::SERVICE_ACCOUNT);
        let mut left_behind = LeftBehind::default();
        // The closure gets the latest row, which the worker may have changed.
        let removed = store::clusters::remove(&self.inner.store, id, |row| {
            left_behind = left_behind_by(row, credential.subscription_id.as_deref(), service_account);
            let data = serde_json::json!({
                "forced": true, "generation": row.generation, "leftBehind": left_behind, "phase": row.work.phase,
                "state": "removing",
            });
            let event = NewClusterEvent {
                at_ms: now_ms,
                kind: REMOVED.to_owned(),
                message: left_behind.message.clone(),
                data: data.to_string(),
            };
            let change = by.audit_with_detail(Action::Delete, OBJECT_TYPE, id, &left_behind.message, now_ms);
            let erasure = last_use_erasure(by, row, now_ms);
            RemovalRecords { event, change, erasure }
        });
        let mut removed = removed.await?.ok_or_else(|| Error::NotFound { id: id.to_owned() })?;
        tracing::warn!(cluster = id, "only the object was removed: {}", left_behind.message);
        removed.removing_ms = removed.removing_ms.or(Some(now_ms));
        Ok((to_cluster(removed)?, left_behind))
    }
}

fn left_behind_by(
    row: &ClusterRow,
    subscription_id: Option<&str>,
    service_account: Option<&str>,
) -> LeftBehind {
    let spec = ClusterSpec::from_text(&row.spec).map(|spec| spec.aks().clone()).unwrap_or_default();
    let status = ClusterStatus::from_json(&row.work.status).unwrap_or_default();
    // The identity starts with the subscription ID, in lower case.
    let from_identity = row.aks_identity.as_deref().and_then(|identity| identity.split('/').next());
    let operation: Option<serde_json::Value> =
        row.work.operation.as_deref().and_then(|operation| serde_json::from_str(operation).ok());
    left_behind(&ClusterFacts {
        spec: &spec,
        status: &status,
        subscription_id: subscription_id.or(from_identity),
        creation_requested: row.work.claimed,
        was_active: row.work.activated_ms.is_some(),
        running_operation: operation.as_ref().and_then(|operation| operation.get("what")?.as_str()),
        service_account,
        roles_label: cluster_access::MANAGED_LABEL,
    })
}

/// Converts the removed row. An unreadable row becomes an empty cluster: only this kind of removal can delete it.
fn to_cluster(row: ClusterRow) -> Result<Cluster> {
    Cluster::try_from(row.clone()).or_else(|error| {
        tracing::warn!(
            cluster = row.id,
            error = &error as &dyn std::error::Error,
            "an unreadable cluster was removed"
        );
        let empty = Object::from_iter([(AKS_CONFIG.to_owned(), Object::new().into())]);
        let spec = serde_json::Value::Object(empty).to_string();
        let mut row = ClusterRow { spec, review: None, ..row };
        row.work.status = ClusterStatus::default().to_json();
        row.work.applied_spec = None;
        row.try_into()
    })
}
