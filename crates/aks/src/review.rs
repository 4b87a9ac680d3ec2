//! The review of a specification: what Azure would refuse or what could be better, said before anything is created.
//!
//! One rule is one function. [`rules`] is the table of all of them; each file beside this one has those of one subject.
//! Rules see the specification, what stood before a change, and what Azure said in this request ([`AzureData`]); they ask
//! nobody. A rule whose part of Azure is not known is named as not checked.
//!
//! | file | rules |
//! |---|---|
//! | `required` | required fields |
//! | `combinations` | plugin, policy, way out and load balancer that do not go together |
//! | `names` | names and lengths |
//! | `metadata` | tags, labels, taints |
//! | `networks`, `subnets`, `addresses` | address ranges; networks and subnets; whether there are enough addresses |
//! | `versions` | Kubernetes versions, upgrades, pools against the control plane |
//! | `pools` | counts, scaling, pods, disks |
//! | `sizes` | sizes, zones and quota as Azure offers them |
//! | `security` | access to the API server, DNS zones, identities, keys |
//! | `access` | whether the credential logs in, and what it may do |
//! | `existing` | clusters and groups that are, or are not, there already |
//! | `changes` | what cannot be changed in a cluster that exists |
//! | `imports` | where an imported cluster is, and what of it stays |
//! | `unknown` | keys that no field has |
//! | `advice` | what could be better |

mod access;
mod addresses;
mod advice;
mod azure;
mod case;
mod changes;
mod cidr;
mod combinations;
mod existing;
mod identity;
mod imports;
mod metadata;
mod names;
mod networks;
mod pool;
mod pools;
mod required;
mod rule;
mod security;
mod sizes;
mod state;
mod subnets;
#[cfg(test)]
mod tests;
mod unknown;
mod versions;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use azure::{
    AzureData, Block, Denial, DenialKind, ExistingCluster, NetworkRef, Permissions, ProviderState, Read,
    ReadNetwork,
};
pub use case::{Before, Facts, Purpose, Subject};
pub use imports::misplaced;
pub use rule::{Rule, rules};
pub use unknown::UnknownField;

use case::Case;

use crate::regions;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot be done: Azure, or Rancher, refuses it.
    Error,
    /// It can be done, and will not be what was meant, or may fail later.
    Warning,
    /// It works, and could be better.
    Advice,
}

/// Something about a specification that its user should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about, for example `aksConfig.nodePools[1].vmSize`.
    pub field: String,
    /// The name of the rule.
    pub rule: String,
    /// One sentence that names the field, without a full stop.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// Source of the rule: a heading of `docs/contract`, or a document of Azure with its URL.
    pub source: String,
    /// Whether it depends on what Azure said.
    pub rests_on_azure: bool,
}

impl Finding {
    /// The message and what to do about it, as one sentence.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.message, self.remedy)
    }
}

/// A rule that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unchecked {
    /// The name of the rule.
    pub rule: String,
    /// Why not.
    pub reason: String,
}

/// What a review found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Review {
    /// Errors first, then warnings, then advice; within each in the order of the rules.
    pub findings: Vec<Finding>,
    /// Rules that need an answer of Azure that was not to be had.
    pub unchecked: Vec<Unchecked>,
}

impl Review {
    /// The first finding that stands in the way.
    pub fn first_error(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.severity == Severity::Error)
    }

    /// Whether the rule of the finding found the same.
    fn has(&self, finding: &Finding) -> bool {
        self.findings.iter().any(|known| known.rule == finding.rule && known.message == finding.message)
    }

    /// The first error as one sentence, and how many more there are. Where the words are those of saving in Rancher, they
    /// stay as they are.
    pub fn refusal(&self) -> Option<String> {
        let first = self.first_error()?;
        let more = self.findings.iter().filter(|finding| finding.severity == Severity::Error).count() - 1;
        let sentence = first.sentence();
        if more == 0 || first.source == required::SAVING {
            return Some(sentence);
        }
        Some(format!("{sentence} (and {more} more: POST /api/v1/aks/review lists all)"))
    }

    /// Adds what is found apart from the review of a change, once.
    pub fn add(&mut self, finding: Finding) {
        if self.findings.iter().all(|known| known.rule != finding.rule) {
            self.findings.push(finding);
            self.findings.sort_by_key(|finding| finding.severity);
        }
    }

    /// What was not checked and why, for people; `None` when everything was.
    pub fn unchecked_sentence(&self) -> Option<String> {
        let reasons: BTreeSet<&str> = self.unchecked.iter().map(|it| it.reason.as_str()).collect();
        let told = reasons.into_iter().map(|reason| {
            let of = self.unchecked.iter().filter(|it| it.reason == reason);
            let rules: Vec<&str> = of.map(|it| it.rule.as_str()).collect();
            format!("{} ({reason})", rules.join(", "))
        });
        let told = told.collect::<Vec<_>>().join("; ");
        (!told.is_empty()).then(|| format!("not checked against Azure: {told}"))
    }
}

