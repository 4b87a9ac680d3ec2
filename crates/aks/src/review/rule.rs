//! What a rule is, and the table of all rules.

use super::azure::Block;
use super::case::Case;
use super::{
    Finding, Severity, access, addresses, advice, changes, combinations, existing, imports, metadata, names,
    networks, pools, required, security, sizes, subnets, unknown, versions,
};

/// One rule. Its name is part of the API: it is stored, and people search for it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// In small letters with hyphens.
    pub name: &'static str,
    /// How much its findings matter.
    pub severity: Severity,
    /// Source of the rule: a heading of `docs/contract`, or a document of Azure with its URL.
    pub source: &'static str,
    /// What of Azure it looks at.
    pub needs: &'static [Block],
    /// Whether it depends on what Azure said.
    pub rests_on_azure: bool,
    /// Which clusters it is about.
    pub(super) scope: Scope,
    pub(super) check: fn(&Case<'_>) -> Vec<Fault>,
}

/// Which clusters a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All that are managed.
    Own,
    /// The same, and those that are to be registered, of which nothing is known yet.
    Any,
    /// Only those that are to be registered.
    Imports,
    /// Only those that are to be made.
    New,
    /// Only those that are there.
    Existing,
}

impl Scope {
    pub(super) fn holds(self, case: &Case<'_>) -> bool {
        match self {
            Self::Own => !case.is_import(),
            Self::Any => true,
            Self::Imports => case.is_import(),
            Self::New => !case.is_import() && case.current.is_none(),
            Self::Existing => case.current.is_some(),
        }
    }
}

/// What a rule says about one field; the rest of a finding is the rule's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) field: String,
    pub(super) message: String,
    pub(super) remedy: String,
    /// Where it comes from, when that is not the rule's own source.
    source: Option<&'static str>,
}

impl Fault {
    pub(super) fn new(
        field: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), message: message.into(), remedy: remedy.into(), source: None }
    }

    /// The same with a source of its own.
    #[must_use]
    pub(super) fn sourced(self, source: &'static str) -> Self {
        Self { source: Some(source), ..self }
    }
}

impl Rule {
    /// A rule about the specification alone, whose findings block.
    pub(super) const fn error(
        name: &'static str,
        source: &'static str,
        check: fn(&Case<'_>) -> Vec<Fault>,
    ) -> Self {
        Self {
            name,
            severity: Severity::Error,
            source,
            needs: &[],
            rests_on_azure: false,
            scope: Scope::Own,
            check,
        }
    }

    /// The same, as a warning.
    #[must_use]
    pub(super) const fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// The same, as advice.
    #[must_use]
    pub(super) const fn advice(self) -> Self {
        Self { severity: Severity::Advice, ..self }
    }

    /// The same, but looking at what Azure said.
    #[must_use]
    pub(super) const fn needs(self, needs: &'static [Block]) -> Self {
        Self { needs, rests_on_azure: true, ..self }
    }

    /// The same, for errors of Azure that may come with any of its answers.
    #[must_use]
    pub(super) const fn resting_on_azure(self) -> Self {
        Self { rests_on_azure: true, ..self }
    }

    /// The same, but about other clusters.
    #[must_use]
    pub(super) const fn about(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    pub(super) fn finding(&self, fault: Fault) -> Finding {
        Finding {
            severity: self.severity,
            field: fault.field,
            rule: self.name.to_owned(),
            message: fault.message,
            remedy: fault.remedy,
            source: fault.source.unwrap_or(self.source).to_owned(),
            rests_on_azure: self.rests_on_azure,
        }
    }
}

/// Rules by subject, in the order in which they speak: what must be there at all comes first, in Rancher's order.
const SUBJECTS: [&[Rule]; 17] = [
    required::RULES,
    changes::RULES,
    combinations::RULES,
    names::RULES,
    metadata::RULES,
    pools::RULES,
    networks::RULES,
    subnets::RULES,
    versions::RULES,
    security::RULES,
    access::RULES,
    existing::RULES,
    imports::RULES,
    sizes::RULES,
    addresses::RULES,
    unknown::RULES,
    advice::RULES,
];

/// Every rule there is.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    SUBJECTS.into_iter().flatten()
}
