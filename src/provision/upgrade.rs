//! The remedy for a version that Azure rejects: the first upgrade on the way to it, as in the upgrade plan.

use aks::cluster_details::ClusterDetails;
use aks::upgrade_path;
use aks::upgrades::UpgradeStart;
use aks::versions;
use azure::resources::{kubernetes_versions, managed_clusters};

use super::context::StepContext;
use super::task::Task;

/// Azure's codes for an upgrade that it does not offer.
const UPGRADE_REJECTED_CODES: [&str; 2] = ["K8sVersionNotSupported", "OperationNotAllowed"];

impl StepContext<'_> {
    /// The first upgrade towards the desired version, if Azure has rejected that version because it needs several upgrades.
    /// `None` if the versions cannot be read: the error is shown without it.
    pub(super) async fn upgrade_remedy(&self, task: &Task, error: &azure::Error) -> Option<String> {
        let is_rejected = error.upstream_status() == Some(400)
            && error.code().is_some_and(|code| {
                UPGRADE_REJECTED_CODES.iter().any(|rejected| rejected.eq_ignore_ascii_case(code))
            });
        let desired = task.desired.kubernetes_version.as_deref().filter(|_| is_rejected)?;
        let details = ClusterDetails::read(self.observed.cluster.as_ref()?);
        let upstream = self.observed.upstream.as_ref()?;
        let running = details.running_version.as_deref();
        let running = versions::running(running, None, [upstream.kubernetes_version.as_deref()])?;
        let region = details.region.as_deref()?;
        let (group, name) = task.group_and_name();
        let (offered, upgrade_targets) = tokio::join!(
            kubernetes_versions::list(self.arm, region),
            managed_clusters::upgrade_targets(self.arm, &group, &name),
        );
        let upgrade_targets = upgrade_targets.unwrap_or_default();
        let start =
            UpgradeStart { running: &running, long_term: details.long_term, own_targets: &upgrade_targets };
        let first = upgrade_path::first_step(&start, &offered.ok()?, desired)?;
        Some(format!(
            "upgrade to {first} first; GET /api/v1/clusters/{}/upgrade-plan?to={desired} lists all steps",
            task.row.id
        ))
    }
}
