//! The query of a request of the catalog, value by value. Each error names the parameter and what it may be.

use std::ops::RangeInclusive;

use aks::pasted;
use http::Uri;

use crate::api::norman::filters::Query;
use crate::service::Invalid;

/// The parameters of a request.
pub(super) struct Parameters(Query);

impl Parameters {
    pub(super) fn of(uri: &Uri) -> Self {
        Self(Query::of(uri))
    }

    /// The query with one value replaced; encoded, without `?`.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        self.0.with(name, value)
    }

    /// Rejects names that are not `known`.
    pub(super) fn reject_unknown(&self, known: &[&str]) -> Result<(), Invalid> {
        let Some(name) = self.0.names().find(|name| !known.contains(name)) else { return Ok(()) };
        let message = format!("there is no parameter of this name; use {}", known.join(", "));
        Err(Invalid::field("InvalidOption", name, message))
    }

    /// A text without the blanks around it; `None` if it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.first(name).map(pasted::trimmed).filter(|text| !text.is_empty())
    }

    /// Every value of the name without the blanks around it, except empty ones.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.all(name).map(pasted::trimmed).filter(|text| !text.is_empty())
    }

    /// A whole number in `range`.
    pub(super) fn number(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Invalid> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let message = format!("{name} is a whole number from {} to {}", range.start(), range.end());
                Err(Invalid::field("InvalidFormat", name, message))
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Invalid> {
        self.one_of(name, &[("true", true), ("false", false)])
    }

    /// One of the words, in any letter case.
    pub(super) fn one_of<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Invalid> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        match found {
            Some((_, value)) => Ok(Some(*value)),
            None => Err(Invalid::field("InvalidOption", name, format!("{name} is one of {}", known()))),
        }
    }

    /// The parts between commas.
    pub(super) fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        let parts = self.text(name).into_iter().flat_map(|text| text.split(','));
        parts.map(str::trim).filter(|part| !part.is_empty())
    }

    /// Numbers of availability zones, each once.
    pub(super) fn zones(&self, name: &str) -> Result<Vec<String>, Invalid> {
        let mut zones: Vec<String> = self.list(name).map(str::to_owned).collect();
        zones.sort_unstable();
        zones.dedup();
        let is_zone = |zone: &String| matches!(zone.as_bytes(), [b'1'..=b'9']);
        if zones.iter().all(is_zone) {
            return Ok(zones);
        }
        let message = format!("{name} are the numbers of zones, separated by commas, for example 1,2,3");
        Err(Invalid::field("InvalidFormat", name, message))
    }
}
