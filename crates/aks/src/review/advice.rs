//! Possible improvements. Advice never blocks a request.

use super::azure::DataPart;
use super::input::RuleInput;
use super::pool::Pool;
use super::rule::{FieldFindings, Rule, Scope};
use super::sizes::for_each_new_pool;
use super::sources::{
    AUTHORIZED_RANGES_DOC, AUTOSCALER_DOC, CNI_DOC, IDENTITIES_DOC, MONITOR_DOC, SSH_DOC, ZONES_DOC, learn,
};
use crate::vm_size;

const POOLS_DOC: &str = learn!("Manage system node pools", "azure/aks/use-system-pools");
const SPOT_DOC: &str = learn!("Add a spot node pool", "azure/aks/spot-node-pool");
const SECRETS_DOC: &str =
    learn!("Application credentials", "entra/identity-platform/howto-create-service-principal-portal");

pub(super) const RULES: &[Rule] = &[
    Rule::advice("advice-azure-cni", CNI_DOC, azure_cni),
    Rule::advice("advice-api-access", AUTHORIZED_RANGES_DOC, api_access),
    Rule::advice("advice-separate-pools", POOLS_DOC, separate_pools),
    Rule::advice("advice-autoscaling", AUTOSCALER_DOC, autoscaling),
    Rule::advice("advice-zones", ZONES_DOC, zones).needs(&[DataPart::Sizes]),
    Rule::advice("advice-managed-identity", IDENTITIES_DOC, managed_identity),
    Rule::advice("advice-monitoring", MONITOR_DOC, monitoring),
    Rule::advice("advice-size", POOLS_DOC, system_size).needs(&[DataPart::Sizes]),
    Rule::advice("advice-spot", SPOT_DOC, spot).needs(&[DataPart::Sizes]),
    Rule::advice("advice-secret-age", SECRETS_DOC, secret_age).scope(Scope::Any),
    Rule::advice("advice-ssh-key-age", SSH_DOC, ssh_key_age),
];

fn azure_cni(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.network_plugin() == "kubenet" {
        let message = "networkPlugin kubenet will be retired by Azure on 31 March 2028";
        findings.add("networkPlugin", message, "use networkPlugin azure for new clusters");
    }
}

fn api_access(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let has_ranges = input.spec.authorized_ip_ranges.as_ref().is_some_and(|ranges| !ranges.is_empty());
    if input.spec.private_cluster != Some(true) && !has_ranges {
        let message = "authorizedIpRanges is not set, so the API server is reachable from any address";
        let remedy =
            "set authorizedIpRanges to the addresses of its users and of this server, or set privateCluster";
        findings.add("authorizedIpRanges", message, remedy);
    }
}

fn separate_pools(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let pools = input.pools();
    if !pools.is_empty() && pools.iter().all(Pool::is_system) {
        let message = "nodePools has only pools of mode System, so applications and system pods share nodes";
        let remedy =
            "add a pool of mode User, and give the System pool the taint CriticalAddonsOnly=true:NoSchedule";
        findings.add("nodePools", message, remedy);
    }
}

fn autoscaling(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let pools = input.pools();
    if !pools.is_empty() && !pools.iter().any(Pool::is_autoscaled) {
        let message = "nodePools has no pool with enableAutoScaling, so pods that do not fit stay Pending";
        let remedy = "switch enableAutoScaling on for a pool, with minCount and maxCount";
        findings.add("nodePools", message, remedy);
    }
}

fn zones(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for_each_new_pool(input, |pool, offer, _| {
        if pool.spec.zones().is_none() && offer.usable_zones().next().is_some() {
            let name = pool.name();
            let message = format!(
                "availabilityZones of node pool {name} is not set, so its nodes may all be in one data center"
            );
            findings.add(
                pool.key("availabilityZones"),
                message,
                "spread the pool over the zones of the region",
            );
        }
    });
}

fn managed_identity(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.spec.managed_identity != Some(true) {
        let message =
            "managedIdentity is not set, so Azure gives the cluster an identity that is deleted with it";
        let remedy = "set managedIdentity, and userAssignedIdentity for an identity whose role assignments outlive the cluster";
        findings.add("managedIdentity", message, remedy);
    }
}

fn monitoring(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.spec.monitoring != Some(true) {
        let message = "monitoring is off, so Azure collects no container logs and metrics";
        findings.add("monitoring", message, "switch monitoring on, or monitor the cluster by other means");
    }
}

fn system_size(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for_each_new_pool(input, |pool, offer, size| {
        if let Some(weakness) = vm_size::weakness(offer).filter(|_| pool.is_system()) {
            let message = format!("{size}, a pool of mode System, {weakness}");
            findings.add(pool.key("vmSize"), message, vm_size::WEAKNESS_REMEDY);
        }
    });
}

fn spot(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    // Workloads that scale from zero are likely to tolerate interruptions.
    for_each_new_pool(input, |pool, offer, size| {
        let scales_from_zero = pool.is_autoscaled() && pool.spec.min_count == Some(0);
        if !pool.is_system() && scales_from_zero && offer.capabilities.spot {
            let message = format!("{size}, which scales from 0 nodes, costs much less as spot capacity");
            let remedy = "if its workload tolerates interruptions, add a spot pool in Azure: this server does not change \
                          pools created there";
            findings.add(pool.key("vmSize"), message, remedy);
        }
    });
}

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// The whole days since a time, if they exceed a limit.
fn days_over(input: &RuleInput<'_>, since_ms: Option<i64>, limit_days: i64) -> Option<i64> {
    let days = input.facts.now_ms.saturating_sub(since_ms?) / DAY_MS;
    (days > limit_days).then_some(days)
}

fn secret_age(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    const MAX_DAYS: i64 = 180;
    if let Some(days) = days_over(input, input.facts.credential_changed_ms, MAX_DAYS) {
        let message =
            format!("the cloud credential of azureCredentialSecret was last changed {days} days ago");
        let remedy = "create a new client secret, and delete the old one once the credential has the new one";
        findings.add("azureCredentialSecret", message, remedy);
    }
}

fn ssh_key_age(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    const MAX_DAYS: i64 = 365;
    let since = input.facts.cluster_created_ms.filter(|_| input.spec.ssh_public_key.is_some());
    if let Some(days) = days_over(input, since, MAX_DAYS) {
        let message = format!("sshPublicKey has been the key of the nodes for {days} days");
        findings.add("sshPublicKey", message, "replace the key in Azure from time to time");
    }
}
