//! Whether a VM size can be used for the nodes of a pool. Used by the review of a cluster and by the catalog.

use crate::arm::{CalendarDate, Usage, VmSku};
use crate::review::sources::{LIMITS_DOC, SYSTEM_POOLS_DOC, ZONES_DOC, learn};

pub(crate) const SKUS_DOC: &str = learn!("List resource SKUs", "rest/api/compute/resource-skus/list");
pub(crate) const EPHEMERAL_DOC: &str =
    learn!("Ephemeral OS disks in AKS", "azure/aks/concepts-storage#ephemeral-os-disk");
pub(crate) const QUOTAS_DOC: &str = learn!("vCPU quotas", "azure/virtual-machines/quotas");
pub(crate) const ARM_DOC: &str =
    learn!("Use ARM64 virtual machines in AKS, limitations", "azure/aks/use-arm64-vms");
pub(crate) const RETIREMENT_DOC: &str = learn!(
    "Retired and previous-generation VM size series",
    "azure/virtual-machines/sizes/retirement/retirement-overview"
);
const WINDOWS: &str = "docs/contract/clusters.md#validation-on-save";

/// The ID of the quota for all vCPUs in a region.
pub const REGIONAL_QUOTA: &str = "cores";

/// The minimum memory, in MiB, of a node in a pool of mode `System`.
const MIN_SYSTEM_MIB: i64 = 4 * 1_024;
/// The minimum number of vCPUs of a node.
const MIN_VCPUS: i64 = 2;

/// The requirements of a pool for a VM size, except quota.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requirements<'a> {
    /// The zones of the pool.
    pub zones: &'a [String],
    /// Whether the mode of the pool is `System`.
    pub is_system: bool,
    /// Whether the nodes run Windows.
    pub is_windows: bool,
    /// Whether the OS disk is ephemeral.
    pub ephemeral_disk: bool,
    /// The requested size of the OS disk in GiB.
    pub disk_gib: Option<i64>,
    /// The current time, in milliseconds since 1970.
    pub now_ms: i64,
}

/// A reason why a VM size cannot be used, now or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Azure does not offer the size in the region.
    NotInRegion,
    /// The subscription may not use the size in the region.
    NotForSubscription,
    /// AKS does not support the size for nodes, because it has too few vCPUs.
    TooFewVcpus,
    /// AKS does not support the size for nodes, because its tier is `Basic`.
    BasicTier,
    /// The size has too little memory for a pool of mode `System`; contains the memory in MiB.
    TooSmallForSystemPool(i64),
    /// Azure advises against the size for a pool of mode `System`.
    WeakForSystemPool(Weakness),
    /// The processors are Arm64, but the nodes run Windows.
    Architecture,
    /// New pools of Windows nodes are rejected, as by Rancher.
    Windows,
    /// The size does not support an ephemeral OS disk.
    NoEphemeralDisk,
    /// The OS disk is larger than the ephemeral disk of the size.
    EphemeralDiskTooLarge {
        /// GiB.
        requested: i64,
        /// GiB.
        available: i64,
    },
    /// The subscription cannot use the size in some of the zones.
    Zones {
        /// The requested zones in which the size cannot be used.
        missing: Vec<String>,
        /// The zones that can be used instead, ascending.
        usable: Vec<String>,
    },
    /// Azure retired the size on this date.
    Retired(CalendarDate),
    /// Azure will retire the size on this date.
    Retires(CalendarDate),
    /// A quota is too small.
    Quota(Shortage),
}

