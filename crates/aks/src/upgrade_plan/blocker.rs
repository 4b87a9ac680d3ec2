//! The reasons that block a hop of an upgrade, with a remedy and the source of the rule.

use serde_json::Value;

use crate::arm::KubernetesVersion;
use crate::provision::message;
use crate::provision::plan_input::{busy_pools, busy_state, is_stopped};
use crate::review::sources::{CODES_DOC, MANAGED_CLUSTERS_DOC, ROLES_DOC, SUPPORTED_DOC, UPGRADE_DOC, learn};
use crate::review::{Denial, DenialKind};
use crate::spec::AksConfig;
use crate::upgrades::{self, Unavailable, UpgradeStart};
use crate::versions::{Version, is_preview};

const LONG_TERM_DOC: &str = learn!("Long-term support for AKS versions", "azure/aks/long-term-support");
const POWER_DOC: &str = learn!("Stop and start an AKS cluster", "azure/aks/start-stop-cluster");

/// A reason that blocks a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The kind of reason.
    pub code: Code,
    /// One sentence, without a full stop.
    pub message: String,
    /// The remedy.
    pub remedy: String,
    /// Source of the rule: a document of Azure with its URL.
    pub source: &'static str,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// The version is lower than the running one.
    Downgrade,
    /// The version is not offered in the region.
    VersionNotOffered,
    /// The version needs long-term support, which the cluster does not have.
    NeedsLongTermSupport,
    /// Azure does not list this upgrade.
    UpgradeNotOffered,
    /// The version is a preview.
    PreviewOnly,
    /// A pool would be too far behind the control plane.
    PoolTooOld,
    /// The quota is too small for the nodes that an upgrade adds.
    QuotaShort,
    /// The cluster is stopped.
    ClusterStopped,
    /// An operation of Azure on the cluster is in progress.
    ClusterBusy,
    /// An operation of Azure on a pool is in progress.
    PoolBusy,
    /// The login service rejects the credential.
    CredentialExpired,
    /// The credential lacks a role, or its subscription cannot be used.
    AccessDenied,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 12] = [
        Self::Downgrade,
        Self::VersionNotOffered,
        Self::NeedsLongTermSupport,
        Self::UpgradeNotOffered,
        Self::PreviewOnly,
        Self::PoolTooOld,
        Self::QuotaShort,
        Self::ClusterStopped,
        Self::ClusterBusy,
        Self::PoolBusy,
        Self::CredentialExpired,
        Self::AccessDenied,
    ];

    /// The name in responses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Downgrade => "downgrade",
            Self::VersionNotOffered => "versionNotOffered",
            Self::NeedsLongTermSupport => "needsLongTermSupport",
            Self::UpgradeNotOffered => "upgradeNotOffered",
            Self::PreviewOnly => "previewOnly",
            Self::PoolTooOld => "poolTooOld",
            Self::QuotaShort => "quotaShort",
            Self::ClusterStopped => "clusterStopped",
            Self::ClusterBusy => "clusterBusy",
            Self::PoolBusy => "poolBusy",
            Self::CredentialExpired => "credentialExpired",
            Self::AccessDenied => "accessDenied",
        }
    }
}

impl Blocker {
    pub(super) fn new(
        code: Code,
        source: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { code, message: message.into(), remedy: remedy.into(), source }
    }
}

