//! A review rule, and the faults that it reports.

use super::azure::Block;
use super::case::Case;
use super::finding::{Finding, Severity};
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
    /// The Azure data that it reads.
    pub needs: &'static [Block],
    /// Whether it depends on Azure's responses.
    pub rests_on_azure: bool,
    /// The clusters to which it applies.
    pub(super) scope: Scope,
    pub(super) check: Check,
}

type Check = fn(&Case<'_>, &mut Faults);

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
    pub(super) fn applies_to(self, case: &Case<'_>) -> bool {
        match self {
            Self::Managed => !case.is_import(),
            Self::Any => true,
            Self::Imports => case.is_import(),
            Self::New => !case.is_import() && case.current.is_none(),
            Self::Existing => case.current.is_some(),
        }
    }
}

/// The fault of one field. The rule supplies the rest of the finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    field: String,
    message: String,
    remedy: String,
    source: Option<&'static str>,
}

/// Collects the faults of one rule.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Adds the fault of a key of `aksConfig`.
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
        self.0.push(Fault { field, message: message.into(), remedy: remedy.into(), source: None });
        self
    }

    /// Replaces the source of the last added fault.
    pub(super) fn set_source(&mut self, source: &'static str) {
        if let Some(fault) = self.0.last_mut() {
            fault.source = Some(source);
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
    pub(super) const fn needs(self, needs: &'static [Block]) -> Self {
        Self { needs, rests_on_azure: true, ..self }
    }

    /// Marks a rule whose errors depend on Azure's responses to any request.
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
    pub(super) fn findings(&self, case: &Case<'_>) -> impl Iterator<Item = Finding> {
        let mut faults = Faults::default();
        (self.check)(case, &mut faults);
        self.convert(faults)
    }

    /// Converts faults to findings of this rule.
    pub(super) fn convert(&self, faults: Faults) -> impl Iterator<Item = Finding> {
        faults.0.into_iter().map(|fault| Finding {
            severity: self.severity,
            field: fault.field,
            rule: self.name.to_owned(),
            message: fault.message,
            remedy: fault.remedy,
            source: fault.source.unwrap_or(self.source).to_owned(),
            rests_on_azure: self.rests_on_azure,
        })
    }
}