impl Obstacle {
    /// The name in the catalog.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotInRegion => "notInRegion",
            Self::NotForSubscription => "notOfferedToSubscription",
            Self::TooFewVcpus | Self::BasicTier => "notSupportedByAks",
            Self::WeakForSystemPool(_) => "notRecommendedForSystemPool",
            Self::TooSmallForSystemPool(_) => "tooSmallForSystemPool",
            Self::Architecture => "architectureMismatch",
            Self::Windows => "windowsNotSupported",
            Self::NoEphemeralDisk => "noEphemeralDisk",
            Self::EphemeralDiskTooLarge { .. } => "ephemeralDiskTooLarge",
            Self::Zones { .. } => "zonesRestricted",
            Self::Retired(_) => "retired",
            Self::Retires(_) => "retirementAnnounced",
            Self::Quota(_) => "quotaShort",
        }
    }

    /// Whether the obstacle makes Azure, Rancher or this server reject the size.
    pub fn blocks(&self) -> bool {
        !matches!(self, Self::Retires(_) | Self::WeakForSystemPool(_))
    }

    /// The key of the node pool to change.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::NoEphemeralDisk => "osDiskType",
            Self::EphemeralDiskTooLarge { .. } => "osDiskSizeGB",
            Self::Zones { .. } => "availabilityZones",
            Self::Windows => "osType",
            _ => "vmSize",
        }
    }

    /// One sentence about `size`, for example `Standard_D2s_v5` or `vmSize Standard_D2s_v5 of node pool a`.
    pub fn message(&self, size: &str, region: &str) -> String {
        match self {
            Self::NotInRegion => format!("{size} is not offered in {region}"),
            Self::NotForSubscription => format!("{size} may not be used by this subscription in {region}"),
            Self::TooFewVcpus => format!("{size} is too small for AKS"),
            Self::BasicTier => format!("{size} is of the tier Basic, which AKS does not support"),
            Self::WeakForSystemPool(weakness) => format!("{size}, for a pool of mode System, {weakness}"),
            Self::TooSmallForSystemPool(memory) => {
                format!("{size} has {memory} MiB of memory, which is too little for a pool of mode System")
            }
            Self::Architecture => format!("{size} has Arm64 processors, on which AKS runs no Windows nodes"),
            Self::Windows => {
                format!("{size} cannot be used for Windows nodes, because new Windows pools are rejected")
            }
            Self::NoEphemeralDisk => format!("{size} does not support an ephemeral OS disk"),
            Self::EphemeralDiskTooLarge { requested, available } => format!(
                "{size} has {available} GiB for an ephemeral OS disk, which is less than the requested {requested} GiB"
            ),
            Self::Zones { missing, .. } => {
                let zones = missing.join(", ");
                format!("{size} is not available to this subscription in zone {zones} of {region}")
            }
            Self::Retired(date) => format!("{size} was retired by Azure on {date}"),
            Self::Retires(date) => format!("{size} will be retired by Azure on {date}"),
            Self::Quota(shortage) => {
                let Shortage { need, quota, left } = shortage;
                format!(
                    "{size} needs {need} vCPUs of the quota {quota} in {region}, of which {left} are left"
                )
            }
        }
    }

    /// The remedy.
    pub fn remedy(&self) -> String {
        let text = match self {
            Self::NotInRegion => "use a size that aksVMSizes lists for the region",
            Self::NotForSubscription => "use another size or region, or ask Azure to allow the size",
            Self::TooFewVcpus => "use a size with at least 2 vCPUs",
            Self::BasicTier => "use a size of the tier Standard",
            Self::WeakForSystemPool(_) => WEAKNESS_REMEDY,
            Self::TooSmallForSystemPool(_) => "use a size with at least 4 GiB of memory",
            Self::Architecture => "use a size with x64 processors",
            Self::Windows => "set osType to Linux",
            Self::NoEphemeralDisk => "use osDiskType Managed, or another size",
            Self::EphemeralDiskTooLarge { .. } => "use a smaller disk, a larger size, or osDiskType Managed",
            Self::Zones { usable, .. } if usable.is_empty() => {
                "leave availabilityZones out, or use another size or region"
            }
            Self::Zones { usable, .. } => return format!("use {}, or another size", usable.join(", ")),
            Self::Retired(_) | Self::Retires(_) => "use a size of a newer family",
            Self::Quota(_) => QUOTA_REMEDY,
        };
        text.to_owned()
    }

    /// Source of the rule.
    pub(crate) const fn source(&self) -> &'static str {
        match self {
            Self::NotInRegion | Self::NotForSubscription => SKUS_DOC,
            Self::TooFewVcpus | Self::BasicTier => LIMITS_DOC,
            Self::TooSmallForSystemPool(_) | Self::WeakForSystemPool(_) => SYSTEM_POOLS_DOC,
            Self::Architecture => ARM_DOC,
            Self::Windows => WINDOWS,
            Self::NoEphemeralDisk | Self::EphemeralDiskTooLarge { .. } => EPHEMERAL_DOC,
            Self::Zones { .. } => ZONES_DOC,
            Self::Retired(_) | Self::Retires(_) => RETIREMENT_DOC,
            Self::Quota(_) => QUOTAS_DOC,
        }
    }
}

/// The remedy for a quota that is too small.
pub(crate) const QUOTA_REMEDY: &str = "ask Azure for more quota, or use fewer or smaller nodes";

/// The obstacles to using a size for a pool, except quotas.
pub fn obstacles(size: &VmSku, required: &Requirements<'_>) -> Vec<Obstacle> {
    let VmSku { name, capabilities, .. } = size;
    let mut obstacles = Vec::new();
    if size.restricted {
        obstacles.push(Obstacle::NotForSubscription);
    }
    let is_basic = name.as_deref().is_some_and(|name| name.to_ascii_lowercase().starts_with("basic_"));
    if is_basic {
        obstacles.push(Obstacle::BasicTier);
    } else if capabilities.vcpus.is_some_and(|vcpus| vcpus < MIN_VCPUS) {
        obstacles.push(Obstacle::TooFewVcpus);
    }
    if let Some(memory) =
        capabilities.memory_mib.filter(|memory| required.is_system && *memory < MIN_SYSTEM_MIB)
    {
        obstacles.push(Obstacle::TooSmallForSystemPool(memory));
    }
    let is_arm = capabilities.architecture.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("Arm64"));
    if required.is_windows && is_arm {
        obstacles.push(Obstacle::Architecture);
    }
    obstacles.extend(ephemeral_disk_obstacle(size, required));
    obstacles.extend(zone_obstacle(size, required.zones));
    obstacles.extend(capabilities.retirement.map(|date| {
        let is_past = date.start_ms() <= required.now_ms;
        if is_past { Obstacle::Retired(date) } else { Obstacle::Retires(date) }
    }));
    obstacles
}

