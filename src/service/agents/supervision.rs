//! Supervises a session: checks whether the cluster's API responds through it, records changes, and wakes the worker.

use std::sync::Arc;
use std::time::Duration;

use cluster_access::{Access, AgentSession};
use remotedialer::{CloseCode, Session, SessionError};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Admission, Inner};
use crate::service::clusters::Cluster;
use crate::service::server_access::Target;
use crate::store::{self, NewClusterEvent};

/// The interval at which a session is examined; requests through it are rarer.
const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// The time without a response of the API after which a session is closed.
const PROOF_TIMEOUT: Duration = Duration::from_secs(30);
/// The interval of requests through a working session.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// The interval of requests through a session after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Consecutive failures after which a session that worked is no longer used. A single one may be a slow response.
const MAX_FAILURES: u32 = 2;

/// Supervises a session until it ends; returns whether the API has ever responded through it. Closes a session if the API
/// does not respond through it, or if its agent is silent while another session works.
pub(super) async fn supervise(
    inner: &Inner,
    admission: &Admission,
    session: &Session,
    agent: &Arc<AgentSession>,
) -> bool {
    let mut ticks = interval(TICK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last_response, mut next_check) = (Instant::now(), Instant::now());
    let (mut failures, mut has_worked, mut access) = (0, false, None);
    loop {
        tokio::select! {
            _ = session.closed() => return has_worked,
            _ = ticks.tick() => {}
        }
        if agent.is_silent() && admission.slot.has_replacement() {
            agent
                .close(CloseCode::GOING_AWAY, "no message received recently, and another agent is connected");
        }
        if Instant::now() < next_check {
            continue;
        }
        // Access is loaded again only after a failure.
        if access.is_none() {
            access = inner.load_access(&admission.cluster_id).await;
        }
        let responds = match &access {
            Some(access) => inner.cluster_access.responds_through(agent, access).await,
            None => false,
        };
        access = access.filter(|_| responds);
        failures = if responds { 0 } else { failures + 1 };
        next_check = Instant::now() + if responds { CHECK_INTERVAL } else { RETRY_INTERVAL };
        if responds {
            last_response = Instant::now();
        } else if last_response.elapsed() >= PROOF_TIMEOUT {
            agent.close(CloseCode::POLICY, "the API of the cluster does not respond through this agent");
        }
        let was_proved = agent.is_proved();
        let is_proved = responds || (was_proved && failures < MAX_FAILURES);
        if is_proved == was_proved {
            continue;
        }
        agent.set_proved(is_proved);
        if responds && !has_worked {
            has_worked = true;
            inner.record_connected(admission).await;
        }
        inner.wake_worker(&admission.cluster_id).await;
    }
}

impl Inner {
    /// The access to a cluster; `None` if the cluster is still being created, or cannot be read.
    async fn load_access(&self, cluster_id: &str) -> Option<Arc<Access>> {
        let row = store::clusters::get(&self.store, cluster_id).await.ok()??;
        let cluster = Cluster::try_from(row).ok()?;
        self.server_access.access_or_anonymous(Target::from(&cluster)).await
    }

    /// Records that a session works.
    async fn record_connected(&self, admission: &Admission) {
        let Admission { cluster_id, remote, .. } = admission;
        tracing::info!(cluster = cluster_id, %remote, "the cluster responds through its agent");
        let message =
            format!("an agent has connected from {remote}, and the cluster's API responds through it");
        self.append_event(cluster_id, "agentConnected", message).await;
    }

    /// Records that a session that worked has ended.
    pub(super) async fn record_disconnected(&self, admission: &Admission, reason: &SessionError) {
        let Admission { cluster_id, remote, .. } = admission;
        self.append_event(
            cluster_id,
            "agentDisconnected",
            format!("the agent at {remote} has disconnected: {reason}"),
        )
        .await;
        self.wake_worker(cluster_id).await;
    }

    /// Wakes the worker, which updates the conditions of the cluster.
    pub(super) async fn wake_worker(&self, cluster_id: &str) {
        // While this server stops, its agents connect to other servers, so the cluster remains reachable.
        if self.closing.is_cancelled() {
            return;
        }
        self.lock_changed().insert(cluster_id.to_owned());
        match store::clusters::wake(&self.store, cluster_id).await {
            Ok(true) => self.worker_wake_up.notify_one(),
            Ok(false) => {
                self.lock_changed().remove(cluster_id);
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(cluster = cluster_id, error, "cannot wake the worker for a cluster");
            }
        }
    }

    async fn append_event(&self, cluster_id: &str, kind: &str, message: String) {
        let data = json!({"usableSessions": self.cluster_access.sessions().usable(cluster_id).len()});
        let event = NewClusterEvent {
            at_ms: self.clock.now_ms(),
            kind: kind.to_owned(),
            message,
            data: data.to_string(),
        };
        match store::cluster_events::append(&self.store, cluster_id, &[event]).await {
            Ok(_) => self.notifier.notify(cluster_id),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(cluster = cluster_id, error, "cannot record the event {kind}");
            }
        }
    }
}
