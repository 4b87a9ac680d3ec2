//! A review rule, and the findings that it reports.

use super::azure::DataPart;
use super::finding::{Finding, Severity};
use super::input::RuleInput;
use crate::spec::rules::Violation;

/// A rule. Its name is part of the API: it is stored, and users search for it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The name, in lower case with hyphens.
    pub name: &'static str,
    /// The severity of its findings.
    pub severity: Severity,
    /// Source of the rule: a heading of `docs/contract`, or a document of Azure with its URL.
    pub source: &'static str,
    /// The Azure data that the rule reads.
    pub needs: &'static [DataPart],
    /// Whether the findings depend on Azure's responses.
    pub rests_on_azure: bool,
    /// The clusters to which the rule applies.
    pub(super) scope: Scope,
    pub(super) check: Check,
}

type Check = fn(&RuleInput<'_>, &mut FieldFindings);

/// The clusters to which a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All managed clusters.
    Managed,
    /// All managed clusters, and imports without any known state.
    Any,
    /// Only imports without any known state.
    Imports,
    /// Only clusters that are being created.
    New,
    /// Only existing clusters.
    Existing,
}

impl Scope {
    pub(super) fn applies_to(self, input: &RuleInput<'_>) -> bool {
        match self {
            Self::Managed => !input.is_import(),
            Self::Any => true,
            Self::Imports => input.is_import(),
            Self::New => !input.is_import() && input.current.is_none(),
            Self::Existing => input.current.is_some(),
        }
    }
}

/// The part of a finding that depends on the input. The rule supplies the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldFinding {
    field: String,
    message: String,
    remedy: String,
    source: Option<&'static str>,
}

/// Collects the findings of one rule, before [`Rule::convert`].
#[derive(Default)]
pub(super) struct FieldFindings(Vec<FieldFinding>);

impl FieldFindings {
    /// Adds the finding of a key of `aksConfig`.
    pub(super) fn add(
        &mut self,
        key: impl AsRef<str>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Self {
        self.add_at(format!("aksConfig.{}", key.as_ref()), message, remedy)
    }

    /// Like [`Self::add`], but with a complete path.
    pub(super) fn add_at(
        &mut self,
        field: String,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Self {
        self.0.push(FieldFinding { field, message: message.into(), remedy: remedy.into(), source: None });
        self
    }

    /// Replaces the source of the last added finding.
    pub(super) fn set_source(&mut self, source: &'static str) {
        if let Some(finding) = self.0.last_mut() {
            finding.source = Some(source);
        }
    }

    /// Adds a violation of one of Rancher's rules.
    pub(super) fn add_violation(&mut self, violation: &Violation) {
        self.add_at(violation.field(), violation.to_string(), violation.remedy());
    }
}

impl Rule {
    /// A rule that reads only the specification, and whose findings are errors.
    pub(super) const fn error(name: &'static str, source: &'static str, check: Check) -> Self {
        Self::new(name, Severity::Error, source, check)
    }

    /// Like [`Self::error`], but its findings are warnings.
    pub(super) const fn warning(name: &'static str, source: &'static str, check: Check) -> Self {
        Self::new(name, Severity::Warning, source, check)
    }

    /// Like [`Self::error`], but its findings are advice.
    pub(super) const fn advice(name: &'static str, source: &'static str, check: Check) -> Self {
        Self::new(name, Severity::Advice, source, check)
    }

    const fn new(name: &'static str, severity: Severity, source: &'static str, check: Check) -> Self {
        Self { name, severity, source, needs: &[], rests_on_azure: false, scope: Scope::Managed, check }
    }

    /// Sets the Azure data that the rule reads.
    #[must_use]
    pub(super) const fn needs(self, needs: &'static [DataPart]) -> Self {
        Self { needs, rests_on_azure: true, ..self }
    }

    /// Marks a rule that declares no needed data, but depends on Azure's responses: denials, and data that it uses only if known.
    #[must_use]
    pub(super) const fn resting_on_azure(self) -> Self {
        Self { rests_on_azure: true, ..self }
    }

    /// Sets the clusters to which the rule applies.
    #[must_use]
    pub(super) const fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The findings about a cluster.
    pub(super) fn findings(&self, input: &RuleInput<'_>) -> impl Iterator<Item = Finding> {
        let mut findings = FieldFindings::default();
        (self.check)(input, &mut findings);
        self.convert(findings)
    }

    /// Completes findings with the properties of this rule.
    pub(super) fn convert(&self, findings: FieldFindings) -> impl Iterator<Item = Finding> {
        findings.0.into_iter().map(|finding| Finding {
            severity: self.severity,
            field: finding.field,
            rule: self.name.to_owned(),
            message: finding.message,
            remedy: finding.remedy,
            source: finding.source.unwrap_or(self.source).to_owned(),
            rests_on_azure: self.rests_on_azure,
        })
    }
}
