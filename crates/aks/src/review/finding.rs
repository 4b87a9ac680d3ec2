//! The result of a review.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::sources::SAVING_DOC;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Azure or Rancher rejects the specification.
    Error,
    /// The specification is accepted, but has an unintended effect or may fail later.
    Warning,
    /// The specification works, but could be improved.
    Advice,
}

/// A problem or possible improvement of a specification, found by a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// The field, for example `aksConfig.nodePools[1].vmSize`.
    pub field: String,
    /// The name of the rule.
    pub rule: String,
    /// One sentence that names the field, without a full stop.
    pub message: String,
    /// The remedy.
    pub remedy: String,
    /// Source of the rule: a heading of `docs/contract`, or a document of Azure with its URL.
    pub source: String,
    /// Whether it depends on Azure's responses.
    pub rests_on_azure: bool,
}

impl Finding {
    /// The message and the remedy as one sentence.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.message, self.remedy)
    }

    /// Whether it blocks the request.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// A rule that was not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unchecked {
    /// The name of the rule.
    pub rule: String,
    /// The reason.
    pub reason: String,
}

/// The findings of a review.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Review {
    /// Errors first, then warnings, then advice; within each in the order of the rules.
    pub findings: Vec<Finding>,
    /// Rules that could not be checked because a response of Azure is missing.
    pub unchecked: Vec<Unchecked>,
}

impl Review {
    /// The findings that block the request.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_error())
    }

    /// The first finding that blocks the request.
    pub fn first_error(&self) -> Option<&Finding> {
        self.errors().next()
    }

    /// Whether the review has a finding of the same rule with the same message.
    pub(super) fn has(&self, finding: &Finding) -> bool {
        self.findings.iter().any(|other| other.rule == finding.rule && other.message == finding.message)
    }

    /// Converts the errors for which the predicate is true to warnings.
    pub(super) fn downgrade_errors(&mut self, predicate: impl Fn(&Finding) -> bool) {
        for finding in &mut self.findings {
            if finding.is_error() && predicate(finding) {
                finding.severity = Severity::Warning;
            }
        }
    }

    /// The first error as one sentence, with the number of further errors. The number is omitted if the first error is from
    /// Rancher's validation on save.
    pub fn rejection_message(&self) -> Option<String> {
        let (first, further) = (self.first_error()?, self.errors().count() - 1);
        let sentence = first.sentence();
        if further == 0 || first.source == SAVING_DOC {
            return Some(sentence);
        }
        Some(format!("{sentence} (and {further} more: POST /api/v1/aks/review lists all)"))
    }

    /// Adds a finding that is not from a rule of the review, unless there is one for the same rule.
    pub fn add(&mut self, finding: Finding) {
        if self.findings.iter().all(|other| other.rule != finding.rule) {
            self.findings.push(finding);
            self.findings.sort_by_key(|finding| finding.severity);
        }
    }

    /// The unchecked rules and the reasons as one sentence; `None` if all rules were checked.
    pub fn unchecked_sentence(&self) -> Option<String> {
        let reasons: BTreeSet<&str> =
            self.unchecked.iter().map(|unchecked| unchecked.reason.as_str()).collect();
        let groups = reasons.into_iter().map(|reason| {
            let rules = self.unchecked.iter().filter(|unchecked| unchecked.reason == reason);
            let names: Vec<&str> = rules.map(|unchecked| unchecked.rule.as_str()).collect();
            format!("{} ({reason})", names.join(", "))
        });
        let groups = groups.collect::<Vec<_>>().join("; ");
        (!groups.is_empty()).then(|| format!("not checked against Azure: {groups}"))
    }
}