/// A reason why Azure advises against a size for pools of mode `System`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// The CPUs of the B series are throttled under load.
    #[error("may be throttled")]
    Burstable,
    /// Too few vCPUs to leave a reserve besides the add-ons of AKS.
    #[error("has fewer than 4 vCPUs")]
    FewVcpus,
}

/// The remedy for a [`Weakness`].
pub(crate) const WEAKNESS_REMEDY: &str = "use a size with at least 4 vCPUs that is not of the B series";

/// The weakness of a size in a pool of mode `System`, if it has one.
pub fn weakness(size: &VmSku) -> Option<Weakness> {
    let family = size.family.as_deref().unwrap_or_default().to_ascii_lowercase();
    if family.starts_with("standardb") {
        return Some(Weakness::Burstable);
    }
    size.capabilities.vcpus.is_some_and(|vcpus| vcpus < 4).then_some(Weakness::FewVcpus)
}

fn ephemeral_disk_obstacle(size: &VmSku, required: &Requirements<'_>) -> Option<Obstacle> {
    if !required.ephemeral_disk {
        return None;
    }
    if !size.capabilities.ephemeral_disk {
        return Some(Obstacle::NoEphemeralDisk);
    }
    let available = size.capabilities.ephemeral_gib;
    let requested = required.disk_gib.filter(|requested| *requested > available)?;
    Some(Obstacle::EphemeralDiskTooLarge { requested, available })
}

/// The obstacle if the subscription cannot use the size in all of these zones.
pub fn zone_obstacle(size: &VmSku, zones: &[String]) -> Option<Obstacle> {
    let mut usable: Vec<String> = size.usable_zones().cloned().collect();
    usable.sort_unstable();
    let mut missing: Vec<String> = zones.iter().filter(|zone| !usable.contains(zone)).cloned().collect();
    missing.sort_unstable();
    (!missing.is_empty()).then_some(Obstacle::Zones { missing, usable })
}

/// A quota and its current use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota<'a> {
    /// Azure's display name, else its identifier.
    pub name: &'a str,
    /// The limit.
    pub limit: i64,
    /// The current use.
    pub used: i64,
}

impl<'a> Quota<'a> {
    /// The quota with this identifier, in any letter case; `None` if it is not listed or has no limit.
    pub fn find(usages: &'a [Usage], id: &str) -> Option<Self> {
        usages.iter().find_map(|usage| {
            let name = usage.name.as_ref()?;
            let value = name.value.as_deref().filter(|value| value.eq_ignore_ascii_case(id))?;
            let name = name.localized_value.as_deref().unwrap_or(value);
            Some(Self { name, limit: usage.limit?, used: usage.current_value.unwrap_or_default() })
        })
    }

    /// The remaining quota, at least 0.
    pub fn left(&self) -> i64 {
        self.limit.saturating_sub(self.used).max(0)
    }

    /// The shortage if less than `need` is left.
    pub fn shortage(&self, need: i64) -> Option<Shortage> {
        let left = self.left();
        (need > left).then(|| Shortage { need, quota: self.name.to_owned(), left })
    }
}

/// A quota that is too small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The additional need.
    pub need: i64,
    /// The name of the quota.
    pub quota: String,
    /// The remaining quota.
    pub left: i64,
}

/// The remedy for a quota that is too small for an upgrade.
pub(crate) const SURGE_REMEDY: &str = "ask Azure for more quota, lower maxSurge, or remove nodes first";

/// Messages about quotas that are too small for the surge nodes of a pool's upgrade.
pub(crate) fn surge_shortage_messages(
    pool: &str,
    size: &VmSku,
    nodes: i64,
    usages: &[Usage],
    region: &str,
) -> Vec<String> {
    let need = size.capabilities.quota_vcpus.unwrap_or_default().saturating_mul(nodes);
    let quotas = [Some(REGIONAL_QUOTA), size.family.as_deref()].into_iter().flatten();
    let shortages = quotas.filter_map(|name| Quota::find(usages, name)?.shortage(need));
    let message = |Shortage { need, quota, left }: Shortage| {
        format!(
            "the upgrade of node pool {pool} temporarily needs {need} more vCPUs of the quota {quota} in {region}, of \
             which {left} are left"
        )
    };
    shortages.map(message).collect()
}