/// The blockers of an upgrade of the control plane that follow from versions, by the rules of the review. If the versions of
/// the region are unknown, only downgrades and skipped minor versions are blocked.
pub(super) fn control_plane_blockers(
    start: &UpgradeStart<'_>,
    offered: Option<&[KubernetesVersion]>,
    to: &str,
    region: &str,
) -> Vec<Blocker> {
    let from = start.running;
    let is_lowered =
        Version::parse(to).zip(Version::parse(from)).is_some_and(|(to, from)| to.is_lower_than(from));
    if is_lowered {
        let remedy = format!("leave it at {from}, or choose a higher version");
        return vec![Blocker::new(
            Code::Downgrade,
            UPGRADE_DOC,
            upgrades::downgrade_message(from, to),
            remedy,
        )];
    }
    let Some(offered) = offered else { return blockers_without_list(from, to) };
    let reachable_remedy = || upgrades::reachable_remedy(start, offered);
    let mut blockers = Vec::new();
    if let Some(unavailable) = upgrades::unavailable(start, offered, to) {
        let message = format!("kubernetesVersion {to} {}", unavailable.describe(region, true));
        blockers.push(match unavailable {
            Unavailable::NotOffered => {
                Blocker::new(Code::VersionNotOffered, SUPPORTED_DOC, message, reachable_remedy())
            }
            Unavailable::NeedsLongTermSupport => {
                let remedy = format!(
                    "{}, or give the cluster long-term support (az aks update --tier premium --k8s-support-plan \
                     AKSLongTermSupport)",
                    reachable_remedy()
                );
                Blocker::new(Code::NeedsLongTermSupport, LONG_TERM_DOC, message, remedy)
            }
        });
    } else if upgrades::skipped_minor(start, offered, to).is_some() {
        let message = upgrades::skipped_minor_message(from, to);
        blockers.push(Blocker::new(Code::UpgradeNotOffered, UPGRADE_DOC, message, reachable_remedy()));
    } else if upgrades::is_unreachable(start, offered, to) {
        let message = upgrades::unreachable_message(from, to);
        blockers.push(Blocker::new(Code::UpgradeNotOffered, UPGRADE_DOC, message, reachable_remedy()));
    }
    if is_preview(offered, to) {
        let message = upgrades::preview_message(to, region);
        blockers.push(Blocker::new(Code::PreviewOnly, SUPPORTED_DOC, message, reachable_remedy()));
    }
    blockers
}

/// The blocker of a skipped minor version if the versions of the region are unknown.
fn blockers_without_list(from: &str, to: &str) -> Vec<Blocker> {
    let skips_no_minor = Version::parse(from)
        .zip(Version::parse(to))
        .is_some_and(|(from, to)| from.major == to.major && to.minor <= from.minor.saturating_add(1));
    if skips_no_minor {
        return Vec::new();
    }
    let message = upgrades::skipped_minor_message(from, to);
    vec![Blocker::new(Code::UpgradeNotOffered, UPGRADE_DOC, message, "use the next minor version first")]
}

/// The blockers that follow from the state of a cluster in Azure.
pub fn state_blockers(cluster: &Value, spec: &AksConfig) -> Vec<Blocker> {
    const WAIT_REMEDY: &str = "wait until Azure has finished; a change that is saved now waits as well";
    let name = message::name(spec);
    let mut blockers = Vec::new();
    if is_stopped(cluster) {
        let remedy = format!("start it: {}", message::start_command(spec));
        let message = format!("the cluster {name} is stopped in Azure");
        blockers.push(Blocker::new(Code::ClusterStopped, POWER_DOC, message, remedy));
    }
    if let Some(state) = busy_state(cluster) {
        let message = format!("the cluster {name} is {state} in Azure");
        blockers.push(Blocker::new(Code::ClusterBusy, MANAGED_CLUSTERS_DOC, message, WAIT_REMEDY));
    }
    blockers.extend(busy_pools(cluster).into_iter().map(|(pool, state)| {
        Blocker::new(
            Code::PoolBusy,
            MANAGED_CLUSTERS_DOC,
            format!("node pool {pool} is {state} in Azure"),
            WAIT_REMEDY,
        )
    }));
    blockers
}

/// The blocker for a credential with which Azure permits no change.
pub fn access_blocker(denial: &Denial) -> Blocker {
    let Denial { kind, message, remedy, .. } = denial;
    let (code, source, problem) = match kind {
        DenialKind::Credential => (Code::CredentialExpired, CODES_DOC, "the cloud credential is rejected"),
        DenialKind::Subscription => {
            (Code::AccessDenied, ROLES_DOC, "the subscription of the cloud credential cannot be used")
        }
        DenialKind::Role => (Code::AccessDenied, ROLES_DOC, "the cloud credential lacks a role"),
    };
    Blocker::new(code, source, format!("{problem}: {message}"), remedy.clone())
}
