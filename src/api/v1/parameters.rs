//! Typed values of query parameters. Each error names the parameter and its allowed values.

use std::ops::RangeInclusive;

use aks::input;
use aks::mask::mask;

use crate::api::norman::filters::Query;
use crate::service::Invalid;

impl Query {
    /// The trimmed value of `name`; `None` if it is missing or empty.
    pub(super) fn trimmed(&self, name: &str) -> Option<&str> {
        self.first(name).map(input::trim).filter(|text| !text.is_empty())
    }

    /// All trimmed values of `name`, except empty ones.
    pub(super) fn all_trimmed(&self, name: &str) -> impl Iterator<Item = &str> {
        self.all(name).map(input::trim).filter(|text| !text.is_empty())
    }

    /// A whole number in `range`.
    pub(super) fn number(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Invalid> {
        let Some(text) = self.trimmed(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let (min, max) = (range.start(), range.end());
                let message =
                    format!("{name} must be a whole number from {min} to {max}, not `{}`", mask(text));
                Err(Invalid::field("InvalidFormat", name, message))
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Invalid> {
        self.one_of(name, &[("true", true), ("false", false)])
    }

    /// The value in `options` whose name is the value of the parameter, in any letter case.
    pub(super) fn one_of<T: Copy>(&self, name: &str, options: &[(&str, T)]) -> Result<Option<T>, Invalid> {
        let Some(text) = self.trimmed(name) else { return Ok(None) };
        if let Some((_, value)) = options.iter().find(|(option, _)| option.eq_ignore_ascii_case(text)) {
            return Ok(Some(*value));
        }
        let allowed = options.iter().map(|(option, _)| *option).collect::<Vec<_>>().join(", ");
        let message = format!("{name} must be one of {allowed}, not `{}`", mask(text));
        Err(Invalid::field("InvalidOption", name, message))
    }

    /// The trimmed elements of a list separated by commas, except empty ones.
    pub(super) fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        let elements = self.trimmed(name).into_iter().flat_map(|text| text.split(','));
        elements.map(str::trim).filter(|element| !element.is_empty())
    }

    /// A list of availability zones, sorted and without duplicates.
    pub(super) fn zones(&self, name: &str) -> Result<Vec<String>, Invalid> {
        let mut zones: Vec<String> = self.list(name).map(str::to_owned).collect();
        zones.sort_unstable();
        zones.dedup();
        let is_zone = |zone: &String| matches!(zone.as_bytes(), [b'1'..=b'9']);
        if zones.iter().all(is_zone) {
            return Ok(zones);
        }
        let message =
            format!("{name} must be zone numbers from 1 to 9, separated by commas, for example 1,2,3");
        Err(Invalid::field("InvalidFormat", name, message))
    }
}