/// What has to be asked of Azure for this review, and nothing more.
pub fn needed(subject: &Subject<'_>) -> BTreeSet<Block> {
    let nothing = AzureData::default();
    azure::needed(&Case::new(subject, &nothing))
}

/// Whether the cluster's own upgrade profile has to be asked for as well, after the rest.
pub fn needs_own_upgrades(subject: &Subject<'_>, azure: &AzureData) -> bool {
    versions::needs_own_upgrades(&Case::new(subject, azure))
}

/// The networks that the specification lies in.
pub fn networks(subject: &Subject<'_>) -> BTreeSet<NetworkRef> {
    let nothing = AzureData::default();
    Case::new(subject, &nothing).networks()
}

/// The region that Azure is asked about, normalised: the cluster's own, once Azure has reported it.
pub fn region(subject: &Subject<'_>) -> String {
    let nothing = AzureData::default();
    regions::normalised(Case::new(subject, &nothing).region())
}

/// Judges a specification.
///
/// A change is blocked only by what it brings: an error that the stored specification has as well becomes a warning, and a
/// finding about what Azure itself runs is dropped. Errors of an imported cluster become warnings too, except changes that
/// cannot be made, keys without which nothing can be done and a cluster that is not in Azure; and, with [`Subject::advise`],
/// every error that rests on what Azure said. With a credential that Azure rejects every change fails, whatever it brings.
pub fn review(subject: &Subject<'_>, azure: &AzureData) -> Review {
    let mut review = judged(&Case::new(subject, azure));
    if let Purpose::Update(before) = subject.purpose {
        let stored = Subject { spec: before.stored, isolation: before.isolation, ..*subject };
        let known = judged(&Case::new(&stored, azure));
        soften(&mut review, |finding| known.has(finding) && !stops_everything(finding));
        drop_what_runs(&mut review, subject, before, azure);
    }
    if subject.spec.imported == Some(true) {
        let blocking = changes::RULES.iter().map(|rule| rule.name);
        let blocking = blocking.chain([required::FIELDS, existing::IMPORT_EXISTS, sizes::QUOTA]);
        soften(&mut review, |finding| {
            !stops_everything(finding) && !blocking.clone().any(|name| name == finding.rule)
        });
    }
    if subject.advise {
        soften(&mut review, |finding| finding.rests_on_azure);
    }
    if let Purpose::Update(before) = subject.purpose {
        state::name_way_out(&mut review, subject, before);
    }
    review.findings.sort_by_key(|finding| finding.severity);
    review
}

/// Whether the error keeps Azure from doing anything at all.
fn stops_everything(finding: &Finding) -> bool {
    access::RULES.iter().any(|rule| rule.name == finding.rule)
}

/// Whether nothing but rights and credentials stands in the way, and Azure may only not know them yet: it may take some
/// minutes until a new secret, application or role works everywhere.
pub fn may_pass(review: &Review, subject: &Subject<'_>, azure: &AzureData) -> bool {
    let mut errors = review.findings.iter().filter(|finding| finding.severity == Severity::Error).peekable();
    errors.peek().is_some() && errors.all(stops_everything) && access::may_pass(&Case::new(subject, azure))
}

fn judged(case: &Case<'_>) -> Review {
    let needed = azure::needed(case);
    let mut review = Review::default();
    for rule in rules() {
        if !rule.scope.holds(case) || !rule.needs.iter().all(|block| needed.contains(block)) {
            continue;
        }
        match rule.needs.iter().find_map(|block| case.azure.missing(*block)) {
            Some(reason) => {
                review.unchecked.push(Unchecked { rule: rule.name.to_owned(), reason: reason.to_owned() });
            }
            None => review.findings.extend((rule.check)(case).into_iter().map(|fault| rule.finding(fault))),
        }
    }
    review
}

/// Rules that have something to say about what runs: what Azure has retired.
const LASTING: [&str; 2] = ["http-routing-retired", "load-balancer-basic-retired"];

/// Drops findings that hold for what Azure runs as well: it has accepted that.
fn drop_what_runs(review: &mut Review, subject: &Subject<'_>, before: Before<'_>, azure: &AzureData) {
    let Some(current) = Case::new(subject, azure).current else { return };
    let running = Subject { spec: current, isolation: before.isolation, unknown: &[], ..*subject };
    let running = judged(&Case::new(&running, azure));
    review.findings.retain(|finding| {
        let lasts = LASTING.contains(&finding.rule.as_str());
        let stays = finding.severity == Severity::Advice || finding.rests_on_azure || lasts;
        stays || !running.has(finding)
    });
}

fn soften(review: &mut Review, which: impl Fn(&Finding) -> bool) {
    for finding in &mut review.findings {
        if finding.severity == Severity::Error && which(finding) {
            finding.severity = Severity::Warning;
        }
    }
}
