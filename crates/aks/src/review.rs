//! The review of a specification before anything is created: errors that Azure would return, and possible improvements.
//!
//! A rule is a function ([`rule`]). Each file contains the rules of one subject, and [`rules()`] is the table of all. Rules read
//! the specification, its state before a change, and Azure's responses ([`AzureData`]); they send no requests. Rules whose data
//! is missing are reported as unchecked.
//!
//! | file | rules |
//! |---|---|
//! | `required` | required fields |
//! | `combinations` | network plugin, policy, outbound type and load balancer that do not fit together |
//! | `names` | names and lengths |
//! | `metadata` | tags, labels, taints |
//! | `networks`, `subnets`, `addresses` | address ranges; networks and subnets; the number of addresses |
//! | `versions` | Kubernetes versions, upgrades, pools against the control plane |
//! | `pools` | counts, scaling, pods, disks |
//! | `sizes` | VM sizes, zones and quotas |
//! | `security` | access to the API server, DNS zones, identities, keys |
//! | `access` | login and permissions of the credential |
//! | `existing` | clusters and groups that must, or must not, exist |
//! | `changes` | fields that cannot be changed in an existing cluster |
//! | `imports` | the region of existing clusters; entries of imports that were not set through this server |
//! | `unknown` | unknown keys |
//! | `advice` | possible improvements |

mod access;
mod addresses;
mod advice;
mod azure;
mod changes;
mod cidr;
mod combinations;
mod existing;
mod finding;
mod imports;
mod input;
mod metadata;
mod names;
mod needs;
mod networks;
mod pool;
mod pools;
mod required;
mod rule;
mod rules;
mod security;
mod sizes;
pub(crate) mod sources;
mod subnets;
mod terraform_state;
#[cfg(test)]
mod tests;
mod unknown;
mod unknown_field;
mod versions;

use std::collections::BTreeSet;

pub use azure::{
    AzureData, DataPart, Denial, DenialKind, ExistingCluster, NetworkRef, Permissions, ProviderState, Read,
    ReadNetwork,
};
pub use finding::{Finding, Review, Severity, Unchecked};
pub use imports::region_mismatch;
pub use input::{Before, Facts, Purpose, Subject};
pub use rule::Rule;
pub use rules::rules;
pub use sources::CODES_DOC as LOGIN_ERRORS;
pub use unknown_field::UnknownField;

pub(crate) use pool::surge_nodes;

use input::RuleInput;

use crate::regions;

/// The Azure data that this review needs.
pub fn needed_data(subject: &Subject<'_>) -> BTreeSet<DataPart> {
    needs::needed(&RuleInput::new(subject, &AzureData::default()))
}

/// Whether the cluster's own upgrade profile is needed in addition to the other data.
pub fn needs_own_targets(subject: &Subject<'_>, azure: &AzureData) -> bool {
    versions::needs_own_targets(&RuleInput::new(subject, azure))
}

/// The networks of the specification.
pub fn networks(subject: &Subject<'_>) -> BTreeSet<NetworkRef> {
    RuleInput::new(subject, &AzureData::default()).networks()
}

/// The normalized region for requests to Azure: that of the cluster once Azure has reported it.
pub fn region(subject: &Subject<'_>) -> String {
    regions::normalize(RuleInput::new(subject, &AzureData::default()).region())
}

/// Reviews a specification.
///
/// A change is blocked only by errors that it introduces: an error that the stored specification also has becomes a warning, and
/// a finding that also applies to the running cluster is dropped. Errors of an imported cluster become warnings too, except
/// impossible changes, missing keys that identify it, a cluster that does not exist in Azure, and quotas that are too small. A
/// credential that Azure rejects blocks every change. With [`Subject::advise`], all errors that depend on Azure's responses
/// become warnings.
pub fn review(subject: &Subject<'_>, azure: &AzureData) -> Review {
    let mut review = check(&RuleInput::new(subject, azure));
    if let Purpose::Update(before) = subject.purpose {
        let stored = Subject { spec: before.stored, isolation: before.isolation, ..*subject };
        let stored_review = check(&RuleInput::new(&stored, azure));
        review.downgrade_errors(|finding| stored_review.has(finding) && !is_access(finding));
        drop_findings_of_running_cluster(&mut review, subject, before, azure);
    }
    if subject.spec.is_import() {
        let blocking = [required::FIELDS, existing::IMPORT_EXISTS, sizes::QUOTA, sizes::QUOTA_OF_UPGRADE];
        let is_blocking = |rule: &str| {
            blocking.contains(&rule) || changes::RULES.iter().any(|change_rule| change_rule.name == rule)
        };
        review.downgrade_errors(|finding| !is_access(finding) && !is_blocking(&finding.rule));
    }
    if subject.advise {
        review.downgrade_errors(|finding| finding.rests_on_azure);
    }
    if let Purpose::Update(before) = subject.purpose {
        terraform_state::add_remedies(&mut review, subject, before);
    }
    review.findings.sort_by_key(|finding| finding.severity);
    review
}

/// Whether the finding is about the credential, without which nothing can be changed in Azure.
fn is_access(finding: &Finding) -> bool {
    access::RULES.iter().any(|rule| rule.name == finding.rule)
}

/// Whether all errors are about permissions and credentials and may be transient: Azure may take some minutes to replicate a new
/// secret, application or role.
pub fn may_be_transient(review: &Review, subject: &Subject<'_>, azure: &AzureData) -> bool {
    let mut errors = review.errors().peekable();
    errors.peek().is_some()
        && errors.all(is_access)
        && access::may_be_transient(&RuleInput::new(subject, azure))
}

/// Applies all rules.
fn check(input: &RuleInput<'_>) -> Review {
    let needed = needs::needed(input);
    let mut review = Review::default();
    for rule in rules() {
        if !rule.scope.applies_to(input) || !rule.needs.iter().all(|part| needed.contains(part)) {
            continue;
        }
        match rule.needs.iter().find_map(|part| input.azure.unknown_reason(*part)) {
            Some(reason) => {
                review.unchecked.push(Unchecked { rule: rule.name.to_owned(), reason: reason.to_owned() });
            }
            None => review.findings.extend(rule.findings(input)),
        }
    }
    review
}

/// Rules about retired features: their findings are kept even if the running cluster has the feature.
const RETIRED_FEATURES: [&str; 2] = ["http-routing-retired", "load-balancer-basic-retired"];

/// Drops errors and warnings that also apply to the running cluster, because Azure has accepted it. Findings that rest on
/// Azure's responses, or are about retired features, are kept.
fn drop_findings_of_running_cluster(
    review: &mut Review,
    subject: &Subject<'_>,
    before: Before<'_>,
    azure: &AzureData,
) {
    let Some(current) = RuleInput::new(subject, azure).current else { return };
    let running = Subject { spec: current, isolation: before.isolation, unknown_fields: &[], ..*subject };
    let running_review = check(&RuleInput::new(&running, azure));
    review.findings.retain(|finding| {
        let is_retired_feature = RETIRED_FEATURES.contains(&finding.rule.as_str());
        let is_independent =
            finding.severity == Severity::Advice || finding.rests_on_azure || is_retired_feature;
        is_independent || !running_review.has(finding)
    });
}
